/* clock: a wall clock that nothing has set, and steps of it, with the one that a test can step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/fake/wallclock.h"

#define DAY_S INT64_C(86400)

static void test_a_clock_that_is_not_set(void **state)
{
	int64_t now_s = clock_wall_ms() / 1000;

	(void)state;
	assert_true(clock_wall_is_set());
	wallclock_set_offset(-now_s); /* 1970 */
	assert_true(clock_wall_ms() < 10000);
	assert_false(clock_wall_is_set());
	wallclock_set_offset(-now_s - DAY_S); /* before: some boards start there */
	assert_false(clock_wall_is_set());
	wallclock_set_offset(20 * 365 * DAY_S); /* wrong, but who could know */
	assert_true(clock_wall_is_set());
	wallclock_set_offset(0);
}

static void test_steps(void **state)
{
	struct clock_watch watch = { 0 };
	int64_t mono_ms = clock_mono_ms(), step_ms;

	(void)state;
	assert_int_equal(clock_watch_step_ms(&watch, 60000), 0);
	assert_int_equal(clock_watch_step_ms(&watch, 60000), 0);
	wallclock_set_offset(7305 * DAY_S);
	step_ms = clock_watch_step_ms(&watch, 60000);
	assert_true(step_ms > 7305 * DAY_S * 1000 - 1000 && step_ms < 7305 * DAY_S * 1000 + 1000);
	assert_int_equal(clock_watch_step_ms(&watch, 60000), 0); /* told */
	wallclock_set_offset(7305 * DAY_S - 59);
	assert_int_equal(clock_watch_step_ms(&watch, 60000), 0);
	wallclock_set_offset(7305 * DAY_S - 61); /* small steps add up */
	step_ms = clock_watch_step_ms(&watch, 60000);
	assert_true(step_ms > -62000 && step_ms < -60000);
	wallclock_set_offset(0);
	assert_true(clock_watch_step_ms(&watch, 60000) < -7304 * DAY_S * 1000);
	assert_true(clock_mono_ms() - mono_ms < 10000); /* which no step touches */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_clock_that_is_not_set),
		cmocka_unit_test(test_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
