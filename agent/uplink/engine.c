/*
 * engine: see engine.h. Called by steer.c on the agent's loop, by tests and by the simulation.
 *
 * Every event is handled in the same four steps: note the states before it; let the detectors (or
 * the force) take it in; if that changed a state, compute the plan that the states ask for and list the
 * actions. The difference between the old and the new plan decides what is flushed, not the
 * event, so an uplink that fails while it carries another one's flows is no special case. Probe
 * rounds are sent by ticks, after the verdicts, because a switch-over is worth more than a probe.
 */
#include "agent/uplink/engine.h"

#include <assert.h>
#include <string.h>

/* When the caller comes so much later than asked the machine slept, was stopped or starved: rounds that were
 * outstanding prove nothing. */
#define ASLEEP_US 5000000

static_assert(sizeof(((struct engine_actions *)0)->list) / sizeof(struct engine_action) >= 3 * LIMIT_UPLINKS + 3,
	      "a plan, one flush, report and probe round an uplink, both ends of a force");

/* What an event may change. */
struct before {
	enum uplink_state states[LIMIT_UPLINKS];
	int64_t since_us[LIMIT_UPLINKS];
	unsigned forced;
	struct forwarding_plan plan;
};

static bool is_linked(const struct engine_uplink *uplink)
{
	return uplink->has_carrier && uplink->has_address;
}

static struct engine_action *add_action(struct engine_actions *actions, enum engine_action_type type, unsigned uplink)
{
	struct engine_action *action = &actions->list[actions->n++];

	memset(action, 0, sizeof(*action));
	action->type = type;
	action->uplink = uplink;
	return action;
}

static unsigned count_buckets(const struct forwarding_plan *plan, unsigned uplink)
{
	unsigned n = 0;

	for (unsigned b = 0; b < plan->n_buckets; b++)
		n += plan->bucket[b] == uplink;
	return n;
}

static struct balance_input read_input(const struct engine *engine)
{
	struct balance_input input = { .forced = engine->forced };

	for (unsigned i = 0; i < engine->config.n_uplinks; i++) {
		enum uplink_state state = engine->uplinks[i].detector.state;

		input.up |= (uint32_t)(state == UPLINK_UP) << i;
		input.suspect |= (uint32_t)(state == UPLINK_SUSPECT) << i;
		input.linked |= (uint32_t)is_linked(&engine->uplinks[i]) << i;
	}
	return input;
}

static void make_plan(struct engine *engine)
{
	engine->input = read_input(engine);
	balance_update(&engine->balance, &engine->input, &engine->plan);
}

/* --- actions ------------------------------------------------------------------------------------ */

static void add_report(const struct engine *engine, unsigned uplink, const struct before *before,
		       enum uplink_cause cause, struct engine_actions *actions)
{
	struct engine_change *change = &add_action(actions, ENGINE_REPORT, uplink)->change;
	const struct detector *detector = &engine->uplinks[uplink].detector;
	bool is_seen = cause == UPLINK_BY_PROBES || cause == UPLINK_BY_RECOVERY;
	struct detector_status status;

	detector_read_status(detector, engine->now_us, &status);
	change->uplink = uplink;
	change->from = before->states[uplink];
	change->to = detector->state;
	change->cause = cause;
	change->began_us = is_seen ? detector_began_us(detector) : engine->now_us;
	change->decided_us = engine->now_us;
	change->lasted_us = engine->now_us - before->since_us[uplink];
	change->misses = status.misses;
	change->misses_needed = status.misses_needed;
	change->carried_by = engine->plan.live[uplink];
	change->n_targets = status.n_targets;
	memcpy(change->targets, status.targets, sizeof(change->targets));
}

/* Flows bound to `uplink` that have to start anew because of the change of plan. */
static void add_flush(const struct engine *engine, unsigned uplink, const struct before *before,
		      struct engine_actions *actions)
{
	const struct forwarding_plan *plan = &engine->plan;
	bool became_suspect = engine->uplinks[uplink].detector.state == UPLINK_SUSPECT &&
			      before->states[uplink] != UPLINK_SUSPECT;

	if (plan->live[uplink] != uplink && plan->live[uplink] != before->plan.live[uplink])
		add_action(actions, ENGINE_FLUSH_ALL, uplink);
	else if (became_suspect && count_buckets(plan, uplink) < count_buckets(&before->plan, uplink))
		add_action(actions, ENGINE_FLUSH_UNREPLIED, uplink);
}

