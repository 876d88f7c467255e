/*
 * What ingest does with a message: unpack, check, apply to the fleet, and later make rows of what was
 * stored. The first byte chooses DoctorReport, Hello or TelemetryBatch.
 */
#include <stdlib.h>
#include <string.h>

#include "collector/ingest_message.h"
#include "collector/ingest_rows.h"

static _Alignas(16) uint8_t memory[LIMIT_INGEST_ARENA];

static void try_hello(struct wire_arena *arena, struct fleet_device *device, const uint8_t *bytes, size_t length)
{
	ProtobufCMessage *message;

	if (wire_unpack(arena, &jaga__v1__hello__descriptor, bytes, length, &message) < 0 ||
	    ingest_check_hello((const Jaga__V1__Hello *)message))
		return;
	if (ingest_apply_hello(device, (const Jaga__V1__Hello *)message, 1000) < 0)
		abort();
}

static void try_batch(struct wire_arena *arena, struct fleet_device *device, const uint8_t *bytes, size_t length)
{
	struct store_batch batch = { .id = 1, .received_ms = 1700000000000, .kind = STORE_BATCH_TELEMETRY, .body = bytes,
				     .length = length };
	const Jaga__V1__TelemetryBatch *telemetry;
	ProtobufCMessage *message;
	json_t *rows;

	if (length <= LIMIT_BATCH_BYTES &&
	    wire_unpack(arena, &jaga__v1__telemetry_batch__descriptor, bytes, length, &message) == 0) {
		telemetry = (const Jaga__V1__TelemetryBatch *)message;
		if (!ingest_check_batch(telemetry)) {
			ingest_apply_batch(device, telemetry, 1700000000000);
			if (device->telemetry_seq < telemetry->seq_to)
				abort();
		}
	}
	/* A store may hold what an older collector let in: rows must come of any bytes. */
	rows = ingest_make_rows(&batch, "fuzz");
	json_decref(rows);
}

static void try_doctor(struct wire_arena *arena, const uint8_t *bytes, size_t length)
{
	ProtobufCMessage *message;
	json_t *rows, *error;
	bool is_let_in = length <= LIMIT_DOCTOR_BYTES &&
			 wire_unpack(arena, &jaga__v1__doctor_report__descriptor, bytes, length, &message) == 0 &&
			 !ingest_check_doctor((const Jaga__V1__DoctorReport *)message);

	if (!is_let_in)
		return;
	rows = ingest_make_findings(bytes, length, &error);
	if (json_array_size(rows) != ((const Jaga__V1__DoctorReport *)message)->n_traps)
		abort();
	json_decref(rows);
	json_decref(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct fleet_device device;
	struct wire_arena arena;

	if (length == 0)
		return 0;
	wire_arena_init(&arena, memory, sizeof(memory));
	if (bytes[0] == 'D')
		try_doctor(&arena, bytes + 1, length - 1);
	else if (bytes[0] % 2 == 0)
		try_hello(&arena, &device, bytes + 1, length - 1);
	else
		try_batch(&arena, &device, bytes + 1, length - 1);
	return 0;
}
