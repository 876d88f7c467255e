/* system: the key file and everything that can be wrong with it, lock and claim, directories, load averages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/system.h"

static char dir[] = "/tmp/test_system.XXXXXX";

static void write_key(const char *text, mode_t mode, char path[static 96])
{
	FILE *file;

	snprintf(path, 96, "%s/key", dir);
	unlink(path);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

#define DIGITS "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"

static void test_key(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		int result;
		const char *said;
	} table[] = {
		{ DIGITS, 0600, 0, "" },
		{ DIGITS "\n", 0400, 0, "" },
		{ DIGITS "\n\n", 0600, -EINVAL, "64" },
		{ DIGITS "0", 0600, -EINVAL, "64" },
		{ " " DIGITS, 0600, -EINVAL, "64" },
		{ "", 0600, -EINVAL, "64" },
		{ "0011", 0600, -EINVAL, "64" },
		{ "g0112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff", 0600, -EINVAL, "64" },
		{ DIGITS, 0640, -EACCES, "0600" },
		{ DIGITS, 0604, -EACCES, "0600" },
		{ DIGITS, 0601, -EACCES, "0600" },
	};
	uint8_t key[LIMIT_PSK_BYTES], zero[LIMIT_PSK_BYTES] = { 0 };
	char path[96];
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		err.text[0] = '\0';
		memset(key, 0x5a, sizeof(key));
		write_key(table[i].text, table[i].mode, path);
		assert_int_equal(system_read_key(path, key, &err), table[i].result);
		assert_non_null(strstr(err.text, table[i].said));
		assert_null(strstr(err.text, "00112233")); /* never the key */
		if (table[i].result < 0)
			assert_memory_equal(key, zero, sizeof(key));
		else
			assert_memory_equal(key, "\x00\x11\x22\x33", 4);
	}
	unlink(path);
	assert_int_equal(system_read_key(path, key, &err), -ENOENT);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(system_read_key(path, key, &err), -ELOOP);
	unlink(path);
	assert_int_equal(system_read_key(dir, key, &err), -EINVAL);
}

static void test_directories(void **state)
{
	char path[96];
	struct stat info;
	struct err err;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/a/b/c", dir);
	assert_int_equal(system_make_dir(path, &err), 0);
	assert_int_equal(system_make_dir(path, &err), 0);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(system_make_dir(path, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, path));
	snprintf(path, sizeof(path), "%s/file/below", dir);
	assert_int_equal(system_make_dir(path, &err), -ENOTDIR);
}

static void test_lock(void **state)
{
	struct err err;
	int first = -1, second = -1;

	(void)state;
	assert_int_equal(system_lock(dir, &first, &err), 0);
	assert_int_equal(system_lock(dir, &second, &err), -EBUSY);
	assert_int_equal(second, -1);
	assert_non_null(strstr(err.text, dir));
	close(first);
	assert_int_equal(system_lock(dir, &second, &err), 0);
	close(second);
	assert_int_equal(system_lock("/nonexistent", &first, &err), -ENOENT);
}

/* Abstract names belong to a network namespace: one of our own keeps an agent of this machine out of the test. */
/* A process of an ordinary user that takes the name, and then does that and waits to be killed. */
static pid_t start_squatter(void (*and_then)(int fd))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "\0jaga-agent" };
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + sizeof("jaga-agent");
	pid_t user = fork();
	int status;

	assert_true(user >= 0);
	if (user == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (setresuid(4711, 4711, 4711) < 0 || bind(fd, (struct sockaddr *)&address, length) < 0)
			raise(SIGKILL);
		and_then(fd);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(user, &status, WUNTRACED), user);
	assert_true(WIFSTOPPED(status));
	return user;
}

static void be_silent(int fd)
{
	(void)fd;
}

static void listen_well(int fd)
{
	if (listen(fd, 8) < 0)
		raise(SIGKILL);
}

static void listen_with_a_full_queue(int fd)
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address);

	if (listen(fd, 0) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		raise(SIGKILL);
	while (connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&address, length) == 0)
		;
	if (errno != EAGAIN)
		raise(SIGKILL);
}

static void test_claim(void **state)
{
	struct parse_address router;
	struct err err;
	char pid[16];
	int first = -1, second = -1, third = -1;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		skip();
	assert_int_equal(parse_address("192.0.2.1", 8728, &router), 0);
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_int_equal(system_claim(NULL, &first, &err), 0);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(system_claim(NULL, &second, &err), -EBUSY);
		assert_int_equal(second, -1);
		assert_non_null(strstr(err.text, pid));
		if (i % 8 == 7)
			system_answer_claims(first);
	}
	assert_int_equal(system_claim(&router, &second, &err), 0); /* beside it, a companion of another router */
	assert_int_equal(system_claim(&router, &third, &err), -EBUSY);
	close(second);
	close(first);
	assert_int_equal(system_claim(NULL, &first, &err), 0);
	close(first);
	system_answer_claims(-1);
}

