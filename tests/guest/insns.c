/*
 * insns: a plugin of QEMU's system emulators that counts the instructions a guest executes, those of
 * the kernel apart from those of programs, and where they are.
 *
 *   qemu-system-mips ... -plugin insns.so,out=FILE
 *
 * FILE is mapped and always up to date, so that whoever measures reads it twice and subtracts
 * (tests/bench/emulated.py). A waiting guest executes nothing. A block of instructions that an interrupt
 * or a fault leaves in the middle counts whole; that overstates by less than a hundredth.
 * One processor only: the counters are not atomic. Debian ships no qemu-plugin.h: what is used of
 * the interface (version 1, QEMU 4.2 to 8) is declared here after QEMU's documentation.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define INLINE_ADD_U64 0
#define BLOCKS (1u << 20) /* translations of blocks; what comes after them is counted, but nowhere */

typedef uint64_t plugin_id;
struct plugin_tb;
struct plugin_info {
	const char *target_name;
	/* more follows, which is not used here */
};

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id id, struct plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline(struct plugin_tb *tb, int op, void *counter, uint64_t value);
size_t qemu_plugin_tb_n_insns(const struct plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct plugin_tb *tb);
EXPORT int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv);

EXPORT int qemu_plugin_version = 1;

/* The file; the machine's own byte order. */
static struct counts {
	uint64_t programs, kernel; /* instructions */
	uint64_t n_blocks;
	struct {
		uint64_t address, instructions;
	} blocks[BLOCKS];
} *counts;
static bool is_mips;

/* MIPS keeps the upper half of its 32-bit addresses for the kernel, x86-64 and ARM that of 64 bits. */
static bool is_kernel(uint64_t address)
{
	return is_mips ? address & UINT64_C(0x80000000) : address >> 63;
}

static void on_translation(plugin_id id, struct plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb), n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64,
						 is_kernel(address) ? &counts->kernel : &counts->programs, n);
	if (counts->n_blocks == BLOCKS)
		return;
	counts->blocks[counts->n_blocks].address = address;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &counts->blocks[counts->n_blocks].instructions, n);
	counts->n_blocks++;
}

int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv)
{
	int fd;

	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
		fputs("insns: write: -plugin insns.so,out=FILE\n", stderr);
		return -1;
	}
	fd = open(argv[0] + 4, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*counts)) < 0) {
		perror(argv[0] + 4);
		return -1;
	}
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (counts == MAP_FAILED) {
		perror(argv[0] + 4);
		return -1;
	}
	is_mips = strncmp(info->target_name, "mips", 4) == 0;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return 0;
}
