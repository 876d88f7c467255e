/*
 * buf: a bounded writer over memory that the caller owns. Overflow is sticky: writes that do not
 * fit leave the contents whole and set `failed`, so that a sequence is checked once, at its end.
 *
 *   0 ........ length ........ size
 *   [ written  |    free      ]      data[length] is always NUL when size > 0
 */
#ifndef JAGA_COMMON_BUF_H
#define JAGA_COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t size;   /* bytes at data, the final NUL included */
	size_t length; /* bytes written, without the NUL */
	bool failed;   /* something did not fit */
};

void buf_init(struct buf *buf, char *data, size_t size);
void buf_clear(struct buf *buf);
void buf_put(struct buf *buf, const void *bytes, size_t length);
void buf_puts(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_put_hex(struct buf *buf, const uint8_t *bytes, size_t length); /* lower case */

#endif
