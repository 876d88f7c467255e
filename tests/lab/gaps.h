/*
 * gaps: how long a series of ticks went without success. Pure.
 *
 * A tick counts at its start, once all that started before it are judged, so that a late success cannot shorten a
 * gap. The gap is the longest time between the starts of two ticks in a row that succeeded: it holds the time
 * from one tick to the next. Times are of one monotonic clock.
 */
#ifndef JAGA_TESTS_LAB_GAPS_H
#define JAGA_TESTS_LAB_GAPS_H

#include <stdbool.h>
#include <stdint.h>

enum { GAPS_TICKS = 64 }; /* never more wait for their verdict */

enum verdict { PENDING, SUCCEEDED, FAILED };

struct gaps {
	uint32_t oldest, next; /* numbers of ticks: [oldest, next) wait to be counted */
	struct {
		int64_t start_us;
		enum verdict verdict;
	} ticks[GAPS_TICKS];
	int64_t last_us;   /* start of the last tick in a row of verdicts that succeeded */
	int64_t newest_us; /* of the newest that succeeded, whatever still waits before it */
	int64_t gap_us;
	unsigned ok, failed;
};

void gaps_init(struct gaps *gaps, int64_t now_us);
void gaps_reset(struct gaps *gaps); /* a new window: counters, not what is under way */
uint32_t gaps_start(struct gaps *gaps, int64_t now_us); /* number of the new tick */
/* False when that tick was judged already, or never started. */
bool gaps_is_pending(const struct gaps *gaps, uint32_t number);
int64_t gaps_age_us(const struct gaps *gaps, uint32_t number, int64_t now_us);
void gaps_judge(struct gaps *gaps, uint32_t number, enum verdict verdict);
/* The oldest tick that has waited for timeout_us; false when there is none. */
bool gaps_find_late(const struct gaps *gaps, int64_t now_us, int64_t timeout_us, uint32_t *ret_number);
/* A success that was not begun by a tick. */
void gaps_succeed(struct gaps *gaps, int64_t at_us);
/*
 * The longest gap. One that has not ended counts once it is longer than timeout_us: until then a tick under
 * way may still succeed.
 */
int64_t gaps_longest_us(const struct gaps *gaps, int64_t now_us, int64_t timeout_us);

#endif
