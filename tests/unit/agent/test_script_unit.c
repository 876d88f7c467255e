/*
 * script_unit and script_serve: the two messages between an agent that is not root and the unit that
 * runs its scripts. The unit is the real script_serve() in a child process behind a real socket; as the
 * agent we are script_unit_start(), or hostile bytes. Whoever asks is root here, and so is the owner of
 * the files: tests/e2e/test_confined.py asks as other users.
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/local.h"
#include "agent/script_unit.h"

static struct ev_loop *loop;
static char dir[64], conf[96], path[96], ran[96];
static int unit_status_fd; /* its exit status: the loop takes every child of this process, so nobody can wait for it */

static void write_conf(const char *scripts)
{
	FILE *file = fopen(conf, "w");

	assert_non_null(file);
	fprintf(file, "[agent]\nscripts = %s\nstate_dir = %s\n[lan]\ninterfaces = lan0\n[uplink a]\ninterface = wan1\n"
		      "targets = 192.0.2.1\n", scripts, dir);
	assert_int_equal(fclose(file), 0);
}

/* --- the unit: one connection, like systemd with Accept=yes ---------------------------------------- */

static void start_unit(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), ends[2];
	pid_t unit;

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	unit_status_fd = ends[0];
	unit = fork();
	assert_true(unit >= 0);
	if (unit == 0) {
		int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC), status = 99;

		ev_loop_fork(ev_default_loop(EVFLAG_NOENV));
		if (connection >= 0)
			status = script_serve(conf, connection);
		_exit(write(ends[1], &status, sizeof(status)) != sizeof(status));
	}
	close(ends[1]);
	close(fd);
}

static int wait_unit(void)
{
	int status;

	if (read(unit_status_fd, &status, sizeof(status)) != sizeof(status))
		status = -SIGKILL; /* it could not say */
	close(unit_status_fd);
	return status;
}

/* --- as the agent does it ---------------------------------------------------------------------------- */

static struct {
	unsigned done;
	struct router_script_result result;
	char output[LIMIT_OUTPUT_BYTES + 1], reason[256];
} got;

static void on_done(void *arg, const struct router_script_result *result)
{
	assert_ptr_equal(arg, &got);
	got.done++;
	got.result = *result;
	assert_true(result->output_length <= LIMIT_OUTPUT_BYTES);
	memcpy(got.output, result->output, result->output_length);
	got.output[result->output_length] = '\0';
	snprintf(got.reason, sizeof(got.reason), "%s", result->reason);
	ev_break(loop, EVBREAK_ALL);
}

static void on_deadline(struct ev_loop *l, ev_timer *timer, int revents)
{
	(void)timer;
	(void)revents;
	ev_break(l, EVBREAK_ALL);
}

static void wait_done(void)
{
	ev_timer deadline;

	ev_timer_init(&deadline, on_deadline, 30, 0);
	ev_timer_start(loop, &deadline);
	ev_run(loop, 0);
	ev_timer_stop(loop, &deadline);
	assert_int_equal(got.done, 1);
}

static struct script_unit *hand_over(const char *text, int64_t timeout_ms)
{
	struct script_spec spec = { "17", -1, timeout_ms };
	struct script_unit *unit = NULL;
	struct err err = { "" };

	memset(&got, 0, sizeof(got));
	assert_int_equal(script_open_text(text, strlen(text), &spec.text_fd, &err), 0);
	assert_int_equal(script_unit_start(loop, path, &spec, on_done, &got, &unit, &err), 0);
	close(spec.text_fd);
	return unit;
}

static void test_a_script_comes_back(void **state)
{
	(void)state;
	start_unit();
	hand_over("echo job $JAGA_JOB; cat; echo err >&2; exit 7\n", 10000);
	wait_done();
	assert_int_equal(got.result.exit_status, 7);
	assert_string_equal(got.output, "job 17\nerr\n");
	assert_string_equal(got.reason, "");
	assert_false(got.result.output_truncated || got.result.is_interrupted);
	assert_int_equal(wait_unit(), EXIT_OK);
}

static void test_the_largest_output_fits_one_message(void **state)
{
	(void)state;
	start_unit();
	hand_over("head -c 65536 /dev/zero | tr '\\0' x\n", 10000);
	wait_done();
	assert_int_equal(got.result.output_length, LIMIT_OUTPUT_BYTES);
	assert_false(got.result.output_truncated);
	assert_int_equal(wait_unit(), EXIT_OK);
	start_unit();
	hand_over("head -c 65537 /dev/zero | tr '\\0' x\n", 10000);
	wait_done();
	assert_int_equal(got.result.output_length, LIMIT_OUTPUT_BYTES);
	assert_true(got.result.output_truncated);
	assert_int_equal(wait_unit(), EXIT_OK);
}

static void test_the_time_limit_is_the_units(void **state)
{
	(void)state;
	start_unit();
	hand_over("echo begun; exec tail -f /dev/null\n", 200);
	wait_done();
	assert_int_equal(got.result.exit_status, 128 + SIGTERM);
	assert_string_equal(got.reason, "ended after its time-out");
	assert_string_equal(got.output, "begun\n");
	assert_int_equal(wait_unit(), EXIT_OK);
}

