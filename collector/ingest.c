/*
 * ingest: see ingest.h.
 *
 *   request ─▶ unpack (arena) ─▶ check ─▶ apply to fleet ─▶ writer ─▶ durable ─▶ answer
 *                 └───────────────┴─▶ 4.00             └─▶ full or faulty ─▶ 5.03
 *
 * The fleet shows what devices said even when the disk refuses it; only the acknowledgement waits for
 * the disk. The bytes of a batch are stored as they came, fields that we do not know included. One
 * malloc a batch, none a record.
 */
#include "collector/ingest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/doctor.h"
#include "collector/ingest_message.h"
#include "collector/jobs.h"
#include "collector/snapshots.h"
#include "collector/writer.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/wire.h"

struct ingest {
	struct ports ports;
	struct jobs *jobs;
	struct snapshots *snapshots;
	struct ingest_counters counters;
	struct log_limit refusals;
	struct wire_arena arena;
	_Alignas(16) uint8_t memory[LIMIT_INGEST_ARENA];
};

/* A telemetry batch or hello on its way to the disk: its bytes as they came, and what its answer needs. */
struct request_op {
	struct writer_op writer;
	struct ingest *ingest;
	struct coap_ticket ticket;
	void (*answer)(struct request_op *op); /* it is durable */
	uint32_t device_number;
	int64_t received_ms;
	union {
		struct {
			struct store_telemetry telemetry;
			uint64_t id, seq; /* results */
		};
		uint64_t job_hiwater; /* of a hello */
	};
	size_t length;
	uint8_t body[];
};

struct note_op {
	struct writer_op writer;
	struct ingest *ingest;
	uint32_t device_number;
	enum store_batch_kind kind;
	int64_t at_ms;
	char text[LIMIT_TEXT];
};

int ingest_create(const struct ports *ports, struct jobs *jobs, struct snapshots *snapshots,
		  struct ingest **ret_ingest)
{
	struct ingest *ingest = calloc(1, sizeof(*ingest));

	if (!ingest)
		return -ENOMEM;
	ingest->ports = *ports;
	ingest->jobs = jobs;
	ingest->snapshots = snapshots;
	ingest->refusals.burst = 5;
	wire_arena_init(&ingest->arena, ingest->memory, sizeof(ingest->memory));
	*ret_ingest = ingest;
	return 0;
}

void ingest_destroy(struct ingest *ingest)
{
	free(ingest);
}

void ingest_read_counters(const struct ingest *ingest, struct ingest_counters *ret_counters)
{
	*ret_counters = ingest->counters;
}

static void refuse(struct ingest *ingest, const struct coap_incoming *incoming, const char *wrong)
{
	unsigned suppressed;

	ingest->counters.refused++;
	ports_refuse(&ingest->ports, &incoming->ticket, COAP_BAD_REQUEST, wrong);
	if (log_limit_allows(&ingest->refusals, clock_mono_ms(), &suppressed))
		log_warning("ingest", "refused a request device=%s peer=%s wrong=\"%s\" more=%u", incoming->device,
			    incoming->peer, wrong, suppressed);
}

static void refuse_write(struct ingest *ingest, const struct coap_ticket *ticket, int error)
{
	ingest->counters.unavailable++;
	ports_refuse_write(&ingest->ports, ticket, error);
}

/* The message lives until the next call. NULL: the bytes are none, or need more than the arena has. */
static const void *unpack(struct ingest *ingest, const ProtobufCMessageDescriptor *descriptor, const void *bytes,
			  size_t length)
{
	ProtobufCMessage *message;

	wire_arena_reset(&ingest->arena);
	return wire_unpack(&ingest->arena, descriptor, bytes, length, &message) == 0 ? message : NULL;
}

/* --- requests that are stored ---------------------------------------------------------------- */

static const void *unpack_body(struct ingest *ingest, const ProtobufCMessageDescriptor *descriptor,
			       const struct coap_incoming *incoming, size_t most)
{
	return incoming->length <= most ? unpack(ingest, descriptor, incoming->body, incoming->length) : NULL;
}

