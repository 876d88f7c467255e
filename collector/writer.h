/*
 * writer: the one thread that writes to the store, in groups: whatever waits (up to
 * LIMIT_WRITE_GROUP) goes into one transaction and one durable commit. Only after that are the
 * callers told, and only then may acknowledgements leave.
 */
#ifndef JAGA_COLLECTOR_WRITER_H
#define JAGA_COLLECTOR_WRITER_H

#include "collector/lane.h"
#include "collector/store.h"

struct writer;

struct writer_op {
	struct lane_op lane; /* bytes and done are the caller's to set */
	/*
	 * Writer thread. Checks before it writes: an error from a check refuses this op alone, an
	 * error of the store in the middle of writing (store_txn_failed) refuses the whole group.
	 */
	int (*apply)(struct writer_op *op, struct store_txn *txn);
};

struct writer_counters {
	uint64_t groups, ops; /* committed */
	uint64_t failed_groups;
	int fault;	      /* errno (negative) of the last group when it failed, else 0 */
	int64_t fault_since_ms; /* wall time */
};

struct writer_options {
	struct store *store;
	/* Loop thread: groups began to fail with this error, or (0) are committed again. */
	void (*on_fault)(void *arg, int error);
	void *arg;
};

int writer_create(struct ev_loop *loop, const struct writer_options *options, struct writer **ret_writer,
		  struct err *err);
/* Commits what is queued, tells the callers, ends the thread. NULL is fine. */
void writer_destroy(struct writer *writer);
/* Loop thread. -EAGAIN: too much waits for the disk; -ESHUTDOWN. done is called with 0 only when op is durable. */
int writer_submit(struct writer *writer, struct writer_op *op);
unsigned writer_count_waiting(struct writer *writer);
void writer_read_counters(struct writer *writer, struct writer_counters *ret_counters);

#endif
