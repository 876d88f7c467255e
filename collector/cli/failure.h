/*
 * failure: what went wrong, in one line, and what to do next, in another; and the exit statuses of
 * `jaga`. Whoever knows the cause fills a struct failure; main() or the command prints it once.
 */
#ifndef JAGA_COLLECTOR_CLI_FAILURE_H
#define JAGA_COLLECTOR_CLI_FAILURE_H

#include <stdio.h>

#include "common/limits.h"

/* Documented in jaga(1) and `jaga --help`: scripts depend on them. */
enum exit_status {
	EXIT_STATUS_OK = 0,
	EXIT_STATUS_FAILED = 1,
	EXIT_STATUS_USAGE = 2,
	EXIT_STATUS_NOT_FOUND = 3,
	EXIT_STATUS_UNREACHABLE = 4, /* the collector */
	EXIT_STATUS_OFFLINE = 5,     /* the device, or no answer in time */
	EXIT_STATUS_FATAL = 6,	     /* doctor: a trap that keeps an agent from taking over */
	EXIT_STATUS_NO_RESULT = 125, /* --wait: the script has no exit status of its own; as env(1), timeout(1) */
};

struct failure {
	char what[LIMIT_ERR_TEXT];
	char next[LIMIT_ERR_TEXT]; /* "" when there is nothing sensible to do */
};

/* Fills failure with the formatted text and the next step (may be NULL); returns code, a negative errno. */
int failure_set(struct failure *failure, int code, const char *next, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for the next step alone, where it is formatted too. */
void failure_set_next(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The exit status that stands for a negative errno: -EINVAL usage, -ENOENT not found, -ECONNREFUSED
 * unreachable, -EBUSY and -ETIMEDOUT offline, anything else failed.
 */
enum exit_status failure_status(int code);

/* Prints both lines, control characters made visible, and returns failure_status(code). */
enum exit_status failure_print(const struct failure *failure, int code, FILE *out);

#endif