static void test_a_unit_that_dies_leaves_nothing_known(void **state)
{
	(void)state;
	start_unit();
	hand_over("kill -9 $PPID; exec tail -f /dev/null\n", 10000);
	wait_done();
	assert_int_equal(got.result.exit_status, -1);
	assert_true(got.result.is_interrupted);
	assert_non_null(strstr(got.reason, "without a result"));
	assert_int_equal(wait_unit(), -SIGKILL);
}

static void test_stopping_the_unit_ends_the_script(void **state)
{
	(void)state;
	start_unit();
	hand_over("kill $PPID; exec tail -f /dev/null\n", 10000);
	wait_done();
	assert_true(got.result.is_interrupted);
	assert_non_null(strstr(got.reason, "its unit was stopped"));
	assert_int_equal(wait_unit(), EXIT_OK);
}

static void test_an_agent_that_lets_go_stops_nothing(void **state)
{
	char text[256];

	(void)state;
	start_unit();
	snprintf(text, sizeof(text), "head -c 300000 /dev/zero; touch %s\n", ran);
	script_unit_abandon(hand_over(text, 10000));
	assert_int_equal(wait_unit(), EXIT_OK);
	assert_int_equal(access(ran, F_OK), 0);
	assert_int_equal(got.done, 0);
}

static void test_nobody_listens(void **state)
{
	struct script_spec spec = { "17", -1, 1000 };
	struct script_unit *unit = NULL;
	struct err err = { "" };

	(void)state;
	unlink(path);
	assert_int_equal(script_open_text("true\n", 5, &spec.text_fd, &err), 0);
	assert_int_equal(script_unit_start(loop, path, &spec, on_done, &got, &unit, &err), -ENOENT);
	assert_non_null(strstr(err.text, "jaga-script.socket"));
	assert_null(unit);
	close(spec.text_fd);
}

/* --- what root's file says ----------------------------------------------------------------------------- */

static void expect_refusal(const char *words)
{
	char text[128];

	start_unit();
	snprintf(text, sizeof(text), "touch %s\n", ran);
	hand_over(text, 10000);
	wait_done();
	assert_int_equal(got.result.exit_status, -1);
	assert_false(got.result.is_interrupted);
	assert_non_null(strstr(got.reason, words));
	assert_int_equal(wait_unit(), EXIT_FAILED);
	assert_int_equal(access(ran, F_OK), -1);
}

