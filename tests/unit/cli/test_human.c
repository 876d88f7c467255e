/* human: the same number always reads the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "collector/cli/human.h"

#define S 1000
#define MIN (60 * (int64_t)S)
#define H (60 * MIN)
#define D (24 * H)
#define NOON INT64_C(1763640202000) /* 2025-11-20 12:03:22 UTC */

static char memory[64];
static struct buf buf;

static void test_durations(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{ 0, "0.0 ms" }, { 412, "0.4 ms" }, { 9900, "9.9 ms" }, { 9949, "9.9 ms" }, { 9950, "10 ms" },
		{ 612345, "612 ms" }, { 1300000, "1.3 s" }, { 9999000, "9.9 s" }, { 10000000, "10 s" },
		{ 119 * 1000000, "119 s" }, { 12 * 60 * (int64_t)1000000, "12 min" },
		{ (3 * 60 + 5) * 60 * (int64_t)1000000, "3 h 5 min" }, { 3 * 3600 * (int64_t)1000000, "3 h" },
		{ 52 * 3600 * (int64_t)1000000, "2 d 4 h" }, { -1, "?" }, { INT64_MAX, "106751991 d 4 h" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&buf, memory, sizeof(memory));
		human_duration_us(&buf, cases[i].us);
		assert_string_equal(memory, cases[i].text);
	}
	buf_clear(&buf);
	human_duration_ms(&buf, INT64_MAX);
	assert_string_equal(memory, "106751991 d 4 h");
}

static void test_ages(void **state)
{
	static const struct {
		int64_t age_ms;
		const char *text;
	} cases[] = {
		{ -5 * D, "now" }, { 0, "now" }, { 999, "now" }, { 40 * S, "40s ago" }, { 60 * S, "1m ago" },
		{ 3 * MIN, "3m ago" }, { 59 * MIN + 59 * S, "59m ago" }, { H, "1h ago" }, { 47 * H, "47h ago" },
		{ 2 * D, "2d ago" }, { 400 * D, "400d ago" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&buf, memory, sizeof(memory));
		human_age(&buf, NOON - cases[i].age_ms, NOON);
		assert_string_equal(memory, cases[i].text);
	}
}

static void test_times(void **state)
{
	(void)state;
	buf_init(&buf, memory, sizeof(memory));
	human_time(&buf, NOON);
	assert_string_equal(memory, "2025-11-20 12:03:22");
	buf_clear(&buf);
	human_clock(&buf, NOON, NOON + 19 * H);
	assert_string_equal(memory, "12:03:22");
	buf_clear(&buf);
	human_clock(&buf, NOON, NOON + 21 * H);
	assert_string_equal(memory, "2025-11-20 12:03:22");
	buf_clear(&buf);
	human_since(&buf, NOON, NOON + 12 * MIN + 40 * S);
	assert_string_equal(memory, "since 12:03:22 (12 min)");
	buf_clear(&buf);
	human_since(&buf, NOON, NOON + 2500);
	assert_string_equal(memory, "since 12:03:22 (2 s)");
	buf_clear(&buf);
	human_since(&buf, NOON + S, NOON); /* its clock is ahead */
	assert_string_equal(memory, "since 12:03:23 (0 s)");
	buf_clear(&buf);
	human_time(&buf, INT64_MAX); /* a hostile year */
	assert_string_equal(memory, "292278994-08-17 07:12:55");
}

static void test_bytes(void **state)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" }, { 999, "999 B" }, { 1000, "1.0 kB" }, { 1500, "1.5 kB" }, { 9950, "10 kB" }, { 48123, "48 kB" },
		{ 999499, "999 kB" }, { 999500, "1.0 MB" }, { 12345678901, "12 GB" }, { INT64_MAX, "9.2 EB" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&buf, memory, sizeof(memory));
		human_bytes(&buf, cases[i].bytes);
		assert_string_equal(memory, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bytes),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
