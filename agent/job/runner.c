/*
 * runner: see runner.h. Called by remote.c, which passes on what the link tells. Here is which job is begun, and what the
 * collector is told of it; what is done at the router in between is in runner_steps.c.
 *
 * Not written to the journal: that the collector has acknowledged a result. After a restart the last result is sent once
 * more instead, which the collector ignores, and flash is spared a write for each job.
 */
#include "agent/job/runner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/job/reason.h"
#include "agent/job/runner_steps.h"
#include "common/clock.h"
#include "common/parse.h"

/* --- results ------------------------------------------------------------------------------------ */

void runner_tell(struct runner *runner)
{
	const struct journal_record *record = &runner->record;
	struct link_job_state state = {
		.seq = record->seq,
		.phase = (int)record->phase,
		.exit_status = record->exit_status,
		.output = runner->output,
		.output_length = record->output_length,
		.output_truncated = record->output_truncated,
		.attempt = record->attempt,
		.reason = record->reason,
		.duration_ms = record->duration_ms,
	};
	int r;

	if (record->phase == JOB_APPLIED) /* a datagram that the script may have made the last one: the output comes with the end */
		state.output_length = 0;

	memcpy(state.job_id, record->job_id, sizeof(state.job_id));
	r = runner->ops->send_state(runner->arg, &state);
	if (r < 0 && r != -EBUSY && r != -ENOTCONN)
		log_warning("job", "state not sent job=%s error=%s, trying again with the next session", record->job_id,
			    strerror(-r));
}

/* --- jobs --------------------------------------------------------------------------------------- */

static void ask(struct runner *runner)
{
	int r;

	if (!runner->is_open || runner->phase != RUNNER_IDLE)
		return;
	runner->ask_again = runner->ops->is_reading(runner->arg);
	if (runner->ask_again) {
		log_debug("job", "waits until the router has been read");
		return;
	}
	r = runner->ops->ask_job(runner->arg, runner->record.hiwater);
	if (r == 0)
		runner->phase = RUNNER_ASKING;
	else
		log_debug("job", "not asked error=%s", strerror(-r));
}

static void take(struct runner *runner, const struct link_job *job)
{
	const struct reason_facts facts = {
		.scripts_unsigned = runner->scripts_unsigned,
		.can_confirm = confirm_is_possible(&runner->confirm),
		.script_bytes = sizeof(runner->script),
		.interpreter_bytes = sizeof(runner->interpreter),
		.now_ms = clock_mono_ms() + runner->wall_offset_ms,
		.journal_now_ms = runner_wall_ms(runner),
	};
	enum job_phase phase;
	const char *reason = reason_refuse(&facts, job, &phase);

	runner->is_resumed = false;
	runner->record = (struct journal_record){
		.hiwater = job->seq,
		.wall_ms = runner->record.wall_ms,
		.phase = JOB_STARTED,
		.seq = job->seq,
		.exit_status = -1, /* until it has one */
		.confirm_s = job->confirm_s,
	};
	memcpy(runner->record.job_id, job->job_id, strlen(job->job_id) + 1);
	if (reason) {
		runner_end(runner, phase, reason);
		return;
	}
	memcpy(runner->script, job->script, job->script_length);
	runner->script_length = job->script_length;
	runner->rollback_length = job->rollback_length;
	if (job->rollback_length > 0)
		memcpy(runner->script + job->script_length, job->rollback, job->rollback_length);
	memcpy(runner->interpreter, job->interpreter, strlen(job->interpreter) + 1);
	runner_begin(runner);
}

/* Neither can be answered to: not ours, or a name that makes no path. The collector is broken, so do not ask on. */
static bool is_answerable(struct runner *runner, const struct link_job *job)
{
	if (job->seq > runner->record.hiwater && parse_is_name(job->job_id))
		return true;
	runner_trouble(runner, LOG_LEVEL_ERROR, "the collector sent a job that is refused: seq=%" PRIu64 " hiwater=%" PRIu64,
		       job->seq, runner->record.hiwater);
	return false;
}

void runner_on_job(struct runner *runner, const struct link_job *job)
{
	if (runner->phase != RUNNER_ASKING)
		return;
	runner->phase = RUNNER_IDLE;
	if (job && is_answerable(runner, job))
		take(runner, job);
	else if (!job && runner->ask_again)
		ask(runner);
	if (runner->phase == RUNNER_IDLE)
		runner->ops->on_settled(runner->arg, false);
}

void runner_set_time(struct runner *runner, int64_t wall_ms)
{
	if (wall_ms > 0)
		runner->wall_offset_ms = wall_ms - clock_mono_ms();
}

void runner_on_wake(struct runner *runner, uint64_t job_seq)
{
	if (job_seq <= runner->record.hiwater)
		return;
	runner->ask_again = true;
	ask(runner);
}

