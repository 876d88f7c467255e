/*
 * engine: the fail-over engine, pure. (state, event, now) -> new state and a list of actions.
 *
 * It decides when to probe, what a lost probe means, which uplink is up, suspect or down, and the
 * forwarding plan that follows. It does no I/O, reads no clock and allocates nothing; everything
 * it knows comes in events. The caller carries out the actions in the order of the list and calls
 * engine_handle(ENGINE_TICK) not later than engine_deadline_us().
 *
 *   up --3 rounds lost--> suspect --k rounds lost--> down --20 rounds answered--> up
 *   any --carrier or address lost--> down        suspect --3 rounds answered--> up
 *
 * A round is one probe to each target of the uplink; it is lost when fewer than `quorum` targets
 * answered within their learnt time-outs. See docs/failover.md.
 */
#ifndef JAGA_AGENT_UPLINK_ENGINE_H
#define JAGA_AGENT_UPLINK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/uplink/detector.h"
#include "agent/uplink/plan.h"
#include "common/limits.h"

enum uplink_cause { /* the numbers of UplinkCause in proto/jaga.proto */
	UPLINK_BY_PROBES = 1,
	UPLINK_BY_CARRIER,
	UPLINK_BY_ADDRESS,
	UPLINK_BY_FORCE,
	UPLINK_BY_FORCE_END,
	UPLINK_BY_RECOVERY,
	UPLINK_BY_START,
};

struct engine_uplink_config {
	uint32_t weight;
	uint32_t tier;
	struct detector_config detector;
};

struct engine_config {
	unsigned n_uplinks;
	unsigned n_buckets;
	struct engine_uplink_config uplinks[LIMIT_UPLINKS];
};

enum engine_event_type {
	ENGINE_TICK,	    /* time passed */
	ENGINE_PROBE_REPLY, /* uplink, target, sequence */
	ENGINE_PROBE_ERROR, /* uplink, target, sequence: sending failed (no route, no buffer) */
	ENGINE_CARRIER,	    /* uplink, value: the interface has carrier and is up */
	ENGINE_ADDRESS,	    /* uplink, value: it has an address and a gateway */
	ENGINE_FORCE,	    /* uplink, value: true hold it up, false hold it down; until_us */
	ENGINE_FORCE_END,   /* uplink */
};

struct engine_event {
	enum engine_event_type type;
	unsigned uplink;
	unsigned target;
	uint16_t sequence;
	bool value;
	int64_t until_us;
};

/* Evidence of a change, complete but for what only carrying it out can tell. */
struct engine_change {
	unsigned uplink;
	enum uplink_state from, to;
	enum uplink_cause cause;
	int64_t began_us;   /* first lost probe was sent, or carrier was lost */
	int64_t decided_us;
	int64_t lasted_us;  /* how long `from` had lasted */
	unsigned misses, misses_needed;
	unsigned carried_by; /* uplink that has its flows now */
	unsigned n_targets;
	struct detector_evidence targets[LIMIT_TARGETS];
};

enum engine_action_type {
	ENGINE_SEND_PROBES,	/* uplink, sequence: one probe to each of its targets */
	ENGINE_APPLY_PLAN,	/* plan */
	ENGINE_FLUSH_UNREPLIED, /* uplink: flows bound to it that never saw a reply */
	ENGINE_FLUSH_ALL,	/* uplink: every flow bound to it */
	ENGINE_REPORT,		/* change; always the last action of its change */
};

struct engine_action {
	enum engine_action_type type;
	unsigned uplink;
	uint16_t sequence;
	struct engine_change change; /* ENGINE_REPORT only */
};

struct engine_actions {
	unsigned n;
	struct engine_action list[4 * LIMIT_UPLINKS];
};

struct engine; /* see engine_private below: embedded by value in agent.h */

/* What `jaga-agent uplinks` shows. */
struct engine_uplink_status {
	enum uplink_state state;
	int64_t since_us;
	bool has_carrier, has_address;
	bool is_forced, forced_value;
	int64_t forced_until_us;
	unsigned buckets; /* of n_buckets */
	unsigned carried_by;
	struct detector_status detector;
};

struct engine_uplink {
	enum uplink_state state;
	int64_t since_us;
	bool has_carrier, has_address;
	bool is_forced, forced_value;
	int64_t forced_until_us;
	int64_t carrier_lost_us;
	struct detector detector;
};

struct engine {
	struct engine_config config;
	struct engine_uplink uplinks[LIMIT_UPLINKS];
	struct forwarding_plan plan;
};

/*
 * All uplinks start up (so that a router that has just booted forwards at once) unless the
 * first carrier or address event says otherwise; engine->plan is valid after this.
 * `config` is copied. `seed` spreads the probe phases.
 */
void engine_init(struct engine *engine, const struct engine_config *config, uint64_t seed, int64_t now_us);
/*
 * After engine_init, when an earlier agent left a plan in force: an uplink whose flows another one carries
 * starts down and has to earn its way back, so that a restart never moves flows onto a dead line.
 */
void engine_adopt(struct engine *engine, const struct forwarding_plan *observed, int64_t now_us);
/* *ret_actions is overwritten. */
void engine_handle(struct engine *engine, const struct engine_event *event, int64_t now_us,
		   struct engine_actions *ret_actions);
/* The monotonic time at which the engine wants its next tick. */
int64_t engine_deadline_us(const struct engine *engine);
void engine_read_status(const struct engine *engine, unsigned uplink, struct engine_uplink_status *ret_status);

#endif
