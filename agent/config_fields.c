/*
 * config_fields: the table of every field of the agent's file, its setters and the defaults.
 *
 * A setter gets the text of one value and the place where it belongs; what it cannot take it
 * describes in err, and config.c adds file, line, section, field and the remedy of the table. Ranges
 * live in the table, so that the error text and the check never differ. Pure.
 */
#include "agent/config_fields.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/limits.h"

static void *member(const struct config_field *field, void *base)
{
	return (char *)base + field->offset;
}

/* Number-like setters share this: what parse_*() returned, said in words. */
static int value_error(int code, const char *value, struct err *err)
{
	return err_set(err, code, code == -ERANGE ? "'%s' is out of range" : "'%s' is not understood", value);
}

static int set_text(const char *value, char *ret_text, size_t size, struct err *err)
{
	if (strlen(value) >= size)
		return err_set(err, -ERANGE, "'%s' is longer than %zu characters", value, size - 1);
	memcpy(ret_text, value, strlen(value) + 1);
	return 0;
}

static int set_name(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	(void)config;
	if (!parse_is_name(value))
		return err_set(err, -EINVAL, "'%s' is not a name", value);
	return set_text(value, member(field, base), LIMIT_NAME, err);
}

static int set_path(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	(void)config;
	if (value[0] != '/')
		return err_set(err, -EINVAL, "'%s' is not an absolute path", value);
	return set_text(value, member(field, base), LIMIT_PATH, err);
}

static int set_u32(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		   struct err *err)
{
	uint32_t number;
	int r = parse_u32(value, (uint32_t)field->min, (uint32_t)field->max, &number);

	(void)config;
	if (r < 0)
		return value_error(r, value, err);
	*(uint32_t *)member(field, base) = number;
	return 0;
}

static int set_bool(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	int r = parse_bool(value, member(field, base));

	(void)config;
	return r < 0 ? value_error(r, value, err) : 0;
}

static int set_ms(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		  struct err *err)
{
	int r = parse_duration_ms(value, field->min, field->max, member(field, base));

	(void)config;
	return r < 0 ? value_error(r, value, err) : 0;
}

static int set_ms_or_off(const struct config_field *field, const char *value, struct agent_config *config, void *base,
			 struct err *err)
{
	if (strcmp(value, "off") != 0)
		return set_ms(field, value, config, base, err);
	*(int64_t *)member(field, base) = 0;
	return 0;
}

static int set_us(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		  struct err *err)
{
	int64_t *us = member(field, base);
	int r = set_ms(field, value, config, base, err);

	if (r == 0)
		*us *= 1000;
	return r;
}

/* A number of bytes, with K or M for 1024 and 1024 x 1024. */
static int set_bytes(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		     struct err *err)
{
	size_t length = strlen(value);
	char digits[16];
	uint64_t number, unit = 1;
	int r;

	(void)config;
	if (length > 0 && strchr("kK", value[length - 1]))
		unit = 1024;
	else if (length > 0 && strchr("mM", value[length - 1]))
		unit = 1024 * 1024;
	if (unit > 1)
		length--;
	if (length == 0 || length >= sizeof(digits))
		return value_error(-EINVAL, value, err);
	memcpy(digits, value, length);
	digits[length] = '\0';
	r = parse_u64(digits, ((uint64_t)field->min + unit - 1) / unit, (uint64_t)field->max / unit, &number);
	if (r < 0)
		return value_error(r, value, err);
	*(uint32_t *)member(field, base) = (uint32_t)(number * unit);
	return 0;
}

static int check_interface(const char *value, struct err *err)
{
	size_t length = strlen(value);

	/* More is known when the driver is: config_check.c */
	return length == 0 || length >= LIMIT_INTERFACE ? err_set(err, -EINVAL, "'%s' is not an interface name", value) : 0;
}

static int set_interface(const struct config_field *field, const char *value, struct agent_config *config, void *base,
			 struct err *err)
{
	int r = check_interface(value, err);

	(void)config;
	return r < 0 ? r : set_text(value, member(field, base), LIMIT_INTERFACE, err);
}

