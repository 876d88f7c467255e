/*
 * jaga: the technician's command. This file holds the table of commands, runs the one that was
 * named, and turns its result into messages and an exit status (failure.h).
 *
 *   argv -> args_parse() -> command->run() -> client.c: one request, rows -> render*.c -> stdout
 *
 * Everything that it shows comes from jaga-collector over the control socket; it keeps no state.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "collector/cli/args.h"

static const struct command *const commands[] = {
	&command_status, &command_devices,   &command_show, &command_events, &command_snapshots, &command_diff, &command_doctor,
	&command_cat,	 &command_push,	     &command_job,  &command_jobs,   &command_enroll,	 &command_remove,
	NULL,
};

static int print_help(const struct command *command)
{
	if (command)
		args_print_help(command, stdout);
	else
		args_print_overview(commands, stdout);
	return 0;
}

static int print_version(void)
{
	(void)puts("jaga " JAGA_VERSION); /* the stream is checked at the end */
	return 0;
}

int main(int argc, char **argv)
{
	struct failure failure = { "", "" };
	struct invocation invocation;
	int r;

	(void)setlocale(LC_CTYPE, ""); /* without a locale the widths of letters are unknown: tables less straight */
	r = args_parse(commands, argc, argv, &invocation, &failure);
	if (r == ARGS_HELP)
		r = print_help(invocation.command);
	else if (r == ARGS_VERSION)
		r = print_version();
	else if (r == ARGS_RUN)
		r = invocation.command->run(&invocation, &failure);
	if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = invocation_output_failed(&failure, -EIO);
	return r < 0 ? (int)failure_print(&failure, r, stderr) : r;
}
