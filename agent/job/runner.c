/*
 * runner: see runner.h. Called by remote.c, which passes on what the link tells.
 *
 * What has to be durable (STARTED, APPLIED, the result) is followed by the next step only once the journal is on the
 * disk: save() -> journal_writer.h -> on_written() -> next_step(). Not written: that the collector has acknowledged a
 * result. After a restart the last result is sent once more instead, which the collector ignores, and flash is spared a
 * write for each job.
 */
#include "agent/job/runner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/job/reason.h"
#include "common/clock.h"
#include "common/parse.h"

static void next_step(struct runner *runner);
static void undo(struct runner *runner, const char *reason);

static void trouble(struct runner *runner, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void trouble(struct runner *runner, enum log_level level, const char *format, ...)
{
	char text[LIMIT_ERR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	runner->ops->on_trouble(runner->arg, level, text);
}

/* --- time --------------------------------------------------------------------------------------- */

/* Never before what is known to have passed: a collector with a wrong clock cannot bring old jobs back. */
static int64_t wall_now_ms(const struct runner *runner)
{
	int64_t now_ms = clock_mono_ms() + runner->wall_offset_ms, floor_ms = JAGA_BUILD_TIME_S * 1000LL;

	if (runner->record.wall_ms > floor_ms)
		floor_ms = runner->record.wall_ms;
	return now_ms > floor_ms ? now_ms : floor_ms;
}

/* --- journal ------------------------------------------------------------------------------------ */

static void on_written(void *arg, const char *problem)
{
	struct runner *runner = arg;

	if (problem)
		trouble(runner, LOG_LEVEL_ERROR, "the journal cannot be written: %s", problem);
	if (problem && runner->phase == RUNNER_STARTING) {
		/* Running it now could mean running it twice. */
		runner->record.phase = JOB_FAILED;
		runner->record.attempt = 0;
		snprintf(runner->record.reason, sizeof(runner->record.reason),
			 "not run: the router cannot write its journal; see its events");
		runner->phase = RUNNER_ENDING;
	} else if (problem && runner->phase == RUNNER_APPLYING) {
		/* After a power cut nobody would know that the script came to its end. */
		undo(runner, "the router cannot write its journal; see its events");
		return;
	}
	next_step(runner);
}

/* next_step() follows when the record is on the disk, or cannot get there. */
static void save(struct runner *runner, enum runner_phase phase)
{
	runner->phase = phase;
	runner->record.wall_ms = wall_now_ms(runner);
	journal_writer_save(&runner->writer, runner->dir, &runner->record, runner->output);
}

/* --- results ------------------------------------------------------------------------------------ */

/* Sends the state of the job. What cannot be sent now goes when the session opens or is free again. */
static void send_state(struct runner *runner)
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

static void end_job(struct runner *runner, enum job_phase phase, const char *reason)
{
	struct journal_record *record = &runner->record;

	record->phase = phase;
	if (reason != record->reason)
		snprintf(record->reason, sizeof(record->reason), "%s", reason);
	log_info("job", "job=%s is %s exit=%d duration_ms=%" PRId64 " reason=\"%s\"", record->job_id, reason_phase_name(phase),
		 record->exit_status, record->duration_ms, record->reason);
	save(runner, RUNNER_ENDING);
	if (record->attempt > 0)
		runner->ops->on_script_ended(runner->arg);
}

static void undo(struct runner *runner, const char *reason)
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
		end_job(runner, result->is_interrupted ? JOB_INTERRUPTED
				: result->exit_status == 0 ? JOB_CONFIRMED
							   : JOB_FAILED, reason);
	} else if (result->exit_status != 0) {
		undo(runner, reason);
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
			undo(runner, err.text);
		else
			end_job(runner, JOB_FAILED, err.text);
		return;
	}
	log_info("job", "job=%s started", runner->record.job_id);
	if (runner->is_open)
		send_state(runner); /* for people who watch; the result follows for certain */
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
		send_state(runner);
	confirm_prove(&runner->confirm, runner->record.job_id, runner->record.confirm_s, !runner->is_open);
}

/* The router went back, or could not. */
static void on_undone(struct runner *runner, int result, const char *reason)
{
	struct journal_record *record = &runner->record;
	char text[sizeof(record->reason)];

	if (result == 0) {
		end_job(runner, JOB_ROLLED_BACK, record->reason);
	} else if (result == -ENOENT && record->phase == JOB_KEEPING) {
		end_job(runner, JOB_CONFIRMED, "the answer to its commit was lost; there is no way back any more: what it did stays");
	} else if (result == -ENOENT && runner->is_resumed && record->phase == JOB_APPLIED) {
		end_job(runner, JOB_ROLLED_BACK, record->reason); /* by the router, or by an agent that could not write it down */
	} else if (result == -ENOENT && runner->is_resumed) {
		end_job(runner, JOB_INTERRUPTED, "stopped before its script began, or after the router had gone back: nothing of it stays");
	} else {
		trouble(runner, LOG_LEVEL_ERROR, "job %s: the router could not go back and may be half configured: %s",
			record->job_id, reason);
		snprintf(text, sizeof(text), "not rolled back, the router may be half configured: %s", reason);
		end_job(runner, JOB_FAILED, text);
	}
}

