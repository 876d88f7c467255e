/* link: datagrams that are lost while a session begins, by a relay between link and collector. */
#include "tests/unit/agent/link_lab.h"

enum way { UP, DOWN };

/* Between link and collector, as a NAT: each session has a port of its own. Loses one datagram of a way of the next session. */
struct relay {
	struct scene *scene;
	int fds[2]; /* the link's side, the collector's */
	ev_io watchers[2];
	struct sockaddr_in agent; /* of the session */
	int lose_in[2];		  /* so many pass before it; below 0: none is lost */
	int plan[2];		  /* the same for the next session */
	struct sockaddr_in before;
	unsigned n_late; /* datagrams of the session before */
};

static void on_datagram(struct ev_loop *loop, ev_io *watcher, int revents);

static void open_side(struct relay *relay, enum way way)
{
	relay->fds[way] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ev_io_init(&relay->watchers[way], on_datagram, relay->fds[way], EV_READ);
	relay->watchers[way].data = relay;
	ev_io_start(relay->scene->loop, &relay->watchers[way]);
}

static void close_side(struct relay *relay, enum way way)
{
	ev_io_stop(relay->scene->loop, &relay->watchers[way]);
	close(relay->fds[way]);
}

static void begin_session(struct relay *relay, const struct sockaddr_in *agent)
{
	struct sockaddr_in collector = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					 .sin_port = htons(relay->scene->port) };

	close_side(relay, DOWN);
	open_side(relay, DOWN);
	assert_int_equal(connect(relay->fds[DOWN], (struct sockaddr *)&collector, sizeof(collector)), 0);
	relay->before = relay->agent;
	relay->agent = *agent;
	memcpy(relay->lose_in, relay->plan, sizeof(relay->lose_in));
	relay->plan[UP] = relay->plan[DOWN] = -1;
}

static void on_datagram(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct relay *relay = watcher->data;
	enum way way = watcher == &relay->watchers[UP] ? UP : DOWN;
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	uint8_t bytes[2048];
	ssize_t n = recvfrom(watcher->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &length);

	(void)loop;
	(void)revents;
	assert_true(n > 0);
	if (way == UP && from.sin_port == relay->before.sin_port) {
		relay->n_late++;
		return;
	}
	if (way == UP && from.sin_port != relay->agent.sin_port)
		begin_session(relay, &from);
	if (relay->lose_in[way] >= 0 && relay->lose_in[way]-- == 0)
		return;
	assert_int_equal(way == UP ? send(relay->fds[DOWN], bytes, (size_t)n, 0)
				   : sendto(relay->fds[UP], bytes, (size_t)n, 0, (struct sockaddr *)&relay->agent,
					    sizeof(relay->agent)), n);
}

static void start_relay(struct scene *scene, struct relay *relay)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);

	*relay = (struct relay){ .scene = scene, .plan = { -1, -1 } };
	open_side(relay, UP);
	open_side(relay, DOWN);
	assert_int_equal(bind(relay->fds[UP], (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(relay->fds[UP], (struct sockaddr *)&address, &length), 0);
	scene->config.collector.port = ntohs(address.sin_port);
}

/* How long a new session takes when the datagram number n, from 0, of that way is lost. */
static int64_t renew_with_loss(struct scene *scene, struct relay *relay, enum way way, int n)
{
	unsigned n_open = scene->n_open;
	int64_t began_ms = clock_mono_ms();

	relay->plan[way] = n;
	link_renew(scene->link, 30000);
	wait_for_count(scene, &scene->n_open, n_open + 1);
	assert_true(relay->lose_in[way] < 0);
	return clock_mono_ms() - began_ms;
}

/*
 * Three flights each way and hello (whose answer may be acknowledgement and answer in one). The path's round trip is known, so
 * none costs the second that RFC 6347 begins with, let alone the two of RFC 7252. A busy machine gets more tries.
 */
static void test_a_lost_datagram_does_not_hold_up_a_new_session(void **state)
{
	struct scene *scene = *state;
	struct relay relay;

	start_relay(scene, &relay);
	open_link(scene);
	for (enum way way = UP; way <= DOWN; way++) {
		for (int n = 0; n < 4; n++) {
			int64_t took_ms = INT64_MAX;

			for (int tries = 0; tries < 5 && took_ms >= 1000; tries++) {
				took_ms = renew_with_loss(scene, &relay, way, n);
				assert_true(took_ms >= LIMIT_ACK_MIN_MS * 9 / 10);
			}
			if (took_ms >= 1000)
				fail_msg("way %d datagram %d: %d ms", way, n, (int)took_ms);
		}
	}
	link_destroy(scene->link);
	scene->link = NULL;
	close_side(&relay, UP);
	close_side(&relay, DOWN);
}

static bool has_lost(const struct scene *scene, const void *arg)
{
	const struct relay *relay = arg;

	(void)scene;
	return relay->plan[UP] < 0 && relay->lose_in[UP] < 0;
}

/* It would be the newest of this device for the collector. */
static void test_a_session_that_is_given_up_says_nothing_more(void **state)
{
	struct scene *scene = *state;
	struct relay relay;

	start_relay(scene, &relay);
	open_link(scene);
	relay.plan[UP] = 3; /* hello */
	link_renew(scene->link, 30000);
	assert_true(run_until(scene, has_lost, &relay, DEADLINE_MS));
	link_renew(scene->link, 30000);
	wait_for_count(scene, &scene->n_open, 2);
	let_pass(scene, 3LL * LIMIT_ACK_MIN_MS);
	assert_int_equal(relay.n_late, 0);
	assert_int_equal(scene->n_closed, 1);
	link_destroy(scene->link);
	scene->link = NULL;
	close_side(&relay, UP);
	close_side(&relay, DOWN);
}

/* Nothing is known of the path: a second for each flight. */
static void test_a_first_session_is_patient(void **state)
{
	struct scene *scene = *state;
	struct relay relay;
	int64_t began_ms = clock_mono_ms();

	start_relay(scene, &relay);
	relay.plan[UP] = 0;
	relay.plan[DOWN] = 1; /* a flight of the next pair */
	open_link(scene);
	assert_true(clock_mono_ms() - began_ms >= 2000);
	link_destroy(scene->link);
	scene->link = NULL;
	close_side(&relay, UP);
	close_side(&relay, DOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scene_test(test_a_lost_datagram_does_not_hold_up_a_new_session),
		scene_test(test_a_session_that_is_given_up_says_nothing_more),
		scene_test(test_a_first_session_is_patient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
