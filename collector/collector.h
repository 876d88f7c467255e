/*
 * collector: the daemon's one context: what exists, in which order it starts and stops.
 *
 *   store ─ writer, worker ─ fleet, jobs, snapshots, ingest ─ coap (sessions) ─ ctl (control socket)
 *
 * Stopping goes the other way round, except that the writer commits what waits while sessions can
 * still be answered. Loop thread only.
 */
#ifndef JAGA_COLLECTOR_COLLECTOR_H
#define JAGA_COLLECTOR_COLLECTOR_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "collector/config.h"
#include "collector/ports.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"

struct ctl;
struct ingest;
struct jobs;
struct presence;
struct snapshots;

#define COLLECTOR_REFUSED_MINUTES 60

struct collector {
	struct ev_loop *loop;
	const struct collector_config *config;
	struct ports ports; /* store, writer, worker and fleet are in here */
	struct ingest *ingest;
	struct jobs *jobs;
	struct presence *presence;
	struct snapshots *snapshots;
	struct coap_server *coap;
	struct ctl *ctl;
	int64_t started_ms; /* monotonic */
	struct log_limit faults, steps;
	/* Refused handshakes of the last hour: the counter as it was at each of the last 60 minutes. */
	ev_timer every_minute;
	ev_check every_turn;
	struct clock_watch clock;
	uint64_t refused_at[COLLECTOR_REFUSED_MINUTES];
	unsigned minute;
	bool is_stopping;
	bool is_lost; /* the store cannot be written any more without a new start */
};

/* For the whole process, before anything else: no core dumps (memory holds keys), private files, no SIGPIPE. */
void collector_harden(void);
/* On failure everything is undone and err says why, for a person. */
int collector_start(struct collector *collector, struct ev_loop *loop, const struct collector_config *config,
		    struct err *err);
/* Commits, answers and closes. A collector that did not start, or is all zero, is fine. */
void collector_stop(struct collector *collector);
uint64_t collector_count_refused(const struct collector *collector);

#endif