static void finish_request(struct lane_op *lane, int result)
{
	struct request_op *op = (struct request_op *)lane;

	if (result < 0)
		refuse_write(op->ingest, &op->ticket, result);
	else
		op->answer(op);
	free(op);
}

/* NULL: no memory, and the request was refused. */
static struct request_op *make_request(struct ingest *ingest, const struct fleet_device *device,
				       const struct coap_incoming *incoming)
{
	struct request_op *op = malloc(sizeof(*op) + incoming->length);

	if (!op) {
		refuse_write(ingest, &incoming->ticket, -ENOMEM);
		return NULL;
	}
	*op = (struct request_op){
		.writer.lane = { .bytes = sizeof(*op) + incoming->length, .done = finish_request },
		.ingest = ingest,
		.ticket = incoming->ticket,
		.device_number = device->number,
		.received_ms = clock_wall_ms(),
		.length = incoming->length,
	};
	memcpy(op->body, incoming->body, incoming->length);
	return op;
}

static void submit(struct request_op *op)
{
	int r = writer_submit(op->ingest->ports.writer, &op->writer);

	if (r < 0)
		finish_request(&op->writer.lane, r);
}

static void reply(const struct request_op *op, const struct buf *body)
{
	const struct ports *ports = &op->ingest->ports;
	struct coap_answer answer = { .code = COAP_CHANGED, .body = body->data, .length = body->length };

	ports->reply(ports->arg, &op->ticket, &answer);
}

/* --- telemetry ------------------------------------------------------------------------------- */

static int apply_telemetry(struct writer_op *writer, struct store_txn *txn)
{
	struct request_op *op = (struct request_op *)writer;

	return store_add_telemetry(txn, &op->telemetry, &op->id, &op->seq);
}

static void answer_telemetry(struct request_op *op)
{
	struct ingest *ingest = op->ingest;
	char bytes[16];
	struct buf buf;

	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_u64(&buf, 1, op->seq); /* Ack.seq */
	reply(op, &buf);
	if (op->id == 0) {
		ingest->counters.duplicates++;
		return;
	}
	ingest->counters.batches++;
	ingest->counters.records += op->telemetry.n_records;
	ingest->ports.changed(ingest->ports.arg, PORT_CHANGE_EVENTS, 0);
}

static void on_telemetry(struct ingest *ingest, struct fleet_device *device, const struct coap_incoming *incoming)
{
	const Jaga__V1__TelemetryBatch *batch =
		unpack_body(ingest, &jaga__v1__telemetry_batch__descriptor, incoming, LIMIT_BATCH_BYTES);
	const char *wrong = batch ? ingest_check_batch(batch) : "not a TelemetryBatch of at most 1024 bytes";
	struct request_op *op;
	uint64_t failures;

	if (wrong) {
		refuse(ingest, incoming, wrong);
		return;
	}
	op = make_request(ingest, device, incoming);
	if (!op)
		return;
	op->writer.apply = apply_telemetry;
	op->answer = answer_telemetry;
	op->telemetry = (struct store_telemetry){
		.device_number = device->number,
		.n_records = (uint8_t)(batch->n_events + batch->n_samples),
		.n_events = (uint8_t)batch->n_events,
		.seq_to = batch->seq_to,
		.received_ms = op->received_ms,
		.dropped_events = batch->dropped_events,
		.dropped_samples = batch->dropped_samples,
		.body = op->body,
		.length = op->length,
	};
	memcpy(op->telemetry.boot_id, batch->boot_id.data, sizeof(op->telemetry.boot_id));
	failures = device->snapshot_failures;
	ingest_apply_batch(device, batch, op->received_ms);
	if (device->snapshot_failures != failures)
		ingest->ports.changed(ingest->ports.arg, PORT_CHANGE_SNAPSHOT, device->number);
	submit(op);
}

/* --- hello ----------------------------------------------------------------------------------- */

static int apply_hello(struct writer_op *writer, struct store_txn *txn)
{
	struct request_op *op = (struct request_op *)writer;

	return store_put_hello(txn, op->device_number, op->received_ms, op->body, op->length);
}

