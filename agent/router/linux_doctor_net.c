/*
 * linux_doctor_net: the doctor's look at interfaces, addresses and default routes. See linux_doctor.c.
 */
#include "agent/router/linux_doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* --- interfaces --- */

int linux_check_interfaces(struct linux_doctor *doctor, struct err *err)
{
	const struct agent_config *config = doctor->config;
	struct linux_link link;
	int ret;

	for (unsigned i = 0; i < config->n_uplinks + config->n_lans; i++) {
		bool is_uplink = i < config->n_uplinks;
		const char *name = is_uplink ? config->uplinks[i].interface : config->lans[i - config->n_uplinks];

		ret = linux_link_ask(doctor->router, name, &link);
		if (ret < 0 && ret != -ENODEV)
			return err_sys(err, ret, "asking for interface %s", name);
		if (ret == -ENODEV)
			linux_trap(doctor, ROUTER_TRAP_WARNING, "interface",
				   "correct the name in agent.conf; an interface that comes later (PPP) is taken when it appears",
				   "there is no interface %s (%s)", name, is_uplink ? config->uplinks[i].name : "LAN");
		else if (link.master && is_uplink)
			linux_trap(doctor, ROUTER_TRAP_WARNING, "interface",
				   "name the bridge, bond or VRF itself, or take the interface out of it",
				   "%s (uplink %s) belongs to another interface, which does the routing", name,
				   config->uplinks[i].name);
		else if (!(link.flags & IFF_UP))
			linux_trap(doctor, ROUTER_TRAP_WARNING, "interface", "ip link set up, and in the network configuration",
				   "%s is down", name);
	}
	return 0;
}

/* --- addresses --- */

struct address {
	unsigned ifindex;
	const char *interface; /* of the configuration */
	int uplink;	       /* -1: a LAN */
	uint8_t family, prefix;
	uint8_t bytes[16];
};
struct addresses {
	const struct linux_doctor *doctor;
	unsigned lans[LIMIT_LANS]; /* interface indexes */
	unsigned n;
	struct address list[LIMIT_DOCTOR_ADDRESSES];
};

static void find_owner(const struct addresses *addresses, struct address *address)
{
	const struct agent_config *config = addresses->doctor->config;

	for (unsigned i = 0; i < config->n_uplinks; i++) {
		if (addresses->doctor->router->uplinks[i].ifindex == address->ifindex) {
			address->interface = config->uplinks[i].interface;
			address->uplink = (int)i;
		}
	}
	for (unsigned i = 0; i < config->n_lans; i++) {
		if (addresses->lans[i] == address->ifindex)
			address->interface = config->lans[i];
	}
}

