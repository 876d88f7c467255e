/*
 * config: see config.h. One table of fields drives everything; a field is a name, a setter and a
 * remedy. The format is the agent's (`[section]`, `field = value`, `#` and `;` at the start of a line
 * for comments), read line by line here: inih knows neither line numbers nor where a section began.
 */
#include "collector/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

struct field {
	const char *section, *name;
	/* 0, or negative errno: *base is the member at `offset`. */
	int (*set)(void *member, const char *value);
	size_t offset;
	const char *remedy;
};

struct parser {
	const char *path;
	FILE *errors;
	unsigned line, n_errors;
	char section[LIMIT_NAME]; /* "": none, or one that was refused */
	bool has_header;
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

/* --- lines --------------------------------------------------------------------------------------- */

static void tell(struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct parser *parser, const char *format, ...)
{
	va_list args;

	if (parser->n_errors++ >= LIMIT_INI_ERRORS)
		return;
	fprintf(parser->errors, "%s:%u: ", parser->path, parser->line);
	va_start(args, format);
	vfprintf(parser->errors, format, args);
	va_end(args);
	fputc('\n', parser->errors);
}

/* Cuts blanks at both ends, in place. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t");
	length = strlen(text);
	while (length > 0 && strchr(" \t\r\n", text[length - 1]))
		text[--length] = '\0';
	return text;
}

static void read_section(struct parser *parser, char *text)
{
	size_t length = strlen(text);

	parser->has_header = true;
	parser->section[0] = '\0';
	if (text[length - 1] != ']') {
		tell(parser, "'%s' has no closing ]; write it as [collector]", text);
		return;
	}
	text[length - 1] = '\0';
	for (size_t i = 0; i < N_FIELDS; i++) {
		if (strcmp(fields[i].section, text + 1) == 0) {
			strcpy(parser->section, fields[i].section);
			return;
		}
	}
	tell(parser, "[%s]: no such section; there are [collector], [store] and [control]", text + 1);
}

static void read_field(struct parser *parser, const char *name, const char *value, bool seen[static N_FIELDS])
{
	for (size_t i = 0; i < N_FIELDS; i++) {
		const struct field *field = &fields[i];
		int r;

		if (strcmp(field->section, parser->section) != 0 || strcmp(field->name, name) != 0)
			continue;
		if (seen[i]) {
			tell(parser, "[%s] %s: given twice; keep one of them", parser->section, name);
			return;
		}
		seen[i] = true;
		r = field->set((char *)&parser->config + field->offset, value);
		if (r < 0)
			tell(parser, "[%s] %s: '%s' is %s; %s", parser->section, name, value,
			     r == -ERANGE ? "out of range" : "not understood", field->remedy);
		return;
	}
	tell(parser, "[%s] %s: no such field here; see jaga-collector.conf(5)", parser->section, name);
}

static void read_line(struct parser *parser, char *line, bool seen[static N_FIELDS])
{
	char *text = trim(line), *equals;

	if (text[0] == '\0' || text[0] == '#' || text[0] == ';')
		return;
	if (text[0] == '[') {
		read_section(parser, text);
		return;
	}
	equals = strchr(text, '=');
	if (!equals) {
		tell(parser, "'%s' is not understood; write field = value", text);
		return;
	}
	*equals = '\0';
	if (!parser->has_header)
		tell(parser, "%s: stands before any section; begin with [collector]", trim(text));
	else if (parser->section[0] != '\0') /* a refused section was told with its header */
		read_field(parser, trim(text), trim(equals + 1), seen);
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
	struct parser parser = { .path = path, .errors = errors };
	bool seen[N_FIELDS] = { false };
	char line[LIMIT_INI_LINE + 2];
	FILE *in = fopen(path, "re");
	int r;

	if (!in)
		return -errno;
	set_defaults(&parser.config);
	while (fgets(line, sizeof(line), in)) {
		bool is_whole = strchr(line, '\n') || feof(in);

		parser.line++;
		if (!is_whole) {
			tell(&parser, "the line is longer than %d characters; split it", LIMIT_INI_LINE);
			for (int c = getc(in); c != EOF && c != '\n'; c = getc(in))
				;
			continue;
		}
		read_line(&parser, line, seen);
	}
	r = ferror(in) ? -EIO : 0;
	fclose(in);
	if (r < 0)
		return r;
	if (parser.n_errors > LIMIT_INI_ERRORS)
		fprintf(errors, "%s: and %u more errors\n", path, parser.n_errors - LIMIT_INI_ERRORS);
	if (parser.n_errors > 0)
		return -EINVAL;
	if (!parser.config.has_advertise && !is_any(&parser.config.listen)) {
		parser.config.advertise = parser.config.listen;
		parser.config.has_advertise = true;
	}
	*ret_config = parser.config;
	return 0;
}
