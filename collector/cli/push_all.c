/*
 * push_all: see push.h.
 *
 *   targets (device, file) -> queue each -> [--wait: each until its end] -> a row for each
 *
 * Who gets what is decided before the first script leaves: a directory with a file that belongs to no device is refused, because
 * that is a slip. From then on a failure is one device's, and its row says so.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector/cli/job_view.h"
#include "collector/cli/many.h"
#include "collector/cli/push.h"
#include "collector/cli/row.h"

/* --- rows --------------------------------------------------------------------------------------- */

/* What is said of it in a table: why it failed, else nothing. */
static void format_said(const json_t *row, int64_t now_ms, struct buf *buf)
{
	const char *reason = row_text_or(row, "reason", ""), *output = row_text_or(row, "output", "");

	(void)now_ms;
	buf_puts(buf, row_text_or(row, "error", reason[0] ? reason : ""));
	if (reason[0] && output[0])
		buf_puts(buf, ": ");
	if (reason[0])
		buf_puts(buf, output);
}

static void format_state(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_puts(buf, row_text(row, "error") ? "not pushed" : row_text_or(row, "state", "?"));
}

static enum paint paint_state(const json_t *row)
{
	return row_text(row, "error") ? PAINT_BAD : job_paint(row);
}

static const struct column columns[] = {
	{ .path = "device", .title = "DEVICE" },
	{ .path = "job", .title = "JOB" },
	{ .title = "STATE", .format = format_state, .paint = paint_state },
	{ .title = "WHY", .format = format_said, .gives_way = true },
};

static const struct render_shape shape = {
	.name = "jobs",
	.layout = LAYOUT_TABLE,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
};

/* --- who gets what ------------------------------------------------------------------------------ */

static bool has_device(const json_t *devices, const char *name)
{
	const json_t *row;
	size_t index;

	json_array_foreach(devices, index, row)
		if (row_equals(row, "name", name))
			return true;
	return false;
}

static int append_target(json_t *targets, const char *device, const char *directory, const char *file)
{
	json_t *row = directory ? json_pack("{s:s, s:s++}", "device", device, "path", directory, "/", file)
				: json_pack("{s:s, s:s}", "device", device, "path", file);

	return json_array_append_new(targets, row) < 0 ? -ENOMEM : 0; /* fails too when row is NULL */
}

/* "rtr1.rsc" belongs to rtr1, unless there is a device rtr1.rsc. */
static int add_file(json_t *targets, const json_t *devices, const char *directory, const char *file, struct failure *failure)
{
	char name[LIMIT_NAME];
	const char *dot = strrchr(file, '.');
	size_t length = strlen(file);

	if (!has_device(devices, file) && dot)
		length = (size_t)(dot - file);
	if (length >= sizeof(name))
		length = 0;
	memcpy(name, file, length);
	name[length] = '\0';
	if (!has_device(devices, name))
		return failure_set(failure, -ENOENT, "name each file like a device; `jaga devices` lists them",
				   "%s/%s belongs to no device; nothing was pushed", directory, file);
	return append_target(targets, name, directory, file) < 0 ? invocation_output_failed(failure, -ENOMEM) : 0;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int read_directory(json_t *targets, const json_t *devices, const char *path, struct failure *failure)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, is_visible, alphasort);
	int r = 0;

	if (count < 0)
		return failure_set(failure, -EIO, "name a file or directory that can be read", "%s: %s", path, strerror(errno));
	if (count == 0)
		r = failure_set(failure, -ENODATA, "put a file into it for each device", "%s is empty", path);
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = add_file(targets, devices, path, entries[i]->d_name, failure);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int find_targets(const struct invocation *invocation, const char *path, bool is_directory, json_t *targets,
			struct failure *failure)
{
	json_t *devices = NULL, *row;
	size_t index;
	int r = invocation_ask_all(invocation, invocation_request("devices", NULL), LIMIT_CLI_SILENCE_MS, &devices, failure);

	if (r < 0)
		return r;
	if (json_array_size(devices) == 0) {
		r = failure_set(failure, -ENOENT, "`jaga enroll NAME --out DIR` makes the first", "there are no devices yet");
	} else if (is_directory) {
		r = read_directory(targets, devices, path, failure);
	} else {
		json_array_foreach(devices, index, row)
			if (r == 0 && append_target(targets, row_text_or(row, "name", "?"), NULL, path) < 0)
				r = invocation_output_failed(failure, -ENOMEM);
	}
	json_decref(devices);
	return r;
}

/* --- pushing ------------------------------------------------------------------------------------ */

static int note_failure(json_t *target, struct failure *failure)
{
	int r = json_object_set_new(target, "error", json_string(failure->what));

	*failure = (struct failure){ "", "" };
	return r < 0 ? invocation_output_failed(failure, -ENOMEM) : 0;
}

