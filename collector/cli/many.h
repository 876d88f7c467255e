/*
 * many: what the commands with --all share: a question to every device, whose rows come as the devices answer, and a line on a
 * terminal that tells meanwhile how far it is.
 */
#ifndef JAGA_COLLECTOR_CLI_MANY_H
#define JAGA_COLLECTOR_CLI_MANY_H

#include "collector/cli/command.h"

struct many_progress {
	bool is_shown; /* standard error is a terminal that can */
	size_t n_done, n_all;
};

/*
 * "3 of 10 routers have WHAT", on one line of standard error that is written over at each step and gone at the end. Nothing
 * where that is no terminal.
 */
void many_progress_begin(struct many_progress *progress, size_t n_all);
void many_progress_tell(struct many_progress *progress, size_t n_done, const char *what);
void many_progress_end(struct many_progress *progress);

/*
 * Asks every device by an operation of the collector that answers a row for each (ctl.h), with "missing" where one is away,
 * silent or cannot. *ret_rows, sorted by device, is the caller's. No devices at all: an empty array.
 */
int many_ask(const struct invocation *invocation, const char *op, json_t **ret_rows, struct failure *failure);

/* 0, or -EBUSY with *failure filled when rows are missing. next: what to do about that. */
int many_check_missing(const json_t *rows, const char *next, struct failure *failure);

#endif
