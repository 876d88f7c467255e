/*
 * wire: bounded packing and unpacking of the messages of proto/jaga.proto.
 *
 * Unpacking hostile bytes allocates only from an arena of fixed size given by the caller, so a
 * message can never cost more memory than was set aside for it. Unpacked messages live in the
 * arena: there is nothing to free, they end with the next wire_arena_reset(). Single thread each.
 */
#ifndef JAGA_COMMON_WIRE_H
#define JAGA_COMMON_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "common/buf.h"
#include "jaga.pb-c.h"

#define WIRE_FORMAT_PROTOBUF 65050 /* content formats, proto/README.md */
#define WIRE_FORMAT_SNAPSHOT 65051
#define WIRE_FORMAT_PROTOBUF_ZLIB 65052

struct wire_arena {
	uint8_t *memory;
	size_t size;
	size_t used;
	size_t peak; /* highest `used` ever: sizes the arena in tests */
	ProtobufCAllocator allocator;
};

/* The arena keeps a pointer to itself: do not copy or move it after this. */
void wire_arena_init(struct wire_arena *arena, void *memory, size_t size);
void wire_arena_reset(struct wire_arena *arena);

/*
 * Unpacks `length` bytes as a message of `descriptor`. -EBADMSG: not such a message, or it needs
 * more than the arena has. *ret_message lives in the arena.
 */
int wire_unpack(struct wire_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
		size_t length, ProtobufCMessage **ret_message);

/* Appends the packed message to buf; -EMSGSIZE (and buf untouched) when it does not fit. */
int wire_pack(const ProtobufCMessage *message, struct buf *buf);

/* Appends an already packed message, or bytes, as field `number` (length-delimited). */
void wire_put_bytes(struct buf *buf, uint32_t number, const void *bytes, size_t length);
void wire_put_u64(struct buf *buf, uint32_t number, uint64_t value);

#endif
