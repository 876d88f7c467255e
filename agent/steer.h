/*
 * steer: joins the pure engine with the router and the probes.
 *
 * Gives the engine its events (time, answers, carrier, addresses, orders of an operator) and carries
 * out its actions in their order: send probes, apply the plan, flush flows, tell what changed. A plan
 * that cannot be applied is told once, tried again from 1 s to 30 s apart, and told again when it
 * succeeds. Loop thread only; allocates nothing after steer_start().
 */
#ifndef JAGA_AGENT_STEER_H
#define JAGA_AGENT_STEER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/probe/probe.h"
#include "agent/router/router.h"
#include "agent/uplink/engine.h"
#include "common/err.h"
#include "common/log.h"

struct steer;

struct steer_events {
	/* An uplink changed, and the router does as decided. switch_us: decision -> in force, flows flushed. */
	void (*on_change)(void *arg, const struct engine_change *change, int64_t switch_us, uint32_t flows_moved);
	/* Something that a person should know: a plan that cannot be applied, and when it could be again. */
	void (*on_trouble)(void *arg, enum log_level level, const char *text);
};

struct steer_prober {
	struct steer *steer;
	unsigned uplink;
	struct probe *probe;
	struct router_uplink_state at_start; /* what the first plan was made of */
	int last_error; /* of sending; a run of the same error is logged once */
	unsigned unanswered; /* probes in a row */
};

struct steer {
	struct ev_loop *loop;
	const struct agent_config *config;
	const struct router_ops *router_ops;
	struct router *router;
	const struct probe_ops *probe_ops;
	const struct steer_events *events;
	void *arg;

	struct engine engine;
	struct engine_actions actions;
	struct steer_prober probers[LIMIT_UPLINKS];
	ev_timer tick;
	bool is_tick_put_off; /* once: answers come first that arrived while the agent was busy */
	ev_timer retry;
	int64_t retry_ms;	/* 0: the router has taken the plan that the engine wants */
	bool is_told;		/* ... and on_applied is to come: changes are reported then */
	unsigned n_held;
	struct steer_held {
		struct engine_change change;
		uint32_t flows;
	} held[2 * LIMIT_UPLINKS];
	uint32_t flush_pending; /* bit per uplink: its flows wait for a plan that could not be applied yet */
	unsigned n_unsent;
	struct engine_event unsent[LIMIT_UPLINKS * LIMIT_TARGETS]; /* probes that could not be sent */
	bool is_started;
};

/* Nothing is touched yet. All pointers are borrowed. */
void steer_init(struct steer *steer, struct ev_loop *loop, const struct agent_config *config,
		const struct router_ops *router_ops, const struct probe_ops *probe_ops,
		const struct steer_events *events, void *arg);
/*
 * Takes over the forwarding plan of `router`, or adopts the one in force, and begins to probe as soon as it is.
 * On failure the router forwards as before and steer_stop() may be called or not.
 */
int steer_start(struct steer *steer, struct router *router, bool *ret_adopted, struct err *err);
/* Ends probing; the plan stays in force. */
void steer_stop(struct steer *steer);

/* The router says that what it was told is in force. */
void steer_on_applied(struct steer *steer, uint32_t flows_moved);
/* It says that another agent steers it no more: what it was told last comes into force, and steer_on_applied() follows. */
void steer_on_regained(struct steer *steer);
/* The router says that an uplink's interface changed. */
void steer_on_uplink(struct steer *steer, unsigned uplink, const struct router_uplink_state *state);
/* An operator prefers this uplink over all others for a while. */
void steer_force(struct steer *steer, unsigned uplink, int64_t for_ms);
void steer_unforce(struct steer *steer);
/* Before steer_start() the state is unknown, and nobody carries. */
void steer_read_status(const struct steer *steer, unsigned uplink, struct engine_uplink_status *ret_status);
bool steer_is_plan_in_force(const struct steer *steer);

#endif
