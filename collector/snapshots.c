/*
 * snapshots: see snapshots.h.
 *
 *   PUT, empty ─▶ writer: confirm ─▶ 2.03 | 4.04
 *   PUT, body  ─▶ worker: inflate, hash, pack ─▶ writer: add ─▶ 2.04
 *                    └─▶ 4.00 (not zlib, too long inflated, or another hash)
 */
#include "collector/snapshots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/sha256.h>
#include <zlib.h>
#include <zstd.h>

#include "collector/worker.h"
#include "collector/writer.h"
#include "common/clock.h"
#include "common/log.h"

#define ZSTD_LEVEL 9 /* 400 KB take 12 ms on the worker and come out 5 % smaller than at level 3 */

struct snapshots {
	struct ports ports;
	struct snapshots_counters counters;
	struct log_limit refusals;
};

struct snapshot_op {
	union {
		struct worker_op worker;
		struct writer_op writer;
	};
	struct snapshots *snapshots;
	struct coap_ticket ticket;
	uint32_t device_number;
	uint8_t hash[32];
	int64_t now_ms;
	struct store_snapshot snapshot; /* result */
	bool is_added;
	uint32_t bytes; /* of the text */
	size_t length;
	uint8_t *body; /* the zlib stream, then the zstd frame */
};

int snapshots_create(const struct ports *ports, struct snapshots **ret_snapshots)
{
	struct snapshots *snapshots = calloc(1, sizeof(*snapshots));

	if (!snapshots)
		return -ENOMEM;
	snapshots->ports = *ports;
	snapshots->refusals.burst = 5;
	*ret_snapshots = snapshots;
	return 0;
}

void snapshots_destroy(struct snapshots *snapshots)
{
	free(snapshots);
}

void snapshots_read_counters(const struct snapshots *snapshots, struct snapshots_counters *ret_counters)
{
	*ret_counters = snapshots->counters;
}

static void free_op(struct snapshot_op *op)
{
	free(op->body);
	free(op);
}

/* --- the worker's part ----------------------------------------------------------------------- */

static int inflate_text(const struct snapshot_op *op, uint8_t *text, uint32_t *ret_bytes)
{
	z_stream stream = { .next_in = op->body, .avail_in = (uInt)op->length, .next_out = text,
			    .avail_out = LIMIT_BODY_BYTES };
	int z;

	if (inflateInit(&stream) != Z_OK)
		return -ENOMEM;
	/* One call with all input and the greatest output: anything but the end of the stream is a refusal. */
	z = inflate(&stream, Z_FINISH);
	*ret_bytes = (uint32_t)stream.total_out;
	inflateEnd(&stream);
	return z == Z_STREAM_END && stream.avail_in == 0 ? 0 : -EBADMSG;
}

static int pack_text(struct snapshot_op *op, const uint8_t *text)
{
	size_t size = ZSTD_compressBound(op->bytes);
	uint8_t *packed = malloc(size), *fitting;
	size_t length;

	if (!packed)
		return -ENOMEM;
	length = ZSTD_compress(packed, size, text, op->bytes, ZSTD_LEVEL);
	if (ZSTD_isError(length)) {
		free(packed);
		return -ENOMEM;
	}
	fitting = realloc(packed, length);
	free(op->body);
	op->body = fitting ? fitting : packed;
	op->length = length;
	return 0;
}

static int unpack_body(struct worker_op *worker)
{
	struct snapshot_op *op = (struct snapshot_op *)worker;
	uint8_t *text = malloc(LIMIT_BODY_BYTES);
	uint8_t hash[32];
	int r;

	if (!text)
		return -ENOMEM;
	r = inflate_text(op, text, &op->bytes);
	if (r < 0)
		goto out;
	if (mbedtls_sha256(text, op->bytes, hash, 0) != 0 || memcmp(hash, op->hash, sizeof(hash)) != 0) {
		r = -EBADMSG;
		goto out;
	}
	r = pack_text(op, text);
out:
	free(text);
	return r;
}

/* --- the writer's part ----------------------------------------------------------------------- */

static int apply_confirm(struct writer_op *writer, struct store_txn *txn)
{
	struct snapshot_op *op = (struct snapshot_op *)writer;

	return store_confirm_snapshot(txn, op->device_number, op->hash, op->now_ms, &op->snapshot);
}

static int apply_add(struct writer_op *writer, struct store_txn *txn)
{
	struct snapshot_op *op = (struct snapshot_op *)writer;

	return store_add_snapshot(txn, op->device_number, op->hash, op->bytes, op->body, op->length, op->now_ms,
				  &op->snapshot, &op->is_added);
}

