/*
 * invocation: what commands share while they run: the look of standard output, requests, and the
 * path from the collector's rows to a renderer. See command.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "collector/cli/command.h"
#include "collector/cli/nearest.h"
#include "collector/cli/row.h"
#include "common/clock.h"
#include "common/parse.h"

const char *invocation_value(const struct invocation *invocation, const char *name)
{
	const struct command *command = invocation->command;

	for (size_t i = 0; i < command->n_options; i++)
		if (strcmp(command->options[i].name, name) == 0)
			return invocation->values[i];
	return NULL;
}

void invocation_target(const struct invocation *invocation, struct render_target *ret_target)
{
	const char *no_colour = getenv("NO_COLOR"); /* no-color.org: any text that is not empty */
	const char *term = getenv("TERM");
	struct winsize window;

	*ret_target = (struct render_target){ .out = stdout, .now_ms = clock_wall_ms() };
	ret_target->is_terminal = isatty(STDOUT_FILENO);
	ret_target->colour = ret_target->is_terminal && !invocation->no_colour && !(no_colour && no_colour[0] != '\0') &&
			     term && strcmp(term, "dumb") != 0;
	if (ret_target->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0)
		ret_target->width = window.ws_col;
}

json_t *invocation_request(const char *op, const char *device)
{
	return device ? json_pack("{s:s, s:s}", "op", op, "device", device) : json_pack("{s:s}", "op", op);
}

int invocation_output_failed(struct failure *failure, int code)
{
	if (code == -ENOMEM)
		return failure_set(failure, code, NULL, "out of memory");
	return failure_set(failure, code, "is the disk full, or the reader of the pipe gone?", "the output cannot be written");
}

/* "not found" may mean the device, a job or a snapshot: asks which devices there are, and names the nearest. */
static void explain_device(const struct invocation *invocation, const json_t *request, struct failure *failure)
{
	const char *device = row_text(request, "device");
	json_t *ask, *devices = NULL, *row;
	struct failure ignored;
	const char **names = NULL;
	const char *nearest;
	size_t index;
	bool is_known = false;

	ask = device ? invocation_request("devices", NULL) : NULL;
	if (!ask)
		return;
	if (client_call_all(invocation->socket_path, ask, LIMIT_CLI_SILENCE_MS, &devices, &ignored) < 0)
		goto out; /* the first failure stands as it is */
	names = calloc(json_array_size(devices) + 1, sizeof(*names));
	if (!names)
		goto out;
	json_array_foreach(devices, index, row) {
		names[index] = row_text_or(row, "name", "");
		is_known = is_known || strcmp(names[index], device) == 0;
	}
	if (is_known)
		goto out;
	nearest = nearest_find(device, names, json_array_size(devices));
	(void)failure_set(failure, -ENOENT, NULL, "no device \"%s\"", device); /* returns what the caller has */
	if (json_array_size(devices) == 0)
		failure_set_next(failure, "there are no devices yet: `jaga enroll %s --out DIR` makes the first", device);
	else if (nearest)
		failure_set_next(failure, "did you mean %s? `jaga devices` lists all", nearest);
	else
		failure_set_next(failure, "`jaga devices` lists all");
out:
	free(names);
	json_decref(devices);
	json_decref(ask);
}

/* The end of every request: explains what was not found or cannot be, lets go of the request. */
static int conclude(const struct invocation *invocation, json_t *request, int r, struct failure *failure)
{
	const char *device = row_text(request, "device");

	if (r == -ENOENT)
		explain_device(invocation, request, failure);
	if (r == -EINVAL && device && !parse_is_name(device))
		(void)failure_set(failure, r, "names are letters, digits, . _ and -, 31 at most; `jaga devices` lists them",
				  "\"%s\" is no name of a device", device); /* returns what the caller has */
	json_decref(request);
	return r;
}

int invocation_call(const struct invocation *invocation, json_t *request, int silence_ms, client_row_fn on_row, void *arg,
		    struct failure *failure)
{
	if (!request)
		return invocation_output_failed(failure, -ENOMEM);
	return conclude(invocation, request,
			client_call(invocation->socket_path, request, silence_ms, on_row, arg, failure), failure);
}

int invocation_ask(const struct invocation *invocation, json_t *request, json_t **ret_row, struct failure *failure)
{
	if (!request)
		return invocation_output_failed(failure, -ENOMEM);
	return conclude(invocation, request,
			client_call_one(invocation->socket_path, request, LIMIT_CLI_SILENCE_MS, ret_row, failure), failure);
}

int invocation_ask_all(const struct invocation *invocation, json_t *request, int silence_ms, json_t **ret_rows,
		       struct failure *failure)
{
	if (!request)
		return invocation_output_failed(failure, -ENOMEM);
	return conclude(invocation, request,
			client_call_all(invocation->socket_path, request, silence_ms, ret_rows, failure), failure);
}

struct listing {
	struct render *render;
	struct failure *failure;
};

static int print_row(void *arg, json_t *row)
{
	struct listing *listing = arg;
	int r = render_row(listing->render, row);

	return r < 0 ? invocation_output_failed(listing->failure, r) : 0;
}

int invocation_list(const struct invocation *invocation, json_t *request, const struct render_shape *shape,
		    int silence_ms, struct failure *failure)
{
	struct listing listing = { .failure = failure };
	struct render_target target;
	int r;

	invocation_target(invocation, &target);
	r = render_create(invocation->format, shape, &target, silence_ms == CLIENT_FOREVER, &listing.render);
	if (r < 0) {
		json_decref(request);
		return invocation_output_failed(failure, r);
	}
	r = invocation_call(invocation, request, silence_ms, print_row, &listing, failure);
	if (r == 0) {
		r = render_finish(listing.render);
		if (r < 0)
			r = invocation_output_failed(failure, r);
	}
	render_destroy(listing.render);
	return r;
}

int invocation_print(const struct invocation *invocation, json_t *row, const struct render_shape *shape,
		     struct failure *failure)
{
	return invocation_print_all(invocation, row ? json_pack("[o]", row) : NULL, shape, failure);
}

int invocation_print_all(const struct invocation *invocation, json_t *rows, const struct render_shape *shape,
			 struct failure *failure)
{
	struct render *render = NULL;
	struct render_target target;
	int r = rows ? 0 : -ENOMEM;
	json_t *row;
	size_t index;

	invocation_target(invocation, &target);
	if (r == 0)
		r = render_create(invocation->format, shape, &target, false, &render);
	json_array_foreach(rows, index, row)
		if (r == 0)
			r = render_row(render, row);
	if (r == 0)
		r = render_finish(render);
	render_destroy(render);
	json_decref(rows);
	return r < 0 ? invocation_output_failed(failure, r) : 0;
}
