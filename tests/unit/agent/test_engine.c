/* The engine from probe to action, in a simulated network under a fake clock. */
#include "engine_lab.h"

static struct lab lab;

static void begin(unsigned n)
{
	struct engine_config config = lab_config(n);

	lab_init(&lab, &config, 1);
	lab_run(&lab, 10 * S);
	assert_int_equal(lab.n_done, 0);
}

static unsigned buckets(unsigned uplink)
{
	struct engine_uplink_status status;

	engine_read_status(&lab.engine, uplink, &status);
	return status.buckets;
}

/* Fault ii and iii: nothing comes back. Suspect, down, up again, each with its actions and evidence. */
static void test_silent_line(void **state)
{
	struct forwarding_plan before;
	const struct engine_change *change;
	int64_t cut;

	(void)state;
	begin(2);
	before = lab.applied;
	lab_run_until(&lab, lab.engine.uplinks[0].round_us + 50 * MS); /* the last answer has come */
	cut = lab.engine.uplinks[0].round_us + 100 * MS;
	lab.lines[0].is_dead = true;
	lab_run_until(&lab, cut + 599 * MS);
	assert_int_equal(lab.n_done, 3);
	lab_expect(&lab, 0, ENGINE_APPLY_PLAN, 0);
	lab_expect(&lab, 1, ENGINE_FLUSH_UNREPLIED, 0);
	lab_expect_report(&lab, 2, 0, UPLINK_UP, UPLINK_SUSPECT, UPLINK_BY_PROBES, 0);
	assert_int_equal(lab.done[2].change.decided_us, cut + 400 * MS);
	assert_int_equal(buckets(0), 0);
	lab_run_until(&lab, cut + 600 * MS);
	assert_int_equal(lab.n_done, 6);
	lab_expect(&lab, 3, ENGINE_APPLY_PLAN, 0);
	change = lab_expect(&lab, 4, ENGINE_FLUSH_ALL, 0);
	lab_expect_report(&lab, 5, 0, UPLINK_SUSPECT, UPLINK_DOWN, UPLINK_BY_PROBES, 1);
	change = &lab.done[5].change;
	assert_int_equal(change->began_us, cut);
	assert_int_equal(change->decided_us, cut + 600 * MS);
	assert_int_equal(change->lasted_us, 200 * MS);
	assert_int_equal(change->misses, 5);
	assert_int_equal(change->misses_needed, 5);
	assert_int_equal(change->n_targets, 1);
	assert_int_equal(change->targets[0].sent, 5);
	assert_int_equal(change->targets[0].lost, 5);
	assert_in_range(change->targets[0].rtt_us, 9 * MS, 10 * MS);
	assert_int_equal(change->targets[0].timeout_us, 200 * MS);
	lab_run(&lab, 60 * S);
	assert_int_equal(lab.n_done, 6);
	lab.lines[0].is_dead = false;
	cut = lab.now;
	lab_run(&lab, 10 * S);
	assert_int_equal(lab.n_done, 8);
	lab_expect(&lab, 6, ENGINE_APPLY_PLAN, 0);
	lab_expect_report(&lab, 7, 0, UPLINK_DOWN, UPLINK_UP, UPLINK_BY_RECOVERY, 0);
	assert_in_range(lab.done[7].change.began_us, cut, cut + 110 * MS);
	assert_in_range(lab.done[7].change.decided_us, cut + 1910 * MS, cut + 2010 * MS);
	assert_int_equal(lab.done[7].change.targets[0].sent, 20);
	assert_memory_equal(&before, &lab.applied, sizeof(before));
}

/* Suspected and cleared: nothing is cut. */
static void test_false_alarm(void **state)
{
	(void)state;
	begin(2);
	lab.lines[1].is_dead = true;
	lab_run(&lab, 450 * MS);
	lab.lines[1].is_dead = false;
	lab_run(&lab, 5 * S);
	assert_int_equal(lab.n_done, 5);
	lab_expect(&lab, 1, ENGINE_FLUSH_UNREPLIED, 1);
	lab_expect(&lab, 3, ENGINE_APPLY_PLAN, 0);
	lab_expect_report(&lab, 4, 1, UPLINK_SUSPECT, UPLINK_UP, UPLINK_BY_RECOVERY, 1);
	assert_int_equal(buckets(1), 32);
}

