/*
 * jobs: see jobs.h. Pushing, handing out, waking and expiring; changes of state are in jobs_step.c.
 * A timer looks for jobs that have run out, at the devices where something waits.
 */
#include "collector/jobs_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "collector/writer.h"
#include "common/clock.h"
#include "common/log.h"

#define DEFLATE_LEVEL 6
#define DEFLATE_MEMORY_LEVEL 8
#define EXPIRY_CHECK_S 5.0

struct push_op {
	struct writer_op writer;
	struct jobs *jobs;
	struct store_job job;
	void (*done)(void *arg, int result, const struct store_job *job);
	void *arg;
	size_t length;
	char script[];
};

/* --- pushing --------------------------------------------------------------------------------- */

static int apply_push(struct writer_op *writer, struct store_txn *txn)
{
	struct push_op *op = (struct push_op *)writer;

	return store_add_job(txn, &op->job, op->script, op->length);
}

static void wake(struct jobs *jobs, const struct fleet_device *device, uint64_t number)
{
	char bytes[LIMIT_WAKE_BYTES];
	struct buf buf;
	int r;

	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_u64(&buf, 1, number); /* Wake: job_seq, time_ms */
	wire_put_u64(&buf, 3, (uint64_t)clock_wall_ms());
	r = jobs->ports.wake(jobs->ports.arg, device->name, bytes, buf.length);
	if (r < 0) /* its next hello brings the two together */
		log_debug("jobs", "job waits for the device device=%s job=%llu reason=\"%s\"", device->name,
			  (unsigned long long)number, strerror(-r));
}

static void finish_push(struct lane_op *lane, int result)
{
	struct push_op *op = (struct push_op *)lane;
	struct jobs *jobs = op->jobs;
	struct fleet_device *device = fleet_get(jobs->ports.fleet, op->job.device_number);

	if (result == 0) {
		device->jobs_waiting++;
		wake(jobs, device, op->job.number);
	}
	op->done(op->arg, result, &op->job);
	if (result == 0)
		jobs->ports.changed(jobs->ports.arg, PORT_CHANGE_JOB, op->job.number);
	free(op);
}

int jobs_push(struct jobs *jobs, const struct jobs_order *order)
{
	size_t length = order->length + order->rollback_length;
	struct push_op *op;
	int r;

	if (order->length > LIMIT_JOB_BYTES || order->rollback_length > LIMIT_JOB_BYTES - order->length)
		return -EMSGSIZE;
	if (order->device->jobs_waiting >= LIMIT_JOBS_WAITING)
		return -EDQUOT;
	op = calloc(1, sizeof(*op) + length);
	if (!op)
		return -ENOMEM;
	op->writer = (struct writer_op){
		.lane = { .bytes = sizeof(*op) + length, .done = finish_push },
		.apply = apply_push,
	};
	op->jobs = jobs;
	op->done = order->done;
	op->arg = order->arg;
	op->length = length;
	op->job.device_number = order->device->number;
	/* A store that was replaced or restored counts on from where the device is, or it would not take the job. */
	op->job.number = order->device->job_hiwater < LIMIT_JOB_NUMBER ? order->device->job_hiwater : 0;
	op->job.phase = JOBS_QUEUED;
	op->job.queued_ms = op->job.changed_ms = clock_wall_ms();
	op->job.not_after_ms = order->not_after_ms;
	op->job.script_bytes = (uint32_t)order->length;
	op->job.rollback_bytes = (uint32_t)order->rollback_length;
	op->job.confirm_s = order->confirm_s;
	jobs_copy_text(op->job.name, sizeof(op->job.name), order->name);
	jobs_copy_text(op->job.interpreter, sizeof(op->job.interpreter), order->interpreter);
	memcpy(op->script, order->script, order->length);
	if (order->rollback_length > 0)
		memcpy(op->script + order->length, order->rollback, order->rollback_length);
	r = writer_submit(jobs->ports.writer, &op->writer);
	if (r < 0)
		free(op);
	return r;
}

int jobs_wake_for_snapshot(struct jobs *jobs, struct fleet_device *device)
{
	char bytes[LIMIT_WAKE_BYTES];
	struct buf buf;

	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_u64(&buf, 2, 1); /* Wake.take_snapshot */
	return jobs->ports.wake(jobs->ports.arg, device->name, bytes, buf.length);
}

