/*
 * job_view: showing one job, and waiting for its end; shared by `push --wait` and `job`.
 */
#ifndef JAGA_COLLECTOR_CLI_JOB_VIEW_H
#define JAGA_COLLECTOR_CLI_JOB_VIEW_H

#include "collector/cli/command.h"

/* Of a job's row, by its state and exit status. */
enum paint job_paint(const json_t *job);

/* True for the states that a job never leaves. */
bool job_is_final(const json_t *job);

enum job_wait {
	JOB_NOW,
	JOB_WAIT, /* each state on the way is told on standard error when that is a terminal */
	JOB_WAIT_QUIETLY,
};
/* The row of one job as it is, or, waiting, of its end. *ret_job is the caller's. Negative errno with *failure filled. */
int job_fetch(const struct invocation *invocation, const char *id, enum job_wait wait, json_t **ret_job,
	      struct failure *failure);

/* Prints the job's output as it is, made safe when standard output is a terminal. */
void job_print_output(const struct invocation *invocation, const json_t *job);

/*
 * What a shell should get: the script's exit status when it ran to its end; EXIT_STATUS_NO_RESULT
 * when it did not (refused, expired, interrupted), or did no good (rolled back though it did not fail). Why, and what to do next, on
 * standard error for all that was not the script's doing, and for what was rolled back.
 */
int job_exit_status(const json_t *job);

#endif
