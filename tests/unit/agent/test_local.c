/* local: requests well-formed and hostile, slow and too many clients, answers at once and later. Real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/local.h"

static struct ev_loop *loop;
static char dir[] = "/tmp/test_local.XXXXXX";
static char path[96];
static struct local local;
static unsigned handled;

/* "echo WORD..." answers the words, "large" the largest answer, "wait" later, "fail" with a status. */
static void handle(void *arg, struct local_client *client, const struct local_request *request, struct buf *out)
{
	assert_ptr_equal(arg, &handled);
	handled++;
	if (strcmp(request->words[0], "wait") == 0) {
		local_wait(client, 30000);
		return;
	}
	for (unsigned i = 1; i < request->n_words; i++)
		buf_printf(out, "%s%s", request->words[i], i + 1 < request->n_words ? " " : "\n");
	if (strcmp(request->words[0], "large") == 0)
		while (out->length < LIMIT_LOCAL_ANSWER_BYTES - 1)
			buf_put(out, "x", 1);
	local_answer(client, strcmp(request->words[0], "fail") == 0 ? EXIT_FAILED : EXIT_OK, out->data, out->length);
}

static int set_up(void **state)
{
	struct err err = { "" };

	(void)state;
	handled = 0;
	assert_int_equal(local_open(&local, loop, path, handle, &handled, &err), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	local_close(&local);
	assert_int_equal(access(path, F_OK), -1);
	return 0;
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Runs the loop until the server has closed fd; what came before is in ret_text. */
static size_t read_answer(int fd, char *ret_text, size_t size)
{
	size_t length = 0;

	for (unsigned turns = 0; turns < 100000; turns++) {
		ssize_t n;

		ev_run(loop, EVRUN_NOWAIT);
		n = read(fd, ret_text + length, size - 1 - length);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			break;
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1);
			continue;
		}
		length += (size_t)n;
	}
	ret_text[length] = '\0';
	close(fd);
	return length;
}

static void check_exchange(const char *request, const char *answer)
{
	char text[1024];
	int fd = dial();

	say(fd, request);
	read_answer(fd, text, sizeof(text));
	assert_string_equal(text, answer);
}