/* Carrier and address: down at once, probed at once when they return, 20 answers to come back. */
static void test_link(void **state)
{
	static const struct {
		enum engine_event_type type;
		enum uplink_cause cause;
	} cases[] = { { ENGINE_CARRIER, UPLINK_BY_CARRIER }, { ENGINE_ADDRESS, UPLINK_BY_ADDRESS } };
	unsigned rounds;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(2);
		lab_link(&lab, cases[i].type, 0, true); /* known */
		assert_int_equal(lab.n_done, 0);
		lab_link(&lab, cases[i].type, 0, false);
		assert_int_equal(lab.n_done, 3);
		lab_expect(&lab, 0, ENGINE_APPLY_PLAN, 0);
		lab_expect(&lab, 1, ENGINE_FLUSH_ALL, 0);
		lab_expect_report(&lab, 2, 0, UPLINK_UP, UPLINK_DOWN, cases[i].cause, 1);
		assert_int_equal(lab.done[2].change.began_us, lab.now);
		rounds = lab.rounds[0];
		lab_run(&lab, 10 * S);
		assert_int_equal(lab.rounds[0], rounds); /* nothing is sent without a link */
		lab_link(&lab, cases[i].type, 0, true);
		assert_true(engine_deadline_us(&lab.engine) <= lab.now);
		lab_run(&lab, 1900 * MS);
		assert_int_equal(lab.n_done, 3);
		lab_run(&lab, 20 * MS);
		lab_expect_report(&lab, 4, 0, UPLINK_DOWN, UPLINK_UP, UPLINK_BY_RECOVERY, 0);
	}
}

/* What the first reports say about links is no fault. */
static void test_link_at_start(void **state)
{
	struct engine_config config = lab_config(2);

	(void)state;
	lab_init(&lab, &config, 7);
	lab_link(&lab, ENGINE_CARRIER, 0, true);
	lab_link(&lab, ENGINE_ADDRESS, 0, true);
	lab_link(&lab, ENGINE_CARRIER, 1, false);
	lab_link(&lab, ENGINE_ADDRESS, 1, false);
	assert_int_equal(lab.n_done, 3);
	lab_expect_report(&lab, 2, 1, UPLINK_UP, UPLINK_DOWN, UPLINK_BY_START, 0);
	lab_run(&lab, S);
	lab_link(&lab, ENGINE_CARRIER, 1, true);
	lab_run(&lab, S);
	assert_int_equal(lab.rounds[1], 0); /* no address yet */
	lab_link(&lab, ENGINE_ADDRESS, 1, true);
	lab_run(&lab, 3 * S);
	assert_int_equal(lab_state(&lab, 1), UPLINK_UP);
}

static void test_send_errors(void **state)
{
	(void)state;
	begin(2);
	lab.lines[0].sending_fails = true;
	lab_run(&lab, 500 * MS);
	assert_int_equal(lab_state(&lab, 0), UPLINK_DOWN);
	lab_expect_report(&lab, 5, 0, UPLINK_SUSPECT, UPLINK_DOWN, UPLINK_BY_PROBES, 1);
	assert_int_equal(lab.done[5].change.decided_us - lab.done[5].change.began_us, 400 * MS);
}

