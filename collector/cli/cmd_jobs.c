/* cmd_jobs: `jaga jobs [DEVICE]`, the scripts that were pushed, newest first. */
#include <inttypes.h>

#include "collector/cli/command.h"
#include "collector/cli/human.h"
#include "collector/cli/job_view.h"
#include "collector/cli/row.h"

/* Today's without the date: the name of the script needs the room. */
static void format_queued(const json_t *row, int64_t now_ms, struct buf *buf)
{
	human_clock(buf, row_number(row, "queued_ms"), now_ms);
}

static const struct column columns[] = {
	{ .path = "job", .title = "JOB" },
	{ .path = "device", .title = "DEVICE" },
	{ .path = "name", .title = "SCRIPT" },
	{ .path = "state", .title = "STATE", .paint = job_paint },
	{ .path = "exit_status", .title = "EXIT", .type = COLUMN_NUMBER },
	{ .title = "QUEUED", .format = format_queued },
	{ .path = "reason", .title = "WHY", .gives_way = true },
};

static const struct render_shape shape = {
	.name = "jobs",
	.layout = LAYOUT_TABLE,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
	.empty = "no jobs: `jaga push DEVICE FILE` sends a script",
};

static int run(const struct invocation *invocation, struct failure *failure)
{
	return invocation_list(invocation, invocation_request("jobs", invocation->operands[0]), &shape,
			       LIMIT_CLI_SILENCE_MS, failure);
}

const struct command command_jobs = {
	.name = "jobs",
	.operands = "[DEVICE]",
	.operands_max = 1,
	.summary = "the scripts that were pushed, newest first",
	.example = "jaga jobs rtr1",
	.run = run,
};
