/*
 * coap: the collector's CoAP server against clients straight on mbedTLS (tests/bench/dtls_client.c), in one process
 * and one loop, over loopback. Every wait is for a condition with a deadline.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collector/coap.h"
#include "common/clock.h"
#include "common/wire.h"
#include "tests/bench/dtls_client.h"
#include "tests/fake/wallclock.h"

#define YEAR_S (365LL * 86400)
#define DEADLINE_MS 30000
#define FLOOD 300

struct scene {
	struct ev_loop *loop;
	struct coap_server *server;
	struct sockaddr_in target;
	struct dtls_client client, other;
	uint8_t key[32];

	unsigned n_requests, n_online, n_offline;
	struct coap_incoming incoming; /* the last; body copied */
	char body[LIMIT_BODY_BYTES];
	char device[LIMIT_NAME], peer[LIMIT_HOST], reason[64];
	bool answers_at_once;
	size_t answer_length; /* of what GET /job gives */

	struct coap_message message;
	uint8_t bytes[2048];
	int received; /* of the client that was polled last */
};

/* --- the owner -------------------------------------------------------------------------------------- */

static int find_key(void *arg, const char *identity, uint8_t ret_key[static LIMIT_PSK_BYTES])
{
	const struct scene *scene = arg;

	if (strncmp(identity, "dev", 3) != 0)
		return -ENOENT;
	memcpy(ret_key, scene->key, sizeof(scene->key));
	return 0;
}

static void on_online(void *arg, const char *device, const char *peer)
{
	struct scene *scene = arg;

	scene->n_online++;
	snprintf(scene->device, sizeof(scene->device), "%s", device);
	snprintf(scene->peer, sizeof(scene->peer), "%s", peer);
}

static void on_offline(void *arg, const char *device, const char *reason)
{
	struct scene *scene = arg;

	(void)device;
	scene->n_offline++;
	snprintf(scene->reason, sizeof(scene->reason), "%s", reason);
}

static void answer(struct scene *scene, enum coap_code code, size_t length)
{
	static uint8_t body[LIMIT_BODY_BYTES];

	for (size_t i = 0; i < length; i++)
		body[i] = (uint8_t)(i * 7);
	coap_server_reply(scene->server, &scene->incoming.ticket,
			  &(struct coap_answer){ .code = code, .body = body, .length = length });
}

static void on_request(void *arg, const struct coap_incoming *incoming)
{
	struct scene *scene = arg;

	scene->n_requests++;
	scene->incoming = *incoming;
	memcpy(scene->body, incoming->body, incoming->length);
	assert_string_equal(incoming->device, scene->device); /* whatever the payload says */
	if (incoming->path == COAP_PATH_JOB)
		answer(scene, COAP_CONTENT, scene->answer_length);
	else if (scene->answers_at_once)
		answer(scene, COAP_CHANGED, 5);
}

static const struct coap_events events = { find_key, on_online, on_offline, on_request };

/* --- running both sides --------------------------------------------------------------------------------- */

static void turn(struct scene *scene)
{
	struct timespec pause = { .tv_nsec = 200000 };

	ev_run(scene->loop, EVRUN_NOWAIT);
	nanosleep(&pause, NULL); /* paces the polling of both sides; no condition hangs on it */
}

/* Takes one message of the client; 0 when there is none. Empty acknowledgements count. */
static bool poll_message(struct scene *scene, struct dtls_client *client)
{
	turn(scene);
	scene->received = dtls_client_receive(client, scene->bytes, sizeof(scene->bytes));
	return scene->received > 0 && coap_read(scene->bytes, (size_t)scene->received, &scene->message);
}

static void wait_message(struct scene *scene, struct dtls_client *client)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;

	while (!poll_message(scene, client))
		assert_true(clock_mono_ms() < end_ms);
}

#define wait_until(scene, condition)                                         \
	do {                                                                 \
		int64_t end_ms_ = clock_mono_ms() + DEADLINE_MS;             \
		while (!(condition)) {                                       \
			turn(scene);                                         \
			if (clock_mono_ms() > end_ms_)                       \
				fail_msg("never: %s", #condition);           \
		}                                                            \
	} while (0)

static struct coap_counters counters(const struct scene *scene)
{
	struct coap_counters result;

	coap_server_read_counters(scene->server, &result);
	return result;
}

static int try_handshake(struct scene *scene, struct dtls_client *client)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;
	int result;

	while ((result = dtls_client_handshake(client)) == -EAGAIN && clock_mono_ms() < end_ms)
		turn(scene);
	return result;
}

