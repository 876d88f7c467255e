/*
 * linux_route: routing table table_base + i of uplink i. Its default route goes through the uplink's
 * gateway with metric 1; behind it, with higher metrics, stand the other uplinks, so that the kernel
 * itself steps over an uplink without carrier (ignore_routes_with_linkdown) even when no agent runs, and
 * a socket that is bound to another uplink's interface finds its way. Fail-over does not touch any of it.
 *
 * Ours are recognised by their protocol number, in whatever table: after a crash or under another
 * configuration as well.
 *
 * Callers: linux.c (take-over, removal), linux_event.c (gateway changed, interface came back).
 */
#include "agent/router/linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static bool is_same_place(const struct linux_route *a, const struct linux_route *b)
{
	return a->family == b->family && a->table == b->table && a->metric == b->metric;
}

static bool is_same(const struct linux_route *a, const struct linux_route *b)
{
	unsigned family = linux_family(a->family);

	return is_same_place(a, b) && a->ifindex == b->ifindex && a->gateway.kind == b->gateway.kind &&
	       (a->gateway.kind != LINUX_GATEWAY_ADDRESS ||
		memcmp(a->gateway.address, b->gateway.address, linux_address_length(family)) == 0);
}

static const struct linux_route *find(const struct linux_routes *routes, const struct linux_route *route,
				      bool (*is_match)(const struct linux_route *a, const struct linux_route *b))
{
	for (unsigned i = 0; i < routes->n; i++) {
		if (is_match(&routes->list[i], route))
			return &routes->list[i];
	}
	return NULL;
}

/* --- reading --- */

void linux_gateway_decode(struct nl_reader *reader, const struct nl_attr *attr, unsigned family,
			  struct linux_gateway *gateway)
{
	if (attr->type == RTA_GATEWAY) {
		gateway->kind = LINUX_GATEWAY_ADDRESS;
		nl_get_bytes(reader, attr, gateway->address, linux_address_length(family));
	} else if (attr->type == RTA_VIA) { /* IPv4 by way of an IPv6 gateway: there is no IPv4 address to learn */
		gateway->kind = LINUX_GATEWAY_UNKNOWN;
	}
}

