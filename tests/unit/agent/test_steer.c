/*
 * steer: real engine, real loop, fake router and probes. Probing is fast here (20 ms), so that a fail-over
 * takes a fraction of a second; every wait has a deadline far beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steer.h"
#include "common/clock.h"

static struct ev_loop *loop;
static struct agent_config config;
static struct steer *steer;

/* --- fakes ------------------------------------------------------------------------------------- */

struct probe {
	unsigned uplink;
	probe_reply_fn *on_reply;
	void *arg;
	struct { unsigned target; uint16_t sequence; } waiting[64];
	unsigned n_waiting;
	ev_timer answer;
	unsigned rebinds, sent;
};

static struct {
	bool dead[LIMIT_UPLINKS]; /* probes get no answer */
	unsigned rtt_ms;	  /* 0: one */
	int send_result[LIMIT_UPLINKS], create_result[LIMIT_UPLINKS];
	unsigned refused[LIMIT_UPLINKS];
	struct probe probes[LIMIT_UPLINKS];
	unsigned created[LIMIT_UPLINKS];

	struct router_uplink_state state[LIMIT_UPLINKS];
	bool has_observed;
	struct forwarding_plan observed, applied;
	int take_over_result, apply_result, flush_result;
	bool comes_up_meanwhile; /* the second uplink, while the plan is put in force */
	unsigned taken_over, applies, flushes_all[LIMIT_UPLINKS], flushes_unreplied[LIMIT_UPLINKS];

	unsigned changes, troubles;
	struct engine_change change;
	int64_t switch_us;
	uint32_t flows_moved;
	enum log_level level;
} fake;

static void answer(struct ev_loop *l, ev_timer *timer, int revents)
{
	struct probe *probe = timer->data;

	(void)l;
	(void)revents;
	while (probe->n_waiting > 0) {
		probe->n_waiting--;
		if (!fake.dead[probe->uplink])
			probe->on_reply(probe->arg, probe->waiting[probe->n_waiting].target,
					probe->waiting[probe->n_waiting].sequence);
	}
}

static int probe_create(struct ev_loop *l, const struct probe_config *probe_config, probe_reply_fn *on_reply, void *arg,
			struct probe **ret_probe, struct err *err)
{
	unsigned uplink = (unsigned)(probe_config->interface[3] - '1'); /* wan1 ... */
	struct probe *probe = &fake.probes[uplink];

	assert_ptr_equal(l, loop);
	assert_int_equal(probe_config->mark, (uplink + 1) << 8);
	assert_int_equal(probe_config->mark_field, 0xff00);
	if (fake.create_result[uplink] < 0)
		return err_set(err, fake.create_result[uplink], "no such interface");
	*probe = (struct probe){ .uplink = uplink, .on_reply = on_reply, .arg = arg };
	ev_init(&probe->answer, answer);
	probe->answer.data = probe;
	fake.created[uplink]++;
	*ret_probe = probe;
	return 0;
}

static int probe_send(struct probe *probe, unsigned target, uint16_t sequence)
{
	fake.refused[probe->uplink] += fake.send_result[probe->uplink] < 0;
	if (fake.send_result[probe->uplink] < 0)
		return fake.send_result[probe->uplink];
	assert_true(probe->n_waiting < 64);
	probe->sent++;
	probe->waiting[probe->n_waiting].target = target;
	probe->waiting[probe->n_waiting++].sequence = sequence;
	if (ev_is_active(&probe->answer))
		return 0; /* answered with the one before */
	ev_timer_set(&probe->answer, fake.rtt_ms ? fake.rtt_ms / 1000.0 : 0.001, 0);
	ev_timer_start(loop, &probe->answer);
	return 0;
}

static int probe_rebind(struct probe *probe, struct err *err)
{
	(void)err;
	probe->rebinds++;
	return 0;
}

static void probe_destroy(struct probe *probe)
{
	if (probe)
		ev_timer_stop(loop, &probe->answer);
}

static const struct probe_ops probe_fake = { "fake", probe_create, probe_send, probe_rebind, probe_destroy };

