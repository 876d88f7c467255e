/*
 * steer: see steer.h. The path of every decision:
 *
 *   timer, probe answer, router event, operator -> handle() -> engine -> carry_out() -> router, probes
 *
 * Probes that cannot be sent are answers too; they are collected while a list of actions is carried
 * out and handed to the engine afterwards, so that the list is never overwritten under the loop. The
 * timer has the lowest priority: answers that arrived while the agent was busy reach the engine before
 * the tick that would judge them late. When it was busy since it last looked at the sockets (a handshake with
 * large numbers), they are still there: the tick lets the loop look once more. Called by agent.c.
 */
#include "agent/steer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/random.h"

#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 30000
#define BUSY_S 0.02 /* well below any time-out of a probe, and more than a turn of the loop takes */

static void trouble(struct steer *steer, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void trouble(struct steer *steer, enum log_level level, const char *format, ...)
{
	char text[LIMIT_ERR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	steer->events->on_trouble(steer->arg, level, text);
}

/* --- carrying out ---------------------------------------------------------------------------- */

static uint32_t flush(struct steer *steer, unsigned uplink, enum router_flush what)
{
	struct err err = { "" };
	uint32_t flows = 0;

	if (steer->retry_ms > 0) {
		/* The old plan would only bind them to the same uplink again. */
		steer->flush_pending |= 1u << uplink;
		return 0;
	}
	if (steer->router_ops->flush(steer->router, uplink, what, &flows, &err) < 0)
		trouble(steer, LOG_LEVEL_WARNING, "flows of %s not flushed, they wait for their own time-outs: %s",
			steer->config->uplinks[uplink].name, err.text);
	return flows;
}

static void set_retry(struct steer *steer)
{
	steer->retry_ms = steer->retry_ms == 0 ? RETRY_MIN_MS : steer->retry_ms * 2;
	if (steer->retry_ms > RETRY_MAX_MS)
		steer->retry_ms = RETRY_MAX_MS;
	ev_timer_stop(steer->loop, &steer->retry);
	ev_timer_set(&steer->retry, (ev_tstamp)steer->retry_ms / 1000, 0);
	ev_timer_start(steer->loop, &steer->retry);
}

static void report(struct steer *steer, const struct steer_held *held)
{
	steer->events->on_change(steer->arg, &held->change, clock_mono_us() - held->change.decided_us, held->flows);
}

/* A router that cannot be reached for long keeps nobody from hearing of it: the oldest are reported as they are. */
static void hold_or_report(struct steer *steer, const struct steer_held *held)
{
	if (!steer->is_told) {
		report(steer, held);
		return;
	}
	if (steer->n_held == sizeof(steer->held) / sizeof(steer->held[0])) {
		report(steer, &steer->held[0]);
		memmove(&steer->held[0], &steer->held[1], (--steer->n_held) * sizeof(steer->held[0]));
	}
	steer->held[steer->n_held++] = *held;
}

static void apply_plan(struct steer *steer)
{
	struct err err = { "" };
	bool is_first = steer->retry_ms == 0;
	int r = steer->router_ops->apply(steer->router, &steer->engine.plan, &err);

	if (r < 0) {
		set_retry(steer);
		if (is_first)
			trouble(steer, LOG_LEVEL_ERROR, "plan not applied, trying again in %lld ms: %s",
				(long long)steer->retry_ms, err.text);
		return;
	}
	steer->is_told = r == ROUTER_TOLD;
	if (is_first)
		return;
	ev_timer_stop(steer->loop, &steer->retry);
	steer->retry_ms = 0;
	trouble(steer, LOG_LEVEL_INFO, "plan applied at last");
	for (unsigned i = 0; i < steer->config->n_uplinks; i++)
		if (steer->flush_pending & 1u << i)
			flush(steer, i, ROUTER_FLUSH_ALL);
	steer->flush_pending = 0;
}

static void on_reply(void *arg, unsigned target, uint16_t sequence);

/* Opens or binds anew what an interface that comes and goes needs; failing is an uplink that is down. */
static void bind_prober(struct steer *steer, unsigned uplink)
{
	const struct config_uplink *config = &steer->config->uplinks[uplink];
	struct steer_prober *prober = &steer->probers[uplink];
	const struct probe_config probe_config = {
		.interface = config->interface,
		.mark = router_uplink_mark(steer->config, uplink),
		.mark_field = steer->config->mark_field,
		.source = steer->config->driver == CONFIG_DRIVER_ROUTEROS ? &config->source : NULL,
		.n_targets = config->n_targets,
		.targets = config->targets,
	};
	struct err err = { "" };
	int r;

	prober->unanswered = 0;
	if (prober->probe)
		r = steer->probe_ops->rebind(prober->probe, &err);
	else
		r = steer->probe_ops->create(steer->loop, &probe_config, on_reply, prober, &prober->probe, &err);
	if (r < 0)
		log_warning("probe", "uplink=%s cannot be probed, trying again when its interface changes: %s",
			    config->name, err.text);
}

static void note_unsent(struct steer *steer, unsigned uplink, unsigned target, uint16_t sequence, bool is_proof)
{
	if (steer->n_unsent == sizeof(steer->unsent) / sizeof(steer->unsent[0]))
		return; /* its round will time out, which says the same a little later */
	steer->unsent[steer->n_unsent++] = (struct engine_event){
		.type = ENGINE_PROBE_ERROR,
		.uplink = uplink,
		.target = target,
		.sequence = sequence,
		.value = is_proof,
	};
}

static void send_probes(struct steer *steer, unsigned uplink, uint8_t targets, uint16_t sequence)
{
	struct steer_prober *prober = &steer->probers[uplink];

	if (prober->unanswered >= LIMIT_UNANSWERED)
		bind_prober(steer, uplink);
	for (unsigned t = 0; t < steer->config->uplinks[uplink].n_targets; t++) {
		int r;

		if (!(targets & 1U << t))
			continue;
		r = prober->probe ? steer->probe_ops->send(prober->probe, t, sequence) : -ENODEV;
		if (r < 0) {
			if (r != prober->last_error)
				log_debug("probe", "not sent uplink=%s error=%s", steer->config->uplinks[uplink].name,
					  strerror(-r));
			note_unsent(steer, uplink, t, sequence, r != -ENOSPC);
		} else {
			prober->unanswered++;
		}
		prober->last_error = r;
	}
}

static void carry_out(struct steer *steer)
{
	uint32_t flows = 0;

	for (unsigned i = 0; i < steer->actions.n; i++) {
		const struct engine_action *action = &steer->actions.list[i];

		switch (action->type) {
		case ENGINE_SEND_PROBES:
			send_probes(steer, action->uplink, action->targets, action->sequence);
			break;
		case ENGINE_APPLY_PLAN:
			apply_plan(steer);
			break;
		case ENGINE_FLUSH_UNREPLIED:
			flows += flush(steer, action->uplink, ROUTER_FLUSH_UNREPLIED);
			break;
		case ENGINE_FLUSH_ALL:
			flows += flush(steer, action->uplink, ROUTER_FLUSH_ALL);
			break;
		case ENGINE_REPORT:
			hold_or_report(steer, &(struct steer_held){ action->change, flows });
			flows = 0;
			break;
		}
	}
}

static void schedule(struct steer *steer)
{
	int64_t wait_us = engine_deadline_us(&steer->engine) - clock_mono_us();

	ev_timer_stop(steer->loop, &steer->tick);
	ev_timer_set(&steer->tick, wait_us > 0 ? (ev_tstamp)wait_us / 1000000 : 0, 0);
	ev_timer_start(steer->loop, &steer->tick);
}

static void handle(struct steer *steer, const struct engine_event *event)
{
	engine_handle(&steer->engine, event, clock_mono_us(), &steer->actions);
	carry_out(steer);
	while (steer->n_unsent > 0) {
		struct engine_event failed = steer->unsent[--steer->n_unsent];

		engine_handle(&steer->engine, &failed, clock_mono_us(), &steer->actions);
		carry_out(steer);
	}
	schedule(steer);
}

/* --- what happens ---------------------------------------------------------------------------- */

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct steer *steer = timer->data;

	(void)revents;
	steer->is_tick_put_off = !steer->is_tick_put_off && ev_time() - ev_now(loop) > BUSY_S;
	if (steer->is_tick_put_off) {
		ev_timer_set(timer, 0, 0);
		ev_timer_start(loop, timer);
	} else {
		handle(steer, &(struct engine_event){ .type = ENGINE_TICK });
	}
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	apply_plan(timer->data);
}

static void on_reply(void *arg, unsigned target, uint16_t sequence)
{
	struct steer_prober *prober = arg;

	prober->unanswered = 0;
	handle(prober->steer, &(struct engine_event){ .type = ENGINE_PROBE_REPLY,
						      .uplink = prober->uplink,
						      .target = target,
						      .sequence = sequence });
}

void steer_on_uplink(struct steer *steer, unsigned uplink, const struct router_uplink_state *state)
{
	if (!steer->is_started)
		return; /* steer_start() reads the state itself */
	if (state->has_carrier)
		bind_prober(steer, uplink);
	handle(steer, &(struct engine_event){ .type = ENGINE_CARRIER, .uplink = uplink, .value = state->has_carrier });
	handle(steer, &(struct engine_event){ .type = ENGINE_ADDRESS, .uplink = uplink, .value = state->has_address });
}

void steer_force(struct steer *steer, unsigned uplink, int64_t for_ms)
{
	handle(steer, &(struct engine_event){ .type = ENGINE_FORCE,
					      .uplink = uplink,
					      .until_us = clock_mono_us() + for_ms * 1000 });
}

void steer_unforce(struct steer *steer)
{
	handle(steer, &(struct engine_event){ .type = ENGINE_FORCE_END });
}

void steer_read_status(const struct steer *steer, unsigned uplink, struct engine_uplink_status *ret_status)
{
	if (steer->is_started)
		engine_read_status(&steer->engine, uplink, ret_status);
	else /* state 0 is "unknown" */
		*ret_status = (struct engine_uplink_status){ .carried_by = BALANCE_NO_UPLINK };
}

bool steer_is_plan_in_force(const struct steer *steer)
{
	return steer->is_started && steer->retry_ms == 0 && !steer->is_told;
}

/* --- start and stop -------------------------------------------------------------------------- */

void steer_init(struct steer *steer, struct ev_loop *loop, const struct agent_config *config,
		const struct router_ops *router_ops, const struct probe_ops *probe_ops,
		const struct steer_events *events, void *arg)
{
	*steer = (struct steer){
		.loop = loop,
		.config = config,
		.router_ops = router_ops,
		.probe_ops = probe_ops,
		.events = events,
		.arg = arg,
	};
	ev_init(&steer->tick, on_tick);
	ev_set_priority(&steer->tick, EV_MINPRI);
	steer->tick.data = steer;
	ev_init(&steer->retry, on_retry);
	steer->retry.data = steer;
}

static void init_engine(struct steer *steer, bool *ret_has_plan)
{
	const struct agent_config *config = steer->config;
	struct engine_config engine_config = { .n_uplinks = config->n_uplinks, .n_buckets = config->n_buckets };
	struct forwarding_plan observed;
	struct err err = { "" };
	uint64_t seed;
	int r;

	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct config_uplink *uplink = &config->uplinks[i];

		engine_config.uplinks[i] = (struct engine_uplink_config){
			.weight = uplink->weight,
			.tier = uplink->tier,
			.detector = { .n_targets = uplink->n_targets,
				      .quorum = uplink->quorum,
				      .interval_us = uplink->probe_interval_us,
				      .timeout_min_us = uplink->timeout_min_us,
				      .timeout_max_us = uplink->timeout_max_us,
				      .metered = uplink->metered },
		};
	}
	random_fill(&seed, sizeof(seed)); /* spreads the phases of probes */
	engine_init(&steer->engine, &engine_config, seed, clock_mono_us());
	r = steer->router_ops->read_plan(steer->router, &observed, &err);
	*ret_has_plan = r == 0;
	if (r == 0)
		engine_adopt(&steer->engine, &observed, clock_mono_us());
	else if (r != -ENOENT)
		log_warning("agent", "the plan in force cannot be read, replacing it: %s", err.text);
}

