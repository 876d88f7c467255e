/* system: the key file and everything that can be wrong with it, the lock, directories, load averages. */
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
#include <sys/stat.h>
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
	char pid[16];
	int first = -1, second = -1;

	(void)state;
	assert_int_equal(system_lock(dir, &first, &err), 0);
	assert_int_equal(system_lock(dir, &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, "pid unknown"));
	assert_int_equal(system_note_pid(first, dir, &err), 0);
	assert_int_equal(system_lock(dir, &second, &err), -EBUSY);
	assert_int_equal(second, -1);
	snprintf(pid, sizeof(pid), "pid %d)", (int)getpid());
	assert_non_null(strstr(err.text, pid));
	close(first);
	assert_int_equal(system_lock(dir, &second, &err), 0);
	close(second);
	assert_int_equal(system_lock("/nonexistent", &first, &err), -ENOENT);
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

static void test_boot_id(void **state)
{
	uint8_t first[LIMIT_BOOT_ID_BYTES], second[LIMIT_BOOT_ID_BYTES];

	(void)state;
	system_make_boot_id(first);
	system_make_boot_id(second);
	assert_memory_not_equal(first, second, sizeof(first));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),  cmocka_unit_test(test_directories), cmocka_unit_test(test_lock),
		cmocka_unit_test(test_load), cmocka_unit_test(test_boot_id),
	};
	char command[64];
	int r;

	if (!mkdtemp(dir))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? r : 1;
}
