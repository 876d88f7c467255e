/*
 * guestctl: the few things that a test does to a guest's kernel and that busybox cannot: it is tc and nft there.
 * One small program on our own netlink encoder, so that every guest has it, whatever Debian packages exist.
 *
 *   guestctl netem DEV DELAY_MS LOSS_PERMILLE   each packet that leaves by DEV is late, or lost; 0 0 ends it
 *   guestctl flowtable DEV...                   software flow offloading, as OpenWrt's fw4 sets it up:
 *       table inet fw4 {
 *         flowtable ft { hook ingress priority 0; devices = { DEV... }; }
 *         chain forward { type filter hook forward priority 0; flow add @ft; }
 *       }
 *   guestctl live UPLINK CARRIER                in Jaga's plan: flows of UPLINK are carried by CARRIER from now on (both
 *                                               numbers from 0), and nothing else is done; a test's negative control
 *
 * Exit status 1 with the kernel's words when it refuses. Callers: tests/guest/test_*.py, by Guest.sh().
 * See linux/pkt_sched.h and linux/netfilter/nf_tables.h.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/netlink.h"
#include "agent/router/nft.h"
#include "agent/router/nl_socket.h"
#include "common/err.h"
#include "common/limits.h"

#define NETEM_LIMIT_PACKETS 1000
#define NETEM_HANDLE 0x10000u
#define NS_PER_MS 1000000u
#define NS_PER_TICK 64u /* of the packet scheduler's clock */
#define FLOWTABLE "ft"

static uint8_t receive_memory[LIMIT_NETLINK_RECEIVE_BYTES] __attribute__((aligned(4)));
static uint8_t send_memory[4096] __attribute__((aligned(4)));

static int parse_number(const char *text, uint32_t max, uint32_t *ret_number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > max)
		return -EINVAL;
	*ret_number = (uint32_t)value;
	return 0;
}

static void put_netem(struct nl_writer *writer, uint32_t delay_ms, uint32_t loss_permille)
{
	struct tc_netem_qopt options = {
		.latency = delay_ms * (NS_PER_MS / NS_PER_TICK),
		.limit = NETEM_LIMIT_PACKETS,
		.loss = (uint32_t)((uint64_t)loss_permille * UINT32_MAX / 1000),
	};

	nl_attr_string(writer, TCA_KIND, "netem");
	nl_attr(writer, TCA_OPTIONS, &options, sizeof(options));
}

static int run_netem(char **arguments, int n, struct err *err)
{
	struct tcmsg header = {.tcm_parent = TC_H_ROOT, .tcm_handle = NETEM_HANDLE};
	struct nl_socket sock = {.fd = -1};
	uint32_t delay_ms, loss_permille, sequence;
	struct nl_writer writer;
	bool is_end;
	int ret;

	if (n != 3 || parse_number(arguments[1], 10000, &delay_ms) < 0 || parse_number(arguments[2], 1000, &loss_permille) < 0)
		return err_set(err, -EINVAL, "netem DEV DELAY_MS LOSS_PERMILLE");
	header.tcm_ifindex = (int)if_nametoindex(arguments[0]);
	if (header.tcm_ifindex == 0)
		return err_set(err, -ENODEV, "no interface %s", arguments[0]);
	ret = nl_socket_open(&sock, NETLINK_ROUTE, receive_memory, err);
	if (ret < 0)
		return ret;
	is_end = delay_ms == 0 && loss_permille == 0;
	sequence = nl_socket_next(&sock);
	nl_writer_init(&writer, send_memory, sizeof(send_memory));
	nl_begin(&writer, is_end ? RTM_DELQDISC : RTM_NEWQDISC,
		 (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | (is_end ? 0 : NLM_F_CREATE | NLM_F_REPLACE)), sequence);
	nl_put(&writer, &header, sizeof(header));
	if (!is_end)
		put_netem(&writer, delay_ms, loss_permille);
	nl_end(&writer);
	ret = nl_socket_request(&sock, &writer, sequence, sequence, NULL, NULL, NULL);
	if (ret < 0)
		err_sys(err, ret, "netem on %s", arguments[0]);
	nl_socket_close(&sock);
	return ret;
}

