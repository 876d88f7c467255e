/*
 * wallclock: a wall clock that a test can step. Linked into a test program, or loaded before a real one (LD_PRELOAD),
 * it takes the place of the C library's clock_gettime(), gettimeofday() and time(); the monotonic clocks stay the
 * kernel's. With JAGA_WALLCLOCK=FILE the offset is the first 8 bytes of that file, a number that may change any time.
 */
#ifndef JAGA_TESTS_FAKE_WALLCLOCK_H
#define JAGA_TESTS_FAKE_WALLCLOCK_H

#include <stdint.h>

void wallclock_set_offset(int64_t seconds); /* from the true time */

#endif
