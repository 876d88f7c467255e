/* diff: unified hunks of the cases that diff(1) users know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/diff.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static void test_cases(void **state)
{
	static const struct {
		const char *old_text;
		size_t old_length;
		const char *new_text;
		size_t new_length;
		size_t n_added, n_removed;
		const char *patch; /* NULL: no difference */
	} cases[] = {
		{ TEXT(""), TEXT(""), 0, 0, NULL },
		{ TEXT("a\nb\n"), TEXT("a\nb\n"), 0, 0, NULL },
		{ TEXT("a\nb\nc\n"), TEXT("a\nx\nc\n"), 1, 1, "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n" },
		{ TEXT(""), TEXT("a\n"), 1, 0, "@@ -0,0 +1 @@\n+a\n" },
		{ TEXT("a\n"), TEXT(""), 0, 1, "@@ -1 +0,0 @@\n-a\n" },
		{ TEXT("a\nb"), TEXT("a\nb\n"), 1, 1, "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n" },
		{ TEXT("a\nb\n"), TEXT("a\nb"), 1, 1, "@@ -1,2 +1,2 @@\n a\n-b\n+b\n\\ No newline at end of file\n" },
		{ TEXT("a\0b\n"), TEXT("a\0c\n"), 1, 1, "@@ -1 +1 @@\n-a" }, /* no "binary files differ" */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct diff diff = { 0 };

		assert_int_equal(diff_make(cases[i].old_text, cases[i].old_length, cases[i].new_text, cases[i].new_length,
					   &diff), 0);
		assert_int_equal(diff.n_added, cases[i].n_added);
		assert_int_equal(diff.n_removed, cases[i].n_removed);
		assert_int_equal(diff.length > 0, cases[i].patch != NULL);
		if (cases[i].patch)
			assert_string_equal(diff.text, cases[i].patch);
		diff_finish(&diff);
		assert_null(diff.text);
	}
}

static void test_context_and_hunks(void **state)
{
	char old_text[64], new_text[64];
	struct diff diff = { 0 };

	(void)state;
	for (size_t i = 0; i < 20; i++) {
		memcpy(old_text + 2 * i, (char[]){ (char)('a' + i), '\n' }, 2);
		memcpy(new_text + 2 * i, (char[]){ i == 2 || i == 17 ? 'X' : (char)('a' + i), '\n' }, 2);
	}
	assert_int_equal(diff_make(old_text, 40, new_text, 40, &diff), 0);
	assert_string_equal(diff.text, "@@ -1,6 +1,6 @@\n a\n b\n-c\n+X\n d\n e\n f\n"
				       "@@ -15,6 +15,6 @@ n\n o\n p\n q\n-r\n+X\n s\n t\n");
	diff_finish(&diff);
	diff_finish(&diff); /* accepts a zeroed one */
}

static void test_large(void **state)
{
	size_t length = 1024 * 1024;
	char *old_text = malloc(length), *new_text = malloc(length);
	struct diff diff = { 0 };

	(void)state;
	assert_non_null(old_text);
	assert_non_null(new_text);
	for (size_t i = 0; i < length; i++)
		old_text[i] = i % 32 == 31 ? '\n' : (char)('a' + (i / 32 + i) % 26);
	memcpy(new_text, old_text, length);
	new_text[length / 2 + 5] = '!';
	assert_int_equal(diff_make(old_text, length, new_text, length, &diff), 0);
	assert_int_equal(diff.n_added, 1);
	assert_int_equal(diff.n_removed, 1);
	diff_finish(&diff);
	free(old_text);
	free(new_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_context_and_hunks),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
