/* Answers that come late, twice, in another order, from nobody or not at all, and probes that cannot be sent. */
#include "tests/unit/agent/detector_lab.h"

/* A late answer proves that the line worked: it ends the run, but earns nothing. */
static void test_late_answers(void **state)
{
	uint16_t sequences[7];
	struct detector_status status;

	(void)state;
	begin(config());
	play_times(".", 20);
	for (unsigned i = 0; i < 7; i++) {
		int64_t next = now + 100 * MS;

		sequences[i] = detector_send(&detector, now);
		advance_to(next);
	}
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_int_equal(detector.misses, 6);
	detector_reply(&detector, 0, sequences[2], now);
	assert_int_equal(detector.misses, 3);
	assert_int_equal(detector.answers, 0);
	detector_read_status(&detector, now, &status);
	assert_int_equal(status.targets[0].sent, 3);
	assert_int_equal(status.targets[0].lost, 3);
	detector_reply(&detector, 0, sequences[1], now); /* older than that: nothing new */
	assert_int_equal(detector.misses, 3);
	detector_reply(&detector, 0, sequences[2], now); /* a duplicate */
	assert_int_equal(detector.misses, 3);
	assert_true(detector.timeout_us > 700 * MS);
	detector_reply(&detector, 0, sequences[6], now);
	assert_int_equal(detector.misses, 0);
	assert_int_equal(detector.answers, 1);
}

/* Answers overtake each other: runs count in the order of sending. */
static void test_overtaking(void **state)
{
	uint16_t a, b, c, d;
	uint32_t loss;

	(void)state;
	begin(config());
	play_times(".", 20);
	a = detector_send(&detector, now);
	b = detector_send(&detector, now + 10 * MS);
	c = detector_send(&detector, now + 20 * MS);
	d = detector_send(&detector, now + 150 * MS);
	detector_reply(&detector, 0, b, now + 30 * MS);
	loss = detector.loss_ppb;
	advance_to(now + 205 * MS); /* a is lost, and b after it was answered: no run, but loss */
	assert_int_equal(detector.misses, 0);
	assert_int_equal(detector.answers, 1);
	assert_true(detector.loss_ppb > loss);
	advance_to(now + 20 * MS); /* c is lost */
	assert_int_equal(detector.misses, 1);
	assert_int_equal(detector.answers, 0);
	detector_reply(&detector, 0, a, now);
	assert_int_equal(detector.misses, 1);
	detector_reply(&detector, 0, d, now);
	assert_int_equal(detector.misses, 0);
	assert_int_equal(detector.answers, 1);
	detector_reply(&detector, 0, c, now);
	assert_int_equal(detector.answers, 1);
}

/* Probes that cannot be sent are lost at once, when too few of a round are left. */
static void test_send_failures(void **state)
{
	struct detector_config settings = config();
	uint16_t sequence, older;

	(void)state;
	settings.n_targets = 2;
	begin(settings);
	older = detector_send(&detector, now);
	sequence = detector_send(&detector, now);
	detector_send_failed(&detector, 0, sequence, true, now);
	assert_int_equal(detector.misses, 0);
	detector_send_failed(&detector, 1, sequence, true, now);
	assert_int_equal(detector.misses, 1);
	assert_int_equal(detector_deadline_us(&detector), now + S);
	detector_send_failed(&detector, 1, sequence, true, now); /* already lost */
	detector_send_failed(&detector, 2, older, true, now);	   /* no such target */
	assert_int_equal(detector.misses, 1);
	/* The older one is lost later: the run begins with it. */
	advance_to(now + S);
	assert_int_equal(detector.misses, 2);
	assert_int_equal(detector.run_first, older);
	for (unsigned i = 0; i < 3; i++) {
		now += 100 * MS;
		sequence = detector_send(&detector, now);
		detector_send_failed(&detector, 0, sequence, true, now);
		detector_send_failed(&detector, 1, sequence, true, now);
	}
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_int_equal(detector_deadline_us(&detector), INT64_MAX);
	/* One that could not be sent after two that were: the answer to the first leaves that one. */
	older = detector_send(&detector, now);
	detector_send(&detector, now);
	sequence = detector_send(&detector, now);
	detector_send_failed(&detector, 0, sequence, true, now);
	detector_send_failed(&detector, 1, sequence, true, now);
	detector_reply(&detector, 0, older, now);
	assert_int_equal(detector.misses, 1);
	assert_int_equal(detector.run_first, sequence);
}

