/*
 * config: the agent's file -> struct agent_config. See config.h; fields are in config_fields.c, defaults in
 * config_defaults.c, contradictions in config_check.c. Two syntaxes, one table of fields:
 *
 *   file -> ini_read() or uci_read() -> on_section(), on_value() -> field setter -> config_check()
 *
 * Everything wrong in a file is told, up to LIMIT_INI_ERRORS. Runs once at start; may allocate.
 */
#include "agent/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config_fields.h"
#include "common/uci.h"

static const char *const section_names[] = {
	[CONFIG_SECTION_AGENT] = "agent",     [CONFIG_SECTION_LAN] = "lan",	    [CONFIG_SECTION_UPLINK] = "uplink",
	[CONFIG_SECTION_ROUTER] = "router",   [CONFIG_SECTION_MONITOR] = "monitor", [CONFIG_SECTION_SCRIPTS] = "scripts",
	[CONFIG_SECTION_SNAPSHOT] = "snapshot",
};
#define SECTIONS (sizeof(section_names) / sizeof(section_names[0]))

struct section_lines { /* 0: not seen */
	unsigned header;
	unsigned fields[CONFIG_MAX_FIELDS];
};

struct parser {
	struct ini ini;
	enum config_section section;
	unsigned uplink; /* CONFIG_SECTION_UPLINK */
	struct section_lines lines[SECTIONS];
	struct section_lines uplink_lines[LIMIT_UPLINKS];
	struct agent_config config;
};

static struct section_lines *lines_of(struct parser *parser, enum config_section section, unsigned uplink)
{
	return section == CONFIG_SECTION_UPLINK ? &parser->uplink_lines[uplink] : &parser->lines[section];
}

/* --- lines --------------------------------------------------------------------------------- */

static void open_uplink(struct parser *parser, const char *name)
{
	struct agent_config *config = &parser->config;
	struct ini *ini = &parser->ini;
	int known;

	name += strspn(name, " \t");
	if (!parse_is_name(name)) {
		ini_tell(ini, ini->line, "[%s]: '%s' is not a name; use letters, digits, . _ - and at most %d of them",
			 ini->header, name, LIMIT_NAME - 1);
		return;
	}
	if (strcmp(name, "none") == 0) {
		ini_tell(ini, ini->line, "[%s]: 'none' is what ends a force (jaga-agent force none); use another name",
			 ini->header);
		return;
	}
	known = config_find_uplink(config, name);
	if (known >= 0) {
		ini_tell(ini, ini->line, "[%s]: is on line %u already; give each uplink a name of its own",
			 ini->header, parser->uplink_lines[known].header);
		return;
	}
	if (config->n_uplinks == LIMIT_UPLINKS) {
		ini_tell(ini, ini->line, "[%s]: more than %d uplinks; Jaga takes no more", ini->header, LIMIT_UPLINKS);
		return;
	}
	parser->uplink = config->n_uplinks++;
	parser->section = CONFIG_SECTION_UPLINK;
	config_set_uplink_defaults(&config->uplinks[parser->uplink]);
	memcpy(config->uplinks[parser->uplink].name, name, strlen(name) + 1);
	parser->uplink_lines[parser->uplink].header = ini->line;
}

static void open_section(struct parser *parser, enum config_section section)
{
	struct ini *ini = &parser->ini;

	if (parser->lines[section].header != 0) {
		ini_tell(ini, ini->line, "[%s]: is on line %u already; put its fields together", ini->header,
			 parser->lines[section].header);
		return;
	}
	parser->section = section;
	parser->lines[section].header = ini->line;
}

static bool on_section(void *arg, struct ini *ini)
{
	struct parser *parser = arg;
	enum config_section section = CONFIG_SECTION_NONE;
	size_t length = strcspn(ini->header, " "); /* of its kind; the name of an uplink follows */

	parser->section = CONFIG_SECTION_NONE;
	for (unsigned i = CONFIG_SECTION_AGENT; i < SECTIONS && section == CONFIG_SECTION_NONE; i++)
		if (strlen(section_names[i]) == length && memcmp(ini->header, section_names[i], length) == 0)
			section = (enum config_section)i;
	if (section == CONFIG_SECTION_UPLINK)
		open_uplink(parser, ini->header + length);
	else if (section != CONFIG_SECTION_NONE && ini->header[length] == '\0')
		open_section(parser, section);
	else
		ini_tell(ini, ini->line, "[%s]: no such section; there are [agent], [lan], [router], [uplink NAME], [monitor], "
			 "[scripts] and [snapshot]",
			 ini->header);
	return parser->section != CONFIG_SECTION_NONE;
}

/* --- values -------------------------------------------------------------------------------- */

