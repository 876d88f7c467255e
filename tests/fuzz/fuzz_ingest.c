/*
 * What ingest does with the messages of one device, in any order: unpack, check, apply to the fleet, show what the fleet knows
 * then; and later make rows of what was stored.
 *
 * Input: records of kind, length (2 bytes, the higher first), then that many bytes (kinds below).
 */
#include <stdlib.h>
#include <string.h>

#include "collector/ctl_internal.h"
#include "collector/ingest_message.h"
#include "collector/ingest_rows.h"

#define NOW_MS	1700000000000
#define STEP_MS 1000 /* from one message to the next */
#define HEAD	3

enum kind { HELLO = 'H', BATCH = 'B', DOCTOR = 'D', STORED = 'S', CLOCK_SET = 'C' };

static _Alignas(16) uint8_t memory[LIMIT_INGEST_ARENA];

/* It holds while nothing else is unpacked; NULL: not such a message. */
static const ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t length)
{
	static struct wire_arena arena;
	ProtobufCMessage *message;

	wire_arena_init(&arena, memory, sizeof(memory));
	return wire_unpack(&arena, descriptor, bytes, length, &message) == 0 ? message : NULL;
}

static void try_hello(struct fleet_device *device, const uint8_t *bytes, size_t length, int64_t now_ms)
{
	const Jaga__V1__Hello *hello = (const Jaga__V1__Hello *)unpack(&jaga__v1__hello__descriptor, bytes, length);

	if (!hello || ingest_check_hello(hello))
		return;
	if (ingest_apply_hello(device, hello, now_ms) < 0)
		abort();
}

/* A store may hold what an older collector let in: rows must come of any bytes. */
static void try_rows(enum store_batch_kind kind, const uint8_t *bytes, size_t length)
{
	struct store_batch batch = { .id = 1, .received_ms = NOW_MS, .kind = (uint16_t)kind, .body = bytes, .length = length };

	json_decref(ingest_make_rows(&batch, "fuzz"));
	batch.skip_seq = 1; /* an earlier batch brought the first */
	json_decref(ingest_make_rows(&batch, "fuzz"));
}

static void try_batch(struct fleet_device *device, const uint8_t *bytes, size_t length, int64_t now_ms)
{
	const Jaga__V1__TelemetryBatch *batch = NULL;

	if (length <= LIMIT_BATCH_BYTES)
		batch = (const Jaga__V1__TelemetryBatch *)unpack(&jaga__v1__telemetry_batch__descriptor, bytes, length);
	if (batch && !ingest_check_batch(batch)) {
		ingest_apply_batch(device, batch, now_ms);
		if (device->telemetry_seq < batch->seq_to)
			abort();
	}
	try_rows(STORE_BATCH_TELEMETRY, bytes, length);
}

static void try_doctor(const uint8_t *bytes, size_t length)
{
	const Jaga__V1__DoctorReport *report = NULL;
	json_t *rows, *error;

	if (length <= LIMIT_DOCTOR_BYTES)
		report = (const Jaga__V1__DoctorReport *)unpack(&jaga__v1__doctor_report__descriptor, bytes, length);
	if (!report || ingest_check_doctor(report))
		return;
	rows = ingest_make_findings(bytes, length, &error);
	if (json_array_size(rows) != report->n_traps)
		abort();
	json_decref(rows);
	json_decref(error);
}

static void play(struct fleet *fleet, enum kind kind, const uint8_t *bytes, size_t length, int64_t now_ms)
{
	struct fleet_device *device = fleet_get(fleet, 1);

	switch (kind) {
	case HELLO:
		try_hello(device, bytes, length, now_ms);
		break;
	case BATCH:
		try_batch(device, bytes, length, now_ms);
		break;
	case DOCTOR:
		try_doctor(bytes, length);
		break;
	case STORED:
		if (length > 0)
			try_rows((enum store_batch_kind)(bytes[0] % 8), bytes + 1, length - 1);
		break;
	case CLOCK_SET:
		fleet_shift_times(fleet, (int64_t)length * 1000);
	}
	if (device->watched)
		json_decref(ctl_make_watched(device));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct store_device stored = { .name = "fuzz", .number = 1, .has_key = 1 };
	struct fleet_device *device;
	struct fleet *fleet;
	int64_t now_ms = NOW_MS;

	if (fleet_create(&fleet) < 0 || fleet_put(fleet, &stored, &device) < 0)
		abort();
	while (size >= HEAD) {
		size_t length = (size_t)bytes[1] << 8 | bytes[2];

		length = length < size - HEAD ? length : size - HEAD;
		play(fleet, (enum kind)bytes[0], bytes + HEAD, length, now_ms += STEP_MS);
		bytes += HEAD + length;
		size -= HEAD + length;
	}
	fleet_destroy(fleet);
	return 0;
}
