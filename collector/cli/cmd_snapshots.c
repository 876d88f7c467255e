/*
 * cmd_snapshots: `jaga snapshots DEVICE`, the versions of a router's configuration; with --take the
 * router is asked for one now, and the answer says whether anything changed; with --all all routers are.
 */
#include <errno.h>
#include <inttypes.h>

#include "collector/cli/command.h"
#include "collector/cli/many.h"
#include "collector/cli/row.h"

static void format_hash(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_printf(buf, "%.12s", row_text_or(row, "hash", ""));
}

static const struct column columns[] = {
	{ .path = "n", .title = "N", .type = COLUMN_NUMBER },
	{ .path = "taken_ms", .title = "TAKEN", .type = COLUMN_TIME },
	{ .path = "checked_ms", .title = "UNCHANGED", .type = COLUMN_AGE },
	{ .path = "bytes", .title = "SIZE", .type = COLUMN_BYTES },
	{ .path = "stored_bytes", .title = "STORED", .type = COLUMN_BYTES },
	{ .title = "HASH", .format = format_hash },
};

static const struct render_shape shape = {
	.name = "snapshots",
	.layout = LAYOUT_TABLE,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
	.empty = "no snapshots yet: `jaga snapshots DEVICE --take` asks the router for one",
};

static void format_taken(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_is_true(row, "changed"))
		buf_printf(buf, "snapshot %" PRId64 " taken: the configuration has changed", row_number(row, "n"));
	else
		buf_printf(buf, "nothing has changed since snapshot %" PRId64, row_number(row, "n"));
}

static const struct column taken_columns[] = { { .title = "TAKEN", .format = format_taken } };

static const struct render_shape taken_shape = {
	.name = "snapshot",
	.one_row = true,
	.layout = LAYOUT_LINES,
	.columns = taken_columns,
	.n_columns = 1,
};

/* --- of all ------------------------------------------------------------------------------------- */

static void format_outcome(const json_t *row, int64_t now_ms, struct buf *buf)
{
	const char *missing = row_text(row, "missing");

	(void)now_ms;
	buf_puts(buf, missing ? missing : row_is_true(row, "changed") ? "changed" : "unchanged");
}

static enum paint paint_outcome(const json_t *row)
{
	return row_text(row, "missing") ? PAINT_BAD : row_is_true(row, "changed") ? PAINT_WARNING : PAINT_NONE;
}

static const struct column all_columns[] = {
	{ .path = "device", .title = "DEVICE" },
	{ .path = "n", .title = "SNAPSHOT", .type = COLUMN_NUMBER },
	{ .title = "CONFIGURATION", .format = format_outcome, .paint = paint_outcome },
};

static const struct render_shape all_shape = {
	.name = "snapshots",
	.layout = LAYOUT_TABLE,
	.columns = all_columns,
	.n_columns = sizeof(all_columns) / sizeof(all_columns[0]),
	.empty = "no devices yet: `jaga enroll NAME` makes the first",
};

/* Prints a row for each; one that is missing makes it a failure, told when all have been printed. */
static int take_all(const struct invocation *invocation, struct failure *failure)
{
	json_t *rows = NULL;
	int r = many_ask(invocation, "snapshot-take", &rows, failure);

	if (r == 0)
		r = invocation_print_all(invocation, json_incref(rows), &all_shape, failure);
	if (r == 0)
		r = many_check_missing(rows, "who is offline hands it in when it is back; `jaga status` tells more", failure);
	json_decref(rows);
	return r;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	const char *device = invocation->n_operands > 0 ? invocation->operands[0] : NULL;
	bool is_all = invocation_value(invocation, "all"), is_take = invocation_value(invocation, "take");

	if (is_all && is_take && !device)
		return take_all(invocation, failure);
	if (is_all || !device)
		return failure_set(failure, -EINVAL, "it is used as `jaga snapshots DEVICE`, or `jaga snapshots --all --take`",
				   is_all ? "--all goes with --take, and without a device" : "which device?");
	if (is_take)
		return invocation_list(invocation, invocation_request("snapshot-take", device), &taken_shape,
					    LIMIT_CLI_TAKE_MS, failure);
	return invocation_list(invocation, invocation_request("snapshots", device), &shape, LIMIT_CLI_SILENCE_MS, failure);
}

static const struct option_spec options[] = {
	{ "take", 't', NULL, "ask the router for one now" },
	{ "all", 'a', NULL, "with --take: ask every router at once" },
};

const struct command command_snapshots = {
	.name = "snapshots",
	.operands = "[DEVICE]",
	.operands_min = 0,
	.operands_max = 1,
	.summary = "the versions of a router's configuration",
	.details = "UNCHANGED tells when the router last said that it still has this one. A router hands in\n"
		   "its configuration by itself when it changes; --take does not wait for that. --take --all asks every\n"
		   "router at once and says of each whether anything changed; the exit status is 5 when one could not,\n"
		   "or did not answer.",
	.example = "jaga snapshots rtr1 --take && jaga diff rtr1",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
