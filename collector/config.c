/*
 * config: see config.h. One table of fields drives everything; a field is a name, a setter and a
 * remedy. common/ini reads the lines and tells the errors.
 */
#include "collector/config.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/ini.h"

struct field {
	const char *section, *name;
	/* 0, or negative errno: *base is the member at `offset`. */
	int (*set)(void *member, const char *value);
	size_t offset;
	const char *remedy;
};

#define MAX_FIELDS 16

struct parser {
	struct ini ini;
	unsigned seen[MAX_FIELDS]; /* line of each field, 0: not seen */
	struct collector_config config;
};

/* --- setters ----------------------------------------------------------------------------------- */

static int set_address(void *member, const char *value)
{
	return parse_address(value, 5684, member);
}

static int set_path(void *member, const char *value)
{
	if (value[0] != '/')
		return -EINVAL;
	if (strlen(value) >= LIMIT_PATH)
		return -ERANGE;
	strcpy(member, value);
	return 0;
}

/* A path that fits struct sockaddr_un. */
static int set_socket(void *member, const char *value)
{
	return strlen(value) >= 108 ? -ERANGE : set_path(member, value);
}

static int set_group(void *member, const char *value)
{
	if (!parse_is_name(value))
		return -EINVAL;
	strcpy(member, value);
	return 0;
}

static int set_keepalive(void *member, const char *value)
{
	return parse_duration_ms(value, 5000, 300000, member);
}

/* "512M" "4G": a number and a unit. */
static int set_bytes(void *member, const char *value)
{
	char digits[24];
	size_t length = strlen(value);
	uint64_t number, unit;

	if (length < 2 || length >= sizeof(digits))
		return -EINVAL;
	unit = value[length - 1] == 'M' ? 1ull << 20 : value[length - 1] == 'G' ? 1ull << 30 : 0;
	memcpy(digits, value, length - 1);
	digits[length - 1] = '\0';
	if (unit == 0 || parse_u64(digits, 0, LIMIT_STORE_MAX_BYTES, &number) == -EINVAL)
		return -EINVAL;
	if (parse_u64(digits, 1, LIMIT_STORE_MAX_BYTES / unit, &number) < 0 || number * unit < LIMIT_STORE_MIN_BYTES)
		return -ERANGE;
	*(uint64_t *)member = number * unit;
	return 0;
}

static int set_advertise(void *member, const char *value)
{
	struct collector_config *config = member;
	int r = parse_address(value, 5684, &config->advertise);

	if (r == 0)
		config->has_advertise = true;
	return r;
}

#define AT(member) offsetof(struct collector_config, member)
static const struct field fields[] = {
	{ "collector", "listen", set_address, AT(listen), "use a numeric ADDRESS or ADDRESS:PORT of this machine" },
	{ "collector", "advertise", set_advertise, 0, "use the numeric ADDRESS:PORT that agents can reach" },
	{ "collector", "keepalive", set_keepalive, AT(keepalive_ms), "use 5s to 5m; NAT forgets after 30s to 2m" },
	{ "store", "path", set_path, AT(store_path), "use an absolute path of a directory, at most 255 characters" },
	{ "store", "size", set_bytes, AT(store_bytes), "use 16M to 1024G, as in 4G" },
	{ "control", "socket", set_socket, AT(socket_path), "use an absolute path, at most 107 characters" },
	{ "control", "group", set_group, AT(socket_group), "use the name of a group of this machine" },
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))
_Static_assert(N_FIELDS <= MAX_FIELDS, "seen[] has a place for each");

/* --- lines --------------------------------------------------------------------------------------- */

static bool on_section(void *arg, struct ini *ini)
{
	(void)arg;
	for (size_t i = 0; i < N_FIELDS; i++)
		if (strcmp(fields[i].section, ini->header) == 0)
			return true;
	ini_tell(ini, ini->line, "[%s]: no such section; there are [collector], [store] and [control]", ini->header);
	return false;
}

static void on_value(void *arg, struct ini *ini, const char *name, const char *value)
{
	struct parser *parser = arg;

	for (size_t i = 0; i < N_FIELDS; i++) {
		const struct field *field = &fields[i];
		int r;

		if (strcmp(field->section, ini->header) != 0 || strcmp(field->name, name) != 0)
			continue;
		if (parser->seen[i] != 0) {
			ini_tell(ini, ini->line, "[%s] %s: is on line %u already; keep one", ini->header, name,
				 parser->seen[i]);
			return;
		}
		parser->seen[i] = ini->line;
		r = field->set((char *)&parser->config + field->offset, value);
		if (r < 0)
			ini_tell(ini, ini->line, "[%s] %s: '%s' is %s; %s", ini->header, name, value,
				 r == -ERANGE ? "out of range" : "not understood", field->remedy);
		return;
	}
	ini_tell(ini, ini->line, "[%s] %s: no such field here; see jaga-collector.conf(5)", ini->header, name);
}

static void set_defaults(struct collector_config *config)
{
	*config = (struct collector_config){
		.listen = { .family = AF_INET, .port = 5684 },
		.keepalive_ms = 25000,
		.store_path = "/var/lib/jaga/collector",
		.store_bytes = 4ull << 30,
		.socket_path = "/run/jaga/collector.sock",
	};
}

static bool is_any(const struct parse_address *address)
{
	return address->family == AF_INET ? address->v4.s_addr == INADDR_ANY
					  : IN6_IS_ADDR_UNSPECIFIED(&address->v6);
}

int config_load(const char *path, FILE *errors, struct collector_config *ret_config)
{
	static const struct ini_events events = {
		.first_section = "collector", .on_section = on_section, .on_value = on_value
	};
	struct parser parser = { .seen = { 0 } };
	int r;

	set_defaults(&parser.config);
	r = ini_read(&parser.ini, path, errors, &events, &parser);
	if (r < 0)
		return r;
	r = ini_finish(&parser.ini);
	if (r < 0)
		return r;
	if (!parser.config.has_advertise && !is_any(&parser.config.listen)) {
		parser.config.advertise = parser.config.listen;
		parser.config.has_advertise = true;
	}
	*ret_config = parser.config;
	return 0;
}
