/*
 * doctor_facts: flowtables, which the test kernel may not have, as the kernel would list them; and rules that
 * are cut or lie. What rules of others do is tested with nft and iptables in tests/netns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/linux_doctor.h"

static const struct agent_config config = {
	.mark_field = 0xff,
	.n_lans = 1,
	.lans = { "lan0" },
	.n_uplinks = 2,
	.uplinks = { { .interface = "wan1" }, { .interface = "wan2" } },
};
static uint8_t memory[1024] __attribute__((aligned(8)));

static size_t write_flowtable(uint32_t flags, unsigned n_devices, const char *const devices[])
{
	struct nfgenmsg header = { .nfgen_family = 1 };
	struct nl_writer writer;
	size_t hook, list;

	nl_writer_init(&writer, memory, sizeof(memory));
	nl_begin(&writer, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWFLOWTABLE, 0, 1);
	nl_put(&writer, &header, sizeof(header));
	nl_attr_string(&writer, NFTA_FLOWTABLE_TABLE, "fw4");
	nl_attr_string(&writer, NFTA_FLOWTABLE_NAME, "ft");
	nl_attr_be32(&writer, NFTA_FLOWTABLE_FLAGS, flags);
	hook = nl_nest(&writer, NFTA_FLOWTABLE_HOOK);
	list = nl_nest(&writer, NFTA_FLOWTABLE_HOOK_DEVS);
	for (unsigned i = 0; i < n_devices; i++)
		nl_attr_string(&writer, NFTA_DEVICE_NAME, devices[i]);
	nl_nest_end(&writer, list);
	nl_nest_end(&writer, hook);
	nl_end(&writer);
	assert_false(writer.failed);
	return writer.length;
}

static int read_flowtable(size_t length, struct linux_flowtable_facts *facts)
{
	struct nl_message message;
	struct nl_reader reader;

	nl_reader_init(&reader, memory, length);
	assert_true(nl_next_message(&reader, &message));
	return linux_flowtable_read_facts(&config, &message, facts);
}

static void test_flowtables(void **state)
{
	struct linux_flowtable_facts facts;

	(void)state;
	assert_int_equal(read_flowtable(write_flowtable(0, 2, (const char *const[]){ "eth9", "wan" }), &facts), 0);
	assert_int_equal(facts.interfaces, 0);
	assert_int_equal(read_flowtable(write_flowtable(0, 2, (const char *const[]){ "lan0", "wan2" }), &facts), 0);
	assert_int_equal(facts.interfaces, 1u << LIMIT_UPLINKS | 1u << 1);
	assert_false(facts.is_hardware);
	assert_string_equal(facts.table, "fw4");
	assert_string_equal(facts.name, "ft");
	assert_int_equal(read_flowtable(write_flowtable(NFT_FLOWTABLE_HW_OFFLOAD, 1, (const char *const[]){ "wan1" }), &facts),
			 0);
	assert_true(facts.is_hardware);
	assert_int_equal(facts.interfaces, 1);
}

static void test_flowtable_with_a_name_that_no_interface_has(void **state)
{
	struct linux_flowtable_facts facts = { .interfaces = 77 };

	(void)state;
	assert_int_equal(read_flowtable(write_flowtable(0, 1, (const char *const[]){ "0123456789abcdef" }), &facts), -EBADMSG);
	assert_int_equal(facts.interfaces, 77);
}

/* meta mark set 0x10, as nf_tables lists it. */
static size_t write_rule(struct nl_writer *writer)
{
	uint32_t value = 0x10;
	size_t expression, data, inner;

	nl_writer_init(writer, memory, sizeof(memory));
	expression = nl_nest(writer, NFTA_LIST_ELEM);
	nl_attr_string(writer, NFTA_EXPR_NAME, "immediate");
	data = nl_nest(writer, NFTA_EXPR_DATA);
	nl_attr_be32(writer, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	inner = nl_nest(writer, NFTA_IMMEDIATE_DATA);
	nl_attr_u32(writer, NFTA_DATA_VALUE, value);
	nl_nest_end(writer, inner);
	nl_nest_end(writer, data);
	nl_nest_end(writer, expression);
	expression = nl_nest(writer, NFTA_LIST_ELEM);
	nl_attr_string(writer, NFTA_EXPR_NAME, "meta");
	data = nl_nest(writer, NFTA_EXPR_DATA);
	nl_attr_be32(writer, NFTA_META_KEY, NFT_META_MARK);
	nl_attr_be32(writer, NFTA_META_SREG, NFT_REG_1);
	nl_nest_end(writer, data);
	nl_nest_end(writer, expression);
	assert_false(writer->failed);
	return writer->length;
}

static void test_rule(void **state)
{
	struct linux_rule_facts facts;
	struct nl_writer writer;
	struct nl_attr expressions = { .data = memory, .length = write_rule(&writer) };

	(void)state;
	assert_int_equal(linux_rule_read_facts(&config, &expressions, &facts), 0);
	assert_int_equal(facts.meta_written, UINT32_MAX);
	assert_int_equal(facts.ct_written, 0);
	expressions.length = 0;
	assert_int_equal(linux_rule_read_facts(&config, &expressions, &facts), 0);
	assert_int_equal(facts.meta_written, 0);
}

/* Each byte of it set to each of some values, and cut at each place: an error or an answer, nothing else (ASan looks). */
static void test_rule_spoilt(void **state)
{
	static const uint8_t values[] = { 0, 1, 3, 4, 5, 0x7f, 0x80, 0xff };
	struct linux_rule_facts facts;
	struct nl_writer writer;
	size_t length = write_rule(&writer);

	(void)state;
	for (size_t i = 0; i < length; i++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			uint8_t *exact = malloc(length);
			struct nl_attr expressions = { .data = exact, .length = length };
			int ret;

			memcpy(exact, memory, length);
			exact[i] = values[v];
			ret = linux_rule_read_facts(&config, &expressions, &facts);
			assert_true(ret == 0 || ret == -EBADMSG);
			free(exact);
		}
	}
	for (size_t cut = 0; cut < length; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);
		struct nl_attr expressions = { .data = exact, .length = cut };

		memcpy(exact, memory, cut);
		if (cut % 4)
			assert_int_equal(linux_rule_read_facts(&config, &expressions, &facts), -EBADMSG);
		else
			(void)linux_rule_read_facts(&config, &expressions, &facts);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flowtables),
		cmocka_unit_test(test_flowtable_with_a_name_that_no_interface_has),
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_rule_spoilt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
