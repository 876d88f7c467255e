/*
 * linux_gateway: where each uplink's packets go. A gateway is configured, or the interface itself
 * (point-to-point), or learnt: from any default route through the interface, whoever made it (DHCP
 * client, router advertisement, PPP daemon, a person), the one in the main table with the lowest metric
 * before others. Our own route counts last, so that a restarted agent knows what its forerunner knew.
 *
 * What was learnt stays as long as the uplink keeps an address: a DHCP client that rewrites its route
 * deletes it first, and whether the gateway is alive is for the probes to say.
 *
 * Callers: linux.c, linux_event.c.
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define OWN_ROUTE ((uint64_t)1 << 34) /* ranks above metrics and other tables */

struct candidate { /* best default route found through one uplink */
	bool is_found;
	uint64_t rank; /* lower is better */
	struct linux_gateway gateway;
};
struct search {
	const struct router *router;
	unsigned family;
	struct candidate best[LIMIT_UPLINKS];
};
struct default_route {
	uint32_t table, metric;
	uint8_t protocol;
};

static void consider(struct search *search, const struct default_route *route, unsigned ifindex,
		     const struct linux_gateway *gateway)
{
	uint64_t rank = route->metric;

	if (route->protocol == LINUX_PROTOCOL)
		rank |= OWN_ROUTE;
	else if (route->table != RT_TABLE_MAIN)
		rank |= (uint64_t)1 << 33;
	for (unsigned i = 0; i < search->router->config->n_uplinks; i++) {
		struct candidate *best = &search->best[i];

		if (ifindex == 0 || search->router->uplinks[i].ifindex != ifindex || (best->is_found && best->rank <= rank))
			continue;
		*best = (struct candidate){.is_found = true, .rank = rank, .gateway = *gateway};
	}
}

static void read_gateway(struct nl_reader *reader, const struct nl_attr *attr, unsigned family,
			 struct linux_gateway *ret_gateway)
{
	nl_get_bytes(reader, attr, ret_gateway->address, linux_address_length(family));
	ret_gateway->kind = LINUX_GATEWAY_ADDRESS;
}

static bool read_nexthops(struct search *search, const struct default_route *route, const struct nl_attr *list)
{
	struct rtnexthop hop;
	size_t offset = 0, step;

	while (list->length - offset >= sizeof(hop)) {
		struct linux_gateway gateway = {.kind = LINUX_GATEWAY_DEVICE};
		struct nl_reader attrs;
		struct nl_attr attr;

		memcpy(&hop, list->data + offset, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > list->length - offset)
			return false;
		nl_reader_init(&attrs, list->data + offset + sizeof(hop), hop.rtnh_len - sizeof(hop));
		while (nl_next_attr(&attrs, &attr)) {
			if (attr.type == RTA_GATEWAY)
				read_gateway(&attrs, &attr, search->family, &gateway);
		}
		if (attrs.failed)
			return false;
		consider(search, route, (unsigned)hop.rtnh_ifindex, &gateway);
		step = (size_t)RTNH_ALIGN(hop.rtnh_len);
		if (list->length - offset < step)
			break;
		offset += step;
	}
	return true;
}

static int read_route(void *arg, const struct nl_message *message)
{
	struct search *search = arg;
	struct linux_gateway gateway = {.kind = LINUX_GATEWAY_DEVICE};
	struct nl_attr attr, nexthops = {0};
	struct default_route route;
	unsigned ifindex = 0;
	bool is_foreign = false;
	struct nl_reader attrs;
	struct rtmsg header;

	if (message->type != RTM_NEWROUTE)
		return 0;
	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	if (header.rtm_dst_len != 0 || header.rtm_type != RTN_UNICAST || (header.rtm_flags & RTM_F_CLONED))
		return 0;
	route = (struct default_route){.table = header.rtm_table, .protocol = header.rtm_protocol};
	while (nl_next_attr(&attrs, &attr)) {
		switch (attr.type) {
		case RTA_TABLE:
			route.table = nl_get_u32(&attrs, &attr);
			break;
		case RTA_PRIORITY:
			route.metric = nl_get_u32(&attrs, &attr);
			break;
		case RTA_OIF:
			ifindex = nl_get_u32(&attrs, &attr);
			break;
		case RTA_GATEWAY:
			read_gateway(&attrs, &attr, search->family, &gateway);
			break;
		case RTA_MULTIPATH:
			nexthops = attr;
			break;
		case RTA_VIA: /* IPv4 by way of an IPv6 gateway: there is no IPv4 address to learn */
			is_foreign = true;
			break;
		default:
			break;
		}
	}
	if (attrs.failed || (nexthops.data && !read_nexthops(search, &route, &nexthops)))
		return -EBADMSG;
	if (!is_foreign)
		consider(search, &route, ifindex, &gateway);
	return 0;
}

static int search_family(struct router *router, struct search *search)
{
	struct rtmsg header = {.rtm_family = linux_address_family(search->family)};
	uint8_t memory[64] __attribute__((aligned(4)));
	struct nl_writer writer;
	uint32_t sequence;
	int ret, tries = 3;

	do {
		sequence = nl_socket_next(&router->route);
		memset(search->best, 0, sizeof(search->best));
		nl_writer_init(&writer, memory, sizeof(memory));
		nl_begin(&writer, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, sequence);
		nl_put(&writer, &header, sizeof(header));
		nl_end(&writer);
		ret = nl_socket_dump(&router->route, &writer, sequence, read_route, search);
	} while (ret == -EAGAIN && --tries > 0);
	return ret == -EAGAIN ? 0 : ret; /* routes that change all the time: the next event corrects it */
}

static void settle(struct linux_uplink *uplink, const struct config_uplink *config, unsigned family,
		   const struct candidate *found)
{
	struct linux_gateway *gateway = &uplink->gateway[family];
	struct linux_gateway fixed = {.kind = LINUX_GATEWAY_ADDRESS};

	uplink->has_default[family] = found->is_found && found->rank < OWN_ROUTE;
	switch (config->gateway_kind[family]) {
	case CONFIG_GATEWAY_ADDRESS:
		memcpy(fixed.address, family == LINUX_V4 ? (const void *)&config->gateway4 : (const void *)&config->gateway6,
		       linux_address_length(family));
		*gateway = fixed;
		return;
	case CONFIG_GATEWAY_NONE: /* for IPv6: none is wanted here */
		gateway->kind = family == LINUX_V4 ? LINUX_GATEWAY_DEVICE : LINUX_GATEWAY_UNKNOWN;
		return;
	case CONFIG_GATEWAY_AUTO:
		break;
	}
	if (!uplink->has_address[family])
		*gateway = (struct linux_gateway){0};
	else if (uplink->flags & IFF_POINTOPOINT)
		*gateway = (struct linux_gateway){.kind = LINUX_GATEWAY_DEVICE};
	else if (found->is_found)
		*gateway = found->gateway;
}

int linux_gateways_read(struct router *router, struct err *err)
{
	struct search search = {.router = router};
	int ret;

	for (search.family = LINUX_V4; search.family < LINUX_FAMILIES; search.family++) {
		if (search.family == LINUX_V6 && !router->has_ipv6)
			continue;
		ret = search_family(router, &search);
		if (ret < 0)
			return err_sys(err, ret, "asking for routes");
		for (unsigned i = 0; i < router->config->n_uplinks; i++)
			settle(&router->uplinks[i], &router->config->uplinks[i], search.family, &search.best[i]);
	}
	return 0;
}