static void connect_client(struct scene *scene, struct dtls_client *client, const char *identity)
{
	assert_int_equal(dtls_client_init(client, NULL, &scene->target, identity, scene->key), 0);
	assert_int_equal(try_handshake(scene, client), 0);
}

struct sent { /* one request; format -1: none */
	int type, method;
	const char *path[4];
	const char *query;
	int format;
	uint32_t block1, block2;
	bool has_block1, has_block2;
	const void *body;
	size_t length;
	uint16_t mid; /* 0: the next */
};

static void send_request(struct dtls_client *client, const struct sent *sent)
{
	struct coap_build build;
	uint16_t mid = sent->mid ? sent->mid : ++client->mid;

	coap_begin(&build, sent->type, sent->method, mid, &mid, sizeof(mid));
	for (int i = 0; i < 4 && sent->path[i]; i++)
		coap_option(&build, 11, sent->path[i], strlen(sent->path[i]));
	if (sent->format >= 0)
		coap_option_uint(&build, 12, (uint32_t)sent->format);
	if (sent->query)
		coap_option(&build, 15, sent->query, strlen(sent->query));
	if (sent->has_block2)
		coap_option_uint(&build, 23, sent->block2);
	if (sent->has_block1)
		coap_option_uint(&build, 27, sent->block1);
	coap_payload(&build, sent->body, sent->length);
	assert_true(dtls_client_send(client, build.bytes, build.length) > 0);
}

/* Sends and takes the answer (piggybacked, or after an empty acknowledgement). */
static int ask(struct scene *scene, struct dtls_client *client, const struct sent *sent)
{
	send_request(client, sent);
	do {
		wait_message(scene, client);
	} while (scene->message.code == 0 || scene->message.token_length != sizeof(client->mid) ||
		 memcmp(scene->message.token, &client->mid, sizeof(client->mid)) != 0);
	return scene->message.code;
}

static const struct sent hello = { .type = COAP_TYPE_CON, .method = 2, .path = { "hello" }, .format = WIRE_FORMAT_PROTOBUF,
				   .body = "hi", .length = 2 };
static const struct sent batch = { .type = COAP_TYPE_NON, .method = 2, .path = { "tm" }, .format = WIRE_FORMAT_PROTOBUF,
				   .body = "batch", .length = 5 };

#define HASH "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* --- scenes -------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	struct parse_address listen;
	struct err err = { "" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_non_null(scene);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	scene->target = address;
	scene->loop = ev_loop_new(0);
	scene->answers_at_once = true;
	memset(scene->key, 0x42, sizeof(scene->key));
	scene->client.fd = scene->other.fd = -1;
	assert_int_equal(parse_address("127.0.0.1", ntohs(address.sin_port), &listen), 0);
	assert_int_equal(coap_server_create(scene->loop, &listen, &events, scene, &scene->server, &err), 0);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	if (scene->client.fd >= 0)
		dtls_client_finish(&scene->client, false);
	if (scene->other.fd >= 0)
		dtls_client_finish(&scene->other, false);
	coap_server_destroy(scene->server);
	ev_loop_destroy(scene->loop);
	free(scene);
	return 0;
}

static int set_up_connected(void **state)
{
	set_up(state);
	connect_client(*state, &((struct scene *)*state)->client, "dev1");
	return 0;
}

/* --- handshakes ------------------------------------------------------------------------------------------- */

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

/* --- hostile datagrams --------------------------------------------------------------------------------------- */

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

