/*
 * many: see many.h. Called by cmd_snapshots.c, cmd_doctor.c and push_all.c. The collector asks the devices at once; here rows are
 * collected and counted. How many there will be is asked first, for the terminal alone: where nobody looks it costs nothing.
 */
#include "collector/cli/many.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/cli/row.h"

/* --- progress ------------------------------------------------------------------------------------ */

void many_progress_begin(struct many_progress *progress, size_t n_all)
{
	const char *term = getenv("TERM");

	*progress = (struct many_progress){ .n_all = n_all };
	progress->is_shown = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void many_progress_tell(struct many_progress *progress, size_t n_done, const char *what)
{
	if (!progress->is_shown)
		return;
	(void)fprintf(stderr, "\r%zu of %zu routers have %s\033[K", n_done, progress->n_all, what); /* nowhere left to complain */
	(void)fflush(stderr);
}

void many_progress_end(struct many_progress *progress)
{
	if (progress->is_shown)
		(void)fputs("\r\033[K", stderr);
	progress->is_shown = false;
}

/* --- a question to all ----------------------------------------------------------------------------- */

struct asking {
	json_t *rows;
	struct many_progress progress;
};

static int on_row(void *arg, json_t *row)
{
	struct asking *asking = arg;

	if (json_array_append(asking->rows, row) < 0)
		return -ENOMEM;
	many_progress_tell(&asking->progress, json_array_size(asking->rows), "answered");
	return 0;
}

static int begin_progress(const struct invocation *invocation, struct many_progress *progress, struct failure *failure)
{
	json_t *devices = NULL;
	int r;

	many_progress_begin(progress, 0);
	if (!progress->is_shown)
		return 0;
	r = invocation_ask_all(invocation, invocation_request("devices", NULL), LIMIT_CLI_SILENCE_MS, &devices, failure);
	if (r < 0)
		return r;
	progress->n_all = json_array_size(devices);
	json_decref(devices);
	many_progress_tell(progress, 0, "answered");
	return 0;
}

/* As they were answered is no order to look somebody up in. */
static int compare_devices(const json_t *a, const json_t *b)
{
	return strcmp(row_text_or(a, "device", ""), row_text_or(b, "device", ""));
}

int many_ask(const struct invocation *invocation, const char *op, json_t **ret_rows, struct failure *failure)
{
	struct asking asking = { .rows = json_array() };
	int r = asking.rows ? begin_progress(invocation, &asking.progress, failure) : invocation_output_failed(failure, -ENOMEM);

	if (r == 0)
		r = invocation_call(invocation, invocation_request(op, NULL), LIMIT_CLI_TAKE_MS, on_row, &asking, failure);
	many_progress_end(&asking.progress);
	if (r == 0) {
		*ret_rows = row_sort(asking.rows, compare_devices);
		r = *ret_rows ? 0 : invocation_output_failed(failure, -ENOMEM);
	}
	json_decref(asking.rows);
	return r;
}

int many_check_missing(const json_t *rows, const char *next, struct failure *failure)
{
	size_t index, n_missing = 0;
	const json_t *row;

	json_array_foreach(rows, index, row)
		n_missing += row_text(row, "missing") ? 1 : 0;
	if (n_missing == 0)
		return 0;
	return failure_set(failure, -EBUSY, next, "%zu of %zu devices could not, or did not answer: their rows say why", n_missing, json_array_size(rows));
}