static int read_address(void *arg, const struct nl_message *message)
{
	struct addresses *addresses = arg;
	struct address address = {.uplink = -1};
	struct ifaddrmsg header;
	struct nl_reader attrs;
	struct nl_attr attr;
	bool has_local = false;

	if (message->type != RTM_NEWADDR || !nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	if (header.ifa_scope >= RT_SCOPE_LINK)
		return 0;
	address.ifindex = header.ifa_index;
	address.family = header.ifa_family;
	address.prefix = header.ifa_prefixlen;
	while (nl_next_attr(&attrs, &attr)) { /* IFA_ADDRESS is the peer's where there is IFA_LOCAL */
		if (attr.type == IFA_LOCAL || (attr.type == IFA_ADDRESS && !has_local))
			nl_get_bytes(&attrs, &attr, address.bytes, header.ifa_family == AF_INET ? 4 : 16);
		has_local |= attr.type == IFA_LOCAL;
	}
	if (attrs.failed || address.prefix > (header.ifa_family == AF_INET ? 32 : 128))
		return -EBADMSG;
	find_owner(addresses, &address);
	if (address.interface && addresses->n < LIMIT_DOCTOR_ADDRESSES)
		addresses->list[addresses->n++] = address;
	return 0;
}

static int read_addresses(struct linux_doctor *doctor, struct addresses *addresses, struct err *err)
{
	const struct ifaddrmsg header = {0};
	struct linux_link link;
	int ret;

	*addresses = (struct addresses){.doctor = doctor};
	for (unsigned i = 0; i < doctor->config->n_lans; i++) {
		if (linux_link_ask(doctor->router, doctor->config->lans[i], &link) == 0)
			addresses->lans[i] = link.ifindex;
	}
	ret = linux_dump(doctor->router, RTM_GETADDR, &header, sizeof(header), read_address, addresses);
	return ret < 0 && ret != -EAGAIN ? err_sys(err, ret, "asking for addresses") : 0;
}

static bool overlap(const struct address *a, const struct address *b)
{
	unsigned bits = a->prefix < b->prefix ? a->prefix : b->prefix;
	uint8_t mask = (uint8_t)(0xff00 >> (bits % 8));

	return a->family == b->family && bits > 0 && memcmp(a->bytes, b->bytes, bits / 8) == 0 &&
	       (bits % 8 == 0 || ((a->bytes[bits / 8] ^ b->bytes[bits / 8]) & mask) == 0);
}

static void compare_addresses(struct linux_doctor *doctor, const struct address *a, const struct address *b)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->ifindex == b->ifindex || !overlap(a, b) || (a->uplink < 0 && b->uplink < 0))
		return;
	inet_ntop(a->family, a->bytes, text, sizeof(text));
	if (a->uplink >= 0 && b->uplink >= 0 && memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 16) == 0)
		linux_trap(doctor, ROUTER_TRAP_WARNING, "same-address",
			   "give one modem another network in its own settings, or set both to bridge mode",
			   "%s and %s have the same address %s: the modems cannot be told apart", a->interface, b->interface,
			   text);
	else
		linux_trap(doctor, ROUTER_TRAP_WARNING, "overlap",
			   "renumber one of the two networks: addresses in both are reached on one side only",
			   "the networks of %s (%s/%u) and %s overlap", a->interface, text, a->prefix, b->interface);
}

/* Two uplinks by way of the same gateway address (two modems, both 192.168.1.1). */
static void compare_gateways(struct linux_doctor *doctor)
{
	for (unsigned i = 0; i < doctor->config->n_uplinks; i++) {
		const struct linux_gateway *a = &doctor->router->uplinks[i].gateway[LINUX_V4];

		for (unsigned j = i + 1; j < doctor->config->n_uplinks; j++) {
			const struct linux_gateway *b = &doctor->router->uplinks[j].gateway[LINUX_V4];
			char text[INET_ADDRSTRLEN] = "";

			if (a->kind != LINUX_GATEWAY_ADDRESS || b->kind != LINUX_GATEWAY_ADDRESS ||
			    memcmp(a->address, b->address, 4) != 0)
				continue;
			inet_ntop(AF_INET, a->address, text, sizeof(text));
			linux_trap(doctor, ROUTER_TRAP_WARNING, "same-gateway",
				   "give one modem another address in its own settings",
				   "uplinks %s and %s have the same gateway %s", doctor->config->uplinks[i].name,
				   doctor->config->uplinks[j].name, text);
		}
	}
}

int linux_check_addresses(struct linux_doctor *doctor, struct err *err)
{
	struct addresses addresses;
	int ret = read_addresses(doctor, &addresses, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < doctor->config->n_uplinks; i++) {
		const struct linux_uplink *uplink = &doctor->router->uplinks[i];
		struct router_uplink_state state;

		linux_uplink_state(doctor->router, i, &state);
		if (uplink->ifindex == 0 || state.has_address)
			continue;
		if (!uplink->has_address[LINUX_V4] && !uplink->has_address[LINUX_V6])
			linux_trap(doctor, ROUTER_TRAP_WARNING, "address", "start its DHCP client or PPP daemon, or set one",
				   "uplink %s (%s) has no address", doctor->config->uplinks[i].name,
				   doctor->config->uplinks[i].interface);
		else
			linux_trap(doctor, ROUTER_TRAP_WARNING, "gateway",
				   "set gateway = ADDRESS in its section (none: point-to-point); auto needs a default route through it",
				   "no gateway is known for uplink %s (%s)", doctor->config->uplinks[i].name,
				   doctor->config->uplinks[i].interface);
	}
	for (unsigned i = 0; i < addresses.n; i++) {
		for (unsigned j = i + 1; j < addresses.n; j++)
			compare_addresses(doctor, &addresses.list[i], &addresses.list[j]);
	}
	compare_gateways(doctor);
	return 0;
}

