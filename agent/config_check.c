/*
 * config_check: contradictions between values that are right one by one. Called by config.c once a
 * file has been read without an error in its values; tells every contradiction, not only the first. Pure.
 */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "agent/config_fields.h"

struct check {
	const struct agent_config *config;
	config_check_fn *on_error;
	void *arg;
};

static void tell(const struct check *check, enum config_section section, unsigned uplink, const char *field,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));

static void tell(const struct check *check, enum config_section section, unsigned uplink, const char *field,
		 const char *format, ...)
{
	char text[LIMIT_ERR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	check->on_error(check->arg, &(struct config_check_error){ section, uplink, field, text });
}

/* dev_valid_name() of the kernel. */
static bool is_kernel_name(const char *name)
{
	return strlen(name) < IFNAMSIZ && strpbrk(name, "/: \t") == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* RouterOS lets people name interfaces as they like. */
static void check_names(const struct check *check)
{
	const struct agent_config *config = check->config;

	if (config->driver != CONFIG_DRIVER_LINUX)
		return;
	for (unsigned i = 0; i < config->n_uplinks; i++)
		if (!is_kernel_name(config->uplinks[i].interface))
			tell(check, CONFIG_SECTION_UPLINK, i, "interface",
			     "'%s' is not an interface name; name the interface of this line, as `ip link` shows it",
			     config->uplinks[i].interface);
	for (unsigned i = 0; i < config->n_lans; i++)
		if (!is_kernel_name(config->lans[i]))
			tell(check, CONFIG_SECTION_LAN, 0, "interfaces",
			     "'%s' is not an interface name; list the interfaces of your users, as in br-lan, eth3", config->lans[i]);
}

static void check_uplink(const struct check *check, unsigned i)
{
	const struct config_uplink *uplink = &check->config->uplinks[i];

	for (unsigned j = 0; j < i; j++)
		if (strcmp(uplink->interface, check->config->uplinks[j].interface) == 0)
			tell(check, CONFIG_SECTION_UPLINK, i, "interface",
			     "%s belongs to uplink %s already; give each uplink an interface of its own",
			     uplink->interface, check->config->uplinks[j].name);
	for (unsigned j = 0; j < check->config->n_lans; j++)
		if (strcmp(uplink->interface, check->config->lans[j]) == 0)
			tell(check, CONFIG_SECTION_UPLINK, i, "interface",
			     "%s is a LAN interface too; take it out of [lan] interfaces or out of this uplink",
			     uplink->interface);
	if (uplink->quorum > uplink->n_targets)
		tell(check, CONFIG_SECTION_UPLINK, i, "quorum",
		     "%u targets must answer but only %u are named; add targets or lower it", uplink->quorum,
		     uplink->n_targets);
	if (uplink->timeout_min_us > uplink->timeout_max_us)
		tell(check, CONFIG_SECTION_UPLINK, i, "timeout_min",
		     "is above timeout_max (%lld ms); make it smaller", (long long)(uplink->timeout_max_us / 1000));
	for (unsigned t = 0; t < uplink->n_targets; t++)
		if (uplink->targets[t].family == AF_INET6 && uplink->gateway_kind[1] == CONFIG_GATEWAY_NONE)
			tell(check, CONFIG_SECTION_UPLINK, i, "targets",
			     "holds an IPv6 address but gateway6 is none; write gateway6 = auto or take it out");
	if (uplink->nat6 && uplink->gateway_kind[1] == CONFIG_GATEWAY_NONE)
		tell(check, CONFIG_SECTION_UPLINK, i, "nat6",
		     "is yes but gateway6 is none; write gateway6 = auto or nat6 = no");
}

static bool is_same(const struct parse_address *one, const struct parse_address *other)
{
	return memcmp(one, other, sizeof(*one)) == 0;
}

static void check_routeros_uplink(const struct check *check, unsigned i)
{
	const struct config_uplink *uplink = &check->config->uplinks[i];

	if (!uplink->has_source)
		tell(check, CONFIG_SECTION_UPLINK, i, "source",
		     "is missing; give an address of this machine from which only this line is probed");
	if (!uplink->has_check_host)
		tell(check, CONFIG_SECTION_UPLINK, i, "check_host",
		     "is missing, since every target is one of another uplink too; name a host that only this line has");
	for (unsigned j = 0; j < i; j++) {
		const struct config_uplink *other = &check->config->uplinks[j];

		if (uplink->has_source && other->has_source && is_same(&uplink->source, &other->source))
			tell(check, CONFIG_SECTION_UPLINK, i, "source", "is that of uplink %s already; give each its own",
			     other->name);
		if (uplink->has_check_host && other->has_check_host && is_same(&uplink->check_host, &other->check_host))
			tell(check, CONFIG_SECTION_UPLINK, i, "check_host",
			     "is that of uplink %s already; the router reaches it through one line alone", other->name);
	}
	if (uplink->gateway_kind[1] != CONFIG_GATEWAY_NONE)
		tell(check, CONFIG_SECTION_UPLINK, i, "gateway6", "IPv6 is not steered on RouterOS yet; write none");
}

static void check_router(const struct check *check)
{
	const struct agent_config *config = check->config;

	if (config->driver != CONFIG_DRIVER_ROUTEROS)
		return;
	if (!config->has_router)
		tell(check, CONFIG_SECTION_ROUTER, 0, "address", "is missing; write the router's numeric address");
	if (config->router_user[0] == '\0')
		tell(check, CONFIG_SECTION_ROUTER, 0, "user", "is missing; name a user of the router");
	if (config->tls == CONFIG_TLS_PINNED && !config->has_pin)
		tell(check, CONFIG_SECTION_ROUTER, 0, "pin", "is missing; jaga-agent --pin ADDRESS shows what the router presents");
	if (config->tls == CONFIG_TLS_VERIFIED && config->ca_file[0] == '\0')
		tell(check, CONFIG_SECTION_ROUTER, 0, "ca_file", "is missing; name the file of the authority that signs for the router");
	/* What is written and not looked at would be relied on. */
	if (config->tls != CONFIG_TLS_PINNED && config->has_pin)
		tell(check, CONFIG_SECTION_ROUTER, 0, "pin", "counts with tls = pinned only; write that or take it out");
	if (config->tls != CONFIG_TLS_VERIFIED && config->ca_file[0] != '\0')
		tell(check, CONFIG_SECTION_ROUTER, 0, "ca_file", "counts with tls = verified only; write that or take it out");
	for (unsigned i = 0; i < config->n_uplinks; i++)
		check_routeros_uplink(check, i);
}

static void check_numbers(const struct check *check)
{
	const struct agent_config *config = check->config;
	uint32_t field = config->mark_field;
	uint32_t values = field >> __builtin_ctz(field);
	uint32_t last_table = config->table_base + config->n_uplinks - 1;

	if ((values & (values + 1)) != 0)
		tell(check, CONFIG_SECTION_AGENT, 0, "mark_field",
		     "0x%x has a gap; its bits must be neighbours, as in 0xff or 0x3f00", field);
	else if (values < config->n_uplinks)
		tell(check, CONFIG_SECTION_AGENT, 0, "mark_field",
		     "0x%x counts only to %u and there are %u uplinks; give it more bits", field, values,
		     config->n_uplinks);
	if (config->driver == CONFIG_DRIVER_LINUX && config->n_buckets < config->n_uplinks)
		tell(check, CONFIG_SECTION_AGENT, 0, "buckets", "%u are fewer than the %u uplinks; give at least one each",
		     config->n_buckets, config->n_uplinks);
	if (config->table_base <= 255 && last_table >= 253)
		tell(check, CONFIG_SECTION_AGENT, 0, "table_base",
		     "tables %u to %u hold the kernel's own (253 to 255); choose another base", config->table_base,
		     last_table);
}

void config_check(const struct agent_config *config, config_check_fn *on_error, void *arg)
{
	const struct check check = { config, on_error, arg };

	if (config->has_collector && config->identity[0] == '\0')
		tell(&check, CONFIG_SECTION_AGENT, 0, "collector",
		     "needs identity beside it; add the name that `jaga enroll` gave to this router");
	check_names(&check);
	for (unsigned i = 0; i < config->n_uplinks; i++)
		check_uplink(&check, i);
	if (config->n_uplinks > 0)
		check_numbers(&check);
	check_router(&check);
}
