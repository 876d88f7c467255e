/*
 * config_setters: see config_setters.h. Called through the table of config_fields.c.
 */
#include "agent/config_setters.h"

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

/* The place of the value among n words. */
static int find_word(const char *value, const char *const words[], unsigned n, struct err *err)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(value, words[i]) == 0)
			return (int)i;
	return value_error(-EINVAL, value, err);
}

int config_set_name(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	(void)config;
	if (!parse_is_name(value))
		return err_set(err, -EINVAL, "'%s' is not a name", value);
	return set_text(value, member(field, base), LIMIT_NAME, err);
}

int config_set_path(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	(void)config;
	if (value[0] != '/')
		return err_set(err, -EINVAL, "'%s' is not an absolute path", value);
	return set_text(value, member(field, base), LIMIT_PATH, err);
}

int config_set_command(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		       struct err *err)
{
	(void)config;
	return set_text(value, member(field, base), LIMIT_PATH, err);
}

int config_set_u32(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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

int config_set_bool(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	int r = parse_bool(value, member(field, base));

	(void)config;
	return r < 0 ? value_error(r, value, err) : 0;
}

int config_set_ms(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		  struct err *err)
{
	int r = parse_duration_ms(value, field->min, field->max, member(field, base));

	(void)config;
	return r < 0 ? value_error(r, value, err) : 0;
}

int config_set_ms_or_off(const struct config_field *field, const char *value, struct agent_config *config, void *base,
			 struct err *err)
{
	if (strcmp(value, "off") != 0)
		return config_set_ms(field, value, config, base, err);
	*(int64_t *)member(field, base) = 0;
	return 0;
}

int config_set_us(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		  struct err *err)
{
	int64_t *us = member(field, base);
	int r = config_set_ms(field, value, config, base, err);

	if (r == 0)
		*us *= 1000;
	return r;
}

/* A number of bytes, with K or M for 1024 and 1024 x 1024. */
int config_set_bytes(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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

int config_set_interface(const struct config_field *field, const char *value, struct agent_config *config, void *base,
			 struct err *err)
{
	int r = check_interface(value, err);

	(void)config;
	return r < 0 ? r : set_text(value, member(field, base), LIMIT_INTERFACE, err);
}

int config_set_collector(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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

int config_set_scripts(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		       struct err *err)
{
	static const char *const words[] = { "off", "unsigned" };
	int word = find_word(value, words, 2, err);

	(void)field;
	(void)base;
	if (word < 0)
		return word;
	config->scripts_unsigned = word == 1;
	return 0;
}

int config_set_hash(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		    struct err *err)
{
	static const char *const words[] = {
		[CONFIG_HASH_BOTH_ADDRESSES] = "both-addresses",
		[CONFIG_HASH_SOURCE] = "source",
		[CONFIG_HASH_BOTH_ADDRESSES_AND_PORTS] = "both-addresses-and-ports",
	};
	int word = find_word(value, words, sizeof(words) / sizeof(words[0]), err);

	(void)field;
	(void)base;
	if (word < 0)
		return word;
	config->hash = (enum config_hash)word;
	return 0;
}

int config_set_driver(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		      struct err *err)
{
	static const char *const words[] = { [CONFIG_DRIVER_LINUX] = "linux", [CONFIG_DRIVER_ROUTEROS] = "routeros" };
	int word = find_word(value, words, sizeof(words) / sizeof(words[0]), err);

	(void)field;
	(void)base;
	if (word < 0)
		return word;
	config->driver = (enum config_driver)word;
	return 0;
}

int config_set_router(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		      struct err *err)
{
	(void)field;
	(void)base;
	if (parse_address(value, 0, &config->router) < 0) /* 0: of the service, see config_derive_routeros() */
		return err_set(err, -EINVAL, "'%s' is not a numeric address", value);
	config->has_router = true;
	return set_text(value, config->router_name, sizeof(config->router_name), err);
}

int config_set_tls(const struct config_field *field, const char *value, struct agent_config *config, void *base,
		   struct err *err)
{
	static const char *const words[] = {
		[CONFIG_TLS_OFF] = "off", [CONFIG_TLS_PINNED] = "pinned", [CONFIG_TLS_VERIFIED] = "verified",
	};
	int word;

	(void)field;
	(void)base;
	if (strcmp(value, "anonymous") == 0)
		return err_set(err, -EINVAL,
			       "'anonymous' proves nothing: whoever is in between reads the password; give api-ssl a "
			       "certificate (/ip service set api-ssl certificate=NAME) and take its pin (jaga-agent --pin)");
	word = find_word(value, words, sizeof(words) / sizeof(words[0]), err);
	if (word < 0)
		return word;
	config->tls = (enum config_tls)word;
	return 0;
}

int config_set_pin(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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
int config_set_host(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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

int config_set_gateway(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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

	if (*at == '\0')
		return false;
	*list = at + length + (at[length] == ',' ? 1 : 0);
	while (kept > 0 && strchr(" \t", at[kept - 1]))
		kept--;
	snprintf(ret_item, size, "%.*s", (int)kept, at);
	return true;
}

int config_set_targets(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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

int config_set_lans(const struct config_field *field, const char *value, struct agent_config *config, void *base,
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

int config_set_snapshot_file(const struct config_field *field, const char *value, struct agent_config *config,
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

int config_set_snapshot_command(const struct config_field *field, const char *value, struct agent_config *config,
				void *base, struct err *err)
{
	(void)field;
	(void)base;
	if (config->n_snapshot_commands == LIMIT_SNAPSHOT_SOURCES)
		return err_set(err, -ERANGE, "more than %d commands", LIMIT_SNAPSHOT_SOURCES);
	return set_text(value, config->snapshot_commands[config->n_snapshot_commands++], LIMIT_PATH, err);
}
