/*
 * cmd_doctor: `jaga doctor DEVICE`, what would break a take-over there, or will hurt, each with what to type. The same
 * findings and words as `jaga-agent --check` on the router. With --all every router is looked at, at once: a row
 * for each, and the exit status tells whether anything is fatal anywhere.
 *
 * A look that broke off is two things: what it found so far, and why it knows no more. Both are told. Nothing worse than
 * fatal can come, so that is its verdict then and the exit status; anything less is none.
 */
#include <errno.h>
#include <inttypes.h>

#include "collector/cli/command.h"
#include "collector/cli/many.h"
#include "collector/cli/row.h"

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

static int append_row(void *arg, json_t *row)
{
	return json_array_append(arg, row) < 0 ? -ENOMEM : 0;
}

/* looked: 0, or *failure tells what could not be looked at. */
static int conclude(size_t n_fatal, int looked, const struct failure *failure)
{
	if (n_fatal == 0)
		return looked;
	(void)fflush(stdout); /* main() checks the stream */
	if (looked < 0)
		(void)failure_print(failure, looked, stderr); /* its status is replaced */
	return EXIT_STATUS_FATAL;
}

static int look_at_one(const struct invocation *invocation, struct failure *failure)
{
	struct render_target target;
	json_t *rows = json_array();
	size_t n_fatal;
	int looked, r = 0;

	if (!rows)
		return invocation_output_failed(failure, -ENOMEM);
	looked = invocation_call(invocation, invocation_request("doctor", invocation->operands[0]), LIMIT_CLI_TAKE_MS, append_row,
				 rows, failure);
	n_fatal = count(rows, "fatal");
	if (looked == 0 || json_array_size(rows) > 0)
		r = invocation_print_all(invocation, json_incref(rows), &shape, failure);
	invocation_target(invocation, &target);
	if (r == 0 && invocation->format == RENDER_HUMAN && (looked == 0 || n_fatal > 0))
		print_verdict(n_fatal, count(rows, "warning"), target.out);
	json_decref(rows);
	return r < 0 ? r : conclude(n_fatal, looked, failure);
}

/* --- of all ------------------------------------------------------------------------------------- */

static void format_verdict(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_text(row, "level"))
		buf_puts(buf, row_text(row, "level"));
	else
		buf_puts(buf, row_equals(row, "missing", "offline") ? "offline" : "unknown");
}

static enum paint paint_verdict(const json_t *row)
{
	if (!row_text(row, "level"))
		return PAINT_BAD;
	return row_equals(row, "level", "ok") ? PAINT_GOOD : paint_finding(row);
}

/* None found where not all was seen is not "none". */
static void put_count(const json_t *row, const char *path, struct buf *buf)
{
	int64_t n = row_number(row, path);

	if (n > 0 || !row_text(row, "missing"))
		buf_printf(buf, "%" PRId64, n);
}

static void format_fatal(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	put_count(row, "fatal", buf);
}

static void format_warnings(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	put_count(row, "warnings", buf);
}

static void format_worst(const json_t *row, int64_t now_ms, struct buf *buf)
{
	const char *missing = row_equals(row, "missing", "offline") ? NULL : row_text(row, "missing"); /* said by the verdict */

	(void)now_ms;
	if (missing)
		buf_puts(buf, missing);
	if (missing && row_get(row, "worst"))
		buf_puts(buf, "; ");
	if (row_get(row, "worst"))
		buf_printf(buf, "%s: %s", row_text_or(row, "worst.id", "?"), row_text_or(row, "worst.what", "?"));
}

static const struct column all_columns[] = {
	{ .path = "device", .title = "DEVICE" },
	{ .title = "VERDICT", .format = format_verdict, .paint = paint_verdict },
	{ .title = "FATAL", .type = COLUMN_NUMBER, .format = format_fatal },
	{ .title = "WARNINGS", .type = COLUMN_NUMBER, .format = format_warnings },
	{ .title = "WORST", .format = format_worst, .gives_way = true },
};

static const struct render_shape all_shape = {
	.name = "doctor",
	.layout = LAYOUT_TABLE,
	.columns = all_columns,
	.n_columns = sizeof(all_columns) / sizeof(all_columns[0]),
	.empty = "no devices yet: `jaga enroll NAME --out DIR` makes the first",
};

static int look_at_all(const struct invocation *invocation, struct failure *failure)
{
	json_t *rows = NULL;
	size_t n_fatal;
	int looked = 0, r = many_ask(invocation, "doctor", &rows, failure);

	if (r < 0)
		return r;
	n_fatal = count(rows, "fatal");
	r = invocation_print_all(invocation, json_incref(rows), &all_shape, failure);
	if (r == 0 && n_fatal > 0 && invocation->format == RENDER_HUMAN) /* main() checks the stream */
		(void)printf("\nOn %zu of %zu something is fatal: `jaga doctor DEVICE` tells what to type.\n", n_fatal,
			     json_array_size(rows));
	if (r == 0)
		looked = many_check_missing(rows, "see `jaga status`; on the router itself: jaga-agent --check", failure);
	json_decref(rows);
	return r < 0 ? r : conclude(n_fatal, looked, failure);
}

/* --- the command -------------------------------------------------------------------------------- */

static int run(const struct invocation *invocation, struct failure *failure)
{
	bool is_all = invocation_value(invocation, "all");

	if (is_all == (invocation->n_operands > 0))
		return failure_set(failure, -EINVAL, "it is used as `jaga doctor DEVICE`, or `jaga doctor --all`",
				   is_all ? "--all goes without a device" : "which device, or --all?");
	return is_all ? look_at_all(invocation, failure) : look_at_one(invocation, failure);
}

static const struct option_spec options[] = {
	{ "all", 'a', NULL, "every router at once: a row for each" },
};

const struct command command_doctor = {
	.name = "doctor",
	.operands = "[DEVICE]",
	.operands_max = 1,
	.summary = "what would break a take-over there, each with its fix",
	.details = "The router is looked at now, and nothing is changed. Exits with 6 when something is fatal,\n"
		   "with 0 when there are only warnings. With --all a row for each router tells the verdict, how many\n"
		   "traps there are, and the worst; it exits with 6 when anything is fatal, else with 5 when a router\n"
		   "did not answer, or not all of it could be looked at.",
	.example = "jaga doctor rtr1",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
