/*
 * random: random numbers of a kernel that may have none yet. A router can be minutes into its life before
 * its kernel has gathered enough, and forwarding waits for nothing: only what makes keys needs the true ones.
 */
#ifndef JAGA_COMMON_RANDOM_H
#define JAGA_COMMON_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Never waits and never fails: the best that the kernel can make now. Unpredictable from afar, but early at
 * boot not fit for a key that has to stay secret.
 */
void random_fill(void *bytes, size_t length);
/* Whether getrandom(2) gives numbers fit for keys without waiting. Once it is so it stays so. */
bool random_is_ready(void);
/*
 * Blocks until it is so: for a child process. Kernels since 5.4 gather what they lack within about a second, from
 * the jitter of their own clock, but only for one who waits; asking without waiting gathers nothing. 0 or
 * negative errno.
 */
int random_wait(void);

#endif
