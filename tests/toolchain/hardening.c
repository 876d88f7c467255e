/*
 * Does one thing that a hardened program must not survive; tests/toolchain/test_hardening.py runs it on each router.
 *
 * hardening FAULT: commits the fault of that name, prints "survived" and exits 0 if nothing stopped it.
 * hardening canary: prints the stack protector's canary. hardening fits: does the same as the faults within bounds.
 * hardening pipe: what a pipe says that cannot be had (musl's for MIPS is assembler of its own).
 * Lengths are volatile, so that the compiler knows the objects' sizes alone, as it does of bytes from a network.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 16

/* The compiler is told of ROOM bytes; there are more, so that an overflow by one hits nothing that would tell. */
extern char small[ROOM];
__asm__(".pushsection .bss\n.globl small\n.balign 16\nsmall: .space 64\n.popsection");
static char large[4 * ROOM] = "0123456789abcdef0123456789abcdef";
static volatile size_t length = ROOM + 1;

/* A table of pointers that only relocation writes, or nobody. */
struct fault {
	const char *name;
	void (*commit)(void);
};
static const struct fault faults[];

__attribute__((noinline)) static void smash(char *bytes, size_t n)
{
	volatile char *at = bytes;

	while (n-- > 0)
		*at++ = 'x';
}

__attribute__((noinline)) static void fault_smash(void)
{
	char frame[ROOM];

	smash(frame, length > ROOM ? 4 * length : length);
}

static void fault_memcpy(void)
{
	memcpy(small, large, length);
}

static void fault_memcpy_source(void)
{
	memcpy(large, small, length);
}

static void fault_memmove(void)
{
	memmove(small, large, length);
}

static void fault_memset(void)
{
	memset(small, 'x', length);
}

static void fault_strcpy(void)
{
	large[length - 1] = '\0';
	strcpy(small, length > ROOM ? large : "short");
}

static void fault_strncpy(void)
{
	strncpy(small, large, length);
}

static void fault_snprintf(void)
{
	snprintf(small, length, "%s", large);
}

__attribute__((noinline, format(printf, 1, 2))) static void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(small, length, format, arguments);
	va_end(arguments);
}

static void fault_vsnprintf(void)
{
	print("%s", large);
}

static void fault_read(void)
{
	if (read(STDIN_FILENO, small, length) < 0)
		perror("read");
}

static int pair(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) < 0 || send(fds[0], large, sizeof(large), 0) < 0)
		perror("socketpair");
	return fds[1];
}

static void fault_recv(void)
{
	if (recv(pair(), small, length, 0) < 0)
		perror("recv");
}

static void fault_recvfrom(void)
{
	if (recvfrom(pair(), small, length, 0, NULL, NULL) < 0)
		perror("recvfrom");
}

static void fault_table(void)
{
	uintptr_t hidden = (uintptr_t)&faults[length & 1].commit;

	if (length > ROOM)
		*(void (*volatile *)(void))hidden = fault_memcpy;
}

static const struct fault faults[] = {
	{ "smash", fault_smash },
	{ "memcpy", fault_memcpy },
	{ "memcpy-source", fault_memcpy_source },
	{ "memmove", fault_memmove },
	{ "memset", fault_memset },
	{ "strcpy", fault_strcpy },
	{ "strncpy", fault_strncpy },
	{ "snprintf", fault_snprintf },
	{ "vsnprintf", fault_vsnprintf },
	{ "read", fault_read },
	{ "recv", fault_recv },
	{ "recvfrom", fault_recvfrom },
	{ "table", fault_table },
};

static int print_failed_pipe(void)
{
	const struct rlimit none = { 0 };
	int fds[2];

	if (setrlimit(RLIMIT_NOFILE, &none) < 0 || pipe(fds) == 0)
		return 1;
	return puts(errno == EMFILE ? "EMFILE" : strerror(errno)) < 0;
}

int main(int argc, char **argv)
{
	extern uintptr_t __stack_chk_guard;
	const char *wanted = argc == 2 ? argv[1] : "";
	size_t i;

	if (strcmp(wanted, "canary") == 0)
		return printf("%#jx\n", (uintmax_t)__stack_chk_guard) < 0;
	if (strcmp(wanted, "names") == 0) {
		for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
			puts(faults[i].name);
		return 0;
	}
	if (strcmp(wanted, "pipe") == 0)
		return print_failed_pipe();
	if (strcmp(wanted, "fits") == 0)
		length = ROOM;
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (length == ROOM || strcmp(wanted, faults[i].name) == 0)
			faults[i].commit();
	}
	return puts("survived") < 0;
}
