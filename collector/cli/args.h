/*
 * args: command lines of `jaga` to a struct invocation, and the help made from the same tables.
 */
#ifndef JAGA_COLLECTOR_CLI_ARGS_H
#define JAGA_COLLECTOR_CLI_ARGS_H

#include <stdio.h>

#include "collector/cli/command.h"

enum args_result { ARGS_RUN, ARGS_HELP, ARGS_VERSION };

/*
 * argv[0] is the program. Finds the command in commands (ended by NULL) and parses what belongs to
 * it; common options may stand before or after its name. Returns an enum args_result, or -EINVAL
 * with *failure filled. ret_invocation->command is NULL when no command was named. Not reentrant (getopt).
 */
int args_parse(const struct command *const *commands, int argc, char **argv, struct invocation *ret_invocation,
	       struct failure *failure);

/* `jaga --help`: every command, the common options, the exit statuses. */
void args_print_overview(const struct command *const *commands, FILE *out);

/* `jaga NAME --help`. */
void args_print_help(const struct command *command, FILE *out);

#endif