static int set_collector(const struct config_field *field, const char *value, struct agent_config *config, void *base,
			 struct err *err)
{
	(void)field;
	(void)base;
	if (parse_address(value, 5684, &config->collector) < 0)
		return err_set(err, -EINVAL,
			       "'%s' is not a numeric address (names are not looked up: with the uplinks down there is "
			       "no DNS)",
			       value);
	config->has_collector = true;
	return 0;
}

static int set_scripts(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		       struct err *err)
{
	(void)field;
	(void)base;
	if (strcmp(value, "off") != 0 && strcmp(value, "unsigned") != 0)
		return value_error(-EINVAL, value, err);
	config->scripts_unsigned = strcmp(value, "unsigned") == 0;
	return 0;
}

static int set_hash(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	static const char *const names[] = {
		[CONFIG_HASH_BOTH_ADDRESSES] = "both-addresses",
		[CONFIG_HASH_SOURCE] = "source",
		[CONFIG_HASH_BOTH_ADDRESSES_AND_PORTS] = "both-addresses-and-ports",
	};

	(void)field;
	(void)base;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			config->hash = (enum config_hash)i;
			return 0;
		}
	}
	return value_error(-EINVAL, value, err);
}

static int set_driver(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		      struct err *err)
{
	(void)field;
	(void)base;
	if (strcmp(value, "linux") != 0 && strcmp(value, "routeros") != 0)
		return value_error(-EINVAL, value, err);
	config->driver = strcmp(value, "linux") == 0 ? CONFIG_DRIVER_LINUX : CONFIG_DRIVER_ROUTEROS;
	return 0;
}

static int set_router(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		      struct err *err)
{
	(void)field;
	(void)base;
	if (parse_address(value, 0, &config->router) < 0) /* 0: of the service, see config_derive_routeros() */
		return err_set(err, -EINVAL, "'%s' is not a numeric address", value);
	config->has_router = true;
	return set_text(value, config->router_name, sizeof(config->router_name), err);
}

static int set_tls(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		   struct err *err)
{
	static const char *const names[] = {
		[CONFIG_TLS_OFF] = "off", [CONFIG_TLS_PINNED] = "pinned", [CONFIG_TLS_VERIFIED] = "verified",
	};

	(void)field;
	(void)base;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			config->tls = (enum config_tls)i;
			return 0;
		}
	}
	if (strcmp(value, "anonymous") == 0)
		return err_set(err, -EINVAL,
			       "'anonymous' proves nothing: whoever is in between reads the password; give api-ssl a "
			       "certificate (/ip service set api-ssl certificate=NAME) and take its pin (jaga-agent --pin)");
	return value_error(-EINVAL, value, err);
}

static int set_pin(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		   struct err *err)
{
	(void)field;
	(void)base;
	if (parse_hex(value, config->pin, sizeof(config->pin)) < 0)
		return err_set(err, -EINVAL, "'%s' is not the SHA-256 of a certificate", value);
	config->has_pin = true;
	return 0;
}

/* An IPv4 address of its own; the flag beside it says that there is one. */
static int set_host(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	struct config_uplink *uplink = base;
	struct parse_address *host = member(field, base);

	(void)config;
	if (parse_address(value, 0, host) < 0 || host->port != 0 || host->family != AF_INET)
		return err_set(err, -EINVAL, "'%s' is not an IPv4 address", value);
	*(host == &uplink->source ? &uplink->has_source : &uplink->has_check_host) = true;
	return 0;
}

static int set_gateway(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		       struct err *err)
{
	struct config_uplink *uplink = base;
	unsigned v6 = field->min == AF_INET6;
	struct parse_address address;

	(void)config;
	if (strcmp(value, "auto") == 0 || strcmp(value, "none") == 0) {
		uplink->gateway_kind[v6] = value[0] == 'a' ? CONFIG_GATEWAY_AUTO : CONFIG_GATEWAY_NONE;
		return 0;
	}
	if (parse_address(value, 0, &address) < 0 || address.port != 0 || address.family != field->min)
		return err_set(err, -EINVAL, "'%s' is not an %s address", value, v6 ? "IPv6" : "IPv4");
	uplink->gateway_kind[v6] = CONFIG_GATEWAY_ADDRESS;
	if (v6)
		uplink->gateway6 = address.v6;
	else
		uplink->gateway4 = address.v4;
	return 0;
}

