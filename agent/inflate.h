/*
 * inflate: a zlib stream (RFC 1950) that came from the collector, made longer again. Which file is linked decides: inflate.c, or
 * inflate_none.c where 10 KB of flash are worth more than a faster push (toolchain/TARGET.mk).
 */
#ifndef JAGA_AGENT_INFLATE_H
#define JAGA_AGENT_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False: inflate_bytes() cannot, so do not ask for such answers. */
bool inflate_is_there(void);

/*
 * *ret_bytes is the caller's to free. -EBADMSG: not exactly one whole stream, or one with a window of more than
 * 1 << LIMIT_ZLIB_WINDOW_BITS bytes; -EMSGSIZE: more than cap bytes; -ENOMEM; -ENOTSUP.
 */
int inflate_bytes(const uint8_t *bytes, size_t length, size_t cap, uint8_t **ret_bytes, size_t *ret_length);

#endif
