/* err and log: texts are cut, never overrun; remote-triggered lines are limited and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"

static void test_err_is_cut_and_prefixed(void **state)
{
	static char text[2 * LIMIT_ERR_TEXT];
	struct err err = { "" };

	(void)state;
	assert_int_equal(err_set(&err, -EINVAL, "field %d", 3), -EINVAL);
	err_prefix(&err, "file %s: ", "x");
	assert_string_equal(err.text, "file x: field 3");
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(err_set(&err, -EIO, "%s", text), -EIO);
	assert_int_equal(strlen(err.text), LIMIT_ERR_TEXT - 1);
	err_prefix(&err, "head ");
	assert_int_equal(strlen(err.text), LIMIT_ERR_TEXT - 1);
	assert_memory_equal(err.text, "head aaa", 8);
	assert_int_equal(err_sys(&err, -ENOENT, "open"), -ENOENT);
	assert_string_equal(err.text, "open: No such file or directory");
	assert_int_equal(err_set(NULL, -EPERM, "x"), -EPERM);
}

static void test_limit_counts_what_it_drops(void **state)
{
	struct log_limit limit = { .burst = 2 };
	unsigned suppressed = 9;

	(void)state;
	assert_true(log_limit_allows(&limit, 20000, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_true(log_limit_allows(&limit, 20001, &suppressed));
	assert_false(log_limit_allows(&limit, 20002, &suppressed));
	assert_false(log_limit_allows(&limit, 29999, &suppressed));
	assert_true(log_limit_allows(&limit, 30000, &suppressed));
	assert_int_equal(suppressed, 2);
}

/* One line a call, cut at LIMIT_LOG_LINE, levels filtered, sd-daemon prefix. */
static void test_lines_are_whole_and_bounded(void **state)
{
	static char text[2 * LIMIT_LOG_LINE], got[4 * LIMIT_LOG_LINE];
	int pipe_fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
	log_init(LOG_LEVEL_INFO, true);
	log_debug("test", "not written");
	log_warning("test", "a=%d", 1);
	log_info("test", "%s", text);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(pipe_fds[1]);
	n = read(pipe_fds[0], got, sizeof(got) - 1);
	assert_int_equal(n, (ssize_t)strlen("<4>test: a=1\n") + LIMIT_LOG_LINE);
	assert_memory_equal(got, "<4>test: a=1\n<6>test: xxx", 25);
	assert_int_equal(got[n - 1], '\n');
	close(pipe_fds[0]);
	close(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_is_cut_and_prefixed),
		cmocka_unit_test(test_limit_counts_what_it_drops),
		cmocka_unit_test(test_lines_are_whole_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
