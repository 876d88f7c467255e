/*
 * routeros_site: what ros_plan has to know, from the configuration and from what the router told. Called by
 * routeros_keep.c and routeros_steer.c, which use it at once: it points into both. Pure.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/routeros.h"
#include "agent/uplink/balance.h"

/*
 * Networks that no provider routes. What goes there is meant for a place inside, behind another router or a tunnel, and
 * the router's own routes know where: a default of a line never does.
 */
static const struct private_network {
	uint32_t network, mask;
	const char *text;
} private_networks[LIMIT_ROS_PRIVATE] = {
	{ 0x0a000000, 0xff000000, "10.0.0.0/8" },     { 0xac100000, 0xfff00000, "172.16.0.0/12" },
	{ 0xc0a80000, 0xffff0000, "192.168.0.0/16" }, { 0x64400000, 0xffc00000, "100.64.0.0/10" },
	{ 0xa9fe0000, 0xffff0000, "169.254.0.0/16" }, { 0xe0000000, 0xf0000000, "224.0.0.0/4" },
};

static bool holds(const struct private_network *net, const struct parse_address *address)
{
	return address->family == AF_INET && (ntohl(address->v4.s_addr) & net->mask) == net->network;
}

/* Not where a line is probed: lines that end in a private network, as in a company or a laboratory, are balanced, too. */
static bool is_inside(const struct agent_config *config, const struct private_network *net)
{
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct config_uplink *uplink = &config->uplinks[i];

		if (holds(net, &uplink->check_host))
			return false;
		for (unsigned t = 0; t < uplink->n_targets; t++)
			if (holds(net, &uplink->targets[t]))
				return false;
	}
	return true;
}

bool routeros_is_private(const struct agent_config *config, uint32_t network, uint32_t mask)
{
	for (unsigned i = 0; i < LIMIT_ROS_PRIVATE; i++) {
		const struct private_network *net = &private_networks[i];

		if ((network & net->mask) == net->network && (mask & net->mask) == net->mask && is_inside(config, net))
			return true;
	}
	return false;
}

static void put_networks(struct router *router, struct ros_site *site)
{
	for (unsigned i = 0; i < LIMIT_ROS_PRIVATE; i++)
		if (is_inside(router->config, &private_networks[i]))
			site->networks[site->n_networks++] = private_networks[i].text;
	for (unsigned i = 0; i < router->model.n_networks; i++)
		site->networks[site->n_networks++] = router->model.networks[i];
}

/* The plan in which every uplink is up: what the router falls back to when the agent is gone. */
static void put_home(const struct agent_config *config, struct ros_site *site)
{
	uint32_t weights[LIMIT_UPLINKS], tiers[LIMIT_UPLINKS];
	struct balance balance;
	struct forwarding_plan plan;

	for (unsigned i = 0; i < config->n_uplinks; i++) {
		weights[i] = config->uplinks[i].weight;
		tiers[i] = config->uplinks[i].tier;
	}
	balance_init(&balance, config->n_uplinks, weights, tiers, config->n_buckets, &plan);
	memcpy(site->home, plan.bucket, sizeof(site->home));
}

static bool shares_network(const struct router *router, unsigned uplink)
{
	const struct ros_model_uplink *own = &router->model.uplinks[uplink], *other;

	for (unsigned i = 0; own->has_address && i < router->config->n_uplinks; i++) {
		other = &router->model.uplinks[i];
		if (i != uplink && other->has_address && ((own->network ^ other->network) & own->mask & other->mask) == 0)
			return true;
	}
	return false;
}

/* "10.0.1.1%ether1" where the address alone may be on either of two lines. */
static const char *gateway_of(struct router *router, unsigned uplink)
{
	const struct ros_model_uplink *model = &router->model.uplinks[uplink];
	const char *gateway = model->gateway[0] != '\0' ? model->gateway : model->last_gateway;
	struct in_addr address;

	if (inet_pton(AF_INET, gateway, &address) != 1 || !shares_network(router, uplink))
		return gateway;
	snprintf(router->gateways[uplink], sizeof(router->gateways[0]), "%s%%%s", gateway, router->config->uplinks[uplink].interface);
	return router->gateways[uplink];
}

void routeros_site(struct router *router, struct ros_site *ret_site)
{
	static const char *const hashes[] = {
		[CONFIG_HASH_BOTH_ADDRESSES] = "both-addresses",
		[CONFIG_HASH_SOURCE] = "src-address",
		[CONFIG_HASH_BOTH_ADDRESSES_AND_PORTS] = "both-addresses-and-ports",
	};
	const struct agent_config *config = router->config;

	*ret_site = (struct ros_site){
		.major = router->model.major,
		.n_uplinks = config->n_uplinks,
		.n_lans = config->n_lans,
		.n_buckets = config->n_buckets,
		.hash = hashes[config->hash],
	};
	for (unsigned i = 0; i < config->n_lans; i++)
		ret_site->lans[i] = config->lans[i];
	memcpy(ret_site->has_hotspot, router->model.has_hotspot, sizeof(ret_site->has_hotspot));
	put_networks(router, ret_site);
	put_home(config, ret_site);
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct config_uplink *uplink = &config->uplinks[i];

		inet_ntop(AF_INET, &uplink->check_host.v4, router->check_hosts[i], sizeof(router->check_hosts[i]));
		inet_ntop(AF_INET, &uplink->source.v4, router->sources[i], sizeof(router->sources[i]));
		ret_site->uplinks[i] = (struct ros_uplink){
			.name = uplink->name,
			.interface = uplink->interface,
			.gateway = gateway_of(router, i),
			.target = router->check_hosts[i],
			.source = router->sources[i],
			.tier = uplink->tier,
			.has_nat = uplink->nat,
		};
	}
}
