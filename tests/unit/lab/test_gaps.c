/* gaps: the ruler of every figure of an outage, measured against cases that can be counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lab/gaps.h"

#define MS 1000
#define TICK (10 * MS)
#define TIMEOUT (250 * MS)

static void test_ticks_that_succeed(void **state)
{
	struct gaps gaps;

	(void)state;
	gaps_init(&gaps, 0);
	for (int i = 1; i <= 1000; i++)
		gaps_judge(&gaps, gaps_start(&gaps, i * TICK), SUCCEEDED);
	assert_int_equal(gaps_longest_us(&gaps, 1000 * TICK, TIMEOUT), TICK);
	assert_int_equal(gaps.ok, 1000);
	assert_int_equal(gaps.failed, 0);
}

static void test_outage(void **state)
{
	struct gaps gaps;

	(void)state;
	gaps_init(&gaps, 0);
	gaps_judge(&gaps, gaps_start(&gaps, 10 * MS), SUCCEEDED);
	for (int i = 2; i <= 10; i++)
		gaps_judge(&gaps, gaps_start(&gaps, i * TICK), FAILED);
	assert_int_equal(gaps_longest_us(&gaps, 100 * MS, TIMEOUT), 10 * MS); /* may still be none */
	assert_int_equal(gaps_longest_us(&gaps, 400 * MS, TIMEOUT), 390 * MS);
	gaps_judge(&gaps, gaps_start(&gaps, 500 * MS), SUCCEEDED);
	assert_int_equal(gaps_longest_us(&gaps, 500 * MS, TIMEOUT), 490 * MS);
	gaps_reset(&gaps);
	gaps_judge(&gaps, gaps_start(&gaps, 510 * MS), SUCCEEDED);
	assert_int_equal(gaps_longest_us(&gaps, 510 * MS, TIMEOUT), 10 * MS);
	assert_int_equal(gaps.failed, 0);
}

/* Answers come in any order; what counts is when their ticks started. */
static void test_late_success_does_not_shorten_a_gap(void **state)
{
	struct gaps gaps;
	uint32_t first, second, third;

	(void)state;
	gaps_init(&gaps, 0);
	first = gaps_start(&gaps, 100 * MS);
	second = gaps_start(&gaps, 110 * MS);
	third = gaps_start(&gaps, 120 * MS);
	gaps_judge(&gaps, third, SUCCEEDED);
	assert_int_equal(gaps.ok, 0);
	assert_int_equal(gaps.newest_us, 120 * MS);
	gaps_judge(&gaps, first, FAILED);
	assert_int_equal(gaps.failed, 1);
	gaps_judge(&gaps, second, SUCCEEDED);
	assert_int_equal(gaps.ok, 2);
	assert_int_equal(gaps.gap_us, 110 * MS);
	assert_int_equal(gaps.last_us, 120 * MS);
}

static void test_late_ticks(void **state)
{
	struct gaps gaps;
	uint32_t number, late = 99;

	(void)state;
	gaps_init(&gaps, 0);
	gaps.oldest = gaps.next = UINT32_MAX; /* numbers wrap */
	number = gaps_start(&gaps, 10 * MS);
	gaps_start(&gaps, 20 * MS);
	assert_true(gaps_is_pending(&gaps, number));
	assert_false(gaps_is_pending(&gaps, number - 1));
	assert_false(gaps_is_pending(&gaps, number + 2));
	assert_int_equal(gaps_age_us(&gaps, number, 25 * MS), 15 * MS);
	assert_false(gaps_find_late(&gaps, 10 * MS + TIMEOUT - 1, TIMEOUT, &late));
	assert_true(gaps_find_late(&gaps, 10 * MS + TIMEOUT, TIMEOUT, &late));
	assert_int_equal(late, number);
	gaps_judge(&gaps, late, FAILED);
	assert_false(gaps_is_pending(&gaps, number));
	assert_false(gaps_find_late(&gaps, 10 * MS + TIMEOUT, TIMEOUT, &late));
	assert_true(gaps_find_late(&gaps, 20 * MS + TIMEOUT, TIMEOUT, &late));
	assert_int_equal(late, number + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ticks_that_succeed),
		cmocka_unit_test(test_outage),
		cmocka_unit_test(test_late_success_does_not_shorten_a_gap),
		cmocka_unit_test(test_late_ticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
