/*
 * ingest_watch: what agents tell of users, neighbours, interfaces and the like: checks, and rows for people. Names are bytes
 * that users and neighbours chose: bounded here, made text by json_row, and kept off terminals by jaga.
 */
#ifndef JAGA_COLLECTOR_INGEST_WATCH_H
#define JAGA_COLLECTOR_INGEST_WATCH_H

#include <jansson.h>

#include "collector/fleet.h"
#include "common/wire.h"

/* NULL when acceptable, else what is wrong with which field. */
const char *ingest_check_watch(const Jaga__V1__WatchChange *change);
const char *ingest_check_restart(const Jaga__V1__RouterRestart *restart);
const char *ingest_check_watched(const Jaga__V1__Sample *sample);

/* What passed its check, as the fleet is to show it; time_ms: when it happened. Without memory it is not shown. */
void ingest_apply_watch(struct fleet_device *device, const Jaga__V1__WatchChange *change, int64_t time_ms);
void ingest_apply_watched(struct fleet_device *device, const Jaga__V1__Sample *sample, int64_t time_ms);

/* "ppp", "bgp", ...: the kind of such an event, and of a thing in rows; "watch" for what this collector does not know. */
const char *ingest_watch_name(int watch);
/* "up", "down", "unknown" */
const char *ingest_watch_state_name(int state);
/* Kind, text and fields of an event's row, of messages that passed their check. */
void ingest_fill_watch(json_t *row, const Jaga__V1__WatchChange *change);
void ingest_fill_restart(json_t *row, const Jaga__V1__RouterRestart *restart, int64_t time_ms);

#endif
