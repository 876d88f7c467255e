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
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
	router->has_ipv6 = router->has_ipsec = true;
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

/* --- a kernel without CONFIG_XFRM ---------------------------------------------------------------- */

#define RULE 3 /* behind the begin of the transaction, the table and the chain */

/* The kernel's answer to the message `index` of the next transaction: an error, 0 an acknowledgement. */
static void answer(int kernel, const struct nl_socket *sock, uint32_t index, int error)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr body;
	} message = { .header = { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_ERROR, .nlmsg_flags = NLM_F_CAPPED,
				  .nlmsg_seq = sock->sequence + 1 + index },
		      .body = { .error = error } };

	assert_int_equal(send(kernel, &message, sizeof(message), 0), sizeof(message));
}

static bool has_expression(const struct nl_writer *writer, const char *name)
{
	return memmem(writer->data, writer->length, name, strlen(name) + 1) != NULL;
}

static void test_ipsec_only_where_the_kernel_has_it(void **state)
{
	static const struct {
		uint32_t index;
		int error;
		bool has_ipsec;
	} cases[] = {
		{ RULE, 0, true },
		{ RULE, -EOPNOTSUPP, false }, /* the expression has no such key without CONFIG_XFRM */
		{ RULE, -ENOENT, true },      /* no module for the expression: the plan's refusal names it */
		{ 0, -EPERM, true },	      /* jaga-agent --check by a user */
	};
	struct router *router = calloc(1, sizeof(*router));
	struct agent_config config;
	struct forwarding_plan plan;
	int ends[2]; /* the router's, the kernel's */

	(void)state;
	fill_largest(&config, &plan);
	router->config = &config;
	router->has_ipv6 = true;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	router->netfilter = (struct nl_socket){ .fd = ends[0], .receive = router->receive };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t request[4096];

		answer(ends[1], &router->netfilter, cases[i].index, cases[i].error);
		router->has_ipsec = linux_nft_has_ipsec(router);
		assert_int_equal(router->has_ipsec, cases[i].has_ipsec);
		assert_true(recv(ends[1], request, sizeof(request), MSG_DONTWAIT) > 0);
		assert_true(has_expression(&router->batch.writer, "rt"));
		assert_int_equal(count_messages(&router->batch.writer, NFNL_MSG_BATCH_END), 0); /* so it changes nothing */
		linux_nft_write(router, &plan);
		assert_int_equal(has_expression(&router->batch.writer, "rt"), cases[i].has_ipsec);
		assert_true(has_expression(&router->batch.writer, "masq"));
	}
	close(ends[0]);
	close(ends[1]);
	free(router);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_plan_has_room),
		cmocka_unit_test(test_no_room_is_no_transaction),
		cmocka_unit_test(test_more_messages_than_labels),
		cmocka_unit_test(test_marker_tells_structures_apart),
		cmocka_unit_test(test_marks_of_uplinks),
		cmocka_unit_test(test_ipsec_only_where_the_kernel_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
