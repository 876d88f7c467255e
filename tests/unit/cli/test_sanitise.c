/* sanitise: nothing that a router sends moves the cursor, colours, or turns text around. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/sanitise.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
	const char *text;
	size_t length;
	const char *line, *stream;
} cases[] = {
	{ TEXT("plain"), "plain", "plain" },
	{ TEXT(""), "", "" },
	{ TEXT("Grüße, 日本, \xf0\x9f\x98\x80"), "Grüße, 日本, \xf0\x9f\x98\x80", "Grüße, 日本, \xf0\x9f\x98\x80" },
	{ TEXT("a\nb\tc"), "a\\nb\\tc", "a\nb\tc" },
	{ TEXT("a\r\nb\rc"), "a\\r\\nb\\rc", "a\nb\\rc" },
	{ TEXT("\033[31mred\033]0;title\007"), "\\x1b[31mred\\x1b]0;title\\x07", "\\x1b[31mred\\x1b]0;title\\x07" },
	{ TEXT("nul\0l"), "nul\\x00l", "nul\\x00l" },
	{ TEXT("\x7f\x08"), "\\x7f\\x08", "\\x7f\\x08" },
	{ TEXT("\xc2\x9b" "31m"), "\\u009b31m", "\\u009b31m" },	    /* C1 CSI in UTF-8 */
	{ TEXT("\x9b" "31m"), "\\x9b31m", "\\x9b31m" },		    /* C1 CSI as a byte */
	{ TEXT("\xe2\x80\xae" "abc"), "\\u202eabc", "\\u202eabc" }, /* right-to-left override */
	{ TEXT("\xe2\x81\xa6"), "\\u2066", "\\u2066" },
	{ TEXT("\xc0\x9b"), "\\xc0\\x9b", "\\xc0\\x9b" },	    /* overlong ESC */
	{ TEXT("\xe0\x80\x9b"), "\\xe0\\x80\\x9b", "\\xe0\\x80\\x9b" },
	{ TEXT("\xed\xa0\x80"), "\\xed\\xa0\\x80", "\\xed\\xa0\\x80" }, /* surrogate */
	{ TEXT("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80" },
	{ TEXT("\xe6\x97"), "\\xe6\\x97", "\\xe6\\x97" },	    /* cut in the middle */
};

static void test_lines(void **state)
{
	char memory[256];
	struct buf buf;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&buf, memory, sizeof(memory));
		sanitise_line(&buf, cases[i].text, cases[i].length);
		assert_string_equal(memory, cases[i].line);
	}
}

static void test_streams(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *written = NULL;
		size_t length = 0;
		FILE *out = open_memstream(&written, &length);

		assert_non_null(out);
		sanitise_to_stream(out, cases[i].text, cases[i].length);
		assert_int_equal(fclose(out), 0);
		assert_string_equal(written, cases[i].stream);
		free(written);
	}
}

static void test_cuts_between_characters(void **state)
{
	char memory[8];
	struct buf buf;

	(void)state;
	buf_init(&buf, memory, sizeof(memory));
	sanitise_line(&buf, TEXT("日本語")); /* nine bytes into seven: two whole letters */
	assert_string_equal(memory, "日本");
	assert_false(buf.failed);
	buf_clear(&buf);
	sanitise_line(&buf, TEXT("abcde\033")); /* the escape does not fit as a whole */
	assert_string_equal(memory, "abcde");
}

/* Whatever the bytes, no control character but the allowed two comes through. */
static void test_every_pair_of_bytes(void **state)
{
	char memory[64];
	struct buf buf;

	(void)state;
	for (unsigned pair = 0; pair < 65536; pair++) {
		char text[2] = { (char)(pair >> 8), (char)pair };

		buf_init(&buf, memory, sizeof(memory));
		sanitise_line(&buf, text, sizeof(text));
		assert_true(buf.length > 0);
		for (size_t i = 0; i < buf.length; i++) {
			unsigned char c = (unsigned char)memory[i];

			assert_true(c >= 0x20 && c != 0x7f);
			assert_false(c == 0xc2 && (unsigned char)memory[i + 1] < 0xa0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_cuts_between_characters),
		cmocka_unit_test(test_every_pair_of_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
