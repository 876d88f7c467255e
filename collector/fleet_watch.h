/*
 * fleet_watch: what is watched on a router beside its uplinks, as its agent told last: neighbours, peers, interfaces,
 * modems, how many users. Allocated when a device tells the first of it, and bounded. Names are bytes of
 * others, kept with a NUL behind. Loop thread only.
 */
#ifndef JAGA_COLLECTOR_FLEET_WATCH_H
#define JAGA_COLLECTOR_FLEET_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

struct fleet_thing {
	int watch, state; /* Watch and WatchState of proto/jaga.proto, as they came */
	char name[LIMIT_WATCH_NAME + 1];
	uint32_t moment;  /* in which it was told last */
	int64_t since_ms; /* of its state; 0: not known */
	uint32_t remote_as, prefixes;
	uint64_t rx_bytes, tx_bytes;
	uint64_t rx_bits_per_s, tx_bits_per_s; /* between the last two moments */
	int64_t at_ms;			       /* of these counters; 0: none came */
	uint32_t link_downs;
	char carrier[LIMIT_WATCH_NAME + 1];
	uint32_t told; /* as in ModemSample */
	int32_t rssi_dbm, rsrp_dbm, rsrq_db, sinr_db;
};

struct fleet_watched {
	int64_t at_ms; /* of the last moment */
	uint32_t moment;
	char version[LIMIT_TEXT];
	int64_t uptime_s;
	uint32_t cpu_percent;
	uint64_t memory_free_bytes, memory_bytes, disk_free_bytes, disk_bytes;
	uint32_t ppp_users, hotspot_users, unwatched;
	unsigned n_things, n_room;
	struct fleet_thing *things;
};

/* *watched is allocated when it is NULL. NULL: out of memory. */
struct fleet_watched *fleet_watch_get(struct fleet_watched **watched);
void fleet_watch_free(struct fleet_watched *watched); /* NULL is fine */
/* A moment begins: what was not told in the one before is gone. */
void fleet_watch_begin(struct fleet_watched *watched, int64_t at_ms);
/* The thing of that name, told now; new when there was none. NULL: no memory, or LIMIT_WATCH_THINGS are there. */
struct fleet_thing *fleet_watch_put(struct fleet_watched *watched, int watch, const void *name, size_t length);
struct fleet_thing *fleet_watch_find(const struct fleet_watched *watched, int watch, const void *name, size_t length); /* or NULL */
void fleet_thing_set_state(struct fleet_thing *thing, int state, int64_t since_ms);
void fleet_thing_count(struct fleet_thing *thing, uint64_t rx_bytes, uint64_t tx_bytes, int64_t at_ms);
/* As fleet_shift_times(). */
void fleet_watch_shift(struct fleet_watched *watched, int64_t step_ms);

#endif
