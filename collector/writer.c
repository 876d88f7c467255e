/*
 * writer: see writer.h. A lane whose run is one transaction.
 *
 *   begin ─▶ apply each op ─▶ trim ─▶ commit (fdatasync) ─▶ every op: its own result
 *     └──── any failure of the store ──▶ abort ──▶ every op: that error, nothing kept
 *
 * A full disk fails group after group, cheaply and before any fdatasync; the first group that
 * commits again ends the fault. The loop is told of both edges, before the operations concerned.
 */
#include "collector/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"

struct writer {
	struct lane *lane;
	struct writer_options options;
	pthread_mutex_t mutex; /* counters: written by the thread, read by the loop */
	struct writer_counters counters;
	int told_fault; /* loop thread: what on_fault said last */
};

static int commit_group(struct store *store, struct lane_op *first)
{
	struct store_txn *txn;
	int r = store_begin(store, &txn);

	if (r < 0)
		return r;
	for (struct lane_op *at = first; at; at = at->next) {
		struct writer_op *op = (struct writer_op *)at;

		at->result = op->apply(op, txn);
		if (store_txn_failed(txn)) {
			r = at->result;
			goto fail;
		}
	}
	r = store_trim_events(txn);
	if (r < 0)
		goto fail;
	return store_commit(txn);
fail:
	store_abort(txn);
	return r < 0 ? r : -EIO;
}

static void run_group(void *arg, struct lane_op *first, unsigned n_ops)
{
	struct writer *writer = arg;
	int r = commit_group(writer->options.store, first);

	if (r < 0)
		for (struct lane_op *at = first; at; at = at->next)
			at->result = r;
	pthread_mutex_lock(&writer->mutex);
	if (r == 0) {
		writer->counters.groups++;
		writer->counters.ops += n_ops;
		writer->counters.fault = 0;
	} else {
		writer->counters.failed_groups++;
		if (writer->counters.fault == 0)
			writer->counters.fault_since_ms = clock_wall_ms();
		writer->counters.fault = r;
	}
	pthread_mutex_unlock(&writer->mutex);
}

static void tell_fault(void *arg)
{
	struct writer *writer = arg;
	struct writer_counters counters;

	writer_read_counters(writer, &counters);
	if (counters.fault == writer->told_fault)
		return;
	writer->told_fault = counters.fault;
	writer->options.on_fault(writer->options.arg, counters.fault);
}

int writer_create(struct ev_loop *loop, const struct writer_options *options, struct writer **ret_writer,
		  struct err *err)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	struct lane_options lane = {
		.name = "jaga-writer",
		.max_ops = LIMIT_WRITE_QUEUE,
		.max_bytes = LIMIT_WRITE_QUEUE_BYTES,
		.max_run = LIMIT_WRITE_GROUP,
		.run = run_group,
		.before_done = tell_fault,
		.arg = writer,
	};
	int r;

	if (!writer)
		return err_sys(err, -ENOMEM, "writer");
	writer->options = *options;
	pthread_mutex_init(&writer->mutex, NULL);
	r = lane_create(loop, &lane, &writer->lane, err);
	if (r < 0) {
		writer_destroy(writer);
		return r;
	}
	*ret_writer = writer;
	return 0;
}

void writer_destroy(struct writer *writer)
{
	if (!writer)
		return;
	lane_destroy(writer->lane);
	pthread_mutex_destroy(&writer->mutex);
	free(writer);
}

int writer_submit(struct writer *writer, struct writer_op *op)
{
	return lane_submit(writer->lane, &op->lane);
}

unsigned writer_count_waiting(struct writer *writer)
{
	return lane_count_waiting(writer->lane);
}

void writer_read_counters(struct writer *writer, struct writer_counters *ret_counters)
{
	pthread_mutex_lock(&writer->mutex);
	*ret_counters = writer->counters;
	pthread_mutex_unlock(&writer->mutex);
}
