/*
 * cmd_doctor: `jaga doctor DEVICE`, what would break a take-over there, or will hurt, each with what to type. The same
 * findings, words and exit status as `jaga-agent --check` on the router.
 */
#include <errno.h>

#include "collector/cli/command.h"
#include "collector/cli/row.h"

#define EXIT_STATUS_FATAL 3 /* as jaga-agent --check has it */

static void format_finding(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_printf(buf, "%-8s %s: %s", row_text_or(row, "level", "?"), row_text_or(row, "id", "?"), row_text_or(row, "what", "?"));
}

static void format_fix(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_text(row, "fix") && row_text(row, "fix")[0] != '\0')
		buf_printf(buf, "       to mend it: %s", row_text(row, "fix"));
}

static enum paint paint_finding(const json_t *row)
{
	return row_equals(row, "level", "fatal") ? PAINT_BAD : row_equals(row, "level", "warning") ? PAINT_WARNING : PAINT_NONE;
}

static const struct column columns[] = {
	{ .title = "FINDING", .format = format_finding, .paint = paint_finding },
	{ .title = "FIX", .format = format_fix, .gives_way = true },
};

static const struct render_shape shape = {
	.name = "findings",
	.layout = LAYOUT_LINES,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
	.empty = "there is nothing to look at",
};

static size_t count(const json_t *rows, const char *level)
{
	const json_t *row;
	size_t index, n = 0;

	json_array_foreach((json_t *)(uintptr_t)rows, index, row)
		n += row_equals(row, "level", level);
	return n;
}

static void print_verdict(size_t fatal, size_t warnings, FILE *out)
{
	/* main() checks the stream. */
	if (fatal > 0)
		(void)fprintf(out, "\n%zu fatal, %zu warning%s: an agent will not take over before the fatal ones are mended.\n", fatal,
			      warnings, warnings == 1 ? "" : "s");
	else if (warnings > 0)
		(void)fprintf(out, "\n%zu warning%s: an agent takes over, but they will hurt.\n", warnings,
			      warnings == 1 ? "" : "s");
	else
		(void)fprintf(out, "\nNothing stands in the way.\n");
}

static int print_findings(const struct invocation *invocation, json_t *rows)
{
	struct render *render = NULL;
	struct render_target target;
	size_t index;
	json_t *row;
	int r;

	invocation_target(invocation, &target);
	r = render_create(invocation->format, &shape, &target, false, &render);
	json_array_foreach(rows, index, row)
		if (r == 0)
			r = render_row(render, row);
	if (r == 0)
		r = render_finish(render);
	render_destroy(render);
	return r;
}

static int append_row(void *arg, json_t *row)
{
	return json_array_append(arg, row) < 0 ? -ENOMEM : 0;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	struct render_target target;
	json_t *rows = json_array();
	size_t fatal;
	int r;

	if (!rows)
		return invocation_output_failed(failure, -ENOMEM);
	r = invocation_call(invocation, invocation_request("doctor", invocation->operands[0]), LIMIT_CLI_TAKE_MS, append_row, rows,
			    failure);
	if (r < 0) {
		json_decref(rows);
		return r;
	}
	r = print_findings(invocation, rows);
	fatal = count(rows, "fatal");
	invocation_target(invocation, &target);
	if (r == 0 && invocation->format == RENDER_HUMAN)
		print_verdict(fatal, count(rows, "warning"), target.out);
	json_decref(rows);
	if (r < 0)
		return invocation_output_failed(failure, r);
	return fatal > 0 ? EXIT_STATUS_FATAL : EXIT_STATUS_OK;
}

const struct command command_doctor = {
	.name = "doctor",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "what would break a take-over there, each with its fix",
	.details = "The router is looked at now, and nothing is changed. Exits with 3 when something is fatal,\n"
		   "with 0 when there are only warnings.",
	.example = "jaga doctor rtr1",
	.run = run,
};