static void test_garbage_inside_a_session(void **state)
{
	struct scene *scene = *state;
	static const struct {
		const char *bytes;
		size_t length;
	} garbage[] = {
		{ "\x40", 1 },				      /* shorter than a head */
		{ "\x49\x01\x00\x01" "123456789", 13 },	      /* token of nine bytes */
		{ "\x40\x02\x00\x01\xbf", 5 },		      /* option of reserved length */
		{ "\x40\x02\x00\x02\xb8" "hell", 9 },	      /* option beyond the end */
		{ "\x40\x02\x00\x03\xb2tm\xff", 8 },	      /* payload marker without a payload */
		{ "\x40\xff\x00\x04", 4 },		      /* code of no class */
		{ "\xc0\x01\x00\x05", 4 },		      /* another version */
		{ "\x40\x02\x00\x06\x99" "123456789", 14 },   /* a critical option that nobody knows */
	};

	assert_int_equal(ask(scene, &scene->client, &hello), 204);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		assert_true(dtls_client_send(&scene->client, (const uint8_t *)garbage[i].bytes, garbage[i].length) > 0);
		assert_int_equal(ask(scene, &scene->client, &hello), 204);
	}
	assert_true(counters(scene).requests_refused >= 4);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void test_paths(void **state)
{
	struct scene *scene = *state;
	static const struct {
		struct sent sent;
		int code;
	} rows[] = {
		{ { 0, 2, { "hello" }, .format = WIRE_FORMAT_PROTOBUF }, 204 },
		{ { 0, 2, { "tm" }, .format = WIRE_FORMAT_PROTOBUF }, 204 },
		{ { 0, 3, { "snap", HASH }, .format = -1 }, 204 },
		{ { 0, 3, { "snap", HASH }, .format = WIRE_FORMAT_SNAPSHOT, .body = "x", .length = 1 }, 204 },
		{ { 0, 1, { "job" }, .query = "after=7", .format = -1 }, 205 },
		{ { 0, 1, { "job" }, .format = -1 }, 205 },
		{ { 0, 3, { "job", "J1", "state" }, .format = WIRE_FORMAT_PROTOBUF }, 204 },
		{ { 0, 2, { "job", "J1", "confirm" }, .format = -1 }, 204 },
		{ { 0, 2, { "job", "J1", "confirm" }, .format = -1, .body = "x", .length = 1 }, 400 },
		{ { 0, 2, { "job", "../1", "confirm" }, .format = -1 }, 400 },
		{ { 0, 2, { "enroll" }, .format = WIRE_FORMAT_PROTOBUF }, 501 },
		{ { 0, 2, { "hello" }, .format = -1, .body = "hi", .length = 2 }, 415 },
		{ { 0, 2, { "hello" }, .format = 60, .body = "hi", .length = 2 }, 415 },
		{ { 0, 2, { "tm" }, .format = WIRE_FORMAT_SNAPSHOT, .body = "hi", .length = 2 }, 415 },
		{ { 0, 3, { "snap", HASH }, .format = WIRE_FORMAT_PROTOBUF, .body = "x", .length = 1 }, 415 },
		{ { 0, 3, { "snap", "abc" }, .format = -1 }, 400 },
		{ { 0, 3, { "job", "../../etc", "state" }, .format = WIRE_FORMAT_PROTOBUF }, 400 },
		{ { 0, 1, { "job" }, .query = "after=-1", .format = -1 }, 400 },
		{ { 0, 1, { "job" }, .format = -1, .body = "x", .length = 1 }, 400 },
		{ { 0, 1, { "job" }, .format = -1, .has_block2 = true, .block2 = 7 }, 400 },
		{ { 0, 1, { "hello" }, .format = -1 }, 405 },
		{ { 0, 4, { "hello" }, .format = -1 }, 405 },
		{ { 0, 4, { "nothing" }, .format = -1 }, 404 },
		{ { 0, 1, { ".well-known", "core" }, .format = -1 }, 404 },
		{ { 0, 2, { "a", "b", "c", "d" }, .format = -1 }, 404 },
		{ { 0, 2, { NULL }, .format = -1 }, 404 },
	};

	scene->answer_length = 3;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned n = scene->n_requests;

		if (ask(scene, &scene->client, &rows[i].sent) != rows[i].code)
			fail_msg("row %zu: code %d", i, scene->message.code);
		assert_int_equal(scene->n_requests - n, rows[i].code / 100 == 2);
	}
	assert_int_equal(ask(scene, &scene->client, &rows[2].sent), 204);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(scene->incoming.hash[i], i);
	assert_int_equal(ask(scene, &scene->client, &rows[4].sent), 205);
	assert_int_equal(scene->incoming.after_seq, 7);
	assert_int_equal(ask(scene, &scene->client, &rows[6].sent), 204);
	assert_string_equal(scene->incoming.job_id, "J1");
	assert_int_equal(counters(scene).requests_refused, 18);
}