static void answer_hello(struct request_op *op)
{
	struct ingest *ingest = op->ingest;
	char bytes[64];
	struct buf buf;

	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_u64(&buf, 1, (uint64_t)clock_wall_ms()); /* HelloAck: time_ms, keepalive_s, epoch */
	wire_put_u64(&buf, 2, ingest->ports.keepalive_s);
	wire_put_u64(&buf, 3, ingest->ports.epoch);
	ingest->counters.hellos++;
	reply(op, &buf);
	jobs_greet(ingest->jobs, fleet_get(ingest->ports.fleet, op->device_number), op->job_hiwater);
}

static void on_hello(struct ingest *ingest, struct fleet_device *device, const struct coap_incoming *incoming)
{
	const Jaga__V1__Hello *hello = unpack_body(ingest, &jaga__v1__hello__descriptor, incoming, LIMIT_HELLO_BYTES);
	const char *wrong = hello ? ingest_check_hello(hello) : "not a Hello of at most 4096 bytes";
	struct request_op *op;

	if (wrong) {
		refuse(ingest, incoming, wrong);
		return;
	}
	op = make_request(ingest, device, incoming);
	if (!op)
		return;
	op->writer.apply = apply_hello;
	op->answer = answer_hello;
	op->job_hiwater = hello->job_hiwater;
	if (ingest_apply_hello(device, hello, op->received_ms) < 0)
		finish_request(&op->writer.lane, -ENOMEM);
	else
		submit(op);
}

/* --- events of the collector's own ---------------------------------------------------------- */

static int apply_note(struct writer_op *writer, struct store_txn *txn)
{
	struct note_op *op = (struct note_op *)writer;
	uint64_t id;

	return store_add_event(txn, op->device_number, op->kind, op->at_ms, op->text, &id);
}

static void finish_note(struct lane_op *lane, int result)
{
	struct note_op *op = (struct note_op *)lane;
	struct ingest *ingest = op->ingest;

	if (result < 0)
		ingest->counters.unavailable++;
	else
		ingest->ports.changed(ingest->ports.arg, PORT_CHANGE_EVENTS, 0);
	free(op);
}

void ingest_note(struct ingest *ingest, const struct fleet_device *device, enum store_batch_kind kind, int64_t at_ms,
		 const char *text)
{
	struct note_op *op = malloc(sizeof(*op));

	if (!op) {
		ingest->counters.unavailable++;
		return;
	}
	*op = (struct note_op){
		.writer = { .lane = { .bytes = sizeof(*op), .done = finish_note }, .apply = apply_note },
		.ingest = ingest,
		.device_number = device->number,
		.kind = kind,
		.at_ms = at_ms,
	};
	memcpy(op->text, text, strnlen(text, sizeof(op->text) - 1));
	if (writer_submit(ingest->ports.writer, &op->writer) < 0) {
		ingest->counters.unavailable++;
		free(op);
	}
}

/* --- the doctor's report --------------------------------------------------------------------- */

static void on_doctor_report(struct ingest *ingest, struct fleet_device *device, const struct coap_incoming *incoming)
{
	const struct ports *ports = &ingest->ports;
	const struct coap_answer taken = { .code = COAP_CHANGED };
	const Jaga__V1__DoctorReport *report =
		unpack_body(ingest, &jaga__v1__doctor_report__descriptor, incoming, LIMIT_DOCTOR_BYTES);
	const char *wrong = report ? ingest_check_doctor(report) : "not a DoctorReport of at most 32 KiB";

	int r;

	if (wrong) {
		refuse(ingest, incoming, wrong);
		return;
	}
	r = doctor_take_report(ports, device, report->run, incoming->body, incoming->length);
	if (r == 0)
		ports->reply(ports->arg, &incoming->ticket, &taken);
	else if (r == -ENOENT)
		ports_refuse(ports, &incoming->ticket, COAP_NOT_FOUND, "nobody waits for it");
	else
		refuse_write(ingest, &incoming->ticket, r);
}

/* --- requests -------------------------------------------------------------------------------- */

