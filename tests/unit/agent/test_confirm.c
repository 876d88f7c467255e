/*
 * confirm and runner: a job with a way back, and a power cut after each of its steps. Each fake looks first whether the
 * disk knows what has to be known by then. The fake router has one fact, what is configured, and a save point that
 * outlives the agent.
 */
#include "tests/unit/agent/job_lab.h"

#include <errno.h>

/* --- fakes ------------------------------------------------------------------------------------- */

enum { BEFORE, AFTER };

static struct { /* survives the agent */
	int configured;
	bool has_save;
	int saved;
} router;

static struct { /* what the way back asks of the router and the link */
	unsigned sessions, asked_confirmation, saves, commits, roll_backs;
	int save_result, commit_result; /* of the next */
	char rollback[64];
	int64_t urgent_ms;
	router_done_fn *on_done;
	void *done_arg;
} back;

static enum job_phase phase_on_disk(void)
{
	static char output[LIMIT_OUTPUT_BYTES];
	struct journal_record record;

	assert_int_equal(journal_load(dir, &record, output, NULL), 0);
	return record.phase;
}

static int change(void *arg, const char *job_id, const char *interpreter, const void *script, size_t length,
		  router_script_fn *on_done, void *done_arg, struct err *err)
{
	assert_true(router.has_save);
	router.configured = AFTER;
	return run_script(arg, job_id, interpreter, script, length, on_done, done_arg, err);
}

static int save_point(void *arg, const struct router_save_spec *spec, router_done_fn *on_done, void *done_arg, struct err *err)
{
	assert_ptr_equal(arg, &fake);
	assert_int_equal(phase_on_disk(), JOB_STARTED);
	assert_string_equal(spec->job_id, "j-7");
	assert_int_equal(spec->length, 6);
	assert_int_equal(spec->confirm_s, LIMIT_CONFIRM_MIN_S);
	snprintf(back.rollback, sizeof(back.rollback), "%.*s", (int)spec->rollback_length, spec->rollback ? spec->rollback : "");
	back.saves++;
	back.on_done = on_done;
	back.done_arg = done_arg;
	return back.save_result < 0 ? err_set(err, back.save_result, "flash is full") : 0;
}

static void saved(void)
{
	router.saved = router.configured;
	router.has_save = true;
	back.on_done(back.done_arg, 0, "");
}

static int commit(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err)
{
	assert_ptr_equal(arg, &fake);
	assert_int_equal(phase_on_disk(), JOB_KEEPING);
	assert_string_equal(job_id, "j-7");
	back.commits++;
	back.on_done = on_done;
	back.done_arg = done_arg;
	return back.commit_result < 0 ? err_set(err, back.commit_result, "it has gone back by itself") : 0;
}

static void committed(void)
{
	router.has_save = false;
	back.on_done(back.done_arg, 0, "");
}

static int roll_back(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err)
{
	(void)err;
	assert_ptr_equal(arg, &fake);
	assert_string_equal(job_id, "j-7");
	back.roll_backs++;
	back.on_done = on_done;
	back.done_arg = done_arg;
	return 0;
}

/* As a driver does it: -ENOENT without a save point. */
static void rolled_back(void)
{
	wait_phase(RUNNER_UNDOING);
	if (!router.has_save) {
		back.on_done(back.done_arg, -ENOENT, "no save point");
		return;
	}
	router.configured = router.saved;
	back.on_done(back.done_arg, 0, "");
}

static void new_session(void *arg, int64_t urgent_ms)
{
	assert_ptr_equal(arg, &fake);
	assert_int_equal(phase_on_disk(), JOB_APPLIED);
	back.sessions++;
	back.urgent_ms = urgent_ms;
}

static int ask_confirmation(void *arg, const char *job_id)
{
	assert_ptr_equal(arg, &fake);
	assert_true(back.sessions > 0);
	assert_string_equal(job_id, "j-7");
	back.asked_confirmation++;
	return 0;
}

static const struct runner_ops ops = { ask_job, send_state, change, is_reading, on_settled, on_trouble,
				       { save_point, commit, roll_back, new_session, ask_confirmation } };
static const struct runner_ops ops_without_a_way_back = { ask_job, send_state, change, is_reading, on_settled, on_trouble,
							  { NULL, NULL, NULL, new_session, ask_confirmation } };

/* --- helpers ----------------------------------------------------------------------------------- */

/* Nothing is left but the journal and what the router keeps. */
static void power_cut(void)
{
	memset(&back, 0, sizeof(back));
	lab_restart(&ops);
}