static int read_plan(struct router *router, struct forwarding_plan *ret_plan, struct err *err)
{
	(void)router;
	(void)err;
	*ret_plan = fake.observed;
	return fake.has_observed ? 0 : -ENOENT;
}

static int take_over(struct router *router, const struct forwarding_plan *plan, bool *ret_adopted, struct err *err)
{
	(void)router;
	fake.taken_over++;
	if (fake.take_over_result < 0)
		return err_set(err, fake.take_over_result, "refused");
	fake.applied = *plan;
	if (fake.comes_up_meanwhile) {
		fake.state[1] = (struct router_uplink_state){ true, true };
		steer_on_uplink(steer, 1, &fake.state[1]); /* as the driver does, once */
	}
	*ret_adopted = fake.has_observed;
	return fake.take_over_result;
}

static int apply(struct router *router, const struct forwarding_plan *plan, struct err *err)
{
	(void)router;
	fake.applies++;
	if (fake.apply_result < 0)
		return err_set(err, fake.apply_result, "the kernel says no");
	fake.applied = *plan;
	return fake.apply_result;
}

static int flush_flows(struct router *router, unsigned uplink, enum router_flush what, uint32_t *ret_flows, struct err *err)
{
	(void)router;
	if (what == ROUTER_FLUSH_ALL)
		fake.flushes_all[uplink]++;
	else
		fake.flushes_unreplied[uplink]++;
	*ret_flows = what == ROUTER_FLUSH_ALL ? 40 : 2;
	return fake.flush_result < 0 ? err_set(err, fake.flush_result, "no") : 0;
}

static int read_uplink(struct router *router, unsigned uplink, struct router_uplink_state *ret_state)
{
	(void)router;
	*ret_state = fake.state[uplink];
	return 0;
}

static const struct router_ops router_fake = { .name = "fake", .read_plan = read_plan, .take_over = take_over,
					       .apply = apply, .flush = flush_flows, .read_uplink = read_uplink };

static void on_change(void *arg, const struct engine_change *change, int64_t switch_us, uint32_t flows_moved)
{
	assert_ptr_equal(arg, &fake);
	fake.changes++;
	fake.change = *change;
	fake.switch_us = switch_us;
	fake.flows_moved = flows_moved;
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	assert_ptr_equal(arg, &fake);
	assert_true(text[0] != '\0');
	fake.troubles++;
	fake.level = level;
}

static const struct steer_events events = { on_change, on_trouble };

/* --- helpers ----------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	memset(&config, 0, sizeof(config));
	config.mark_field = 0xff00;
	config.n_buckets = 10;
	config.n_uplinks = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct config_uplink *uplink = &config.uplinks[i];

		strcpy(uplink->name, i ? "isp2" : "isp1");
		strcpy(uplink->interface, i ? "wan2" : "wan1");
		uplink->weight = uplink->tier = uplink->quorum = uplink->n_targets = 1;
		uplink->probe_interval_us = 20000;
		uplink->timeout_min_us = 50000;
		uplink->timeout_max_us = 1000000;
		fake.state[i] = (struct router_uplink_state){ true, true };
	}
	steer = calloc(1, sizeof(*steer));
	steer_init(steer, loop, &config, &router_fake, &probe_fake, &events, &fake);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	steer_stop(steer);
	free(steer);
	return 0;
}

static void start(void)
{
	struct err err = { "" };
	bool adopted = false;

	assert_int_equal(steer_start(steer, NULL, &adopted, &err), 0);
	assert_int_equal(adopted, fake.has_observed);
}

static enum uplink_state state_of(unsigned uplink)
{
	struct engine_uplink_status status;

	steer_read_status(steer, uplink, &status);
	return status.state;
}

#define WAIT_FOR(condition)                                                     \
	do {                                                                    \
		int64_t deadline_ms = clock_mono_ms() + 30000;                  \
		while (!(condition) && clock_mono_ms() < deadline_ms)           \
			ev_run(loop, EVRUN_ONCE);                               \
		assert_true(condition);                                         \
	} while (0)

static unsigned buckets_of(unsigned uplink)
{
	unsigned n = 0;

	for (unsigned i = 0; i < config.n_buckets; i++)
		n += fake.applied.bucket[i] == uplink;
	return n;
}

/* --- tests ------------------------------------------------------------------------------------- */

