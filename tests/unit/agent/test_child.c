/* child: exit codes, signals, caps, time-outs, what cannot start; real processes on the default loop. */
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child.h"

static struct ev_loop *loop;
static struct child child;
static struct child_result result;
static char reason[128];
static char output[256];
static unsigned done;

static void on_done(void *arg, const struct child_result *got)
{
	assert_ptr_equal(arg, &done);
	assert_false(child_is_running(&child));
	done++;
	result = *got;
	snprintf(reason, sizeof(reason), "%s", got->reason);
	ev_break(loop, EVBREAK_ALL);
}

static void on_deadline(struct ev_loop *l, ev_timer *timer, int revents)
{
	(void)timer;
	(void)revents;
	ev_break(l, EVBREAK_ALL);
}

static void run_loop(unsigned seconds)
{
	ev_timer deadline;

	ev_timer_init(&deadline, on_deadline, seconds, 0);
	ev_timer_start(loop, &deadline);
	ev_run(loop, 0);
	ev_timer_stop(loop, &deadline);
}

static struct child_spec shell_spec(const char *const argv[4], int64_t timeout_ms)
{
	return (struct child_spec){ .argv = argv, .extra_fd = -1, .output = output, .output_size = sizeof(output),
				    .timeout_ms = timeout_ms };
}

static void run(const struct child_spec *spec)
{
	struct err err = { "" };

	child_init(&child);
	done = 0;
	memset(output, 0, sizeof(output));
	assert_int_equal(child_start(&child, loop, spec, on_done, &done, &err), 0);
	assert_int_equal(child_start(&child, loop, spec, on_done, &done, &err), -EBUSY);
	run_loop(30);
	assert_int_equal(done, 1);
}

static void run_shell(const char *script, int64_t timeout_ms)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	struct child_spec spec = shell_spec(argv, timeout_ms);

	run(&spec);
}

static void test_output_and_status(void **state)
{
	(void)state;
	run_shell("echo out; echo err >&2; exit 7", 10000);
	assert_int_equal(result.exit_status, 7);
	assert_int_equal(result.output_length, 8);
	assert_string_equal(output, "out\nerr\n");
	assert_false(result.output_truncated);
	assert_string_equal(reason, "");
	assert_true(result.duration_ms >= 0 && result.duration_ms < 10000);
	run_shell("kill -9 $$", 10000);
	assert_int_equal(result.exit_status, 137);
	assert_string_equal(reason, "ended by signal 9");
}

static void test_cannot_start(void **state)
{
	const char *argv[] = { "/nonexistent/program", NULL };
	struct child_spec spec = { .argv = argv, .extra_fd = -1, .output = output, .output_size = sizeof(output),
				   .timeout_ms = 10000 };

	(void)state;
	run(&spec);
	assert_int_equal(result.exit_status, -1);
	assert_string_equal(reason, "cannot be started: No such file or directory");
}

static void test_output_is_capped(void **state)
{
	(void)state;
	run_shell("printf %256s x", 10000);
	assert_int_equal(result.output_length, 256);
	assert_false(result.output_truncated);
	run_shell("printf %257s x", 10000);
	assert_int_equal(result.output_length, 256);
	assert_true(result.output_truncated);
	run_shell("dd if=/dev/zero bs=65536 count=64 2>/dev/null; exit 3", 20000); /* far more than a pipe holds */
	assert_int_equal(result.exit_status, 3);
	assert_true(result.output_truncated);
}

static void test_timeout_ends_the_group(void **state)
{
	pid_t pid;

	(void)state;
	run_shell("sleep 60 & echo $!; wait", 2000); /* in which a busy machine gets that far */
	assert_true(result.timed_out);
	assert_int_equal(result.exit_status, 128 + SIGTERM);
	assert_string_equal(reason, "ended after its time-out");
	pid = (pid_t)atoi(output);
	assert_true(pid > 1);
	for (unsigned i = 0; kill(pid, 0) == 0 && i < 20000; i++) { /* a zombie until init reaps it */
		char path[64], text[256] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		file = fopen(path, "r");
		if (file && fread(text, 1, sizeof(text) - 1, file) > 0 && strstr(text, ") Z"))
			i = 20000;
		if (file)
			fclose(file);
		usleep(1000);
		assert_int_not_equal(i, 19999);
	}
}

static void test_timeout_kills_what_ignores_it(void **state)
{
	(void)state;
	run_shell("trap '' TERM; while :; do sleep 1; done", 2000); /* in which the trap is set */
	assert_true(result.timed_out);
	assert_int_equal(result.exit_status, 128 + SIGKILL);
}

static void test_background_does_not_hold_us(void **state)
{
	(void)state;
	run_shell("sleep 60 & echo $!", 30000);
	assert_int_equal(result.exit_status, 0);
	assert_true(result.duration_ms < 20000);
	kill((pid_t)atoi(output), SIGKILL);
}

static void test_environment_and_descriptors(void **state)
{
	const char *const environment[] = { "JAGA_JOB=j-1", NULL };
	const char *argv[] = { "sh", "-c", "env | sort | grep -v '^_\\|^PWD'; cat; cat <&3; ls /proc/self/fd | tr '\\n' ' '", NULL };
	struct child_spec spec = shell_spec(argv, 10000);
	int leak = dup(1), fd = memfd_create("extra", 0); /* neither may be seen but the one that is handed over */

	(void)state;
	assert_true(fd >= 0 && leak >= 0);
	assert_int_equal(write(fd, "text\n", 5), 5);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(setenv("SECRET", "1", 1), 0);
	spec.environment = environment;
	spec.extra_fd = fd;
	run(&spec);
	assert_string_equal(output, "JAGA_JOB=j-1\nLC_ALL=C\n"
				    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
				    "text\n0 1 2 3 4 "); /* 4 is ls reading the directory */
	close(leak);
	close(fd);
}

