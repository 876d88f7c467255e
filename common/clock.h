/*
 * clock: the two clocks of Jaga. Every deadline, round trip and age is taken from the monotonic
 * one, so that steps of the wall clock (routers boot in 1970) change nothing. Wall time is for
 * people only. Pure modules are given `now` and never call this.
 */
#ifndef JAGA_COMMON_CLOCK_H
#define JAGA_COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_mono_us(void); /* CLOCK_MONOTONIC, microseconds */
int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* CLOCK_REALTIME, milliseconds since 1970 UTC */

/* Whether the wall clock can be right: not before this program was built, as it is where nothing has set it. */
bool clock_wall_is_set(void);

/* Steps of the wall clock: who watches asks now and then. Zero-initialised. */
struct clock_watch {
	bool has_begun;
	int64_t offset_ms; /* wall - monotonic */
};
/*
 * How far the wall clock was set (or the machine slept) since the last step that was told, or the first call:
 * milliseconds, negative when back; 0 when it is less than `least_ms`.
 */
int64_t clock_watch_step_ms(struct clock_watch *watch, int64_t least_ms);

#endif