static struct link_job make_job(void)
{
	return (struct link_job){ .job_id = "j-7", .seq = 7, .script = "change", .script_length = 6, .rollback = "undo",
				  .rollback_length = 4, .interpreter = "sh", .confirm_s = LIMIT_CONFIRM_MIN_S };
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

static void to_proving(void)
{
	to_running();
	end_script(0, "done\n", "");
	assert_int_equal(back.sessions, 0); /* nothing before APPLIED is on the disk */
	wait_phase(RUNNER_PROVING);
}

static void to_asking(void)
{
	to_proving();
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(back.sessions, 1);
	runner_on_closed(runner);
	open_session();
	assert_int_equal(back.asked_confirmation, 1);
}

static void to_keeping(void)
{
	to_asking();
	runner_on_confirmed(runner, NULL);
	assert_int_equal(back.commits, 0); /* nothing before KEEPING is on the disk */
	wait_phase(RUNNER_KEEPING);
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
	memset(&back, 0, sizeof(back));
	memset(&router, 0, sizeof(router));
	lab_set_up();
	lab_start(&ops, true);
	return 0;
}

/* --- straight on ---------------------------------------------------------------------------------- */

static void test_confirmed(void **state)
{
	(void)state;
	to_proving();
	assert_string_equal(back.rollback, "undo");
	assert_string_equal(fake.script, "change");
	assert_int_equal(fake.state.phase, JOB_APPLIED); /* told in the session that may not live */
	assert_int_equal(fake.state.output_length, 0);
	assert_int_equal(back.sessions, 0);
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(back.sessions, 1);
	assert_true(back.urgent_ms == LIMIT_CONFIRM_MIN_S * 1000);
	assert_int_equal(back.asked_confirmation, 0); /* never over the old one */
	runner_on_closed(runner);
	open_session();
	assert_int_equal(back.asked_confirmation, 1);
	assert_int_equal(back.commits, 0);
	runner_on_closed(runner); /* the question or its answer is lost: asked again */
	open_session();
	assert_int_equal(back.asked_confirmation, 2);
	runner_on_confirmed(runner, NULL);
	wait_phase(RUNNER_KEEPING);
	assert_int_equal(back.commits, 1);
	assert_int_equal(phase_on_disk(), JOB_KEEPING); /* CONFIRMED not before the save point is gone */
	committed();
	expect_end(JOB_CONFIRMED, "", AFTER);
	assert_int_equal(fake.state.output_length, 5);
	assert_int_equal(fake.ended, 1);
	assert_int_equal(back.roll_backs + fake.troubles, 0);
	runner_on_confirmed(runner, NULL); /* late, twice: nothing */
	runner_on_state_acked(runner, 7, JOB_CONFIRMED);
	assert_int_equal(runner->phase, RUNNER_ASKING);
}

static void test_the_old_session_goes_before_it_could_be_told(void **state)
{
	(void)state;
	to_proving();
	runner_on_closed(runner);
	assert_int_equal(back.sessions, 1);
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(back.sessions, 1);
	open_session();
	runner_on_confirmed(runner, NULL);
	wait_phase(RUNNER_KEEPING);
	committed();
	expect_end(JOB_CONFIRMED, "", AFTER);
}

static void test_nobody_answers_in_the_old_session(void **state)
{
	int64_t began_ms;

	(void)state;
	to_proving();
	began_ms = clock_mono_ms();
	while (back.sessions == 0 && clock_mono_ms() < began_ms + 20000)
		ev_run(loop, EVRUN_ONCE);
	assert_int_equal(back.sessions, 1);
	assert_true(clock_mono_ms() - began_ms >= LIMIT_CONFIRM_TELL_MS - 100);
}

static void test_the_collector_is_away_when_the_script_ends(void **state)
{
	(void)state;
	to_running();
	runner_on_closed(runner);
	end_script(0, "", "");
	wait_phase(RUNNER_PROVING);
	assert_int_equal(back.sessions, 1); /* nobody to tell */
	open_session();
	assert_int_equal(back.asked_confirmation, 1);
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
	assert_int_equal(back.sessions, 0);
	runner_on_state_acked(runner, 7, JOB_APPLIED);
	assert_int_equal(back.sessions, 1);
}

/* --- back ------------------------------------------------------------------------------------------- */

static void test_a_failing_script_is_rolled_back(void **state)
{
	(void)state;
	to_running();
	end_script(2, "one\nsh: 3: foo: not found\n", "");
	wait_phase(RUNNER_UNDOING);
	assert_int_equal(back.sessions, 0);
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "exit status 2: sh: 3: foo: not found", BEFORE);
	assert_int_equal(fake.state.exit_status, 2);
	assert_int_equal(fake.ended, 1);
	assert_int_equal(back.commits, 0);
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
	wait_phase(RUNNER_UNDOING);
	open_session(); /* too late */
	assert_int_equal(back.asked_confirmation, 0);
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
	back.commit_result = -EIO;
	runner_on_confirmed(runner, NULL);
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "it has gone back by itself", BEFORE);
}

