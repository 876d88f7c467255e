/*
 * runner: at most once, whatever stops where. Jobs with a way back are in test_confirm.c, the file in test_journal.c.
 */
#include "tests/unit/agent/job_lab.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct runner_ops ops = { ask_job, send_state, run_script, is_reading, on_settled, on_trouble,
				       { NULL, NULL, NULL, NULL, NULL } };

/* --- helpers ----------------------------------------------------------------------------------- */

static struct link_job make_job(uint64_t seq)
{
	static char id[24];

	snprintf(id, sizeof(id), "j-%u", (unsigned)seq);
	return (struct link_job){ .job_id = id, .seq = seq, .script = "echo hi", .script_length = 7, .interpreter = "sh" };
}

static int unlink_journal(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/journal", dir);
	return unlink(path);
}

/* Takes the job through to its script. */
static void run_job(uint64_t seq)
{
	struct link_job job = make_job(seq);

	open_session();
	wait_phase(RUNNER_ASKING);
	runner_on_job(runner, &job);
	wait_phase(RUNNER_RUNNING);
}

/* ... and from there to its result. */
static void end_job(int exit_status, const char *output, const char *reason)
{
	end_script(exit_status, output, reason);
	wait_phase(RUNNER_REPORTING);
}

static int set_up(void **state)
{
	(void)state;
	return lab_set_up();
}

/* --- tests -------------------------------------------------------------------------------------- */

static void test_a_job_runs_once(void **state)
{
	struct journal_record record;
	char output[LIMIT_OUTPUT_BYTES];

	(void)state;
	lab_start(&ops, true);
	assert_int_equal(fake.asked, 0); /* nobody to ask yet */
	run_job(7);
	assert_true(fake.asked_after == 0);
	assert_int_equal(fake.ran, 1);
	assert_string_equal(fake.script, "echo hi");
	assert_int_equal(fake.sent, 1);
	assert_int_equal(fake.state.phase, JOB_STARTED);
	runner_on_state_acked(runner, 7, JOB_STARTED);
	assert_memory_equal(runner->script, "echo hi", 7);
	end_job(0, "hi\n", "");
	assert_memory_equal(runner->script, "\0\0\0\0\0\0", 7); /* scripts hold passwords */
	assert_int_equal(fake.ended, 1);
	assert_int_equal(fake.sent, 2);
	assert_int_equal(fake.state.phase, JOB_CONFIRMED);
	assert_string_equal(fake.state.job_id, "j-7");
	assert_true(fake.state.seq == 7 && fake.state.duration_ms == 42 && fake.state.attempt == 1);
	assert_int_equal(fake.state.exit_status, 0);
	assert_int_equal(fake.state.output_length, 3);
	assert_memory_equal(fake.output, "hi\n", 3);
	assert_true(fake.state.output_truncated);
	assert_int_equal(journal_load(dir, &record, output, NULL), 0);
	assert_int_equal(record.phase, JOB_CONFIRMED);
	assert_memory_equal(output, "hi\n", 3);

	runner_on_state_acked(runner, 6, JOB_CONFIRMED); /* of another job */
	assert_int_equal(runner->phase, RUNNER_REPORTING);
	runner_on_state_acked(runner, 7, JOB_CONFIRMED);
	assert_int_equal(runner->phase, RUNNER_ASKING);
	assert_true(fake.asked_after == 7);
	runner_on_job(runner, NULL);
	assert_int_equal(runner->phase, RUNNER_IDLE);
	assert_int_equal(fake.troubles, 0);
}

static void test_a_failing_script_fails(void **state)
{
	(void)state;
	lab_start(&ops, true);
	run_job(1);
	end_job(3, "", "");
	assert_int_equal(fake.state.phase, JOB_FAILED);
	assert_int_equal(fake.state.exit_status, 3);
	assert_string_equal(fake.reason, "exit status 3");
	runner_on_state_acked(runner, 1, JOB_FAILED);
	run_job(2);
	end_job(143, "", "ended after its time-out");
	assert_string_equal(fake.reason, "ended after its time-out");
	runner_on_state_acked(runner, 2, JOB_FAILED);
	fake.run_result = -ENOTSUP;
	open_session();
	runner_on_job(runner, &(struct link_job){ .job_id = "j-3", .seq = 3, .script = "x", .script_length = 1,
						  .interpreter = "sh" });
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_FAILED);
	assert_int_equal(fake.state.exit_status, -1);
	assert_string_equal(fake.reason, "the router says no");
}