/* The connection table is full. Carrier still counts, and so does what leaves all the same; then there is room again. */
static void test_no_room_for_probes(void **state)
{
	(void)state;
	begin(3);
	lab_run(&lab, 10 * S);
	for (unsigned i = 0; i < 3; i++)
		lab.lines[i].has_no_room = true;
	lab.lines[0].is_dead = true;
	lab_run(&lab, 60 * S);
	assert_int_equal(lab.n_done, 0);
	lab_link(&lab, ENGINE_CARRIER, 1, false);
	assert_int_equal(lab_state(&lab, 1), UPLINK_DOWN);
	lab.lines[0].has_no_room = false;
	lab_run(&lab, S);
	assert_int_equal(lab_state(&lab, 0), UPLINK_DOWN);
	assert_int_equal(lab.applied.live[0], 2);
	assert_int_equal(lab_state(&lab, 2), UPLINK_UP);
	lab.lines[0].is_dead = lab.lines[1].has_no_room = lab.lines[2].has_no_room = false;
	lab_link(&lab, ENGINE_CARRIER, 1, true);
	lab_run(&lab, 5 * S);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(lab_state(&lab, i), UPLINK_UP);
}

/* Nothing to fail over to: the last plan stays. The first that returns gets everything. */
static void test_all_down(void **state)
{
	struct forwarding_plan before;

	(void)state;
	begin(2);
	before = lab.applied;
	lab.lines[0].is_dead = lab.lines[1].is_dead = true;
	lab_run(&lab, 550 * MS); /* both are suspect: which is the better? */
	assert_int_equal(lab_state(&lab, 0), UPLINK_SUSPECT);
	assert_int_equal(lab_state(&lab, 1), UPLINK_SUSPECT);
	assert_memory_equal(&before, &lab.applied, sizeof(before));
	lab_run(&lab, 10 * S);
	assert_int_equal(lab_state(&lab, 0), UPLINK_DOWN);
	assert_int_equal(lab_state(&lab, 1), UPLINK_DOWN);
	lab.lines[1].is_dead = false;
	lab.n_done = 0;
	lab_run(&lab, 10 * S);
	assert_int_equal(buckets(1), 64);
	assert_int_equal(lab.applied.live[0], 1);
	lab.lines[0].is_dead = false;
	lab_run(&lab, 10 * S);
	assert_memory_equal(&before, &lab.applied, sizeof(before));
}

static void test_single_uplink(void **state)
{
	(void)state;
	begin(1);
	lab.lines[0].is_dead = true;
	lab_run(&lab, 5 * S);
	lab_link(&lab, ENGINE_CARRIER, 0, false);
	lab_link(&lab, ENGINE_CARRIER, 0, true);
	lab.lines[0].is_dead = false;
	lab_run(&lab, 5 * S);
	assert_int_equal(lab.n_done, 3); /* three reports, nothing to do */
	lab_expect_report(&lab, 0, 0, UPLINK_UP, UPLINK_SUSPECT, UPLINK_BY_PROBES, 0);
	lab_expect_report(&lab, 1, 0, UPLINK_SUSPECT, UPLINK_DOWN, UPLINK_BY_PROBES, 0);
	lab_expect_report(&lab, 2, 0, UPLINK_DOWN, UPLINK_UP, UPLINK_BY_RECOVERY, 0);
}

/* The survivor fails, too: flows of both are carried on by the third, and both are flushed. */
static void test_chain(void **state)
{
	(void)state;
	begin(3);
	lab_link(&lab, ENGINE_CARRIER, 0, false);
	assert_int_equal(lab.applied.live[0], 1);
	lab.n_done = 0;
	lab_link(&lab, ENGINE_CARRIER, 1, false);
	assert_int_equal(lab.n_done, 4);
	lab_expect(&lab, 0, ENGINE_APPLY_PLAN, 0);
	lab_expect(&lab, 1, ENGINE_FLUSH_ALL, 0);
	lab_expect(&lab, 2, ENGINE_FLUSH_ALL, 1);
	lab_expect_report(&lab, 3, 1, UPLINK_UP, UPLINK_DOWN, UPLINK_BY_CARRIER, 2);
	assert_int_equal(buckets(2), 64);
	/* Both fall silent together: one plan, then the flushes, then the reports. */
	begin(3);
	lab.lines[0].is_dead = lab.lines[1].is_dead = true;
	lab_run(&lab, 5 * S);
	assert_int_equal(lab_state(&lab, 0), UPLINK_DOWN);
	assert_int_equal(lab_state(&lab, 1), UPLINK_DOWN);
	assert_int_equal(lab.applied.live[0], 2);
	assert_int_equal(lab.applied.live[1], 2);
}

