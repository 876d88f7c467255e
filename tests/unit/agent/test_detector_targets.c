/* Rounds of several targets: how many must answer, one that is dead, and taking turns at rest. */
#include "tests/unit/agent/detector_lab.h"

static void test_quorum(void **state)
{
	struct detector_config settings = config();
	struct detector_status status;
	uint16_t sequence;

	(void)state;
	settings.n_targets = 3;
	settings.quorum = 2;
	begin(settings);
	for (unsigned i = 0; i < 10; i++) {
		sequence = detector_send(&detector, now);
		detector_reply(&detector, 0, sequence, now + 10 * MS);
		assert_int_equal(detector.answers, i);
		detector_reply(&detector, 2, sequence, now + 20 * MS);
		assert_int_equal(detector.answers, i + 1);
		now += 100 * MS;
	}
	detector_reply(&detector, 1, sequence, now); /* after the verdict: known, and without effect */
	assert_int_equal(detector.answers, 10);
	now += S;
	for (unsigned i = 0; i < 9; i++) {
		int64_t next = now + 100 * MS;

		sequence = detector_send(&detector, now);
		detector_reply(&detector, 0, sequence, now + 10 * MS);
		advance_to(next);
	}
	assert_int_equal(detector.state, UPLINK_DOWN);
	detector_read_status(&detector, now, &status);
	assert_int_equal(status.n_targets, 3);
	assert_int_equal(status.targets[0].lost, 0);
	assert_int_equal(status.targets[1].lost, status.targets[1].sent);
	assert_int_equal(status.targets[2].lost, status.targets[2].sent);
	assert_in_range(status.rtt_us, 9 * MS, 10 * MS); /* of the best */
	assert_in_range(status.targets[2].rtt_us, 19 * MS, 20 * MS);
}

/* The second target's answer to a round that the first answered late; the better of two round trips. */
static void test_second_target(void **state)
{
	struct detector_config settings = config();
	struct detector_status status;
	uint16_t sequence;

	(void)state;
	settings.n_targets = 2;
	begin(settings);
	for (unsigned i = 0; i < 30; i++) {
		sequence = detector_send(&detector, now);
		detector_reply(&detector, 0, sequence, now + 50 * MS);
		detector_reply(&detector, 1, sequence, now + 60 * MS - i * MS);
		now += 100 * MS;
	}
	detector_read_status(&detector, now, &status);
	assert_int_equal(status.rtt_us, status.targets[1].rtt_us);
	assert_true(status.rtt_us < status.targets[0].rtt_us);
	detector_send(&detector, now); /* one of them has its turn */
	advance_to(now + 250 * MS);
	assert_int_equal(detector.misses, 1);
	sequence = detector_send(&detector, now); /* both are asked */
	advance_to(now + 250 * MS);
	assert_int_equal(detector.misses, 2);
	detector_reply(&detector, 1, sequence, now);
	assert_int_equal(detector.misses, 0);
	detector_reply(&detector, 0, sequence, now);
	assert_int_equal(detector.misses, 0);
	assert_int_equal(detector.answers, 0);
}

/* A target that never answers neither slows detection down nor has a round trip. */
static void test_dead_target(void **state)
{
	struct detector_config settings = config();
	struct detector_status status;

	(void)state;
	settings.n_targets = 2;
	begin(settings);
	assert_int_equal(detector.timeout_us, S);
	play_times(".", 30);
	assert_int_equal(detector.timeout_us, 200 * MS);
	detector_read_status(&detector, now, &status);
	assert_int_equal(status.targets[0].lost, 0);
	assert_int_equal(status.targets[0].sent, 30);
	assert_int_equal(status.targets[1].sent, 20); /* then it lost its turn */
	assert_int_equal(status.targets[1].lost, 20);
	assert_int_equal(status.targets[1].rtt_us, 0);
	assert_in_range(status.rtt_us, 9 * MS, 10 * MS);
}

/* One round to the targets that it is meant for; those in `alive` answer. Returns who was asked. */
static uint8_t round_among(uint8_t alive)
{
	int64_t next = now + detector_gap_us(&detector);
	uint8_t asked = detector_next_targets(&detector);
	uint16_t sequence = detector_send(&detector, now);

	advance_to(now + RTT);
	for (unsigned target = 0; target < detector.config.n_targets; target++)
		if (asked & alive & 1U << target)
			detector_reply(&detector, target, sequence, now);
	advance_to(next);
	return asked;
}

static void begin_turns(void)
{
	struct detector_config settings = config();

	settings.n_targets = 3;
	begin(settings);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(round_among(7), 7);
}

/* Once 20 rounds were answered one target a round is enough; now and then everybody is asked. */
static void test_turns(void **state)
{
	unsigned asked[3] = { 0 }, all = 0;

	(void)state;
	begin_turns();
	for (unsigned i = 0; i < 300; i++) {
		uint8_t targets = round_among(7);

		all += targets == 7;
		for (unsigned target = 0; target < 3; target++)
			asked[target] += targets == 1U << target;
	}
	assert_int_equal(all, 6);
	for (unsigned target = 0; target < 3; target++)
		assert_in_range(asked[target], 97, 99);
	detector.config.quorum = 2;
	assert_int_equal(round_among(7), 7);
}

/* A target that dies takes single rounds with it, then its turn; when it is back it is noticed. */
static void test_turns_without_the_dead(void **state)
{
	unsigned asked = 0;

	(void)state;
	begin_turns();
	detector.timeout_us = 750 * MS; /* as learnt on a slow line: seven rounds are under way */
	for (unsigned i = 0; i < 100; i++) {
		round_among(5);
		assert_true(detector.misses <= 1);
		assert_int_equal(detector.state, UPLINK_UP);
	}
	for (unsigned i = 0; i < 100; i++)
		asked += round_among(5) == 2;
	assert_int_equal(asked, 0);
	for (unsigned i = 0; i < 100; i++)
		asked += round_among(7) == 2;
	assert_in_range(asked, 15, 34);
	for (unsigned i = 0; i < 100; i++) { /* two of three */
		round_among(4);
		assert_int_equal(detector.state, UPLINK_UP);
	}
}

/* A line that dies is found as soon as with every target in every round; the evidence names who was asked. */
static void test_turns_and_an_outage(void **state)
{
	struct detector_status status;
	int64_t cut;

	(void)state;
	begin_turns();
	round_among(7);
	cut = now;
	for (unsigned i = 0; i < 9; i++)
		round_among(0);
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_int_equal(detector.since_us, cut + 600 * MS);
	detector_read_status(&detector, now, &status);
	for (unsigned target = 0; target < 3; target++) {
		assert_in_range(status.targets[target].sent, 5, 7); /* two rounds went to one target alone */
		assert_int_equal(status.targets[target].lost, status.targets[target].sent);
	}
	for (unsigned i = 0; i < 19; i++)
		assert_int_equal(round_among(7), 7);
	assert_int_equal(detector.state, UPLINK_DOWN);
	round_among(7);
	assert_int_equal(detector.state, UPLINK_UP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quorum),
		cmocka_unit_test(test_second_target),
		cmocka_unit_test(test_dead_target),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_turns_without_the_dead),
		cmocka_unit_test(test_turns_and_an_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