/* `cause` of a change for the worse; a change for the better has only one. */
static void add_changes(const struct engine *engine, const struct before *before, enum uplink_cause cause,
			struct engine_actions *actions)
{
	unsigned n = engine->config.n_uplinks;

	if (memcmp(&engine->plan, &before->plan, sizeof(engine->plan)) != 0)
		add_action(actions, ENGINE_APPLY_PLAN, 0);
	for (unsigned i = 0; i < n; i++)
		add_flush(engine, i, before, actions);
	for (unsigned i = 0; i < n; i++) {
		enum uplink_state state = engine->uplinks[i].detector.state;

		if (state != before->states[i])
			add_report(engine, i, before, state == UPLINK_UP ? UPLINK_BY_RECOVERY : cause, actions);
	}
	if (before->forced == engine->forced)
		return;
	if (before->forced != BALANCE_NO_UPLINK)
		add_report(engine, before->forced, before, UPLINK_BY_FORCE_END, actions);
	if (engine->forced != BALANCE_NO_UPLINK)
		add_report(engine, engine->forced, before, UPLINK_BY_FORCE, actions);
}

/* --- events ----------------------------------------------------------------------------------- */

static int64_t due_us(const struct engine_uplink *uplink)
{
	if (!is_linked(uplink))
		return INT64_MAX;
	if (!detector_may_send(&uplink->detector))
		return detector_deadline_us(&uplink->detector);
	return uplink->round_us + detector_gap_us(&uplink->detector);
}

static void send_round(struct engine_uplink *uplink, unsigned index, int64_t now_us, struct engine_actions *actions)
{
	struct engine_action *action;
	int64_t due = due_us(uplink);

	if (now_us < due)
		return;
	/* On time: keep the phase. Late by a round or more: begin anew, do not catch up. */
	uplink->round_us = now_us - due < uplink->detector.config.interval_us ? due : now_us;
	uplink->has_been_probed = true;
	action = add_action(actions, ENGINE_SEND_PROBES, index);
	action->targets = detector_next_targets(&uplink->detector);
	action->sequence = detector_send(&uplink->detector, now_us);
}

/* Returns the cause of what follows. */
static enum uplink_cause take_link(struct engine_uplink *uplink, const struct engine_event *event, int64_t now_us)
{
	bool *has = event->type == ENGINE_CARRIER ? &uplink->has_carrier : &uplink->has_address;
	bool was_linked = is_linked(uplink);

	*has = event->value;
	if (is_linked(uplink) && !was_linked)
		uplink->round_us = now_us - detector_gap_us(&uplink->detector);
	detector_set_link(&uplink->detector, is_linked(uplink), now_us);
	if (!uplink->has_been_probed)
		return UPLINK_BY_START;
	return event->type == ENGINE_CARRIER ? UPLINK_BY_CARRIER : UPLINK_BY_ADDRESS;
}

static void take_tick(struct engine *engine)
{
	for (unsigned i = 0; i < engine->config.n_uplinks; i++)
		detector_tick(&engine->uplinks[i].detector, engine->now_us);
	if (engine->forced_until_us <= engine->now_us)
		engine->forced = BALANCE_NO_UPLINK;
}

static bool names_uplink(const struct engine_event *event)
{
	return event->type != ENGINE_TICK && event->type != ENGINE_FORCE_END;
}

/* Lets the event change states and force; returns the cause of changes for the worse. */
static enum uplink_cause take_event(struct engine *engine, const struct engine_event *event)
{
	struct engine_uplink *uplink = &engine->uplinks[names_uplink(event) ? event->uplink : 0];
	enum uplink_cause cause = UPLINK_BY_PROBES;

	switch (event->type) {
	case ENGINE_TICK:
		take_tick(engine);
		break;
	case ENGINE_PROBE_REPLY:
		detector_reply(&uplink->detector, event->target, event->sequence, engine->now_us);
		break;
	case ENGINE_PROBE_ERROR:
		detector_send_failed(&uplink->detector, event->target, event->sequence, event->value, engine->now_us);
		break;
	case ENGINE_CARRIER:
	case ENGINE_ADDRESS:
		cause = take_link(uplink, event, engine->now_us);
		break;
	case ENGINE_FORCE:
		engine->forced = event->until_us > engine->now_us ? event->uplink : BALANCE_NO_UPLINK;
		engine->forced_until_us = event->until_us;
		break;
	case ENGINE_FORCE_END:
		engine->forced = BALANCE_NO_UPLINK;
		break;
	}
	return cause;
}

/* --- interface ------------------------------------------------------------------------------- */