static void test_backup_tier(void **state)
{
	struct engine_config config = lab_config(2);

	(void)state;
	config.uplinks[1].tier = 2;
	lab_init(&lab, &config, 3);
	lab_run(&lab, 10 * S);
	assert_int_equal(buckets(0), 64);
	/* The backup fails and returns: no new flow was on it, so nothing is moved or flushed for suspicion. */
	lab.lines[1].is_dead = true;
	lab_run(&lab, 5 * S);
	lab_expect_report(&lab, 0, 1, UPLINK_UP, UPLINK_SUSPECT, UPLINK_BY_PROBES, 1);
	lab_expect(&lab, 1, ENGINE_APPLY_PLAN, 0);
	lab_expect(&lab, 2, ENGINE_FLUSH_ALL, 1);
	lab.lines[1].is_dead = false;
	lab_run(&lab, 5 * S);
	assert_int_equal(buckets(0), 64);
	lab_link(&lab, ENGINE_CARRIER, 0, false);
	assert_int_equal(buckets(1), 64);
}

static struct engine_event force(unsigned uplink, int64_t until_us)
{
	return (struct engine_event){ .type = ENGINE_FORCE, .uplink = uplink, .until_us = until_us };
}

static void test_force_and_expiry(void **state)
{
	struct engine_uplink_status status;
	int64_t until;

	(void)state;
	begin(2);
	until = lab.now + 7200 * S;
	lab_event(&lab, force(1, until));
	assert_int_equal(lab.n_done, 3);
	lab_expect(&lab, 0, ENGINE_APPLY_PLAN, 0);
	lab_expect(&lab, 1, ENGINE_FLUSH_ALL, 0);
	lab_expect_report(&lab, 2, 1, UPLINK_UP, UPLINK_UP, UPLINK_BY_FORCE, 1);
	engine_read_status(&lab.engine, 1, &status);
	assert_true(status.is_forced);
	assert_int_equal(status.forced_until_us, until);
	assert_int_equal(status.buckets, 64);
	engine_read_status(&lab.engine, 0, &status);
	assert_false(status.is_forced);
	assert_int_equal(status.forced_until_us, 0);
	assert_int_equal(status.carried_by, 1);
	lab_run_until(&lab, until - 1);
	assert_int_equal(lab.n_done, 3);
	lab_run_until(&lab, until);
	assert_int_equal(lab.n_done, 5); /* flows drain back, none is cut */
	lab_expect(&lab, 3, ENGINE_APPLY_PLAN, 0);
	lab_expect_report(&lab, 4, 1, UPLINK_UP, UPLINK_UP, UPLINK_BY_FORCE_END, 1);
	assert_int_equal(buckets(0), 32);
}

static void test_force_is_replaced_and_ended(void **state)
{
	(void)state;
	begin(3);
	lab_event(&lab, force(1, lab.now));
	assert_int_equal(lab.n_done, 0); /* over before it began */
	lab_event(&lab, force(1, lab.now + 60 * S));
	lab.n_done = 0;
	lab_event(&lab, force(1, lab.now + 90 * S)); /* longer */
	assert_int_equal(lab.n_done, 0);
	lab_event(&lab, force(2, lab.now + 60 * S));
	assert_int_equal(lab.n_done, 5);
	lab_expect(&lab, 1, ENGINE_FLUSH_ALL, 0);
	lab_expect(&lab, 2, ENGINE_FLUSH_ALL, 1);
	lab_expect_report(&lab, 3, 1, UPLINK_UP, UPLINK_UP, UPLINK_BY_FORCE_END, 2);
	lab_expect_report(&lab, 4, 2, UPLINK_UP, UPLINK_UP, UPLINK_BY_FORCE, 2);
	lab.n_done = 0;
	lab_event(&lab, (struct engine_event){ .type = ENGINE_FORCE_END, .uplink = 99 });
	assert_int_equal(lab.n_done, 2);
	lab_expect_report(&lab, 1, 2, UPLINK_UP, UPLINK_UP, UPLINK_BY_FORCE_END, 2);
	lab_event(&lab, (struct engine_event){ .type = ENGINE_FORCE_END });
	assert_int_equal(lab.n_done, 2);
}