static void test_fail_over_and_back(void **state)
{
	(void)state;
	start();
	assert_int_equal(fake.taken_over, 1);
	assert_int_equal(buckets_of(0), 5);
	WAIT_FOR(fake.probes[0].n_waiting > 0 || fake.probes[1].n_waiting > 0);
	fake.dead[0] = true;
	WAIT_FOR(state_of(0) == UPLINK_SUSPECT);
	assert_int_equal(buckets_of(0), 0);
	assert_int_equal(fake.flushes_unreplied[0], 1);
	assert_int_equal(fake.flushes_all[0], 0);
	assert_int_equal(fake.flows_moved, 2);
	WAIT_FOR(state_of(0) == UPLINK_DOWN);
	assert_int_equal(fake.changes, 2);
	assert_int_equal(fake.change.cause, UPLINK_BY_PROBES);
	assert_int_equal(fake.applied.live[0], 1);
	assert_int_equal(fake.flushes_all[0], 1);
	assert_int_equal(fake.flows_moved, 40);
	assert_true(fake.switch_us >= 0 && fake.switch_us < 1000000);
	fake.dead[0] = false;
	WAIT_FOR(state_of(0) == UPLINK_UP);
	assert_int_equal(buckets_of(0), 5);
	assert_int_equal(fake.applied.live[0], 0);
	assert_int_equal(fake.flushes_all[0], 1); /* nothing is cut on the way back */
	assert_int_equal(fake.troubles, 0);
	assert_true(steer_is_plan_in_force(steer));
}

static void test_carrier(void **state)
{
	struct router_uplink_state lost = { false, false }, back = { true, true };

	(void)state;
	start();
	WAIT_FOR(fake.probes[1].n_waiting > 0); /* before that it would count as found so at the start */
	steer_on_uplink(steer, 1, &lost);
	assert_int_equal(state_of(1), UPLINK_DOWN);
	assert_int_equal(fake.change.cause, UPLINK_BY_CARRIER);
	assert_int_equal(buckets_of(0), 10);
	assert_int_equal(fake.probes[1].rebinds, 0);
	steer_on_uplink(steer, 1, &back);
	assert_int_equal(fake.probes[1].rebinds, 1);
	WAIT_FOR(state_of(1) == UPLINK_UP);
}

static void test_probes_that_cannot_be_sent(void **state)
{
	(void)state;
	start();
	fake.send_result[0] = -ENETUNREACH;
	WAIT_FOR(state_of(0) == UPLINK_DOWN);
	fake.send_result[0] = 0;
	WAIT_FOR(state_of(0) == UPLINK_UP);
}

/* A full connection table says nothing of the lines: far more probes than make a down leave their state as it is. */
static void test_probes_without_room(void **state)
{
	struct router_uplink_state lost = { false, false };

	(void)state;
	start();
	fake.send_result[0] = fake.send_result[1] = -ENOSPC;
	WAIT_FOR(fake.refused[0] >= 50 && fake.refused[1] >= 50);
	assert_int_equal(fake.changes, 0);
	assert_int_equal(state_of(0), UPLINK_UP);
	steer_on_uplink(steer, 0, &lost);
	assert_int_equal(state_of(0), UPLINK_DOWN);
	assert_int_equal(state_of(1), UPLINK_UP);
	fake.send_result[1] = -EPERM; /* a rule drops them */
	WAIT_FOR(state_of(1) == UPLINK_DOWN);
}

/* Between the look at the sockets and the tick, when answers are on their way. */
static void be_busy(struct ev_loop *l, ev_check *check, int revents)
{
	int64_t end_ms = clock_mono_ms() + 600;

	(void)revents;
	if (!ev_is_pending(&steer->tick) || fake.probes[0].n_waiting < 4)
		return;
	ev_check_stop(l, check);
	while (clock_mono_ms() < end_ms)
		;
}

