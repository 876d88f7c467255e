/*
 * router: what every driver shares: how an uplink is written into a mark. Mark 0 means "not ours", so
 * uplink i is i + 1 in the configured field; probes, rules and the forwarding plan all use this.
 */
#include "agent/router/router.h"

uint32_t router_uplink_mark(const struct agent_config *config, unsigned uplink)
{
	uint32_t lowest = config->mark_field & (~config->mark_field + 1);

	return (uplink + 1) * lowest;
}