/* A force does not blind: the forced uplink dies, the others take over, and give back. */
static void test_forced_uplink_fails(void **state)
{
	(void)state;
	begin(2);
	lab_event(&lab, force(1, lab.now + 7200 * S));
	lab.n_done = 0;
	lab_link(&lab, ENGINE_CARRIER, 1, false);
	lab_expect(&lab, 0, ENGINE_APPLY_PLAN, 0);
	lab_expect(&lab, 1, ENGINE_FLUSH_ALL, 1);
	assert_int_equal(buckets(0), 64);
	lab_link(&lab, ENGINE_CARRIER, 1, true);
	lab.n_done = 0;
	lab_run(&lab, 5 * S);
	lab_expect(&lab, 0, ENGINE_APPLY_PLAN, 0);
	lab_expect(&lab, 1, ENGINE_FLUSH_ALL, 0);
	lab_expect_report(&lab, 2, 1, UPLINK_DOWN, UPLINK_UP, UPLINK_BY_RECOVERY, 1);
	assert_int_equal(buckets(1), 64);
	lab.lines[1].is_dead = true; /* silent: suspect is carried on with, down is not */
	lab_run(&lab, 5 * S);
	assert_int_equal(buckets(0), 64);
	lab.lines[0].is_dead = true;
	lab_run(&lab, 5 * S); /* nothing works: what the operator wants */
	assert_int_equal(buckets(1), 64);
}

/* A restart while uplink 0 is dead moves nothing back to it. */
static void test_adopt(void **state)
{
	struct engine_config config = lab_config(3);
	struct forwarding_plan left = { .n_uplinks = 3, .n_buckets = 64, .live = { 2, 1, 2 } };

	(void)state;
	lab_init(&lab, &config, 5);
	engine_adopt(&lab.engine, &left, lab.now);
	lab.applied = lab.engine.plan;
	lab.reported[0] = UPLINK_DOWN;
	lab_check(&lab);
	assert_int_equal(lab.applied.live[0], 2);
	assert_int_equal(buckets(0), 0);
	lab_run(&lab, S);
	assert_int_equal(lab.n_done, 0);
	lab_run(&lab, 2 * S);
	lab_expect_report(&lab, 1, 0, UPLINK_DOWN, UPLINK_UP, UPLINK_BY_RECOVERY, 0);
	/* Plans that do not fit, and numbers that name nothing, change nothing. */
	lab_init(&lab, &config, 5);
	left.n_uplinks = 2;
	engine_adopt(&lab.engine, &left, lab.now);
	left = (struct forwarding_plan){ .n_uplinks = 3, .live = { 3, 255, 2 } };
	engine_adopt(&lab.engine, &left, lab.now);
	lab_check(&lab);
	assert_int_equal(lab_state(&lab, 0), UPLINK_UP);
}

