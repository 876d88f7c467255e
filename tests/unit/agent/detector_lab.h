/*
 * detector_lab: one uplink's detector, and a clock that the test moves from round to round. Included once by a test program.
 */
#ifndef JAGA_TESTS_DETECTOR_LAB_H
#define JAGA_TESTS_DETECTOR_LAB_H

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

static inline struct detector_config config(void)
{
	return (struct detector_config){
		.n_targets = 1,
		.quorum = 1,
		.interval_us = 100 * MS,
		.timeout_min_us = 200 * MS,
		.timeout_max_us = 3 * S,
	};
}

static inline void begin(struct detector_config settings)
{
	now = 1000 * S;
	detector_init(&detector, &settings, UPLINK_UP, now);
}

static inline void advance_to(int64_t until)
{
	while (detector_deadline_us(&detector) <= until) {
		now = detector_deadline_us(&detector);
		detector_tick(&detector, now);
	}
	now = until;
	detector_tick(&detector, now);
}

static inline void round_lost(void)
{
	int64_t next = now + detector_gap_us(&detector);

	detector_send(&detector, now);
	advance_to(next);
}

static inline void round_answered(void)
{
	int64_t next = now + detector_gap_us(&detector);
	uint16_t sequence = detector_send(&detector, now);

	advance_to(now + RTT);
	detector_reply(&detector, 0, sequence, now);
	advance_to(next);
}

/* '.' an answered round, 'x' a lost one. */
static inline void play(const char *rounds)
{
	for (; *rounds; rounds++)
		*rounds == 'x' ? round_lost() : round_answered();
}

static inline void play_times(const char *rounds, unsigned times)
{
	while (times-- > 0)
		play(rounds);
}

/* Lets what is outstanding time out. */
static inline void drain(void)
{
	while (detector_deadline_us(&detector) != INT64_MAX)
		advance_to(detector_deadline_us(&detector));
}

/* An outage of so many rounds after which nothing is in doubt, and the recovery. */
static inline void outage(unsigned rounds)
{
	play_times("x", rounds);
	drain();
	assert_int_equal(detector.state, UPLINK_DOWN);
	while (detector.state == UPLINK_DOWN)
		round_answered();
}

#endif
