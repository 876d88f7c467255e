/* cmd_devices: `jaga devices`, every router that may report, with the state of its uplinks. */
#include "collector/cli/command.h"
#include "collector/cli/row.h"
#include "collector/cli/sentence.h"

static void format_online(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_is_true(row, "online"))
		buf_puts(buf, "online");
	else if (row_text(row, "confirming"))
		buf_printf(buf, "confirming job %s", row_text(row, "confirming"));
	else
		buf_puts(buf, row_has_number(row, "last_seen_ms") ? "offline" : "never seen");
}

static enum paint paint_online(const json_t *row)
{
	if (row_is_true(row, "online"))
		return PAINT_GOOD;
	if (row_text(row, "confirming"))
		return PAINT_WARNING;
	return row_has_number(row, "last_seen_ms") ? PAINT_BAD : PAINT_DIM;
}

static const struct column columns[] = {
	{ .path = "name", .title = "DEVICE" },
	{ .title = "STATE", .format = format_online, .paint = paint_online },
	{ .path = "last_seen_ms", .title = "SEEN", .type = COLUMN_AGE },
	{ .title = "UPLINKS", .format = sentence_of_uplinks, .paint = sentence_paint_uplinks },
	{ .path = "snapshots", .title = "SNAPSHOTS", .type = COLUMN_NUMBER },
	{ .path = "jobs_waiting", .title = "WAITING", .type = COLUMN_NUMBER },
};

static const struct render_shape shape = {
	.name = "devices",
	.layout = LAYOUT_TABLE,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
	.empty = "no devices yet: `jaga enroll NAME --out DIR` makes the first",
};

static int run(const struct invocation *invocation, struct failure *failure)
{
	return invocation_list(invocation, invocation_request("devices", NULL), &shape, LIMIT_CLI_SILENCE_MS, failure);
}

const struct command command_devices = {
	.name = "devices",
	.operands = "",
	.summary = "every router, and how its uplinks are",
	.details = "WAITING counts the jobs that a device has not finished.",
	.example = "jaga devices",
	.run = run,
};
