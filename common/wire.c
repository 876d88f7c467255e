/*
 * wire: see wire.h. The arena hands out 8-byte aligned pieces, wherever its memory begins (ARMv5 loads 64 bits from
 * nowhere else), and takes nothing back: unpacking is
 * one burst of allocations followed by one reset. protobuf-c treats a NULL from the allocator as
 * failure and unwinds through the (empty) free function.
 */
#include "common/wire.h"

#include <errno.h>
#include <string.h>

static void *arena_alloc(void *data, size_t size)
{
	struct wire_arena *arena = data;
	size_t rounded = (size + 7) & ~(size_t)7;
	void *piece;

	if (rounded < size || rounded > arena->size - arena->used)
		return NULL;
	piece = arena->memory + arena->used;
	arena->used += rounded;
	if (arena->used > arena->peak)
		arena->peak = arena->used;
	return piece;
}

static void arena_free(void *data, void *piece)
{
	(void)data;
	(void)piece;
}

void wire_arena_init(struct wire_arena *arena, void *memory, size_t size)
{
	size_t skip = -(uintptr_t)memory % 8;

	*arena = (struct wire_arena){
		.memory = (uint8_t *)memory + skip,
		.size = size > skip ? size - skip : 0,
		.allocator = { .alloc = arena_alloc, .free = arena_free, .allocator_data = arena },
	};
}

void wire_arena_reset(struct wire_arena *arena)
{
	arena->used = 0;
}

int wire_unpack(struct wire_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
		size_t length, ProtobufCMessage **ret_message)
{
	ProtobufCMessage *message;

	message = protobuf_c_message_unpack(descriptor, &arena->allocator, length, bytes);
	if (!message)
		return -EBADMSG;
	*ret_message = message;
	return 0;
}

int wire_pack(const ProtobufCMessage *message, struct buf *buf)
{
	size_t length = protobuf_c_message_get_packed_size(message);

	if (buf->failed || length >= buf->size - buf->length)
		return -EMSGSIZE;
	protobuf_c_message_pack(message, (uint8_t *)buf->data + buf->length);
	buf->length += length;
	buf->data[buf->length] = '\0';
	return 0;
}

static void put_varint(struct buf *buf, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[n++] = (uint8_t)(value | 0x80);
	bytes[n++] = (uint8_t)value;
	buf_put(buf, bytes, n);
}

void wire_put_bytes(struct buf *buf, uint32_t number, const void *bytes, size_t length)
{
	put_varint(buf, (uint64_t)number << 3 | 2);
	put_varint(buf, length);
	buf_put(buf, bytes, length);
}

void wire_put_u64(struct buf *buf, uint32_t number, uint64_t value)
{
	put_varint(buf, (uint64_t)number << 3);
	put_varint(buf, value);
}
