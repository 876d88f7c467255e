/*
 * cmd_job: `jaga job ID`, one script closely: how it went and what it printed. With --wait until it
 * has ended, and then its exit status is ours, as with `push --wait`.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/command.h"
#include "collector/cli/human.h"
#include "collector/cli/job_view.h"
#include "collector/cli/row.h"
#include "common/parse.h"

static void format_exit(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (!row_has_number(row, "exit_status"))
		return;
	buf_printf(buf, "%" PRId64, row_number(row, "exit_status"));
	if (row_has_number(row, "duration_ms")) {
		buf_puts(buf, " after ");
		human_duration_ms(buf, row_number(row, "duration_ms"));
	}
}

static void format_confirm(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_has_number(row, "confirm_s"))
		buf_printf(buf, "within %" PRId64 " s%s", row_number(row, "confirm_s"),
			   row_get(row, "rollback") ? ", or its own rollback runs" : "");
}

#define LINE_SHOWN 120 /* bytes of a line: to recognise it */

/* The line of the script that the reason names: "line 250: no such item". */
static void format_line(const json_t *row, int64_t now_ms, struct buf *buf)
{
	const char *reason = row_text_or(row, "reason", ""), *at = row_text_or(row, "script", "");
	unsigned long wanted = strncmp(reason, "line ", 5) == 0 ? strtoul(reason + 5, NULL, 10) : 0;

	(void)now_ms;
	for (unsigned long line = 1; line < wanted && at[0] != '\0'; line++) {
		at += strcspn(at, "\n");
		at += *at == '\n';
	}
	if (wanted > 0)
		buf_printf(buf, "%.*s", (int)(strcspn(at, "\r\n") < LINE_SHOWN ? strcspn(at, "\r\n") : LINE_SHOWN), at);
}

static void format_output(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (!row_has_number(row, "output_bytes"))
		return;
	human_bytes(buf, row_number(row, "output_bytes"));
	if (row_is_true(row, "output_truncated"))
		buf_puts(buf, ", the rest was dropped");
}

static const struct column columns[] = {
	{ .path = "job", .title = "job" },
	{ .path = "device", .title = "device" },
	{ .path = "name", .title = "script" },
	{ .path = "state", .title = "state", .paint = job_paint },
	{ .path = "reason", .title = "reason" },
	{ .title = "the line", .format = format_line },
	{ .title = "exit status", .format = format_exit },
	{ .title = "to confirm", .format = format_confirm },
	{ .path = "queued_ms", .title = "queued", .type = COLUMN_TIME },
	{ .path = "changed_ms", .title = "changed", .type = COLUMN_TIME },
	{ .title = "output", .format = format_output },
};

static const struct render_shape shape = {
	.name = "job",
	.one_row = true,
	.layout = LAYOUT_RECORD,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
};

static int run(const struct invocation *invocation, struct failure *failure)
{
	bool wait = invocation_value(invocation, "wait") != NULL;
	bool output_only = invocation_value(invocation, "output") != NULL;
	bool is_human = invocation->format == RENDER_HUMAN;
	json_t *job = NULL;
	uint64_t number;
	int r;

	if (parse_u64(invocation->operands[0], 1, INT64_MAX, &number) < 0)
		return failure_set(failure, -EINVAL, "`jaga jobs` lists all", "\"%s\" is no number of a job",
				   invocation->operands[0]);
	r = job_fetch(invocation, invocation->operands[0], wait ? JOB_WAIT : JOB_NOW, &job, failure);
	if (r < 0)
		return r;
	if (!is_human || !output_only)
		r = invocation_print(invocation, json_incref(job), &shape, failure);
	if (r == 0 && is_human) {
		if (!output_only && json_string_length(row_get(job, "output")) > 0)
			(void)fputc('\n', stdout); /* main() checks the stream */
		job_print_output(invocation, job);
	}
	if (r == 0 && wait)
		r = job_exit_status(job);
	json_decref(job);
	return r;
}

static const struct option_spec options[] = {
	{ "wait", 'w', NULL, "until it has ended; then exit with its status" },
	{ "output", 'o', NULL, "only what the script printed" },
};

const struct command command_job = {
	.name = "job",
	.operands = "JOB",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "one script closely: how it went, what it printed",
	.details = "With --wait the exit status is the script's; 125 when it has none (refused, expired,\n"
		   "interrupted).",
	.example = "jaga job 17 --output",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
