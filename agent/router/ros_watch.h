/*
 * ros_watch: what a router's menus say of users, neighbours, tunnels and the like -> what changed. Pure: no I/O, time
 * passed in, all memory allocated at creation.
 *
 * A thing is known by its menu and its id; a deletion carries nothing else, so what an id was is remembered here. Rows
 * come from two sources that may overlap in any order: what `listen` tells, and whole readings of a menu. A reading also
 * finds what was missed (a session that was lost): what was there and is not any more has gone, what is there and was
 * not has come; the very first reading of a menu tells nothing, it is how things were found.
 *
 * Many changes at once: LIMIT_WATCH_RATE of a kind within a second are told one by one, the rest of that second
 * in one change with their number and the first names; a kind that stays over the rate is told once a second.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_WATCH_H
#define JAGA_AGENT_ROUTER_ROS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/router/router.h"

struct ros_watch;

struct ros_seen { /* what a row says of one thing */
	enum router_watch watch;
	uint32_t id;
	bool is_reading;	 /* a row of a whole reading, not of listen */
	bool is_gone;		 /* deleted, or disabled */
	const char *name;	 /* NULL: the row does not say */
	enum router_state state; /* unknown: the row does not say, or the router does not know */
	int64_t lasted_s;	 /* of the state UP; -1: the row does not say */
	const char *address, *caller, *detail; /* never NULL */
	bool has_counters;
	uint64_t rx_bytes, tx_bytes;
	bool has_link_downs;
	uint32_t link_downs;
	bool has_peer;
	uint32_t remote_as, prefixes;
};

typedef void ros_watch_fn(void *arg, const struct router_change *change);

int ros_watch_create(ros_watch_fn *on_change, void *arg, struct ros_watch **ret_watch); /* -ENOMEM */
void ros_watch_destroy(struct ros_watch *watch);						/* NULL is fine */

/* A reading of a menu: begin, take every row, end when it was whole. A reading that was cut short is not ended. */
void ros_watch_begin(struct ros_watch *watch, enum router_watch kind);
void ros_watch_take(struct ros_watch *watch, const struct ros_seen *seen, int64_t now_ms);
void ros_watch_end(struct ros_watch *watch, enum router_watch kind, int64_t now_ms);

/* When ros_watch_on_time() has something to tell; INT64_MAX: nothing is held back. */
int64_t ros_watch_deadline(const struct ros_watch *watch);
void ros_watch_on_time(struct ros_watch *watch, int64_t now_ms);

uint32_t ros_watch_count(const struct ros_watch *watch, enum router_watch kind);
/* For which there was no room, in the last reading of their menus and since. */
uint32_t ros_watch_unwatched(const struct ros_watch *watch);
/* Every thing that is no user. */
void ros_watch_each(const struct ros_watch *watch, int64_t now_ms, router_thing_fn *on_thing, void *arg);

#endif
