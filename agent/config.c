/*
 * config: the agent's INI file -> struct agent_config. See config.h; fields and defaults are in
 * config_fields.c, contradictions in config_check.c.
 *
 *   file -> read_line() -> inih -> on_value() -> field setter -> config_check()
 *
 * inih splits lines into name and value. It knows no line numbers, cuts lines at 200 characters,
 * treats an indented line as the rest of the one before and never tells about headers; so each line
 * goes through read_line() first, which counts, refuses what inih would misread, takes indentation
 * away and follows the section headers. A bad line reaches inih as an empty one. Everything wrong in a
 * file is told, up to LIMIT_INI_ERRORS. Runs once at start; may allocate.
 */
#include "agent/config.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config_fields.h"

struct section_lines { /* 0: not seen */
	unsigned header;
	unsigned fields[CONFIG_MAX_FIELDS];
};

struct parser {
	FILE *in, *errors;
	const char *path;
	unsigned line;
	unsigned n_errors;
	enum config_section section;
	unsigned uplink; /* CONFIG_SECTION_UPLINK */
	char header[LIMIT_INI_LINE + 1]; /* as written, for messages; "" before the first */
	char text[LIMIT_INI_LINE + 1];	 /* the line being read */
	struct section_lines lines[CONFIG_SECTION_SNAPSHOT + 1];
	struct section_lines uplink_lines[LIMIT_UPLINKS];
	struct agent_config config;
};

