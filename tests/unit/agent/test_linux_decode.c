/*
 * linux_decode: ip rules and routes as the kernel lists them, and lists that are cut. What becomes of them is
 * tested on a real kernel in tests/netns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/router/linux.h"

static uint8_t memory[256] __attribute__((aligned(4)));
static struct nl_writer writer;

static void begin(uint16_t type, const void *header, size_t length)
{
	nl_writer_init(&writer, memory, sizeof(memory));
	nl_begin(&writer, type, 0, 1);
	nl_put(&writer, header, length);
}

static struct nl_message end(void)
{
	struct nl_message message;
	struct nl_reader reader;

	nl_end(&writer);
	assert_false(writer.failed);
	nl_reader_init(&reader, memory, writer.length);
	assert_true(nl_next_message(&reader, &message));
	return message;
}

static struct nl_message write_rule(void)
{
	struct fib_rule_hdr header = { .family = AF_INET, .action = FR_ACT_TO_TBL, .table = 254, .flags = FIB_RULE_INVERT };

	begin(RTM_NEWRULE, &header, sizeof(header));
	nl_attr_u32(&writer, FRA_PRIORITY, 1000);
	nl_attr_u32(&writer, FRA_TABLE, 7400);
	nl_attr_u8(&writer, FRA_PROTOCOL, LINUX_PROTOCOL);
	nl_attr_u32(&writer, FRA_FWMASK, 0xff00); /* mark 0 in that field: the kernel leaves the mark out */
	nl_attr_u32(&writer, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
	return end();
}

static void test_rule(void **state)
{
	struct nl_message message = write_rule();
	struct linux_rule rule;

	(void)state;
	assert_int_equal(linux_rule_decode(&message, &rule), 0);
	assert_int_equal(rule.preference, 1000);
	assert_int_equal(rule.table, 7400); /* not the byte of the header */
	assert_int_equal(rule.protocol, LINUX_PROTOCOL);
	assert_int_equal(rule.mark, 0);
	assert_int_equal(rule.mask, 0xff00);
	assert_true(rule.is_inverted);
	assert_false(rule.suppresses || rule.is_narrow || rule.has_input);
}

static void test_rule_of_an_input(void **state)
{
	struct fib_rule_hdr header = { .family = AF_INET6, .table = 254 };
	struct nl_message message;
	struct linux_rule rule;

	(void)state;
	begin(RTM_NEWRULE, &header, sizeof(header));
	nl_attr_string(&writer, FRA_IIFNAME, "lo");
	nl_attr_u32(&writer, FRA_SUPPRESS_PREFIXLEN, 0);
	message = end();
	assert_int_equal(linux_rule_decode(&message, &rule), 0);
	assert_int_equal(rule.family, AF_INET6);
	assert_int_equal(rule.table, 254);
	assert_true(rule.suppresses && rule.is_narrow && rule.has_input);
}

static struct nl_message write_route(unsigned via)
{
	struct rtmsg header = { .rtm_family = AF_INET, .rtm_protocol = 4, .rtm_type = RTN_UNICAST, .rtm_table = 254 };
	uint8_t address[18] = { 192, 0, 2, 1 };

	begin(RTM_NEWROUTE, &header, sizeof(header));
	nl_attr_u32(&writer, RTA_PRIORITY, 20);
	nl_attr_u32(&writer, RTA_OIF, 3);
	nl_attr(&writer, via, address, via == RTA_GATEWAY ? 4 : sizeof(address));
	return end();
}

static void test_route(void **state)
{
	struct nl_message message = write_route(RTA_GATEWAY);
	const uint8_t gateway[4] = { 192, 0, 2, 1 };
	struct nl_attr nexthops;
	struct linux_route route;

	(void)state;
	assert_int_equal(linux_route_decode(&message, &route, &nexthops), 0);
	assert_int_equal(route.table, 254);
	assert_int_equal(route.metric, 20);
	assert_int_equal(route.ifindex, 3);
	assert_int_equal(route.gateway.kind, LINUX_GATEWAY_ADDRESS);
	assert_memory_equal(route.gateway.address, gateway, sizeof(gateway));
	assert_null(nexthops.data);

	/* IPv4 behind an IPv6 router: neither an address to learn nor a point-to-point line. */
	message = write_route(RTA_VIA);
	assert_int_equal(linux_route_decode(&message, &route, &nexthops), 0);
	assert_int_equal(route.gateway.kind, LINUX_GATEWAY_UNKNOWN);
}

static void test_gateway_of_the_wrong_length(void **state)
{
	struct rtmsg header = { .rtm_family = AF_INET6 };
	struct nl_message message;
	struct nl_attr nexthops;
	struct linux_route route;

	(void)state;
	begin(RTM_NEWROUTE, &header, sizeof(header));
	nl_attr_u32(&writer, RTA_GATEWAY, 0x01020304);
	message = end();
	assert_int_equal(linux_route_decode(&message, &route, &nexthops), -EBADMSG);
}

static void test_other_messages(void **state)
{
	struct nl_message message = write_rule();
	struct nl_attr nexthops;
	struct linux_route route;
	struct linux_rule rule;

	(void)state;
	assert_int_equal(linux_route_decode(&message, &route, &nexthops), -EBADMSG);
	message = write_route(RTA_GATEWAY);
	assert_int_equal(linux_rule_decode(&message, &rule), -EBADMSG);
}

/* Cut behind any byte, in a block of just that size: nothing is read outside (ASan), and a torn attribute is told. */
static void test_cut(void **state)
{
	struct nl_message whole = write_route(RTA_GATEWAY);
	struct nl_attr nexthops;
	struct linux_route route;

	(void)state;
	for (size_t length = 0; length < whole.length; length++) {
		struct nl_message cut = whole;
		uint8_t *exact = malloc(length + 1);
		int ret;

		assert_non_null(exact);
		memcpy(exact, whole.body, length);
		cut.body = exact;
		cut.length = length;
		ret = linux_route_decode(&cut, &route, &nexthops);
		assert_int_equal(ret, length >= sizeof(struct rtmsg) && length % 8 == 4 ? 0 : -EBADMSG);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_rule_of_an_input),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_gateway_of_the_wrong_length),
		cmocka_unit_test(test_other_messages),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