/* Cuts the next item off a comma list; false at its end. Blanks around an item are not part of it. */
static bool next_item(const char **list, char *ret_item, size_t size)
{
	const char *at = *list + strspn(*list, " \t");
	size_t length = strcspn(at, ",");
	size_t kept = length;

	if (*list == NULL || *at == '\0')
		return false;
	*list = at + length + (at[length] == ',' ? 1 : 0);
	while (kept > 0 && strchr(" \t", at[kept - 1]))
		kept--;
	snprintf(ret_item, size, "%.*s", (int)kept, at);
	return true;
}

static int set_targets(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		       struct err *err)
{
	struct config_uplink *uplink = base;
	struct parse_address address;
	char item[LIMIT_HOST];

	(void)field;
	(void)config;
	while (next_item(&value, item, sizeof(item))) {
		if (uplink->n_targets == LIMIT_TARGETS)
			return err_set(err, -ERANGE, "more than %d targets", LIMIT_TARGETS);
		if (parse_address(item, 0, &address) < 0 || address.port != 0)
			return err_set(err, -EINVAL, "'%s' is not a numeric IPv4 or IPv6 address", item);
		for (unsigned i = 0; i < uplink->n_targets; i++)
			if (memcmp(&uplink->targets[i], &address, sizeof(address)) == 0)
				return err_set(err, -EINVAL, "'%s' is named twice", item);
		uplink->targets[uplink->n_targets++] = address;
	}
	return uplink->n_targets > 0 ? 0 : err_set(err, -EINVAL, "is empty");
}

static int set_lans(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	char item[LIMIT_INTERFACE + 1]; /* room to see that it is too long */

	(void)field;
	(void)base;
	while (next_item(&value, item, sizeof(item))) {
		int r = check_interface(item, err);

		if (r < 0)
			return r;
		if (config->n_lans == LIMIT_LANS)
			return err_set(err, -ERANGE, "more than %d interfaces", LIMIT_LANS);
		for (unsigned i = 0; i < config->n_lans; i++)
			if (strcmp(config->lans[i], item) == 0)
				return err_set(err, -EINVAL, "'%s' is named twice", item);
		memcpy(config->lans[config->n_lans++], item, strlen(item) + 1);
	}
	return config->n_lans > 0 ? 0 : err_set(err, -EINVAL, "is empty");
}

static int set_snapshot_file(const struct config_field *field, const char *value, struct agent_config *config,
			     void *base, struct err *err)
{
	(void)field;
	(void)base;
	if (config->n_snapshot_files == LIMIT_SNAPSHOT_SOURCES)
		return err_set(err, -ERANGE, "more than %d files or patterns", LIMIT_SNAPSHOT_SOURCES);
	if (value[0] != '/')
		return err_set(err, -EINVAL, "'%s' is not an absolute path", value);
	if (strcspn(value, "*?") < (size_t)(strrchr(value, '/') - value))
		return err_set(err, -EINVAL, "'%s' has a wildcard in its folder", value);
	return set_text(value, config->snapshot_files[config->n_snapshot_files++], LIMIT_PATH, err);
}

static int set_command(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		       struct err *err)
{
	(void)config;
	return set_text(value, member(field, base), LIMIT_PATH, err);
}

static int set_snapshot_command(const struct config_field *field, const char *value, struct agent_config *config,
				void *base, struct err *err)
{
	(void)field;
	(void)base;
	if (config->n_snapshot_commands == LIMIT_SNAPSHOT_SOURCES)
		return err_set(err, -ERANGE, "more than %d commands", LIMIT_SNAPSHOT_SOURCES);
	return set_text(value, config->snapshot_commands[config->n_snapshot_commands++], LIMIT_PATH, err);
}