static void test_going_back_fails(void **state)
{
	(void)state;
	to_running();
	end_script(1, "", "");
	wait_phase(RUNNER_UNDOING);
	back.on_done(back.done_arg, -EIO, "line 3 of the rollback");
	expect_end(JOB_FAILED, "half configured: line 3 of the rollback", AFTER);
	assert_int_equal(fake.troubles, 1);
	assert_non_null(strstr(fake.trouble, "could not go back"));
}

static void test_without_a_save_point_it_does_not_run(void **state)
{
	(void)state;
	back.save_result = -ENOSPC;
	open_session();
	runner_on_job(runner, &(struct link_job){ .job_id = "j-7", .seq = 7, .script = "change", .script_length = 6,
						  .interpreter = "", .confirm_s = LIMIT_CONFIRM_MIN_S });
	expect_end(JOB_FAILED, "not run, no way back: flash is full", BEFORE);
	assert_memory_equal(runner->script, "\0\0\0\0\0", 6);
	assert_string_equal(back.rollback, "");
	assert_int_equal(fake.ran, 0);
	assert_int_equal(fake.state.attempt, 0);
	assert_int_equal(back.roll_backs, 0);
}

/* --- the power goes ------------------------------------------------------------------------------- */

static void expect_undo_after_restart(void)
{
	power_cut();
	assert_int_equal(runner->phase, RUNNER_UNDOING);
	assert_int_equal(back.roll_backs, 1);
}

static void test_power_cut_before_the_save_point(void **state)
{
	(void)state;
	to_saving();
	expect_undo_after_restart();
	rolled_back();
	expect_end(JOB_INTERRUPTED, "before its script began", BEFORE);
	assert_int_equal(fake.ran, 0);
}

static void test_power_cut_while_it_runs(void **state)
{
	(void)state;
	to_running();
	expect_undo_after_restart();
	power_cut(); /* and again, in the middle of going back */
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
	assert_int_equal(back.asked_confirmation, 0);
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

static void test_the_answer_to_the_commit_is_lost(void **state)
{
	(void)state;
	to_keeping();
	router.has_save = false;
	back.on_done(back.done_arg, -ECONNRESET, "the session is lost");
	rolled_back();
	expect_end(JOB_CONFIRMED, "the answer to its commit was lost", AFTER);
}

static void test_power_cut_after_it_went_back(void **state)
{
	(void)state;
	to_asking();
	runner_on_confirmed(runner, "no such job of this device");
	wait_phase(RUNNER_UNDOING);
	router.configured = router.saved;
	router.has_save = false; /* the router is done, the answer did not come */
	expect_undo_after_restart();
	power_cut(); /* and once more */
	rolled_back();
	expect_end(JOB_ROLLED_BACK, "stopped before it was confirmed", BEFORE);
}

/* Somebody has removed it by hand: nothing is known, and nothing else is said. */
static void test_a_save_point_that_is_gone(void **state)
{
	(void)state;
	to_running();
	router.has_save = false;
	end_script(1, "", "");
	rolled_back();
	expect_end(JOB_FAILED, "half configured: no save point", AFTER);
}

static void test_power_cut_before_the_report(void **state)
{
	(void)state;
	to_running();
	end_script(9, "", "");
	rolled_back();
	wait_phase(RUNNER_REPORTING);
	power_cut();
	assert_int_equal(back.roll_backs, 0);
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
	assert_int_equal(back.sessions, 0);
}

/* --- refused ------------------------------------------------------------------------------------ */

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
	assert_int_equal(back.saves + fake.ran, 0);
}

static void test_a_driver_without_a_way_back(void **state)
{
	struct link_job job = make_job();

	(void)state;
	lab_restart(&ops_without_a_way_back);
	open_session();
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_FAILED);
	assert_non_null(strstr(fake.reason, "--no-confirm"));
	assert_int_equal(fake.ran, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, lab_tear_down)
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
		TEST(test_power_cut_after_it_went_back), TEST(test_a_save_point_that_is_gone),
		TEST(test_the_answer_to_the_commit_is_lost),
		TEST(test_power_cut_before_the_report),
		TEST(test_applied_cannot_be_written),
		TEST(test_refusals),
		TEST(test_a_driver_without_a_way_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
