/*
 * cmd_diff: `jaga diff DEVICE [A [B]]`, what changed between two snapshots. Exit status as diff(1):
 * 0 the same, 1 different, 2 and above trouble.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "collector/cli/command.h"
#include "collector/cli/diff.h"
#include "collector/cli/human.h"
#include "collector/cli/row.h"
#include "collector/cli/sanitise.h"
#include "collector/cli/snapshot_text.h"

#define EXIT_DIFFERENT 1
#define EXIT_TROUBLE 2

static const struct render_shape shape = { .name = "diff", .one_row = true };

/* The numbers of the last two snapshots. */
static int find_last_two(const struct invocation *invocation, int64_t *ret_old, int64_t *ret_new, struct failure *failure)
{
	const char *device = invocation->operands[0];
	json_t *snapshots = NULL;
	size_t n;
	int r;

	r = invocation_ask_all(invocation, invocation_request("snapshots", device), LIMIT_CLI_SILENCE_MS, &snapshots, failure);
	if (r < 0)
		return r;
	n = json_array_size(snapshots);
	if (n < 2) {
		r = failure_set(failure, -ENOENT, NULL, "%s has %s: there is nothing to compare", device,
				n == 0 ? "no snapshot yet" : "one snapshot only");
		failure_set_next(failure, "`jaga snapshots %s --take` asks for one now", device);
	} else {
		*ret_old = row_number(json_array_get(snapshots, n - 2), "n");
		*ret_new = row_number(json_array_get(snapshots, n - 1), "n");
	}
	json_decref(snapshots);
	return r;
}

static int choose(const struct invocation *invocation, int64_t *ret_old, int64_t *ret_new, struct failure *failure)
{
	int r;

	if (invocation->n_operands == 1)
		return find_last_two(invocation, ret_old, ret_new, failure);
	r = snapshot_parse_number(invocation->operands[1], ret_old, failure);
	if (r == 0 && invocation->n_operands == 3)
		r = snapshot_parse_number(invocation->operands[2], ret_new, failure);
	return r; /* without B *ret_new stays 0: the newest */
}

static void print_line(const struct render_target *target, enum paint paint, const char *line, size_t length)
{
	/* main() checks the stream. */
	if (target->colour)
		(void)fputs(paint_begin(paint), target->out);
	if (target->is_terminal)
		sanitise_to_stream(target->out, line, length);
	else
		(void)fwrite(line, 1, length, target->out);
	if (target->colour)
		(void)fputs(paint_end(paint), target->out);
	(void)fputc('\n', target->out);
}

static void print_name(const struct render_target *target, const char *mark, const char *device, const json_t *snapshot)
{
	char memory[LIMIT_ERR_TEXT];
	struct buf line;

	buf_init(&line, memory, sizeof(memory));
	buf_printf(&line, "%s %s/%" PRId64 "\t", mark, device, row_number(snapshot, "n"));
	human_time(&line, row_number(snapshot, "taken_ms"));
	print_line(target, PAINT_HEAD, line.data, line.length);
}

static void print_diff(const struct invocation *invocation, const struct diff *diff, const json_t *old_snapshot,
		       const json_t *new_snapshot)
{
	struct render_target target;
	const char *line = diff->text, *end = diff->text + diff->length;

	if (diff->length == 0)
		return;
	invocation_target(invocation, &target);
	print_name(&target, "---", invocation->operands[0], old_snapshot);
	print_name(&target, "+++", invocation->operands[0], new_snapshot);
	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		enum paint paint = *line == '+' ? PAINT_GOOD : *line == '-' ? PAINT_LESS : *line == '@' ? PAINT_DIM : PAINT_NONE;

		stop = stop ? stop : end;
		print_line(&target, paint, line, (size_t)(stop - line));
		line = stop + 1;
	}
}

static int print_document(const struct invocation *invocation, const struct diff *diff, json_t *old_snapshot,
			  json_t *new_snapshot, struct failure *failure)
{
	/* Without their texts: the patch says what matters. */
	if (json_object_del(old_snapshot, "text") < 0 || json_object_del(new_snapshot, "text") < 0)
		return invocation_output_failed(failure, -ENOMEM);
	return invocation_print(invocation,
				json_pack("{s:s, s:O, s:O, s:b, s:I, s:I, s:s}", "device", invocation->operands[0], "old",
					  old_snapshot, "new", new_snapshot, "different", diff->length > 0, "added",
					  (json_int_t)diff->n_added, "removed", (json_int_t)diff->n_removed, "patch",
					  diff->text ? diff->text : ""),
				&shape, failure);
}

static int compare(const struct invocation *invocation, struct failure *failure)
{
	json_t *old_snapshot = NULL, *new_snapshot = NULL;
	const json_t *old_text, *new_text;
	int64_t old_n = 0, new_n = 0;
	struct diff diff = { 0 };
	int r;

	r = choose(invocation, &old_n, &new_n, failure);
	if (r == 0)
		r = snapshot_fetch(invocation, invocation->operands[0], old_n, &old_snapshot, failure);
	if (r == 0)
		r = snapshot_fetch(invocation, invocation->operands[0], new_n, &new_snapshot, failure);
	if (r < 0)
		goto out;
	old_text = row_get(old_snapshot, "text");
	new_text = row_get(new_snapshot, "text");
	r = diff_make(json_string_value(old_text), json_string_length(old_text), json_string_value(new_text),
		      json_string_length(new_text), &diff);
	if (r < 0) {
		r = failure_set(failure, r, NULL, "the difference cannot be computed: %s", strerror(-r));
		goto out;
	}
	if (invocation->format == RENDER_HUMAN)
		print_diff(invocation, &diff, old_snapshot, new_snapshot);
	else
		r = print_document(invocation, &diff, old_snapshot, new_snapshot, failure);
	if (r == 0 && diff.length > 0)
		r = EXIT_DIFFERENT;
out:
	diff_finish(&diff);
	json_decref(new_snapshot);
	json_decref(old_snapshot);
	return r;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	int r = compare(invocation, failure);

	if (r < 0 && failure_status(r) == EXIT_STATUS_FAILED) { /* 1 says "different" here */
		(void)failure_print(failure, r, stderr); /* its status is replaced */
		return EXIT_TROUBLE;
	}
	return r;
}

const struct command command_diff = {
	.name = "diff",
	.operands = "DEVICE [A [B]]",
	.operands_min = 1,
	.operands_max = 3,
	.summary = "what changed in a router's configuration",
	.details = "Compares snapshot A with B, A with the newest, or the last two; unified, as diff -u.\n"
		   "Exit status as diff(1): 0 the same, 1 different, 2 and above trouble.",
	.example = "jaga diff rtr1 3 5",
	.run = run,
};
