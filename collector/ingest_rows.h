/*
 * ingest_rows: entries of the event log as rows for people and scripts (ctl.h describes them). The
 * reading half of what ingest stores.
 */
#ifndef JAGA_COLLECTOR_INGEST_ROWS_H
#define JAGA_COLLECTOR_INGEST_ROWS_H

#include <jansson.h>

#include "collector/store.h"

/* "up", "suspect", "down", "unknown" */
const char *ingest_state_name(int state);
/* Every kind of event that a row may have, with NULL at the end; what a newer agent tells of may be "watch" or "notice". */
extern const char *const ingest_kinds[];
/*
 * The events of a batch as a new JSON array, oldest first; events that an earlier batch brought and
 * samples are not among them. device: the name. NULL: out of memory.
 */
json_t *ingest_make_rows(const struct store_batch *batch, const char *device);

/*
 * The findings of a DoctorReport that ingest let in, as a new JSON array. *ret_error: a copy of why the agent could not look,
 * or NULL. NULL: out of memory.
 */
json_t *ingest_make_findings(const void *report, size_t length, json_t **ret_error);

#endif
