/*
 * config_fields: what a section of the agent's file may hold, how each value becomes a member of struct agent_config
 * (setters: config_setters.h), and the steps after that. Between the files of config: config.c calls, config_*.c serve.
 * The format is described in jaga-agent.conf(5).
 */
#ifndef JAGA_AGENT_CONFIG_FIELDS_H
#define JAGA_AGENT_CONFIG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "common/err.h"

enum config_section {
	CONFIG_SECTION_NONE, /* before the first header, or after one that was refused */
	CONFIG_SECTION_AGENT,
	CONFIG_SECTION_LAN,
	CONFIG_SECTION_UPLINK,
	CONFIG_SECTION_ROUTER,
	CONFIG_SECTION_MONITOR,
	CONFIG_SECTION_SCRIPTS,
	CONFIG_SECTION_SNAPSHOT,
};

#define CONFIG_MAX_FIELDS 16 /* fields of the largest section */

/* In milliseconds, for ranges and defaults. */
#define SECONDS 1000
#define MINUTES (60 * SECONDS)
#define DAYS (24 * 60 * MINUTES)

struct config_field;
/*
 * Stores the value. `base` is the structure that owns the member at field->offset: the configuration, or an uplink of it.
 * 0, or a negative errno with err holding what is wrong (the remedy is the field's own).
 */
typedef int config_set_fn(const struct config_field *field, const char *value, struct agent_config *config, void *base,
			  struct err *err);

struct config_field {
	enum config_section section;
	const char *name;
	config_set_fn *set;
	size_t offset;
	int64_t min, max;
	const char *remedy;
	bool is_required;
	bool is_repeatable; /* a line for each: `field = a`, `field = b` */
	bool is_list;	    /* in one line: `field = a, b`; of a UCI file also in several: list field a */
};

/* The field, or NULL; *ret_index is its place among the fields of its section. */
const struct config_field *config_field_find(enum config_section section, const char *name, unsigned *ret_index);
/* The fields of a section one by one: NULL after the last. */
const struct config_field *config_field_at(enum config_section section, unsigned index);

/* config_defaults.c: the whole of *config; strings that no default is known for are empty. */
void config_set_defaults(struct agent_config *config);
/* What is different on OpenWrt, over the defaults: /var is memory there, only what stands in /etc survives a reboot. */
void config_set_openwrt_defaults(struct agent_config *config);
void config_set_uplink_defaults(struct config_uplink *uplink);
/* After reading: snapshot sources when the file names none. */
void config_set_snapshot_defaults(struct agent_config *config, bool is_openwrt);

/* config_routeros.c: what follows from the rest, with driver = routeros. */
void config_derive_routeros(struct agent_config *config);

/* Contradictions between values that are right one by one; each is told through on_error. */
struct config_check_error {
	enum config_section section; /* CONFIG_SECTION_AGENT, ..._LAN, ..._ROUTER or ..._UPLINK */
	unsigned uplink;
	const char *field; /* that the error is about */
	const char *text;  /* "what is wrong; remedy" */
};
typedef void config_check_fn(void *arg, const struct config_check_error *error);
void config_check(const struct agent_config *config, config_check_fn *on_error, void *arg);

#endif