static void test_schedule(void **state)
{
	struct engine_config config = lab_config(4);

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		int64_t phases[4];

		lab_init(&lab, &config, seed);
		lab_run(&lab, 10 * S);
		for (unsigned i = 0; i < 4; i++) {
			assert_in_range(lab.rounds[i], 100, 101);
			phases[i] = lab.engine.uplinks[i].round_us % (100 * MS);
			for (unsigned j = 0; j < i; j++) /* spread evenly */
				assert_int_equal((phases[i] - phases[j] + 100 * MS) % (25 * MS), 0);
			for (unsigned j = 0; j < i; j++)
				assert_true(phases[i] != phases[j]);
		}
	}
	/* A metered uplink rests until a round is lost. */
	config.uplinks[0].detector.metered = true;
	lab_init(&lab, &config, 1);
	lab_run(&lab, 20 * S);
	assert_in_range(lab.rounds[0], 20, 21);
	lab.lines[0].is_dead = true;
	lab_run(&lab, 1800 * MS);
	assert_int_equal(lab_state(&lab, 0), UPLINK_DOWN);
	/* More rounds outstanding than are remembered: probing waits. */
	config = lab_config(1);
	config.uplinks[0].detector.interval_us = 5 * MS;
	lab_init(&lab, &config, 1);
	lab.lines[0].is_dead = true;
	lab_run(&lab, 900 * MS);
	assert_int_equal(lab.rounds[0], LIMIT_ROUNDS);
	lab_run(&lab, 10 * S);
	assert_int_equal(lab_state(&lab, 0), UPLINK_DOWN);
}

/* Sleep, leaps of years and clocks that go back: nothing fails over, and probing goes on. */
static void test_clock(void **state)
{
	unsigned rounds;
	int64_t before;

	(void)state;
	begin(2);
	for (unsigned i = 0; i < LIMIT_UPLINKS; i++)
		lab.lines[i].rtt_us = 3 * S; /* many rounds outstanding */
	lab_run(&lab, 20 * S);
	lab.n_done = 0;
	lab.n_flying = 0;
	for (unsigned i = 0; i < LIMIT_UPLINKS; i++)
		lab.lines[i].rtt_us = 10 * MS;
	lab.now += 10 * 365 * INT64_C(86400) * S;
	rounds = lab.rounds[0];
	lab_tick(&lab);
	assert_int_equal(lab.n_done, 0);
	assert_int_equal(lab.rounds[0], rounds + 1); /* none is made up for */
	lab_run(&lab, 10 * S);
	assert_true(lab.rounds[0] >= rounds + 100);
	/* Backwards: time stands still until it has caught up. */
	begin(2);
	before = lab.engine.now_us;
	rounds = lab.rounds[0];
	lab.now -= 86400 * S;
	lab_tick(&lab);
	lab_run(&lab, 10 * S);
	assert_in_range(lab.rounds[0], rounds, rounds + 1);
	assert_int_equal(lab.engine.now_us, before);
	lab.now = before;
	lab_run(&lab, 10 * S);
	assert_int_equal(lab.n_done, 0);
}

static void test_nonsense(void **state)
{
	static const struct engine_event events[] = {
		{ .type = ENGINE_CARRIER, .uplink = 2 },
		{ .type = ENGINE_FORCE, .uplink = LIMIT_UPLINKS, .until_us = INT64_MAX },
		{ .type = ENGINE_PROBE_REPLY, .uplink = UINT32_MAX },
		{ .type = ENGINE_PROBE_REPLY, .uplink = 0, .target = LIMIT_TARGETS },
		{ .type = ENGINE_PROBE_REPLY, .uplink = 0, .target = UINT32_MAX },
		{ .type = ENGINE_PROBE_ERROR, .uplink = 1, .sequence = 7 },
		{ .type = (enum engine_event_type)99, .uplink = 1 },
	};

	(void)state;
	begin(2);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		lab_event(&lab, events[i]);
	assert_int_equal(lab.n_done, 0);
	lab_run(&lab, 10 * S);
	assert_int_equal(lab.n_done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_line),
		cmocka_unit_test(test_false_alarm),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_link_at_start),
		cmocka_unit_test(test_send_errors),
		cmocka_unit_test(test_no_room_for_probes),
		cmocka_unit_test(test_all_down),
		cmocka_unit_test(test_single_uplink),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_backup_tier),
		cmocka_unit_test(test_force_and_expiry),
		cmocka_unit_test(test_force_is_replaced_and_ended),
		cmocka_unit_test(test_forced_uplink_fails),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
