/* coap: handshakes, hostile datagrams, wakes, and how sessions end. */
#include "tests/unit/collector/coap_lab.h"

static void test_first_request_makes_a_device(void **state)
{
	struct scene *scene = *state;
	char expected[32];
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	connect_client(scene, &scene->client, "dev1");
	assert_int_equal(scene->n_online, 0); /* a finished handshake alone is nobody */
	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	assert_int_equal(scene->n_online, 1);
	assert_string_equal(scene->device, "dev1");
	getsockname(scene->client.fd, (struct sockaddr *)&address, &length);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", ntohs(address.sin_port));
	assert_string_equal(scene->peer, expected);
	assert_int_equal(scene->incoming.path, COAP_PATH_HELLO);
	assert_memory_equal(scene->body, "hi", 2);
	assert_int_equal(scene->message.type, COAP_TYPE_ACK); /* in time: with the acknowledgement */
	assert_int_equal(scene->message.payload_length, 5);
	assert_int_equal(counters(scene).sessions_open, 1);
	dtls_client_finish(&scene->client, true);
	wait_until(scene, scene->n_offline == 1);
	assert_string_equal(scene->reason, "closed by the device");
	assert_int_equal(counters(scene).sessions_open, 0);
	assert_int_equal(counters(scene).handshakes_refused, 0);
}

static int refused_error(struct scene *scene, const char *identity, uint8_t flip)
{
	uint8_t key[32];
	uint64_t refused = counters(scene).handshakes_refused;

	memcpy(key, scene->key, sizeof(key));
	key[31] ^= flip;
	assert_int_equal(dtls_client_init(&scene->client, NULL, &scene->target, identity, key), 0);
	assert_int_equal(try_handshake(scene, &scene->client), -ECONNREFUSED);
	wait_until(scene, counters(scene).handshakes_refused == refused + 1);
	assert_int_equal(scene->n_online, 0);
	dtls_client_finish(&scene->client, false);
	return scene->client.error;
}

static void test_wrong_key_and_unknown_identity_look_alike(void **state)
{
	struct scene *scene = *state;
	int wrong_key = refused_error(scene, "dev1", 1);

	assert_int_equal(refused_error(scene, "stranger", 0), wrong_key);
	assert_int_equal(refused_error(scene, "dev with blanks and an identity far too long for a name", 0), wrong_key);
	connect_client(scene, &scene->client, "dev1"); /* and the daemon goes on */
}

static void test_newest_session_wins(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	connect_client(scene, &scene->other, "dev1");
	assert_int_equal(ask(scene, &scene->client, &hello), 204); /* not before it has said something */
	assert_int_equal(ask(scene, &scene->other, &hello), 204);
	assert_int_equal(scene->n_online, 2);
	assert_int_equal(scene->n_offline, 0);
	while (poll_message(scene, &scene->client) || scene->received == -EAGAIN)
		;
	assert_int_equal(scene->received, -ECONNRESET); /* the older one was told */
	assert_int_equal(counters(scene).sessions_open, 1);
}

static void test_flood_of_one_source(void **state)
{
	struct scene *scene = *state;
	struct sockaddr_in source = { .sin_family = AF_INET };
	struct dtls_client *flood = calloc(FLOOD, sizeof(*flood));

	inet_aton("127.0.0.2", &source.sin_addr);
	for (int i = 0; i < FLOOD; i++) {
		assert_int_equal(dtls_client_init(&flood[i], &source, &scene->target, "dev9", scene->key), 0);
		assert_int_equal(dtls_client_handshake(&flood[i]), -EAGAIN);
		wait_until(scene, counters(scene).cookies_asked == (uint64_t)i + 1);
		assert_int_equal(dtls_client_handshake(&flood[i]), -EAGAIN); /* its cookie and not a word more */
		turn(scene);
	}
	wait_until(scene, counters(scene).handshakes_limited == FLOOD - LIMIT_HANDSHAKES_PER_SOURCE);
	connect_client(scene, &scene->client, "dev1");
	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	for (int i = 0; i < FLOOD; i++)
		dtls_client_finish(&flood[i], false);
	free(flood);
}

/* Invented addresses: each says hello once and never returns its cookie. */
static void test_flood_of_many_sources(void **state)
{
	struct scene *scene = *state;
	struct sockaddr_in source = { .sin_family = AF_INET };
	struct dtls_client flood;

	for (uint32_t i = 0; i < LIMIT_HANDSHAKES + 10; i++) {
		source.sin_addr.s_addr = htonl(0x7f010001 + i);
		assert_int_equal(dtls_client_init(&flood, &source, &scene->target, "dev9", scene->key), 0);
		assert_int_equal(dtls_client_handshake(&flood), -EAGAIN);
		turn(scene);
		dtls_client_finish(&flood, false);
	}
	connect_client(scene, &scene->client, "dev1");
	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	assert_int_equal(counters(scene).handshakes_limited, 0);
	assert_int_equal(counters(scene).cookies_asked, LIMIT_HANDSHAKES + 10 + 1);
}

