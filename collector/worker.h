/*
 * worker: one thread for bulk work that would hold the loop up: inflating, hashing, compressing.
 * Memory of what waits is bounded by LIMIT_WORKER_QUEUE bodies.
 */
#ifndef JAGA_COLLECTOR_WORKER_H
#define JAGA_COLLECTOR_WORKER_H

#include "collector/lane.h"

struct worker_op {
	struct lane_op lane; /* bytes and done are the caller's to set */
	int (*work)(struct worker_op *op); /* worker's thread */
};

int worker_create(struct ev_loop *loop, struct lane **ret_worker, struct err *err);
/* As lane_submit; the worker is destroyed by lane_destroy. */
int worker_submit(struct lane *worker, struct worker_op *op);

#endif
