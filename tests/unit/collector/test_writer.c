/* writer and lane: groups, results only after the commit, faults and their end, bounds, shutdown. */
#include "tests/unit/collector/rig.h"

#include <pthread.h>

struct op {
	struct writer_op writer;
	int (*act)(struct op *op, struct store_txn *txn);
	unsigned *n_done;
	int result;
	uint64_t id;
};

static int apply(struct writer_op *writer, struct store_txn *txn)
{
	struct op *op = (struct op *)writer;

	return op->act(op, txn);
}

static void on_done(struct lane_op *lane, int result)
{
	struct op *op = (struct op *)lane;

	op->result = result;
	++*op->n_done;
}

static int act_store(struct op *op, struct store_txn *txn)
{
	return store_add_event(txn, 1, STORE_BATCH_ONLINE, 1, "text", &op->id);
}

static int act_refuse(struct op *op, struct store_txn *txn)
{
	(void)op;
	(void)txn;
	return -ENOENT;
}

/* Fills the map: the store fails in the middle of writing. */
static int act_overflow(struct op *op, struct store_txn *txn)
{
	int r = 0;

	while (r == 0)
		r = store_add_event(txn, 1, STORE_BATCH_ONLINE, 1, "text that fills the store to the brim", &op->id);
	return r;
}

static struct op make_op(int (*act)(struct op *op, struct store_txn *txn), unsigned *n_done)
{
	return (struct op){ .writer = { .lane = { .bytes = 100, .done = on_done }, .apply = apply },
			    .act = act, .n_done = n_done, .result = 1 };
}

static void test_done_means_durable(void **state)
{
	struct rig *rig = *state;
	unsigned n_done = 0;
	struct op op = make_op(act_store, &n_done);

	assert_int_equal(writer_submit(rig->ports.writer, &op.writer), 0);
	rig_wait(rig, &n_done, 1);
	assert_int_equal(op.result, 0);
	assert_int_equal(rig_count_batches(rig), 1);
}

static void test_order_and_groups(void **state)
{
	struct rig *rig = *state;
	struct writer_counters counters;
	unsigned n_done = 0;
	static struct op ops[2000];

	for (unsigned i = 0; i < 2000; i++) {
		ops[i] = make_op(act_store, &n_done);
		assert_int_equal(writer_submit(rig->ports.writer, &ops[i].writer), 0);
	}
	rig_wait(rig, &n_done, 2000);
	for (unsigned i = 0; i < 2000; i++) {
		assert_int_equal(ops[i].result, 0);
		assert_int_equal(ops[i].id, i + 1);
	}
	writer_read_counters(rig->ports.writer, &counters);
	assert_int_equal(counters.ops, 2000);
	assert_true(counters.groups >= 2000 / LIMIT_WRITE_GROUP);
	assert_true(counters.groups < 1000);
}

/* A check that says no refuses its own op; the neighbours are stored. */
static void test_refusal_is_alone(void **state)
{
	struct rig *rig = *state;
	unsigned n_done = 0;
	struct op ops[3] = { make_op(act_store, &n_done), make_op(act_refuse, &n_done), make_op(act_store, &n_done) };

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(writer_submit(rig->ports.writer, &ops[i].writer), 0);
	rig_wait(rig, &n_done, 3);
	assert_int_equal(ops[0].result, 0);
	assert_int_equal(ops[1].result, -ENOENT);
	assert_int_equal(ops[2].result, 0);
	assert_int_equal(rig_count_batches(rig), 2);
}

/* A store that fails refuses the whole group, says so once, and goes on with the next. */
static void test_fault_and_recovery(void **state)
{
	struct rig *rig = *state;
	struct writer_counters counters;
	unsigned n_done = 0;
	struct op bad = make_op(act_overflow, &n_done), good = make_op(act_store, &n_done);

	assert_int_equal(writer_submit(rig->ports.writer, &bad.writer), 0);
	rig_wait(rig, &n_done, 1);
	assert_int_equal(bad.result, -ENOSPC);
	assert_int_equal(rig->fault, -ENOSPC);
	assert_int_equal(rig_count_batches(rig), 0);
	writer_read_counters(rig->ports.writer, &counters);
	assert_int_equal(counters.fault, -ENOSPC);
	assert_int_equal(counters.failed_groups, 1);
	assert_true(counters.fault_since_ms > 0);
	assert_int_equal(writer_submit(rig->ports.writer, &good.writer), 0);
	rig_wait(rig, &n_done, 2);
	assert_int_equal(good.result, 0);
	assert_int_equal(rig->fault, 0);
	assert_int_equal(rig_count_batches(rig), 1);
}

