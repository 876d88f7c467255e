/*
 * presence: devices come and go, and the event log is told. One exception: a device that has applied a script and proves by a new
 * session that it can still be reached (jobs.h) closes the old one on purpose. That is no outage: while the time to confirm
 * runs it is told only when the device does not come back in it, and then with the time at which it went. Loop thread only.
 */
#ifndef JAGA_COLLECTOR_PRESENCE_H
#define JAGA_COLLECTOR_PRESENCE_H

#include "collector/fleet.h"
#include "collector/ports.h"

struct ingest;
struct presence;

/* ingest writes the events; it outlives the presence. */
int presence_create(const struct ports *ports, struct ingest *ingest, struct presence **ret_presence);
void presence_destroy(struct presence *presence);

/* After ingest_restore and jobs_restore: who was confirming a script when the last collector ended is expected back. */
void presence_restore(struct presence *presence);

void presence_come(struct presence *presence, struct fleet_device *device, const char *peer);
void presence_go(struct presence *presence, struct fleet_device *device, const char *reason);
/* Tells of those whose time is over at now_ms (wall time). A timer calls it every second while there are any. */
void presence_check(struct presence *presence, int64_t now_ms);

#endif
