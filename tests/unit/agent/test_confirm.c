/*
 * confirm and runner: a job with a way back, and a power cut after each of its steps. The link and the router are fakes;
 * the journal is real, and each fake looks first whether the disk knows what has to be known by then. The fake router has
 * one fact, what is configured, and a save point that outlives the agent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/job/runner.h"
#include "common/clock.h"

static struct ev_loop *loop;
static char dir[64];
static struct runner *runner;

/* --- fakes ------------------------------------------------------------------------------------- */

enum { BEFORE, AFTER };

static struct { /* survives the agent */
	int configured;
	bool has_save;
	int saved;
} router;

static struct {
	unsigned sent, ran, snapshots, troubles, sessions, asked_confirmation, saves, commits, roll_backs;
	int save_result, commit_result, roll_back_result, send_result; /* result of the next */
	struct link_job_state state;
	char reason[LIMIT_JOB_REASON], trouble[LIMIT_ERR_TEXT], rollback[64];
	int64_t urgent_ms;
	router_script_fn *on_script;
	router_done_fn *on_done;
	void *script_arg, *done_arg;
} fake;

static enum job_phase phase_on_disk(void)
{
	static char output[LIMIT_OUTPUT_BYTES];
	struct journal_record record;

	assert_int_equal(journal_load(dir, &record, output, NULL), 0);
	return record.phase;
}

static int ask_job(void *arg, uint64_t after_seq)
{
	(void)arg;
	(void)after_seq;
	return 0;
}

static int send_state(void *arg, const struct link_job_state *state)
{
	(void)arg;
	if (fake.send_result < 0)
		return fake.send_result;
	fake.sent++;
	fake.state = *state;
	snprintf(fake.reason, sizeof(fake.reason), "%s", state->reason);
	return 0;
}

static int run_script(void *arg, const char *job_id, const char *interpreter, const void *script, size_t length,
		      router_script_fn *on_done, void *done_arg, struct err *err)
{
	(void)arg;
	(void)job_id;
	(void)interpreter;
	(void)err;
	assert_int_equal(length, 6);
	assert_memory_equal(script, "change", 6);
	assert_true(router.has_save);
	fake.ran++;
	router.configured = AFTER;
	fake.on_script = on_done;
	fake.script_arg = done_arg;
	return 0;
}

static void on_script_ended(void *arg)
{
	(void)arg;
	fake.snapshots++;
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	(void)arg;
	assert_int_equal(level, LOG_LEVEL_ERROR);
	fake.troubles++;
	snprintf(fake.trouble, sizeof(fake.trouble), "%s", text);
}

static int save_point(void *arg, const struct router_save_spec *spec, router_done_fn *on_done, void *done_arg, struct err *err)
{
	(void)arg;
	assert_int_equal(phase_on_disk(), JOB_STARTED);
	assert_string_equal(spec->job_id, "j-7");
	assert_int_equal(spec->length, 6);
	assert_int_equal(spec->confirm_s, LIMIT_CONFIRM_MIN_S);
	snprintf(fake.rollback, sizeof(fake.rollback), "%.*s", (int)spec->rollback_length, spec->rollback ? spec->rollback : "");
	fake.saves++;
	fake.on_done = on_done;
	fake.done_arg = done_arg;
	return fake.save_result < 0 ? err_set(err, fake.save_result, "flash is full") : 0;
}

static void saved(void)
{
	router.saved = router.configured;
	router.has_save = true;
	fake.on_done(fake.done_arg, 0, "");
}

static int commit(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err)
{
	(void)arg;
	assert_int_equal(phase_on_disk(), JOB_APPLIED);
	assert_string_equal(job_id, "j-7");
	fake.commits++;
	fake.on_done = on_done;
	fake.done_arg = done_arg;
	return fake.commit_result < 0 ? err_set(err, fake.commit_result, "it has gone back by itself") : 0;
}

static void committed(void)
{
	router.has_save = false;
	fake.on_done(fake.done_arg, 0, "");
}

static int roll_back(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err)
{
	(void)arg;
	(void)err;
	assert_string_equal(job_id, "j-7");
	fake.roll_backs++;
	fake.on_done = on_done;
	fake.done_arg = done_arg;
	return 0;
}

