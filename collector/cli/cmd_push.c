/*
 * cmd_push: `jaga push DEVICE FILE`, a script down to a router. Without --wait it says under which
 * number the script waits and returns; with --wait it stays until the end, prints what the script
 * printed and exits as the script did, so that it reads like running it here. Unless told otherwise the router
 * goes back to what it was when it does not reach the collector afterwards. To all: push_all.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/cli/command.h"
#include "collector/cli/human.h"
#include "collector/cli/job_view.h"
#include "collector/cli/push.h"
#include "collector/cli/row.h"
#include "common/clock.h"
#include "common/parse.h"

#define EXPIRES_MIN_MS 1000
#define EXPIRES_MAX_MS (365 * 24 * 3600 * (int64_t)1000) /* a script older than a year is no longer meant */

static void format_queued(const json_t *row, int64_t now_ms, struct buf *buf)
{
	const char *job = row_text_or(row, "job", "?");

	(void)now_ms;
	buf_printf(buf, "job %s %s for %s: `jaga job %s --wait` shows what comes of it", job, row_text_or(row, "state", "?"),
		   row_text_or(row, "device", "?"), job);
}

static const struct column columns[] = { { .title = "JOB", .format = format_queued } };

static const struct render_shape shape = {
	.name = "job",
	.one_row = true,
	.layout = LAYOUT_LINES,
	.columns = columns,
	.n_columns = 1,
};

/* Editors of Windows begin a text with a mark that a router takes for the name of a command. */
static size_t mark_length(const char *text, size_t length)
{
	static const char mark[] = "\xef\xbb\xbf";

	return length >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0 ? sizeof(mark) - 1 : 0;
}

int push_read_script(const char *path, json_t **ret_script, struct failure *failure)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *text = malloc(LIMIT_JOB_BYTES + 1);
	size_t length = 0, mark;
	int r = 0;

	if (!file)
		r = failure_set(failure, -EIO, "name a file that can be read, or - for standard input", "%s: %s", path,
				strerror(errno));
	else if (!text)
		r = failure_set(failure, -ENOMEM, NULL, "out of memory");
	else
		length = fread(text, 1, LIMIT_JOB_BYTES + 1, file);
	if (r == 0 && ferror(file))
		r = failure_set(failure, -EIO,
				errno == EISDIR ? "name a file; with --all the script may be a directory of them" :
						  "name a file that can be read, or - for standard input",
				"%s: %s", path, strerror(errno));
	else if (r == 0 && length > LIMIT_JOB_BYTES)
		r = failure_set(failure, -E2BIG, "let the script fetch what is big", "%s is longer than %d kB", path,
				LIMIT_JOB_BYTES / 1024);
	mark = r == 0 ? mark_length(text, length) : 0;
	if (r == 0 && length == mark)
		r = failure_set(failure, -ENODATA, "is it the right file?", "%s is empty", path);
	if (r == 0) {
		*ret_script = memchr(text, '\0', length) ? NULL : json_stringn(text + mark, length - mark); /* NULL: not UTF-8 */
		if (!*ret_script)
			r = failure_set(failure, -EILSEQ, "scripts are text: let it fetch or unpack what is not",
					"%s is not a text in UTF-8", path);
	}
	if (file && file != stdin)
		(void)fclose(file); /* read only: nothing to lose */
	free(text);
	return r;
}

/* 0: nothing to confirm. */
static int read_confirm(const struct invocation *invocation, uint64_t *ret_confirm_s, struct failure *failure)
{
	const char *confirm = invocation_value(invocation, "confirm");
	bool is_off = invocation_value(invocation, "no-confirm") != NULL;

	if (confirm && is_off)
		return failure_set(failure, -EINVAL, "give one of them", "--confirm and --no-confirm contradict each other");
	if (is_off && invocation_value(invocation, "rollback"))
		return failure_set(failure, -EINVAL, "leave --no-confirm away: the rollback runs when nobody confirms",
				   "--rollback and --no-confirm contradict each other");
	*ret_confirm_s = is_off ? 0 : LIMIT_CONFIRM_DEFAULT_S;
	if (confirm && parse_u64(confirm, LIMIT_CONFIRM_MIN_S, LIMIT_CONFIRM_MAX_S, ret_confirm_s) < 0)
		return failure_set(failure, -EINVAL, "write how many seconds, from 30 to 600", "\"%s\" is no time for --confirm",
				   confirm);
	return 0;
}

