/*
 * config_setters: how the text of one value becomes a member of struct agent_config. Each is what config_field.set may
 * be (config_fields.h): *config and *base stay untouched when the value is refused, but for lists, which keep the items
 * before the refused one; config.c gives up such a configuration as a whole. Pure. Used by config_fields.c only.
 */
#ifndef JAGA_AGENT_CONFIG_SETTERS_H
#define JAGA_AGENT_CONFIG_SETTERS_H

#include "agent/config_fields.h"

/* Of whatever member stands at field->offset; what it is: */
config_set_fn config_set_name;	    /* char[LIMIT_NAME], parse_is_name() */
config_set_fn config_set_path;	    /* char[LIMIT_PATH], absolute */
config_set_fn config_set_command;   /* char[LIMIT_PATH], for /bin/sh -c */
config_set_fn config_set_interface; /* char[LIMIT_INTERFACE] */
config_set_fn config_set_u32;	    /* uint32_t, min to max */
config_set_fn config_set_bool;	    /* bool */
config_set_fn config_set_bytes;	    /* uint32_t, bytes from min to max; K and M are 1024 and 1024 x 1024 */
config_set_fn config_set_ms;	    /* int64_t, milliseconds; min and max too */
config_set_fn config_set_ms_or_off; /* the same; "off" is 0 */
config_set_fn config_set_us;	    /* int64_t, microseconds; min and max are milliseconds */
config_set_fn config_set_host;	    /* source or check_host of an uplink, IPv4; with the flag beside it */

/* Of one member that they know: */
config_set_fn config_set_collector;
config_set_fn config_set_scripts;
config_set_fn config_set_hash;
config_set_fn config_set_lans; /* a comma list, as are the targets */
config_set_fn config_set_driver;
config_set_fn config_set_router;
config_set_fn config_set_tls;
config_set_fn config_set_pin;
config_set_fn config_set_gateway; /* min: AF_INET or AF_INET6, which says which of the two */
config_set_fn config_set_targets;
config_set_fn config_set_snapshot_file; /* one more */
config_set_fn config_set_snapshot_command;

#endif
