/* client: answers of every kind, whole, in pieces and broken, from a socket of our own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/cli/client.h"

static char directory[] = "/tmp/jaga-test-client-XXXXXX";
static char path[64];
static int listener = -1;

static int setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/sock", directory);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	rmdir(directory);
	return 0;
}

/* A child accepts one connection, reads the request line, and sends the pieces; silent: then it waits to be left. */
static pid_t serve(const char *const *pieces, bool is_silent)
{
	pid_t child = fork();
	char c;

	assert_true(child >= 0);
	if (child == 0) {
		int fd = accept(listener, NULL, NULL);

		while (read(fd, &c, 1) == 1 && c != '\n')
			;
		for (; *pieces; pieces++)
			if (send(fd, *pieces, strlen(*pieces), MSG_NOSIGNAL) < 0)
				_exit(1);
		while (is_silent && read(fd, &c, 1) == 1)
			;
		_exit(0);
	}
	return child;
}

static size_t n_seen;
static int row_result;

static int count_row(void *arg, json_t *row)
{
	(void)arg;
	assert_true(json_is_object(row));
	n_seen++;
	return row_result;
}

static int call(const char *const *pieces, bool is_silent, int silence_ms, struct failure *failure)
{
	pid_t child = serve(pieces, is_silent);
	json_t *request = json_pack("{s:s}", "op", "devices");
	int r, status;

	n_seen = 0;
	memset(failure, 0, sizeof(*failure));
	r = client_call(path, request, silence_ms, count_row, NULL, failure);
	json_decref(request);
	assert_int_equal(waitpid(child, &status, 0), child);
	return r;
}

static void test_rows(void **state)
{
	struct failure failure;

	(void)state;
	assert_int_equal(call((const char *const[]){ "{\"a\":1}\n{\"a\":2}\n{\"done\":true}\n", NULL }, false, 5000, &failure), 0);
	assert_int_equal(n_seen, 2);
	assert_int_equal(call((const char *const[]){ "{\"a\"", ":1}", "\n{\"done\":tr", "ue}\n", NULL }, false, 5000, &failure), 0);
	assert_int_equal(n_seen, 1);
	assert_int_equal(call((const char *const[]){ "{\"done\":true}\n", NULL }, false, 5000, &failure), 0);
	assert_int_equal(n_seen, 0);
}

static void test_row_ends_it(void **state)
{
	struct failure failure;

	(void)state;
	row_result = CLIENT_STOP;
	assert_int_equal(call((const char *const[]){ "{\"a\":1}\n{\"a\":2}\n", NULL }, true, CLIENT_FOREVER, &failure), 0);
	assert_int_equal(n_seen, 1);
	row_result = -ENOSPC;
	assert_int_equal(call((const char *const[]){ "{\"a\":1}\n{\"a\":2}\n", NULL }, true, 5000, &failure), -ENOSPC);
	row_result = 0;
}

static void test_errors_of_the_collector(void **state)
{
	static const struct {
		const char *answer;
		int code;
		const char *what, *next;
	} cases[] = {
		{ "{\"error\":\"no device\",\"code\":\"not-found\",\"hint\":\"look\"}\n", -ENOENT, "no device", "look" },
		{ "{\"error\":\"x\",\"code\":\"bad-request\"}\n", -EINVAL, "x", "" },
		{ "{\"error\":\"x\",\"code\":\"busy\"}\n", -EBUSY, "x", "" },
		{ "{\"error\":\"x\",\"code\":\"exists\"}\n", -EEXIST, "x", "" },
		{ "{\"error\":\"x\",\"code\":\"failed\"}\n", -EIO, "x", "" },
		{ "{\"error\":\"x\",\"code\":7}\n", -EIO, "x", "" },
		{ "{\"a\":1}\n{\"error\":\"later\"}\n", -EIO, "later", "" },
	};
	struct failure failure;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(call((const char *const[]){ cases[i].answer, NULL }, false, 5000, &failure), cases[i].code);
		assert_string_equal(failure.what, cases[i].what);
		assert_string_equal(failure.next, cases[i].next);
	}
}

static void test_nonsense(void **state)
{
	static const char *const answers[] = { "hello\n", "[]\n", "3\n", "\n", "{\"a\":\n", "\xff\xfe\n", "{\"a\":\"\xff\"}\n" };
	struct failure failure;

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		assert_int_equal(call((const char *const[]){ answers[i], NULL }, false, 5000, &failure), -EPROTO);
		assert_int_equal(n_seen, 0);
	}
}

static void test_gone_and_silent(void **state)
{
	struct failure failure;

	(void)state;
	assert_int_equal(call((const char *const[]){ "{\"a\":1}\n{\"a\"", NULL }, false, 5000, &failure), -ECONNREFUSED);
	assert_int_equal(n_seen, 1);
	assert_non_null(strstr(failure.next, "systemctl status jaga-collector"));
	assert_int_equal(call((const char *const[]){ "{\"a\":1}\n", NULL }, true, 50, &failure), -ETIMEDOUT);
	assert_int_equal(n_seen, 1);
}

static void test_one_row(void **state)
{
	json_t *request = json_pack("{s:s}", "op", "show");
	struct failure failure;
	json_t *row = NULL;
	pid_t child;

	(void)state;
	child = serve((const char *const[]){ "{\"a\":1}\n{\"done\":true}\n", NULL }, false);
	assert_int_equal(client_call_one(path, request, 5000, &row, &failure), 0);
	assert_int_equal(json_integer_value(json_object_get(row, "a")), 1);
	json_decref(row);
	waitpid(child, NULL, 0);
	row = NULL;
	child = serve((const char *const[]){ "{\"done\":true}\n", NULL }, false);
	assert_int_equal(client_call_one(path, request, 5000, &row, &failure), -EPROTO);
	assert_null(row);
	waitpid(child, NULL, 0);
	json_decref(request);
}

static void test_large_row(void **state)
{
	size_t length = 3 * 1024 * 1024;
	char *text = malloc(length + 64);
	struct failure failure;

	(void)state;
	assert_non_null(text);
	strcpy(text, "{\"text\":\"");
	memset(text + 9, 'x', length);
	strcpy(text + 9 + length, "\"}\n{\"done\":true}\n");
	assert_int_equal(call((const char *const[]){ text, NULL }, false, 5000, &failure), 0);
	assert_int_equal(n_seen, 1);
	free(text);
}

static void test_endless_row(void **state)
{
	size_t length = 20 * 1024 * 1024;
	char *text = malloc(length + 1);
	struct failure failure;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', length);
	text[length] = '\0';
	assert_int_equal(call((const char *const[]){ text, NULL }, false, 5000, &failure), -EPROTO);
	assert_int_equal(n_seen, 0);
	free(text);
}

static void test_no_collector(void **state)
{
	json_t *request = json_pack("{s:s}", "op", "devices");
	struct failure failure;
	char long_path[200];

	(void)state;
	assert_int_equal(client_call("/nonexistent/sock", request, 50, count_row, NULL, &failure), -ECONNREFUSED);
	assert_non_null(strstr(failure.next, "/nonexistent/sock"));
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(client_call(long_path, request, 50, count_row, NULL, &failure), -EINVAL);
	json_decref(request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_row_ends_it),
		cmocka_unit_test(test_errors_of_the_collector),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_gone_and_silent),
		cmocka_unit_test(test_one_row),
		cmocka_unit_test(test_large_row),
		cmocka_unit_test(test_endless_row),
		cmocka_unit_test(test_no_collector),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