void ingest_request(struct ingest *ingest, const struct coap_incoming *incoming)
{
	struct fleet_device *device = fleet_find(ingest->ports.fleet, incoming->device);

	if (!device || !device->has_key) {
		refuse(ingest, incoming, "this device was removed");
		return;
	}
	device->last_seen_ms = clock_wall_ms();
	switch (incoming->path) {
	case COAP_PATH_HELLO:
		on_hello(ingest, device, incoming);
		break;
	case COAP_PATH_TELEMETRY:
		on_telemetry(ingest, device, incoming);
		break;
	case COAP_PATH_SNAPSHOT:
		snapshots_answer(ingest->snapshots, device, incoming);
		break;
	case COAP_PATH_JOB:
		jobs_answer_get(ingest->jobs, device, incoming);
		break;
	case COAP_PATH_JOB_STATE:
		jobs_answer_state(ingest->jobs, device, incoming);
		break;
	case COAP_PATH_JOB_CONFIRM:
		jobs_answer_confirm(ingest->jobs, device, incoming);
		break;
	case COAP_PATH_DOCTOR:
		on_doctor_report(ingest, device, incoming);
		break;
	}
}

/* --- start ----------------------------------------------------------------------------------- */

struct restore {
	struct ingest *ingest;
	struct store_txn *txn;
};

/* The newest batches of a device, oldest of them first, tell its last sample and states. */
static int restore_telemetry(struct restore *restore, struct fleet_device *device)
{
	uint64_t ids[LIMIT_RESTORE_BATCHES];
	const Jaga__V1__TelemetryBatch *message;
	struct store_batch batch;
	const struct fleet_trouble *trouble;
	struct store_mark mark;
	unsigned n = 0;
	int r;

	r = store_get_mark(restore->txn, device->number, &mark);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	device->session_since_ms = device->last_seen_ms = mark.last_ms;
	for (uint64_t id = mark.last_id; id != 0 && n < LIMIT_RESTORE_BATCHES; id = batch.previous) {
		r = store_get_batch(restore->txn, id, &batch);
		if (r == -ENOENT)
			break;
		if (r < 0)
			return r;
		ids[n++] = id;
	}
	while (n-- > 0) {
		r = store_get_batch(restore->txn, ids[n], &batch);
		if (r < 0)
			return r;
		if (batch.kind != STORE_BATCH_TELEMETRY)
			continue;
		message = unpack(restore->ingest, &jaga__v1__telemetry_batch__descriptor, batch.body, batch.length);
		if (!message || ingest_check_batch(message))
			continue; /* an older collector let in what it did not know */
		ingest_apply_batch(device, message, batch.received_ms);
		trouble = fleet_find_trouble(device, FLEET_SNAPSHOT);
		if (trouble && device->snapshot.checked_ms >= trouble->since_ms)
			fleet_set_trouble(device, FLEET_SNAPSHOT, NULL, 0); /* which telemetry does not tell */
	}
	return 0;
}

static int restore_device(void *arg, const struct store_device *stored)
{
	struct restore *restore = arg;
	struct fleet_device *device;
	const Jaga__V1__Hello *hello;
	const void *bytes;
	int64_t received_ms;
	size_t length;
	int r;

	r = fleet_put(restore->ingest->ports.fleet, stored, &device);
	if (r < 0)
		return r;
	r = store_get_hello(restore->txn, device->number, &received_ms, &bytes, &length);
	hello = r == 0 ? unpack(restore->ingest, &jaga__v1__hello__descriptor, bytes, length) : NULL;
	if (hello && !ingest_check_hello(hello)) {
		r = ingest_apply_hello(device, hello, received_ms);
		device->session_since_ms = device->last_seen_ms = received_ms;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	r = store_get_snapshot(restore->txn, device->number, 0, &device->snapshot);
	if (r < 0 && r != -ENOENT)
		return r;
	return restore_telemetry(restore, device);
}

int ingest_restore(struct ingest *ingest, struct err *err)
{
	struct restore restore = { .ingest = ingest };
	int r = store_read_begin(ingest->ports.store, &restore.txn);

	if (r == 0) {
		r = store_visit_devices(restore.txn, restore_device, &restore);
		store_read_end(restore.txn);
	}
	return r < 0 ? err_sys(err, r, "cannot read the devices from the store") : 0;
}
