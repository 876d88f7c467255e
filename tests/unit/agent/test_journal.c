/*
 * journal: what was written is read, what was damaged is seen, and an older agent's file is understood.
 */
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
#include <unistd.h>

#include "agent/job/journal.h"

static char dir[64], path[96];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_journal.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/journal", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static void test_journal_round_trip(void **state)
{
	static char output[LIMIT_OUTPUT_BYTES], read_back[LIMIT_OUTPUT_BYTES];
	struct journal_record record = { .hiwater = UINT64_MAX, .wall_ms = INT64_MAX, .phase = JOB_FAILED, .seq = UINT64_MAX,
					 .exit_status = -1, .attempt = 1, .duration_ms = INT64_MAX, .output_truncated = true,
					 .output_length = sizeof(output) };
	struct journal_record got;

	(void)state;
	memset(record.job_id, 'j', sizeof(record.job_id) - 1);
	memset(record.reason, 'r', sizeof(record.reason) - 1);
	record.reason[3] = '\n'; /* never leaves its line */
	for (size_t i = 0; i < sizeof(output); i++)
		output[i] = (char)(i * 7);
	assert_int_equal(journal_load(dir, &got, read_back, NULL), -ENOENT);
	assert_int_equal(journal_save(dir, &record, output, NULL), 0);
	assert_int_equal(journal_load(dir, &got, read_back, NULL), 0);
	record.reason[3] = ' ';
	assert_memory_equal(&got, &record, sizeof(got));
	assert_memory_equal(read_back, output, sizeof(output));
	record = (struct journal_record){ .hiwater = 1 };
	assert_int_equal(journal_save(dir, &record, NULL, NULL), 0);
	assert_int_equal(journal_load(dir, &got, read_back, NULL), 0);
	assert_memory_equal(&got, &record, sizeof(got));
}

static void test_every_damage_to_the_journal_is_seen(void **state)
{
	const struct journal_record record = { .hiwater = 9, .phase = JOB_STARTED, .job_id = "j-9", .seq = 9,
					       .output_length = 3 };
	char bytes[1024], output[LIMIT_OUTPUT_BYTES];
	struct journal_record got;
	struct err err;
	ssize_t length;
	int fd;

	(void)state;
	assert_int_equal(journal_save(dir, &record, "out", NULL), 0);
	fd = open(path, O_RDWR);
	length = read(fd, bytes, sizeof(bytes));
	assert_true(length > 100);
	for (ssize_t i = 0; i < length; i++) { /* one bit of each byte */
		char damaged = (char)(bytes[i] ^ 1 << i % 8);

		assert_int_equal(pwrite(fd, &damaged, 1, i), 1);
		assert_int_equal(journal_load(dir, &got, output, &err), -EBADMSG);
		assert_int_equal(pwrite(fd, &bytes[i], 1, i), 1);
	}
	assert_int_equal(journal_load(dir, &got, output, NULL), 0);
	assert_int_equal(pwrite(fd, "x", 1, length), 1); /* too long */
	assert_int_equal(journal_load(dir, &got, output, &err), -EBADMSG);
	for (ssize_t i = length - 1; i >= 0; i--) { /* cut short */
		assert_int_equal(ftruncate(fd, i), 0);
		assert_int_equal(journal_load(dir, &got, output, &err), -EBADMSG);
	}
	assert_non_null(strstr(err.text, path));
	close(fd);
}

static void write_journal(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_the_journal_of_an_older_agent(void **state)
{
	struct journal_record record;
	char output[LIMIT_OUTPUT_BYTES];
	struct err err;

	(void)state;
	/* Written by version 1, checksum and all. */
	write_journal("jaga-journal 1\nhiwater=17\nwall_ms=1763700000000\nphase=5\njob=j-17\nseq=17\nexit=0\nattempt=1\n"
		      "duration_ms=120\ntruncated=0\nreason=\noutput=5\ncrc=54d2f2e8\nhello");
	assert_int_equal(journal_load(dir, &record, output, NULL), 0);
	assert_true(record.hiwater == 17 && record.confirm_s == 0 && record.duration_ms == 120);
	assert_int_equal(record.phase, JOB_CONFIRMED);
	assert_memory_equal(output, "hello", 5);
	write_journal("jaga-journal 3\nhiwater=17\ncrc=9afcd166\n"); /* of an agent to come */
	assert_int_equal(journal_load(dir, &record, output, &err), -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_journal_round_trip),
		TEST(test_every_damage_to_the_journal_is_seen),
		TEST(test_the_journal_of_an_older_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
