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
	struct candidate best[LINUX_FAMILIES][LIMIT_UPLINKS];
};

static void consider(struct search *search, const struct linux_route *route, unsigned ifindex,
		     const struct linux_gateway *gateway)
{
	uint64_t rank = route->metric;

	if (route->protocol == LINUX_PROTOCOL)
		rank |= OWN_ROUTE;
	else if (route->table != RT_TABLE_MAIN)
		rank |= (uint64_t)1 << 33;
	if (gateway->kind == LINUX_GATEWAY_UNKNOWN)
		return;
	for (unsigned i = 0; i < search->router->config->n_uplinks; i++) {
		struct candidate *best = &search->best[linux_family(route->family)][i];

		if (ifindex == 0 || search->router->uplinks[i].ifindex != ifindex || (best->is_found && best->rank <= rank))
			continue;
		*best = (struct candidate){.is_found = true, .rank = rank, .gateway = *gateway};
	}
}

static bool read_nexthops(struct search *search, const struct linux_route *route, const struct nl_attr *list)
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
		while (nl_next_attr(&attrs, &attr))
			linux_gateway_decode(&attrs, &attr, linux_family(route->family), &gateway);
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
	struct nl_attr nexthops;
	struct linux_route route;
	int ret = linux_route_decode(message, &route, &nexthops);

	if (ret < 0 || route.prefix != 0 || route.type != RTN_UNICAST)
		return ret;
	if (nexthops.data && !read_nexthops(search, &route, &nexthops))
		return -EBADMSG;
	consider(search, &route, route.ifindex, &route.gateway);
	return 0;
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
	const struct rtmsg header = {0};
	struct search search;
	int ret, tries = LIMIT_DUMP_TRIES;

	do {
		search = (struct search){.router = router};
		ret = linux_dump(router, RTM_GETROUTE, &header, sizeof(header), read_route, &search);
	} while (ret == -EAGAIN && --tries > 0);
	if (ret < 0 && ret != -EAGAIN) /* routes that change all the time: the next event corrects it */
		return err_sys(err, ret, "asking for routes");
	for (unsigned family = LINUX_V4; family < linux_families(router); family++) {
		for (unsigned i = 0; i < router->config->n_uplinks; i++)
			settle(&router->uplinks[i], &router->config->uplinks[i], family, &search.best[family][i]);
	}
	return 0;
}