/* --- default routes of the main table --- */

struct defaults {
	unsigned n;
	struct linux_route list[LIMIT_DOCTOR_ADDRESSES];
};

/* IPv4 only: default routes of router advertisements all have the same metric, and the kernel chooses by its own rules. */
static int read_default(void *arg, const struct nl_message *message)
{
	struct defaults *defaults = arg;
	struct nl_attr nexthops;
	struct linux_route route;
	int ret = linux_route_decode(message, &route, &nexthops);

	if (ret == 0 && route.family == AF_INET && route.prefix == 0 && route.type == RTN_UNICAST &&
	    route.table == RT_TABLE_MAIN && defaults->n < LIMIT_DOCTOR_ADDRESSES)
		defaults->list[defaults->n++] = route;
	return ret;
}

int linux_check_defaults(struct linux_doctor *doctor, struct err *err)
{
	const struct rtmsg header = {0};
	struct defaults defaults = {0};
	int ret = linux_dump(doctor->router, RTM_GETROUTE, &header, sizeof(header), read_default, &defaults);

	if (ret < 0 && ret != -EAGAIN)
		return err_sys(err, ret, "asking for default routes");
	for (unsigned i = 0; i < defaults.n; i++) {
		for (unsigned j = i + 1; j < defaults.n; j++) {
			if (defaults.list[i].metric != defaults.list[j].metric ||
			    defaults.list[i].ifindex == defaults.list[j].ifindex)
				continue;
			linux_trap(doctor, ROUTER_TRAP_WARNING, "equal-metric",
				   "give each DHCP client a metric of its own (RouteMetric=, option metric, -m)",
				   "two default routes of the main table have metric %u: which one unmarked traffic takes is chance",
				   defaults.list[i].metric);
		}
	}
	return 0;
}

/* --- IPv6 --- */

int linux_check_ipv6(struct linux_doctor *doctor, struct err *err)
{
	const struct agent_config *config = doctor->config;
	unsigned with_ipv6 = 0, without_nat = 0;

	(void)err; /* all of it was read when the router was opened */
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		bool is_wanted = config->uplinks[i].gateway_kind[LINUX_V6] != CONFIG_GATEWAY_NONE;

		with_ipv6 += is_wanted;
		if (is_wanted && doctor->router->uplinks[i].ifindex &&
		    doctor->router->uplinks[i].gateway[LINUX_V6].kind == LINUX_GATEWAY_UNKNOWN)
			linux_trap(doctor, ROUTER_TRAP_WARNING, "ipv6-gateway",
				   "sysctl -w net.ipv6.conf.INTERFACE.accept_ra=2 (a router ignores advertisements otherwise), or "
				   "gateway6 = ADDRESS",
				   "no IPv6 gateway is known for uplink %s (%s)", config->uplinks[i].name,
				   config->uplinks[i].interface);
		without_nat += is_wanted && !config->uplinks[i].nat6;
		if (doctor->router->uplinks[i].has_address[LINUX_V6] && !is_wanted && doctor->router->uplinks[i].has_default[LINUX_V6])
			linux_trap(doctor, ROUTER_TRAP_WARNING, "ipv6-leak",
				   "gateway6 = auto (with nat6 = yes where prefixes differ), or take IPv6 off that uplink",
				   "%s has an IPv6 default route and gateway6 = none: users' IPv6 leaves there only, and dies with it",
				   config->uplinks[i].interface);
	}
	if (with_ipv6 > 1 && without_nat > 0)
		linux_trap(doctor, ROUTER_TRAP_WARNING, "ipv6-prefix",
			   "nat6 = yes on those uplinks, unless the same prefix is routed by all of them",
			   "%u uplinks carry IPv6 without NAT: a flow that moves keeps the other provider's source address",
			   without_nat);
	return 0;
}
