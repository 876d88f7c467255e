/* coap_source: which addresses share a counter, and that unlike ones seldom do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "collector/coap_source.h"

static struct source_table table = { .seed = 0x123456789abcdef0ULL };

static uint16_t *find4(const char *address, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port };

	assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
	return source_find(&table, (const struct sockaddr *)&in);
}

static uint16_t *find6(const char *address)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
	return source_find(&table, (const struct sockaddr *)&in6);
}

static void test_what_is_one_source(void **state)
{
	(void)state;
	assert_ptr_equal(find4("192.0.2.1", 1), find4("192.0.2.1", 2));
	assert_ptr_not_equal(find4("192.0.2.1", 1), find4("192.0.2.2", 1));
	assert_ptr_equal(find6("2001:db8::1"), find6("2001:db8::ffff:2"));
	assert_ptr_not_equal(find6("2001:db8::1"), find6("2001:db8:0:1::1"));
	assert_ptr_equal(find6("::ffff:192.0.2.1"), find4("192.0.2.1", 9)); /* as a dual-stack socket sees it */
}

static void test_spread_and_seed(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	unsigned used = 0, moved = 0;

	(void)state;
	memset(table.counters, 0, sizeof(table.counters));
	for (uint32_t i = 0; i < SOURCE_COUNTERS; i++) {
		uint16_t *counter, *other;

		in.sin_addr.s_addr = htonl(0x0a000000 + i);
		table.seed = 42;
		counter = source_find(&table, (const struct sockaddr *)&in);
		used += (*counter)++ == 0;
		table.seed = 43;
		other = source_find(&table, (const struct sockaddr *)&in);
		moved += counter != other;
	}
	/* Thrown at random 1 - 1/e of them are hit. */
	assert_in_range(used, SOURCE_COUNTERS * 60 / 100, SOURCE_COUNTERS * 66 / 100);
	assert_in_range(moved, SOURCE_COUNTERS * 99 / 100, SOURCE_COUNTERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_one_source),
		cmocka_unit_test(test_spread_and_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