static int write_and_leave(void *arg)
{
	assert_ptr_equal(arg, output);
	return write(1, "from the function", 17) == 17 ? 9 : 1;
}

static void test_function(void **state)
{
	struct child_spec spec = { .function = write_and_leave, .function_arg = output, .extra_fd = -1, .output = output,
				   .output_size = sizeof(output), .timeout_ms = 10000 };

	(void)state;
	run(&spec);
	assert_int_equal(result.exit_status, 9);
	assert_string_equal(output, "from the function");
	spec.output = NULL; /* nobody reads */
	run(&spec);
	assert_int_equal(result.exit_status, 9);
	assert_int_equal(result.output_length, 0);
}

/* Standard input and descriptor 3 are empty, output that nobody asked for goes nowhere. */
static int look_around(void *arg)
{
	char byte;

	(void)arg;
	if (access("/dev/null", F_OK) == 0 || read(0, &byte, 1) != 0 || read(3, &byte, 1) != 0)
		return 1;
	return write(1, "seen", 4) == 4 ? 9 : 2;
}

/* A container or chroot may have no /dev. */
static void test_without_dev_null(void **state)
{
	struct child_spec spec = { .function = look_around, .extra_fd = -1, .output = output, .output_size = sizeof(output),
				   .timeout_ms = 10000 };
	char bare[] = "/tmp/jaga-child-XXXXXX";
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(root >= 0);
	assert_non_null(mkdtemp(bare));
	if (chroot(bare) < 0) { /* needs root */
		assert_int_equal(rmdir(bare), 0);
		skip();
	}
	run(&spec);
	spec.output = NULL;
	assert_int_equal(result.exit_status, 9);
	assert_string_equal(output, "seen");
	run(&spec);
	assert_int_equal(fchdir(root), 0);
	assert_int_equal(chroot("."), 0);
	close(root);
	assert_int_equal(rmdir(bare), 0);
	assert_int_equal(result.exit_status, 9);
}

static void test_kill_and_abandon(void **state)
{
	const char *argv[] = { "sh", "-c", "sleep 60", NULL };
	struct child_spec spec = shell_spec(argv, 60000);
	struct err err = { "" };
	pid_t pid;

	(void)state;
	child_init(&child);
	child_kill(&child);
	child_abandon(&child);
	done = 0;
	assert_int_equal(child_start(&child, loop, &spec, on_done, &done, &err), 0);
	child_kill(&child);
	assert_false(child_is_running(&child));
	assert_int_equal(child_start(&child, loop, &spec, on_done, &done, &err), 0);
	pid = child.pid;
	child_abandon(&child);
	assert_false(child_is_running(&child));
	assert_int_equal(kill(pid, 0), 0);
	kill(pid, SIGKILL);
	run_shell("true", 10000);
	assert_int_equal(done, 1);
}

/* A script that restarts the agent must come to its end. (That a function does not outlive us is in test_journal_writer.c.) */
static void test_a_program_outlives_us(void **state)
{
	char fifo[] = "/tmp/jaga-child-XXXXXX", script[96], said[8] = "";
	const char *argv[] = { "sh", "-c", script, NULL };
	struct child_spec spec = shell_spec(argv, 60000);
	int answer[2], go, status;
	pid_t us;

	(void)state;
	alarm(60); /* a script that went with us answers never */
	assert_int_equal(close(mkstemp(fifo)) + unlink(fifo) + mkfifo(fifo, 0600), 0);
	snprintf(script, sizeof(script), "read line < %s && echo $line >&3", fifo);
	go = open(fifo, O_RDWR | O_CLOEXEC);
	assert_true(go >= 0 && pipe(answer) == 0);
	spec.extra_fd = answer[1];
	us = fork();
	if (us == 0) {
		child_init(&child);
		ev_loop_fork(loop);
		_exit(child_start(&child, loop, &spec, on_done, &done, NULL) == 0 ? raise(SIGKILL) : 1);
	}
	assert_int_equal(close(answer[1]), 0);
	assert_true(waitpid(us, &status, 0) == us && WIFSIGNALED(status));
	assert_int_equal(write(go, "alive\n", 6), 6);
	assert_int_equal(read(answer[0], said, sizeof(said)), 6);
	assert_string_equal(said, "alive\n");
	alarm(0);
	close(answer[0]);
	close(go);
	assert_int_equal(unlink(fifo), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_status),
		cmocka_unit_test(test_cannot_start),
		cmocka_unit_test(test_output_is_capped),
		cmocka_unit_test(test_timeout_ends_the_group),
		cmocka_unit_test(test_timeout_kills_what_ignores_it),
		cmocka_unit_test(test_background_does_not_hold_us),
		cmocka_unit_test(test_environment_and_descriptors),
		cmocka_unit_test(test_function),
		cmocka_unit_test(test_without_dev_null),
		cmocka_unit_test(test_kill_and_abandon),
		cmocka_unit_test(test_a_program_outlives_us),
	};

	loop = ev_default_loop(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
