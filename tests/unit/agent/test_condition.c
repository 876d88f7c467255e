/* condition: told when it begins, when its reason changes and when it ends, and never in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/condition.h"

static struct {
	unsigned told;
	enum log_level level;
	char subsystem[16], text[256];
	enum notice_span span;
} heard;

static void tell(void *arg, enum log_level level, const char *subsystem, const char *text, enum notice_span span)
{
	assert_ptr_equal(arg, &heard);
	heard.told++;
	heard.level = level;
	heard.span = span;
	strncpy(heard.subsystem, subsystem, sizeof(heard.subsystem) - 1);
	strncpy(heard.text, text, sizeof(heard.text) - 1);
}

static void test_told_once(void **state)
{
	struct conditions conditions;

	(void)state;
	memset(&heard, 0, sizeof(heard));
	conditions_init(&conditions, tell, &heard);
	condition_clear(&conditions, CONDITION_KEY, "the key is there");
	assert_int_equal(heard.told, 0);
	for (int i = 0; i < 3; i++)
		condition_set(&conditions, CONDITION_KEY, LOG_LEVEL_ERROR, "no key: %s", "no such file");
	assert_int_equal(heard.told, 1);
	assert_int_equal(heard.level, LOG_LEVEL_ERROR);
	assert_string_equal(heard.subsystem, "key");
	assert_string_equal(heard.text, "no key: no such file");
	assert_true(condition_is_set(&conditions, CONDITION_KEY));
	assert_false(condition_is_set(&conditions, CONDITION_STATE));
	condition_set(&conditions, CONDITION_KEY, LOG_LEVEL_ERROR, "no key: %s", "too open");
	assert_int_equal(heard.told, 2);
	assert_int_equal(heard.span, NOTICE_BEGINS);
	conditions_repeat(&conditions);
	assert_int_equal(heard.told, 3);
	assert_string_equal(heard.text, "no key: too open");
	for (int i = 0; i < 2; i++)
		condition_clear(&conditions, CONDITION_KEY, "the key is there");
	conditions_repeat(&conditions);
	assert_int_equal(heard.told, 4);
	assert_int_equal(heard.span, NOTICE_ENDS);
	assert_int_equal(heard.level, LOG_LEVEL_INFO);
	assert_string_equal(heard.text, "the key is there");
	assert_false(condition_is_set(&conditions, CONDITION_KEY));
}

static void test_all_that_last(void **state)
{
	char memory[N_CONDITIONS * CONDITION_TEXT + 16], longer[2 * CONDITION_TEXT];
	struct conditions conditions;
	struct buf buf;

	(void)state;
	conditions_init(&conditions, tell, &heard);
	buf_init(&buf, memory, sizeof(memory));
	conditions_put(&conditions, &buf);
	assert_string_equal(buf.data, "");
	condition_set(&conditions, CONDITION_RANDOM, LOG_LEVEL_WARNING, "b");
	condition_set(&conditions, CONDITION_STATE, LOG_LEVEL_WARNING, "a");
	conditions_put(&conditions, &buf);
	assert_string_equal(buf.data, "a; b");
	buf_clear(&buf);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (unsigned i = 0; i < N_CONDITIONS; i++)
		condition_set(&conditions, i, LOG_LEVEL_WARNING, "%s", longer);
	conditions_put(&conditions, &buf);
	assert_false(buf.failed);
	assert_int_equal(strlen(buf.data), N_CONDITIONS * (CONDITION_TEXT - 1) + 2 * (N_CONDITIONS - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told_once),
		cmocka_unit_test(test_all_that_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
