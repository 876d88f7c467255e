/*
 * The engine for a long time in networks that do what they like: random configurations, losses,
 * silences, round trips, links, forces and leaps of the clock. engine_lab.h checks the invariants
 * after every event; here: that it always ends well.
 */
#include "engine_lab.h"

#define SEEDS 150
#define DISTURBANCES 400

static struct lab lab;

static struct engine_config random_config(void)
{
	struct engine_config config = lab_config(1 + (unsigned)lab_random(&lab, 5));

	config.n_buckets = 1 + (unsigned)lab_random(&lab, LIMIT_BUCKETS);
	for (unsigned i = 0; i < config.n_uplinks; i++) {
		struct detector_config *detector = &config.uplinks[i].detector;

		config.uplinks[i].weight = 1 + (uint32_t)lab_random(&lab, 100);
		config.uplinks[i].tier = 1 + (uint32_t)lab_random(&lab, 3);
		detector->n_targets = 1 + (unsigned)lab_random(&lab, 4);
		detector->quorum = 1 + (unsigned)lab_random(&lab, detector->n_targets);
		detector->interval_us = (20 + (int64_t)lab_random(&lab, 500)) * MS;
		detector->metered = lab_random(&lab, 4) == 0;
	}
	return config;
}

static void disturb(unsigned uplink)
{
	struct lab_line *line = &lab.lines[uplink];

	switch (lab_random(&lab, 11)) {
	case 0:
	case 1:
		line->is_dead = !line->is_dead;
		break;
	case 2:
		line->loss_percent = (unsigned)lab_random(&lab, 30);
		break;
	case 3:
		line->rtt_us = (1 + (int64_t)lab_random(&lab, 2500)) * MS;
		break;
	case 4:
		line->sending_fails = !line->sending_fails;
		break;
	case 5:
		lab_link(&lab, ENGINE_CARRIER, uplink, lab_random(&lab, 2));
		break;
	case 6:
		lab_link(&lab, ENGINE_ADDRESS, uplink, lab_random(&lab, 2));
		break;
	case 7:
		lab_event(&lab, (struct engine_event){ .type = ENGINE_FORCE,
						       .uplink = uplink,
						       .until_us = lab.now + (int64_t)lab_random(&lab, 120) * S });
		break;
	case 9:
		line->has_no_room = !line->has_no_room;
		break;
	case 8:
		lab_event(&lab, (struct engine_event){ .type = ENGINE_FORCE_END });
		break;
	default:
		if (lab_random(&lab, 20) == 0)
			lab.now += (int64_t)lab_random(&lab, 3) * 365 * 86400 * S;
		break;
	}
}

static void heal(void)
{
	lab_event(&lab, (struct engine_event){ .type = ENGINE_FORCE_END });
	for (unsigned i = 0; i < lab.engine.config.n_uplinks; i++) {
		lab.lines[i] = (struct lab_line){ .rtt_us = 10 * MS };
		lab_link(&lab, ENGINE_CARRIER, i, true);
		lab_link(&lab, ENGINE_ADDRESS, i, true);
	}
}

static void test_ends_well(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct forwarding_plan initial;
		struct engine_config config;

		lab.random = seed;
		config = random_config();
		lab_init(&lab, &config, seed);
		initial = lab.applied;
		for (unsigned i = 0; i < DISTURBANCES; i++) {
			disturb((unsigned)lab_random(&lab, config.n_uplinks));
			lab_run(&lab, (int64_t)lab_random(&lab, 4000) * MS);
		}
		heal();
		/* 20 rounds of at most 520 ms, eight times as long after relapses, and what metered lines add. */
		lab_run(&lab, 120 * S);
		for (unsigned i = 0; i < config.n_uplinks; i++)
			assert_int_equal(lab_state(&lab, i), UPLINK_UP);
		assert_memory_equal(&initial, &lab.applied, sizeof(initial));
		/* At peace nothing happens. */
		lab.n_done = 0;
		lab_run(&lab, 120 * S);
		assert_int_equal(lab.n_done, 0);
	}
}

/* A dead line is found within (k + 1) intervals and the time-out, whatever it was before. */
static void test_always_detected(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct engine_config config;
		struct detector *detector;
		int64_t bound_us;

		lab.random = seed;
		config = random_config();
		config.uplinks[0].detector.metered = false;
		lab_init(&lab, &config, seed);
		lab.lines[0].loss_percent = (unsigned)lab_random(&lab, 15);
		lab.lines[0].rtt_us = (1 + (int64_t)lab_random(&lab, 1500)) * MS;
		lab_run(&lab, 120 * S);
		detector = &lab.engine.uplinks[0].detector;
		lab.lines[0].is_dead = true;
		/* What is in flight arrives, and only then the line is silent. */
		lab_run(&lab, lab.lines[0].rtt_us);
		bound_us = (detector_misses_needed(detector) + 1) * detector->config.interval_us + detector->timeout_us;
		lab_run(&lab, bound_us);
		assert_int_equal(lab_state(&lab, 0), UPLINK_DOWN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_well),
		cmocka_unit_test(test_always_detected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