/* splitmix64: one step is enough to spread phases. */
static uint64_t mix(uint64_t seed)
{
	seed += UINT64_C(0x9e3779b97f4a7c15);
	seed = (seed ^ (seed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	seed = (seed ^ (seed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return seed ^ (seed >> 31);
}

void engine_init(struct engine *engine, const struct engine_config *config, uint64_t seed, int64_t now_us)
{
	uint32_t weights[LIMIT_UPLINKS], tiers[LIMIT_UPLINKS];
	uint64_t spread = mix(seed);

	memset(engine, 0, sizeof(*engine));
	engine->config = *config;
	engine->forced = BALANCE_NO_UPLINK;
	engine->now_us = now_us;
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct engine_uplink_config *uplink_config = &config->uplinks[i];
		struct engine_uplink *uplink = &engine->uplinks[i];
		uint64_t interval_us = (uint64_t)uplink_config->detector.interval_us;
		uint64_t phase_us = (spread % interval_us + i * interval_us / config->n_uplinks) % interval_us;

		weights[i] = uplink_config->weight;
		tiers[i] = uplink_config->tier;
		uplink->has_carrier = true;
		uplink->has_address = true;
		detector_init(&uplink->detector, &uplink_config->detector, UPLINK_UP, now_us);
		uplink->round_us = now_us + (int64_t)phase_us - detector_gap_us(&uplink->detector);
	}
	balance_init(&engine->balance, config->n_uplinks, weights, tiers, config->n_buckets, &engine->plan);
}

void engine_adopt(struct engine *engine, const struct forwarding_plan *observed, int64_t now_us)
{
	unsigned n = engine->config.n_uplinks;

	if (observed->n_uplinks != n)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (observed->live[i] == i || observed->live[i] >= n)
			continue;
		detector_init(&engine->uplinks[i].detector, &engine->config.uplinks[i].detector, UPLINK_DOWN, now_us);
		engine->plan.live[i] = observed->live[i];
	}
	make_plan(engine);
}

void engine_handle(struct engine *engine, const struct engine_event *event, int64_t now_us,
		   struct engine_actions *ret_actions)
{
	unsigned n = engine->config.n_uplinks;
	struct before before = { .forced = engine->forced, .plan = engine->plan };
	struct balance_input input;
	enum uplink_cause cause;

	ret_actions->n = 0;
	if (names_uplink(event) && event->uplink >= n)
		return;
	if (now_us - engine_deadline_us(engine) > ASLEEP_US)
		for (unsigned i = 0; i < n; i++)
			detector_forget_outstanding(&engine->uplinks[i].detector);
	if (now_us > engine->now_us)
		engine->now_us = now_us;
	for (unsigned i = 0; i < n; i++) {
		before.states[i] = engine->uplinks[i].detector.state;
		before.since_us[i] = engine->uplinks[i].detector.since_us;
	}
	cause = take_event(engine, event);
	/* The input says all states and the force: the same one is the same plan, and nothing to tell. */
	input = read_input(engine);
	if (memcmp(&input, &engine->input, sizeof(input)) != 0) {
		make_plan(engine);
		add_changes(engine, &before, cause, ret_actions);
	}
	for (unsigned i = 0; event->type == ENGINE_TICK && i < n; i++)
		send_round(&engine->uplinks[i], i, engine->now_us, ret_actions);
}

int64_t engine_deadline_us(const struct engine *engine)
{
	int64_t deadline_us = engine->forced < BALANCE_NO_UPLINK ? engine->forced_until_us : INT64_MAX;

	for (unsigned i = 0; i < engine->config.n_uplinks; i++) {
		const struct engine_uplink *uplink = &engine->uplinks[i];
		int64_t candidates_us[] = { due_us(uplink), detector_deadline_us(&uplink->detector) };

		for (unsigned c = 0; c < 2; c++)
			if (candidates_us[c] < deadline_us)
				deadline_us = candidates_us[c];
	}
	return deadline_us;
}

void engine_read_status(const struct engine *engine, unsigned index, struct engine_uplink_status *ret_status)
{
	const struct engine_uplink *uplink = &engine->uplinks[index];

	*ret_status = (struct engine_uplink_status){
		.state = uplink->detector.state,
		.since_us = uplink->detector.since_us,
		.has_carrier = uplink->has_carrier,
		.has_address = uplink->has_address,
		.is_forced = engine->forced == index,
		.buckets = count_buckets(&engine->plan, index),
		.carried_by = engine->plan.live[index],
	};
	if (ret_status->is_forced)
		ret_status->forced_until_us = engine->forced_until_us;
	detector_read_status(&uplink->detector, engine->now_us, &ret_status->detector);
}
