/*
 * spool: see spool.h. One block of memory, allocated at start, that holds whole records in order.
 *
 *   0 ......... head ................. tail ......... size
 *   [ forgotten  | record | record | ... |    free      ]       record: head (12 bytes), packed message
 *
 * Acknowledging moves head. A record that does not fit behind tail first makes the rest move to the
 * front; then the oldest samples go, wherever they lie, by one pass that closes the gaps; then the
 * oldest events. At one record a minute a move of 128 KiB costs nothing, and unlike a true ring this
 * can drop from the middle, which "samples first, events last" asks for. report.c adds, link.c takes
 * and acknowledges.
 */
#include "agent/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/wire.h"

struct record {
	uint64_t seq;
	uint16_t length;
	uint16_t kind;
};
#define RECORD_HEAD 12 /* seq, length, kind, without padding */

struct spool {
	uint64_t next_seq;
	uint64_t acknowledged_seq;
	uint64_t dropped_events, dropped_samples;
	size_t size, head, tail;
	unsigned records;
	uint8_t memory[];
};

static void record_read(const struct spool *spool, size_t at, struct record *ret_record)
{
	memcpy(&ret_record->seq, spool->memory + at, 8);
	memcpy(&ret_record->length, spool->memory + at + 8, 2);
	memcpy(&ret_record->kind, spool->memory + at + 10, 2);
}

static size_t record_end(size_t at, const struct record *record)
{
	return at + RECORD_HEAD + record->length;
}

int spool_create(size_t bytes, struct spool **ret_spool)
{
	struct spool *spool = malloc(sizeof(*spool) + bytes);

	if (!spool)
		return -ENOMEM;
	*spool = (struct spool){ .size = bytes, .next_seq = 1 };
	*ret_spool = spool;
	return 0;
}

void spool_destroy(struct spool *spool)
{
	free(spool);
}

uint64_t spool_next_seq(const struct spool *spool)
{
	return spool->next_seq;
}

static void count_drop(struct spool *spool, uint16_t kind)
{
	if (kind == SPOOL_EVENT)
		spool->dropped_events++;
	else
		spool->dropped_samples++;
	spool->records--;
}

static size_t bytes_free(const struct spool *spool)
{
	return spool->size - (spool->tail - spool->head);
}

/*
 * Moves what is kept to the front. With drop_kind set, leaves out the oldest records of that kind
 * until `need` bytes are free.
 */
static void compact(struct spool *spool, uint16_t drop_kind, size_t need)
{
	size_t available = bytes_free(spool), to = 0;
	struct record record;

	for (size_t at = spool->head, end; at < spool->tail; at = end) {
		record_read(spool, at, &record);
		end = record_end(at, &record);
		if (record.kind == drop_kind && available < need) {
			available += end - at;
			count_drop(spool, record.kind);
			continue;
		}
		memmove(spool->memory + to, spool->memory + at, end - at);
		to += end - at;
	}
	spool->head = 0;
	spool->tail = to;
}

int spool_add(struct spool *spool, enum spool_kind kind, const void *bytes, size_t length)
{
	struct record record = { .seq = spool->next_seq, .length = (uint16_t)length, .kind = (uint16_t)kind };
	size_t need = RECORD_HEAD + length;

	if (length > LIMIT_RECORD_BYTES || need > spool->size)
		return -EMSGSIZE;
	if (need > spool->size - spool->tail)
		compact(spool, SPOOL_SAMPLE, need);
	if (need > spool->size - spool->tail && kind == SPOOL_SAMPLE) {
		spool->dropped_samples++;
		return -ENOSPC;
	}
	if (need > spool->size - spool->tail)
		compact(spool, SPOOL_EVENT, need);
	memcpy(spool->memory + spool->tail, &record.seq, 8);
	memcpy(spool->memory + spool->tail + 8, &record.length, 2);
	memcpy(spool->memory + spool->tail + 10, &record.kind, 2);
	memcpy(spool->memory + spool->tail + RECORD_HEAD, bytes, length);
	spool->tail += need;
	spool->records++;
	spool->next_seq++;
	return 0;
}

void spool_acknowledge(struct spool *spool, uint64_t seq)
{
	struct record record;

	if (seq >= spool->next_seq) /* a collector cannot have what was never sent */
		seq = spool->next_seq - 1;
	if (seq > spool->acknowledged_seq)
		spool->acknowledged_seq = seq;
	while (spool->head < spool->tail) {
		record_read(spool, spool->head, &record);
		if (record.seq > seq)
			break;
		spool->head = record_end(spool->head, &record);
		spool->records--;
	}
	if (spool->head == spool->tail)
		spool->head = spool->tail = 0;
}

/* Bytes that wire_put_bytes will take for a field of this length (all field numbers are below 16). */
static size_t field_bytes(size_t length)
{
	return 1 + (length < 128 ? 1u : 2u) + length;
}

int spool_take_batch(const struct spool *spool, uint64_t after_seq, struct buf *buf, struct spool_run *ret_run)
{
	struct spool_run run = { .n_records = 0 };
	struct record record;

	for (size_t at = spool->head; at < spool->tail; at = record_end(at, &record)) {
		record_read(spool, at, &record);
		if (record.seq <= after_seq)
			continue;
		if (run.n_records == LIMIT_BATCH_RECORDS || field_bytes(record.length) >= buf->size - buf->length)
			break;
		wire_put_bytes(buf, record.kind, spool->memory + at + RECORD_HEAD, record.length);
		if (run.n_records++ == 0)
			run.seq_from = record.seq;
		run.seq_to = record.seq;
	}
	if (run.n_records == 0)
		return -ENOENT;
	*ret_run = run;
	return 0;
}

void spool_read_stats(const struct spool *spool, struct spool_stats *ret_stats)
{
	*ret_stats = (struct spool_stats){
		.dropped_events = spool->dropped_events,
		.dropped_samples = spool->dropped_samples,
		.bytes_used = spool->tail - spool->head,
		.bytes_size = spool->size,
		.records = spool->records,
		.acknowledged_seq = spool->acknowledged_seq,
	};
}
