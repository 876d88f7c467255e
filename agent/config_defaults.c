/*
 * config_defaults: what holds where the agent's file says nothing. Called by config.c: first the whole, then each
 * uplink as its section begins; the snapshot's sources at the end, when the file named none. Pure.
 */
#include "agent/config_fields.h"

#include <stdio.h>

#include "common/limits.h"

void config_set_defaults(struct agent_config *config)
{
	*config = (struct agent_config){
		.is_enabled = true,
		.take_over = true,
		.key_file = "/etc/jaga/agent.key",
		.state_dir = "/var/lib/jaga-agent",
		.socket_path = "/run/jaga-agent/agent.sock",
		.mark_field = 0xff,
		.hash = CONFIG_HASH_BOTH_ADDRESSES,
		.n_buckets = 60, /* shares of halves, thirds, quarters, fifths and tenths come out exactly */
		.table_base = 7100,
		.rule_base = 7100,
		.sample_interval_ms = 1 * MINUTES,
		.spool_bytes = LIMIT_SPOOL_ROUTER_BYTES,
		.snapshot_interval_ms = 60 * MINUTES,
		/* Users, neighbours, tunnels and hosts are told by the router when they change: reading them is the second look. */
		.monitor_ms = { [CONFIG_MONITOR_RESOURCES] = 1 * MINUTES,
				[CONFIG_MONITOR_PPP] = 5 * MINUTES,
				[CONFIG_MONITOR_HOTSPOT] = 5 * MINUTES,
				[CONFIG_MONITOR_OSPF] = 10 * SECONDS,
				[CONFIG_MONITOR_BGP] = 10 * SECONDS,
				[CONFIG_MONITOR_L2TP] = 1 * MINUTES,
				[CONFIG_MONITOR_INTERFACES] = 10 * SECONDS,
				[CONFIG_MONITOR_NETWATCH] = 30 * SECONDS,
				[CONFIG_MONITOR_LTE] = 1 * MINUTES },
	};
}

void config_set_openwrt_defaults(struct agent_config *config)
{
	snprintf(config->state_dir, sizeof(config->state_dir), "/etc/jaga/state");
	snprintf(config->socket_path, sizeof(config->socket_path), "/var/run/jaga-agent/agent.sock");
}

void config_set_uplink_defaults(struct config_uplink *uplink)
{
	*uplink = (struct config_uplink){
		.gateway_kind = { CONFIG_GATEWAY_AUTO, CONFIG_GATEWAY_NONE },
		.weight = 1,
		.tier = 1,
		.nat = true,
		.quorum = 1,
		.probe_interval_us = 100 * 1000,
		.timeout_min_us = 200 * 1000,
		.timeout_max_us = 3 * 1000 * 1000,
	};
}

void config_set_snapshot_defaults(struct agent_config *config, bool is_openwrt)
{
	static const char *const commands[] = {
		"nft -s list ruleset",	       "ip -4 rule show",	       "ip -6 rule show",
		"ip -4 route show table all", "ip -6 route show table all", "ip -o address show",
	};

	if (config->n_snapshot_files > 0 || config->n_snapshot_commands > 0)
		return;
	if (is_openwrt) {
		snprintf(config->snapshot_files[config->n_snapshot_files++], LIMIT_PATH, "/etc/config/*");
		return;
	}
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		snprintf(config->snapshot_commands[config->n_snapshot_commands++], LIMIT_PATH, "%s", commands[i]);
}