static void test_later_answers(void **state)
{
	struct scene *scene = *state;
	struct coap_ticket ticket;

	scene->answers_at_once = false;
	send_request(&scene->client, &hello);
	wait_message(scene, &scene->client);
	assert_int_equal(scene->message.type, COAP_TYPE_ACK);
	assert_int_equal(scene->message.code, 0);
	answer(scene, COAP_CHANGED, 5);
	wait_message(scene, &scene->client);
	assert_int_equal(scene->message.type, COAP_TYPE_NON);
	assert_int_equal(scene->message.code, 204);
	assert_memory_equal(scene->message.token, &scene->client.mid, 2);
	/* NON: nothing but the answer. */
	send_request(&scene->client, &batch);
	wait_until(scene, scene->n_requests == 2);
	answer(scene, COAP_UNAVAILABLE, 0);
	wait_message(scene, &scene->client);
	assert_int_equal(scene->message.type, COAP_TYPE_NON);
	assert_int_equal(scene->message.code, 503);
	/* The session ends first. */
	send_request(&scene->client, &batch);
	wait_until(scene, scene->n_requests == 3);
	ticket = scene->incoming.ticket;
	dtls_client_finish(&scene->client, true);
	wait_until(scene, scene->n_offline == 1);
	answer(scene, COAP_CHANGED, 5);
	assert_int_equal(counters(scene).replies_dropped, 1);
	/* Its place is another's now. */
	connect_client(scene, &scene->client, "dev2");
	assert_int_equal(ask(scene, &scene->client, &(struct sent){ 0, 1, { "job" }, .format = -1 }), 205);
	coap_server_reply(scene->server, &ticket, &(struct coap_answer){ .code = COAP_CHANGED });
	assert_int_equal(counters(scene).replies_dropped, 2);
}

static void test_repetition_is_not_run_again(void **state)
{
	struct scene *scene = *state;
	struct sent again = hello;

	scene->answers_at_once = false;
	again.mid = 4711;
	for (int i = 0; i < 3; i++) {
		send_request(&scene->client, &again);
		wait_message(scene, &scene->client);
		assert_int_equal(scene->message.type, COAP_TYPE_ACK);
		assert_int_equal(scene->message.code, 0);
		assert_int_equal(scene->message.mid, 4711);
	}
	assert_int_equal(scene->n_requests, 1);
}

static void test_rate(void **state)
{
	struct scene *scene = *state;
	unsigned n_limited = 0;

	for (int i = 0; i < LIMIT_REQUESTS_BURST + 20; i++)
		n_limited += ask(scene, &scene->client, &batch) == 429;
	/* The bucket fills while it is emptied: at least some were limited, none of the burst was. */
	assert_true(n_limited > 0 && n_limited <= 20);
	assert_int_equal(counters(scene).rate_limited, n_limited);
	assert_int_equal(scene->n_requests, LIMIT_REQUESTS_BURST + 20 - n_limited);
	wait_until(scene, ask(scene, &scene->client, &batch) == 204);
}

/* --- bodies of many blocks ---------------------------------------------------------------------------------------- */

static int put_block(struct scene *scene, const char *hash, uint32_t num, bool more, size_t length)
{
	static uint8_t bytes[1024];

	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(num + i);
	return ask(scene, &scene->client,
		   &(struct sent){ 0, 3, { "snap", hash }, .format = WIRE_FORMAT_SNAPSHOT, .has_block1 = true,
				   .block1 = num << 4 | (more ? 8u : 0u) | 6, .body = bytes, .length = length });
}

static void test_body_of_blocks(void **state)
{
	struct scene *scene = *state;

	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(put_block(scene, HASH, i, true, 1024), 231);
		assert_true(scene->message.has_block1);
		assert_int_equal(scene->message.block1, i << 4 | 8 | 6);
	}
	assert_int_equal(put_block(scene, HASH, 99, true, 1024), 231); /* its answer was lost */
	assert_int_equal(scene->n_requests, 0);
	assert_int_equal(put_block(scene, HASH, 100, false, 10), 204);
	assert_int_equal(scene->message.block1, 100 << 4 | 6);
	assert_int_equal(scene->n_requests, 1);
	assert_int_equal(scene->incoming.length, 100 * 1024 + 10);
	for (size_t i = 0; i < scene->incoming.length; i++)
		assert_int_equal((uint8_t)scene->body[i], (uint8_t)(i / 1024 + i % 1024));
	assert_int_equal(counters(scene).rate_limited, 0); /* 102 datagrams count as one request */
}

