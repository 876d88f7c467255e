/*
 * engine_lab: an engine, a clock that jumps from event to event, and lines that lose and delay
 * probes as the test says. Keeps what a router would have, the last plan applied, and a list of
 * what was done. After every event it checks what must hold whatever happens (lab_check).
 */
#ifndef JAGA_TESTS_ENGINE_LAB_H
#define JAGA_TESTS_ENGINE_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/uplink/engine.h"

#define MS INT64_C(1000)
#define S (1000 * MS)
#define LAB_FLYING 2048
#define LAB_DONE 256

struct lab_line {
	bool is_dead, sending_fails, has_no_room; /* no room: of this machine, for the probe */
	unsigned loss_percent;
	int64_t rtt_us;
};

struct lab_reply {
	int64_t at_us;
	unsigned uplink, target;
	uint16_t sequence;
};

struct lab {
	struct engine engine;
	int64_t now;
	uint64_t random;
	struct lab_line lines[LIMIT_UPLINKS];
	struct lab_reply flying[LAB_FLYING];
	unsigned n_flying;
	struct forwarding_plan applied;
	enum uplink_state reported[LIMIT_UPLINKS];
	struct engine_action done[LAB_DONE]; /* but for probes */
	unsigned n_done;
	unsigned rounds[LIMIT_UPLINKS];
};

/* n uplinks of weight 1 and tier 1, 64 buckets, default probing of one target. */
static inline struct engine_config lab_config(unsigned n)
{
	struct engine_config config = { .n_uplinks = n, .n_buckets = 64 };

	for (unsigned i = 0; i < n; i++) {
		config.uplinks[i].weight = 1;
		config.uplinks[i].tier = 1;
		config.uplinks[i].detector = (struct detector_config){
			.n_targets = 1,
			.quorum = 1,
			.interval_us = 100 * MS,
			.timeout_min_us = 200 * MS,
			.timeout_max_us = 3 * S,
		};
	}
	return config;
}

static inline uint64_t lab_random(struct lab *lab, uint64_t below)
{
	lab->random = lab->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (lab->random >> 33) % below;
}

static inline enum uplink_state lab_state(const struct lab *lab, unsigned uplink)
{
	return lab->engine.uplinks[uplink].detector.state;
}

static inline void lab_check(const struct lab *lab)
{
	const struct forwarding_plan *plan = &lab->engine.plan;
	bool any_up = false, any_usable = false;

	/* What is desired has been applied. */
	assert_memory_equal(plan, &lab->applied, sizeof(*plan));
	for (unsigned i = 0; i < plan->n_uplinks; i++) {
		assert_int_equal(lab_state(lab, i), lab->reported[i]);
		any_up |= lab_state(lab, i) == UPLINK_UP;
		any_usable |= lab_state(lab, i) != UPLINK_DOWN;
	}
	for (unsigned i = 0; i < plan->n_uplinks; i++) {
		const struct engine_uplink *uplink = &lab->engine.uplinks[i];

		assert_true(plan->live[i] < plan->n_uplinks);
		if (any_usable)
			assert_true(lab_state(lab, plan->live[i]) != UPLINK_DOWN);
		if (lab_state(lab, i) != UPLINK_DOWN && lab->engine.forced == BALANCE_NO_UPLINK)
			assert_int_equal(plan->live[i], i);
		if (!uplink->has_carrier || !uplink->has_address)
			assert_int_equal(lab_state(lab, i), UPLINK_DOWN);
	}
	for (unsigned b = 0; b < plan->n_buckets; b++) {
		assert_true(plan->bucket[b] < plan->n_uplinks);
		if (any_usable)
			assert_true(lab_state(lab, plan->bucket[b]) != UPLINK_DOWN);
		if (any_up && plan->bucket[b] != lab->engine.forced)
			assert_int_equal(lab_state(lab, plan->bucket[b]), UPLINK_UP);
	}
}

static inline void lab_event(struct lab *lab, struct engine_event event);

static inline void lab_send(struct lab *lab, unsigned uplink, uint8_t targets, uint16_t sequence)
{
	const struct lab_line *line = &lab->lines[uplink];

	lab->rounds[uplink]++;
	for (unsigned target = 0; target < lab->engine.config.uplinks[uplink].detector.n_targets; target++) {
		if (!(targets & 1U << target))
			continue;
		if (line->sending_fails || line->has_no_room)
			lab_event(lab, (struct engine_event){ .type = ENGINE_PROBE_ERROR,
							      .uplink = uplink,
							      .target = target,
							      .sequence = sequence,
							      .value = line->sending_fails });
		if (line->sending_fails || line->has_no_room || line->is_dead || lab_random(lab, 100) < line->loss_percent)
			continue;
		assert_true(lab->n_flying < LAB_FLYING);
		lab->flying[lab->n_flying++] = (struct lab_reply){
			.at_us = lab->now + line->rtt_us, .uplink = uplink, .target = target, .sequence = sequence
		};
	}
}