/* Something computes for longer than an answer may take, as a handshake does: what came meanwhile was not late. */
static void test_answers_wait_for_a_busy_agent(void **state)
{
	unsigned sent;
	ev_check busy;

	(void)state;
	fake.rtt_ms = 100;
	start();
	WAIT_FOR(fake.probes[0].sent > 20 && fake.probes[1].sent > 20);
	ev_check_init(&busy, be_busy);
	ev_check_start(loop, &busy);
	WAIT_FOR(!ev_is_active(&busy));
	sent = fake.probes[0].sent;
	WAIT_FOR(fake.probes[0].sent > sent + 20);
	assert_int_equal(fake.changes, 0);
	assert_int_equal(state_of(0), UPLINK_UP);
	assert_int_equal(state_of(1), UPLINK_UP);
}

static void test_a_plan_that_cannot_be_applied(void **state)
{
	(void)state;
	start();
	fake.apply_result = -EBUSY;
	fake.dead[0] = true;
	WAIT_FOR(state_of(0) == UPLINK_DOWN);
	assert_int_equal(fake.troubles, 1); /* told once */
	assert_int_equal(fake.level, LOG_LEVEL_ERROR);
	assert_false(steer_is_plan_in_force(steer));
	assert_int_equal(fake.flushes_all[0], 0); /* the old plan would only bind them to the dead line again */
	fake.apply_result = 0;
	WAIT_FOR(steer_is_plan_in_force(steer));
	assert_int_equal(fake.troubles, 2);
	assert_int_equal(fake.level, LOG_LEVEL_INFO);
	assert_int_equal(fake.applied.live[0], 1);
	assert_int_equal(fake.flushes_all[0], 1);
}

/* A router that is told over the network: what changed is told when it has answered. */
static void test_a_plan_that_is_told(void **state)
{
	(void)state;
	start();
	fake.apply_result = ROUTER_TOLD;
	fake.dead[0] = true;
	WAIT_FOR(state_of(0) == UPLINK_DOWN);
	assert_int_equal(fake.changes, 0);
	assert_false(steer_is_plan_in_force(steer));
	assert_int_equal(fake.flushes_all[0], 1);
	steer_on_applied(steer, 7);
	assert_true(fake.changes > 0);
	assert_int_equal(fake.flows_moved, 40 + 7); /* what flush said, and what came later */
	assert_int_equal(fake.change.to, UPLINK_DOWN);
	assert_true(fake.switch_us > 0);
	assert_true(steer_is_plan_in_force(steer));
}

/* What another agent did is no plan of ours: it is in force again when the router says so. */
static void test_a_router_that_is_regained(void **state)
{
	(void)state;
	fake.take_over_result = ROUTER_TOLD;
	start();
	steer_on_applied(steer, 0); /* it told of another */
	assert_true(steer_is_plan_in_force(steer));
	steer_on_regained(steer);
	assert_false(steer_is_plan_in_force(steer));
	steer_on_applied(steer, 0);
	assert_true(steer_is_plan_in_force(steer));
}

/* Nothing is sent through a plan that does not stand yet. */
static void test_a_take_over_that_is_told(void **state)
{
	struct router_uplink_state lost = { false, true };

	(void)state;
	fake.take_over_result = ROUTER_TOLD;
	start();
	assert_false(steer_is_plan_in_force(steer));
	assert_false(ev_is_active(&steer->tick));
	fake.state[1] = lost;
	steer_on_uplink(steer, 1, &lost); /* is seen all the same, when it begins */
	steer_on_applied(steer, 0);
	assert_true(steer_is_plan_in_force(steer));
	assert_int_equal(state_of(1), UPLINK_DOWN);
	WAIT_FOR(fake.probes[0].n_waiting > 0);
}

static void test_probes_without_an_answer_begin_anew(void **state)
{
	(void)state;
	config.uplinks[0].timeout_min_us = config.uplinks[0].timeout_max_us = 10000;
	start();
	fake.dead[0] = true;
	WAIT_FOR(state_of(0) == UPLINK_DOWN);
	assert_int_equal(fake.probes[0].rebinds, 0);
	WAIT_FOR(fake.probes[0].rebinds == 2);
	assert_true(fake.probes[0].sent >= 2 * LIMIT_UNANSWERED);
	assert_int_equal(fake.probes[1].rebinds, 0);
}

