/*
 * clock: the two clocks of Jaga. Every deadline, round trip and age is taken from the monotonic
 * one, so that steps of the wall clock (routers boot in 1970) change nothing. Wall time is for
 * people only. Pure modules are given `now` and never call this.
 */
#ifndef JAGA_COMMON_CLOCK_H
#define JAGA_COMMON_CLOCK_H

#include <stdint.h>

int64_t clock_mono_us(void); /* CLOCK_MONOTONIC, microseconds */
int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* CLOCK_REALTIME, milliseconds since 1970 UTC */

#endif
