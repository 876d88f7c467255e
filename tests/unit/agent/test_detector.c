/* Rounds, runs and states of one uplink, under a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/uplink/detector.h"

#define MS INT64_C(1000)
#define S (1000 * MS)
#define HOUR (3600 * S)
#define RTT (10 * MS)

static struct detector detector;
static int64_t now;

static struct detector_config config(void)
{
	return (struct detector_config){
		.n_targets = 1,
		.quorum = 1,
		.interval_us = 100 * MS,
		.timeout_min_us = 200 * MS,
		.timeout_max_us = 3 * S,
	};
}

static void begin(struct detector_config settings)
{
	now = 1000 * S;
	detector_init(&detector, &settings, UPLINK_UP, now);
}

static void advance_to(int64_t until)
{
	while (detector_deadline_us(&detector) <= until) {
		now = detector_deadline_us(&detector);
		detector_tick(&detector, now);
	}
	now = until;
	detector_tick(&detector, now);
}

static void round_lost(void)
{
	int64_t next = now + detector_gap_us(&detector);

	detector_send(&detector, now);
	advance_to(next);
}

static void round_answered(void)
{
	int64_t next = now + detector_gap_us(&detector);
	uint16_t sequence = detector_send(&detector, now);

	advance_to(now + RTT);
	detector_reply(&detector, 0, sequence, now);
	advance_to(next);
}

/* '.' an answered round, 'x' a lost one. */
static void play(const char *rounds)
{
	for (; *rounds; rounds++)
		*rounds == 'x' ? round_lost() : round_answered();
}

static void play_times(const char *rounds, unsigned times)
{
	while (times-- > 0)
		play(rounds);
}

/* Lets what is outstanding time out. */
static void drain(void)
{
	while (detector_deadline_us(&detector) != INT64_MAX)
		advance_to(detector_deadline_us(&detector));
}

/* An outage of so many rounds after which nothing is in doubt, and the recovery. */
static void outage(unsigned rounds)
{
	play_times("x", rounds);
	drain();
	assert_int_equal(detector.state, UPLINK_DOWN);
	while (detector.state == UPLINK_DOWN)
		round_answered();
}

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
	detector_send_failed(&detector, 0, sequence, now);
	assert_int_equal(detector.misses, 0);
	detector_send_failed(&detector, 1, sequence, now);
	assert_int_equal(detector.misses, 1);
	assert_int_equal(detector_deadline_us(&detector), now + S);
	detector_send_failed(&detector, 1, sequence, now); /* already lost */
	detector_send_failed(&detector, 2, older, now);	   /* no such target */
	assert_int_equal(detector.misses, 1);
	/* The older one is lost later: the run begins with it. */
	advance_to(now + S);
	assert_int_equal(detector.misses, 2);
	assert_int_equal(detector.run_first, older);
	for (unsigned i = 0; i < 3; i++) {
		now += 100 * MS;
		sequence = detector_send(&detector, now);
		detector_send_failed(&detector, 0, sequence, now);
		detector_send_failed(&detector, 1, sequence, now);
	}
	assert_int_equal(detector.state, UPLINK_DOWN);
	assert_int_equal(detector_deadline_us(&detector), INT64_MAX);
	/* One that could not be sent after two that were: the answer to the first leaves that one. */
	older = detector_send(&detector, now);
	detector_send(&detector, now);
	sequence = detector_send(&detector, now);
	detector_send_failed(&detector, 0, sequence, now);
	detector_send_failed(&detector, 1, sequence, now);
	detector_reply(&detector, 0, older, now);
	assert_int_equal(detector.misses, 1);
	assert_int_equal(detector.run_first, sequence);
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
	detector_send_failed(&detector, 0, 1, now);
	assert_memory_equal(&before, &detector, sizeof(before));
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
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_detection_time),
		cmocka_unit_test(test_misses_needed),
		cmocka_unit_test(test_loss_is_learnt),
		cmocka_unit_test(test_outage_does_not_raise_k),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_hold_down),
		cmocka_unit_test(test_saturation_is_not_down),
		cmocka_unit_test(test_late_answers),
		cmocka_unit_test(test_overtaking),
		cmocka_unit_test(test_quorum),
		cmocka_unit_test(test_second_target),
		cmocka_unit_test(test_dead_target),
		cmocka_unit_test(test_send_failures),
		cmocka_unit_test(test_unknown_replies),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_starting_down),
		cmocka_unit_test(test_ring_full),
		cmocka_unit_test(test_sequences_wrap),
		cmocka_unit_test(test_forgetting),
		cmocka_unit_test(test_metered),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_turns_without_the_dead),
		cmocka_unit_test(test_turns_and_an_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
