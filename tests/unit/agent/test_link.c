/* link: sessions: how they begin, how they end, and what brings the next one. */
#include "tests/unit/agent/link_lab.h"

static void test_opens_and_says_goodbye(void **state)
{
	struct scene *scene = *state;
	struct link_status status;

	open_link(scene);
	link_read_status(scene->link, &status);
	assert_int_equal(status.phase, LINK_OPEN);
	assert_int_equal(status.epoch, 1);
	assert_int_equal(status.sessions, 1);
	wait_for_line(scene, "hello dev1 127.0.0.1:");
	wait_for_line(scene, "uplinks=2\n");
	assert_false(has_said(scene, "rtt_ms=0 ")); /* it took a millisecond at least to say that */
	link_destroy(scene->link);
	scene->link = NULL;
	wait_for_line(scene, "offline dev1 closed by the device\n");
}

static void test_no_collector_configured(void **state)
{
	struct scene *scene = *state;
	struct link_status status;

	scene->config.has_collector = false;
	make_link(scene);
	link_kick(scene->link, true);
	link_path_changed(scene->link);
	assert_int_equal(link_ask_job(scene->link, 0), -ENOTCONN);
	assert_int_equal(link_offer_snapshot(scene->link, "x", 1), -ENOTCONN);
	link_read_status(scene->link, &status);
	assert_int_equal(status.phase, LINK_IDLE);
}

