/*
 * ros_row: flags and texts as either version writes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