int linux_route_decode(const struct nl_message *message, struct linux_route *ret_route, struct nl_attr *ret_nexthops)
{
	struct linux_route route = {.gateway.kind = LINUX_GATEWAY_DEVICE};
	struct nl_attr attr, nexthops = {0};
	struct nl_reader attrs;
	struct rtmsg header;

	if (message->type != RTM_NEWROUTE || !nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	route.family = header.rtm_family;
	route.protocol = header.rtm_protocol;
	route.type = header.rtm_type;
	route.prefix = header.rtm_dst_len;
	route.table = header.rtm_table;
	while (nl_next_attr(&attrs, &attr)) {
		switch (attr.type) {
		case RTA_TABLE:
			route.table = nl_get_u32(&attrs, &attr);
			break;
		case RTA_PRIORITY:
			route.metric = nl_get_u32(&attrs, &attr);
			break;
		case RTA_OIF:
			route.ifindex = nl_get_u32(&attrs, &attr);
			break;
		case RTA_MULTIPATH:
			nexthops = attr;
			break;
		default:
			linux_gateway_decode(&attrs, &attr, linux_family(route.family), &route.gateway);
			break;
		}
	}
	if (attrs.failed)
		return -EBADMSG;
	*ret_route = route;
	*ret_nexthops = nexthops;
	return 0;
}

static int keep_ours(void *arg, const struct nl_message *message)
{
	struct linux_routes *routes = arg;
	struct nl_attr nexthops;
	struct linux_route route;
	int ret = linux_route_decode(message, &route, &nexthops);

	if (ret == 0 && route.protocol == LINUX_PROTOCOL && route.prefix == 0 && routes->n < LINUX_MAX_ROUTES)
		routes->list[routes->n++] = route;
	return ret;
}

int linux_routes_read(struct router *router, struct linux_routes *ret_routes, struct err *err)
{
	/* Kernels with strict checking filter by protocol; others send all, and keep_ours() filters. */
	const struct rtmsg header = {.rtm_protocol = LINUX_PROTOCOL};
	int ret, tries = LIMIT_DUMP_TRIES;

	do {
		ret_routes->n = 0;
		ret = linux_dump(router, RTM_GETROUTE, &header, sizeof(header), keep_ours, ret_routes);
	} while (ret == -EAGAIN && --tries > 0);
	return ret < 0 ? err_sys(err, ret, "asking for our routes") : 0;
}

/* --- wanting --- */

static bool is_usable(const struct linux_uplink *uplink, unsigned family)
{
	return uplink->ifindex && (uplink->flags & IFF_UP) && uplink->has_address[family] &&
	       uplink->gateway[family].kind != LINUX_GATEWAY_UNKNOWN;
}

void linux_routes_want(const struct router *router, struct linux_routes *ret_routes)
{
	unsigned n = router->config->n_uplinks;

	ret_routes->n = 0;
	for (unsigned family = LINUX_V4; family < LINUX_FAMILIES; family++) {
		for (unsigned i = 0; i < n * n; i++) {
			unsigned owner = i / n, rank = i % n, carrier = (owner + rank) % n;
			const struct linux_uplink *uplink = &router->uplinks[carrier];

			if (!is_usable(uplink, family))
				continue;
			ret_routes->list[ret_routes->n++] = (struct linux_route){
				.family = linux_address_family(family),
				.table = router->config->table_base + owner,
				.metric = 1 + rank,
				.ifindex = uplink->ifindex,
				.gateway = uplink->gateway[family],
			};
		}
	}
}

/* --- changing --- */

static int send_route(struct router *router, const struct linux_route *route, uint16_t type, uint16_t flags)
{
	uint32_t sequence = nl_socket_next(&router->route);
	unsigned family = linux_family(route->family);
	bool has_gateway = route->gateway.kind == LINUX_GATEWAY_ADDRESS;
	uint8_t memory[256] __attribute__((aligned(4)));
	struct rtmsg header = {
		.rtm_family = route->family,
		.rtm_protocol = LINUX_PROTOCOL,
		.rtm_type = RTN_UNICAST,
		.rtm_table = RT_TABLE_UNSPEC,
		.rtm_scope = has_gateway || family == LINUX_V6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		/* A gateway outside every connected network (/32 addresses of hosters) is the user's word: taken. */
		.rtm_flags = has_gateway ? RTNH_F_ONLINK : 0,
	};
	struct nl_writer writer;

	if (type == RTM_DELROUTE)
		header.rtm_scope = RT_SCOPE_NOWHERE; /* any */
	nl_writer_init(&writer, memory, sizeof(memory));
	nl_begin(&writer, type, NLM_F_REQUEST | NLM_F_ACK | flags, sequence);
	nl_put(&writer, &header, sizeof(header));
	nl_attr_u32(&writer, RTA_TABLE, route->table);
	nl_attr_u32(&writer, RTA_PRIORITY, route->metric);
	nl_attr_u32(&writer, RTA_OIF, route->ifindex);
	if (has_gateway)
		nl_attr(&writer, RTA_GATEWAY, route->gateway.address, linux_address_length(family));
	nl_end(&writer);
	return nl_socket_request(&router->route, &writer, sequence, sequence, NULL, NULL, NULL);
}

static int explain(const struct router *router, const struct linux_route *route, int error, const char *verb,
		   struct err *err)
{
	const char *interface = "an interface that is gone";
	char gateway[INET6_ADDRSTRLEN] = "no gateway";

	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		if (router->uplinks[i].ifindex == route->ifindex)
			interface = router->config->uplinks[i].interface;
	}
	if (route->gateway.kind == LINUX_GATEWAY_ADDRESS)
		inet_ntop(route->family, route->gateway.address, gateway, sizeof(gateway));
	return err_sys(err, error, "%s the default route via %s by %s in table %u", verb, gateway, interface, route->table);
}

/* One route that cannot be does not keep the others from being: the first error is returned, at the end. */
int linux_routes_change(struct router *router, const struct linux_routes *have, const struct linux_routes *want,
			struct err *err)
{
	int first = 0, ret;

	for (unsigned i = 0; i < want->n; i++) {
		const struct linux_route *route = &want->list[i];

		if (find(have, route, is_same))
			continue;
		ret = send_route(router, route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
		/* The interface went away or down since it was read: its event brings us here again. */
		if (ret < 0 && ret != -ENODEV && ret != -ENETDOWN && first == 0)
			first = explain(router, route, ret, "setting", err);
	}
	for (unsigned i = 0; i < have->n; i++) {
		const struct linux_route *route = &have->list[i];

		if (find(want, route, is_same_place))
			continue;
		ret = send_route(router, route, RTM_DELROUTE, 0);
		if (ret < 0 && ret != -ESRCH && ret != -ENODEV && first == 0)
			first = explain(router, route, ret, "deleting", err);
	}
	return first;
}
