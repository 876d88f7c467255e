/*
 * engine: the fail-over engine, pure. (state, event, now) -> new state and a list of actions.
 *
 * It decides when to probe, what a lost probe means, which uplink is up, suspect or down, and the
 * forwarding plan that follows. It does no I/O, reads no clock and allocates nothing; everything
 * it knows comes in events. The caller carries out the actions in the order of the list and calls
 * engine_handle(ENGINE_TICK) not later than engine_deadline_us().
 *
 * The states and what moves them are the detector's (detector.h), the tables the balance's
 * (balance.h); here they become actions:
 *
 *   to suspect   APPLY_PLAN (new flows avoid it), FLUSH_UNREPLIED, REPORT
 *   to down      APPLY_PLAN (its flows have a survivor), FLUSH_ALL, REPORT
 *   to up        APPLY_PLAN (as before the fault), REPORT; nothing is flushed, flows drain back
 *   force        APPLY_PLAN (everything on one uplink), FLUSH_ALL of the others, REPORT
 *   no survivor  REPORT; the last plan stays while one of its uplinks has a link (balance.h)
 *
 * FLUSH_ALL is emitted for every uplink whose flows are to be carried by another one than before,
 * so that chains (the survivor fails, too) need no special case.
 *
 * Force: the operator prefers one uplink over all others, for new and existing flows, until a
 * deadline. It does not blind the engine: while that uplink is down (by probes, carrier or
 * address) the others carry the traffic as if there were no force, and it takes over again when it
 * is up. When nothing is up, the forced uplink is tried first. One force at a time.
 */
#ifndef JAGA_AGENT_UPLINK_ENGINE_H
#define JAGA_AGENT_UPLINK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/uplink/balance.h"
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
	UPLINK_BY_START, /* found without carrier or address before the first probe was sent */
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
	ENGINE_PROBE_ERROR, /* uplink, target, sequence: sending failed; value: and that tells of the uplink (no route) */
	ENGINE_CARRIER,	    /* uplink, value: the interface has carrier and is up */
	ENGINE_ADDRESS,	    /* uplink, value: it has an address and a gateway */
	ENGINE_FORCE,	    /* uplink, until_us: prefer it over all others; replaces an earlier force */
	ENGINE_FORCE_END,   /* the operator takes the force back; it ends by itself at until_us */
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
	enum uplink_state from, to; /* equal when a force begins or ends */
	enum uplink_cause cause;
	int64_t began_us;   /* first lost probe was sent, carrier was lost, answers came back */
	int64_t decided_us;
	int64_t lasted_us;  /* how long `from` had lasted */
	unsigned misses, misses_needed;
	unsigned carried_by; /* uplink that has its flows now */
	unsigned n_targets;
	struct detector_evidence targets[LIMIT_TARGETS];
};

enum engine_action_type {
	ENGINE_SEND_PROBES,	/* uplink, targets, sequence: one probe to each */
	ENGINE_APPLY_PLAN,	/* engine->plan */
	ENGINE_FLUSH_UNREPLIED, /* uplink: flows bound to it that never saw a reply */
	ENGINE_FLUSH_ALL,	/* uplink: every flow bound to it */
	ENGINE_REPORT,		/* change; always the last action of its change */
};

struct engine_action {
	enum engine_action_type type;
	unsigned uplink;
	uint16_t sequence;
	uint8_t targets; /* a bit each */
	struct engine_change change; /* ENGINE_REPORT only */
};

struct engine_actions {
	unsigned n;
	struct engine_action list[4 * LIMIT_UPLINKS];
};

/* What `jaga-agent uplinks` shows. */
struct engine_uplink_status {
	enum uplink_state state;
	int64_t since_us;
	bool has_carrier, has_address;
	bool is_forced;
	int64_t forced_until_us;
	unsigned buckets; /* of n_buckets */
	unsigned carried_by;
	struct detector_status detector;
};

/* --- private but for engine->plan: embedded by value in the agent ------------------------------- */

struct engine_uplink {
	bool has_carrier, has_address;
	bool has_been_probed;
	int64_t round_us; /* nominal time of the last probe round */
	struct detector detector;
};

struct engine {
	struct engine_config config;
	struct engine_uplink uplinks[LIMIT_UPLINKS];
	struct balance balance;
	struct balance_input input; /* that the plan was made for */
	struct forwarding_plan plan; /* desired; valid from engine_init on */
	unsigned forced;	     /* or BALANCE_NO_UPLINK */
	int64_t forced_until_us;
	int64_t now_us;		     /* of the last event */
};

/* --- functions ---------------------------------------------------------------------------------- */

/*
 * All uplinks start up (so that a router that has just booted forwards at once) unless the
 * first carrier or address event says otherwise; engine->plan is valid after this. `config` is copied. `seed` spreads the probe phases.
 */
void engine_init(struct engine *engine, const struct engine_config *config, uint64_t seed, int64_t now_us);
/*
 * After engine_init, when an earlier agent left a plan in force: an uplink whose flows another one carries
 * starts down and has to earn its way back, so that a restart never moves flows onto a dead line.
 */
void engine_adopt(struct engine *engine, const struct forwarding_plan *observed, int64_t now_us);
/*
 * *ret_actions is overwritten. Rounds are judged lost by ticks only, so a caller that hands in the
 * replies it has received before it hands in the tick loses none to its own delays. Events that
 * name no existing uplink, target or round are ignored. A clock that goes backwards stands still.
 */
void engine_handle(struct engine *engine, const struct engine_event *event, int64_t now_us,
		   struct engine_actions *ret_actions);
/* The monotonic time at which the engine wants its next tick. */
int64_t engine_deadline_us(const struct engine *engine);
void engine_read_status(const struct engine *engine, unsigned uplink, struct engine_uplink_status *ret_status);

#endif
