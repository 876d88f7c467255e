/* wire: round trips, hostile bytes and the arena's cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "common/limits.h"
#include "common/wire.h"

static _Alignas(8) uint8_t arena_memory[8192];
static struct wire_arena arena;

static int set_up(void **state)
{
	(void)state;
	wire_arena_init(&arena, arena_memory, sizeof(arena_memory));
	return 0;
}

static size_t make_batch(char *memory, size_t size)
{
	Jaga__V1__UplinkChange change = JAGA__V1__UPLINK_CHANGE__INIT;
	Jaga__V1__Event event = JAGA__V1__EVENT__INIT;
	Jaga__V1__Event *events[] = { &event };
	Jaga__V1__TelemetryBatch batch = JAGA__V1__TELEMETRY_BATCH__INIT;
	uint8_t boot_id[LIMIT_BOOT_ID_BYTES] = { 7 };
	struct buf buf;

	change.uplink = (char *)"isp1";
	change.to = JAGA__V1__UPLINK_STATE__UPLINK_STATE_DOWN;
	event.seq = 9;
	event.kind_case = JAGA__V1__EVENT__KIND_UPLINK;
	event.uplink = &change;
	batch.boot_id = (ProtobufCBinaryData){ sizeof(boot_id), boot_id };
	batch.seq_from = batch.seq_to = 9;
	batch.n_events = 1;
	batch.events = events;
	buf_init(&buf, memory, size);
	assert_int_equal(wire_pack(&batch.base, &buf), 0);
	return buf.length;
}

static void test_round_trip(void **state)
{
	char memory[256];
	size_t length = make_batch(memory, sizeof(memory));
	ProtobufCMessage *message;
	const Jaga__V1__TelemetryBatch *batch;

	(void)state;
	assert_int_equal(wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, (uint8_t *)memory, length,
				     &message),
			 0);
	batch = (const Jaga__V1__TelemetryBatch *)message;
	assert_int_equal(batch->n_events, 1);
	assert_string_equal(batch->events[0]->uplink->uplink, "isp1");
	assert_int_equal(batch->events[0]->seq, 9);
}

static void test_arena_in_memory_that_begins_anywhere(void **state)
{
	char memory[256];
	size_t length = make_batch(memory, sizeof(memory));
	ProtobufCMessage *message;

	(void)state;
	for (size_t at = 0; at < 8; at++) {
		wire_arena_init(&arena, arena_memory + at, 1024);
		assert_int_equal(wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, (uint8_t *)memory, length,
					     &message),
				 0);
		assert_int_equal((uintptr_t)message % 8, 0);
		assert_int_equal((uintptr_t)((Jaga__V1__TelemetryBatch *)message)->events[0] % 8, 0);
		assert_true(arena.memory + arena.size <= arena_memory + at + 1024);
		wire_arena_init(&arena, arena_memory + at, at);
		assert_int_equal(wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, (uint8_t *)memory, length,
					     &message),
				 -EBADMSG);
	}
}

static void test_every_truncation_is_bounded(void **state)
{
	char memory[256];
	size_t length = make_batch(memory, sizeof(memory));

	(void)state;
	for (size_t cut = 0; cut < length; cut++) {
		ProtobufCMessage *message = NULL;
		uint8_t *exact = malloc(cut + 1); /* on the heap: a read beyond the end is seen by ASan */
		int r;

		assert_non_null(exact);
		memcpy(exact, memory, cut);
		wire_arena_reset(&arena);
		r = wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, exact, cut, &message);
		assert_true(r == 0 || r == -EBADMSG);
		assert_true(r == 0 || message == NULL);
		free(exact);
	}
}

static void test_arena_caps_what_a_message_costs(void **state)
{
	static uint8_t bytes[6000];
	ProtobufCMessage *message = NULL;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(bytes); i += 2) { /* thousands of empty events */
		bytes[i] = 4 << 3 | 2;
		bytes[i + 1] = 0;
	}
	assert_int_equal(wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, bytes, sizeof(bytes), &message),
			 -EBADMSG);
	assert_null(message);
	assert_true(arena.peak <= sizeof(arena_memory));
	wire_arena_reset(&arena);
	assert_int_equal(wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, bytes, 20, &message), 0);
	assert_non_null(message);
}

static void test_put_bytes_makes_a_field(void **state)
{
	Jaga__V1__Ack ack = JAGA__V1__ACK__INIT;
	const Jaga__V1__SignedJob *job;
	ProtobufCMessage *message;
	char inner[32], outer[64];
	struct buf in, out;

	(void)state;
	ack.seq = 300;
	buf_init(&in, inner, sizeof(inner));
	assert_int_equal(wire_pack(&ack.base, &in), 0);
	buf_init(&out, outer, sizeof(outer));
	wire_put_bytes(&out, 1, in.data, in.length);
	assert_int_equal(wire_unpack(&arena, &jaga__v1__signed_job__descriptor, (uint8_t *)out.data, out.length,
				     &message),
			 0);
	job = (const Jaga__V1__SignedJob *)message;
	assert_int_equal(job->body.len, in.length);
	assert_memory_equal(job->body.data, in.data, in.length);
	buf_clear(&out);
	wire_put_u64(&out, 1, UINT64_MAX);
	assert_int_equal(wire_unpack(&arena, &jaga__v1__ack__descriptor, (uint8_t *)out.data, out.length, &message), 0);
	assert_true(((const Jaga__V1__Ack *)message)->seq == UINT64_MAX);
}

static void test_pack_that_does_not_fit_changes_nothing(void **state)
{
	Jaga__V1__Notice notice = JAGA__V1__NOTICE__INIT;
	char memory[8];
	struct buf buf;

	(void)state;
	notice.text = (char *)"longer than the buffer";
	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(wire_pack(&notice.base, &buf), -EMSGSIZE);
	assert_int_equal(buf.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, set_up),
		cmocka_unit_test_setup(test_arena_in_memory_that_begins_anywhere, set_up),
		cmocka_unit_test_setup(test_every_truncation_is_bounded, set_up),
		cmocka_unit_test_setup(test_arena_caps_what_a_message_costs, set_up),
		cmocka_unit_test_setup(test_put_bytes_makes_a_field, set_up),
		cmocka_unit_test_setup(test_pack_that_does_not_fit_changes_nothing, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
