/* ros_script: strings that mean what they say, and outputs of scripts that went well, ill, or lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/router/ros_script.h"

static void test_quoted(void **state)
{
	char space[64];
	struct buf out;

	(void)state;
	buf_init(&out, space, sizeof(space));
	ros_put_quoted(&out, "a \"b\" $c \\ \r\n\t\0\x1b\x7f\xc3\xa9", 19);
	assert_false(out.failed);
	assert_string_equal(space, "\"a \\\"b\\\" \\$c \\\\ \\r\\n\\t\\00\\1B\\7F\xc3\xa9\"");
	buf_init(&out, space, 8);
	ros_put_quoted(&out, "12345678", 8);
	assert_true(out.failed);
}

static void test_verdicts(void **state)
{
	static const struct {
		const char *output;
		bool is_complete;
		size_t output_length;
		uint32_t line, column;
		const char *reason;
	} rows[] = {
		{ "hello\r\njaga-7f\r\n", true, 7, 0, 0, "" },
		{ "jaga-7f", true, 0, 0, 0, "" },
		{ "", false, 0, 0, 0, "" },
		{ "hello\n", false, 6, 0, 0, "hello" },
		{ "jaga-7f\nfailure: already have such address (/ip/address/add; line 12)\n", false, 70, 12, 0,
		  "failure: already have such address (/ip/address/add; line 12)" },
		{ "expected end of command (line 660 column 82)", false, 44, 660, 82, "expected end of command (line 660 column 82)" },
		{ "disk is missing (:error; line 3)\r\n", false, 34, 3, 0, "disk is missing (:error; line 3)" },
		{ "no such item", false, 12, 0, 0, "no such item" },
		/* lines that only look like it */
		{ "jaga-7f0", false, 8, 0, 0, "jaga-7f0" },
		{ "my jaga-7f", false, 10, 0, 0, "my jaga-7f" },
		{ "line 5)", false, 7, 0, 0, "line 5)" },
		{ "(online 5)", false, 10, 0, 0, "(online 5)" },
		{ "(line 99999999999)", false, 18, 0, 0, "(line 99999999999)" },
		{ "(line )", false, 7, 0, 0, "(line )" },
		{ "(line", false, 5, 0, 0, "(line" },
		{ ")", false, 1, 0, 0, ")" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t length = strlen(rows[i].output);
		struct ros_verdict verdict;

		ros_script_judge(rows[i].output, length, "jaga-7f", &verdict);
		assert_int_equal(verdict.is_complete, rows[i].is_complete);
		assert_int_equal(verdict.output_length, rows[i].output_length);
		assert_int_equal(verdict.line, rows[i].line);
		assert_int_equal(verdict.column, rows[i].column);
		assert_int_equal(verdict.reason_length, strlen(rows[i].reason));
		if (verdict.reason_length > 0)
			assert_memory_equal(verdict.reason, rows[i].reason, verdict.reason_length);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
