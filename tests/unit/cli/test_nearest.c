/* nearest: edit distances known by heart, and what is offered for a typing error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/nearest.h"

static void test_distances(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned distance;
	} cases[] = {
		{ "", "", 0 }, { "", "abc", 3 }, { "abc", "abc", 0 }, { "abc", "ABC", 0 }, { "kitten", "sitting", 3 },
		{ "devcies", "devices", 1 }, { "ab", "ba", 1 }, { "ca", "abc", 3 }, { "flaw", "lawn", 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(nearest_distance(cases[i].a, cases[i].b), cases[i].distance);
		assert_int_equal(nearest_distance(cases[i].b, cases[i].a), cases[i].distance);
	}
}

static void test_finds(void **state)
{
	static const char *const names[] = { "devices", "diff", "events", "job", "jobs", "push", "rtr-berlin-1" };
	static const struct {
		const char *typed, *found;
	} cases[] = {
		{ "devcies", "devices" }, { "dif", "diff" }, { "jbo", "job" }, { "jobz", "job" }, { "even", "events" },
		{ "RTR-BERLIN-2", "rtr-berlin-1" }, { "rtr", "rtr-berlin-1" }, { "frobnicate", NULL }, { "x", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *found = nearest_find(cases[i].typed, names, sizeof(names) / sizeof(names[0]));

		if (cases[i].found)
			assert_string_equal(found, cases[i].found);
		else
			assert_null(found);
	}
	assert_null(nearest_find("devices", NULL, 0));
}

static void test_long_words(void **state)
{
	char word[1000];

	(void)state;
	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(nearest_distance(word, word), 0);
	assert_int_equal(nearest_distance(word, "b"), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distances),
		cmocka_unit_test(test_finds),
		cmocka_unit_test(test_long_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