/* An uplink without carrier or address is down before the first packet; its flows move with the take-over. */
static void observe_uplinks(struct steer *steer)
{
	struct router_uplink_state state;

	for (unsigned i = 0; i < steer->config->n_uplinks; i++) {
		struct engine_event events[2] = { { .type = ENGINE_CARRIER, .uplink = i },
						  { .type = ENGINE_ADDRESS, .uplink = i } };

		if (steer->router_ops->read_uplink(steer->router, i, &state) < 0)
			state = (struct router_uplink_state){ .has_carrier = false };
		steer->probers[i].at_start = state;
		events[0].value = state.has_carrier;
		events[1].value = state.has_address;
		for (unsigned e = 0; e < 2; e++) {
			engine_handle(&steer->engine, &events[e], clock_mono_us(), &steer->actions);
			for (unsigned a = 0; a < steer->actions.n; a++) {
				if (steer->actions.list[a].type == ENGINE_FLUSH_ALL)
					steer->flush_pending |= 1u << steer->actions.list[a].uplink;
				if (steer->actions.list[a].type == ENGINE_REPORT)
					steer->events->on_change(steer->arg, &steer->actions.list[a].change, 0, 0);
			}
		}
		if (state.has_carrier)
			bind_prober(steer, i);
	}
}

/*
 * The take-over reads the router again. What it found moved since observe_uplinks() was told before there was anybody to hear,
 * and is told once only: a line whose carrier came up in these milliseconds would be down until the next event.
 */