static void tell(struct parser *parser, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void tell(struct parser *parser, unsigned line, const char *format, ...)
{
	va_list args;

	if (parser->n_errors++ >= LIMIT_INI_ERRORS)
		return;
	fprintf(parser->errors, "%s:%u: ", parser->path, line);
	va_start(args, format);
	vfprintf(parser->errors, format, args);
	va_end(args);
	fputc('\n', parser->errors);
}

static struct section_lines *lines_of(struct parser *parser, enum config_section section, unsigned uplink)
{
	return section == CONFIG_SECTION_UPLINK ? &parser->uplink_lines[uplink] : &parser->lines[section];
}

/* --- lines --------------------------------------------------------------------------------- */

static void open_uplink(struct parser *parser, const char *name)
{
	struct agent_config *config = &parser->config;
	int known;

	name += strspn(name, " \t");
	if (!parse_is_name(name)) {
		tell(parser, parser->line, "[%s]: '%s' is not a name; use letters, digits, . _ - and at most %d of them",
		     parser->header, name, LIMIT_NAME - 1);
		return;
	}
	known = config_find_uplink(config, name);
	if (known >= 0) {
		tell(parser, parser->line, "[%s]: is on line %u already; give each uplink a name of its own",
		     parser->header, parser->uplink_lines[known].header);
		return;
	}
	if (config->n_uplinks == LIMIT_UPLINKS) {
		tell(parser, parser->line, "[%s]: more than %d uplinks; Jaga takes no more", parser->header, LIMIT_UPLINKS);
		return;
	}
	parser->uplink = config->n_uplinks++;
	parser->section = CONFIG_SECTION_UPLINK;
	config_set_uplink_defaults(&config->uplinks[parser->uplink]);
	memcpy(config->uplinks[parser->uplink].name, name, strlen(name) + 1);
	parser->uplink_lines[parser->uplink].header = parser->line;
}

static void open_section(struct parser *parser, enum config_section section)
{
	if (parser->lines[section].header != 0) {
		tell(parser, parser->line, "[%s]: is on line %u already; put its fields together", parser->header,
		     parser->lines[section].header);
		return;
	}
	parser->section = section;
	parser->lines[section].header = parser->line;
}

/* Follows a header line; true when inih may see it. */
static bool read_header(struct parser *parser, const char *text)
{
	const char *end = strchr(text, ']');

	parser->section = CONFIG_SECTION_NONE;
	if (!end) {
		snprintf(parser->header, sizeof(parser->header), "%s", text + 1);
		tell(parser, parser->line, "'%s' has no closing ]; write it as [agent]", text);
		return false;
	}
	snprintf(parser->header, sizeof(parser->header), "%.*s", (int)(end - text - 1), text + 1);
	if (strcmp(parser->header, "agent") == 0)
		open_section(parser, CONFIG_SECTION_AGENT);
	else if (strcmp(parser->header, "lan") == 0)
		open_section(parser, CONFIG_SECTION_LAN);
	else if (strcmp(parser->header, "snapshot") == 0)
		open_section(parser, CONFIG_SECTION_SNAPSHOT);
	else if (strncmp(parser->header, "uplink", 6) == 0 && (parser->header[6] == ' ' || parser->header[6] == '\0'))
		open_uplink(parser, parser->header + 6);
	else
		tell(parser, parser->line, "[%s]: no such section; there are [agent], [lan], [uplink NAME] and [snapshot]",
		     parser->header);
	return true;
}

/* Takes one line into parser->text, without its end; false at the end of the file. */
static bool take_line(struct parser *parser, bool *ret_whole)
{
	size_t length = 0;
	int c = getc(parser->in);

	if (c == EOF)
		return false;
	*ret_whole = true;
	for (; c != EOF && c != '\n'; c = getc(parser->in)) {
		if (c == '\t')
			c = ' ';
		if (c == '\r' || (length == 0 && c == ' '))
			continue;
		if (c < ' ' || c == 0x7f || length == LIMIT_INI_LINE - 1)
			*ret_whole = false;
		if (length < LIMIT_INI_LINE - 1)
			parser->text[length++] = (char)c;
	}
	parser->text[length] = '\0';
	return true;
}

/* inih's reader (fgets-like). What it must not see becomes an empty line, so that its count stays right. */
static char *read_line(char *line, int size, void *stream)
{
	struct parser *parser = stream;
	bool is_whole, pass = true;
	const char *text = parser->text;

	if (!take_line(parser, &is_whole))
		return NULL;
	parser->line++;
	if (!is_whole) {
		tell(parser, parser->line,
		     "the line is longer than %d characters or holds control characters; split or retype it",
		     LIMIT_INI_LINE - 1);
		pass = false;
	} else if (text[0] == '[') {
		pass = read_header(parser, text);
	} else if (text[0] != '\0' && !strchr("#;", text[0]) && !strchr(text, '=')) {
		tell(parser, parser->line, "'%s' is not understood; write field = value", text);
		pass = false;
	}
	snprintf(line, (size_t)size, "%s\n", pass ? text : "");
	return line;
}

/* --- values -------------------------------------------------------------------------------- */

static int on_value(void *user, const char *section, const char *name, const char *value)
{
	struct parser *parser = user;
	const struct config_field *field;
	struct section_lines *lines;
	struct err err = { "" };
	unsigned index;
	void *base = &parser->config;

	(void)section;
	if (parser->section == CONFIG_SECTION_NONE) {
		if (parser->header[0] == '\0')
			tell(parser, parser->line, "%s: stands before any section; begin with [agent]", name);
		return 1; /* a refused section was told once, at its header */
	}
	field = config_field_find(parser->section, name, &index);
	if (!field) {
		tell(parser, parser->line, "[%s] %s: no such field here; see jaga-agent.conf(5)", parser->header, name);
		return 1;
	}
	lines = lines_of(parser, parser->section, parser->uplink);
	if (lines->fields[index] != 0 && !field->is_repeatable) {
		tell(parser, parser->line, "[%s] %s: is on line %u already; keep one", parser->header, name,
		     lines->fields[index]);
		return 1;
	}
	lines->fields[index] = parser->line;
	if (parser->section == CONFIG_SECTION_UPLINK)
		base = &parser->config.uplinks[parser->uplink];
	if (value[0] == '\0')
		tell(parser, parser->line, "[%s] %s: is empty; %s", parser->header, name, field->remedy);
	else if (field->is_repeatable && strstr(parser->text, " ;"))
		tell(parser, parser->line, "[%s] %s: ' ;' begins a comment; use && or put it into a script", parser->header,
		     name);
	else if (field->set(field, value, &parser->config, base, &err) < 0)
		tell(parser, parser->line, "[%s] %s: %s; %s", parser->header, name, err.text, field->remedy);
	return 1;
}

/* --- after reading ------------------------------------------------------------------------- */

static void require_fields(struct parser *parser, enum config_section section, unsigned uplink, const char *header)
{
	const struct section_lines *lines = lines_of(parser, section, uplink);
	const struct config_field *field;

	for (unsigned i = 0; (field = config_field_at(section, i)) != NULL; i++)
		if (field->is_required && lines->fields[i] == 0)
			tell(parser, lines->header ? lines->header : parser->line, "[%s] %s: is missing; %s", header,
			     field->name, field->remedy);
}

static void on_contradiction(void *arg, const struct config_check_error *error)
{
	struct parser *parser = arg;
	const struct section_lines *lines = lines_of(parser, error->section, error->uplink);
	unsigned line = lines->header ? lines->header : parser->line, index;

	if (config_field_find(error->section, error->field, &index) && lines->fields[index])
		line = lines->fields[index];
	if (error->section == CONFIG_SECTION_UPLINK)
		tell(parser, line, "[uplink %s] %s: %s", parser->config.uplinks[error->uplink].name, error->field,
		     error->text);
	else
		tell(parser, line, "[agent] %s: %s", error->field, error->text);
}

static void check_whole(struct parser *parser)
{
	char header[LIMIT_NAME + 8];

	if (parser->line == 0)
		parser->line = 1; /* an empty file: its errors stand on the first line */
	require_fields(parser, CONFIG_SECTION_LAN, 0, "lan");
	if (parser->config.n_uplinks == 0)
		tell(parser, parser->line, "no uplink is configured; add a section [uplink NAME] for each line");
	for (unsigned i = 0; i < parser->config.n_uplinks; i++) {
		snprintf(header, sizeof(header), "uplink %s", parser->config.uplinks[i].name);
		require_fields(parser, CONFIG_SECTION_UPLINK, i, header);
	}
	/* Contradictions between values that were refused would only confuse. */
	if (parser->n_errors == 0)
		config_check(&parser->config, on_contradiction, parser);
	if (parser->n_errors > LIMIT_INI_ERRORS)
		fprintf(parser->errors, "%s: and %u errors more\n", parser->path, parser->n_errors - LIMIT_INI_ERRORS);
}

int config_load(const char *path, FILE *errors, struct agent_config *ret_config)
{
	struct parser *parser = calloc(1, sizeof(*parser));
	int r = 0;

	if (!parser) {
		fprintf(errors, "%s: %s\n", path, strerror(ENOMEM));
		return -ENOMEM;
	}
	parser->path = path;
	parser->errors = errors;
	parser->in = fopen(path, "re");
	if (!parser->in) {
		r = -errno;
		fprintf(errors, "%s: %s; name the file with --config, or see docs/agent.conf.example\n", path, strerror(-r));
		goto out;
	}
	config_set_defaults(&parser->config);
	/* The result tells only about lines without "=", which read_line() has told already. */
	(void)ini_parse_stream(read_line, parser, on_value, parser);
	if (ferror(parser->in)) {
		r = -EIO;
		fprintf(errors, "%s: reading stopped at line %u: %s\n", path, parser->line, strerror(errno));
		goto out;
	}
	check_whole(parser);
	if (parser->n_errors > 0) {
		r = -EINVAL;
		goto out;
	}
	config_set_snapshot_defaults(&parser->config, access("/etc/config", F_OK) == 0);
	*ret_config = parser->config;
out:
	if (parser->in)
		fclose(parser->in);
	free(parser);
	return r;
}

int config_find_uplink(const struct agent_config *config, const char *name)
{
	for (unsigned i = 0; i < config->n_uplinks; i++)
		if (strcmp(config->uplinks[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}
