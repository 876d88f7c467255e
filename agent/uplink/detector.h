/*
 * detector: probe rounds of one uplink -> run of misses, learnt time-outs, evidence. Pure.
 *
 * Time-out of a target: clamp(1.5 x RTT p99, timeout_min, timeout_max), learnt, also from answers
 * that come after their time-out. Consecutive misses needed: k = ceil(8 / -log10 p), p = EWMA of
 * the round loss over 400 rounds (floor 1 %), clamped to 5..12, raised while downs turn out short
 * (flap penalty); recovery hold-down grows exponentially with flaps. See docs/failover.md.
 */
#ifndef JAGA_AGENT_UPLINK_DETECTOR_H
#define JAGA_AGENT_UPLINK_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"

enum uplink_state { UPLINK_UP = 1, UPLINK_SUSPECT, UPLINK_DOWN }; /* the numbers of UplinkState in proto/ */

struct detector_config {
	unsigned n_targets;
	unsigned quorum;
	int64_t interval_us;
	int64_t timeout_min_us, timeout_max_us;
	bool metered; /* sparse at rest: 1 round per 10 intervals until a round is lost */
};

struct detector_evidence {
	uint32_t sent, lost;
	uint32_t rtt_us;     /* smoothed, 0: never answered */
	uint32_t timeout_us;
};

struct detector_status {
	unsigned misses, misses_needed;
	unsigned answers; /* consecutive answered rounds */
	uint32_t loss_permille;
	uint32_t rtt_us; /* of the best target, 0: none */
	unsigned n_targets;
	struct detector_evidence targets[LIMIT_TARGETS];
};

struct detector; /* defined by the implementer of this module below this line */

#endif
