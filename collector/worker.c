/* worker: see worker.h. A lane that handles one operation at a time; used by snapshots.c. */
#include "collector/worker.h"

#include "common/limits.h"

static void run_one(void *arg, struct lane_op *first, unsigned n_ops)
{
	struct worker_op *op = (struct worker_op *)first;

	(void)arg;
	(void)n_ops;
	op->lane.result = op->work(op);
}

int worker_create(struct ev_loop *loop, struct lane **ret_worker, struct err *err)
{
	struct lane_options options = {
		.name = "jaga-worker",
		.max_ops = LIMIT_WORKER_QUEUE,
		.max_bytes = (size_t)LIMIT_WORKER_QUEUE * LIMIT_BODY_BYTES,
		.max_run = 1,
		.run = run_one,
	};

	return lane_create(loop, &options, ret_worker, err);
}

int worker_submit(struct lane *worker, struct worker_op *op)
{
	return lane_submit(worker, &op->lane);
}