/* Whoever may log in cannot keep the agent from the router. */
static void test_claim_of_others(void **state)
{
	static const struct {
		void (*and_then)(int fd);
		const char *said;
	} cases[] = {
		{ listen_well, "uid 4711" },
		{ be_silent, "no agent holds" },
		{ listen_with_a_full_queue, "no agent holds" }, /* as long as an agent may take */
	};

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		skip();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid_t user = start_squatter(cases[i].and_then);
		struct err err;
		int fd = -1;

		assert_int_equal(system_claim(NULL, &fd, &err), -EPERM);
		assert_non_null(strstr(err.text, cases[i].said));
		kill(user, SIGKILL);
		assert_int_equal(waitpid(user, NULL, 0), user);
		assert_int_equal(system_claim(NULL, &fd, &err), 0);
		close(fd);
	}
}

static void assert_refused(const char *path, int error)
{
	struct err err;

	assert_int_equal(system_check_room(path, &err), error);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(system_note_pid(path, &err), error);
	assert_non_null(strstr(err.text, path));
}

/* Full, and read-only: in a mount namespace of our own, on a file system of a few pages. */
static void test_writable(void **state)
{
	static const char block[4096];
	char path[96], name[128], text[16] = "", pid[16];
	struct err err;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/state", dir);
	assert_refused(path, -ENOENT);
	assert_int_equal(system_make_dir(path, &err), 0);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", path, "tmpfs", 0, "size=16k") < 0)
		skip();
	assert_int_equal(system_check_room(path, &err), 0);
	assert_int_equal(system_note_pid(path, &err), 0);
	snprintf(name, sizeof(name), "%s/agent.pid", path);
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	fd = open(name, O_RDONLY);
	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text, pid);
	snprintf(name, sizeof(name), "%s/filler", path);
	fd = open(name, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	assert_refused(path, -ENOSPC);
	unlink(name);
	assert_int_equal(system_check_room(path, &err), 0);
	assert_int_equal(system_note_pid(path, &err), 0);
	assert_int_equal(mount("none", path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_refused(path, -EROFS);
	assert_int_equal(umount(path), 0);
}

static void write_number(const char *path, uint32_t number)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "%u\n", number);
	assert_int_equal(fclose(file), 0);
}

/* As the kernel tells it, here by files in a mount namespace of our own. */
static void test_connection_table(void **state)
{
	static const char *const count = "/proc/sys/net/netfilter/nf_conntrack_count";
	static const char *const max = "/proc/sys/net/netfilter/nf_conntrack_max";
	static const struct {
		uint32_t count, max;
		bool is_full;
	} table[] = {
		{ 0, 65536, false }, { 63569, 65536, false }, { 63570, 65536, true }, { 65536, 65536, true },
		{ UINT32_MAX, UINT32_MAX, true }, { UINT32_MAX / 2, UINT32_MAX, false },
		{ 5, 0, false }, /* the kernel's word for no limit */
	};
	uint32_t read;

	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/proc/sys/net", "tmpfs", 0, NULL) < 0)
		skip();
	assert_false(system_is_table_full(0, &read)); /* there is none */
	assert_int_equal(read, 0);
	assert_int_equal(mkdir("/proc/sys/net/netfilter", 0755), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		write_number(count, table[i].count);
		write_number(max, table[i].max);
		assert_int_equal(system_is_table_full(97, &read), table[i].is_full);
		assert_int_equal(read, table[i].max);
	}
	assert_int_equal(umount("/proc/sys/net"), 0);
}

static void test_load(void **state)
{
	static const struct {
		const char *text;
		uint32_t permille;
	} table[] = {
		{ "0.15 0.10 0.05 1/100 999\n", 150 }, { "12.50", 12500 }, { "3", 3000 }, { "0.1239", 123 },
		{ "", 0 }, { "x", 0 }, { "-1", 0 }, { "1.", 1000 }, { "999999999999", 0 },
	};
	struct system_load load;
	struct system_identity identity;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(system_parse_load(table[i].text), table[i].permille);
	system_read_load(&load);
	assert_true(load.mem_available_kb > 0);
	system_read_identity(&identity);
	assert_true(identity.hostname[0] != '\0' && strstr(identity.system, ", ") != NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),  cmocka_unit_test(test_directories), cmocka_unit_test(test_lock),
		cmocka_unit_test(test_load), cmocka_unit_test(test_claim),
		cmocka_unit_test(test_claim_of_others),
		cmocka_unit_test(test_writable),
		cmocka_unit_test(test_connection_table),
	};
	char command[64];
	int r;

	if (!mkdtemp(dir))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? r : 1;
}