#define AGENT(member) CONFIG_SECTION_AGENT, #member, .offset = offsetof(struct agent_config, member)
#define UPLINK(member) CONFIG_SECTION_UPLINK, #member, .offset = offsetof(struct config_uplink, member)
#define MONITOR(name, kind)                                                                                            \
	CONFIG_SECTION_MONITOR, name, .offset = offsetof(struct agent_config, monitor_ms[CONFIG_MONITOR_##kind]),     \
		.set = set_ms_or_off, .min = 1 * SECONDS, .max = 1 * DAYS, .remedy = "give 1s to 1d, as in 30s, or off"
#define SECONDS 1000
#define MINUTES (60 * SECONDS)
#define DAYS (24 * 60 * MINUTES)

static const struct config_field fields[] = {
	{ AGENT(identity), .set = set_name, .remedy = "use the name given by `jaga enroll`: letters, digits, . _ -, at most 31" },
	{ AGENT(collector), .set = set_collector, .remedy = "write its address, as in 192.0.2.1 or [2001:db8::1]:5684" },
	{ AGENT(key_file), .set = set_path, .remedy = "give an absolute path" },
	{ AGENT(state_dir), .set = set_path, .remedy = "give an absolute path on storage that survives a reboot" },
	{ CONFIG_SECTION_AGENT, "socket", .offset = offsetof(struct agent_config, socket_path), .set = set_path,
	  .remedy = "give an absolute path" },
	{ CONFIG_SECTION_AGENT, "scripts", .set = set_scripts, .remedy = "write off or unsigned" },
	{ AGENT(mark_field), .set = set_u32, .min = 1, .max = UINT32_MAX,
	  .remedy = "give neighbouring bits that nothing else on this router uses, as in 0xff or 0x3f00" },
	{ CONFIG_SECTION_AGENT, "hash", .set = set_hash,
	  .remedy = "write both-addresses, source or both-addresses-and-ports" },
	{ CONFIG_SECTION_AGENT, "buckets", .offset = offsetof(struct agent_config, n_buckets), .set = set_u32,
	  .min = 1, .max = LIMIT_BUCKETS, .remedy = "give a number from 1 to 64" },
	{ AGENT(table_base), .set = set_u32, .min = 1, .max = INT32_MAX,
	  .remedy = "give a routing table number from 1 to 2147483647 that nothing else uses" },
	{ AGENT(rule_base), .set = set_u32, .min = 1, .max = 32700,
	  .remedy = "give a rule preference from 1 to 32700 (main is 32766)" },
	{ CONFIG_SECTION_AGENT, "sample_interval", .offset = offsetof(struct agent_config, sample_interval_ms),
	  .set = set_ms, .min = 1 * SECONDS, .max = 1 * DAYS, .remedy = "give 1s to 1d, as in 60s" },
	{ CONFIG_SECTION_AGENT, "enabled", .offset = offsetof(struct agent_config, is_enabled), .set = set_bool,
	  .remedy = "write yes or no" },
	{ AGENT(take_over), .set = set_bool, .remedy = "write yes, or no for an agent that only watches" },
	{ CONFIG_SECTION_AGENT, "spool", .offset = offsetof(struct agent_config, spool_bytes), .set = set_bytes,
	  .min = 8192, .max = LIMIT_SPOOL_MAX_BYTES, .remedy = "give 8K to 8M, as in 128K" },

	{ CONFIG_SECTION_LAN, "interfaces", .set = set_lans, .is_required = true, .is_list = true,
	  .remedy = "list the interfaces of your users, as in br-lan, eth3" },

	{ CONFIG_SECTION_ROUTER, "driver", .set = set_driver, .remedy = "write linux or routeros" },
	{ CONFIG_SECTION_ROUTER, "address", .set = set_router,
	  .remedy = "write the router's address, as in 192.168.88.1 or 192.168.88.1:8728" },
	{ CONFIG_SECTION_ROUTER, "tls", .set = set_tls, .remedy = "write off, pinned or verified" },
	{ CONFIG_SECTION_ROUTER, "pin", .set = set_pin, .remedy = "give the 64 hexadecimal digits that jaga-agent --pin prints" },
	{ CONFIG_SECTION_ROUTER, "ca_file", .offset = offsetof(struct agent_config, ca_file), .set = set_path,
	  .remedy = "give an absolute path" },
	{ CONFIG_SECTION_ROUTER, "user", .offset = offsetof(struct agent_config, router_user), .set = set_name,
	  .remedy = "name a user of the router whose group has the policies read, write, test and api" },
	{ CONFIG_SECTION_ROUTER, "password_file", .offset = offsetof(struct agent_config, password_file), .set = set_path,
	  .remedy = "give an absolute path" },

	{ UPLINK(interface), .set = set_interface, .is_required = true,
	  .remedy = "name the interface of this line, as `ip link` shows it" },
	{ UPLINK(source), .set = set_host, .remedy = "give an IPv4 address of this machine that only this line has" },
	{ UPLINK(check_host), .set = set_host, .remedy = "give an IPv4 address that only this line has" },
	{ CONFIG_SECTION_UPLINK, "gateway", .set = set_gateway, .min = AF_INET,
	  .remedy = "write auto, an IPv4 address, or none for a point-to-point line" },
	{ CONFIG_SECTION_UPLINK, "gateway6", .set = set_gateway, .min = AF_INET6,
	  .remedy = "write auto, an IPv6 address, or none when there is no IPv6 on this line" },
	{ UPLINK(weight), .set = set_u32, .min = 1, .max = 100, .remedy = "give a number from 1 to 100" },
	{ UPLINK(tier), .set = set_u32, .min = 1, .max = 16, .remedy = "give a number from 1 to 16" },
	{ UPLINK(nat), .set = set_bool, .remedy = "write yes or no" },
	{ UPLINK(nat6), .set = set_bool, .remedy = "write yes or no" },
	{ UPLINK(metered), .set = set_bool, .remedy = "write yes or no" },
	{ CONFIG_SECTION_UPLINK, "targets", .set = set_targets, .is_required = true, .is_list = true,
	  .remedy = "list one to eight addresses beyond the provider, as in 1.1.1.1, 9.9.9.9" },
	{ UPLINK(quorum), .set = set_u32, .min = 1, .max = LIMIT_TARGETS,
	  .remedy = "give how many targets must answer, from 1 to 8" },
	{ CONFIG_SECTION_UPLINK, "probe_interval", .offset = offsetof(struct config_uplink, probe_interval_us),
	  .set = set_us, .min = 20, .max = 1 * MINUTES, .remedy = "give 20ms to 1m, as in 100ms" },
	{ CONFIG_SECTION_UPLINK, "timeout_min", .offset = offsetof(struct config_uplink, timeout_min_us),
	  .set = set_us, .min = 10, .max = 30 * SECONDS, .remedy = "give 10ms to 30s, as in 200ms" },
	{ CONFIG_SECTION_UPLINK, "timeout_max", .offset = offsetof(struct config_uplink, timeout_max_us),
	  .set = set_us, .min = 10, .max = 30 * SECONDS, .remedy = "give 10ms to 30s, as in 3s" },

	{ MONITOR("resources", RESOURCES) },
	{ MONITOR("ppp", PPP) },
	{ MONITOR("hotspot", HOTSPOT) },
	{ MONITOR("ospf", OSPF) },
	{ MONITOR("bgp", BGP) },
	{ MONITOR("l2tp", L2TP) },
	{ MONITOR("interfaces", INTERFACES) },
	{ MONITOR("netwatch", NETWATCH) },
	{ MONITOR("lte", LTE) },

	{ CONFIG_SECTION_SCRIPTS, "reload", .offset = offsetof(struct agent_config, script_reload), .set = set_command,
	  .remedy = "give the command that applies files which were put back, as in networkctl reload" },

	{ CONFIG_SECTION_SNAPSHOT, "file", .set = set_snapshot_file, .is_repeatable = true,
	  .remedy = "give a path or pattern a line, at most 16, as in /etc/config/*" },
	{ CONFIG_SECTION_SNAPSHOT, "command", .set = set_snapshot_command, .is_repeatable = true,
	  .remedy = "give a command a line, at most 16, as in ip -4 rule show" },
	{ CONFIG_SECTION_SNAPSHOT, "interval", .offset = offsetof(struct agent_config, snapshot_interval_ms),
	  .set = set_ms, .min = 1 * SECONDS, .max = 7 * (int64_t)DAYS, .remedy = "give 1s to 7d, as in 1h" },
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
