/*
 * snapshot_text: fetching one snapshot of a device with its text, for `cat` and `diff`.
 */
#ifndef JAGA_COLLECTOR_CLI_SNAPSHOT_TEXT_H
#define JAGA_COLLECTOR_CLI_SNAPSHOT_TEXT_H

#include <stdint.h>

#include "collector/cli/command.h"

/* "3" to 3; -EINVAL with *failure filled for anything but a number from 1 on. */
int snapshot_parse_number(const char *text, int64_t *ret_n, struct failure *failure);

/* n = 0: the newest. *ret_snapshot is a row of {"op":"cat"} whose text is a string; the caller's. */
int snapshot_fetch(const struct invocation *invocation, const char *device, int64_t n, json_t **ret_snapshot,
		   struct failure *failure);

#endif