/* *script: read already when all get the same file, NULL to read it. A device's failure is noted; without a collector it is all's. */
static int queue_one(const struct invocation *invocation, json_t *target, json_t **script, struct failure *failure)
{
	const char *path = row_text_or(target, "path", "");
	json_t *request = NULL, *queued = NULL;
	int r = push_make_request(invocation, row_text_or(target, "device", ""), path, &request, failure);

	if (r < 0)
		return r; /* the options are wrong, for all */
	r = *script ? 0 : push_read_script(path, script, failure);
	if (r == 0 && json_object_set(request, "script", *script) < 0)
		r = invocation_output_failed(failure, -ENOMEM);
	if (r == 0)
		r = invocation_ask(invocation, request, &queued, failure);
	else
		json_decref(request);
	if (r == -ECONNREFUSED)
		return r;
	if (r < 0)
		return note_failure(target, failure);
	r = json_object_update(target, queued);
	json_decref(queued);
	return r < 0 ? invocation_output_failed(failure, -ENOMEM) : 0;
}

/* file: the same for all, NULL when each has its own. *ret_queued counts those that the collector has taken. */
static int queue_all(const struct invocation *invocation, json_t *targets, const char *file, size_t *ret_queued,
		     struct failure *failure)
{
	json_t *script = NULL, *target;
	struct many_progress progress;
	size_t index;
	int r = file ? push_read_script(file, &script, failure) : 0;

	many_progress_begin(&progress, json_array_size(targets));
	json_array_foreach(targets, index, target) {
		if (r == 0)
			r = queue_one(invocation, target, &script, failure);
		if (!file) {
			json_decref(script);
			script = NULL;
		}
		*ret_queued += row_text(target, "job") ? 1 : 0;
		many_progress_tell(&progress, index + 1, "been given their script");
	}
	many_progress_end(&progress);
	json_decref(script);
	return r;
}

static int wait_for(const struct invocation *invocation, json_t *target, struct failure *failure)
{
	json_t *job = NULL;
	int r;

	if (row_text(target, "error"))
		return 0;
	r = job_fetch(invocation, row_text_or(target, "job", ""), JOB_WAIT_QUIETLY, &job, failure);
	if (r == 0 && json_object_update(target, job) < 0)
		r = invocation_output_failed(failure, -ENOMEM);
	json_decref(job);
	(void)json_object_del(target, "script"); /* who pushed it knows it; it may not be there */
	return r;
}

static int wait_for_all(const struct invocation *invocation, json_t *targets, struct failure *failure)
{
	struct many_progress progress;
	json_t *target;
	size_t index;
	int r = 0;

	many_progress_begin(&progress, json_array_size(targets));
	if (progress.is_shown)
		(void)fputs("Ctrl-C ends the waiting, not the jobs: `jaga jobs` lists them\n", stderr); /* nowhere left to complain */
	many_progress_tell(&progress, 0, "done it");
	json_array_foreach(targets, index, target) {
		if (r == 0)
			r = wait_for(invocation, target, failure);
		many_progress_tell(&progress, index + 1, "done it");
	}
	many_progress_end(&progress);
	return r;
}

static bool has_failed(const json_t *target)
{
	return row_text(target, "error") || (job_is_final(target) && job_paint(target) != PAINT_GOOD);
}

/* The collector went away in the middle: who has a job and who has none is told all the same. */
static int explain_cut(const struct invocation *invocation, json_t *targets, int code, struct failure *failure)
{
	const struct failure why = *failure;
	json_t *target;
	size_t index;

	json_array_foreach(targets, index, target)
		if (!row_text(target, "job") && !row_text(target, "error") &&
		    json_object_set_new(target, "error", json_string(why.what)) < 0)
			return invocation_output_failed(failure, -ENOMEM);
	if (invocation_print_all(invocation, json_incref(targets), &shape, failure) < 0)
		return -EIO;
	(void)fflush(stdout); /* main() checks the stream */
	return failure_set(failure, code, "the jobs go on: `jaga jobs` tells of them when the collector is back", "%s", why.what);
}

int push_all(const struct invocation *invocation, const char *path, struct failure *failure)
{
	json_t *targets = json_array(), *target;
	size_t index, n_failed = 0, n_queued = 0;
	struct stat status;
	bool is_directory = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
	int r = targets ? 0 : invocation_output_failed(failure, -ENOMEM);

	if (r == 0)
		r = find_targets(invocation, path, is_directory, targets, failure);
	if (r == 0)
		r = queue_all(invocation, targets, is_directory ? NULL : path, &n_queued, failure);
	if (r == 0 && invocation_value(invocation, "wait"))
		r = wait_for_all(invocation, targets, failure);
	if (r == 0)
		r = invocation_print_all(invocation, json_incref(targets), &shape, failure);
	else if (n_queued > 0)
		r = explain_cut(invocation, targets, r, failure);
	json_array_foreach(targets, index, target)
		n_failed += has_failed(target) ? 1 : 0;
	if (r == 0 && n_failed > 0)
		r = failure_set(failure, -EIO, "`jaga job JOB` tells more of each", "%zu of %zu failed", n_failed,
				json_array_size(targets));
	json_decref(targets);
	return r;
}