static void on_confirm_step(void *arg, int result, const char *reason)
{
	struct runner *runner = arg;
	char text[sizeof(runner->record.reason)];

	if (runner->phase == RUNNER_SAVING && result == 0) {
		run(runner);
	} else if (runner->phase == RUNNER_SAVING) {
		snprintf(text, sizeof(text), "not run, no way back: %s", reason);
		runner->record.attempt = 0;
		end_job(runner, JOB_FAILED, text);
	} else if (runner->phase == RUNNER_PROVING && result == 0) {
		runner->record.phase = JOB_KEEPING;
		save(runner, RUNNER_MARKING);
	} else if (runner->phase == RUNNER_PROVING) {
		undo(runner, reason);
	} else if (runner->phase == RUNNER_KEEPING && result == 0) {
		end_job(runner, JOB_CONFIRMED, reason);
	} else if (runner->phase == RUNNER_KEEPING) {
		snprintf(text, sizeof(text), "confirmed, but the router could not keep it: %s", reason);
		undo(runner, text);
	} else if (runner->phase == RUNNER_UNDOING) {
		on_undone(runner, result, reason);
	}
}

/* --- jobs --------------------------------------------------------------------------------------- */

static void ask(struct runner *runner)
{
	int r;

	if (!runner->is_open || runner->phase != RUNNER_IDLE)
		return;
	runner->ask_again = false;
	r = runner->ops->ask_job(runner->arg, runner->record.hiwater);
	if (r == 0)
		runner->phase = RUNNER_ASKING;
	else
		log_debug("job", "not asked error=%s", strerror(-r));
}

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
			send_state(runner);
	}
}

static void take(struct runner *runner, const struct link_job *job)
{
	const struct reason_facts facts = {
		.scripts_unsigned = runner->scripts_unsigned,
		.can_confirm = confirm_is_possible(&runner->confirm),
		.script_bytes = sizeof(runner->script),
		.interpreter_bytes = sizeof(runner->interpreter),
		.now_ms = clock_mono_ms() + runner->wall_offset_ms,
		.journal_now_ms = wall_now_ms(runner),
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
		end_job(runner, phase, reason);
		return;
	}
	memcpy(runner->script, job->script, job->script_length);
	runner->script_length = job->script_length;
	runner->rollback_length = job->rollback_length;
	if (job->rollback_length > 0)
		memcpy(runner->script + job->script_length, job->rollback, job->rollback_length);
	memcpy(runner->interpreter, job->interpreter, strlen(job->interpreter) + 1);
	runner->record.attempt = 1;
	save(runner, RUNNER_STARTING);
}

void runner_on_job(struct runner *runner, const struct link_job *job)
{
	if (runner->phase != RUNNER_ASKING)
		return;
	runner->phase = RUNNER_IDLE;
	if (!job) {
		if (runner->ask_again)
			ask(runner);
		return;
	}
	/* Neither can be answered to: not ours, or a name that makes no path. The collector is broken, so do not ask on. */
	if (job->seq <= runner->record.hiwater || !parse_is_name(job->job_id)) {
		trouble(runner, LOG_LEVEL_ERROR, "the collector sent a job that is refused: seq=%" PRIu64 " hiwater=%" PRIu64,
			job->seq, runner->record.hiwater);
		return;
	}
	take(runner, job);
}

void runner_set_time(struct runner *runner, int64_t wall_ms)
{
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
			send_state(runner);
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

void runner_on_open(struct runner *runner, int64_t wall_ms)
{
	runner->is_open = true;
	runner_set_time(runner, wall_ms);
	if (runner->phase == RUNNER_REPORTING)
		send_state(runner);
	else if (runner->phase == RUNNER_PROVING)
		confirm_on_open(&runner->confirm);
	else
		ask(runner);
}

void runner_on_closed(struct runner *runner)
{
	runner->is_open = false;
	if (runner->phase == RUNNER_ASKING)
		runner->phase = RUNNER_IDLE;
	else if (runner->phase == RUNNER_PROVING)
		confirm_on_closed(&runner->confirm);
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
		trouble(runner, LOG_LEVEL_ERROR, "%s", err.text);
	} else if (is_unproven || (record->phase == JOB_STARTED && record->confirm_s > 0)) {
		runner->is_resumed = true;
		undo(runner, is_unproven ? "the agent or the router stopped before it was confirmed"
					 : "the agent or the router stopped while it ran");
	} else if (record->phase == JOB_STARTED) {
		end_job(runner, JOB_INTERRUPTED, "the agent or the router stopped while it ran; it may be half done");
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
	journal_writer_init(&runner->writer, loop, on_written, runner);
	confirm_init(&runner->confirm, loop, &ops->confirm, arg, on_confirm_step, runner);
	load(runner);
}

void runner_on_state_back(struct runner *runner)
{
	bool is_between_jobs = runner->phase == RUNNER_IDLE || runner->phase == RUNNER_ASKING || runner->phase == RUNNER_REFUSING;

	if (!is_between_jobs || runner->record.hiwater != 0) /* memory knows more than the file */
		return;
	if (runner->phase == RUNNER_REFUSING)
		runner->phase = RUNNER_IDLE;
	load(runner);
	if (runner->phase == RUNNER_REPORTING && runner->is_open)
		send_state(runner);
	ask(runner);
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
	return runner->phase >= RUNNER_SAVING && runner->phase <= RUNNER_UNDOING;
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
