/*
 * jobs_step: changes of a job's state, whoever asks for them. Each is one read-check-write on the
 * writer thread, so that two reports of the same job can never overtake each other.
 */
#include "collector/jobs_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/writer.h"
#include "common/clock.h"

/* A step of a job: what an agent reports, or what the collector finds. */
struct step_op {
	struct writer_op writer;
	struct jobs *jobs;
	struct store_job step;	/* what changes; number and device_number name the job */
	bool only_queued;	/* expiry: a job that the device has taken is the device's */
	bool is_confirmation; /* the device is back: at least applied */
	bool has_ticket;
	struct coap_ticket ticket;
	struct store_job job;	/* result */
	bool is_changed;	/* result */
	bool has_output;
	size_t length;
	char output[];
};

const char *jobs_phase_name(uint32_t phase)
{
	static const char *const names[] = { "unknown", "queued", "received", "started", "applied", "confirmed",
					     "rolled-back", "failed", "expired", "interrupted" };

	return phase < sizeof(names) / sizeof(names[0]) ? names[phase] : names[0];
}

bool jobs_is_bad_end(uint32_t phase)
{
	return phase > JOBS_CONFIRMED && phase <= JOBS_INTERRUPTED;
}

static bool is_final(uint32_t phase)
{
	return phase > JOBS_APPLIED;
}

void jobs_copy_text(char *to, size_t size, const char *from)
{
	size_t length = strnlen(from, size - 1);

	memcpy(to, from, length);
	memset(to + length, 0, size - length);
}

/* A finished job is worth a line in the event log, in the transaction that finishes it. */
static int log_end(struct store_txn *txn, const struct store_job *job)
{
	char text[LIMIT_TEXT + LIMIT_JOB_NAME + sizeof(job->reason)];
	struct buf buf;
	uint64_t id;

	buf_init(&buf, text, sizeof(text));
	buf_printf(&buf, "job %llu %s %s", (unsigned long long)job->number, job->name, jobs_phase_name(job->phase));
	if (job->attempt != 0 && job->exit_status >= 0 && strncmp(job->reason, "exit status", strlen("exit status")) != 0)
		buf_printf(&buf, ", exit status %d", job->exit_status);
	if (job->reason[0] != '\0')
		buf_printf(&buf, ": %s", job->reason);
	return store_add_event(txn, job->device_number, STORE_BATCH_JOB, job->changed_ms, text, &id);
}

static int apply_step(struct writer_op *writer, struct store_txn *txn)
{
	struct step_op *op = (struct step_op *)writer;
	const struct store_job *step = &op->step;
	struct store_job *job = &op->job;
	int r = store_get_job(txn, step->number, job);

	if (r < 0)
		return r;
	if (job->device_number != step->device_number)
		return -ENOENT;
	if (op->is_confirmation && (job->confirm_s == 0 || (job->is_final && job->phase != JOBS_CONFIRMED)))
		return -EPERM;
	op->is_changed = !job->is_final && step->phase > job->phase && !(op->only_queued && job->phase != JOBS_QUEUED);
	if (!op->is_changed)
		return 0;
	job->phase = step->phase;
	job->changed_ms = step->changed_ms;
	job->is_final = is_final(step->phase);
	memcpy(job->reason, step->reason, sizeof(job->reason));
	if (op->has_ticket && !op->is_confirmation) {
		job->exit_status = step->exit_status;
		job->attempt = step->attempt;
		job->duration_ms = step->duration_ms;
	}
	if (op->has_output) {
		job->output_bytes = (uint32_t)op->length;
		job->output_truncated = step->output_truncated;
	}
	r = store_update_job(txn, job, op->has_output ? op->output : NULL, op->length);
	return r == 0 && job->is_final ? log_end(txn, job) : r;
}

static void answer_step(struct jobs *jobs, const struct step_op *op, int result)
{
	char bytes[16];
	struct coap_answer answer = { .code = COAP_CHANGED, .body = bytes };
	struct buf buf;

	if (result == -ENOENT) {
		ports_refuse(&jobs->ports, &op->ticket, COAP_NOT_FOUND, "no such job of this device");
		return;
	}
	if (result == -EPERM) {
		ports_refuse(&jobs->ports, &op->ticket, COAP_CONFLICT, "this job does not wait for a confirmation");
		return;
	}
	if (result < 0) {
		ports_refuse_write(&jobs->ports, &op->ticket, result);
		return;
	}
	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_u64(&buf, 1, op->is_confirmation ? jobs->ports.epoch : op->step.number); /* ConfirmAck.epoch, Ack.seq */
	answer.length = buf.length;
	jobs->ports.reply(jobs->ports.arg, &op->ticket, &answer);
}

void jobs_note_phase(struct fleet_device *device, const struct store_job *job)
{
	int64_t now_ms = clock_wall_ms();
	int64_t begun_ms = job->changed_ms < now_ms ? job->changed_ms : now_ms; /* it may have been stored by a clock ahead of this one */

	if (job->is_final && device->confirming.job == job->number)
		device->confirming.job = 0;
	if (job->is_final || job->confirm_s == 0 || job->phase < JOBS_STARTED)
		return;
	device->confirming.job = job->number;
	device->confirming.until_ms = job->phase == JOBS_APPLIED ? begun_ms + 1000 * (int64_t)job->confirm_s : 0;
}

