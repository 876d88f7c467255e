/* parse: tables of accepted and refused text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "common/limits.h"
#include "common/parse.h"

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int result;
		uint64_t value;
	} table[] = {
		{ "0", 0, 10, 0, 0 },
		{ "10", 0, 10, 0, 10 },
		{ "0xff", 0, 255, 0, 255 },
		{ "0XFf00", 0, 65535, 0, 0xff00 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE, 7 },
		{ "99999999999999999999999", 0, UINT64_MAX, -ERANGE, 7 },
		{ "11", 0, 10, -ERANGE, 7 },
		{ "1", 2, 10, -ERANGE, 7 },
		{ "", 0, 10, -EINVAL, 7 },
		{ "0x", 0, 10, -EINVAL, 7 },
		{ "-1", 0, 10, -EINVAL, 7 },
		{ "+1", 0, 10, -EINVAL, 7 },
		{ " 1", 0, 10, -EINVAL, 7 },
		{ "1 ", 0, 10, -EINVAL, 7 },
		{ "1a", 0, 10, -EINVAL, 7 },
		{ "0xg", 0, 10, -EINVAL, 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t value = 7;

		assert_int_equal(parse_u64(table[i].text, table[i].min, table[i].max, &value), table[i].result);
		assert_true(value == table[i].value);
	}
}

static void test_leading_numbers(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint32_t value;
		size_t used;
	} table[] = {
		{ "5.15.0", 0, 5, 1 },	 { "4294967295x", 0, UINT32_MAX, 10 }, { "4294967296", -ERANGE, 7, 0 },
		{ "", -EINVAL, 7, 0 }, { ".5", -EINVAL, 7, 0 },	       { "99999999999999999999", -ERANGE, 7, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *at = table[i].text;
		uint32_t value = 7;

		assert_int_equal(parse_leading_u32(&at, &value), table[i].result);
		assert_int_equal(value, table[i].value);
		assert_int_equal((size_t)(at - table[i].text), table[i].used);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ms;
	} table[] = {
		{ "250ms", 0, 250 },	  { "30s", 0, 30000 },	     { "15m", 0, 900000 },
		{ "2h", 0, 7200000 },	  { "1d", 0, 86400000 },     { "3d", -ERANGE, 7 },
		{ "0ms", -ERANGE, 7 },	  { "10", -EINVAL, 7 },	     { "s", -EINVAL, 7 },
		{ "1.5s", -EINVAL, 7 },	  { "1 s", -EINVAL, 7 },     { "2H", -EINVAL, 7 },
		{ "-2h", -EINVAL, 7 },	  { "0x10s", -EINVAL, 7 },   { "2hours", -EINVAL, 7 },
		{ "9223372036854775807d", -ERANGE, 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int64_t ms = 7;

		assert_int_equal(parse_duration_ms(table[i].text, 1, 172800000, &ms), table[i].result);
		assert_true(ms == table[i].ms);
	}
}

static void test_booleans(void **state)
{
	bool value = false;

	(void)state;
	assert_int_equal(parse_bool("yes", &value), 0);
	assert_true(value);
	assert_int_equal(parse_bool("off", &value), 0);
	assert_false(value);
	assert_int_equal(parse_bool("YES", &value), -EINVAL);
	assert_int_equal(parse_bool("", &value), -EINVAL);
}

static void test_hex(void **state)
{
	uint8_t bytes[2] = { 1, 2 };

	(void)state;
	assert_int_equal(parse_hex("aF09", bytes, 2), 0);
	assert_int_equal(bytes[0], 0xaf);
	assert_int_equal(bytes[1], 0x09);
	assert_int_equal(parse_hex("aF0", bytes, 2), -EINVAL);
	assert_int_equal(parse_hex("aF0911", bytes, 2), -EINVAL);
	assert_int_equal(parse_hex("00zz", bytes, 2), -EINVAL);
	assert_int_equal(bytes[0], 0xaf);
}

static void test_names(void **state)
{
	char longest[LIMIT_NAME + 1];

	(void)state;
	assert_true(parse_is_name("branch-07"));
	assert_true(parse_is_name("7.east_2"));
	assert_false(parse_is_name(""));
	assert_false(parse_is_name("-x"));
	assert_false(parse_is_name("../etc"));
	assert_false(parse_is_name("a b"));
	assert_false(parse_is_name("a/b"));
	memset(longest, 'a', LIMIT_NAME);
	longest[LIMIT_NAME] = '\0';
	assert_false(parse_is_name(longest));
	longest[LIMIT_NAME - 1] = '\0';
	assert_true(parse_is_name(longest));
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		int result, family;
		uint16_t port;
	} table[] = {
		{ "192.0.2.1", 0, AF_INET, 5684 },
		{ "192.0.2.1:99", 0, AF_INET, 99 },
		{ "2001:db8::1", 0, AF_INET6, 5684 },
		{ "[2001:db8::1]", 0, AF_INET6, 5684 },
		{ "[2001:db8::1]:99", 0, AF_INET6, 99 },
		{ "192.0.2.1:0", -ERANGE, 0, 0 },
		{ "192.0.2.1:65536", -ERANGE, 0, 0 },
		{ "192.0.2.1:", -EINVAL, 0, 0 },
		{ "192.0.2", -EINVAL, 0, 0 },
		{ "[2001:db8::1", -EINVAL, 0, 0 },
		{ "[2001:db8::1]99", -EINVAL, 0, 0 },
		{ "collector.example.org", -EINVAL, 0, 0 },
		{ "", -EINVAL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct parse_address address = { 0 };
		struct sockaddr_storage storage;

		assert_int_equal(parse_address(table[i].text, 5684, &address), table[i].result);
		assert_int_equal(address.family, table[i].family);
		assert_int_equal(address.port, table[i].port);
		if (table[i].result < 0)
			continue;
		assert_true(parse_address_to_sockaddr(&address, &storage) >= sizeof(struct sockaddr_in));
		assert_int_equal(storage.ss_family, table[i].family);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_leading_numbers), cmocka_unit_test(test_durations), cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_hex),	cmocka_unit_test(test_names),	  cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
