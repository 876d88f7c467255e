/*
 * rtt: see rtt.h. Called by detector.c with every answer, late ones included.
 *
 * Bins: number 0 holds everything under 8.192 ms (no time-out is that short), then four bins an
 * octave up to 4.19 s and beyond, each at most 25 % wide: a time-out errs by that to the long
 * side. Halving all bins at 1024 answers makes the percentile follow a line that changes over a
 * minute or two. The peak is for what changes faster: a bulk transfer fills the buffers of an LTE
 * line within a second or two, and the answers that still arrive, each later than the one before,
 * are what tells a full line from a dead one.
 */
#include "agent/uplink/rtt.h"

#include <string.h>

#define BIN_UNIT_SHIFT 13      /* the lowest bin ends at 2^13 us */
#define HISTORY 1024	       /* answers before the bins are halved: 100 s at 10 a second */
#define SAMPLE_MAX_US 10000000 /* above this it measures our own sleep */
#define INITIAL_TIMEOUT_US 1000000

static unsigned bin_of(uint32_t rtt_us)
{
	uint32_t units = rtt_us >> BIN_UNIT_SHIFT;
	unsigned octave, bin;

	if (units == 0)
		return 0;
	octave = 31 - (unsigned)__builtin_clz(units);
	/* The two bits below the leading one; of rtt_us, since `units` may have none below. */
	bin = 1 + 4 * octave + ((rtt_us >> (BIN_UNIT_SHIFT + octave - 2)) & 3);
	return bin < RTT_BINS ? bin : RTT_BINS - 1;
}

static uint32_t upper_edge_us(unsigned bin)
{
	unsigned octave, quarter;

	if (bin == 0)
		return 1U << BIN_UNIT_SHIFT;
	octave = (bin - 1) / 4;
	quarter = (bin - 1) % 4;
	return (5 + quarter) << (BIN_UNIT_SHIFT + octave - 2);
}

void rtt_init(struct rtt *rtt)
{
	memset(rtt, 0, sizeof(*rtt));
}

void rtt_learn(struct rtt *rtt, int64_t rtt_us)
{
	uint32_t sample = rtt_us < 1 ? 1 : rtt_us > SAMPLE_MAX_US ? SAMPLE_MAX_US : (uint32_t)rtt_us;

	rtt->smoothed_us = rtt->total == 0 ? sample : rtt->smoothed_us - rtt->smoothed_us / 8 + sample / 8;
	rtt->peak_us -= rtt->peak_us / 8;
	if (rtt->peak_us < sample)
		rtt->peak_us = sample;
	if (rtt->total == HISTORY) {
		rtt->total = 0;
		for (unsigned i = 0; i < RTT_BINS; i++) {
			rtt->bins[i] = (uint16_t)(rtt->bins[i] / 2);
			rtt->total = (uint16_t)(rtt->total + rtt->bins[i]);
		}
	}
	rtt->bins[bin_of(sample)]++;
	rtt->total++;
}

uint32_t rtt_p99_us(const struct rtt *rtt)
{
	/* One in a hundred is ignored, and one of the first hundred: a slow first answer is no habit. */
	unsigned above = 0, ignored = (rtt->total + 90U) / 100, bin = RTT_BINS;

	if (rtt->total == 0)
		return 0;
	/* Down from the top; more than is ignored lies in the bins, so it ends. */
	do {
		bin--;
		above += rtt->bins[bin];
	} while (above <= ignored);
	return upper_edge_us(bin);
}

int64_t rtt_timeout_us(const struct rtt *rtt, int64_t min_us, int64_t max_us)
{
	uint32_t p99_us = rtt_p99_us(rtt);
	int64_t high_us = rtt->peak_us > p99_us ? rtt->peak_us : p99_us;
	int64_t timeout_us = rtt->total == 0 ? INITIAL_TIMEOUT_US : high_us + high_us / 2;

	return timeout_us < min_us ? min_us : timeout_us > max_us ? max_us : timeout_us;
}
