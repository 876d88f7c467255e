/*
 * command: what a command of `jaga` is (one row in main.c's table, one cmd_*.c file), and what it
 * gets when it runs. The table drives dispatch, --help, and what the man page and the completion
 * are tested against.
 */
#ifndef JAGA_COLLECTOR_CLI_COMMAND_H
#define JAGA_COLLECTOR_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "collector/cli/client.h"
#include "collector/cli/failure.h"
#include "collector/cli/render.h"
#include "common/limits.h"

struct option_spec {
	const char *name;     /* without the dashes */
	char letter;	      /* 0: none */
	const char *argument; /* "N"; NULL: a switch */
	const char *help;
};

struct command;

/* A parsed command line. Strings belong to argv. */
struct invocation {
	const struct command *command;
	enum render_format format;
	const char *socket_path;
	bool no_colour;
	size_t n_operands;
	const char *operands[LIMIT_CLI_OPERANDS];
	const char *values[LIMIT_CLI_OPTIONS]; /* by index in command->options; NULL: not given, "" for a switch */
};

struct command {
	const char *name;
	const char *operands; /* as in the usage line: "DEVICE [A [B]]" */
	size_t operands_min, operands_max;
	const char *summary; /* one line of `jaga --help` */
	const char *details; /* paragraphs of `jaga NAME --help`; may be NULL */
	const char *example;
	const struct option_spec *options; /* LIMIT_CLI_OPTIONS at most */
	size_t n_options;
	/*
	 * Returns 0, an exit status above 0 that it explains itself (a script's, a difference's), or a
	 * negative errno with *failure filled, printed by main().
	 */
	int (*run)(const struct invocation *invocation, struct failure *failure);
};

extern const struct command command_enroll, command_devices, command_show, command_events, command_snapshots,
	command_diff, command_doctor, command_cat, command_push, command_jobs, command_job, command_status, command_remove;

/* Value of the option with that name, which the command must have; NULL when not given. */
const char *invocation_value(const struct invocation *invocation, const char *name);

/* Standard output as it is: a terminal or not, coloured or not, wide or not, now. */
void invocation_target(const struct invocation *invocation, struct render_target *ret_target);

/* {"op":op} with "device" set when device is not NULL. NULL: out of memory. */
json_t *invocation_request(const char *op, const char *device);

/* Fills failure for a row that could not be printed. */
int invocation_output_failed(struct failure *failure, int code);

/*
 * Sends request (stolen; NULL is -ENOMEM) and renders every row by shape. The whole of most commands.
 * CLIENT_FOREVER streams: each row is printed at once. An unknown device is explained with the nearest name.
 */
int invocation_list(const struct invocation *invocation, json_t *request, const struct render_shape *shape,
		    int silence_ms, struct failure *failure);

/* Renders one row that the command made itself (stolen; NULL is -ENOMEM). */
int invocation_print(const struct invocation *invocation, json_t *row, const struct render_shape *shape,
		     struct failure *failure);

/* The same for an array of them. */
int invocation_print_all(const struct invocation *invocation, json_t *rows, const struct render_shape *shape,
			 struct failure *failure);

/* client_call(), client_call_one() and client_call_all() for this invocation, the same way; all steal request. */
int invocation_call(const struct invocation *invocation, json_t *request, int silence_ms, client_row_fn on_row, void *arg,
		    struct failure *failure);
int invocation_ask(const struct invocation *invocation, json_t *request, json_t **ret_row, struct failure *failure);
int invocation_ask_all(const struct invocation *invocation, json_t *request, int silence_ms, json_t **ret_rows,
		       struct failure *failure);

#endif