/* A client that asked 127.0.0.4 takes no answer from 127.0.0.1, which the kernel would choose. */
static void test_answer_from_the_address_that_was_asked(void **state)
{
	struct scene *scene = *state;
	struct sockaddr_in source = { .sin_family = AF_INET }, target = scene->target;
	struct parse_address listen;
	struct err err = { "" };

	coap_server_destroy(scene->server);
	scene->server = NULL;
	assert_int_equal(parse_address("0.0.0.0", ntohs(target.sin_port), &listen), 0);
	assert_int_equal(coap_server_create(scene->loop, &listen, &events, scene, &scene->server, &err), 0);
	inet_aton("127.0.0.3", &source.sin_addr);
	inet_aton("127.0.0.4", &target.sin_addr);
	assert_int_equal(dtls_client_init(&scene->other, &source, &target, "dev1", scene->key), 0);
	assert_int_equal(try_handshake(scene, &scene->other), 0);
}

static void test_port_in_use(void **state)
{
	struct scene *scene = *state;
	struct coap_server *second;
	struct parse_address listen;
	struct err err = { "" };

	assert_int_equal(parse_address("127.0.0.1", ntohs(scene->target.sin_port), &listen), 0);
	assert_int_equal(coap_server_create(scene->loop, &listen, &events, scene, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "cannot listen"));
}

static void test_garbage_datagrams(void **state)
{
	struct scene *scene = *state;
	static const char garbage[][40] = { "", "\x16", "GET / HTTP/1.1\r\n\r\n", "\x17\xfe\xfd\x00\x01", "\x16\xfe\xfd" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint8_t bytes[1400];

	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		sendto(fd, garbage[i], sizeof(garbage[i]), 0, (struct sockaddr *)&scene->target, sizeof(scene->target));
	memset(bytes, 0xa5, sizeof(bytes));
	sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&scene->target, sizeof(scene->target));
	wait_until(scene, counters(scene).strays == 6);
	/* The same from the address of a live session: not authentic, so nothing. */
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		send(scene->client.fd, garbage[i], sizeof(garbage[i]), 0);
	send(scene->client.fd, bytes, sizeof(bytes), 0);
	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	assert_int_equal(scene->n_offline, 0);
	close(fd);
}

static void test_wake(void **state)
{
	struct scene *scene = *state;
	struct coap_build build;

	assert_int_equal(coap_server_wake(scene->server, "dev1", 0, "w", 1), -ENOTCONN);
	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	assert_int_equal(coap_server_wake(scene->server, "dev2", 0, "w", 1), -ENOTCONN);
	assert_int_equal(coap_server_wake(scene->server, "dev1", 0, scene->body, LIMIT_WAKE_BYTES + 1), -EMSGSIZE);
	assert_int_equal(coap_server_wake(scene->server, "dev1", 0, "w", 1), 0);
	wait_message(scene, &scene->client);
	assert_int_equal(scene->message.type, COAP_TYPE_CON);
	assert_int_equal(scene->message.code, 2);
	assert_int_equal(scene->message.payload_length, 1);
	coap_begin(&build, COAP_TYPE_ACK, 204, scene->message.mid, scene->message.token, scene->message.token_length);
	assert_true(dtls_client_send(&scene->client, build.bytes, build.length) > 0);
	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	assert_int_equal(scene->n_offline, 0);
	/* Nobody acknowledges these: the device is gone. */
	for (int i = 0; i < LIMIT_WAKES; i++)
		assert_int_equal(coap_server_wake(scene->server, "dev1", 0, "w", 1), 0);
	assert_int_equal(coap_server_wake(scene->server, "dev1", 0, "w", 1), -EBUSY);
	wait_until(scene, scene->n_offline == 1);
	assert_string_equal(scene->reason, "wake not acknowledged");
	assert_int_equal(coap_server_wake(scene->server, "dev1", 0, "w", 1), -ENOTCONN);
}

