/*
 * routeros_site: what ros_plan has to know, from the configuration and from what the router told. Called by
 * routeros_keep.c and routeros_steer.c, which use it at once: it points into both. Pure.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/routeros.h"
#include "agent/uplink/balance.h"

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
		.n_networks = router->model.n_networks,
		.n_buckets = config->n_buckets,
		.hash = hashes[config->hash],
	};
	for (unsigned i = 0; i < config->n_lans; i++)
		ret_site->lans[i] = config->lans[i];
	memcpy(ret_site->has_hotspot, router->model.has_hotspot, sizeof(ret_site->has_hotspot));
	for (unsigned i = 0; i < router->model.n_networks; i++)
		ret_site->networks[i] = router->model.networks[i];
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
