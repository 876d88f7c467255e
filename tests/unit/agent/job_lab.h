/*
 * job_lab: a runner over a fake link and a fake router. Everything that it does is counted in `fake`; the journal is
 * real, in a directory of the test's own, and what the fake router checks first is that the disk knows of the job it is
 * to run. A restart leaves nothing but that directory. Included once by a test program.
 */
#ifndef JAGA_TESTS_JOB_LAB_H
#define JAGA_TESTS_JOB_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job/runner.h"
#include "common/clock.h"

static struct ev_loop *loop;
static char dir[64];
static struct runner *runner;

/* --- fakes ------------------------------------------------------------------------------------- */

static struct {
	unsigned asked, sent, ran, ended, settled, troubles; /* ended: settled with a script behind it */
	bool is_reading;
	uint64_t asked_after;
	int ask_result, send_result, run_result; /* of the next */
	struct link_job_state state;
	char output[LIMIT_OUTPUT_BYTES], reason[LIMIT_JOB_REASON], trouble[LIMIT_ERR_TEXT], script[64];
	router_script_fn *on_script;
	void *script_arg;
} fake;

static inline int ask_job(void *arg, uint64_t after_seq)
{
	assert_ptr_equal(arg, &fake);
	fake.asked++;
	fake.asked_after = after_seq;
	return fake.ask_result;
}

static inline int send_state(void *arg, const struct link_job_state *state)
{
	assert_ptr_equal(arg, &fake);
	if (fake.send_result < 0)
		return fake.send_result;
	fake.sent++;
	fake.state = *state;
	memcpy(fake.output, state->output, state->output_length);
	snprintf(fake.reason, sizeof(fake.reason), "%s", state->reason);
	return 0;
}

static inline int run_script(void *arg, const char *job_id, const char *interpreter, const void *script, size_t length,
			     router_script_fn *on_done, void *done_arg, struct err *err)
{
	struct journal_record record;
	char output[LIMIT_OUTPUT_BYTES];

	assert_ptr_equal(arg, &fake);
	assert_string_equal(interpreter, "sh");
	/* The promise: before its first instruction the job is on the disk. */
	assert_int_equal(journal_load(dir, &record, output, NULL), 0);
	assert_int_equal(record.phase, JOB_STARTED);
	assert_string_equal(record.job_id, job_id);
	assert_true(record.hiwater == record.seq);
	fake.ran++;
	snprintf(fake.script, sizeof(fake.script), "%.*s", (int)length, (const char *)script);
	fake.on_script = on_done;
	fake.script_arg = done_arg;
	return fake.run_result < 0 ? err_set(err, fake.run_result, "the router says no") : 0;
}

static inline bool is_reading(void *arg)
{
	assert_ptr_equal(arg, &fake);
	return fake.is_reading;
}

static inline void on_settled(void *arg, bool has_run)
{
	assert_ptr_equal(arg, &fake);
	assert_false(runner_is_unsettled(runner));
	fake.settled++;
	fake.ended += has_run;
}

static inline void on_trouble(void *arg, enum log_level level, const char *text)
{
	assert_ptr_equal(arg, &fake);
	assert_int_equal(level, LOG_LEVEL_ERROR);
	fake.troubles++;
	snprintf(fake.trouble, sizeof(fake.trouble), "%s", text);
}

/* --- the runner's life ----------------------------------------------------------------------------- */

static inline void lab_start(const struct runner_ops *ops, bool scripts_unsigned)
{
	runner_init(runner, loop, dir, scripts_unsigned, ops, &fake);
}

/* As after a crash or a power cut: nothing of the old one is left but its journal. */
static inline void lab_restart(const struct runner_ops *ops)
{
	runner_stop(runner);
	memset(runner, 0, sizeof(*runner));
	memset(&fake, 0, sizeof(fake));
	lab_start(ops, true);
}

/* A directory and a runner that was not started. */
static inline int lab_set_up(void)
{
	strcpy(dir, "/tmp/test_job.XXXXXX");
	assert_non_null(mkdtemp(dir));
	memset(&fake, 0, sizeof(fake));
	loop = ev_default_loop(0);
	runner = calloc(1, sizeof(*runner));
	assert_non_null(runner);
	return 0;
}

static inline int lab_tear_down(void **state)
{
	char command[128];

	(void)state;
	runner_stop(runner);
	free(runner);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

/* --- steps ----------------------------------------------------------------------------------------- */

static inline void on_late(struct ev_loop *l, ev_timer *timer, int revents)
{
	(void)l;
	(void)revents;
	*(bool *)timer->data = true;
}

/* Runs the loop until the runner is in that phase. */
static inline void wait_phase(enum runner_phase phase)
{
	bool is_late = false;
	ev_timer deadline;

	ev_now_update(loop);
	ev_timer_init(&deadline, on_late, 30, 0);
	deadline.data = &is_late;
	ev_timer_start(loop, &deadline);
	while (runner->phase != phase && !is_late)
		ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &deadline);
	assert_int_equal(runner->phase, phase);
}

static inline void open_session(void)
{
	runner_set_time(runner, clock_wall_ms());
	runner_on_open(runner);
}

/* exit_status below 0: nobody knows how it ended. */
static inline void end_script(int exit_status, const char *output, const char *reason)
{
	const struct router_script_result result = { .exit_status = exit_status, .output = output,
						     .output_length = strlen(output), .output_truncated = true,
						     .duration_ms = 42, .reason = reason,
						     .is_interrupted = exit_status < 0 };

	fake.on_script(fake.script_arg, &result);
}

#endif