static void test_bad_blocks(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(put_block(scene, HASH, 1, true, 1024), 408); /* no block 0 */
	assert_int_equal(put_block(scene, HASH, 0, true, 1024), 231);
	assert_int_equal(put_block(scene, HASH, 2, true, 1024), 408); /* a hole: the transfer is over */
	assert_int_equal(put_block(scene, HASH, 1, true, 1024), 408);
	assert_int_equal(put_block(scene, HASH, 0, true, 1000), 408); /* not full although more follow */
	assert_int_equal(put_block(scene, HASH, 0, true, 1024), 231);
	assert_int_equal(put_block(scene, HASH, 0xfffff, false, 1024), 408);
	assert_int_equal(ask(scene, &scene->client,
			     &(struct sent){ 0, 3, { "snap", HASH }, .format = WIRE_FORMAT_SNAPSHOT, .has_block1 = true,
					     .block1 = 0xf, .body = "x", .length = 1 }),
			 400); /* reserved size */
	assert_int_equal(scene->n_requests, 0);
	for (int i = 0; i < LIMIT_TRANSFERS; i++) {
		char hash[] = HASH;

		hash[0] = (char)('1' + i);
		assert_int_equal(put_block(scene, hash, 0, true, 1024), 231);
	}
	assert_int_equal(put_block(scene, HASH, 0, true, 1024), 408); /* one too many at once */
}

static void test_oversized_body(void **state)
{
	struct scene *scene = *state;
	uint32_t i = 0;

	while (put_block(scene, HASH, i, true, 1024) == 231 && i < 2000)
		i++;
	assert_int_equal(scene->message.code, 413);
	assert_int_equal(i, LIMIT_BODY_BYTES / 1024);
	assert_int_equal(scene->n_requests, 0);
	assert_int_equal(put_block(scene, HASH, 0, false, 10), 204);
}

static void test_answer_of_blocks(void **state)
{
	struct scene *scene = *state;
	size_t length = 0;
	uint32_t num = 0;

	scene->answer_length = 5000;
	do {
		assert_int_equal(ask(scene, &scene->client,
				     &(struct sent){ 0, 1, { "job" }, .format = -1, .has_block2 = num > 0, .block2 = num << 4 | 6 }),
				 205);
		assert_true(scene->message.has_block2);
		assert_int_equal(scene->message.block2 >> 4, num);
		for (size_t i = 0; i < scene->message.payload_length; i++)
			assert_int_equal(scene->message.payload[i], (uint8_t)((length + i) * 7));
		length += scene->message.payload_length;
		num++;
	} while (scene->message.block2 & 8);
	assert_int_equal(length, 5000);
	/* Smaller blocks on request; none beyond the end. */
	assert_int_equal(ask(scene, &scene->client, &(struct sent){ 0, 1, { "job" }, .format = -1, .has_block2 = true, .block2 = 2 }),
			 205);
	assert_int_equal(scene->message.payload_length, 64);
	assert_int_equal(ask(scene, &scene->client,
			     &(struct sent){ 0, 1, { "job" }, .format = -1, .has_block2 = true, .block2 = 5 << 4 | 6 }),
			 400);
}

/* --- wakes and ends ------------------------------------------------------------------------------------------------- */

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
	int64_t sent_ms;

	assert_int_equal(coap_server_wake(scene->server, "dev1", rtt_ms, "w", 1), 0);
	wait_message(scene, &scene->client);
	sent_ms = clock_mono_ms();
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

#define alone(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define connected(name) cmocka_unit_test_setup_teardown(name, set_up_connected, tear_down)

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
		connected(test_garbage_inside_a_session),
		connected(test_paths),
		connected(test_later_answers),
		connected(test_repetition_is_not_run_again),
		connected(test_rate),
		connected(test_body_of_blocks),
		connected(test_bad_blocks),
		connected(test_oversized_body),
		connected(test_answer_of_blocks),
		connected(test_wake),
		connected(test_wake_is_repeated_by_the_round_trip),
		connected(test_silence),
		connected(test_disconnect),
		connected(test_clock_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
