/* gaps: see gaps.h. For lanprobe.c; tests/unit/lab/test_gaps.c. */
#include "tests/lab/gaps.h"

void gaps_init(struct gaps *gaps, int64_t now_us)
{
	*gaps = (struct gaps){.last_us = now_us, .newest_us = now_us};
}

void gaps_reset(struct gaps *gaps)
{
	gaps->gap_us = 0;
	gaps->ok = gaps->failed = 0;
}

uint32_t gaps_start(struct gaps *gaps, int64_t now_us)
{
	uint32_t number = gaps->next++;

	gaps->ticks[number % GAPS_TICKS].start_us = now_us;
	gaps->ticks[number % GAPS_TICKS].verdict = PENDING;
	return number;
}

bool gaps_is_pending(const struct gaps *gaps, uint32_t number)
{
	return number - gaps->oldest < gaps->next - gaps->oldest && gaps->ticks[number % GAPS_TICKS].verdict == PENDING;
}

int64_t gaps_age_us(const struct gaps *gaps, uint32_t number, int64_t now_us)
{
	return now_us - gaps->ticks[number % GAPS_TICKS].start_us;
}

static void count_success(struct gaps *gaps, int64_t at_us)
{
	if (at_us - gaps->last_us > gaps->gap_us)
		gaps->gap_us = at_us - gaps->last_us;
	gaps->last_us = at_us;
	gaps->ok++;
}

void gaps_judge(struct gaps *gaps, uint32_t number, enum verdict verdict)
{
	int64_t start_us = gaps->ticks[number % GAPS_TICKS].start_us;

	gaps->ticks[number % GAPS_TICKS].verdict = verdict;
	if (verdict == SUCCEEDED && start_us > gaps->newest_us)
		gaps->newest_us = start_us;
	for (; gaps->oldest != gaps->next; gaps->oldest++) {
		if (gaps->ticks[gaps->oldest % GAPS_TICKS].verdict == PENDING)
			return;
		if (gaps->ticks[gaps->oldest % GAPS_TICKS].verdict == SUCCEEDED)
			count_success(gaps, gaps->ticks[gaps->oldest % GAPS_TICKS].start_us);
		else
			gaps->failed++;
	}
}

bool gaps_find_late(const struct gaps *gaps, int64_t now_us, int64_t timeout_us, uint32_t *ret_number)
{
	for (uint32_t number = gaps->oldest; number != gaps->next; number++) {
		if (gaps_age_us(gaps, number, now_us) < timeout_us)
			return false;
		if (gaps->ticks[number % GAPS_TICKS].verdict == PENDING) {
			*ret_number = number;
			return true;
		}
	}
	return false;
}

void gaps_succeed(struct gaps *gaps, int64_t at_us)
{
	count_success(gaps, at_us);
	gaps->newest_us = at_us;
}

int64_t gaps_longest_us(const struct gaps *gaps, int64_t now_us, int64_t timeout_us)
{
	int64_t open_us = now_us - gaps->newest_us;

	return open_us > timeout_us && open_us > gaps->gap_us ? open_us : gaps->gap_us;
}