/* As a driver does it: -ENOENT without a save point. */
static void rolled_back(void)
{
	if (!router.has_save) {
		fake.on_done(fake.done_arg, -ENOENT, "no save point");
		return;
	}
	router.configured = router.saved;
	fake.on_done(fake.done_arg, 0, "");
}

static void new_session(void *arg, int64_t urgent_ms)
{
	(void)arg;
	assert_int_equal(phase_on_disk(), JOB_APPLIED);
	fake.sessions++;
	fake.urgent_ms = urgent_ms;
}

static int ask_confirmation(void *arg, const char *job_id)
{
	(void)arg;
	assert_true(fake.sessions > 0);
	assert_string_equal(job_id, "j-7");
	fake.asked_confirmation++;
	return 0;
}

static const struct runner_ops ops = { ask_job, send_state, run_script, on_script_ended, on_trouble,
				       { save_point, commit, roll_back, new_session, ask_confirmation } };
static const struct runner_ops ops_without_a_way_back = { ask_job, send_state, run_script, on_script_ended, on_trouble,
							  { NULL, NULL, NULL, new_session, ask_confirmation } };

/* --- helpers ----------------------------------------------------------------------------------- */

static void on_late(struct ev_loop *l, ev_timer *timer, int revents)
{
	(void)l;
	(void)revents;
	*(bool *)timer->data = true;
}

static void wait_phase(enum runner_phase phase)
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

/* The power goes: nothing is left but the journal and what the router keeps. */
static void restart(void)
{
	runner_stop(runner);
	memset(runner, 0, sizeof(*runner));
	memset(&fake, 0, sizeof(fake));
	runner_init(runner, loop, dir, true, &ops, &fake);
}

static struct link_job make_job(void)
{
	return (struct link_job){ .job_id = "j-7", .seq = 7, .script = "change", .script_length = 6, .rollback = "undo",
				  .rollback_length = 4, .interpreter = "sh", .confirm_s = LIMIT_CONFIRM_MIN_S };
}

static void open_session(void)
{
	runner_on_open(runner, clock_wall_ms());
}

/* Each takes the job one step further than the one above it. */
static void to_saving(void)
{
	struct link_job job = make_job();

	open_session();
	runner_on_job(runner, &job);
	wait_phase(RUNNER_SAVING);
}

static void to_running(void)
{
	to_saving();
	saved();
	assert_int_equal(runner->phase, RUNNER_RUNNING);
}

static void end_script(int exit_status, const char *output, const char *reason)
{
	const struct router_script_result result = { .exit_status = exit_status, .output = output,
						     .output_length = strlen(output), .duration_ms = 42, .reason = reason,
						     .is_interrupted = exit_status < 0 };

	fake.on_script(fake.script_arg, &result);
}

static void to_proving(void)
{
	to_running();
	end_script(0, "done\n", "");
	assert_int_equal(fake.sessions, 0); /* nothing before APPLIED is on the disk */
	wait_phase(RUNNER_PROVING);
}

static void to_asking(void)
{
	to_proving();
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(fake.sessions, 1);
	runner_on_closed(runner);
	open_session();
	assert_int_equal(fake.asked_confirmation, 1);
}

static void to_keeping(void)
{
	to_asking();
	runner_on_confirmed(runner, NULL);
	assert_int_equal(runner->phase, RUNNER_KEEPING);
}

