/*
 * ros_row: flags, texts, numbers and versions as either version writes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/router/ros_row.h"

static const struct ros_sentence row = { .reply = ROS_RE,
					 .count = 6,
					 .attributes = { { "seven", "true", 4 },
							 { "six", "yes", 3 },
							 { "off7", "false", 5 },
							 { "off6", "no", 2 },
							 { "empty", "", 0 },
							 { "name", "truely", 6 } } };

static void test_flags(void **state)
{
	static const struct {
		const char *key;
		bool is, is_not;
	} rows[] = {
		{ "seven", true, false }, { "six", true, false },	{ "off7", false, true },    { "off6", false, true },
		{ "empty", false, true }, { "name", false, true }, { "missing", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(ros_row_is(&row, rows[i].key), rows[i].is);
		assert_int_equal(ros_row_is_not(&row, rows[i].key), rows[i].is_not);
	}
}

static void test_texts(void **state)
{
	(void)state;
	assert_string_equal(ros_row_text(&row, "name"), "truely");
	assert_string_equal(ros_row_text(&row, "empty"), "");
	assert_string_equal(ros_row_text(&row, "missing"), "");
	assert_string_equal(ros_row_text(&row, "nam"), "");
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t number;
	} rows[] = {
		{ "0", 0 }, { "17", 17 }, { "18446744073709551615", UINT64_MAX }, { "18446744073709551616", 0 }, { "auto", 0 },
		{ "", 0 },  { "-1", 0 },  { "4.1KiB", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ros_sentence one = { .reply = ROS_RE, .count = 1,
						  .attributes = { { "size", rows[i].text, strlen(rows[i].text) } } };

		assert_true(ros_row_number(&one, "size") == rows[i].number);
		assert_true(ros_row_number(&one, "other") == 0);
	}
}

static void test_versions(void **state)
{
	static const struct {
		const char *text;
		unsigned major, minor;
	} rows[] = {
		{ "7.20.4 (stable)", 7, 20 }, { "6.49.8 (long-term)", 6, 49 }, { "7.8", 7, 8 }, { "7", 7, 0 }, { "7beta", 7, 0 },
		{ "7.rc1", 7, 0 }, { "", 1, 2 }, { "x7.8", 1, 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ros_sentence one = { .reply = ROS_RE, .count = 1,
						  .attributes = { { "version", rows[i].text, strlen(rows[i].text) } } };
		unsigned major = 1, minor = 2;

		assert_int_equal(ros_row_version(&one, &major, &minor), rows[i].major != 1);
		assert_true(major == rows[i].major && minor == rows[i].minor);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