/* --- handing out ---------------------------------------------------------------------- */

/* The first queued job of the device after `after` that has not run out. */
static int find_queued(struct store_txn *txn, uint32_t device_number, uint64_t after, int64_t now_ms,
		       struct store_job *ret_job)
{
	for (;; after = ret_job->number) {
		int r = store_find_waiting_job(txn, device_number, after, ret_job);

		if (r < 0)
			return r;
		if (ret_job->phase == JOBS_QUEUED && (ret_job->not_after_ms == 0 || ret_job->not_after_ms >= now_ms))
			return 0;
	}
}

/* SignedJob{body = packed Job}; signatures get their place here when they exist. */
static int pack_job(const struct fleet_device *device, const struct store_job *stored, const void *script,
		    struct buf *body, struct buf *ret_signed)
{
	Jaga__V1__Job job = JAGA__V1__JOB__INIT;
	char job_id[LIMIT_NAME];
	int r;

	snprintf(job_id, sizeof(job_id), "%llu", (unsigned long long)stored->number);
	job.job_id = job_id;
	job.device = (char *)device->name;
	job.seq = stored->number;
	job.not_after_ms = stored->not_after_ms;
	job.script = (ProtobufCBinaryData){ stored->script_bytes, (uint8_t *)script };
	job.rollback = (ProtobufCBinaryData){ stored->rollback_bytes, (uint8_t *)script + stored->script_bytes };
	job.confirm_s = stored->confirm_s;
	job.interpreter = (char *)stored->interpreter;
	r = wire_pack(&job.base, body);
	if (r < 0)
		return r;
	wire_put_bytes(ret_signed, 1, body->data, body->length);
	return ret_signed->failed ? -EMSGSIZE : 0;
}

/*
 * 500 lines of a router's configuration become a tenth: blocks wait for each other, and each costs a round trip. Made anew for
 * every block, which is cheap at this level, and the same each time. *answer stays as it is where that does not help.
 */