static void expect_end(enum job_phase phase, const char *reason, int configured)
{
	wait_phase(RUNNER_REPORTING);
	if (!runner->is_open)
		open_session();
	assert_int_equal(fake.state.phase, phase);
	if (reason[0] != '\0' && !strstr(fake.reason, reason))
		fail_msg("reason \"%s\" does not say \"%s\"", fake.reason, reason);
	if (reason[0] == '\0')
		assert_string_equal(fake.reason, "");
	assert_int_equal(phase_on_disk(), phase);
	assert_int_equal(router.configured, configured);
	assert_false(ev_is_active(&runner->confirm.deadline) || ev_is_active(&runner->confirm.told));
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_confirm.XXXXXX");
	assert_non_null(mkdtemp(dir));
	memset(&fake, 0, sizeof(fake));
	memset(&router, 0, sizeof(router));
	runner = calloc(1, sizeof(*runner));
	assert_non_null(runner);
	runner_init(runner, loop, dir, true, &ops, &fake);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	runner_stop(runner);
	free(runner);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

/* --- straight on ---------------------------------------------------------------------------------- */

static void test_confirmed(void **state)
{
	(void)state;
	to_proving();
	assert_string_equal(fake.rollback, "undo");
	assert_int_equal(fake.state.phase, JOB_APPLIED); /* told in the session that may not live */
	assert_int_equal(fake.state.output_length, 0);
	assert_int_equal(fake.sessions, 0);
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(fake.sessions, 1);
	assert_true(fake.urgent_ms == LIMIT_CONFIRM_MIN_S * 1000);
	assert_int_equal(fake.asked_confirmation, 0); /* never over the old one */
	runner_on_closed(runner);
	open_session();
	assert_int_equal(fake.asked_confirmation, 1);
	assert_int_equal(fake.commits, 0);
	runner_on_closed(runner); /* the question or its answer is lost: asked again */
	open_session();
	assert_int_equal(fake.asked_confirmation, 2);
	runner_on_confirmed(runner, NULL);
	assert_int_equal(fake.commits, 1);
	assert_int_equal(phase_on_disk(), JOB_APPLIED); /* not before the save point is gone */
	committed();
	expect_end(JOB_CONFIRMED, "", AFTER);
	assert_int_equal(fake.state.output_length, 5);
	assert_int_equal(fake.snapshots, 1);
	assert_int_equal(fake.roll_backs + fake.troubles, 0);
	runner_on_confirmed(runner, NULL); /* late, twice: nothing */
	runner_on_state_acked(runner, 7, JOB_CONFIRMED);
	assert_int_equal(runner->phase, RUNNER_ASKING);
}

static void test_the_old_session_goes_before_it_could_be_told(void **state)
{
	(void)state;
	to_proving();
	runner_on_closed(runner);
	assert_int_equal(fake.sessions, 1);
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(fake.sessions, 1);
	open_session();
	runner_on_confirmed(runner, NULL);
	committed();
	expect_end(JOB_CONFIRMED, "", AFTER);
}

static void test_nobody_answers_in_the_old_session(void **state)
{
	int64_t began_ms;

	(void)state;
	to_proving();
	began_ms = clock_mono_ms();
	while (fake.sessions == 0 && clock_mono_ms() < began_ms + 20000)
		ev_run(loop, EVRUN_ONCE);
	assert_int_equal(fake.sessions, 1);
	assert_true(clock_mono_ms() - began_ms >= LIMIT_CONFIRM_TELL_MS - 100);
}

static void test_the_collector_is_away_when_the_script_ends(void **state)
{
	(void)state;
	to_running();
	runner_on_closed(runner);
	end_script(0, "", "");
	wait_phase(RUNNER_PROVING);
	assert_int_equal(fake.sessions, 1); /* nobody to tell */
	open_session();
	assert_int_equal(fake.asked_confirmation, 1);
}

static void test_started_is_still_on_its_way(void **state)
{
	(void)state;
	to_running();
	fake.send_result = -EBUSY;
	end_script(0, "", "");
	wait_phase(RUNNER_PROVING);
	fake.send_result = 0;
	runner_on_state_acked(runner, 7, JOB_STARTED);
	assert_int_equal(fake.state.phase, JOB_APPLIED);
	assert_int_equal(fake.sessions, 0);
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(fake.sessions, 1);
}

/* --- back ------------------------------------------------------------------------------------------- */

static void test_a_failing_script_is_rolled_back(void **state)
{
	(void)state;
	to_running();
	end_script(2, "one\nsh: 3: foo: not found\n", "");
	assert_int_equal(runner->phase, RUNNER_UNDOING);
	assert_int_equal(fake.sessions, 0);
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "exit status 2: sh: 3: foo: not found", BEFORE);
	assert_int_equal(fake.state.exit_status, 2);
	assert_int_equal(fake.snapshots, 1);
	assert_int_equal(fake.commits, 0);
}

static void test_an_end_that_nobody_knows_is_rolled_back(void **state)
{
	(void)state;
	to_running();
	end_script(-1, "", "its unit ended");
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "its unit ended", BEFORE);
}