static void finish_step(struct lane_op *lane, int result)
{
	struct step_op *op = (struct step_op *)lane;
	struct jobs *jobs = op->jobs;
	struct fleet_device *device = fleet_get(jobs->ports.fleet, op->step.device_number);

	if (op->has_ticket)
		answer_step(jobs, op, result);
	if (result == 0 && op->is_changed) {
		if (op->job.is_final && device->jobs_waiting > 0)
			device->jobs_waiting--;
		jobs_note_phase(device, &op->job);
		if (op->job.is_final)
			jobs->ports.changed(jobs->ports.arg, PORT_CHANGE_EVENTS, 0);
		jobs->ports.changed(jobs->ports.arg, PORT_CHANGE_JOB, op->job.number);
	}
	free(op);
}

static struct step_op *make_step(struct jobs *jobs, uint32_t device_number, uint64_t number, uint32_t phase,
				 const char *reason, size_t length)
{
	struct step_op *op = calloc(1, sizeof(*op) + length);

	if (!op)
		return NULL;
	op->writer = (struct writer_op){
		.lane = { .bytes = sizeof(*op) + length, .done = finish_step },
		.apply = apply_step,
	};
	op->jobs = jobs;
	op->length = length;
	op->step.device_number = device_number;
	op->step.number = number;
	op->step.phase = phase;
	op->step.changed_ms = clock_wall_ms();
	jobs_copy_text(op->step.reason, sizeof(op->step.reason), reason);
	return op;
}

void jobs_take_step(struct jobs *jobs, const struct store_job *job, uint32_t phase, const char *reason,
		      bool only_queued)
{
	struct step_op *op = make_step(jobs, job->device_number, job->number, phase, reason, 0);

	if (!op)
		return;
	op->only_queued = only_queued;
	if (writer_submit(jobs->ports.writer, &op->writer) < 0)
		free(op);
}

static void submit_step(struct step_op *op)
{
	struct coap_ticket ticket = op->ticket;
	struct jobs *jobs = op->jobs;
	int r = writer_submit(jobs->ports.writer, &op->writer);

	if (r < 0) {
		ports_refuse_write(&jobs->ports, &ticket, r);
		free(op);
	}
}

void jobs_answer_state(struct jobs *jobs, struct fleet_device *device, const struct coap_incoming *incoming)
{
	const Jaga__V1__JobState *state;
	ProtobufCMessage *message;
	struct step_op *op;
	uint64_t number;

	wire_arena_reset(&jobs->arena);
	if (parse_u64(incoming->job_id, 1, UINT64_MAX, &number) < 0) {
		ports_refuse(&jobs->ports, &incoming->ticket, COAP_NOT_FOUND, "no such job");
		return;
	}
	if (wire_unpack(&jobs->arena, &jaga__v1__job_state__descriptor, incoming->body, incoming->length, &message) < 0) {
		ports_refuse(&jobs->ports, &incoming->ticket, COAP_BAD_REQUEST, "not a JobState");
		return;
	}
	state = (const Jaga__V1__JobState *)message;
	if (state->seq != number || (unsigned)state->phase < JOBS_RECEIVED || (unsigned)state->phase > JOBS_INTERRUPTED ||
	    state->output.len > LIMIT_OUTPUT_BYTES) {
		ports_refuse(&jobs->ports, &incoming->ticket, COAP_BAD_REQUEST,
			     "seq, phase or output: not of this job, not a phase, or longer than 64 KiB");
		return;
	}
	op = make_step(jobs, device->number, number, (uint32_t)state->phase, state->reason, state->output.len);
	if (!op) {
		ports_refuse_write(&jobs->ports, &incoming->ticket, -ENOMEM);
		return;
	}
	op->has_ticket = true;
	op->ticket = incoming->ticket;
	op->step.exit_status = state->exit_status;
	op->step.attempt = state->attempt;
	op->step.duration_ms = state->duration_ms;
	op->step.output_truncated = state->output_truncated ? 1 : 0;
	op->has_output = state->output.len > 0;
	if (op->has_output)
		memcpy(op->output, state->output.data, state->output.len);
	if (op->step.phase <= JOBS_APPLIED)
		jobs_note_session(device, incoming);
	submit_step(op);
}

void jobs_note_session(struct fleet_device *device, const struct coap_incoming *incoming)
{
	device->has_script_session = true;
	device->script_session = incoming->ticket.session;
}

void jobs_answer_confirm(struct jobs *jobs, struct fleet_device *device, const struct coap_incoming *incoming)
{
	struct step_op *op;
	uint64_t number;

	if (parse_u64(incoming->job_id, 1, UINT64_MAX, &number) < 0) {
		ports_refuse(&jobs->ports, &incoming->ticket, COAP_NOT_FOUND, "no such job");
		return;
	}
	if (device->has_script_session && device->script_session == incoming->ticket.session) {
		ports_refuse(&jobs->ports, &incoming->ticket, COAP_CONFLICT, "this session is older than the end of the script");
		return;
	}
	op = make_step(jobs, device->number, number, JOBS_APPLIED, "", 0);
	if (!op) {
		ports_refuse_write(&jobs->ports, &incoming->ticket, -ENOMEM);
		return;
	}
	op->is_confirmation = true;
	op->has_ticket = true;
	op->ticket = incoming->ticket;
	submit_step(op);
}