static void deflate_answer(struct coap_answer *answer, uint8_t *memory, size_t size)
{
	z_stream stream = { .next_in = (uint8_t *)(uintptr_t)answer->body, .avail_in = (uInt)answer->length, .next_out = memory,
			    .avail_out = (uInt)size };

	if (deflateInit2(&stream, DEFLATE_LEVEL, Z_DEFLATED, LIMIT_ZLIB_WINDOW_BITS, DEFLATE_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return;
	if (deflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out < answer->length) {
		answer->body = memory;
		answer->length = stream.total_out;
		answer->is_zlib = true;
	}
	(void)deflateEnd(&stream); /* complains of data that did not fit */
}

static int answer_job(struct jobs *jobs, struct store_txn *txn, const struct fleet_device *device,
		      const struct coap_incoming *incoming)
{
	struct coap_answer answer = { .code = COAP_CONTENT };
	struct buf body, whole;
	struct store_job job;
	const void *script;
	char *memory;
	size_t length, size;
	int r;

	r = find_queued(txn, device->number, incoming->after_seq, clock_wall_ms(), &job);
	if (r == 0)
		r = store_get_script(txn, job.number, &script, &length);
	if (r == 0 && length != (size_t)job.script_bytes + job.rollback_bytes)
		r = -EIO;
	if (r < 0)
		return r;
	size = length + 512; /* names and numbers of a Job come to less than 200 bytes */
	memory = malloc(3 * size);
	if (!memory)
		return -ENOMEM;
	buf_init(&body, memory, size);
	buf_init(&whole, memory + size, size);
	r = pack_job(device, &job, script, &body, &whole);
	if (r == 0) {
		answer.body = whole.data;
		answer.length = whole.length;
		if (incoming->accepts_zlib)
			deflate_answer(&answer, (uint8_t *)memory + 2 * size, size);
		jobs->ports.reply(jobs->ports.arg, &incoming->ticket, &answer);
	}
	free(memory);
	return r;
}

void jobs_answer_get(struct jobs *jobs, struct fleet_device *device, const struct coap_incoming *incoming)
{
	struct store_txn *txn;
	int r = store_read_begin(jobs->ports.store, &txn);

	if (r == 0) {
		r = answer_job(jobs, txn, device, incoming);
		store_read_end(txn);
	}
	if (r == 0)
		jobs_note_session(device, incoming);
	if (r == -ENOENT)
		ports_refuse(&jobs->ports, &incoming->ticket, COAP_NOT_FOUND, NULL);
	else if (r < 0)
		ports_refuse_write(&jobs->ports, &incoming->ticket, r);
}

/* Queued, and its time is over: the expiry says so in its own words. */
static bool has_run_out(const struct store_job *job, int64_t now_ms)
{
	return job->phase == JOBS_QUEUED && job->not_after_ms != 0 && job->not_after_ms < now_ms;
}

void jobs_greet(struct jobs *jobs, struct fleet_device *device, uint64_t hiwater)
{
	struct store_txn *txn;
	struct store_job job = { 0 };
	uint64_t queued = 0;

	if (device->jobs_waiting == 0 || store_read_begin(jobs->ports.store, &txn) < 0)
		return;
	/* It takes the next job only when we have the result of the one before, and keeps that of the last. */
	while (store_find_waiting_job(txn, device->number, job.number, &job) == 0) {
		if (job.number == hiwater || has_run_out(&job, clock_wall_ms()))
			continue; /* of the first, the report is on the way */
		if (job.number < hiwater)
			jobs_take_step(jobs, &job, JOBS_INTERRUPTED, "the device is past this job; was the store restored? whether "
				       "the script ran is unknown", false);
		else if (job.phase != JOBS_QUEUED)
			jobs_take_step(jobs, &job, JOBS_INTERRUPTED, "the agent lost its journal; whether the script ran is unknown",
				  false);
		else if (queued == 0)
			queued = job.number;
	}
	store_read_end(txn);
	if (queued != 0)
		wake(jobs, device, queued);
}

/* --- expiry, start and stop -------------------------------------------------------------------- */

static void expire_of_device(struct jobs *jobs, struct store_txn *txn, uint32_t device_number, int64_t now_ms)
{
	struct store_job job = { 0 };

	while (store_find_waiting_job(txn, device_number, job.number, &job) == 0)
		if (has_run_out(&job, now_ms))
			jobs_take_step(jobs, &job, JOBS_EXPIRED, "the device did not come for it in time", true);
}

static void on_expiry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct jobs *jobs = timer->data;
	int64_t now_ms = clock_wall_ms();
	struct store_txn *txn;

	(void)loop;
	(void)events;
	if (store_read_begin(jobs->ports.store, &txn) < 0)
		return;
	for (uint32_t n = 1; n <= fleet_count(jobs->ports.fleet); n++) {
		const struct fleet_device *device = fleet_get(jobs->ports.fleet, n);

		if (device && device->jobs_waiting > 0)
			expire_of_device(jobs, txn, n, now_ms);
	}
	store_read_end(txn);
}

int jobs_create(const struct ports *ports, struct jobs **ret_jobs)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return -ENOMEM;
	jobs->ports = *ports;
	wire_arena_init(&jobs->arena, jobs->memory, sizeof(jobs->memory));
	ev_timer_init(&jobs->expiry, on_expiry, EXPIRY_CHECK_S, EXPIRY_CHECK_S);
	jobs->expiry.data = jobs;
	ev_timer_start(ports->loop, &jobs->expiry);
	*ret_jobs = jobs;
	return 0;
}

void jobs_destroy(struct jobs *jobs)
{
	if (!jobs)
		return;
	ev_timer_stop(jobs->ports.loop, &jobs->expiry);
	free(jobs);
}

int jobs_restore(struct jobs *jobs, struct err *err)
{
	struct store_txn *txn;
	int r = store_read_begin(jobs->ports.store, &txn);

	if (r < 0)
		return err_sys(err, r, "cannot read the jobs from the store");
	for (uint32_t n = 1; n <= fleet_count(jobs->ports.fleet); n++) {
		struct fleet_device *device = fleet_get(jobs->ports.fleet, n);
		struct store_job job = { 0 };

		if (!device)
			continue;
		device->jobs_waiting = 0;
		while (store_find_waiting_job(txn, n, job.number, &job) == 0) {
			device->jobs_waiting++;
			jobs_note_phase(device, &job);
		}
	}
	store_read_end(txn);
	return 0;
}