static void test_requests(void **state)
{
	static const char malformed[] = "2\nthe request is not understood; client and agent may differ in version\n";
	static const struct {
		const char *request, *answer;
	} table[] = {
		{ "table echo a b\n", "0\na b\n" },  { "json echo\n", "0\n" },	 { "kv fail no\n", "1\nno\n" },
		{ "xml echo a\n", malformed },	     { "\n", malformed },	 { "table\n", malformed },
		{ "table \n", malformed },	     { "table  echo\n", malformed }, { "table echo \n", malformed },
		{ "table echo a b c d\n", malformed }, { "table echo \x01\n", malformed }, { "table echo \xc3\xa4\n", malformed },
		{ "table echo a\ntable echo b\n", "" }, /* one line a connection */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		check_exchange(table[i].request, table[i].answer);
}

static void test_a_line_in_pieces(void **state)
{
	char text[64];
	int fd = dial();

	(void)state;
	say(fd, "table ec");
	for (unsigned i = 0; i < 10; i++)
		ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(handled, 0);
	say(fd, "ho hi\n");
	read_answer(fd, text, sizeof(text));
	assert_string_equal(text, "0\nhi\n");
}

static void test_a_line_without_end(void **state)
{
	char long_line[LIMIT_REQUEST_BYTES + 1], text[64];
	int fd = dial();

	(void)state;
	memset(long_line, 'x', sizeof(long_line) - 1);
	long_line[sizeof(long_line) - 1] = '\0';
	say(fd, long_line);
	assert_int_equal(read_answer(fd, text, sizeof(text)), 0);
	assert_int_equal(handled, 0);
}

static void test_the_largest_answer_arrives_whole(void **state)
{
	static char text[LIMIT_LOCAL_ANSWER_BYTES + 64];
	int fd = dial();

	(void)state;
	say(fd, "table large\n");
	while (handled == 0) /* the client reads nothing until the server has let go of it */
		ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(read_answer(fd, text, sizeof(text)), 2 + LIMIT_LOCAL_ANSWER_BYTES - 1);
}

static void test_too_many_clients_wait(void **state)
{
	int idle[LIMIT_LOCAL_CLIENTS], fd;
	char text[64];

	(void)state;
	for (unsigned i = 0; i < LIMIT_LOCAL_CLIENTS; i++)
		idle[i] = dial();
	for (unsigned i = 0; i < 20; i++)
		ev_run(loop, EVRUN_NOWAIT);
	fd = dial();
	say(fd, "table echo me\n");
	for (unsigned i = 0; i < 20; i++)
		ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(handled, 0);
	close(idle[0]); /* one leaves without a word */
	read_answer(fd, text, sizeof(text));
	assert_string_equal(text, "0\nme\n");
	for (unsigned i = 1; i < LIMIT_LOCAL_CLIENTS; i++)
		close(idle[i]);
	for (unsigned i = 0; i < 20; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

/* Who waits in the listen queue wakes the loop as long as it looks there: it looks once a second. */
static void test_no_descriptor_for_a_client(void **state)
{
	struct rlimit before, none;
	char text[64];
	int fd = dial();
	double began;

	(void)state;
	say(fd, "table echo late\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (began = ev_time(); ev_time() < began + 0.2;)
		ev_run(loop, EVRUN_NOWAIT);
	assert_false(ev_is_active(&local.io));
	assert_true(ev_is_active(&local.accept_retry));
	assert_int_equal(local.accept_failures.used, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	read_answer(fd, text, sizeof(text));
	assert_string_equal(text, "0\nlate\n");
	assert_int_equal(handled, 1);
}

static void test_waiting_clients(void **state)
{
	int patient = dial(), gone = dial(), chatty = dial();
	char text[64];

	(void)state;
	say(patient, "json wait\n");
	say(gone, "json wait\n");
	say(chatty, "json wait\n");
	while (handled < 3)
		ev_run(loop, EVRUN_NOWAIT);
	close(gone);
	say(chatty, "more");
	assert_int_equal(read_answer(chatty, text, sizeof(text)), 0);
	local_answer_waiting(&local, EXIT_FAILED, "sorry\n", 6);
	read_answer(patient, text, sizeof(text));
	assert_string_equal(text, "1\nsorry\n");
	local_answer_waiting(&local, EXIT_OK, "", 0); /* nobody waits any more */
}

static void test_the_path_is_ours(void **state)
{
	struct local second = { .fd = -1 };
	struct stat info;
	struct err err;
	char long_path[200];

	(void)state;
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	memset(long_path, 'p', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(local_open(&second, loop, long_path, handle, NULL, &err), -ENAMETOOLONG);
	assert_int_equal(local_open(&second, loop, "/proc/nope/agent.sock", handle, NULL, &err), -ENOENT);
	local_close(&second);
}

/* The client's side, in a process of its own because it blocks. */
static void ask(const char *request, int expected, const char *output, const char *errors)
{
	char out_text[256] = "", err_text[256] = "";
	int status, pipes[2];
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		FILE *out = fmemopen(out_text, sizeof(out_text), "w"), *err = fmemopen(err_text, sizeof(err_text), "w");
		int r = local_ask(path, request, out, err);

		fclose(out);
		fclose(err);
		if (write(pipes[1], out_text, sizeof(out_text)) < 0 || write(pipes[1], err_text, sizeof(err_text)) < 0)
			r = 99;
		_exit(r);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(WEXITSTATUS(status), expected);
	assert_int_equal(read(pipes[0], out_text, sizeof(out_text)), sizeof(out_text));
	assert_int_equal(read(pipes[0], err_text, sizeof(err_text)), sizeof(err_text));
	assert_string_equal(out_text, output);
	assert_non_null(strstr(err_text, errors));
	close(pipes[0]);
	close(pipes[1]);
}

static void test_client(void **state)
{
	(void)state;
	ask("table echo a b\n", EXIT_OK, "a b\n", "");
	ask("table fail broken\n", EXIT_FAILED, "", "broken\n");
	ask("table echo a\ntable echo b\n", EXIT_FAILED, "", "no answer");
	local_close(&local);
	ask("table echo\n", EXIT_NOT_RUNNING, "", "no agent runs");
	set_up(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_requests),
		TEST(test_a_line_in_pieces),
		TEST(test_a_line_without_end),
		TEST(test_the_largest_answer_arrives_whole),
		TEST(test_too_many_clients_wait),
		TEST(test_no_descriptor_for_a_client),
		TEST(test_waiting_clients),
		TEST(test_the_path_is_ours),
		TEST(test_client),
	};
	int r;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/run/agent.sock", dir);
	loop = ev_loop_new(0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	ev_loop_destroy(loop);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	rmdir(dir);
	return r;
}
