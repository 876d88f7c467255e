/*
 * linux_link: interfaces, addresses and counters by rtnetlink. Interfaces are asked for by name each
 * time, since a PPPoE interface that redials comes back with another index and one that is missing
 * now may appear later.
 *
 * Carrier means: administratively up, lower layer up, and not declared dormant or down by whoever
 * drives the interface (operstate unknown counts as up: PPP and tunnels never say).
 *
 * Callers: linux.c, linux_event.c.
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static int read_link(void *arg, const struct nl_message *message)
{
	struct linux_link *answer = arg;
	struct rtnl_link_stats64 stats;
	struct ifinfomsg header;
	struct nl_reader attrs;
	struct nl_attr attr;

	if (message->type != RTM_NEWLINK)
		return 0;
	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	answer->ifindex = (unsigned)header.ifi_index;
	answer->flags = header.ifi_flags;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == IFLA_OPERSTATE) {
			answer->operstate = nl_get_u8(&attrs, &attr);
		} else if (attr.type == IFLA_MTU) {
			answer->mtu = nl_get_u32(&attrs, &attr);
		} else if (attr.type == IFLA_MASTER) {
			answer->master = nl_get_u32(&attrs, &attr);
		} else if (attr.type == IFLA_STATS64 && attr.length >= offsetof(struct rtnl_link_stats64, rx_errors)) {
			/* The struct grows with the kernel; its head is stable. */
			memcpy(&stats, attr.data, offsetof(struct rtnl_link_stats64, rx_errors));
			answer->counters.rx_bytes = stats.rx_bytes;
			answer->counters.tx_bytes = stats.tx_bytes;
		}
	}
	return attrs.failed ? -EBADMSG : 0;
}

int linux_link_ask(struct router *router, const char *name, struct linux_link *ret_link)
{
	uint32_t sequence = nl_socket_next(&router->route);
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
	uint8_t memory[128] __attribute__((aligned(4)));
	struct nl_writer writer;

	*ret_link = (struct linux_link){0};
	nl_writer_init(&writer, memory, sizeof(memory));
	nl_begin(&writer, RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, sequence);
	nl_put(&writer, &header, sizeof(header));
	nl_attr_string(&writer, IFLA_IFNAME, name);
	nl_end(&writer);
	return nl_socket_request(&router->route, &writer, sequence, sequence, NULL, read_link, ret_link);
}

static bool carries(unsigned flags, uint8_t operstate)
{
	return (flags & IFF_UP) && (flags & IFF_LOWER_UP) && (operstate == IF_OPER_UNKNOWN || operstate == IF_OPER_UP);
}

/* --- addresses --- */

static int read_address(void *arg, const struct nl_message *message)
{
	struct router *router = arg;
	struct ifaddrmsg header;
	struct nl_reader attrs;
	struct nl_attr attr;
	uint32_t flags;

	if (message->type != RTM_NEWADDR || !nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	flags = header.ifa_flags;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == IFA_FLAGS)
			flags = nl_get_u32(&attrs, &attr);
	}
	if (attrs.failed)
		return -EBADMSG;
	if (header.ifa_scope >= RT_SCOPE_LINK || (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)))
		return 0;
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		if (router->uplinks[i].ifindex == header.ifa_index)
			router->uplinks[i].has_address[linux_family(header.ifa_family)] = true;
	}
	return 0;
}

int linux_links_read(struct router *router, struct err *err)
{
	const struct ifaddrmsg header = {0};
	struct linux_link answer;
	int ret, tries = LIMIT_DUMP_TRIES;

	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		struct linux_uplink *uplink = &router->uplinks[i];
		const char *name = router->config->uplinks[i].interface;

		ret = linux_link_ask(router, name, &answer);
		if (ret < 0 && ret != -ENODEV)
			return err_sys(err, ret, "asking for interface %s", name);
		uplink->ifindex = ret == 0 ? answer.ifindex : 0;
		uplink->flags = answer.flags;
		uplink->has_carrier = uplink->ifindex && carries(answer.flags, answer.operstate);
		uplink->has_address[LINUX_V4] = uplink->has_address[LINUX_V6] = false;
	}
	do { /* addresses only accumulate: a second pass over a changing list errs to the old side until the next event */
		ret = linux_dump(router, RTM_GETADDR, &header, sizeof(header), read_address, router);
	} while (ret == -EAGAIN && --tries > 0);
	return ret < 0 ? err_sys(err, ret, "asking for addresses") : 0;
}

int linux_link_counters(struct router *router, unsigned uplink, struct router_counters *ret_counters)
{
	struct linux_link answer;
	int ret = linux_link_ask(router, router->config->uplinks[uplink].interface, &answer);

	if (ret == 0)
		*ret_counters = answer.counters;
	return ret;
}

/* Which family makes the uplink usable: IPv6 only when it is probed by IPv6 alone. */
static bool is_probed_by_ipv6_alone(const struct config_uplink *uplink)
{
	for (unsigned i = 0; i < uplink->n_targets; i++) {
		if (uplink->targets[i].family == AF_INET)
			return false;
	}
	return uplink->n_targets > 0;
}

void linux_uplink_state(const struct router *router, unsigned uplink, struct router_uplink_state *ret_state)
{
	const struct linux_uplink *u = &router->uplinks[uplink];
	unsigned family = is_probed_by_ipv6_alone(&router->config->uplinks[uplink]) ? LINUX_V6 : LINUX_V4;

	ret_state->has_carrier = u->has_carrier;
	ret_state->has_address = u->has_address[family] && u->gateway[family].kind != LINUX_GATEWAY_UNKNOWN;
}
