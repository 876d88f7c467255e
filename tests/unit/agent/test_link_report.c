/* link: records of the spool on their way up, until they are acknowledged. */
#include "tests/unit/agent/link_lab.h"

static void test_reports_and_drains(void **state)
{
	struct scene *scene = *state;
	struct link_status status;

	add_notice(scene, 10);
	add_notice(scene, 10);
	open_link(scene); /* what waited goes with the session */
	wait_for_line(scene, "batch 1 2 events=2\n");
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
	add_notice(scene, 10);
	link_kick(scene->link, true);
	wait_for_line(scene, "batch 3 3 events=1\n");
	for (int i = 0; i < 30; i++)
		add_notice(scene, 500); /* one a datagram */
	link_kick(scene->link, false);
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
	wait_for_line(scene, "batch 33 33 events=1\n");
	link_read_status(scene->link, &status);
	assert_int_equal(status.batches_acked, 32);
}

static void test_sends_again_what_is_not_acknowledged(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	order(scene, "mute 1\n");
	add_notice(scene, 10);
	link_kick(scene->link, true);
	wait_for_line(scene, "batch 1 1 events=1\n");
	add_notice(scene, 10); /* urgent: does not wait for the Ack of the first */
	link_kick(scene->link, true);
	wait_for_line(scene, "batch 1 2 events=2\n");
	assert_false(is_all_acked(scene, NULL));
	forget(scene);
	tell(scene, "mute 0\n");
	wait_for_line(scene, "batch 1 2 events=2\n");
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
	assert_int_equal(scene->n_closed, 0); /* pings were answered all the time */
}

static void test_gives_up_a_batch_that_is_refused_for_good(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	order(scene, "refuse 400\n");
	add_notice(scene, 800);
	add_notice(scene, 800); /* does not fit into the same batch */
	link_kick(scene->link, true);
	wait_for_line(scene, "batch 1 1 events=1\n");
	wait_for_line(scene, "batch 2 2 events=1\n"); /* the first stands in its way for three refusals only */
	tell(scene, "refuse 0\n");
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
	assert_int_equal(scene->n_closed, 0);
}

static bool has_forgotten_any(const struct scene *scene, const void *arg)
{
	struct spool_stats stats;

	(void)arg;
	spool_read_stats(scene->spool, &stats);
	return stats.acknowledged_seq > 0;
}

static void test_believes_no_ack_for_what_was_never_sent(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	order(scene, "liar 1\n");
	add_notice(scene, 800);
	add_notice(scene, 800);
	link_kick(scene->link, true);
	wait_for_line(scene, "batch 1 1 events=1\n");
	forget(scene);
	wait_for_line(scene, "batch 1 1 events=1\n"); /* the same again: that Ack counted for nothing */
	assert_false(has_forgotten_any(scene, NULL));
	tell(scene, "liar 0\n");
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scene_test(test_reports_and_drains),
		scene_test(test_sends_again_what_is_not_acknowledged),
		scene_test(test_gives_up_a_batch_that_is_refused_for_good),
		scene_test(test_believes_no_ack_for_what_was_never_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
