/* buf: bounded writing, sticky overflow, always NUL-terminated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

static void test_writes_in_sequence(void **state)
{
	char memory[32];
	struct buf buf;

	(void)state;
	buf_init(&buf, memory, sizeof(memory));
	buf_puts(&buf, "id=");
	buf_printf(&buf, "%d,", 42);
	buf_put_hex(&buf, (const uint8_t[]){ 0x00, 0xaf, 0xff }, 3);
	assert_false(buf.failed);
	assert_string_equal(memory, "id=42,00afff");
	assert_int_equal(buf.length, strlen(memory));
}

static void test_fits_exactly(void **state)
{
	char memory[5];
	struct buf buf;

	(void)state;
	buf_init(&buf, memory, sizeof(memory));
	buf_puts(&buf, "1234");
	assert_false(buf.failed);
	assert_string_equal(memory, "1234");
	buf_printf(&buf, "%s", "");
	assert_false(buf.failed);
}

static void test_overflow_is_sticky_and_leaves_contents(void **state)
{
	char memory[6];
	struct buf buf;

	(void)state;
	buf_init(&buf, memory, sizeof(memory));
	buf_puts(&buf, "abc");
	buf_puts(&buf, "def");
	assert_true(buf.failed);
	assert_string_equal(memory, "abc");
	buf_puts(&buf, "d");
	assert_string_equal(memory, "abc");
	buf_clear(&buf);
	assert_false(buf.failed);
	buf_printf(&buf, "%d", 1234567);
	assert_true(buf.failed);
	assert_string_equal(memory, "");
}

static void test_no_room_at_all(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, NULL, 0);
	buf_puts(&buf, "x");
	assert_true(buf.failed);
	assert_int_equal(buf.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes_in_sequence),
		cmocka_unit_test(test_fits_exactly),
		cmocka_unit_test(test_overflow_is_sticky_and_leaves_contents),
		cmocka_unit_test(test_no_room_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
