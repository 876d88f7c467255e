/* block: option values, and bodies put together from what honest and other senders send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/block.h"

static void test_option_values(void **state)
{
	static const struct {
		uint32_t num;
		bool more;
		uint8_t szx;
		uint8_t bytes[3];
		size_t length;
	} rows[] = {
		{ 0, false, 0, { 0 }, 0 },		       { 0, true, 6, { 0x0e }, 1 },
		{ 15, false, 6, { 0xf6 }, 1 },		       { 16, true, 2, { 0x01, 0x0a }, 2 },
		{ 4095, true, 6, { 0xff, 0xfe }, 2 },	       { 4096, false, 0, { 0x01, 0x00, 0x00 }, 3 },
		{ 0xfffff, true, 6, { 0xff, 0xff, 0xfe }, 3 },
	};
	struct block block;
	uint8_t bytes[3];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(block_encode(&(struct block){ rows[i].num, rows[i].more, rows[i].szx }, bytes), rows[i].length);
		assert_memory_equal(bytes, rows[i].bytes, rows[i].length);
		assert_int_equal(block_decode(rows[i].bytes, rows[i].length, &block), 0);
		assert_int_equal(block.num, rows[i].num);
		assert_int_equal(block.more, rows[i].more);
		assert_int_equal(block.szx, rows[i].szx);
	}
	assert_int_equal(block_decode((const uint8_t *)"\x00\x00\x00\x06", 4, &block), -EBADMSG);
	assert_int_equal(block_decode((const uint8_t *)"\x07", 1, &block), -EBADMSG); /* the reserved size */
	assert_int_equal(block_decode((const uint8_t *)"\x00\x06", 2, &block), 0);    /* leading zeros are allowed */
	assert_int_equal(block_size(0), 16);
	assert_int_equal(block_size(BLOCK_SZX_MAX), 1024);
}

static int add(struct block_body *body, uint32_t num, bool more, size_t length)
{
	uint8_t bytes[64];

	memset(bytes, (int)num, sizeof(bytes));
	return block_body_add(body, &(struct block){ num, more, 0 }, bytes, length);
}

static void test_bodies(void **state)
{
	struct block_body body = { .cap_bytes = 50 };

	(void)state;
	assert_int_equal(add(&body, 1, true, 16), -EILSEQ); /* no block 0 */
	assert_int_equal(add(&body, 0, true, 15), -EBADMSG);
	assert_int_equal(add(&body, 0, true, 17), -EBADMSG);
	assert_int_equal(add(&body, 0, true, 16), 0);
	assert_int_equal(add(&body, 1, true, 16), 0);
	assert_int_equal(add(&body, 1, true, 16), -EALREADY);
	assert_int_equal(add(&body, 3, true, 16), -EILSEQ);
	assert_int_equal(block_body_add(&body, &(struct block){ 2, true, 1 }, (const uint8_t *)"", 0), -EBADMSG);
	assert_int_equal(block_body_add(&body, &(struct block){ 2, false, 1 }, (const uint8_t *)"", 0), -EILSEQ); /* resized */
	assert_int_equal(body.length, 32);
	assert_int_equal(add(&body, 2, true, 16), 0);
	assert_int_equal(add(&body, 3, false, 3), -EMSGSIZE);
	assert_int_equal(body.length, 48);
	assert_int_equal(add(&body, 3, false, 2), 0);
	assert_int_equal(body.length, 50);
	assert_int_equal(body.data[15], 0);
	assert_int_equal(body.data[16], 1);
	assert_int_equal(body.data[49], 3);
	assert_true(body.size <= 50);
	assert_int_equal(add(&body, 0, false, 1), 0); /* begins anew */
	assert_int_equal(body.length, 1);
	block_body_finish(&body);
	assert_null(body.data);
	assert_int_equal(body.cap_bytes, 50);
	assert_int_equal(add(&body, 0, false, 0), 0); /* an empty body is one */
	assert_int_equal(body.length, 0);
	block_body_finish(&body);
}

static void test_memory_follows_what_arrived(void **state)
{
	struct block_body body = { .cap_bytes = 1024 * 1024 };
	uint8_t bytes[1024] = { 0 };

	(void)state;
	for (uint32_t num = 0; num < 1024; num++) {
		assert_int_equal(block_body_add(&body, &(struct block){ num, true, 6 }, bytes, sizeof(bytes)), 0);
		assert_true(body.size <= 2 * body.length + 2048);
	}
	assert_int_equal(block_body_add(&body, &(struct block){ 1024, false, 6 }, bytes, 1), -EMSGSIZE);
	assert_int_equal(body.size, 1024 * 1024);
	block_body_finish(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_option_values),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_memory_follows_what_arrived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
