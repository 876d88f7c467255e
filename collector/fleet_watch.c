/*
 * fleet_watch: see fleet_watch.h. Called by ingest_watch.c, which has checked what comes, and read by ctl_watch.c.
 */
#include "collector/fleet_watch.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 8 /* interfaces of a small router */

struct fleet_watched *fleet_watch_get(struct fleet_watched **watched)
{
	if (!*watched)
		*watched = calloc(1, sizeof(**watched));
	return *watched;
}

void fleet_watch_free(struct fleet_watched *watched)
{
	if (watched)
		free(watched->things);
	free(watched);
}

void fleet_watch_begin(struct fleet_watched *watched, int64_t at_ms)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < watched->n_things; i++)
		if (watched->things[i].moment == watched->moment)
			watched->things[kept++] = watched->things[i];
	watched->n_things = kept;
	watched->moment++;
	watched->at_ms = at_ms;
}

struct fleet_thing *fleet_watch_find(const struct fleet_watched *watched, int watch, const void *name, size_t length)
{
	for (unsigned i = 0; i < watched->n_things; i++) {
		struct fleet_thing *thing = &watched->things[i];

		if (thing->watch == watch && strnlen(thing->name, length) == length && memcmp(thing->name, name, length) == 0 &&
		    thing->name[length] == '\0')
			return thing;
	}
	return NULL;
}

static bool has_room(struct fleet_watched *watched)
{
	unsigned n_room = watched->n_room == 0 ? ROOM_FIRST : watched->n_room * 2;
	struct fleet_thing *things;

	if (watched->n_things < watched->n_room)
		return true;
	if (n_room > LIMIT_WATCH_THINGS)
		return false;
	things = realloc(watched->things, n_room * sizeof(*things));
	if (!things)
		return false;
	watched->things = things;
	watched->n_room = n_room;
	return true;
}

struct fleet_thing *fleet_watch_put(struct fleet_watched *watched, int watch, const void *name, size_t length)
{
	struct fleet_thing *thing;

	length = strnlen(name, length);
	thing = fleet_watch_find(watched, watch, name, length);
	if (!thing && has_room(watched)) {
		thing = &watched->things[watched->n_things++];
		*thing = (struct fleet_thing){ .watch = watch };
		memcpy(thing->name, name, length);
	}
	if (thing)
		thing->moment = watched->moment;
	return thing;
}

void fleet_thing_set_state(struct fleet_thing *thing, int state, int64_t since_ms)
{
	if (thing->state == state && thing->since_ms != 0)
		return;
	thing->state = state;
	thing->since_ms = since_ms;
}

void fleet_thing_count(struct fleet_thing *thing, uint64_t rx_bytes, uint64_t tx_bytes, int64_t at_ms)
{
	int64_t ms = at_ms - thing->at_ms;

	thing->rx_bits_per_s = thing->tx_bits_per_s = 0;
	/* Counters that fell began anew; agents that claim more than a terabit a second are not believed. */
	if (thing->at_ms != 0 && ms > 0 && rx_bytes >= thing->rx_bytes && tx_bytes >= thing->tx_bytes &&
	    rx_bytes - thing->rx_bytes < UINT64_MAX / 8000 && tx_bytes - thing->tx_bytes < UINT64_MAX / 8000) {
		thing->rx_bits_per_s = (rx_bytes - thing->rx_bytes) * 8000 / (uint64_t)ms;
		thing->tx_bits_per_s = (tx_bytes - thing->tx_bytes) * 8000 / (uint64_t)ms;
	}
	thing->rx_bytes = rx_bytes;
	thing->tx_bytes = tx_bytes;
	thing->at_ms = at_ms;
}

void fleet_watch_shift(struct fleet_watched *watched, int64_t step_ms)
{
	if (!watched)
		return;
	watched->at_ms += step_ms;
	for (unsigned i = 0; i < watched->n_things; i++) {
		struct fleet_thing *thing = &watched->things[i];

		thing->since_ms += thing->since_ms != 0 ? step_ms : 0;
		thing->at_ms += thing->at_ms != 0 ? step_ms : 0;
	}
}
