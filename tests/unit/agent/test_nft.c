/* nft: a transaction that has no room fails as a whole; the largest plan has room, and by how much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/linux.h"

static void fill_largest(struct agent_config *config, struct forwarding_plan *plan)
{
	*config = (struct agent_config){
		.mark_field = 0xff000000,
		.hash = CONFIG_HASH_BOTH_ADDRESSES_AND_PORTS,
		.n_buckets = LIMIT_BUCKETS,
		.n_lans = LIMIT_LANS,
		.n_uplinks = LIMIT_UPLINKS,
	};
	*plan = (struct forwarding_plan){ .n_buckets = LIMIT_BUCKETS, .n_uplinks = LIMIT_UPLINKS };
	for (unsigned i = 0; i < LIMIT_UPLINKS; i++) {
		snprintf(config->lans[i], IFNAMSIZ, "lan-interface%u", i);
		snprintf(config->uplinks[i].interface, IFNAMSIZ, "wan-interface%u", i);
		config->uplinks[i].nat = config->uplinks[i].nat6 = true;
		plan->live[i] = (uint8_t)i;
	}
}

static unsigned count_messages(const struct nl_writer *writer, uint16_t type)
{
	struct nl_message message;
	struct nl_reader reader;
	unsigned n = 0;

	nl_reader_init(&reader, writer->data, writer->length);
	while (nl_next_message(&reader, &message))
		n += type == 0 || message.type == type;
	assert_false(reader.failed);
	return n;
}

static void test_largest_plan_has_room(void **state)
{
	struct router *router = calloc(1, sizeof(*router));
	struct agent_config config;
	struct forwarding_plan plan;

	(void)state;
	fill_largest(&config, &plan);
	router->config = &config;
	router->has_ipv6 = true;
	linux_nft_write(router, &plan);
	assert_false(router->batch.writer.failed);
	assert_true(router->batch.writer.length < sizeof(router->memory) * 3 / 4);
	assert_true(count_messages(&router->batch.writer, 0) < LIMIT_NETLINK_MESSAGES / 2);
	free(router);
}

static void test_no_room_is_no_transaction(void **state)
{
	static uint8_t memory[256] __attribute__((aligned(4)));
	struct nft_batch *batch = calloc(1, sizeof(*batch));
	struct nl_socket sock = { .fd = -1 };
	struct err err = { "" };

	(void)state;
	nft_batch_begin(batch, memory, sizeof(memory), 1);
	assert_true(nft_batch_is_empty(batch));
	assert_int_equal(nft_batch_commit(batch, &sock, &err), 0); /* nothing to send */
	while (!batch->writer.failed)
		nft_table_add(batch, NFPROTO_INET, "x");
	assert_int_equal(nft_batch_commit(batch, &sock, &err), -ENOBUFS);
	assert_true(err.text[0] != '\0');
	free(batch);
}

static void test_more_messages_than_labels(void **state)
{
	static uint8_t memory[64 * 1024] __attribute__((aligned(4)));
	struct nft_batch *batch = calloc(1, sizeof(*batch));

	(void)state;
	nft_batch_begin(batch, memory, sizeof(memory), UINT32_MAX - 5); /* sequence numbers wrap */
	for (unsigned i = 1; i < LIMIT_NETLINK_MESSAGES; i++)
		nft_table_add(batch, NFPROTO_INET, "x");
	assert_false(batch->writer.failed);
	nft_table_add(batch, NFPROTO_INET, "x");
	assert_true(batch->writer.failed);
	free(batch);
}

static void test_marker_tells_structures_apart(void **state)
{
	char first[LINUX_MARKER_BYTES], second[LINUX_MARKER_BYTES];
	struct agent_config config, changed;
	struct forwarding_plan plan;

	(void)state;
	fill_largest(&config, &plan);
	linux_nft_marker(&config, first);
	changed = config;
	changed.uplinks[0].weight = 7; /* that is the plan's business */
	linux_nft_marker(&changed, second);
	assert_string_equal(first, second);
	changed.uplinks[15].nat6 = false;
	linux_nft_marker(&changed, second);
	assert_string_not_equal(first, second);
	changed = config;
	changed.lans[3][0] = 'x';
	linux_nft_marker(&changed, second);
	assert_string_not_equal(first, second);
	/* Names are told apart where one ends and the next begins. */
	changed = config;
	snprintf(changed.lans[0], IFNAMSIZ, "ab");
	snprintf(changed.lans[1], IFNAMSIZ, "c");
	linux_nft_marker(&changed, first);
	snprintf(changed.lans[0], IFNAMSIZ, "a");
	snprintf(changed.lans[1], IFNAMSIZ, "bc");
	linux_nft_marker(&changed, second);
	assert_string_not_equal(first, second);
}

static void test_marks_of_uplinks(void **state)
{
	struct agent_config config = { .mark_field = 0xff };

	(void)state;
	assert_int_equal(router_uplink_mark(&config, 0), 1);
	assert_int_equal(router_uplink_mark(&config, 15), 16);
	config.mark_field = 0xff000000;
	assert_int_equal(router_uplink_mark(&config, 1), 0x02000000);
	config.mark_field = 0x6;
	assert_int_equal(router_uplink_mark(&config, 2), 0x6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_plan_has_room),
		cmocka_unit_test(test_no_room_is_no_transaction),
		cmocka_unit_test(test_more_messages_than_labels),
		cmocka_unit_test(test_marker_tells_structures_apart),
		cmocka_unit_test(test_marks_of_uplinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
