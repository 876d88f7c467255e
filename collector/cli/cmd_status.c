/*
 * cmd_status: `jaga status`, only what is wrong now, each with the next step; then the collector's
 * counters; of one router: what is watched there, if anything is. With --check the exit status tells, for monitoring. A router
 * that may be away because it confirms a script is a notice, and no problem.
 */
#include <inttypes.h>
#include <string.h>

#include "collector/cli/command.h"
#include "collector/cli/human.h"
#include "collector/cli/row.h"
#include "collector/cli/watched_view.h"

#define COUNTER_BYTES 96 /* a name and a number */
#define LINE_WIDTH 76	 /* of the counters: every terminal has that */

static void format_problem(const json_t *row, int64_t now_ms, struct buf *buf)
{
	if (row_text(row, "device"))
		buf_printf(buf, "%s: ", row_text(row, "device"));
	buf_puts(buf, row_text_or(row, "text", row_text_or(row, "problem", "?")));
	if (!row_has_number(row, "since_ms"))
		return;
	buf_puts(buf, row_equals(row, "problem", "job") ? "; " : " "); /* the reason of a job is a sentence of the router's */
	human_since(buf, row_number(row, "since_ms"), now_ms);
}

static void format_next(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_text(row, "hint"))
		buf_printf(buf, "next: %s", row_text(row, "hint"));
}

static enum paint paint_problem(const json_t *row)
{
	return row_get(row, "notice") ? PAINT_WARNING : PAINT_BAD;
}

static const struct column columns[] = {
	{ .title = "PROBLEM", .format = format_problem, .paint = paint_problem },
	{ .title = "NEXT", .format = format_next, .gives_way = true },
};

static const struct render_shape problem_shape = {
	.name = "problems",
	.layout = LAYOUT_LINES,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
	.empty = "nothing is wrong",
};

/* --json and --kv: the rows as they come. */
static const struct render_shape all_shape = { .name = "status", .layout = LAYOUT_TABLE };

static bool ends_in(const char *name, const char *end, size_t *ret_stem)
{
	size_t n_name = strlen(name), n_end = strlen(end);

	if (n_name <= n_end || strcmp(name + n_name - n_end, end) != 0)
		return false;
	*ret_stem = n_name - n_end;
	return true;
}

/* "uptime_s" 67 as "uptime 67 s", "store_bytes" 45056 as "store 45 kB": the unit stands in the name. */
static void format_counter(const char *name, int64_t value, struct buf *buf)
{
	size_t stem = strlen(name);
	bool is_duration = ends_in(name, "_s", &stem), is_size = ends_in(name, "_bytes", &stem);

	for (size_t i = 0; i < stem; i++)
		buf_put(buf, name[i] == '_' ? " " : &name[i], 1);
	buf_puts(buf, " ");
	if (is_duration)
		human_seconds(buf, value * 1000);
	else if (is_size)
		human_bytes(buf, value);
	else
		buf_printf(buf, "%" PRId64, value);
}

static void print_counters(const json_t *counters, FILE *out)
{
	size_t width = 0;
	const char *name;
	json_t *value;

	/* main() checks the stream. The names are the collector's own, no router's. */
	json_object_foreach((json_t *)(uintptr_t)counters, name, value) {
		char memory[COUNTER_BYTES];
		struct buf text;

		buf_init(&text, memory, sizeof(memory));
		format_counter(name, json_integer_value(value), &text);
		if (json_integer_value(value) == 0)
			continue;
		if (width == 0)
			width = (size_t)fprintf(out, "\ncounters: %s", text.data);
		else if (width + text.length > LINE_WIDTH)
			width = (size_t)fprintf(out, ",\n  %s", text.data);
		else
			width += (size_t)fprintf(out, ", %s", text.data);
	}
	if (width > 0)
		(void)fputc('\n', out);
}

/* *ret_problems counts those among them. */
static int print_rows(const struct invocation *invocation, const json_t *rows, size_t *ret_problems)
{
	bool is_human = invocation->format == RENDER_HUMAN;
	const json_t *counters = NULL, *router = NULL;
	struct render *render = NULL;
	struct render_target target;
	size_t n_problems = 0;
	size_t index;
	json_t *row;
	int r;

	invocation_target(invocation, &target);
	r = render_create(invocation->format, is_human ? &problem_shape : &all_shape, &target, false, &render);
	json_array_foreach(rows, index, row) {
		const json_t *found = row_get(row, "counters");
		const json_t *found_router = row_get(row, "router");

		counters = found ? found : counters;
		router = found_router ? found_router : router;
		found = found ? found : found_router;
		n_problems += row_get(row, "problem") ? 1 : 0;
		if (r == 0 && !(found && is_human))
			r = render_row(render, row);
	}
	if (r == 0)
		r = render_finish(render);
	render_destroy(render);
	if (r == 0 && is_human && counters)
		print_counters(counters, target.out);
	if (r == 0 && is_human && router)
		r = watched_view_print(router, &target);
	*ret_problems = n_problems;
	return r;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	size_t n_problems = 0;
	json_t *rows = NULL;
	int r;

	r = invocation_ask_all(invocation, invocation_request("status", invocation->n_operands > 0 ? invocation->operands[0] : NULL),
			       LIMIT_CLI_SILENCE_MS, &rows, failure);
	if (r < 0)
		return r;
	r = print_rows(invocation, rows, &n_problems);
	json_decref(rows);
	if (r < 0)
		return invocation_output_failed(failure, r);
	return invocation_value(invocation, "check") && n_problems > 0 ? EXIT_STATUS_FAILED : EXIT_STATUS_OK;
}

static const struct option_spec options[] = {
	{ "check", 'c', NULL, "exit with 1 when something is wrong (for monitoring)" },
};

const struct command command_status = {
	.name = "status",
	.operands = "[DEVICE]",
	.operands_max = 1,
	.summary = "only what is wrong now, then the collector's counters or one router's",
	.example = "jaga status rtr1",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