static void finish_write(struct lane_op *lane, int result)
{
	struct snapshot_op *op = (struct snapshot_op *)lane;
	struct snapshots *snapshots = op->snapshots;
	const struct ports *ports = &snapshots->ports;
	struct coap_answer answer = { .code = op->body ? COAP_CHANGED : COAP_VALID };

	if (result == -ENOENT) {
		ports_refuse(ports, &op->ticket, COAP_NOT_FOUND, NULL);
	} else if (result < 0) {
		ports_refuse_write(ports, &op->ticket, result);
	} else {
		struct fleet_device *device = fleet_get(ports->fleet, op->device_number);

		device->snapshot = op->snapshot;
		device->snapshot_reports++;
		fleet_set_trouble(device, FLEET_SNAPSHOT, NULL, 0);
		if (op->is_added)
			snapshots->counters.stored++;
		else
			snapshots->counters.confirmed++;
		ports->reply(ports->arg, &op->ticket, &answer);
		ports->changed(ports->arg, PORT_CHANGE_SNAPSHOT, op->device_number);
	}
	free_op(op);
}

static void submit_write(struct snapshot_op *op, int (*apply)(struct writer_op *, struct store_txn *))
{
	int r;

	op->writer = (struct writer_op){
		.lane = { .bytes = sizeof(*op) + op->length, .done = finish_write },
		.apply = apply,
	};
	r = writer_submit(op->snapshots->ports.writer, &op->writer);
	if (r == 0)
		return;
	ports_refuse_write(&op->snapshots->ports, &op->ticket, r);
	free_op(op);
}

/* --- the loop's part ------------------------------------------------------------------------- */

static void finish_unpack(struct lane_op *lane, int result)
{
	struct snapshot_op *op = (struct snapshot_op *)lane;
	struct snapshots *snapshots = op->snapshots;
	unsigned suppressed;

	if (result == 0) {
		submit_write(op, apply_add);
		return;
	}
	if (result == -EBADMSG) {
		snapshots->counters.refused++;
		ports_refuse(&snapshots->ports, &op->ticket, COAP_BAD_REQUEST,
			     "not a zlib stream of a text with this hash and at most 1 MiB");
		if (log_limit_allows(&snapshots->refusals, clock_mono_ms(), &suppressed))
			log_warning("snapshots", "refused a body that is not what its hash says device=%s more=%u",
				    fleet_get(snapshots->ports.fleet, op->device_number)->name, suppressed);
	} else {
		ports_refuse_write(&snapshots->ports, &op->ticket, result);
	}
	free_op(op);
}

void snapshots_answer(struct snapshots *snapshots, struct fleet_device *device, const struct coap_incoming *incoming)
{
	struct snapshot_op *op = calloc(1, sizeof(*op));
	int r;

	if (op && incoming->length > 0)
		op->body = malloc(incoming->length);
	if (!op || (incoming->length > 0 && !op->body)) {
		ports_refuse_write(&snapshots->ports, &incoming->ticket, -ENOMEM);
		free(op);
		return;
	}
	op->snapshots = snapshots;
	op->ticket = incoming->ticket;
	op->device_number = device->number;
	op->now_ms = clock_wall_ms();
	memcpy(op->hash, incoming->hash, sizeof(op->hash));
	if (incoming->length == 0) {
		submit_write(op, apply_confirm);
		return;
	}
	memcpy(op->body, incoming->body, incoming->length);
	op->length = incoming->length;
	op->worker = (struct worker_op){
		.lane = { .bytes = sizeof(*op) + op->length, .done = finish_unpack },
		.work = unpack_body,
	};
	r = worker_submit(snapshots->ports.worker, &op->worker);
	if (r < 0) {
		ports_refuse_write(&snapshots->ports, &op->ticket, r);
		free_op(op);
	}
}

int snapshots_read_text(struct store *store, uint32_t device_number, uint32_t n, struct store_snapshot *ret_snapshot,
			char **ret_text)
{
	struct store_snapshot snapshot;
	struct store_txn *txn;
	const void *packed;
	char *text = NULL;
	uint32_t bytes;
	size_t length;
	int r;

	r = store_read_begin(store, &txn);
	if (r < 0)
		return r;
	r = store_get_snapshot(txn, device_number, n, &snapshot);
	if (r < 0)
		goto out;
	r = store_get_text(txn, snapshot.hash, &packed, &length, &bytes);
	if (r < 0)
		goto out;
	r = bytes > LIMIT_BODY_BYTES ? -EIO : 0;
	text = r == 0 ? malloc(bytes + 1) : NULL;
	if (r == 0 && !text)
		r = -ENOMEM;
	if (r == 0 && ZSTD_decompress(text, bytes, packed, length) != bytes)
		r = -EIO;
	if (r < 0)
		goto out;
	text[bytes] = '\0';
	*ret_snapshot = snapshot;
	*ret_text = text;
	text = NULL;
out:
	free(text);
	store_read_end(txn);
	return r;
}