static void on_value(void *arg, struct ini *ini, const char *name, const char *value)
{
	struct parser *parser = arg;
	const struct config_field *field;
	struct section_lines *lines;
	struct err err = { "" };
	unsigned index;
	void *base = &parser->config;

	field = config_field_find(parser->section, name, &index);
	if (!field) {
		ini_tell(ini, ini->line, "[%s] %s: no such field here; see jaga-agent.conf(5)", ini->header, name);
		return;
	}
	lines = lines_of(parser, parser->section, parser->uplink);
	if (ini->is_item && !field->is_repeatable && !field->is_list) {
		ini_tell(ini, ini->line, "[%s] %s: is one value; write option, not list", ini->header, name);
		return;
	}
	if (lines->fields[index] != 0 && !field->is_repeatable && !(field->is_list && ini->is_item)) {
		ini_tell(ini, ini->line, "[%s] %s: is on line %u already; keep one", ini->header, name,
			 lines->fields[index]);
		return;
	}
	lines->fields[index] = ini->line;
	if (parser->section == CONFIG_SECTION_UPLINK)
		base = &parser->config.uplinks[parser->uplink];
	if (value[0] == '\0')
		ini_tell(ini, ini->line, "[%s] %s: is empty; %s", ini->header, name, field->remedy);
	else if (field->is_repeatable && ini->has_comment)
		ini_tell(ini, ini->line, "[%s] %s: ' ;' begins a comment; use && or put it into a script", ini->header,
			 name);
	else if (field->set(field, value, &parser->config, base, &err) < 0)
		ini_tell(ini, ini->line, "[%s] %s: %s; %s", ini->header, name, err.text, field->remedy);
}

/* --- after reading ------------------------------------------------------------------------- */

static void require_fields(struct parser *parser, enum config_section section, unsigned uplink, const char *header)
{
	const struct section_lines *lines = lines_of(parser, section, uplink);
	struct ini *ini = &parser->ini;
	const struct config_field *field;

	for (unsigned i = 0; (field = config_field_at(section, i)) != NULL; i++)
		if (field->is_required && lines->fields[i] == 0)
			ini_tell(ini, lines->header ? lines->header : ini->line, "[%s] %s: is missing; %s", header,
				 field->name, field->remedy);
}

static void on_contradiction(void *arg, const struct config_check_error *error)
{
	struct parser *parser = arg;
	struct ini *ini = &parser->ini;
	const struct section_lines *lines = lines_of(parser, error->section, error->uplink);
	unsigned line = lines->header ? lines->header : ini->line, index;

	if (config_field_find(error->section, error->field, &index) && lines->fields[index])
		line = lines->fields[index];
	if (error->section == CONFIG_SECTION_UPLINK)
		ini_tell(ini, line, "[uplink %s] %s: %s", parser->config.uplinks[error->uplink].name, error->field,
		     error->text);
	else
		ini_tell(ini, line, "[%s] %s: %s", section_names[error->section], error->field, error->text);
}

/* Without uplinks the agent watches, unless it is told otherwise or has nobody to watch for. */
static void check_watching(struct parser *parser)
{
	struct ini *ini = &parser->ini;
	unsigned index, line = 0;

	if (config_field_find(CONFIG_SECTION_AGENT, "take_over", &index) && parser->config.take_over)
		line = parser->lines[CONFIG_SECTION_AGENT].fields[index];
	parser->config.take_over = false;
	if (line != 0)
		ini_tell(ini, line, "[agent] take_over: is yes but no uplink is configured; add a section [uplink NAME] for each line");
	else if (!parser->config.has_collector)
		ini_tell(ini, ini->line, "no uplink is configured, and no collector to watch for; add a section [uplink NAME] for "
			 "each line");
}

static void check_whole(struct parser *parser)
{
	struct ini *ini = &parser->ini;
	char header[LIMIT_NAME + 8];

	if (parser->config.n_uplinks == 0)
		check_watching(parser);
	else
		require_fields(parser, CONFIG_SECTION_LAN, 0, "lan");
	for (unsigned i = 0; i < parser->config.n_uplinks; i++) {
		snprintf(header, sizeof(header), "uplink %s", parser->config.uplinks[i].name);
		require_fields(parser, CONFIG_SECTION_UPLINK, i, header);
	}
	/* Contradictions between values that were refused would only confuse. */
	if (ini->n_errors > 0)
		return;
	if (parser->config.driver == CONFIG_DRIVER_ROUTEROS)
		config_derive_routeros(&parser->config);
	config_check(&parser->config, on_contradiction, parser);
}

int config_load(const char *path, FILE *errors, struct agent_config *ret_config)
{
	static const struct ini_events events = {
		.first_section = "agent", .on_section = on_section, .on_value = on_value, .named_section = "uplink"
	};
	struct parser *parser = calloc(1, sizeof(*parser));
	bool is_uci = uci_recognises(path);
	int r;

	if (!parser) {
		fprintf(errors, "%s: %s\n", path, strerror(ENOMEM));
		return -ENOMEM;
	}
	config_set_defaults(&parser->config);
	if (is_uci)
		config_set_openwrt_defaults(&parser->config);
	r = (is_uci ? uci_read : ini_read)(&parser->ini, path, errors, &events, parser);
	if (r < 0) {
		fprintf(errors, "%s: %s; %s\n", path, strerror(-r),
			r == -EACCES ? "let the agent's user read it: chgrp jaga-agent FILE; chmod 640 FILE"
				     : "name the file with --config, or see docs/agent.conf.example");
		goto out;
	}
	check_whole(parser);
	r = ini_finish(&parser->ini);
	if (r < 0)
		goto out;
	config_set_snapshot_defaults(&parser->config, is_uci || access("/etc/config", F_OK) == 0);
	*ret_config = parser->config;
out:
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