/* A message that nft.h does not know, because the agent makes no flowtables. */
static void put_flowtable(struct nft_batch *batch, char **devices, int n_devices)
{
	struct nfgenmsg header = {.nfgen_family = batch->family, .version = NFNETLINK_V0};
	struct nl_writer *writer = &batch->writer;
	size_t hook, names;

	nft_label(batch, "flowtable");
	batch->labels[batch->next - batch->first] = batch->label;
	nl_begin(writer, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWFLOWTABLE, NLM_F_REQUEST | NLM_F_CREATE, batch->next++);
	nl_put(writer, &header, sizeof(header));
	nl_attr_string(writer, NFTA_FLOWTABLE_TABLE, batch->table);
	nl_attr_string(writer, NFTA_FLOWTABLE_NAME, FLOWTABLE);
	hook = nl_nest(writer, NFTA_FLOWTABLE_HOOK);
	nl_attr_be32(writer, NFTA_FLOWTABLE_HOOK_NUM, NF_NETDEV_INGRESS);
	nl_attr_be32(writer, NFTA_FLOWTABLE_HOOK_PRIORITY, 0);
	names = nl_nest(writer, NFTA_FLOWTABLE_HOOK_DEVS);
	for (int i = 0; i < n_devices; i++)
		nl_attr_string(writer, NFTA_DEVICE_NAME, devices[i]);
	nl_nest_end(writer, names);
	nl_nest_end(writer, hook);
	nl_end(writer);
}

static void put_flow_add(struct nft_batch *batch, const char *chain)
{
	struct nl_writer *writer = &batch->writer;
	size_t rule, expression, data;

	nft_label(batch, "rule `flow add`");
	rule = nft_rule_begin(batch, chain);
	expression = nl_nest(writer, NFTA_LIST_ELEM);
	nl_attr_string(writer, NFTA_EXPR_NAME, "flow_offload");
	data = nl_nest(writer, NFTA_EXPR_DATA);
	nl_attr_string(writer, NFTA_FLOW_TABLE_NAME, FLOWTABLE);
	nl_nest_end(writer, data);
	nl_nest_end(writer, expression);
	nft_rule_end(batch, rule);
}

/* One nf_tables transaction on a socket of its own, filled by the caller between begin and commit. */
static int begin_batch(struct nft_batch *batch, struct nl_socket *sock, struct err *err)
{
	int ret = nl_socket_open(sock, NETLINK_NETFILTER, receive_memory, err);

	if (ret < 0)
		return ret;
	nft_batch_begin(batch, send_memory, sizeof(send_memory), nl_socket_next(sock));
	return 0;
}

static int run_flowtable(char **arguments, int n, struct err *err)
{
	const struct nft_hook forward = {.type = "filter", .number = NF_INET_FORWARD, .priority = 0};
	struct nl_socket sock = {.fd = -1};
	struct nft_batch batch;
	int ret;

	if (n < 1)
		return err_set(err, -EINVAL, "flowtable DEV...");
	ret = begin_batch(&batch, &sock, err);
	if (ret < 0)
		return ret;
	nft_table_add(&batch, NFPROTO_INET, "fw4");
	put_flowtable(&batch, arguments, n);
	nft_chain_add(&batch, "forward", &forward);
	put_flow_add(&batch, "forward");
	ret = nft_batch_commit(&batch, &sock, err);
	nl_socket_close(&sock);
	return ret;
}

static int run_live(char **arguments, int n, struct err *err)
{
	struct nl_socket sock = {.fd = -1};
	uint32_t uplink, carrier, mark;
	struct nft_batch batch;
	char chain[32];
	size_t nest;
	int ret;

	if (n != 2 || parse_number(arguments[0], LIMIT_UPLINKS - 1, &uplink) < 0 ||
	    parse_number(arguments[1], LIMIT_UPLINKS - 1, &carrier) < 0)
		return err_set(err, -EINVAL, "live UPLINK CARRIER");
	snprintf(chain, sizeof(chain), "carry_%u", carrier);
	mark = uplink + 1; /* the default mark_field */
	ret = begin_batch(&batch, &sock, err);
	if (ret < 0)
		return ret;
	nft_table_select(&batch, NFPROTO_INET, "jaga");
	nft_label(&batch, "change of live");
	nest = nft_elements_begin(&batch, NFT_MSG_DELSETELEM, "live");
	nft_element(&batch, &mark, sizeof(mark));
	nft_elements_end(&batch, nest);
	nest = nft_elements_begin(&batch, NFT_MSG_NEWSETELEM, "live");
	nft_element_goto(&batch, &mark, sizeof(mark), chain);
	nft_elements_end(&batch, nest);
	ret = nft_batch_commit(&batch, &sock, err);
	nl_socket_close(&sock);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **arguments, int n, struct err *err);
	} commands[] = {{"netem", run_netem}, {"flowtable", run_flowtable}, {"live", run_live}};
	struct err err = {0};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (commands[i].run(argv + 2, argc - 2, &err) == 0)
			return 0;
		fprintf(stderr, "guestctl: %s\n", err.text);
		return 1;
	}
	fputs("guestctl: netem, flowtable or live; see the head of guestctl.c\n", stderr);
	return 2;
}