/* --- lane ------------------------------------------------------------------------------------ */

struct gate { /* holds the lane's thread until the test opens it */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool is_open, is_entered;
};

static void run_gate(void *arg, struct lane_op *first, unsigned n_ops)
{
	struct gate *gate = arg;

	(void)n_ops;
	pthread_mutex_lock(&gate->mutex);
	gate->is_entered = true;
	pthread_cond_broadcast(&gate->changed);
	while (!gate->is_open)
		pthread_cond_wait(&gate->changed, &gate->mutex);
	pthread_mutex_unlock(&gate->mutex);
	for (; first; first = first->next)
		first->result = 0;
}

static void open_gate(struct gate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	gate->is_open = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->mutex);
}

static void test_queue_is_bounded(void **state)
{
	struct rig *rig = *state;
	struct gate gate = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	struct lane_options options = { .name = "gate", .max_ops = 3, .max_bytes = 1000, .max_run = 1, .run = run_gate,
					.arg = &gate };
	struct err err = { "" };
	unsigned n_done = 0;
	struct op ops[6];
	struct lane *lane;

	for (unsigned i = 0; i < 6; i++)
		ops[i] = make_op(NULL, &n_done);
	ops[2].writer.lane.bytes = 950;
	assert_int_equal(lane_create(rig->ports.loop, &options, &lane, &err), 0);
	assert_int_equal(lane_submit(lane, &ops[0].writer.lane), 0);
	pthread_mutex_lock(&gate.mutex);
	while (!gate.is_entered)
		pthread_cond_wait(&gate.changed, &gate.mutex);
	pthread_mutex_unlock(&gate.mutex);
	assert_int_equal(lane_submit(lane, &ops[1].writer.lane), 0);
	assert_int_equal(lane_submit(lane, &ops[2].writer.lane), -EAGAIN); /* bytes */
	assert_int_equal(lane_submit(lane, &ops[3].writer.lane), 0);
	assert_int_equal(lane_submit(lane, &ops[4].writer.lane), 0);
	assert_int_equal(lane_submit(lane, &ops[5].writer.lane), -EAGAIN); /* count */
	assert_int_equal(lane_count_waiting(lane), 3);
	open_gate(&gate);
	lane_destroy(lane); /* what waits is done, and told, before this returns */
	assert_int_equal(n_done, 4);
	assert_int_equal(ops[4].result, 0);
	assert_int_equal(ops[2].result, 1);
}

/* An operation that is told at the end cannot start another. */
static struct lane *closing_lane;
static int late_result;

static void submit_late(struct lane_op *op, int result)
{
	(void)result;
	late_result = lane_submit(closing_lane, op);
}

static void test_no_work_after_the_end(void **state)
{
	struct rig *rig = *state;
	struct gate gate = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .is_open = true };
	struct lane_options options = { .name = "gate", .max_ops = 3, .max_bytes = 1000, .max_run = 1, .run = run_gate,
					.arg = &gate };
	struct lane_op op = { .done = submit_late };
	struct err err = { "" };

	late_result = 0;
	assert_int_equal(lane_create(rig->ports.loop, &options, &closing_lane, &err), 0);
	assert_int_equal(lane_submit(closing_lane, &op), 0);
	lane_destroy(closing_lane);
	assert_int_equal(late_result, -ESHUTDOWN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_done_means_durable), TEST(test_order_and_groups), TEST(test_refusal_is_alone),
		TEST(test_fault_and_recovery), TEST(test_queue_is_bounded), TEST(test_no_work_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
