/*
 * config: the collector's INI file made into one validated, immutable structure.
 *
 * All errors of a file are told (up to LIMIT_INI_ERRORS), each as "file:line: [section] field: what
 * is wrong; remedy". See docs/collector.conf.example and jaga-collector.conf(5).
 */
#ifndef JAGA_COLLECTOR_CONFIG_H
#define JAGA_COLLECTOR_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/limits.h"
#include "common/parse.h"

struct collector_config {
	struct parse_address listen;
	bool has_advertise;
	struct parse_address advertise; /* what enrolled agents are told to connect to */
	int64_t keepalive_ms;
	char store_path[LIMIT_PATH];
	uint64_t store_bytes;
	char socket_path[LIMIT_PATH];
	char socket_group[LIMIT_NAME]; /* "": the group of the process */
};

/* Reads and validates. Returns 0, -EINVAL when errors were told, or the errno of opening the file. */
int config_load(const char *path, FILE *errors, struct collector_config *ret_config);

#endif