static void test_a_crash_while_it_runs(void **state)
{
	(void)state;
	lab_start(&ops, true);
	run_job(4);
	lab_restart(&ops);
	open_session();
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_INTERRUPTED);
	assert_string_equal(fake.state.job_id, "j-4");
	assert_int_equal(fake.ran, 0);
	lab_restart(&ops); /* and again, before the collector has said that it knows */
	open_session();
	assert_int_equal(fake.state.phase, JOB_INTERRUPTED);
	runner_on_state_acked(runner, 4, JOB_INTERRUPTED);
	assert_true(fake.asked_after == 4);
	assert_int_equal(fake.ran, 0);
}

/* The unit that ran it has died: it is not failed, which would say that it came to an end. */
static void test_an_end_that_nobody_knows(void **state)
{
	(void)state;
	lab_start(&ops, true);
	run_job(5);
	end_job(-1, "", "its unit ended");
	assert_int_equal(fake.state.phase, JOB_INTERRUPTED);
	assert_int_equal(fake.state.exit_status, -1);
	assert_string_equal(fake.reason, "its unit ended");
}

static void test_a_result_is_kept_over_a_restart(void **state)
{
	(void)state;
	lab_start(&ops, true);
	run_job(4);
	runner_on_closed(runner);
	fake.send_result = -ENOTCONN;
	end_job(0, "kept", "");
	lab_restart(&ops);
	assert_int_equal(runner->phase, RUNNER_REPORTING);
	open_session();
	assert_int_equal(fake.state.phase, JOB_CONFIRMED);
	assert_int_equal(fake.state.output_length, 4);
	assert_memory_equal(fake.output, "kept", 4);
}

static void test_refusals(void **state)
{
	struct link_job job = make_job(1);

	(void)state;
	lab_start(&ops, false);
	open_session();
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_FAILED);
	assert_int_equal(fake.state.attempt, 0);
	assert_non_null(strstr(fake.reason, "scripts = off"));
	runner_on_state_acked(runner, 1, JOB_FAILED);
	runner->scripts_unsigned = true;

	for (unsigned i = 0; i < 5; i++) {
		static const char *const reasons[] = { "empty", "larger", "rollback", "no way back", "interpreter" };

		job = make_job(2 + i);
		job.script_length = i == 0 ? 0 : i == 1 ? LIMIT_JOB_BYTES + 1 : 7;
		job.rollback_length = i == 2;
		job.confirm_s = i == 3 ? 90 : 0;
		job.interpreter = i == 4 ? "an-interpreter-of-another-world" : "sh";
		assert_int_equal(runner->phase, RUNNER_ASKING);
		runner_on_job(runner, &job);
		wait_phase(RUNNER_REPORTING);
		assert_int_equal(fake.state.phase, JOB_FAILED);
		assert_non_null(strstr(fake.reason, reasons[i]));
		runner_on_state_acked(runner, job.seq, JOB_FAILED);
	}
	assert_int_equal(fake.ran, 0);
	assert_int_equal(fake.troubles, 0);
}

static void test_jobs_that_cannot_be_answered(void **state)
{
	struct link_job job;

	(void)state;
	lab_start(&ops, true);
	run_job(5);
	end_job(0, "", "");
	runner_on_state_acked(runner, 5, JOB_CONFIRMED);
	job = make_job(5); /* again */
	runner_on_job(runner, &job);
	assert_int_equal(runner->phase, RUNNER_IDLE); /* and does not ask on: the collector is broken */
	assert_int_equal(fake.troubles, 1);
	runner_on_wake(runner, 6);
	job = make_job(6);
	job.job_id = "../../etc/passwd";
	runner_on_job(runner, &job);
	assert_int_equal(runner->phase, RUNNER_IDLE);
	assert_int_equal(fake.troubles, 2);
	assert_int_equal(fake.ran, 1);
	job = make_job(7); /* not asked for */
	runner_on_job(runner, &job);
	assert_int_equal(runner->phase, RUNNER_IDLE);
}