/* Milliseconds from a wake to its repetition. */
static int64_t repetition_of_wake(struct scene *scene, uint32_t rtt_ms)
{
	struct coap_build build;
	uint16_t mid;
	int64_t sent_ms = clock_mono_ms();

	assert_int_equal(coap_server_wake(scene->server, "dev1", rtt_ms, "w", 1), 0);
	wait_message(scene, &scene->client);
	mid = scene->message.mid;
	wait_message(scene, &scene->client);
	assert_int_equal(scene->message.mid, mid);
	coap_begin(&build, COAP_TYPE_ACK, 204, mid, scene->message.token, scene->message.token_length);
	assert_true(dtls_client_send(&scene->client, build.bytes, build.length) > 0);
	return clock_mono_ms() - sent_ms;
}

/* RFC 7252 section 4.8: up to half as long again. A machine that is busy makes it later, never sooner. */
static void test_wake_is_repeated_by_the_round_trip(void **state)
{
	struct scene *scene = *state;
	int64_t after_ms;

	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	after_ms = repetition_of_wake(scene, 20);
	assert_true(after_ms >= LIMIT_ACK_MIN_MS * 9 / 10 && after_ms < LIMIT_ACK_MAX_MS);
	assert_true(repetition_of_wake(scene, 400) >= 720);
	assert_true(repetition_of_wake(scene, 0) >= LIMIT_ACK_MAX_MS * 9 / 10);
	assert_true(repetition_of_wake(scene, UINT32_MAX) >= LIMIT_ACK_MAX_MS * 9 / 10);
}

static void ping(struct dtls_client *client)
{
	struct coap_build build;

	coap_begin(&build, COAP_TYPE_CON, 0, ++client->mid, NULL, 0);
	assert_true(dtls_client_send(client, build.bytes, build.length) > 0);
}

static void test_silence(void **state)
{
	struct scene *scene = *state;
	unsigned n_pongs = 0;

	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	coap_server_set_silence(scene->server, 2000);
	/* Pings keep it: more than two silences long. */
	for (int64_t end_ms = clock_mono_ms() + 4500, next_ms = 0; clock_mono_ms() < end_ms;) {
		if (clock_mono_ms() > next_ms) {
			next_ms = clock_mono_ms() + 500;
			ping(&scene->client);
		}
		n_pongs += poll_message(scene, &scene->client) && scene->message.type == COAP_TYPE_RST;
	}
	assert_int_equal(scene->n_offline, 0);
	assert_true(n_pongs >= 2);
	wait_until(scene, scene->n_offline == 1);
	assert_string_equal(scene->reason, "silent");
}

static void test_disconnect(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	coap_server_disconnect(scene->server, "dev2", "not there");
	coap_server_disconnect(scene->server, "dev1", "key replaced");
	assert_int_equal(scene->n_offline, 1);
	assert_string_equal(scene->reason, "key replaced");
	while (poll_message(scene, &scene->client) || scene->received == -EAGAIN)
		;
	assert_int_equal(scene->received, -ECONNRESET);
}

static void test_clock_steps(void **state)
{
	static const int64_t offsets_s[] = { 10 * YEAR_S, -86400, -50 * YEAR_S, 0 };
	struct scene *scene = *state;
	struct coap_build build;

	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	for (size_t i = 0; i < sizeof(offsets_s) / sizeof(offsets_s[0]); i++) {
		int64_t end_ms = clock_mono_ms() + 2500; /* two turns of the server's own timer */

		wallclock_set_offset(offsets_s[i]);
		while (clock_mono_ms() < end_ms)
			turn(scene);
		ping(&scene->client);
		assert_int_equal(ask(scene, &scene->client, &hello), 204);
		/* A wake that is lost comes again: retransmissions do not stop. */
		assert_int_equal(coap_server_wake(scene->server, "dev1", 0, "w", 1), 0);
		for (int n = 0; n < 2; n += scene->message.code == 2)
			wait_message(scene, &scene->client);
		coap_begin(&build, COAP_TYPE_ACK, 204, scene->message.mid, scene->message.token, scene->message.token_length);
		assert_true(dtls_client_send(&scene->client, build.bytes, build.length) > 0);
		connect_client(scene, &scene->other, "dev2"); /* handshakes work at any time of day */
		dtls_client_finish(&scene->other, true);
	}
	assert_int_equal(scene->n_offline, 0);
	assert_int_equal(scene->n_online, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		alone(test_first_request_makes_a_device),
		alone(test_wrong_key_and_unknown_identity_look_alike),
		connected(test_newest_session_wins),
		alone(test_flood_of_one_source),
		alone(test_flood_of_many_sources),
		alone(test_answer_from_the_address_that_was_asked),
		alone(test_port_in_use),
		connected(test_garbage_datagrams),
		connected(test_wake),
		connected(test_wake_is_repeated_by_the_round_trip),
		connected(test_silence),
		connected(test_disconnect),
		connected(test_clock_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
