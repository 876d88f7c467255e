/* link: what is asked for and handed in beside the records: jobs, their states, the doctor, snapshots. */
#include "tests/unit/agent/link_lab.h"

static void test_is_woken(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	tell(scene, "wake 77 1\n");
	wait_for_count(scene, &scene->n_wakes, 1);
	assert_int_equal(scene->wake_seq, 77);
	assert_true(scene->wake_takes);
	assert_true(scene->wake_ms == 1790000000000);
	wait_for_line(scene, "woken 0\n");
}

static bool has_run(const struct scene *scene, const void *arg)
{
	(void)arg;
	return scene->doctor_run == 5;
}

static void test_reports_what_the_doctor_found(void **state)
{
	struct scene *scene = *state;
	uint8_t *report = calloc(1, 3000); /* several blocks */
	struct buf buf;

	assert_non_null(report);
	buf_init(&buf, (char *)report, 3000);
	wire_put_u64(&buf, 1, 5);
	for (int i = 0; i < 20; i++)
		wire_put_bytes(&buf, 2, "\022\002id\032\002ok", 8);
	while (buf.length < 2500)
		wire_put_bytes(&buf, 3, "why not", 7);
	make_link(scene);
	assert_int_equal(link_send_doctor_report(scene->link, report, buf.length), -ENOTCONN); /* still ours */
	link_destroy(scene->link);
	open_link(scene);
	order(scene, "doctor 5\n");
	assert_true(run_until(scene, has_run, NULL, DEADLINE_MS));
	assert_int_equal(link_send_doctor_report(scene->link, report, buf.length), 0);
	assert_int_equal(link_send_doctor_report(scene->link, report, buf.length), -EBUSY);
	wait_for_line(scene, "traps=20 error=why not\n");
}

static void check_job(struct scene *scene, const char *line, uint64_t after, size_t length)
{
	unsigned n_jobs = scene->n_jobs;

	order(scene, line);
	assert_int_equal(link_ask_job(scene->link, after), 0);
	assert_int_equal(link_ask_job(scene->link, after), -EBUSY);
	wait_for_count(scene, &scene->n_jobs, n_jobs + 1);
	assert_int_equal(scene->has_job, length > 0);
	if (length) {
		assert_int_equal(scene->script_length, length);
		assert_true(scene->script_is_right);
		assert_int_equal(scene->job_seq, 5);
	}
}

static void test_fetches_jobs(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	check_job(scene, "job 0 0\n", 0, 0);
	check_job(scene, "job 5 20\n", 4, 20);
	check_job(scene, "job 5 20\n", 5, 0);
	check_job(scene, "job 5 1000\n", 4, 1000); /* its envelope makes it two blocks */
	check_job(scene, "job 5 200000\n", 4, 200000);
	wait_for_line(scene, "job-asked 4\n");
}

static void test_fetches_deflated_jobs(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	tell(scene, "zip 1\n");
	check_job(scene, "job 5 20\n", 4, 20);
	check_job(scene, "job 5 70000\n", 4, 70000);
	check_job(scene, "job 5 262144\n", 4, LIMIT_JOB_BYTES);
	if (!inflate_is_there()) /* it did not ask for them */
		return;
	for (unsigned kind = 2; kind <= 4; kind++) { /* 2 MiB of nothing, cut off, a window that is too wide */
		unsigned n_jobs = scene->n_jobs, n_closed = scene->n_closed, n_open = scene->n_open;
		struct link_status status;
		char line[16];

		snprintf(line, sizeof(line), "zip %u\n", kind);
		order(scene, line);
		assert_int_equal(link_ask_job(scene->link, 4), 0);
		wait_for_count(scene, &scene->n_closed, n_closed + 1);
		link_read_status(scene->link, &status);
		assert_string_equal(status.last_error, "malformed job");
		assert_int_equal(scene->n_jobs, n_jobs);
		wait_for_count(scene, &scene->n_open, n_open + 1);
	}
}

static void test_sends_job_states(void **state)
{
	struct scene *scene = *state;
	static uint8_t output[LIMIT_OUTPUT_BYTES + 100];
	struct link_job_state job_state = { .job_id = "J1", .seq = 9, .phase = 4, .exit_status = 3, .output = "hi", .output_length = 2 };

	open_link(scene);
	assert_int_equal(link_send_job_state(scene->link, &job_state), 0);
	wait_for_count(scene, &scene->n_state_acks, 1);
	wait_for_line(scene, "state J1 seq=9 phase=4 exit=3 output=2 truncated=0\n");
	job_state.output = output;
	job_state.output_length = sizeof(output);
	assert_int_equal(link_send_job_state(scene->link, &job_state), 0);
	assert_int_equal(link_send_job_state(scene->link, &job_state), -EBUSY);
	wait_for_count(scene, &scene->n_state_acks, 2);
	wait_for_line(scene, "output=65536 truncated=1\n");
	strcpy(job_state.job_id, "a/b");
	assert_int_equal(link_send_job_state(scene->link, &job_state), -EINVAL);
}

