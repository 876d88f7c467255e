/*
 * snapshot: when the configuration of this router is read and offered to the collector.
 *
 *   idle -> taking (the driver's child reads it) -> offering (hash first, the text if wanted) -> idle
 *
 * Taken when a session opens, after a script, each interval, on the collector's wish and on that of a
 * person at the router: without a session for that person alone. A request that comes while one is under
 * way makes another one follow, because what was read before the request may be old; when that has to
 * wait for a script the one at hand is told. Snapshots and scripts wait for each other, on every driver.
 * The text is never kept: the collector answers for what it has. Loop thread only.
 */
#ifndef JAGA_AGENT_SNAPSHOT_H
#define JAGA_AGENT_SNAPSHOT_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/router/router.h"
#include "common/err.h"
#include "common/log.h"

#define SNAPSHOT_HASH_BYTES 32

enum snapshot_outcome {
	SNAPSHOT_NONE,	      /* not taken yet */
	SNAPSHOT_UNCHANGED,   /* the collector has it already */
	SNAPSHOT_STORED,      /* it was sent and is durable */
	SNAPSHOT_NOT_OFFERED, /* taken, but there is no session */
	SNAPSHOT_FAILED,      /* reason */
};

/* The last attempt. */
struct snapshot_result {
	enum snapshot_outcome outcome;
	uint8_t hash[SNAPSHOT_HASH_BYTES]; /* SHA-256 of the text; valid unless it could not be read */
	bool has_hash;
	size_t bytes;
	int64_t at_ms; /* monotonic */
	char reason[LIMIT_ERR_TEXT];
};

struct snapshot_ops { /* the driver and the link, or their fakes */
	int (*take)(void *arg, router_snapshot_fn *on_done, void *done_arg, struct err *err);
	int (*offer)(void *arg, const char *text, size_t length); /* as link_offer_snapshot */
	void (*on_finished)(void *arg, const struct snapshot_result *result);
	void (*on_trouble)(void *arg, enum log_level level, const char *text);
	/* The configuration is not what it will be: a script may begin, runs, or its way back (with its secret) stands in it.
	 * What is requested now is taken when that is over: snapshot_on_settled(). */
	bool (*is_unsettled)(void *arg);
	/* snapshot_is_taking() was true and is not any more. */
	void (*on_read)(void *arg);
};

struct snapshot {
	struct ev_loop *loop;
	const struct snapshot_ops *ops;
	void *arg;
	ev_timer interval;
	enum { SNAPSHOT_IDLE, SNAPSHOT_TAKING, SNAPSHOT_OFFERING } phase;
	bool again;
	bool is_awaited; /* by a person at the router */
	bool is_asked; /* somebody far away waits: a failure is told, though it be the same as the last */
	bool is_open; /* the link has a session, and the router is known */
	struct snapshot_result result;
	uint8_t told_hash[SNAPSHOT_HASH_BYTES]; /* of the text whose gaps were told last */
};

void snapshot_init(struct snapshot *snapshot, struct ev_loop *loop, int64_t interval_ms,
		   const struct snapshot_ops *ops, void *arg);
void snapshot_stop(struct snapshot *snapshot);
/* Take one and offer it; on_finished follows, later. Without a session nothing: the next one begins with a snapshot. */
void snapshot_request(struct snapshot *snapshot);
/* The same, for a person at the router, who is told of it also without a session. */
void snapshot_await(struct snapshot *snapshot);
/* The same, for the collector: when it fails the collector is told, the same reason or not. */
void snapshot_ask(struct snapshot *snapshot);
/* The driver reads the router: the time to leave it alone. */
bool snapshot_is_taking(const struct snapshot *snapshot);
/* ops->is_unsettled is over. */
void snapshot_on_settled(struct snapshot *snapshot);
/* From the link. */
void snapshot_on_open(struct snapshot *snapshot);
void snapshot_on_closed(struct snapshot *snapshot);
void snapshot_on_offered(struct snapshot *snapshot, int result, bool transferred);
/* "unchanged", "stored", ... */
const char *snapshot_outcome_name(enum snapshot_outcome outcome);

#endif
