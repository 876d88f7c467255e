/*
 * linux_conntrack: forgets the flows that are bound to an uplink, so that their next packet starts a new
 * flow: hashed anew, with the address of the line that it now takes. One message does it, by mark and
 * mask (only our field; foreign bits do not matter) and, for flows that never saw a reply, by status.
 *
 * Kernels before 5.15 ignore CTA_STATUS_MASK and would delete every flow of the mark. There the flows
 * are listed and deleted one by one, by tuple and identity, a datagram of deletions at a time.
 *
 * How many flows went is the difference of the kernel's own count, which is exact but for flows that
 * begin or end in the same milliseconds; counting them one by one would take longer than the flush.
 *
 * Callers: linux.c. See linux/netfilter/nfnetlink_conntrack.h.
 */
#include "agent/router/linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE(n) ((uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | (n)))

static void begin(struct nl_writer *writer, unsigned message, uint16_t flags, uint32_t sequence, uint8_t family)
{
	struct nfgenmsg header = {.nfgen_family = family, .version = NFNETLINK_V0};

	nl_begin(writer, MESSAGE(message), NLM_F_REQUEST | flags, sequence);
	nl_put(writer, &header, sizeof(header));
}

static void put_mark(struct nl_writer *writer, const struct router *router, unsigned uplink)
{
	nl_attr_be32(writer, CTA_MARK, router_uplink_mark(router->config, uplink));
	nl_attr_be32(writer, CTA_MARK_MASK, router->config->mark_field);
}

/* 0 when it cannot be read: then nothing is reported as moved. */
static uint32_t count_flows(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/net/netfilter/nf_conntrack_count", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static int flush_at_once(struct router *router, unsigned uplink, enum router_flush what)
{
	uint32_t sequence = nl_socket_next(&router->netfilter);
	struct nl_writer writer;

	nl_writer_init(&writer, router->memory, sizeof(router->memory));
	begin(&writer, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, AF_UNSPEC);
	put_mark(&writer, router, uplink);
	if (what == ROUTER_FLUSH_UNREPLIED) {
		nl_attr_be32(&writer, CTA_STATUS, 0);
		nl_attr_be32(&writer, CTA_STATUS_MASK, IPS_SEEN_REPLY);
	}
	nl_end(&writer);
	return nl_socket_request(&router->netfilter, &writer, sequence, sequence, NULL, NULL, NULL);
}

/* --- one by one --- */

struct listing {
	struct router *router;
	struct nl_socket delete; /* a second socket: the first is in the middle of the dump */
	struct nl_writer writer; /* deletions that wait to be sent, in router->memory */
	uint32_t mark, field;
	uint32_t first;	   /* sequence number of the first deletion in writer */
	uint32_t n_waiting;
	enum router_flush what;
};

static int send_deletions(struct listing *listing)
{
	uint32_t last = listing->first + listing->n_waiting - 1;
	int ret;

	if (listing->n_waiting == 0)
		return 0;
	nl_add_flags(&listing->writer, NLM_F_ACK);
	ret = nl_socket_request(&listing->delete, &listing->writer, listing->first, last, NULL, NULL, NULL);
	nl_writer_init(&listing->writer, listing->router->memory, sizeof(listing->router->memory));
	listing->n_waiting = 0;
	return ret == -ENOENT ? 0 : ret; /* a flow may end by itself */
}

struct flow {
	struct nl_attr tuple, zone, id;
	uint32_t mark, status;
};

static int read_flow(const struct nl_message *message, uint8_t *ret_family, struct flow *ret_flow)
{
	struct nfgenmsg header;
	struct nl_reader attrs;
	struct nl_attr attr;

	*ret_flow = (struct flow){0};
	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	*ret_family = header.nfgen_family;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == CTA_TUPLE_ORIG)
			ret_flow->tuple = attr;
		else if (attr.type == CTA_ZONE)
			ret_flow->zone = attr;
		else if (attr.type == CTA_ID)
			ret_flow->id = attr;
		else if (attr.type == CTA_MARK)
			ret_flow->mark = nl_get_be32(&attrs, &attr);
		else if (attr.type == CTA_STATUS)
			ret_flow->status = nl_get_be32(&attrs, &attr);
	}
	return attrs.failed || !ret_flow->tuple.data ? -EBADMSG : 0;
}

static int take_flow(void *arg, const struct nl_message *message)
{
	struct listing *listing = arg;
	struct flow flow;
	uint32_t sequence;
	uint8_t family;
	int ret;

	if (message->type != MESSAGE(IPCTNL_MSG_CT_NEW))
		return 0;
	ret = read_flow(message, &family, &flow);
	if (ret < 0)
		return ret;
	if ((flow.mark & listing->field) != listing->mark ||
	    (listing->what == ROUTER_FLUSH_UNREPLIED && (flow.status & IPS_SEEN_REPLY)))
		return 0;
	sequence = nl_socket_next(&listing->delete);
	if (listing->n_waiting++ == 0)
		listing->first = sequence;
	begin(&listing->writer, IPCTNL_MSG_CT_DELETE, 0, sequence, family);
	nl_attr(&listing->writer, CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple.data, flow.tuple.length);
	if (flow.zone.data)
		nl_attr(&listing->writer, CTA_ZONE, flow.zone.data, flow.zone.length);
	if (flow.id.data)
		nl_attr(&listing->writer, CTA_ID, flow.id.data, flow.id.length);
	nl_end(&listing->writer);
	return listing->writer.length > sizeof(listing->router->memory) / 2 ? send_deletions(listing) : 0;
}

static int flush_one_by_one(struct router *router, unsigned uplink, enum router_flush what)
{
	struct listing listing = {
		.router = router,
		.delete.fd = -1,
		.mark = router_uplink_mark(router->config, uplink),
		.field = router->config->mark_field,
		.what = what,
	};
	uint32_t sequence = nl_socket_next(&router->netfilter);
	uint8_t memory[64] __attribute__((aligned(4)));
	uint8_t *receive = NULL;
	struct nl_writer request;
	int ret;

	receive = malloc(LIMIT_NETLINK_RECEIVE_BYTES); /* the dump's datagram is being read in router->receive */
	if (!receive)
		return -ENOMEM;
	ret = nl_socket_open(&listing.delete, NETLINK_NETFILTER, receive, NULL);
	if (ret < 0)
		goto out;
	nl_writer_init(&listing.writer, router->memory, sizeof(router->memory));
	nl_writer_init(&request, memory, sizeof(memory));
	begin(&request, IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, AF_UNSPEC);
	put_mark(&request, router, uplink);
	nl_end(&request);
	ret = nl_socket_dump(&router->netfilter, &request, sequence, take_flow, &listing);
	if (ret == -EAGAIN)
		ret = 0; /* flows come and go while they are listed; those of a dead uplink only go */
	if (ret == 0)
		ret = send_deletions(&listing);
out:
	nl_socket_close(&listing.delete);
	free(receive);
	return ret;
}

int linux_conntrack_flush(struct router *router, unsigned uplink, enum router_flush what, uint32_t *ret_flows,
			  struct err *err)
{
	uint32_t before = count_flows(), after;
	int ret;

	if (what == ROUTER_FLUSH_UNREPLIED && router->ct_flushes_one_by_one)
		ret = flush_one_by_one(router, uplink, what);
	else
		ret = flush_at_once(router, uplink, what);
	if (ret < 0)
		return err_sys(err, ret, "forgetting the flows of uplink %s", router->config->uplinks[uplink].name);
	after = count_flows();
	*ret_flows = before > after ? before - after : 0;
	return 0;
}