void runner_on_state_acked(struct runner *runner, uint64_t seq, int phase)
{
	bool is_of_now = phase == (int)runner->record.phase;

	if (seq != runner->record.seq || (runner->phase != RUNNER_REPORTING && runner->phase != RUNNER_PROVING))
		return;
	if (!is_of_now) { /* it was STARTED; what came after could not go beside it */
		if (runner->phase == RUNNER_REPORTING || runner->confirm.phase == CONFIRM_TELLING)
			runner_tell(runner);
	} else if (runner->phase == RUNNER_PROVING) {
		confirm_on_told(&runner->confirm);
	} else {
		runner->phase = RUNNER_IDLE;
		ask(runner);
	}
}

void runner_on_confirmed(struct runner *runner, const char *refusal)
{
	confirm_on_answer(&runner->confirm, refusal);
}

void runner_on_open(struct runner *runner)
{
	runner->is_open = true;
	if (runner->phase == RUNNER_REPORTING)
		runner_tell(runner);
	else if (runner->phase == RUNNER_PROVING)
		confirm_on_open(&runner->confirm);
	else
		ask(runner);
}

void runner_on_closed(struct runner *runner)
{
	runner->is_open = false;
	if (runner->phase == RUNNER_PROVING)
		confirm_on_closed(&runner->confirm);
	if (runner->phase == RUNNER_ASKING) {
		runner->phase = RUNNER_IDLE;
		runner->ops->on_settled(runner->arg, false);
	}
}

void runner_on_read(struct runner *runner)
{
	if (runner->ask_again)
		ask(runner);
}

/* --- start and stop ------------------------------------------------------------------------------- */

bool runner_has_to_undo(struct runner *runner, const char *dir)
{
	struct journal_record *record = &runner->record;
	struct err err = { "" };

	/* A journal that cannot be read is runner_init's to tell of. */
	return journal_load(dir, record, runner->output, &err) == 0 &&
	       (record->phase == JOB_APPLIED || record->phase == JOB_KEEPING ||
		(record->phase == JOB_STARTED && record->confirm_s > 0));
}

bool runner_is_undoing(const struct runner *runner)
{
	return runner->phase == RUNNER_UNDOING;
}

/* What the journal says, and what follows from it. */
static void load(struct runner *runner)
{
	struct journal_record *record = &runner->record;
	struct err err = { "" };
	int r = journal_load(runner->dir, record, runner->output, &err);
	bool is_unproven = record->phase == JOB_APPLIED || record->phase == JOB_KEEPING;

	if (r < 0 && r != -ENOENT) {
		runner->phase = RUNNER_REFUSING;
		runner_trouble(runner, LOG_LEVEL_ERROR, "%s", err.text);
	} else if (is_unproven || (record->phase == JOB_STARTED && record->confirm_s > 0)) {
		runner->is_resumed = true;
		runner_undo(runner, is_unproven ? "the agent or the router stopped before it was confirmed"
						: "the agent or the router stopped while it ran");
	} else if (record->phase == JOB_STARTED) {
		runner_end(runner, JOB_INTERRUPTED, "the agent or the router stopped while it ran; it may be half done");
	} else if (record->phase != JOB_NONE) {
		runner->phase = RUNNER_REPORTING;
	}
}

void runner_init(struct runner *runner, struct ev_loop *loop, const char *dir, bool scripts_unsigned,
		 const struct runner_ops *ops, void *arg)
{
	runner->loop = loop;
	runner->dir = dir;
	runner->scripts_unsigned = scripts_unsigned;
	runner->ops = ops;
	runner->arg = arg;
	runner->phase = RUNNER_IDLE;
	journal_writer_init(&runner->writer, loop, runner_on_written, runner);
	confirm_init(&runner->confirm, loop, &ops->confirm, arg, runner_on_confirm_step, runner);
	load(runner);
}

void runner_on_state_back(struct runner *runner)
{
	bool was_asking = runner->phase == RUNNER_ASKING;
	bool is_between_jobs = runner->phase == RUNNER_IDLE || was_asking || runner->phase == RUNNER_REFUSING;

	if (!is_between_jobs || runner->record.hiwater != 0) /* memory knows more than the file */
		return;
	if (runner->phase == RUNNER_REFUSING)
		runner->phase = RUNNER_IDLE;
	load(runner);
	if (runner->phase == RUNNER_REPORTING && runner->is_open)
		runner_tell(runner);
	ask(runner);
	if (was_asking && !runner_is_unsettled(runner))
		runner->ops->on_settled(runner->arg, false);
}

void runner_stop(struct runner *runner)
{
	confirm_stop(&runner->confirm);
	journal_writer_stop(&runner->writer);
}

uint64_t runner_hiwater(const struct runner *runner)
{
	return runner->record.hiwater;
}

bool runner_is_unsettled(const struct runner *runner)
{
	return runner->phase >= RUNNER_ASKING && runner->phase <= RUNNER_UNDOING;
}

const char *runner_phase_name(const struct runner *runner)
{
	static const char *const names[] = { "idle",    "asking",  "starting", "saving", "running",	  "applying",
					     "proving", "marking", "keeping", "undoing", "ending",  "reporting", "refusing" };

	return names[runner->phase];
}

const char *runner_last_job(const struct runner *runner)
{
	return runner->record.job_id;
}
