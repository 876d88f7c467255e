/*
 * Fuzzes the decoding of every message. The first byte picks the message, the second the size of the arena.
 * What decodes must stay within it, and encode; what that decodes to must have the same size.
 */
#include <stdlib.h>

#include "common/limits.h"
#include "common/wire.h"

static const ProtobufCMessageDescriptor *const messages[] = {
	&jaga__v1__hello__descriptor,	    &jaga__v1__hello_ack__descriptor, &jaga__v1__telemetry_batch__descriptor,
	&jaga__v1__ack__descriptor,	    &jaga__v1__wake__descriptor,      &jaga__v1__signed_job__descriptor,
	&jaga__v1__job__descriptor,	    &jaga__v1__job_state__descriptor, &jaga__v1__event__descriptor,
	&jaga__v1__sample__descriptor,	    &jaga__v1__enroll_req__descriptor, &jaga__v1__enroll_rsp__descriptor,
	&jaga__v1__confirm_ack__descriptor, &jaga__v1__doctor_report__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t memory[256 * 1024], again_memory[512 * 1024];
	static char packed[512 * 1024];
	struct wire_arena arena, again;
	const ProtobufCMessageDescriptor *descriptor;
	ProtobufCMessage *message, *second;
	struct buf buf;

	if (size < 2)
		return 0;
	descriptor = messages[data[0] % (sizeof(messages) / sizeof(messages[0]))];
	wire_arena_init(&arena, memory, ((size_t)data[1] + 1) * (sizeof(memory) / 256));
	if (wire_unpack(&arena, descriptor, data + 2, size - 2, &message))
		return 0;
	if (arena.used > arena.size || arena.peak > arena.size)
		abort();
	buf_init(&buf, packed, sizeof(packed));
	if (wire_pack(message, &buf))
		abort();
	wire_arena_init(&again, again_memory, sizeof(again_memory));
	/* protobuf-c keeps an unknown field 0 and then refuses what it has written itself. */
	if (wire_unpack(&again, descriptor, (const uint8_t *)packed, buf.length, &second) == 0 &&
	    protobuf_c_message_get_packed_size(second) != buf.length)
		abort();
	return 0;
}
