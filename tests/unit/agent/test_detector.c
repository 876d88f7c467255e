/* Runs of lost rounds and what they make of an uplink, under a clock that the test moves. */
#include "tests/unit/agent/detector_lab.h"

static void test_states(void **state)
{
	static const struct {
		const char *rounds;
		enum uplink_state expected;
	} cases[] = {
		{ "....", UPLINK_UP },
		{ "....xx", UPLINK_UP },
		{ "....xxx", UPLINK_SUSPECT },
		{ "....xx.xx.xx.xx", UPLINK_UP },
		{ "....xxxx", UPLINK_SUSPECT },
		{ "....xxxxx", UPLINK_DOWN },
		{ "....xxx..", UPLINK_UP }, /* the answer came before the third time-out */
		{ "....xxxx..", UPLINK_SUSPECT },
		{ "....xxxx..xx..xx..", UPLINK_SUSPECT },
		{ "....xxxx...", UPLINK_UP },
		{ "....xxx.xxxx.xxxx", UPLINK_SUSPECT },
		{ "....xxx.xxxxx", UPLINK_DOWN },
		{ "....xxxxxxx...................", UPLINK_DOWN },
		{ "....xxxxxxx....................", UPLINK_UP },
		{ "....xxxxxxx...................xx...................", UPLINK_DOWN },
		{ "....xxxxxxx...................xx....................", UPLINK_UP },
		{ "xxxxx", UPLINK_DOWN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(config());
		play(cases[i].rounds);
		drain();
		if (detector.state != cases[i].expected)
			print_error("after %s\n", cases[i].rounds);
		assert_int_equal(detector.state, cases[i].expected);
	}
}

/* Detection = (k - 1) intervals + time-out, from the first lost probe. */
static void test_detection_time(void **state)
{
	int64_t cut;

	(void)state;
	begin(config());
	play_times(".", 50);
	cut = now;
	play_times("x", 3);
	assert_int_equal(detector.state, UPLINK_UP);
	advance_to(cut + 400 * MS);
	assert_int_equal(detector.state, UPLINK_SUSPECT);
	assert_int_equal(detector.since_us, cut + 400 * MS);
	begin(config());
	play_times(".", 50);
	cut = now;
	play_times("x", 9);
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_int_equal(detector.since_us, cut + 600 * MS);
	assert_int_equal(detector_began_us(&detector), cut);
}

/* k = ceil(8 / -log10 p), to the last of the thresholds. */
static void test_misses_needed(void **state)
{
	static const struct {
		uint32_t loss_ppb;
		unsigned needed;
	} cases[] = {
		{ 0, 5 },	   { 10000000, 5 },   { 25118864, 5 },	 { 25118865, 6 },	{ 46415888, 6 },
		{ 46415889, 7 },   { 50000000, 7 },   { 71968567, 7 },	 { 71968568, 8 },	{ 100000000, 8 },
		{ 100000001, 9 },  { 129154967, 9 },  { 129154968, 10 }, { 158489319, 10 },	{ 158489320, 11 },
		{ 187381742, 11 }, { 187381743, 12 }, { 200000000, 12 }, { 1000000000, 12 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(config());
		detector.loss_ppb = cases[i].loss_ppb;
		assert_int_equal(detector_misses_needed(&detector), cases[i].needed);
		detector.doubt = 1;
		assert_int_equal(detector_misses_needed(&detector), 2 * cases[i].needed);
		detector.doubt = 2;
		assert_int_equal(detector_misses_needed(&detector),
				 4 * cases[i].needed < 24 ? 4 * cases[i].needed : 24);
	}
}

static void test_loss_is_learnt(void **state)
{
	struct detector_status status;

	(void)state;
	begin(config());
	play_times("...................x", 200);
	detector_read_status(&detector, now, &status);
	assert_in_range(status.loss_permille, 45, 55);
	assert_int_equal(status.misses_needed, 7);
	play_times("....x", 800);
	detector_read_status(&detector, now, &status);
	assert_in_range(status.loss_permille, 190, 210);
	assert_int_equal(status.misses_needed, 12);
	assert_int_equal(detector.state, UPLINK_UP);
	play_times(".", 2000);
	assert_int_equal(detector_misses_needed(&detector), 5);
}

/* What was an outage is no loss; a run that ends short of k is. */
static void test_outage_does_not_raise_k(void **state)
{
	uint32_t before;

	(void)state;
	begin(config());
	play_times(".", 100);
	before = detector.loss_ppb;
	outage(6000);
	assert_true(detector.loss_ppb <= before);
	assert_int_equal(detector_misses_needed(&detector), 5);
	before = detector.loss_ppb;
	play("xxxx");
	drain();
	assert_int_equal(detector.loss_ppb, before);
	play(".");
	assert_true(detector.loss_ppb > before + 9000000);
}

/* After so long a silence, is k what it should be? */
static void expect_needed_after(int64_t us, unsigned needed)
{
	now += us;
	detector_tick(&detector, now);
	assert_int_equal(detector_misses_needed(&detector), needed);
}

/* A burst of losses that looked like an outage doubles k, twice at most; it is forgiven more slowly each time. */
static void test_doubt(void **state)
{
	static const unsigned needed[] = { 10, 20, 20 };

	(void)state;
	begin(config());
	play_times(".", 50);
	for (unsigned i = 0; i < 3; i++) {
		outage(detector_misses_needed(&detector));
		assert_int_equal(detector_misses_needed(&detector), needed[i]);
	}
	/* The third within a short time: a level every four hours. */
	expect_needed_after(4 * HOUR - 60 * S, 20);
	expect_needed_after(60 * S, 10);
	expect_needed_after(4 * HOUR - 60 * S, 10);
	expect_needed_after(60 * S, 5);
	/* Soon after: eight, then sixteen hours, and never more; long after: one hour again. */
	outage(5);
	expect_needed_after(8 * HOUR - 60 * S, 10);
	expect_needed_after(60 * S, 5);
	for (unsigned i = 0; i < 3; i++) {
		outage(5);
		expect_needed_after(16 * HOUR - 60 * S, 10);
		expect_needed_after(60 * S, 5);
	}
	expect_needed_after(17 * HOUR, 5);
	outage(5);
	expect_needed_after(HOUR - 60 * S, 10);
	expect_needed_after(60 * S, 5);
	/* Years at once. */
	outage(5);
	outage(10);
	expect_needed_after(100000 * HOUR, 5);
	/* Not in doubt: an outage that lasts; none by probes. */
	outage(30);
	detector_set_link(&detector, false, now);
	detector_set_link(&detector, true, now);
	play(".");
	assert_int_equal(detector_misses_needed(&detector), 5);
}

/* Down again within 30 s of coming back: 4, 8, 16 s of hold-down; minutes of peace take it back. */
static void test_hold_down(void **state)
{
	static const int64_t held[] = { 1910 * MS, 4 * S, 8 * S, 16 * S, 16 * S };
	int64_t steady;

	(void)state;
	begin(config());
	play_times(".", 50);
	for (unsigned i = 0; i < 5; i++) {
		play_times("x", 30);
		drain();
		now += 100 * MS;
		steady = now;
		while (detector.state == UPLINK_DOWN)
			round_answered();
		assert_in_range(detector.since_us - steady, held[i], held[i] + 110 * MS);
	}
	play_times(".", 1200); /* two minutes: two levels, though this down is one more */
	outage(30);
	assert_int_equal(detector.relapses, 1);
	/* A steady line is what is waited for: three misses begin the hold-down anew. */
	play_times("x", 30);
	drain();
	play_times(".", 30);
	play("xxx");
	drain();
	steady = now;
	while (detector.state == UPLINK_DOWN)
		round_answered();
	assert_in_range(detector.since_us - steady, 8 * S, 8 * S + 110 * MS);
	play_times(".", 3000);
	outage(30);
	assert_int_equal(detector.relapses, 0);
}

/* Buffers fill until the round trip is 1.9 s: replies flow, and nothing is suspected. */
static void test_saturation_is_not_down(void **state)
{
	struct { uint16_t sequence; int64_t at; } flying[64];
	unsigned first = 0, next = 0;
	int64_t rtt = 20 * MS, next_send;

	(void)state;
	begin(config());
	play_times(".", 200);
	next_send = now;
	for (unsigned i = 0; i < 600; i++) {
		flying[next % 64].sequence = detector_send(&detector, now);
		flying[next++ % 64].at = now + rtt;
		rtt += rtt < 1900 * MS ? 40 * MS : 0;
		next_send += 100 * MS;
		while (first < next && flying[first % 64].at <= next_send) {
			advance_to(flying[first % 64].at);
			detector_reply(&detector, 0, flying[first++ % 64].sequence, now);
		}
		advance_to(next_send);
		assert_int_equal(detector.state, UPLINK_UP);
	}
	assert_in_range(detector.timeout_us, 2850 * MS, 3 * S);
}

static void test_link(void **state)
{
	struct detector_status status;
	uint16_t sequence;

	(void)state;
	begin(config());
	play_times(".", 30);
	play("x");
	sequence = detector_send(&detector, now);
	detector_set_link(&detector, true, now); /* nothing new */
	assert_int_equal(detector.state, UPLINK_UP);
	detector_set_link(&detector, false, now);
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_false(detector_may_send(&detector));
	assert_int_equal(detector_deadline_us(&detector), INT64_MAX);
	detector_reply(&detector, 0, sequence, now); /* of the link that was */
	detector_read_status(&detector, now, &status);
	assert_int_equal(status.targets[0].sent, 0);
	now += 5 * S;
	detector_set_link(&detector, true, now);
	assert_int_equal(detector.state, UPLINK_DOWN);
	play_times(".", 19);
	assert_int_equal(detector.state, UPLINK_DOWN);
	play(".");
	assert_int_equal(detector.state, UPLINK_UP);
	/* Down by probes, then without a link, too: still one down. */
	play_times("x", 10);
	assert_int_equal(detector.state, UPLINK_DOWN);
	status.misses = (unsigned)detector.relapses;
	detector_set_link(&detector, false, now);
	assert_int_equal(detector.relapses, status.misses);
}

static void test_starting_down(void **state)
{
	struct detector_config settings = config();

	(void)state;
	now = 0;
	detector_init(&detector, &settings, UPLINK_DOWN, now);
	play_times(".", 19);
	assert_int_equal(detector.state, UPLINK_DOWN);
	play(".");
	assert_int_equal(detector.state, UPLINK_UP);
	assert_int_equal(detector_misses_needed(&detector), 5);
}

static void test_forgetting(void **state)
{
	uint16_t first, second;

	(void)state;
	begin(config());
	play_times(".", 30);
	first = detector_send(&detector, now);
	second = detector_send(&detector, now);
	detector_reply(&detector, 0, second, now + RTT);
	detector_forget_outstanding(&detector);
	now += 1000000 * HOUR;
	detector_tick(&detector, now);
	detector_reply(&detector, 0, first, now);
	assert_int_equal(detector.state, UPLINK_UP);
	assert_int_equal(detector.misses, 0);
	assert_int_equal(detector.answers, 31);
}

/* Metered lines: one round a second at rest; wide awake once a round was lost, or answered while down. */
static void test_metered(void **state)
{
	struct detector_config settings = config();

	(void)state;
	settings.metered = true;
	begin(settings);
	play_times(".", 30);
	assert_int_equal(detector_gap_us(&detector), S);
	play("x");
	assert_int_equal(detector_gap_us(&detector), 100 * MS);
	play_times(".", 19);
	assert_int_equal(detector_gap_us(&detector), 100 * MS);
	play(".");
	assert_int_equal(detector_gap_us(&detector), S);
	play_times("x", 20);
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_int_equal(detector_gap_us(&detector), S);
	play(".");
	assert_int_equal(detector_gap_us(&detector), 100 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_detection_time),
		cmocka_unit_test(test_misses_needed),
		cmocka_unit_test(test_loss_is_learnt),
		cmocka_unit_test(test_outage_does_not_raise_k),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_hold_down),
		cmocka_unit_test(test_saturation_is_not_down),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_starting_down),
		cmocka_unit_test(test_forgetting),
		cmocka_unit_test(test_metered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