static void test_no_session_in_time(void **state)
{
	(void)state;
	to_proving();
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	runner_on_closed(runner);
	assert_true(ev_timer_remaining(loop, &runner->confirm.deadline) > LIMIT_CONFIRM_MIN_S - 10);
	ev_feed_event(loop, &runner->confirm.deadline, EV_TIMER); /* the time has passed */
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(runner->phase, RUNNER_UNDOING);
	open_session(); /* too late */
	assert_int_equal(fake.asked_confirmation, 0);
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "no session with the collector within 30 s", BEFORE);
	assert_int_equal(fake.state.exit_status, 0);
}

static void test_the_collector_refuses(void **state)
{
	(void)state;
	to_asking();
	runner_on_confirmed(runner, "no such job of this device");
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "no such job of this device", BEFORE);
}

static void test_what_cannot_be_kept_goes_back(void **state)
{
	(void)state;
	to_asking();
	fake.commit_result = -EIO;
	runner_on_confirmed(runner, NULL);
	assert_int_equal(runner->phase, RUNNER_UNDOING);
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "it has gone back by itself", BEFORE);
}

static void test_going_back_fails(void **state)
{
	(void)state;
	to_running();
	end_script(1, "", "");
	fake.on_done(fake.done_arg, -EIO, "line 3 of the rollback");
	expect_end(JOB_FAILED, "half configured: line 3 of the rollback", AFTER);
	assert_int_equal(fake.troubles, 1);
	assert_non_null(strstr(fake.trouble, "could not go back"));
}

static void test_without_a_save_point_it_does_not_run(void **state)
{
	(void)state;
	fake.save_result = -ENOSPC;
	open_session();
	runner_on_job(runner, &(struct link_job){ .job_id = "j-7", .seq = 7, .script = "change", .script_length = 6,
						  .interpreter = "", .confirm_s = LIMIT_CONFIRM_MIN_S });
	expect_end(JOB_FAILED, "not run, no way back: flash is full", BEFORE);
	assert_string_equal(fake.rollback, "");
	assert_int_equal(fake.ran, 0);
	assert_int_equal(fake.state.attempt, 0);
	assert_int_equal(fake.roll_backs, 0);
}

/* --- the power goes ------------------------------------------------------------------------------- */

static void expect_undo_after_restart(void)
{
	restart();
	assert_int_equal(runner->phase, RUNNER_UNDOING);
	assert_int_equal(fake.roll_backs, 1);
}

static void test_power_cut_before_the_save_point(void **state)
{
	(void)state;
	to_saving();
	expect_undo_after_restart();
	rolled_back();
	expect_end(JOB_INTERRUPTED, "without a save point", BEFORE);
	assert_int_equal(fake.ran, 0);
}

static void test_power_cut_while_it_runs(void **state)
{
	(void)state;
	to_running();
	expect_undo_after_restart();
	restart(); /* and again, in the middle of going back */
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "stopped while it ran", BEFORE);
	assert_int_equal(fake.ran, 0);
}

static void test_power_cut_before_the_new_session(void **state)
{
	(void)state;
	to_proving();
	expect_undo_after_restart();
	open_session(); /* too late for a confirmation */
	assert_int_equal(fake.asked_confirmation, 0);
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "stopped before it was confirmed", BEFORE);
}

static void test_power_cut_before_the_commit(void **state)
{
	(void)state;
	to_keeping();
	expect_undo_after_restart();
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "stopped before it was confirmed", BEFORE);
}

static void test_power_cut_after_the_commit(void **state)
{
	(void)state;
	to_keeping();
	router.has_save = false; /* the router has committed, the answer did not come */
	expect_undo_after_restart();
	rolled_back();
	expect_end(JOB_CONFIRMED, "no way back any more", AFTER);
}

static void test_power_cut_before_the_report(void **state)
{
	(void)state;
	to_running();
	end_script(9, "", "");
	rolled_back();
	wait_phase(RUNNER_REPORTING);
	restart();
	assert_int_equal(fake.roll_backs, 0);
	expect_end(JOB_ROLLED_BACK, "exit status 9", BEFORE);
}