/* What was sent in the session that is given up is not asked for again by itself. */
static void test_begins_a_new_session_and_asks_for_a_confirmation(void **state)
{
	struct scene *scene = *state;
	int64_t began_ms;

	open_link(scene);
	began_ms = clock_mono_ms();
	link_renew(scene->link, 30000);
	assert_int_equal(link_confirm_job(scene->link, "a/b"), -EINVAL);
	wait_for_count(scene, &scene->n_closed, 1);
	assert_int_equal(link_confirm_job(scene->link, "J1"), -ENOTCONN);
	wait_for_count(scene, &scene->n_open, 2);
	assert_true(clock_mono_ms() - began_ms < LIMIT_BACKOFF_BASE_MS); /* at once */
	assert_int_equal(link_confirm_job(scene->link, "J1"), 0);
	assert_int_equal(link_confirm_job(scene->link, "J1"), -EBUSY);
	wait_for_count(scene, &scene->n_confirmations, 1);
	wait_for_line(scene, "confirm J1\n");
	assert_string_equal(scene->refusal, "");
	order(scene, "unconfirmed 1\n");
	assert_int_equal(link_confirm_job(scene->link, "J1"), 0);
	wait_for_count(scene, &scene->n_confirmations, 2);
	assert_string_equal(scene->refusal, "too old");
}

static void check_snapshot(struct scene *scene, const char *text, size_t length, bool transferred)
{
	unsigned n = scene->n_snapshots;
	char expected[64];

	assert_int_equal(link_offer_snapshot(scene->link, text, length), 0);
	assert_int_equal(link_offer_snapshot(scene->link, text, length), -EBUSY);
	wait_for_count(scene, &scene->n_snapshots, n + 1);
	assert_int_equal(scene->snapshot_result, 0);
	assert_int_equal(scene->snapshot_transferred, transferred);
	snprintf(expected, sizeof(expected), " %zu crc=%08lx\n", length, crc32(0, (const Bytef *)text, (uInt)length));
	if (transferred)
		wait_for_line(scene, expected);
	else
		assert_false(has_said(scene, expected));
}

static void test_hands_in_snapshots(void **state)
{
	struct scene *scene = *state;
	char *text = malloc(LIMIT_BODY_BYTES + 1);
	uint32_t noise = 1;

	open_link(scene);
	for (size_t i = 0; i < LIMIT_BODY_BYTES; i++) {
		noise = noise * 1664525 + 1013904223;
		text[i] = (char)(i % 97 ? 'a' + (int)(noise >> 30) : '\n');
	}
	check_snapshot(scene, "config system\n", 14, true); /* one block */
	forget(scene);
	check_snapshot(scene, text, 20000, true);
	forget(scene);
	check_snapshot(scene, text, LIMIT_BODY_BYTES, true);
	forget(scene);
	order(scene, "have 1\n");
	check_snapshot(scene, text, 20000, false);
	assert_int_equal(link_offer_snapshot(scene->link, text, LIMIT_BODY_BYTES + 1), -EMSGSIZE);
	free(text);
}

/* Acknowledged, and the answer itself lost: asked again, at once enough that nobody waits. */
static void test_asks_again_when_an_answer_is_lost(void **state)
{
	struct scene *scene = *state;
	char text[20000];
	int64_t begun_ms;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + (i * i / 7) % 23);
	open_link(scene);
	begun_ms = clock_mono_ms();
	order(scene, "lose 1\n");
	check_job(scene, "job 5 20\n", 4, 20);
	forget(scene);
	order(scene, "lose 2\n"); /* that to the last block: the collector has put the body together and forgotten the blocks */
	check_snapshot(scene, text, sizeof(text), true);
	assert_int_equal(scene->n_closed, 0);
	assert_true(clock_mono_ms() - begun_ms < 3LL * LIMIT_ANSWER_MS + 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scene_test(test_is_woken),
		scene_test(test_reports_what_the_doctor_found),
		scene_test(test_fetches_jobs),
		scene_test(test_fetches_deflated_jobs),
		scene_test(test_sends_job_states),
		scene_test(test_begins_a_new_session_and_asks_for_a_confirmation),
		scene_test(test_hands_in_snapshots),
		scene_test(test_asks_again_when_an_answer_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
