/*
 * job_view: see job_view.h.
 *
 * A job's row comes again at each change of state (collector/ctl.h):
 *
 *   queued -> received -> started -> applied -> confirmed | rolled-back
 *   and from any of them: failed, expired, interrupted
 */
#include "collector/cli/job_view.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "collector/cli/human.h"
#include "collector/cli/row.h"
#include "collector/cli/sanitise.h"

bool job_is_final(const json_t *job)
{
	static const char *const finals[] = { "confirmed", "rolled-back", "failed", "expired", "interrupted" };
	const char *state = row_text_or(job, "state", "");

	for (size_t i = 0; i < sizeof(finals) / sizeof(finals[0]); i++)
		if (strcmp(state, finals[i]) == 0)
			return true;
	return false;
}

enum paint job_paint(const json_t *job)
{
	if (!job_is_final(job))
		return PAINT_WARNING;
	return row_equals(job, "state", "confirmed") && row_number(job, "exit_status") == 0 ? PAINT_GOOD : PAINT_BAD;
}

struct waiting {
	json_t *job;
	bool tell;
	bool wait;
};

/* What a person who waits wants to know of each state. */
static void tell_state(const json_t *job)
{
	const char *state = row_text_or(job, "state", "?");

	(void)fputs("job ", stderr); /* standard error: nowhere left to complain */
	sanitise_to_stream(stderr, row_text_or(job, "job", "?"), strlen(row_text_or(job, "job", "?")));
	(void)fputc(' ', stderr);
	sanitise_to_stream(stderr, state, strlen(state));
	if (strcmp(state, "applied") == 0)
		(void)fprintf(stderr, "; waiting for the router to come back, %" PRId64 " s at most", row_number(job, "confirm_s"));
	(void)fputc('\n', stderr);
}

static int on_state(void *arg, json_t *row)
{
	struct waiting *waiting = arg;

	json_decref(waiting->job);
	waiting->job = json_incref(row);
	if (waiting->tell)
		tell_state(row);
	return waiting->wait && job_is_final(row) ? CLIENT_STOP : 0;
}

int job_fetch(const struct invocation *invocation, const char *id, enum job_wait wait, json_t **ret_job,
	      struct failure *failure)
{
	bool is_waiting = wait != JOB_NOW;
	struct waiting waiting = { .wait = is_waiting, .tell = wait == JOB_WAIT && isatty(STDERR_FILENO) };
	json_t *request = json_pack("{s:s, s:s, s:b}", "op", "job", "job", id, "follow", is_waiting);
	int r;

	r = invocation_call(invocation, request, is_waiting ? CLIENT_FOREVER : LIMIT_CLI_SILENCE_MS, on_state, &waiting, failure);
	if (r == -ENOENT && failure->next[0] == '\0')
		failure_set_next(failure, "`jaga jobs` lists all");
	if (r == 0 && !waiting.job)
		r = failure_set(failure, -EPROTO, "do `jaga` and jaga-collector have the same version?",
				"the collector sent nothing about job %s", id);
	if (r < 0) {
		json_decref(waiting.job);
		return r;
	}
	*ret_job = waiting.job;
	return 0;
}

void job_print_output(const struct invocation *invocation, const json_t *job)
{
	const json_t *output = row_get(job, "output");
	const char *text = json_string_value(output);
	size_t length = json_string_length(output);
	struct render_target target;

	if (length == 0)
		return;
	invocation_target(invocation, &target); /* main() checks the stream */
	if (target.is_terminal)
		sanitise_to_stream(target.out, text, length);
	else
		(void)fwrite(text, 1, length, target.out);
	if (target.is_terminal && text[length - 1] != '\n')
		(void)fputc('\n', target.out);
	(void)fflush(target.out); /* before what follows on standard error */
	if (row_is_true(job, "output_truncated"))
		(void)fprintf(stderr, "jaga: the output was longer; the router kept the first %zu bytes\n", length);
}

int job_exit_status(const json_t *job)
{
	int64_t status = row_number(job, "exit_status");
	const char *state = row_text_or(job, "state", "?");
	const char *reason = row_text_or(job, "reason", "");

	if (strcmp(state, "confirmed") == 0 || strcmp(state, "applied") == 0 ||
	    (strcmp(state, "failed") == 0 && status != 0 && row_number(job, "confirm_s") == 0)) /* else: could not go back */
		return status >= 0 && status <= 255 ? (int)status : EXIT_STATUS_NO_RESULT;
	(void)fprintf(stderr, "jaga: job %s is %s%s", row_text_or(job, "job", "?"), state, reason[0] != '\0' ? ": " : "");
	sanitise_to_stream(stderr, reason, strlen(reason));
	(void)fprintf(stderr, "\n  next: jaga job %s tells more\n", row_text_or(job, "job", "?"));
	if (strcmp(state, "rolled-back") == 0 && status > 0 && status <= 255) /* the script's own failure was the cause */
		return (int)status;
	return EXIT_STATUS_NO_RESULT;
}
