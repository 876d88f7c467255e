/*
 * rtt: what is known about the round trips to one probe target, and the time-out that follows.
 *
 * A histogram of four bins an octave, halved when it is full, gives the 99th percentile of about
 * the last thousand answers; a decaying peak follows a line that fills its buffers within
 * seconds, which a percentile would notice too late. Pure, integers only.
 */
#ifndef JAGA_AGENT_UPLINK_RTT_H
#define JAGA_AGENT_UPLINK_RTT_H

#include <stdint.h>

#define RTT_BINS 38

struct rtt {
	uint32_t smoothed_us; /* as in RFC 6298, gain 1/8; 0: never answered */
	uint32_t peak_us;     /* highest of late, falls by 1/8 with every lower answer */
	uint16_t total;	      /* sum of bins; 0: never answered */
	uint16_t bins[RTT_BINS];
};

void rtt_init(struct rtt *rtt);
/* One answer, late ones too: they are what a saturated line tells about itself. */
void rtt_learn(struct rtt *rtt, int64_t rtt_us);
/* Upper edge of the bin that holds the 99th percentile (the highest of fewer than ten answers); 0: never answered. */
uint32_t rtt_p99_us(const struct rtt *rtt);
/* clamp(1.5 x max(p99, peak), min, max); clamp(1 s, min, max) before the first answer (RFC 6298, 2.1). */
int64_t rtt_timeout_us(const struct rtt *rtt, int64_t min_us, int64_t max_us);

#endif