static void test_time(void **state)
{
	struct link_job job = make_job(1);
	int64_t now_ms = clock_wall_ms();

	(void)state;
	lab_start(&ops, true);
	runner_set_time(runner, now_ms);
	runner_on_open(runner);
	job.not_after_ms = now_ms - 1;
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_EXPIRED);
	assert_string_equal(fake.reason, "the job came after its time");
	runner_on_state_acked(runner, 1, JOB_EXPIRED);
	/* A collector whose clock was set back does not bring the job back to life: the journal knows the time. */
	lab_restart(&ops);
	runner_set_time(runner, now_ms - 3600 * 1000);
	runner_on_open(runner);
	runner_on_state_acked(runner, 1, JOB_EXPIRED);
	job = make_job(2);
	job.not_after_ms = now_ms - 1;
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_EXPIRED);
	assert_non_null(strstr(fake.reason, "by this router's journal it is later"));
	runner_on_state_acked(runner, 2, JOB_EXPIRED);
	job = make_job(3);
	job.not_after_ms = now_ms + 3600 * 1000;
	runner_on_job(runner, &job);
	wait_phase(RUNNER_RUNNING);
	end_job(0, "", "");
	runner_on_state_acked(runner, 3, JOB_CONFIRMED);
	runner_on_job(runner, NULL);
	/* The collector's clock is set while the session lives: its wakes tell. */
	runner_set_time(runner, now_ms + 2 * 3600 * 1000);
	runner_set_time(runner, 0); /* the one that is asked next knows of none: that is no time */
	runner_on_wake(runner, 4);
	job = make_job(4);
	job.not_after_ms = now_ms + 3600 * 1000;
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_EXPIRED);
	assert_int_equal(fake.ran, 1);
}

static void test_a_journal_that_cannot_be_written(void **state)
{
	struct link_job job = make_job(1);

	(void)state;
	lab_start(&ops, true);
	assert_int_equal(rmdir(dir), 0);
	open_session();
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.ran, 0);
	assert_int_equal(fake.state.phase, JOB_FAILED);
	assert_non_null(strstr(fake.reason, "not run"));
	assert_non_null(strstr(fake.trouble, dir));
	assert_non_null(strstr(fake.trouble, "No such file"));
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_a_journal_that_comes_late(void **state)
{
	char away[96];
	struct link_job job = make_job(7);

	(void)state;
	lab_start(&ops, true);
	run_job(7); /* ... and the power goes */
	snprintf(away, sizeof(away), "%s.away", dir);
	assert_int_equal(rename(dir, away), 0);
	lab_restart(&ops);
	assert_true(runner_hiwater(runner) == 0);
	open_session();
	assert_int_equal(runner->phase, RUNNER_ASKING); /* and the answer is on its way */
	assert_int_equal(rename(away, dir), 0);
	runner_on_state_back(runner);
	assert_true(runner_hiwater(runner) == 7);
	assert_int_equal(fake.ended, 1);
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_int_equal(fake.state.phase, JOB_INTERRUPTED);
	assert_int_equal(fake.ran, 0); /* since the restart */
	runner_on_state_acked(runner, 7, JOB_INTERRUPTED);
	assert_true(runner->phase == RUNNER_ASKING && fake.asked_after == 7);
	runner_on_job(runner, NULL);

	/* A file that knows less than memory is not believed. */
	run_job(8);
	end_job(0, "", "");
	runner_on_state_back(runner);
	assert_true(runner->phase == RUNNER_REPORTING && runner_hiwater(runner) == 8);
}

static void test_a_damaged_journal_refuses_all(void **state)
{
	char path[96];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/journal", dir);
	file = fopen(path, "w");
	fputs("jaga-journal 1\nhiwater=5\n", file);
	fclose(file);
	lab_start(&ops, true);
	assert_int_equal(runner->phase, RUNNER_REFUSING);
	assert_int_equal(fake.troubles, 1);
	open_session();
	runner_on_wake(runner, 9);
	assert_int_equal(fake.asked, 0);
}

static void test_the_result_waits_for_a_free_link(void **state)
{
	(void)state;
	lab_start(&ops, true);
	run_job(1);
	fake.send_result = -EBUSY; /* STARTED is still on its way */
	end_job(0, "", "");
	assert_int_equal(fake.sent, 1);
	fake.send_result = 0;
	runner_on_state_acked(runner, 1, JOB_STARTED);
	assert_int_equal(fake.sent, 2);
	assert_int_equal(fake.state.phase, JOB_CONFIRMED);
	runner_on_closed(runner); /* lost on the way: the next session carries it */
	open_session();
	assert_int_equal(fake.sent, 3);
}

static void test_wakes(void **state)
{
	(void)state;
	lab_start(&ops, true);
	runner_on_wake(runner, 1); /* without a session: the next one asks anyway */
	assert_int_equal(fake.asked, 0);
	open_session();
	assert_int_equal(fake.asked, 1);
	runner_on_wake(runner, 1); /* the answer on its way may be older than the wake */
	runner_on_job(runner, NULL);
	assert_int_equal(fake.asked, 2);
	runner_on_closed(runner);
	assert_int_equal(runner->phase, RUNNER_IDLE);
	open_session();
	assert_int_equal(fake.asked, 3);
	runner_on_job(runner, NULL);
	assert_int_equal(fake.asked, 3);
	fake.ask_result = -EBUSY;
	runner_on_wake(runner, 2);
	assert_int_equal(runner->phase, RUNNER_IDLE);
	runner_on_wake(runner, 0); /* a wake for something else */
	assert_int_equal(fake.asked, 4);
	assert_string_equal(runner_phase_name(runner), "idle");
	assert_string_equal(runner_last_job(runner), "");
}