/* By the file's name; NULL: the router's own. */
static const char *find_interpreter(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (dot && strcmp(dot, ".rsc") == 0)
		return "routeros";
	return dot && strcmp(dot, ".sh") == 0 ? "sh" : NULL;
}

/* Sets the key unless r is negative already. value: stolen. */
static int set_field(int r, json_t *request, const char *key, json_t *value)
{
	if (r < 0) {
		json_decref(value);
		return r;
	}
	return json_object_set_new(request, key, value) < 0 ? -ENOMEM : 0;
}

int push_make_request(const struct invocation *invocation, const char *device, const char *path, json_t **ret_request,
		      struct failure *failure)
{
	const char *rollback_path = invocation_value(invocation, "rollback");
	const char *slash = strrchr(path, '/');
	const char *name = strcmp(path, "-") == 0 ? "stdin" : slash ? slash + 1 : path;
	const char *expires = invocation_value(invocation, "expires");
	const char *interpreter = find_interpreter(name);
	json_t *rollback = NULL, *request;
	int64_t expires_ms = 0;
	uint64_t confirm_s = 0;
	int r = read_confirm(invocation, &confirm_s, failure);

	if (r == 0 && rollback_path && strcmp(rollback_path, "-") == 0)
		r = failure_set(failure, -EINVAL, "name a file", "a rollback script does not come by standard input");
	if (r < 0)
		return r;
	if (expires && parse_duration_ms(expires, EXPIRES_MIN_MS, EXPIRES_MAX_MS, &expires_ms) < 0)
		return failure_set(failure, -EINVAL, "write a number and a unit: 30m, 2h, 7d; up to a year",
				   "\"%s\" is no time for --expires", expires);
	if (rollback_path)
		r = push_read_script(rollback_path, &rollback, failure);
	if (r < 0)
		return r;
	request = json_pack("{s:s, s:s, s:s, s:I}", "op", "push", "device", device, "name", name, "confirm_s",
			    (json_int_t)confirm_s);
	r = request ? 0 : -EILSEQ;
	if (expires)
		r = set_field(r, request, "not_after_s", json_integer(expires_ms / 1000));
	if (interpreter)
		r = set_field(r, request, "interpreter", json_string(interpreter));
	if (rollback)
		r = set_field(r, request, "rollback", rollback);
	if (r < 0) {
		json_decref(request);
		return failure_set(failure, -EILSEQ, "rename it in UTF-8", "the name of the script cannot be sent");
	}
	*ret_request = request;
	return 0;
}

/* On standard error, so that the script's output stays alone: that the job waits for a router that is away. */
static void tell_if_offline(const struct invocation *invocation)
{
	struct failure ignored;
	json_t *device = NULL;
	char memory[64];
	struct buf seen;

	/* Only a courtesy: what is wrong with the collector shows in the waiting itself. */
	if (invocation_ask(invocation, invocation_request("show", invocation->operands[0]), &device,
			   &ignored) < 0)
		return;
	buf_init(&seen, memory, sizeof(memory));
	if (row_has_number(device, "last_seen_ms"))
		human_age(&seen, row_number(device, "last_seen_ms"), clock_wall_ms());
	if (row_text(device, "confirming"))
		(void)fprintf(stderr, "jaga: %s is confirming the script before: this one runs after that\n",
			      invocation->operands[0]);
	else if (!row_is_true(device, "online"))
		(void)fprintf(stderr, "jaga: %s is offline (seen: %s): the script runs when it is back\n",
			      invocation->operands[0], seen.length > 0 ? seen.data : "never");
	json_decref(device);
}