/* A probe that this machine had no room for is as if it had not been asked. */
static void test_probes_that_prove_nothing(void **state)
{
	struct detector_config settings = config();
	uint16_t sequence = 0;

	(void)state;
	settings.n_targets = 3;
	settings.quorum = 2;
	begin(settings);
	for (unsigned i = 0; i < 100; i++) { /* none of the round left: neither lost nor answered */
		now += 100 * MS;
		sequence = detector_send(&detector, now);
		for (unsigned t = 0; t < 3; t++)
			detector_send_failed(&detector, t, sequence, false, now);
	}
	assert_int_equal(detector.state, UPLINK_UP);
	assert_int_equal(detector.misses, 0);
	assert_int_equal(detector_deadline_us(&detector), INT64_MAX);
	detector_reply(&detector, 0, sequence, now); /* nobody was asked */
	assert_int_equal(detector.answers, 0);
	/* Those of the others that left are judged as ever. */
	sequence = detector_send(&detector, now);
	detector_send_failed(&detector, 1, sequence, false, now);
	detector_reply(&detector, 0, sequence, now);
	assert_int_equal(detector.answers, 0);
	detector_reply(&detector, 2, sequence, now);
	assert_int_equal(detector.answers, 1);
	for (unsigned i = 0; i < 5; i++) {
		now += 100 * MS;
		sequence = detector_send(&detector, now);
		detector_send_failed(&detector, 1, sequence, false, now);
		now += 100 * MS;
		sequence = detector_send(&detector, now); /* void, in between */
		detector_send_failed(&detector, 0, sequence, false, now);
		detector_send_failed(&detector, 1, sequence, false, now);
	}
	advance_to(now + S);
	assert_int_equal(detector.misses, 5);
	assert_int_equal(detector.state, UPLINK_DOWN);
	/* No route for one, no room for another: too few can answer, and that is the uplink's fault. */
	for (unsigned order = 0; order < 2; order++) {
		now += 100 * MS;
		sequence = detector_send(&detector, now);
		detector_send_failed(&detector, order, sequence, order == 0, now);
		assert_int_equal(detector.misses, 5 + order);
		detector_send_failed(&detector, 1 - order, sequence, order != 0, now);
		assert_int_equal(detector.misses, 6 + order);
	}
}

static void test_unknown_replies(void **state)
{
	struct detector before;
	uint16_t sequence;

	(void)state;
	begin(config());
	play_times(".", 100);
	sequence = detector_send(&detector, now);
	before = detector;
	detector_reply(&detector, 1, sequence, now);		       /* no such target */
	detector_reply(&detector, 0, (uint16_t)(sequence + 1), now);   /* not sent yet, another in its place */
	detector_reply(&detector, 0, (uint16_t)(sequence - 64), now);  /* forgotten */
	detector_reply(&detector, 0, (uint16_t)(sequence - 1), now);   /* a duplicate */
	assert_memory_equal(&before, &detector, sizeof(before));
	begin(config());
	before = detector;
	detector_reply(&detector, 0, 1, now);
	detector_send_failed(&detector, 0, 1, true, now);
	assert_memory_equal(&before, &detector, sizeof(before));
}

/* An interval so short that the ring is full before the time-out: probing waits, and the verdict stands. */
static void test_ring_full(void **state)
{
	struct detector_config settings = config();
	unsigned sent = 0;

	(void)state;
	settings.interval_us = 10 * MS;
	begin(settings);
	while (detector_may_send(&detector)) {
		detector_send(&detector, now);
		advance_to(now + 10 * MS);
		sent++;
	}
	assert_int_equal(sent, LIMIT_ROUNDS);
	advance_to(detector_deadline_us(&detector));
	assert_true(detector_may_send(&detector));
	drain();
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_int_equal(detector.misses, LIMIT_ROUNDS);
}

/* 16-bit sequences wrap every two hours. */
static void test_sequences_wrap(void **state)
{
	(void)state;
	begin(config());
	play_times(".", 65530);
	play("xxx............xx...");
	assert_int_equal(detector.state, UPLINK_UP);
	play_times("x", 70000);
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_true(detector.misses > 69990);
	assert_int_equal(detector_misses_needed(&detector), 5);
	play_times(".", 20);
	assert_int_equal(detector.state, UPLINK_UP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_answers),
		cmocka_unit_test(test_overtaking),
		cmocka_unit_test(test_send_failures),
		cmocka_unit_test(test_probes_that_prove_nothing),
		cmocka_unit_test(test_unknown_replies),
		cmocka_unit_test(test_ring_full),
		cmocka_unit_test(test_sequences_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
