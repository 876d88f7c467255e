/*
 * cmd_cat: `jaga cat DEVICE [N]`, a snapshot as the router made it: byte for byte into a file or a
 * pipe, made safe on a terminal.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/command.h"
#include "collector/cli/row.h"
#include "collector/cli/sanitise.h"
#include "collector/cli/snapshot_text.h"
#include "common/parse.h"

static const struct render_shape shape = { .name = "snapshot", .one_row = true };

/* Bytes that are not UTF-8 come as hexadecimal digits beside their readable form. */
static int write_bytes(const char *hex, FILE *out, struct failure *failure)
{
	size_t length = strlen(hex) / 2;
	uint8_t *bytes = malloc(length + 1);
	int r = bytes ? parse_hex(hex, bytes, length) : -ENOMEM;

	if (r == 0)
		(void)fwrite(bytes, 1, length, out); /* main() checks it */
	else
		failure_set(failure, r, "", "the bytes of the snapshot cannot be read");
	free(bytes);
	return r;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	struct render_target target;
	json_t *snapshot = NULL;
	const json_t *text;
	const char *hex;
	int64_t n = 0;
	int r = 0;

	if (invocation->n_operands > 1)
		r = snapshot_parse_number(invocation->operands[1], &n, failure);
	if (r == 0)
		r = snapshot_fetch(invocation, invocation->operands[0], n, &snapshot, failure);
	if (r < 0)
		return r;
	if (invocation->format != RENDER_HUMAN)
		return invocation_print(invocation, snapshot, &shape, failure);
	invocation_target(invocation, &target);
	text = row_get(snapshot, "text");
	hex = row_text(snapshot, "hex");
	if (target.is_terminal)
		sanitise_to_stream(target.out, json_string_value(text), json_string_length(text));
	else if (hex)
		r = write_bytes(hex, target.out, failure);
	else
		(void)fwrite(json_string_value(text), 1, json_string_length(text), target.out); /* main() checks it */
	json_decref(snapshot);
	return r;
}

const struct command command_cat = {
	.name = "cat",
	.operands = "DEVICE [N]",
	.operands_min = 1,
	.operands_max = 2,
	.summary = "print a snapshot of a router's configuration",
	.details = "N as `jaga snapshots DEVICE` numbers them; without it the newest. Into a pipe or a file it\n"
		   "goes byte for byte; on a terminal control characters are shown as \\x1b.",
	.example = "jaga cat rtr1 3 > rtr1.before.txt",
	.run = run,
};
