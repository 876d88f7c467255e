/* buf: see buf.h. Used for every text that the agent makes: no allocation, overflow checked once. */
#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_init(struct buf *buf, char *data, size_t size)
{
	buf->data = data;
	buf->size = size;
	buf_clear(buf);
}

void buf_clear(struct buf *buf)
{
	buf->length = 0;
	buf->failed = false;
	if (buf->size > 0)
		buf->data[0] = '\0';
}

void buf_put(struct buf *buf, const void *bytes, size_t length)
{
	if (buf->failed || length >= buf->size - buf->length) {
		buf->failed = true;
		return;
	}
	memcpy(buf->data + buf->length, bytes, length);
	buf->length += length;
	buf->data[buf->length] = '\0';
}

void buf_puts(struct buf *buf, const char *text)
{
	buf_put(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	size_t room = buf->size - buf->length;
	va_list args;
	int written;

	if (buf->failed || room == 0) {
		buf->failed = true;
		return;
	}
	va_start(args, format);
	written = vsnprintf(buf->data + buf->length, room, format, args);
	va_end(args);
	if (written < 0 || (size_t)written >= room) {
		buf->data[buf->length] = '\0';
		buf->failed = true;
		return;
	}
	buf->length += (size_t)written;
}

void buf_put_hex(struct buf *buf, const uint8_t *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		char pair[2] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };

		buf_put(buf, pair, sizeof(pair));
	}
}
