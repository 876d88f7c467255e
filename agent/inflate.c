/*
 * inflate: see inflate.h. Memory grows with what comes out, up to the cap: no announced size is believed. Called by
 * link_transfer.c.
 */
#include "agent/inflate.h"

#include <errno.h>
#include <stdlib.h>

#include <zlib.h>

#include "common/limits.h"

#define FIRST_BYTES 16384

bool inflate_is_there(void)
{
	return true;
}

/* Room for more, at most cap + 1 bytes in all: the one too many tells. */
static int grow(z_stream *stream, uint8_t **bytes, size_t cap)
{
	size_t size = stream->total_out ? 2 * (size_t)stream->total_out : FIRST_BYTES;
	uint8_t *grown;

	if (size > cap + 1)
		size = cap + 1;
	if (stream->total_out >= size)
		return -EMSGSIZE;
	grown = realloc(*bytes, size);
	if (!grown)
		return -ENOMEM;
	*bytes = grown;
	stream->next_out = grown + stream->total_out;
	stream->avail_out = (uInt)(size - stream->total_out);
	return 0;
}

int inflate_bytes(const uint8_t *bytes, size_t length, size_t cap, uint8_t **ret_bytes, size_t *ret_length)
{
	z_stream stream = { .next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)length };
	uint8_t *out = NULL;
	int z = Z_OK, r = 0;

	if (inflateInit2(&stream, LIMIT_ZLIB_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	while (r == 0 && z == Z_OK) {
		if (stream.avail_out == 0)
			r = grow(&stream, &out, cap);
		if (r == 0)
			z = inflate(&stream, Z_NO_FLUSH);
	}
	if (r == 0 && (z != Z_STREAM_END || stream.avail_in != 0))
		r = z == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
	if (r == 0 && stream.total_out > cap)
		r = -EMSGSIZE;
	if (r == 0) {
		*ret_bytes = out;
		*ret_length = stream.total_out;
		out = NULL;
	}
	(void)inflateEnd(&stream); /* fails only for a stream that is none */
	free(out);
	return r;
}