/* The disk fails after the script: nobody would know after a restart that it came to its end. */
static void test_applied_cannot_be_written(void **state)
{
	(void)state;
	to_running();
	runner->dir = "/nonexistent";
	end_script(0, "", "");
	wait_phase(RUNNER_UNDOING);
	runner->dir = dir;
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "cannot write its journal", BEFORE);
	assert_int_equal(fake.sessions, 0);
}

/* --- refused, and old ------------------------------------------------------------------------------ */

static void test_refusals(void **state)
{
	static const struct {
		uint32_t confirm_s;
		size_t rollback_length;
		const char *reason;
	} rows[] = {
		{ LIMIT_CONFIRM_MIN_S - 1, 0, "30 to 600" },
		{ LIMIT_CONFIRM_MAX_S + 1, 0, "30 to 600" },
		{ 0, 4, "without a time" },
		{ 90, LIMIT_JOB_BYTES - 5, "larger" },
		{ 90, SIZE_MAX, "larger" },
	};

	(void)state;
	open_session();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct link_job job = make_job();

		job.seq = 10 + i;
		job.confirm_s = rows[i].confirm_s;
		job.rollback_length = rows[i].rollback_length;
		runner_on_job(runner, &job);
		wait_phase(RUNNER_REPORTING);
		assert_int_equal(fake.state.phase, JOB_FAILED);
		assert_non_null(strstr(fake.reason, rows[i].reason));
		runner_on_state_acked(runner, job.seq, JOB_FAILED);
	}
	assert_int_equal(fake.saves + fake.ran, 0);
}

static void test_a_driver_without_a_way_back(void **state)
{
	struct link_job job = make_job();

	(void)state;
	runner_stop(runner);
	memset(runner, 0, sizeof(*runner));
	runner_init(runner, loop, dir, true, &ops_without_a_way_back, &fake);
	open_session();
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_FAILED);
	assert_non_null(strstr(fake.reason, "--no-confirm"));
	assert_int_equal(fake.ran, 0);
}

static void write_journal(const char *text)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/journal", dir);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void test_the_journal_of_an_older_agent(void **state)
{
	struct journal_record record;
	char output[LIMIT_OUTPUT_BYTES];
	struct err err;

	(void)state;
	/* Written by version 1, checksum and all. */
	write_journal("jaga-journal 1\nhiwater=17\nwall_ms=1763700000000\nphase=5\njob=j-17\nseq=17\nexit=0\nattempt=1\n"
		      "duration_ms=120\ntruncated=0\nreason=\noutput=5\ncrc=54d2f2e8\nhello");
	assert_int_equal(journal_load(dir, &record, output, NULL), 0);
	assert_true(record.hiwater == 17 && record.confirm_s == 0 && record.duration_ms == 120);
	assert_int_equal(record.phase, JOB_CONFIRMED);
	assert_memory_equal(output, "hello", 5);
	write_journal("jaga-journal 3\nhiwater=17\ncrc=9afcd166\n"); /* of an agent to come */
	assert_int_equal(journal_load(dir, &record, output, &err), -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_confirmed),
		TEST(test_the_old_session_goes_before_it_could_be_told),
		TEST(test_nobody_answers_in_the_old_session),
		TEST(test_the_collector_is_away_when_the_script_ends),
		TEST(test_started_is_still_on_its_way),
		TEST(test_a_failing_script_is_rolled_back),
		TEST(test_an_end_that_nobody_knows_is_rolled_back),
		TEST(test_no_session_in_time),
		TEST(test_the_collector_refuses),
		TEST(test_what_cannot_be_kept_goes_back),
		TEST(test_going_back_fails),
		TEST(test_without_a_save_point_it_does_not_run),
		TEST(test_power_cut_before_the_save_point),
		TEST(test_power_cut_while_it_runs),
		TEST(test_power_cut_before_the_new_session),
		TEST(test_power_cut_before_the_commit),
		TEST(test_power_cut_after_the_commit),
		TEST(test_power_cut_before_the_report),
		TEST(test_applied_cannot_be_written),
		TEST(test_refusals),
		TEST(test_a_driver_without_a_way_back),
		TEST(test_the_journal_of_an_older_agent),
	};

	loop = ev_default_loop(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
