/*
 * spool: what the agent has to report, in a ring of memory preallocated at start.
 *
 * Records (packed Event or Sample messages that carry their own sequence number) wait here until
 * the collector has acknowledged them. When the ring is full the oldest samples go first and
 * events last; both kinds of loss are counted and reported. Pure: no I/O, no clock.
 */
#ifndef JAGA_AGENT_SPOOL_H
#define JAGA_AGENT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum spool_kind { SPOOL_EVENT = 4, SPOOL_SAMPLE = 5 }; /* field numbers in TelemetryBatch */

struct spool;

int spool_create(size_t bytes, struct spool **ret_spool); /* -ENOMEM */
void spool_destroy(struct spool *spool);
/* The sequence number that the next record must carry. */
uint64_t spool_next_seq(const struct spool *spool);
/*
 * Adds a record under spool_next_seq(), dropping older ones to make room. -EMSGSIZE: larger than
 * LIMIT_RECORD_BYTES. -ENOSPC: a sample for which no older sample could make room (counted as dropped).
 */
int spool_add(struct spool *spool, enum spool_kind kind, const void *record, size_t length);
/* Forgets everything up to seq. */
void spool_acknowledge(struct spool *spool, uint64_t seq);

struct spool_run {
	uint64_t seq_from, seq_to;
	unsigned n_records;
};
/*
 * Appends to buf, as fields of a TelemetryBatch, the records after `after_seq` that fit into
 * buf->size and LIMIT_BATCH_RECORDS. -ENOENT when there are none.
 */
int spool_take_batch(const struct spool *spool, uint64_t after_seq, struct buf *buf, struct spool_run *ret_run);

struct spool_stats {
	uint64_t dropped_events, dropped_samples;
	size_t bytes_used, bytes_size;
	unsigned records;
	uint64_t acknowledged_seq;
};
void spool_read_stats(const struct spool *spool, struct spool_stats *ret_stats);

#endif
