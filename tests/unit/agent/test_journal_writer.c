/*
 * journal_writer: nothing of it is left when its agent has ended, however that ends. A FIFO in the place of the new file
 * holds a writer up for as long as the test likes. The agent is a process of its own, which the test kills; as its
 * subreaper the test is told how the writer ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job/journal_writer.h"
#include "common/clock.h"

#define PATIENCE_MS 30000

static struct ev_loop *loop;
static bool is_reaper; /* whom a dead agent leaves is ours */
static struct journal_writer writer;
static char dir[64], new_path[96], held_path[96];
static const struct journal_record of_the_old = { .hiwater = 1 }, of_the_next = { .hiwater = 2 };

static void on_written(void *arg, const char *problem)
{
	(void)arg;
	(void)problem;
	fail_msg("told of the end of a record, by an agent that has ended");
}

static int set_up(void **state)
{
	(void)state;
	/* Memory, where there is some: a disk may take its time for an fsync. */
	snprintf(dir, sizeof(dir), "%s/test_writer.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
	snprintf(new_path, sizeof(new_path), "%s/journal.new", dir);
	snprintf(held_path, sizeof(held_path), "%s/held", dir);
	journal_writer_init(&writer, loop, on_written, NULL);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

static uint64_t hiwater_on_disk(void)
{
	static char output[LIMIT_OUTPUT_BYTES];
	struct journal_record record = { .hiwater = 0 };

	assert_int_equal(journal_load(dir, &record, output, NULL), 0);
	return record.hiwater;
}

/* 'S': it hangs at the FIFO, the one thing that it ever waits for. */
static char state_of(pid_t pid)
{
	char path[64], text[256] = "";
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return '\0';
	(void)!fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : '\0';
}

static void wait_until_it_hangs(pid_t pid)
{
	int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;

	while (state_of(pid) != 'S' && clock_mono_ms() < deadline_ms)
		usleep(1000);
	assert_int_equal(state_of(pid), 'S');
}

static int wait_for_the_end(pid_t pid)
{
	int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
	int status = 0;
	pid_t r;

	while ((r = waitpid(pid, &status, WNOHANG)) == 0 && clock_mono_ms() < deadline_ms)
		usleep(1000);
	assert_int_equal(r, pid);
	return status;
}

/* The agent, which saves and lives on. */
static pid_t start_agent(pid_t *ret_writer)
{
	int tell[2];
	pid_t agent;

	assert_int_equal(pipe(tell), 0);
	agent = fork();
	assert_true(agent >= 0);
	if (agent == 0) {
		ev_loop_fork(loop);
		journal_writer_save(&writer, dir, &of_the_old, NULL);
		if (write(tell[1], &writer.child.pid, sizeof(writer.child.pid)) == sizeof(writer.child.pid))
			ev_run(loop, 0);
		_exit(1);
	}
	assert_int_equal(read(tell[0], ret_writer, sizeof(*ret_writer)), sizeof(*ret_writer));
	close(tell[0]);
	close(tell[1]);
	return agent;
}

static void test_killed_with_its_agent(void **state)
{
	pid_t agent, old;
	char byte;
	int held, status;

	(void)state;
	if (!is_reaper)
		skip();
	assert_int_equal(mkfifo(new_path, 0600), 0);
	agent = start_agent(&old);
	wait_until_it_hangs(old);
	assert_int_equal(kill(agent, SIGKILL), 0);
	assert_int_equal(WTERMSIG(wait_for_the_end(agent)), SIGKILL);

	/* The next one begins, and is about to write once more when whatever held the old writer up lets go. */
	assert_int_equal(rename(new_path, held_path), 0);
	assert_int_equal(journal_save(dir, &of_the_next, NULL, NULL), 0);
	assert_int_equal(mkdir(new_path, 0700), 0);
	held = open(held_path, O_RDONLY | O_NONBLOCK);
	assert_true(held >= 0);
	status = wait_for_the_end(old);
	assert_int_equal(read(held, &byte, 1), 0);
	close(held);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_true(hiwater_on_disk() == 2);
}

/* An agent that is told to end has time for the record of a job that has just ended. */
static void test_an_end_waits_for_a_record(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		const struct journal_record record = { .hiwater = i };

		journal_writer_save(&writer, dir, &record, NULL);
		journal_writer_stop(&writer);
		assert_true(hiwater_on_disk() == i);
	}
}

static void test_an_end_does_not_wait_for_ever(void **state)
{
	int64_t began_ms = clock_mono_ms();
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(mkfifo(new_path, 0600), 0);
	journal_writer_save(&writer, dir, &of_the_old, NULL);
	pid = writer.child.pid;
	journal_writer_stop(&writer);
	assert_true(clock_mono_ms() - began_ms >= LIMIT_JOURNAL_STOP_MS);
	status = wait_for_the_end(pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	journal_writer_stop(&writer); /* which is fine */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_killed_with_its_agent),
		TEST(test_an_end_waits_for_a_record),
		TEST(test_an_end_does_not_wait_for_ever),
	};

	loop = ev_default_loop(0);
	is_reaper = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
