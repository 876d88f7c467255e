/* Learnt time-outs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/uplink/rtt.h"

#define MS INT64_C(1000)

static struct rtt learnt(int64_t rtt_us, unsigned n)
{
	struct rtt rtt;

	rtt_init(&rtt);
	for (unsigned i = 0; i < n; i++)
		rtt_learn(&rtt, rtt_us);
	return rtt;
}

static void test_never_answered(void **state)
{
	struct rtt rtt = learnt(0, 0);

	(void)state;
	assert_int_equal(rtt_p99_us(&rtt), 0);
	assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), 1000 * MS);
	assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 500 * MS), 500 * MS);
	assert_int_equal(rtt_timeout_us(&rtt, 1500 * MS, 3000 * MS), 1500 * MS);
}

/* A constant round trip of any length is found within its bin: never too short, 25 % too long at most. */
static void test_percentile_of_constants(void **state)
{
	(void)state;
	for (int64_t us = 8192; us < 4200000; us += us / 50) {
		struct rtt rtt = learnt(us, 50);
		uint32_t p99_us = rtt_p99_us(&rtt);

		assert_true(p99_us > us);
		assert_true(p99_us <= us + us / 4 + 1);
		assert_in_range(rtt.smoothed_us, us - 8, us);
	}
}

static void test_extremes(void **state)
{
	static const struct {
		int64_t rtt_us;
		uint32_t p99_us;
		int64_t timeout_us;
	} cases[] = {
		{ -5, 8192, 200 * MS }, /* a clock that went backwards */
		{ 0, 8192, 200 * MS },
		{ 8191, 8192, 200 * MS },
		{ 133 * MS, 163840, 245760 },
		{ INT64_C(5243000), 5242880, 3000 * MS },
		{ INT64_MAX, 5242880, 3000 * MS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rtt rtt = learnt(cases[i].rtt_us, 3);

		assert_int_equal(rtt_p99_us(&rtt), cases[i].p99_us);
		assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), cases[i].timeout_us);
	}
}

/* One outlier in a hundred raises the time-out for a second, not for good. */
static void test_outlier_fades(void **state)
{
	struct rtt rtt = learnt(5 * MS, 200);

	(void)state;
	rtt_learn(&rtt, 600 * MS);
	assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), 900 * MS);
	for (unsigned i = 0; i < 12; i++)
		rtt_learn(&rtt, 5 * MS);
	assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), 200 * MS);
}

/* The first answer waits for neighbour discovery: it is forgotten when the second and more have come. */
static void test_slow_first_answer(void **state)
{
	struct rtt rtt = learnt(400 * MS, 1);

	(void)state;
	assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), 688128); /* the bin's edge, and half of it */
	for (unsigned i = 0; i < 20; i++)
		rtt_learn(&rtt, 5 * MS);
	assert_int_equal(rtt_p99_us(&rtt), 8192);
	assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), 200 * MS);
	rtt_learn(&rtt, 400 * MS); /* twice: a habit */
	assert_true(rtt_p99_us(&rtt) > 400 * MS);
}

/* A line that is slow two times in a hundred keeps its long time-out, and loses it when that has ended. */
static void test_history_is_forgotten(void **state)
{
	struct rtt rtt = learnt(5 * MS, 0);

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		rtt_learn(&rtt, i % 50 == 0 ? 600 * MS : 5 * MS);
	for (unsigned i = 0; i < 50; i++)
		rtt_learn(&rtt, 5 * MS);
	assert_in_range(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), 900 * MS, 1200 * MS);
	for (unsigned i = 0; i < 2048; i++)
		rtt_learn(&rtt, 5 * MS);
	assert_int_equal(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS), 200 * MS);
	assert_true(rtt.total <= 1024);
}

/* Buffers fill: every round trip 30 ms longer than the one before. The time-out stays ahead. */
static void test_follows_a_filling_line(void **state)
{
	struct rtt rtt = learnt(20 * MS, 1000);

	(void)state;
	for (int64_t us = 20 * MS; us < 1900 * MS; us += 30 * MS) {
		if (us > 200 * MS)
			assert_true(rtt_timeout_us(&rtt, 200 * MS, 3000 * MS) > us);
		rtt_learn(&rtt, us);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_answered),
		cmocka_unit_test(test_percentile_of_constants),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_outlier_fades),
		cmocka_unit_test(test_slow_first_answer),
		cmocka_unit_test(test_history_is_forgotten),
		cmocka_unit_test(test_follows_a_filling_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
