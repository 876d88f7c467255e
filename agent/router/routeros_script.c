/*
 * routeros_script: runs a script of the collector at the router.
 *
 *   dry run of piece 1, 2, ... -> run of piece 1, 2, ... -> result
 *
 * RouterOS takes 64 kB in one go and reads all of it before it does anything, so a script that fits needs no dry run: with a
 * syntax error nothing is done. A longer one is cut between statements (ros_scan.h), and has every piece read before the first
 * is run. Files would not help: before 7.8 they take 4 KB, and what they import is executed line by line.
 *
 * A script is done when it has proven so (routeros_execute.h), and never because the router says !done. Called through router.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/routeros_execute.h"
#include "common/clock.h"

struct routeros_script_job {
	struct router *router;
	router_script_fn *on_done;
	void *arg;
	int64_t begun_ms, timeout_ms;
	bool is_dry;
	bool has_changed; /* a piece has been run */
	struct ros_piece piece;
	struct ros_execution execution;
	struct ros_output output;
	size_t length;
	char script[LIMIT_JOB_BYTES];
};

/* The agent ends. */
static void ignore(void *arg, const struct router_script_result *result)
{
	(void)arg;
	(void)result;
}

/* Scripts hold passwords. */
static void forget(struct routeros_script_job *job)
{
	explicit_bzero(job, sizeof(*job));
	free(job);
}

static void finish(struct routeros_script_job *job, int exit_status, bool is_interrupted, const char *reason)
{
	struct router_script_result result = {
		.exit_status = exit_status,
		.is_interrupted = is_interrupted,
		.output = job->output.text,
		.output_length = job->output.length,
		.output_truncated = job->output.is_truncated,
		.duration_ms = clock_mono_ms() - job->begun_ms,
		.reason = reason,
	};

	job->router->script_job = NULL;
	if (job->on_done != ignore)
		routeros_verify_in(job->router, LIMIT_ROS_SETTLE_MS); /* it may have touched our items, or moved addresses */
	job->on_done(job->arg, &result);
	forget(job);
}

/* The router said no, or the script did. */
static void fail(struct routeros_script_job *job, const struct ros_outcome *outcome)
{
	bool is_untouched = !outcome->has_begun && !job->has_changed;
	char reason[LIMIT_JOB_REASON], place[48] = "";

	job->router->saved.is_touched = !is_untouched;
	if (outcome->line > 0 && outcome->column > 0)
		snprintf(place, sizeof(place), "line %" PRIu32 " column %" PRIu32 ": ", outcome->line, outcome->column);
	else if (outcome->line > 0)
		snprintf(place, sizeof(place), "line %" PRIu32 ": ", outcome->line);
	snprintf(reason, sizeof(reason), "%s%.100s%s", place, outcome->why.text, is_untouched ? "; nothing was done" : "");
	finish(job, -1, false, reason);
}

static void interrupt(struct routeros_script_job *job, const struct ros_outcome *outcome)
{
	char reason[LIMIT_JOB_REASON];

	if (outcome->status != -ETIMEDOUT)
		snprintf(reason, sizeof(reason), "how far it came is not known: %.120s", outcome->why.text);
	else if (outcome->line > 0)
		snprintf(reason, sizeof(reason), "stopped at line %" PRIu32 ": it took longer than %" PRId64 " s", outcome->line,
			 job->timeout_ms / 1000);
	else
		snprintf(reason, sizeof(reason), "stopped, it is not known where: it took longer than %" PRId64 " s",
			 job->timeout_ms / 1000);
	finish(job, -1, true, reason);
}

static void on_executed(struct ros_execution *execution, const struct ros_outcome *outcome);

/* 1: the next piece is on its way. 0: there is none. */
static int execute_next(struct routeros_script_job *job, struct err *err)
{
	int64_t left_ms = job->begun_ms + job->timeout_ms - clock_mono_ms();
	int r = ros_piece_next(job->script, job->length, ROS_PIECE_BYTES, &job->piece, err);

	if (r == 0 && job->is_dry) {
		job->is_dry = false;
		job->piece = (struct ros_piece){ .line = 0 };
		return execute_next(job, err);
	}
	if (r <= 0)
		return r;
	if (job->piece.end == job->length && job->piece.start == 0)
		job->is_dry = false;
	job->execution.arg = job;
	r = routeros_execute(&job->execution, job->router, job->script, &job->piece, job->is_dry, left_ms > 1 ? left_ms : 1,
			     &job->output, on_executed, err);
	job->router->saved.is_touched |= r == 0 && !job->is_dry; /* what never left is not to be undone by a reboot */
	return r < 0 ? r : 1;
}

static void on_executed(struct ros_execution *execution, const struct ros_outcome *outcome)
{
	struct routeros_script_job *job = execution->arg;
	struct ros_outcome unsent = { .status = -EREMOTEIO };
	int r;

	if (outcome->status == -EREMOTEIO) {
		fail(job, outcome);
		return;
	}
	if (outcome->status < 0) {
		interrupt(job, outcome);
		return;
	}
	job->has_changed |= !job->is_dry;
	r = execute_next(job, &unsent.why);
	if (r == 0)
		finish(job, 0, false, "");
	else if (r < 0)
		fail(job, &unsent);
}

int routeros_run_script(struct router *router, const char *job_id, const char *interpreter, const void *script, size_t length,
			int64_t timeout_ms, router_script_fn *on_done, void *arg, struct err *err)
{
	struct routeros_script_job *job;
	int r;

	(void)job_id; /* RouterOS has no environment to put it in */
	if (router->script_job)
		return err_set(err, -EBUSY, "another script runs");
	if (interpreter[0] != '\0' && strcmp(interpreter, "routeros") != 0 && strcmp(interpreter, "sh") != 0)
		return err_set(err, -ENOTSUP, "this router has no interpreter '%.16s', only routeros", interpreter);
	if (!router->is_ready)
		return err_set(err, -ENOTCONN, "not run: the router could not be reached yet");
	if (router->saved.session != 0 && router->saved.session != router->sessions)
		return err_set(err, -ECONNRESET, "not run: the session with the router ended, with which safe mode ends");
	if (length > sizeof(job->script))
		return err_set(err, -E2BIG, "the script is larger than this agent takes");
	job = calloc(1, sizeof(*job));
	if (!job)
		return err_set(err, -ENOMEM, "no memory for the script");
	job->router = router;
	job->on_done = on_done;
	job->arg = arg;
	job->begun_ms = clock_mono_ms();
	job->timeout_ms = router->saved.script_ms != 0 && timeout_ms > router->saved.script_ms ? router->saved.script_ms : timeout_ms;
	job->is_dry = true;
	job->length = length;
	memcpy(job->script, script, length);
	r = execute_next(job, err);
	if (r <= 0) {
		forget(job);
		return r < 0 ? r : err_set(err, -EINVAL, "the script is empty");
	}
	router->script_job = job;
	return 0;
}

void routeros_script_close(struct router *router)
{
	if (router->script_job)
		router->script_job->on_done = ignore;
}

void routeros_script_free(struct router *router)
{
	if (!router->script_job)
		return;
	routeros_execute_finish(&router->script_job->execution);
	forget(router->script_job);
	router->script_job = NULL;
}