static void test_the_file_decides(void **state)
{
	(void)state;
	write_conf("off");
	expect_refusal("scripts = off");
	write_conf("perhaps");
	expect_refusal("is wrong");
	write_conf("unsigned");
	assert_int_equal(chmod(conf, 0664), 0);
	expect_refusal("can be changed by others");
	assert_int_equal(chmod(conf, 0644), 0);
	assert_int_equal(chown(conf, 1, 0), 0);
	expect_refusal("can be changed by others");
	assert_int_equal(chown(conf, 0, 0), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	expect_refusal("can be changed by others");
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(unlink(conf), 0);
	expect_refusal("No such file");
}

/* Root's file in a folder of somebody else, who could put another one there between our look and our reading. */
static void test_a_link_to_where_others_write(void **state)
{
	char folder[sizeof(dir) + 16], target[sizeof(folder) + 16];

	(void)state;
	snprintf(folder, sizeof(folder), "%s/theirs", dir);
	snprintf(target, sizeof(target), "%s/conf", folder);
	write_conf("unsigned");
	assert_int_equal(mkdir(folder, 0755), 0);
	assert_int_equal(rename(conf, target), 0);
	assert_int_equal(symlink(target, conf), 0);
	assert_int_equal(chown(folder, 1, 0), 0);
	expect_refusal("can be changed by others");
	assert_int_equal(unlink(conf), 0);
	assert_int_equal(unlink(target), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* --- hostile agents -------------------------------------------------------------------------------------- */

static struct script_unit_request good_request(void)
{
	struct script_unit_request request;

	memset(&request, 0, sizeof(request));
	request.version = SCRIPT_UNIT_VERSION;
	request.timeout_ms = 1000;
	memcpy(request.job_id, "17", 3);
	return request;
}

/* Sends these bytes with n_fds copies of fd; the unit's exit status, its reason in got.reason. */
static int send_bytes(const void *bytes, size_t length, int fd, size_t n_fds)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec part = { (void *)bytes, length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct script_unit_answer answer = { .version = 0 };
	int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	start_unit();
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(connection, (struct sockaddr *)&address, sizeof(address)), 0);
	if (n_fds > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(n_fds * sizeof(int)) };
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(connection, &message, 0), (ssize_t)length);
	shutdown(connection, SHUT_WR);
	assert_int_equal(recv(connection, &answer, sizeof(answer), 0), (ssize_t)sizeof(answer));
	assert_int_equal(answer.exit_status, -1);
	snprintf(got.reason, sizeof(got.reason), "%s", answer.reason);
	close(connection);
	return wait_unit();
}

static void test_hostile_requests_run_nothing(void **state)
{
	struct script_unit_request request = good_request();
	char bytes[sizeof(request) + 1] = "", text[128];
	int fd, empty, pipes[2], huge;

	(void)state;
	snprintf(text, sizeof(text), "touch %s\n", ran);
	assert_int_equal(script_open_text(text, strlen(text), &fd, NULL), 0);
	assert_int_equal(script_open_text("", 0, &empty, NULL), 0);
	assert_int_equal(script_open_text("x", 1, &huge, NULL), 0);
	assert_int_equal(ftruncate(huge, LIMIT_JOB_BYTES + 1), 0);
	assert_int_equal(pipe(pipes), 0);

	assert_int_equal(send_bytes(&request, sizeof(request), -1, 0), EXIT_FAILED);
	assert_non_null(strstr(got.reason, "brings no script"));
	assert_int_equal(send_bytes(&request, sizeof(request), fd, 2), EXIT_FAILED);
	assert_int_equal(send_bytes(&request, 1, fd, 1), EXIT_FAILED);
	assert_non_null(strstr(got.reason, "another version"));
	assert_int_equal(send_bytes(bytes, sizeof(bytes), fd, 1), EXIT_FAILED);
	assert_int_equal(send_bytes(&request, sizeof(request), empty, 1), EXIT_FAILED);
	assert_non_null(strstr(got.reason, "no file of 1 to"));
	assert_int_equal(send_bytes(&request, sizeof(request), huge, 1), EXIT_FAILED);
	assert_int_equal(send_bytes(&request, sizeof(request), pipes[0], 1), EXIT_FAILED);
	request.version++;
	assert_int_equal(send_bytes(&request, sizeof(request), fd, 1), EXIT_FAILED);
	request = good_request();
	request.timeout_ms = LIMIT_SCRIPT_MS + 1;
	assert_int_equal(send_bytes(&request, sizeof(request), fd, 1), EXIT_FAILED);
	request.timeout_ms = 0;
	assert_int_equal(send_bytes(&request, sizeof(request), fd, 1), EXIT_FAILED);
	request = good_request();
	memset(request.job_id, 'x', sizeof(request.job_id)); /* no end */
	request.job_id[0] = '/';
	assert_int_equal(send_bytes(&request, sizeof(request), fd, 1), EXIT_FAILED);
	assert_int_equal(access(ran, F_OK), -1);
	close(fd);
	close(empty);
	close(huge);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_a_descriptor_that_is_no_socket(void **state)
{
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(script_serve(conf, pipes[0]), EXIT_USAGE);
	close(pipes[0]);
	close(pipes[1]);
}

/* --- a hostile unit, which would be root's: still no reason to crash ------------------------------------------ */

static void test_hostile_answers(void **state)
{
	static struct {
		struct script_unit_answer head;
		char output[LIMIT_OUTPUT_BYTES + 1];
	} answer;
	static const struct {
		size_t length;
		uint32_t version;
	} cases[] = { { sizeof(answer.head) - 1, SCRIPT_UNIT_VERSION }, { sizeof(answer.head), SCRIPT_UNIT_VERSION + 1 },
		      { sizeof(answer), SCRIPT_UNIT_VERSION } };
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), connection;

		unlink(path);
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(listen(fd, 1), 0);
		hand_over("true\n", 1000);
		connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		memset(&answer, 'x', sizeof(answer));
		answer.head.version = cases[i].version;
		answer.head.output_truncated = answer.head.is_interrupted = false;
		assert_int_equal(send(connection, &answer, cases[i].length, 0), (ssize_t)cases[i].length);
		wait_done();
		assert_true(got.result.is_interrupted);
		assert_non_null(strstr(got.reason, "another version"));
		close(connection);
		close(fd);
	}
}

/* --- frame --------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/jaga-script-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(conf, sizeof(conf), "%s/agent.conf", dir);
	snprintf(path, sizeof(path), "%s/script.sock", dir);
	snprintf(ran, sizeof(ran), "%s/ran", dir);
	write_conf("unsigned");
	loop = ev_default_loop(EVFLAG_NOENV);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(conf);
	unlink(path);
	unlink(ran);
	return rmdir(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_script_comes_back),
		TEST(test_the_largest_output_fits_one_message),
		TEST(test_the_time_limit_is_the_units),
		TEST(test_a_unit_that_dies_leaves_nothing_known),
		TEST(test_stopping_the_unit_ends_the_script),
		TEST(test_an_agent_that_lets_go_stops_nothing),
		TEST(test_nobody_listens),
		TEST(test_the_file_decides),
		TEST(test_a_link_to_where_others_write),
		TEST(test_hostile_requests_run_nothing),
		TEST(test_a_descriptor_that_is_no_socket),
		TEST(test_hostile_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
