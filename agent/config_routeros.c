/*
 * config_routeros: what follows from a configuration whose uplinks are those of a RouterOS router, and is not
 * written in it. Called by config.c once the values are right one by one, before config_check(). Pure.
 *
 * Buckets: RouterOS deals out connections by PCC, a rule for each part, so there are as few parts as the weights
 * allow: 60 to 40 is 3 to 2. check_host: the host by which the router itself checks a line must be another one for
 * each line, since it is reached through that line alone.
 */
#include <string.h>

#include "agent/config_fields.h"

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static unsigned count_buckets(const struct agent_config *config)
{
	uint32_t lowest = UINT32_MAX, divisor = 0, sum = 0;

	for (unsigned i = 0; i < config->n_uplinks; i++)
		if (config->uplinks[i].tier < lowest)
			lowest = config->uplinks[i].tier;
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		if (config->uplinks[i].tier != lowest)
			continue;
		divisor = greatest_common_divisor(config->uplinks[i].weight, divisor);
		sum += config->uplinks[i].weight;
	}
	sum /= divisor;
	return sum < LIMIT_BUCKETS ? sum : LIMIT_BUCKETS;
}

static bool is_named_elsewhere(const struct agent_config *config, unsigned uplink, const struct parse_address *host)
{
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct config_uplink *other = &config->uplinks[i];

		if (i == uplink)
			continue;
		if (other->has_check_host && memcmp(&other->check_host, host, sizeof(*host)) == 0)
			return true;
		for (unsigned t = 0; t < other->n_targets; t++)
			if (memcmp(&other->targets[t], host, sizeof(*host)) == 0)
				return true;
	}
	return false;
}

void config_derive_routeros(struct agent_config *config)
{
	if (config->n_uplinks > 0)
		config->n_buckets = count_buckets(config);
	if (config->router.port == 0)
		config->router.port = config->tls == CONFIG_TLS_OFF ? 8728 : 8729; /* api, api-ssl */
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		struct config_uplink *uplink = &config->uplinks[i];

		for (unsigned t = 0; t < uplink->n_targets && !uplink->has_check_host; t++) {
			if (is_named_elsewhere(config, i, &uplink->targets[t]))
				continue;
			uplink->check_host = uplink->targets[t];
			uplink->has_check_host = true;
		}
	}
}
