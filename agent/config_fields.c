/*
 * config_fields: the table of every field of the agent's file: where it belongs, which setter takes its value
 * (config_setters.h), and the remedy that config.c names when it does not. Ranges live in the table, so that the
 * error text and the check never differ. Pure.
 */
#include "agent/config_fields.h"

#include <string.h>

#include "agent/config_setters.h"
#include "common/limits.h"

#define AGENT(member) CONFIG_SECTION_AGENT, #member, .offset = offsetof(struct agent_config, member)
#define UPLINK(member) CONFIG_SECTION_UPLINK, #member, .offset = offsetof(struct config_uplink, member)
#define MONITOR(name, kind)                                                                                            \
	CONFIG_SECTION_MONITOR, name, .offset = offsetof(struct agent_config, monitor_ms[CONFIG_MONITOR_##kind]),     \
		.set = config_set_ms_or_off, .min = 1 * SECONDS, .max = 1 * DAYS, .remedy = "give 1s to 1d, as in 30s, or off"

static const struct config_field fields[] = {
	{ AGENT(identity), .set = config_set_name, .remedy = "use the name given by `jaga enroll`: letters, digits, . _ -, at most 31" },
	{ AGENT(collector), .set = config_set_collector, .remedy = "write its address, as in 192.0.2.1 or [2001:db8::1]:5684" },
	{ AGENT(key_file), .set = config_set_path, .remedy = "give an absolute path" },
	{ AGENT(state_dir), .set = config_set_path, .remedy = "give an absolute path on storage that survives a reboot" },
	{ CONFIG_SECTION_AGENT, "socket", .offset = offsetof(struct agent_config, socket_path), .set = config_set_path,
	  .remedy = "give an absolute path" },
	{ CONFIG_SECTION_AGENT, "scripts", .set = config_set_scripts, .remedy = "write off or unsigned" },
	{ AGENT(mark_field), .set = config_set_u32, .min = 1, .max = UINT32_MAX,
	  .remedy = "give neighbouring bits that nothing else on this router uses, as in 0xff or 0x3f00" },
	{ CONFIG_SECTION_AGENT, "hash", .set = config_set_hash,
	  .remedy = "write both-addresses, source or both-addresses-and-ports" },
	{ CONFIG_SECTION_AGENT, "buckets", .offset = offsetof(struct agent_config, n_buckets), .set = config_set_u32,
	  .min = 1, .max = LIMIT_BUCKETS, .remedy = "give a number from 1 to 64" },
	{ AGENT(table_base), .set = config_set_u32, .min = 1, .max = INT32_MAX,
	  .remedy = "give a routing table number from 1 to 2147483647 that nothing else uses" },
	{ AGENT(rule_base), .set = config_set_u32, .min = 1, .max = 32700,
	  .remedy = "give a rule preference from 1 to 32700 (main is 32766)" },
	{ CONFIG_SECTION_AGENT, "sample_interval", .offset = offsetof(struct agent_config, sample_interval_ms),
	  .set = config_set_ms, .min = 1 * SECONDS, .max = 1 * DAYS, .remedy = "give 1s to 1d, as in 60s" },
	{ CONFIG_SECTION_AGENT, "enabled", .offset = offsetof(struct agent_config, is_enabled), .set = config_set_bool,
	  .remedy = "write yes or no" },
	{ AGENT(take_over), .set = config_set_bool, .remedy = "write yes, or no for an agent that only watches" },
	{ CONFIG_SECTION_AGENT, "spool", .offset = offsetof(struct agent_config, spool_bytes), .set = config_set_bytes,
	  .min = 8192, .max = LIMIT_SPOOL_MAX_BYTES, .remedy = "give 8K to 8M, as in 128K" },

	{ CONFIG_SECTION_LAN, "interfaces", .set = config_set_lans, .is_required = true, .is_list = true,
	  .remedy = "list the interfaces of your users, as in br-lan, eth3" },

	{ CONFIG_SECTION_ROUTER, "driver", .set = config_set_driver, .remedy = "write linux or routeros" },
	{ CONFIG_SECTION_ROUTER, "address", .set = config_set_router,
	  .remedy = "write the router's address, as in 192.168.88.1 or 192.168.88.1:8728" },
	{ CONFIG_SECTION_ROUTER, "tls", .set = config_set_tls, .remedy = "write off, pinned or verified" },
	{ CONFIG_SECTION_ROUTER, "pin", .set = config_set_pin, .remedy = "give the 64 hexadecimal digits that jaga-agent --pin prints" },
	{ CONFIG_SECTION_ROUTER, "ca_file", .offset = offsetof(struct agent_config, ca_file), .set = config_set_path,
	  .remedy = "give an absolute path" },
	{ CONFIG_SECTION_ROUTER, "user", .offset = offsetof(struct agent_config, router_user), .set = config_set_name,
	  .remedy = "name a user of the router whose group has the policies read, write, test and api" },
	{ CONFIG_SECTION_ROUTER, "password_file", .offset = offsetof(struct agent_config, password_file), .set = config_set_path,
	  .remedy = "give an absolute path" },

	{ UPLINK(interface), .set = config_set_interface, .is_required = true,
	  .remedy = "name the interface of this line, as `ip link` shows it" },
	{ UPLINK(source), .set = config_set_host, .remedy = "give an IPv4 address of this machine that only this line has" },
	{ UPLINK(check_host), .set = config_set_host, .remedy = "give an IPv4 address that only this line has" },
	{ CONFIG_SECTION_UPLINK, "gateway", .set = config_set_gateway, .min = AF_INET,
	  .remedy = "write auto, an IPv4 address, or none for a point-to-point line" },
	{ CONFIG_SECTION_UPLINK, "gateway6", .set = config_set_gateway, .min = AF_INET6,
	  .remedy = "write auto, an IPv6 address, or none when there is no IPv6 on this line" },
	{ UPLINK(weight), .set = config_set_u32, .min = 1, .max = 100, .remedy = "give a number from 1 to 100" },
	{ UPLINK(tier), .set = config_set_u32, .min = 1, .max = 16, .remedy = "give a number from 1 to 16" },
	{ UPLINK(nat), .set = config_set_bool, .remedy = "write yes or no" },
	{ UPLINK(nat6), .set = config_set_bool, .remedy = "write yes or no" },
	{ UPLINK(metered), .set = config_set_bool, .remedy = "write yes or no" },
	{ CONFIG_SECTION_UPLINK, "targets", .set = config_set_targets, .is_required = true, .is_list = true,
	  .remedy = "list one to eight addresses beyond the provider, as in 1.1.1.1, 9.9.9.9" },
	{ UPLINK(quorum), .set = config_set_u32, .min = 1, .max = LIMIT_TARGETS,
	  .remedy = "give how many targets must answer, from 1 to 8" },
	{ CONFIG_SECTION_UPLINK, "probe_interval", .offset = offsetof(struct config_uplink, probe_interval_us),
	  .set = config_set_us, .min = 20, .max = 1 * MINUTES, .remedy = "give 20ms to 1m, as in 100ms" },
	{ CONFIG_SECTION_UPLINK, "timeout_min", .offset = offsetof(struct config_uplink, timeout_min_us),
	  .set = config_set_us, .min = 10, .max = 30 * SECONDS, .remedy = "give 10ms to 30s, as in 200ms" },
	{ CONFIG_SECTION_UPLINK, "timeout_max", .offset = offsetof(struct config_uplink, timeout_max_us),
	  .set = config_set_us, .min = 10, .max = 30 * SECONDS, .remedy = "give 10ms to 30s, as in 3s" },

	{ MONITOR("resources", RESOURCES) },
	{ MONITOR("ppp", PPP) },
	{ MONITOR("hotspot", HOTSPOT) },
	{ MONITOR("ospf", OSPF) },
	{ MONITOR("bgp", BGP) },
	{ MONITOR("l2tp", L2TP) },
	{ MONITOR("interfaces", INTERFACES) },
	{ MONITOR("netwatch", NETWATCH) },
	{ MONITOR("lte", LTE) },

	{ CONFIG_SECTION_SCRIPTS, "reload", .offset = offsetof(struct agent_config, script_reload), .set = config_set_command,
	  .remedy = "give the command that applies files which were put back, as in networkctl reload" },

	{ CONFIG_SECTION_SNAPSHOT, "file", .set = config_set_snapshot_file, .is_repeatable = true,
	  .remedy = "give a path or pattern a line, at most 16, as in /etc/config/*" },
	{ CONFIG_SECTION_SNAPSHOT, "command", .set = config_set_snapshot_command, .is_repeatable = true,
	  .remedy = "give a command a line, at most 16, as in ip -4 rule show" },
	{ CONFIG_SECTION_SNAPSHOT, "interval", .offset = offsetof(struct agent_config, snapshot_interval_ms),
	  .set = config_set_ms, .min = 1 * SECONDS, .max = 7 * (int64_t)DAYS, .remedy = "give 1s to 7d, as in 1h" },
};

const struct config_field *config_field_at(enum config_section section, unsigned index)
{
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].section == section && index-- == 0)
			return &fields[i];
	return NULL;
}

const struct config_field *config_field_find(enum config_section section, const char *name, unsigned *ret_index)
{
	const struct config_field *field;

	for (unsigned i = 0; (field = config_field_at(section, i)) != NULL; i++) {
		if (strcmp(field->name, name) == 0) {
			*ret_index = i;
			return field;
		}
	}
	return NULL;
}