static uint16_t number_at(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/*
 * The other half of tests/e2e/test_foreign_dtls.py: what the agent's Client Hello offers (RFC 6347, 4.2.2), also where its
 * mbedTLS knows more suites, for RouterOS routers. 0x00ff is no suite: it says that renegotiation is not vulnerable.
 */
static void test_offers_one_suite(void **state)
{
	static const uint8_t offered[] = { 0xcc, 0xac, 0x00, 0xff };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval deadline = { .tv_sec = DEADLINE_MS / 1000 };
	struct scene *scene = *state;
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t hello[1500];
	size_t at = 13 + 12 + 2 + 32; /* the record's head, the message's, its version and random bytes */
	ssize_t got;

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	scene->config.collector.port = ntohs(address.sin_port);
	make_link(scene);
	ev_run(scene->loop, EVRUN_ONCE);
	got = recv(fd, hello, sizeof(hello), 0);
	assert_true(got > (ssize_t)at);
	at += 1u + hello[at]; /* session */
	at += 1u + hello[at]; /* cookie */
	assert_true(at + 2 + sizeof(offered) < (size_t)got);
	assert_int_equal(number_at(hello + at), sizeof(offered));
	assert_memory_equal(hello + at + 2, offered, sizeof(offered));
	close(fd);
}

static void check_refused(struct scene *scene)
{
	struct link_status status;

	make_link(scene);
	assert_true(run_until(scene, is_waiting, NULL, DEADLINE_MS));
	link_read_status(scene->link, &status);
	assert_non_null(strstr(status.last_error, "handshake refused"));
	assert_int_equal(scene->n_open, 0);
	assert_int_equal(scene->n_closed, 0);
	assert_false(has_said(scene, "online"));
}

static void test_wrong_key(void **state)
{
	struct scene *scene = *state;

	scene->psk[0] ^= 1;
	check_refused(scene);
}

static void test_unknown_identity(void **state)
{
	struct scene *scene = *state;

	strcpy(scene->config.identity, "stranger");
	check_refused(scene);
}

static void test_collector_dies_and_comes_back(void **state)
{
	struct scene *scene = *state;
	struct link_status status;

	open_link(scene);
	order(scene, "mute 1\n");
	add_notice(scene, 10);
	link_kick(scene->link, true);
	wait_for_line(scene, "batch 1 1 events=1\n");
	stop_collector(scene, SIGKILL);
	forget(scene);
	start_collector(scene, "2");
	/* The new process knows nothing of the session: the link finds out and begins another. */
	wait_for_count(scene, &scene->n_open, 2);
	wait_for_line(scene, "batch 1 1 events=1\n");
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
	link_read_status(scene->link, &status);
	assert_int_equal(status.epoch, 2);
	assert_int_equal(scene->n_closed, 1);
}

static void test_notices_silence(void **state)
{
	struct scene *scene = *state;
	unsigned closed = 0;

	open_link(scene);
	freeze_collector(scene); /* keepalive is 1 s: a ping, and two misses of LIMIT_PING_MS */
	wait_for_count(scene, &scene->n_closed, closed + 1);
	kill(scene->pid, SIGCONT);
	wait_for_count(scene, &scene->n_open, 2);
}

static void test_looks_at_once_after_a_path_change(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	link_path_changed(scene->link); /* harmless while the collector answers */
	tell(scene, "wake 1 0\n");
	wait_for_count(scene, &scene->n_wakes, 1);
	assert_int_equal(scene->n_closed, 0);
	freeze_collector(scene);
	let_pass(scene, 200); /* answers to earlier pings */
	link_path_changed(scene->link);
	/* Far below the two misses of LIMIT_PING_MS that it would take otherwise. */
	assert_true(run_until(scene, is_not_open, NULL, LIMIT_PING_MS));
	kill(scene->pid, SIGCONT);
	wait_for_count(scene, &scene->n_open, 2);
}

static void test_comes_back_when_the_collector_is_busy(void **state)
{
	struct scene *scene = *state;

	order(scene, "busy 1\n");
	make_link(scene);
	assert_true(run_until(scene, is_waiting, NULL, DEADLINE_MS));
	tell(scene, "busy 0\n");
	wait_for_count(scene, &scene->n_open, 1);
	/* Refused for a second in the open session: the request waits and is made again. */
	order(scene, "busy 1\n");
	assert_int_equal(link_ask_job(scene->link, 0), 0);
	add_notice(scene, 10);
	link_kick(scene->link, true);
	tell(scene, "busy 0\n");
	wait_for_count(scene, &scene->n_jobs, 1);
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
	assert_int_equal(scene->n_closed, 0);
}

static void test_survives_nonsense(void **state)
{
	struct scene *scene = *state;
	struct link_status status;

	order(scene, "garble 1\n");
	make_link(scene);
	assert_true(run_until(scene, is_waiting, NULL, DEADLINE_MS));
	link_read_status(scene->link, &status);
	assert_string_equal(status.last_error, "malformed HelloAck");
	tell(scene, "garble 0\n");
	wait_for_count(scene, &scene->n_open, 1);
}

static void test_opens_another_session_when_told_that_this_one_is_over(void **state)
{
	struct scene *scene = *state;

	open_link(scene);
	order(scene, "refuse 401\n");
	add_notice(scene, 800);
	link_kick(scene->link, true);
	wait_for_count(scene, &scene->n_closed, 1); /* at the first refusal, and nothing is given up */
	tell(scene, "refuse 0\n");
	wait_for_count(scene, &scene->n_open, 2);
	wait_for_line(scene, "batch 1 1 events=1\n");
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
}

static void check_works(struct scene *scene)
{
	unsigned n_wakes = scene->n_wakes, n_jobs = scene->n_jobs;

	add_notice(scene, 10);
	link_kick(scene->link, true);
	assert_true(run_until(scene, is_all_acked, NULL, DEADLINE_MS));
	assert_int_equal(link_ask_job(scene->link, 0), 0);
	wait_for_count(scene, &scene->n_jobs, n_jobs + 1);
	tell(scene, "wake 1 0\n");
	wait_for_count(scene, &scene->n_wakes, n_wakes + 1);
}

static void test_clock_steps(void **state)
{
	static const int64_t offsets_s[] = { 10 * YEAR_S, -86400, -50 * YEAR_S, 0 };
	struct scene *scene = *state;
	struct link_status status;

	open_link(scene);
	for (size_t i = 0; i < sizeof(offsets_s) / sizeof(offsets_s[0]); i++) {
		wallclock_set_offset(offsets_s[i]);
		check_works(scene);
		let_pass(scene, 2500); /* two keepalives */
	}
	check_works(scene);
	link_read_status(scene->link, &status);
	assert_int_equal(status.sessions, 1);
	assert_int_equal(scene->n_closed, 0);
	/* The handshake too. */
	wallclock_set_offset(10 * YEAR_S);
	stop_collector(scene, SIGKILL);
	start_collector(scene, "2");
	link_path_changed(scene->link);
	wait_for_count(scene, &scene->n_open, 2);
	wallclock_set_offset(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scene_test(test_opens_and_says_goodbye),
		scene_test(test_no_collector_configured),
		scene_test(test_offers_one_suite),
		scene_test(test_wrong_key),
		scene_test(test_unknown_identity),
		scene_test(test_collector_dies_and_comes_back),
		scene_test(test_notices_silence),
		scene_test(test_looks_at_once_after_a_path_change),
		scene_test(test_comes_back_when_the_collector_is_busy),
		scene_test(test_survives_nonsense),
		scene_test(test_opens_another_session_when_told_that_this_one_is_over),
		scene_test(test_clock_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
