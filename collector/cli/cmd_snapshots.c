/*
 * cmd_snapshots: `jaga snapshots DEVICE`, the versions of a router's configuration; with --take the
 * router is asked for one now, and the answer says whether anything changed.
 */
#include <errno.h>
#include <inttypes.h>

#include "collector/cli/command.h"
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

static int run(const struct invocation *invocation, struct failure *failure)
{
	const char *device = invocation->operands[0];

	if (invocation_value(invocation, "take"))
		return invocation_list(invocation, invocation_request("snapshot-take", device), &taken_shape,
					    LIMIT_CLI_TAKE_MS, failure);
	return invocation_list(invocation, invocation_request("snapshots", device), &shape, LIMIT_CLI_SILENCE_MS, failure);
}

static const struct option_spec options[] = {
	{ "take", 't', NULL, "ask the router for one now" },
};

const struct command command_snapshots = {
	.name = "snapshots",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "the versions of a router's configuration",
	.details = "UNCHANGED tells when the router last said that it still has this one. A router hands in\n"
		   "its configuration by itself when it changes; --take does not wait for that.",
	.example = "jaga snapshots rtr1 --take && jaga diff rtr1",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