static void catch_up(struct steer *steer)
{
	struct router_uplink_state state;

	for (unsigned i = 0; i < steer->config->n_uplinks; i++) {
		const struct router_uplink_state *seen = &steer->probers[i].at_start;

		if (steer->router_ops->read_uplink(steer->router, i, &state) == 0 &&
		    (state.has_carrier != seen->has_carrier || state.has_address != seen->has_address))
			steer_on_uplink(steer, i, &state);
	}
}

static void begin(struct steer *steer)
{
	steer->is_started = true;
	schedule(steer);
	catch_up(steer);
}

int steer_start(struct steer *steer, struct router *router, bool *ret_adopted, struct err *err)
{
	bool has_plan;
	int r;

	steer->router = router;
	for (unsigned i = 0; i < steer->config->n_uplinks; i++)
		steer->probers[i] = (struct steer_prober){ .steer = steer, .uplink = i };
	init_engine(steer, &has_plan);
	observe_uplinks(steer);
	r = steer->router_ops->take_over(router, &steer->engine.plan, ret_adopted, err);
	if (r < 0) {
		steer_stop(steer);
		return r;
	}
	for (unsigned i = 0; i < steer->config->n_uplinks; i++)
		if (steer->flush_pending & 1u << i)
			flush(steer, i, ROUTER_FLUSH_ALL);
	steer->flush_pending = 0;
	if (has_plan && !*ret_adopted)
		log_warning("agent", "the plan of an earlier agent was replaced; flows it carried may be cut");
	/* A probe through a half-made plan proves nothing, and what routers remember of it stays. */
	steer->is_told = r == ROUTER_TOLD;
	if (!steer->is_told)
		begin(steer);
	return 0;
}

void steer_on_applied(struct steer *steer, uint32_t flows_moved)
{
	unsigned n = steer->n_held;

	if (n > 0) /* the last one moved most of them */
		steer->held[n - 1].flows += flows_moved;
	steer->is_told = false;
	steer->n_held = 0;
	for (unsigned i = 0; i < n; i++)
		report(steer, &steer->held[i]);
	if (!steer->is_started)
		begin(steer);
}

void steer_on_regained(struct steer *steer)
{
	steer->is_told = true;
}

void steer_stop(struct steer *steer)
{
	ev_timer_stop(steer->loop, &steer->tick);
	ev_timer_stop(steer->loop, &steer->retry);
	for (unsigned i = 0; i < steer->config->n_uplinks; i++) {
		steer->probe_ops->destroy(steer->probers[i].probe);
		steer->probers[i].probe = NULL;
	}
	steer->is_started = steer->is_told = false;
}