/* On a router that gives one long answer at a time a script that began meanwhile would be refused. */
static void test_no_job_while_the_router_is_read(void **state)
{
	struct link_job job = make_job(1);

	(void)state;
	lab_start(&ops, true);
	fake.is_reading = true;
	open_session();
	runner_on_wake(runner, 1);
	assert_true(fake.asked == 0 && runner->phase == RUNNER_IDLE);
	assert_false(runner_is_unsettled(runner)); /* two that wait for each other would wait for ever */
	fake.is_reading = false;
	runner_on_read(runner);
	assert_int_equal(fake.asked, 1);
	runner_on_read(runner); /* of another snapshot: nothing waits for that */
	assert_int_equal(fake.asked, 1);
	runner_on_job(runner, &job);
	wait_phase(RUNNER_RUNNING);
	end_job(0, "", "");
	fake.is_reading = true; /* what the script has done */
	runner_on_state_acked(runner, 1, JOB_CONFIRMED);
	assert_true(fake.asked == 1 && runner->phase == RUNNER_IDLE);
	fake.is_reading = false;
	runner_on_read(runner);
	assert_true(fake.asked == 2 && fake.asked_after == 1);
	runner_on_job(runner, NULL);
	runner_on_read(runner); /* and nobody has anything to ask for */
	assert_int_equal(fake.asked, 2);
}

/* Each end of what holds a snapshot up is told, or it would never be taken. */
static void test_the_end_of_what_a_snapshot_waits_for_is_told(void **state)
{
	struct link_job job = make_job(1);

	(void)state;
	lab_start(&ops, true);
	open_session();
	assert_true(runner_is_unsettled(runner)); /* the answer may be a job */
	runner_on_job(runner, NULL);
	assert_int_equal(fake.settled, 1);
	runner_on_wake(runner, 1);
	runner_on_wake(runner, 1);
	runner_on_job(runner, NULL); /* asks once more: not yet */
	assert_true(fake.settled == 1 && runner_is_unsettled(runner));
	runner_on_closed(runner);
	assert_int_equal(fake.settled, 2);
	open_session();
	job.job_id = "..";
	runner_on_job(runner, &job); /* none that it answers to */
	assert_int_equal(fake.settled, 3);
	runner_on_wake(runner, 1);
	job = make_job(1);
	job.script_length = 0;
	runner_on_job(runner, &job); /* refused */
	assert_true(fake.settled == 4 && fake.ended == 0);
	wait_phase(RUNNER_REPORTING);
	runner_on_state_acked(runner, 1, JOB_FAILED);
	job = make_job(2);
	runner_on_job(runner, &job);
	assert_true(runner->phase == RUNNER_STARTING && runner_is_unsettled(runner));
	wait_phase(RUNNER_RUNNING);
	assert_int_equal(fake.settled, 4);
	end_script(0, "", "");
	assert_true(fake.settled == 5 && fake.ended == 1); /* and its result is not even written */
	wait_phase(RUNNER_REPORTING);
	runner_on_state_acked(runner, 2, JOB_CONFIRMED);
	assert_int_equal(unlink_journal() + rmdir(dir), 0);
	job = make_job(3);
	runner_on_job(runner, &job);
	wait_phase(RUNNER_REPORTING);
	assert_true(fake.settled == 6 && fake.ended == 1);
	assert_int_equal(mkdir(dir, 0700), 0);
	runner_on_state_acked(runner, 3, JOB_FAILED);
	runner_stop(runner);
	memset(runner, 0, sizeof(*runner));
	lab_start(&ops, true);
	open_session();
	runner_on_state_back(runner); /* while it asks, which it goes on with */
	assert_int_equal(fake.settled, 6);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, lab_tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_a_job_runs_once),
		TEST(test_a_failing_script_fails),
		TEST(test_a_crash_while_it_runs),
		TEST(test_an_end_that_nobody_knows),
		TEST(test_a_result_is_kept_over_a_restart),
		TEST(test_refusals),
		TEST(test_jobs_that_cannot_be_answered),
		TEST(test_time),
		TEST(test_a_journal_that_cannot_be_written),
		TEST(test_a_journal_that_comes_late),
		TEST(test_a_damaged_journal_refuses_all),
		TEST(test_the_result_waits_for_a_free_link),
		TEST(test_wakes),
		TEST(test_no_job_while_the_router_is_read),
		TEST(test_the_end_of_what_a_snapshot_waits_for_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