static inline void lab_carry_out(struct lab *lab, const struct engine_actions *actions)
{
	for (unsigned i = 0; i < actions->n; i++) {
		const struct engine_action *action = &actions->list[i];

		if (action->type == ENGINE_APPLY_PLAN) {
			assert_true(memcmp(&lab->applied, &lab->engine.plan, sizeof(lab->applied)) != 0);
			lab->applied = lab->engine.plan;
		} else if (action->type == ENGINE_FLUSH_ALL) {
			assert_true(lab->applied.live[action->uplink] != action->uplink);
		} else if (action->type == ENGINE_REPORT) {
			assert_int_equal(action->change.from, lab->reported[action->uplink]);
			assert_true(action->change.began_us <= action->change.decided_us);
			lab->reported[action->uplink] = action->change.to;
		}
		if (action->type != ENGINE_SEND_PROBES && lab->n_done < LAB_DONE)
			lab->done[lab->n_done++] = *action;
	}
	lab_check(lab);
	for (unsigned i = 0; i < actions->n; i++)
		if (actions->list[i].type == ENGINE_SEND_PROBES)
			lab_send(lab, actions->list[i].uplink, actions->list[i].targets, actions->list[i].sequence);
}

static inline void lab_event(struct lab *lab, struct engine_event event)
{
	static struct engine_actions buffers[2]; /* a failure to send is an event within an event */
	static unsigned depth;
	struct engine_actions *actions = &buffers[depth++];

	engine_handle(&lab->engine, &event, lab->now, actions);
	if (event.type == ENGINE_TICK)
		assert_true(engine_deadline_us(&lab->engine) > lab->now);
	lab_carry_out(lab, actions);
	depth--;
}

static inline void lab_tick(struct lab *lab)
{
	lab_event(lab, (struct engine_event){ .type = ENGINE_TICK });
}

static inline void lab_link(struct lab *lab, enum engine_event_type type, unsigned uplink, bool value)
{
	lab_event(lab, (struct engine_event){ .type = type, .uplink = uplink, .value = value });
}

static inline void lab_init(struct lab *lab, const struct engine_config *config, uint64_t seed)
{
	memset(lab, 0, sizeof(*lab));
	lab->now = 1000 * S;
	lab->random = seed;
	engine_init(&lab->engine, config, seed, lab->now);
	lab->applied = lab->engine.plan;
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		lab->lines[i].rtt_us = 10 * MS;
		lab->reported[i] = UPLINK_UP;
	}
	lab_check(lab);
}

static inline unsigned lab_next_reply(const struct lab *lab)
{
	unsigned next = 0;

	for (unsigned i = 1; i < lab->n_flying; i++)
		if (lab->flying[i].at_us < lab->flying[next].at_us)
			next = i;
	return next;
}

/* Replies come before ticks of the same time, as the contract of engine_handle asks. */
static inline void lab_run_until(struct lab *lab, int64_t until_us)
{
	for (;;) {
		int64_t deadline_us = engine_deadline_us(&lab->engine);
		unsigned next = lab_next_reply(lab);
		struct lab_reply reply = lab->flying[next];

		if (lab->n_flying > 0 && reply.at_us <= deadline_us && reply.at_us <= until_us) {
			lab->flying[next] = lab->flying[--lab->n_flying];
			lab->now = reply.at_us > lab->now ? reply.at_us : lab->now;
			lab_event(lab, (struct engine_event){ .type = ENGINE_PROBE_REPLY,
							      .uplink = reply.uplink,
							      .target = reply.target,
							      .sequence = reply.sequence });
		} else if (deadline_us <= until_us) {
			lab->now = deadline_us > lab->now ? deadline_us : lab->now;
			lab_tick(lab);
		} else {
			lab->now = until_us;
			return;
		}
	}
}

static inline void lab_run(struct lab *lab, int64_t duration_us)
{
	lab_run_until(lab, lab->now + duration_us);
}

/* The nth thing done has this type and uplink; returns its change. */
static inline const struct engine_change *lab_expect(const struct lab *lab, unsigned nth, enum engine_action_type type,
						     unsigned uplink)
{
	assert_true(nth < lab->n_done);
	assert_int_equal(lab->done[nth].type, type);
	if (type != ENGINE_APPLY_PLAN)
		assert_int_equal(lab->done[nth].uplink, uplink);
	return &lab->done[nth].change;
}

static inline void lab_expect_report(const struct lab *lab, unsigned nth, unsigned uplink, enum uplink_state from,
				     enum uplink_state to, enum uplink_cause cause, unsigned carried_by)
{
	const struct engine_change *change = lab_expect(lab, nth, ENGINE_REPORT, uplink);

	assert_int_equal(change->uplink, uplink);
	assert_int_equal(change->from, from);
	assert_int_equal(change->to, to);
	assert_int_equal(change->cause, cause);
	assert_int_equal(change->carried_by, carried_by);
}

#endif