static void test_flows_that_cannot_be_flushed(void **state)
{
	struct router_uplink_state lost = { false, true };

	(void)state;
	start();
	fake.flush_result = -EPERM;
	steer_on_uplink(steer, 0, &lost);
	assert_int_equal(fake.troubles, 1);
	assert_int_equal(fake.level, LOG_LEVEL_WARNING);
	assert_int_equal(fake.changes, 1);
}

static void test_start_without_an_interface(void **state)
{
	struct router_uplink_state back = { true, true };

	(void)state;
	fake.state[1] = (struct router_uplink_state){ false, false };
	start();
	assert_int_equal(fake.changes, 1);
	assert_int_equal(fake.change.cause, UPLINK_BY_START);
	assert_int_equal(fake.created[1], 0);
	assert_int_equal(buckets_of(0), 10); /* the first plan avoids it already */
	assert_int_equal(fake.applies, 0);
	fake.create_result[1] = -ENODEV;
	steer_on_uplink(steer, 1, &back); /* gone again before it could be bound */
	assert_int_equal(fake.created[1], 0);
	fake.create_result[1] = 0;
	steer_on_uplink(steer, 1, &back);
	assert_int_equal(fake.created[1], 1);
	WAIT_FOR(state_of(1) == UPLINK_UP);
	assert_int_equal(buckets_of(1), 5);
}

static void test_carrier_during_the_take_over(void **state)
{
	(void)state;
	fake.state[1] = (struct router_uplink_state){ false, true };
	fake.comes_up_meanwhile = true;
	start();
	assert_int_equal(fake.created[1], 1);
	WAIT_FOR(state_of(1) == UPLINK_UP);
	assert_int_equal(buckets_of(1), 5);
}

static void test_adopts_what_is_in_force(void **state)
{
	(void)state;
	fake.has_observed = true;
	fake.observed = (struct forwarding_plan){ .n_buckets = 10, .n_uplinks = 2, .live = { 1, 1 } };
	memset(fake.observed.bucket, 1, 10);
	fake.dead[0] = true;
	start();
	assert_memory_equal(&fake.applied, &fake.observed, sizeof(fake.applied));
	assert_int_equal(state_of(0), UPLINK_DOWN); /* a restart is no reason to trust the line again */
	fake.dead[0] = false;
	WAIT_FOR(state_of(0) == UPLINK_UP);
	assert_int_equal(buckets_of(0), 5);
}

static void test_a_refused_take_over(void **state)
{
	struct err err = { "" };
	bool adopted;

	(void)state;
	fake.take_over_result = -EPERM;
	assert_int_equal(steer_start(steer, NULL, &adopted, &err), -EPERM);
	assert_string_equal(err.text, "refused");
	assert_false(ev_is_active(&steer->tick));
}

static void test_force(void **state)
{
	struct engine_uplink_status status;

	(void)state;
	start();
	steer_force(steer, 1, 300);
	assert_int_equal(buckets_of(1), 10);
	steer_read_status(steer, 1, &status);
	assert_true(status.is_forced);
	WAIT_FOR(buckets_of(1) == 5); /* ends by itself */
	steer_force(steer, 0, 3600 * 1000);
	assert_int_equal(buckets_of(0), 10);
	steer_unforce(steer);
	assert_int_equal(buckets_of(0), 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_fail_over_and_back),
		TEST(test_carrier),
		TEST(test_probes_that_cannot_be_sent),
		TEST(test_probes_without_room),
		TEST(test_answers_wait_for_a_busy_agent),
		TEST(test_a_plan_that_cannot_be_applied),
		TEST(test_a_plan_that_is_told),
		TEST(test_a_take_over_that_is_told),
		TEST(test_a_router_that_is_regained),
		TEST(test_probes_without_an_answer_begin_anew),
		TEST(test_flows_that_cannot_be_flushed),
		TEST(test_start_without_an_interface),
		TEST(test_carrier_during_the_take_over),
		TEST(test_adopts_what_is_in_force),
		TEST(test_a_refused_take_over),
		TEST(test_force),
	};

	loop = ev_default_loop(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
