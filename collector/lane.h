/*
 * lane: a thread beside the loop, with a bounded queue in and a list of finished work out.
 *
 *   loop: lane_submit(op) ──▶ [ waiting ] ──▶ thread: run(up to max_run ops) ──▶ [ finished ]
 *   loop: op->done(op, op->result) ◀────────────── ev_async ◀────────────────────────┘
 *
 * Operations finish in the order of their submission. An op belongs to the lane from a successful
 * submit until done is called; done owns it (and usually frees the structure around it).
 */
#ifndef JAGA_COLLECTOR_LANE_H
#define JAGA_COLLECTOR_LANE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct ev_loop;
struct lane;

struct lane_op {
	struct lane_op *next; /* the lane's own */
	size_t bytes;	      /* memory that waits with it, for the bound of the queue */
	int result;	      /* set by the thread: 0 or negative errno */
	void (*done)(struct lane_op *op, int result); /* loop thread */
};

struct lane_options {
	const char *name; /* of the thread, at most 15 characters */
	unsigned max_ops; /* waiting, not counting those in the thread's hands */
	size_t max_bytes;
	unsigned max_run;
	/* Lane's thread. Handles the list that starts at first and sets each op's result. */
	void (*run)(void *arg, struct lane_op *first, unsigned n_ops);
	/* Loop thread, before the done of operations that have finished; may be NULL. */
	void (*before_done)(void *arg);
	void *arg;
};

int lane_create(struct ev_loop *loop, const struct lane_options *options, struct lane **ret_lane, struct err *err);
/* Runs what is waiting, ends the thread, then calls every done that is left. NULL is fine. */
void lane_destroy(struct lane *lane);
/* Loop thread. -EAGAIN: the queue is full; -ESHUTDOWN: lane_destroy has begun. The op is then still the caller's. */
int lane_submit(struct lane *lane, struct lane_op *op);
unsigned lane_count_waiting(struct lane *lane);

#endif