static int wait_for_end(const struct invocation *invocation, const json_t *queued, struct failure *failure)
{
	const char *id = row_text_or(queued, "job", "");
	json_t *job = NULL;
	int r;

	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "job %s for %s; Ctrl-C ends the waiting, not the job\n", id, invocation->operands[0]);
	tell_if_offline(invocation);
	r = job_fetch(invocation, id, JOB_WAIT, &job, failure);
	if (r < 0) {
		if (r == -ECONNREFUSED)
			failure_set_next(failure, "the job goes on: `jaga job %s --wait` when the collector is back", id);
		return r;
	}
	if (invocation->format == RENDER_HUMAN)
		job_print_output(invocation, job);
	else
		r = invocation_print(invocation, json_incref(job), &shape, failure);
	if (r == 0)
		r = job_exit_status(job);
	json_decref(job);
	return r;
}

static int push_one(const struct invocation *invocation, const char *path, struct failure *failure)
{
	json_t *script = NULL, *request = NULL, *queued = NULL;
	int r;

	r = push_make_request(invocation, invocation->operands[0], path, &request, failure);
	if (r == 0)
		r = push_read_script(path, &script, failure);
	if (r == 0 && json_object_set_new(request, "script", script) < 0)
		r = invocation_output_failed(failure, -ENOMEM);
	if (r == 0)
		r = invocation_ask(invocation, request, &queued, failure);
	else
		json_decref(request);
	if (r < 0)
		return r;
	if (invocation_value(invocation, "wait")) {
		r = wait_for_end(invocation, queued, failure);
	} else {
		if (json_object_set_new(queued, "device", json_string(invocation->operands[0])) < 0)
			r = invocation_output_failed(failure, -ENOMEM);
		if (r == 0)
			r = invocation_print(invocation, json_incref(queued), &shape, failure);
		if (r == 0 && invocation->format == RENDER_HUMAN)
			tell_if_offline(invocation);
	}
	json_decref(queued);
	return r;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	bool is_all = invocation_value(invocation, "all");

	if (invocation->n_operands != (is_all ? 1 : 2))
		return failure_set(failure, -EINVAL, "it is used as `jaga push DEVICE FILE`, or `jaga push --all FILE|DIR`",
				   is_all ? "--all goes without a device" : "which file, or --all?");
	return is_all ? push_all(invocation, invocation->operands[0], failure)
		      : push_one(invocation, invocation->operands[1], failure);
}

static const struct option_spec options[] = {
	{ "wait", 'w', NULL, "until the script has ended: print its output, exit with its status" },
	{ "expires", 'e', "TIME", "do not start it later than this from now: 30m, 2h, 7d" },
	{ "confirm", 'c', "SECONDS", "so long the router has to come back after it (30 to 600; 90)" },
	{ "no-confirm", 0, NULL, "keep what it did, whatever comes of it" },
	{ "rollback", 'r', "FILE", "undoes it, instead of the router's own way back" },
	{ "all", 'a', NULL, "to every router; of a directory, to each the file with its name" },
};

const struct command command_push = {
	.name = "push",
	.operands = "[DEVICE] FILE|DIR",
	.operands_min = 1,
	.operands_max = 2,
	.summary = "run a script on a router, and undo it when that cuts it off",
	.details = "The script starts at once when the router is online, and when it comes back otherwise; it\n"
		   "runs once. FILE may be - for standard input; a router runs shell, a RouterOS router its own\n"
		   "scripts (*.rsc). The router's agent.conf must say `scripts = unsigned`.\n"
		   "\n"
		   "When the script has ended the router opens a new session with the collector. If that is not\n"
		   "confirmed within --confirm SECONDS, if the script fails, or if the power goes meanwhile, the\n"
		   "router goes back to what it was before, or runs --rollback FILE. What is put back: jaga(1).\n"
		   "\n"
		   "With --wait the exit status is the script's; 125 when it has none or did no good (refused,\n"
		   "expired, interrupted, not confirmed). `timeout 60 jaga push --wait ...` waits a minute at most.\n"
		   "With --all it goes to every router at once. DIR holds a script for each that is meant, named like\n"
		   "it (rtr1, rtr1.rsc, rtr1.sh). A row tells what became of each; the exit status is 1 when one failed.",
	.example = "jaga push rtr1 fix-dns.sh --wait --expires 2h",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
