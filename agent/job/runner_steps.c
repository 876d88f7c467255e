/*
 * runner_steps: see runner_steps.h. Called by runner.c.
 *
 * What has to be durable (STARTED, APPLIED, the result) is followed by the next step only once the journal is on the
 * disk: save() -> journal_writer.h -> runner_on_written() -> next_step().
 */
#include "agent/job/runner_steps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/job/reason.h"
#include "common/clock.h"

static void next_step(struct runner *runner);

void runner_trouble(struct runner *runner, enum log_level level, const char *format, ...)
{
	char text[LIMIT_ERR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	runner->ops->on_trouble(runner->arg, level, text);
}

int64_t runner_wall_ms(const struct runner *runner)
{
	int64_t now_ms = clock_mono_ms() + runner->wall_offset_ms, floor_ms = JAGA_BUILD_TIME_S * 1000LL;

	if (runner->record.wall_ms > floor_ms)
		floor_ms = runner->record.wall_ms;
	return now_ms > floor_ms ? now_ms : floor_ms;
}

/* --- journal ------------------------------------------------------------------------------------ */

void runner_on_written(void *arg, const char *problem)
{
	struct runner *runner = arg;

	if (problem)
		runner_trouble(runner, LOG_LEVEL_ERROR, "the journal cannot be written: %s", problem);
	if (problem && runner->phase == RUNNER_STARTING) {
		/* Running it now could mean running it twice. */
		runner->record.phase = JOB_FAILED;
		runner->record.attempt = 0;
		snprintf(runner->record.reason, sizeof(runner->record.reason),
			 "not run: the router cannot write its journal; see its events");
		runner->phase = RUNNER_ENDING;
		runner->ops->on_settled(runner->arg, false);
	} else if (problem && runner->phase == RUNNER_APPLYING) {
		/* After a power cut nobody would know that the script came to its end. */
		runner_undo(runner, "the router cannot write its journal; see its events");
		return;
	}
	next_step(runner);
}

/* next_step() follows when the record is on the disk, or cannot get there. */
static void save(struct runner *runner, enum runner_phase phase)
{
	runner->phase = phase;
	runner->record.wall_ms = runner_wall_ms(runner);
	journal_writer_save(&runner->writer, runner->dir, &runner->record, runner->output);
}

/* --- the ends ----------------------------------------------------------------------------------- */

void runner_end(struct runner *runner, enum job_phase phase, const char *reason)
{
	struct journal_record *record = &runner->record;

	record->phase = phase;
	if (reason != record->reason)
		snprintf(record->reason, sizeof(record->reason), "%s", reason);
	log_info("job", "job=%s is %s exit=%d duration_ms=%" PRId64 " reason=\"%s\"", record->job_id, reason_phase_name(phase),
		 record->exit_status, record->duration_ms, record->reason);
	save(runner, RUNNER_ENDING);
	runner->ops->on_settled(runner->arg, record->attempt > 0);
}

void runner_undo(struct runner *runner, const char *reason)
{
	struct journal_record *record = &runner->record;

	snprintf(record->reason, sizeof(record->reason), "%s", reason);
	log_warning("job", "job=%s: going back to what was before it, reason=\"%s\"", record->job_id, record->reason);
	runner->phase = RUNNER_UNDOING;
	confirm_undo(&runner->confirm, record->job_id);
}

/* --- running ------------------------------------------------------------------------------------ */

static void on_script_done(void *arg, const struct router_script_result *result)
{
	struct runner *runner = arg;
	struct journal_record *record = &runner->record;
	char reason[sizeof(record->reason)];

	record->exit_status = result->exit_status;
	record->duration_ms = result->duration_ms;
	record->output_truncated = result->output_truncated;
	record->output_length = result->output_length < sizeof(runner->output) ? result->output_length
										: sizeof(runner->output);
	memcpy(runner->output, result->output, record->output_length);
	reason_explain(result, reason, sizeof(reason));
	if (record->confirm_s == 0) {
		runner_end(runner, result->is_interrupted ? JOB_INTERRUPTED
				: result->exit_status == 0 ? JOB_CONFIRMED
							   : JOB_FAILED, reason);
	} else if (result->exit_status != 0) {
		runner_undo(runner, reason);
	} else {
		record->phase = JOB_APPLIED;
		save(runner, RUNNER_APPLYING);
	}
}

static void run(struct runner *runner)
{
	struct err err = { "" };

	runner->phase = RUNNER_RUNNING;
	if (runner->ops->run_script(runner->arg, runner->record.job_id, runner->interpreter, runner->script,
				    runner->script_length, on_script_done, runner, &err) < 0) {
		if (runner->record.confirm_s > 0)
			runner_undo(runner, err.text);
		else
			runner_end(runner, JOB_FAILED, err.text);
		return;
	}
	log_info("job", "job=%s started", runner->record.job_id);
	if (runner->is_open)
		runner_tell(runner); /* for people who watch; the result follows for certain */
}

/* --- the way back ------------------------------------------------------------------------------- */

static void take_save_point(struct runner *runner)
{
	const struct router_save_spec spec = {
		.job_id = runner->record.job_id,
		.script = runner->script,
		.length = runner->script_length,
		.rollback = runner->rollback_length > 0 ? runner->script + runner->script_length : NULL,
		.rollback_length = runner->rollback_length,
		.confirm_s = runner->record.confirm_s,
	};

	runner->phase = RUNNER_SAVING;
	confirm_save(&runner->confirm, &spec);
}

static void prove(struct runner *runner)
{
	log_info("job", "job=%s applied, asking for its confirmation over a new session confirm_s=%" PRIu32,
		 runner->record.job_id, runner->record.confirm_s);
	runner->phase = RUNNER_PROVING;
	if (runner->is_open)
		runner_tell(runner);
	confirm_prove(&runner->confirm, runner->record.job_id, runner->record.confirm_s, !runner->is_open);
}

/* The router went back, or could not. */
static void on_undone(struct runner *runner, int result, const char *reason)
{
	struct journal_record *record = &runner->record;
	char text[sizeof(record->reason)];

	if (result == 0) {
		runner_end(runner, JOB_ROLLED_BACK, record->reason);
	} else if (result == -ENOENT && record->phase == JOB_KEEPING) {
		runner_end(runner, JOB_CONFIRMED, "the answer to its commit was lost; there is no way back any more: what it did stays");
	} else if (result == -ENOENT && runner->is_resumed && record->phase == JOB_APPLIED) {
		runner_end(runner, JOB_ROLLED_BACK, record->reason); /* by the router, or by an agent that could not write it down */
	} else if (result == -ENOENT && runner->is_resumed) {
		runner_end(runner, JOB_INTERRUPTED, "stopped before its script began, or after the router had gone back: nothing of it stays");
	} else {
		runner_trouble(runner, LOG_LEVEL_ERROR, "job %s: the router could not go back and may be half configured: %s",
			record->job_id, reason);
		snprintf(text, sizeof(text), "not rolled back, the router may be half configured: %s", reason);
		runner_end(runner, JOB_FAILED, text);
	}
}

void runner_on_confirm_step(void *arg, int result, const char *reason)
{
	struct runner *runner = arg;
	char text[sizeof(runner->record.reason)];

	if (runner->phase == RUNNER_SAVING && result == 0) {
		run(runner);
	} else if (runner->phase == RUNNER_SAVING) {
		snprintf(text, sizeof(text), "not run, no way back: %s", reason);
		runner->record.attempt = 0;
		runner_end(runner, JOB_FAILED, text);
	} else if (runner->phase == RUNNER_PROVING && result == 0) {
		runner->record.phase = JOB_KEEPING;
		save(runner, RUNNER_MARKING);
	} else if (runner->phase == RUNNER_PROVING) {
		runner_undo(runner, reason);
	} else if (runner->phase == RUNNER_KEEPING && result == 0) {
		runner_end(runner, JOB_CONFIRMED, reason);
	} else if (runner->phase == RUNNER_KEEPING) {
		snprintf(text, sizeof(text), "confirmed, but the router could not keep it: %s", reason);
		runner_undo(runner, text);
	} else if (runner->phase == RUNNER_UNDOING) {
		on_undone(runner, result, reason);
	}
}

/* --- from step to step ---------------------------------------------------------------------------- */

/* It may hold passwords, and nobody reads it any more. */
static void forget_script(struct runner *runner)
{
	explicit_bzero(runner->script, runner->script_length + runner->rollback_length);
	runner->script_length = runner->rollback_length = 0;
}

/* The record is on the disk (or the disk is broken, which has been told). */
static void next_step(struct runner *runner)
{
	if (runner->phase == RUNNER_STARTING && runner->record.confirm_s > 0) {
		take_save_point(runner);
	} else if (runner->phase == RUNNER_STARTING) {
		run(runner);
	} else if (runner->phase == RUNNER_APPLYING) {
		prove(runner);
	} else if (runner->phase == RUNNER_MARKING) {
		runner->phase = RUNNER_KEEPING;
		confirm_keep(&runner->confirm, runner->record.job_id);
	} else if (runner->phase == RUNNER_ENDING) {
		runner->phase = RUNNER_REPORTING;
		forget_script(runner);
		if (runner->is_open)
			runner_tell(runner);
	}
}

void runner_begin(struct runner *runner)
{
	runner->record.attempt = 1;
	save(runner, RUNNER_STARTING);
}
