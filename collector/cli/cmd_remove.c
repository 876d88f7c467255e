/* cmd_remove: `jaga remove DEVICE`, forgets a router's key: it cannot report any more, its history stays. */
#include <errno.h>

#include "collector/cli/command.h"
#include "collector/cli/row.h"

static void format_removed(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_printf(buf, "%s is removed: its key opens nothing any more; its events and snapshots stay",
		   row_text_or(row, "device", "?"));
}

static const struct column columns[] = { { .title = "REMOVED", .format = format_removed } };

static const struct render_shape shape = {
	.name = "removed",
	.one_row = true,
	.layout = LAYOUT_LINES,
	.columns = columns,
	.n_columns = 1,
};

static int ignore_row(void *arg, json_t *row)
{
	(void)arg;
	(void)row;
	return 0;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	const char *device = invocation->operands[0];
	int r;

	r = invocation_call(invocation, invocation_request("remove", device), LIMIT_CLI_SILENCE_MS, ignore_row, NULL, failure);
	if (r < 0)
		return r;
	return invocation_print(invocation, json_pack("{s:s, s:b}", "device", device, "removed", true), &shape, failure);
}

const struct command command_remove = {
	.name = "remove",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "forget a router's key: it may not report any more",
	.details = "Its events, snapshots and jobs stay. The router itself goes on working: only its reports end.\n"
		   "`jaga enroll DEVICE --out DIR` lets it in again, with a new key.",
	.example = "jaga remove rtr1",
	.run = run,
};
