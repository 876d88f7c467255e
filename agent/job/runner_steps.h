/*
 * runner_steps: what is done at the router with one job, from STARTED in the journal to its result; runner.h draws the
 * steps. runner.c says which job that is, and tells the collector. Both are one module with one struct: nobody else
 * includes this. Loop thread only.
 */
#ifndef JAGA_AGENT_JOB_RUNNER_STEPS_H
#define JAGA_AGENT_JOB_RUNNER_STEPS_H

#include "agent/job/runner.h"

/* runner_steps.c */
/* The job of runner->record, whose script is in place: RUNNER_STARTING, and from there on by itself to RUNNER_REPORTING. */
void runner_begin(struct runner *runner);
/* Goes back to what was before the job. */
void runner_undo(struct runner *runner, const char *reason);
/* The result, which is told when the journal has it. reason may be the record's own. */
void runner_end(struct runner *runner, enum job_phase phase, const char *reason);
/* Wall time, never before what is known to have passed: a collector with a wrong clock cannot bring old jobs back. */
int64_t runner_wall_ms(const struct runner *runner);
void runner_trouble(struct runner *runner, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Of journal_writer.h and confirm.h; arg is the runner. */
void runner_on_written(void *arg, const char *problem);
void runner_on_confirm_step(void *arg, int result, const char *reason);

/* runner.c */
/* Sends the state of the job. What cannot be sent now goes when the session opens or is free again. */
void runner_tell(struct runner *runner);

#endif
