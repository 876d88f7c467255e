/* clock: see clock.h. */
#include "common/clock.h"

#include <time.h>

#define FIRST_RELEASE_S 1767225600LL /* 2026, for a build that does not know its own time */

static int64_t read_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

bool clock_wall_is_set(void)
{
	return clock_wall_ms() / 1000 >= (JAGA_BUILD_TIME_S > FIRST_RELEASE_S ? JAGA_BUILD_TIME_S : FIRST_RELEASE_S);
}

int64_t clock_watch_step_ms(struct clock_watch *watch, int64_t least_ms)
{
	int64_t offset_ms = clock_wall_ms() - clock_mono_ms();
	int64_t step_ms = offset_ms - watch->offset_ms;

	if (!watch->has_begun) {
		*watch = (struct clock_watch){ true, offset_ms };
		return 0;
	}
	if (step_ms < least_ms && step_ms > -least_ms)
		return 0;
	watch->offset_ms = offset_ms;
	return step_ms;
}
