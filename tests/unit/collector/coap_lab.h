/*
 * coap_lab: the collector's CoAP server and clients straight on mbedTLS (tests/bench/dtls_client.c), in one process and
 * one loop, over loopback. Every wait is for a condition with a deadline. Included once by a test program.
 */
#ifndef JAGA_TESTS_COLLECTOR_COAP_LAB_H
#define JAGA_TESTS_COLLECTOR_COAP_LAB_H

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

static inline int find_key(void *arg, const char *identity, uint8_t ret_key[static LIMIT_PSK_BYTES])
{
	const struct scene *scene = arg;

	if (strncmp(identity, "dev", 3) != 0)
		return -ENOENT;
	memcpy(ret_key, scene->key, sizeof(scene->key));
	return 0;
}

static inline void on_online(void *arg, const char *device, const char *peer)
{
	struct scene *scene = arg;

	scene->n_online++;
	snprintf(scene->device, sizeof(scene->device), "%s", device);
	snprintf(scene->peer, sizeof(scene->peer), "%s", peer);
}

static inline void on_offline(void *arg, const char *device, const char *reason)
{
	struct scene *scene = arg;

	(void)device;
	scene->n_offline++;
	snprintf(scene->reason, sizeof(scene->reason), "%s", reason);
}

static inline void answer(struct scene *scene, enum coap_code code, size_t length)
{
	static uint8_t body[LIMIT_BODY_BYTES];

	for (size_t i = 0; i < length; i++)
		body[i] = (uint8_t)(i * 7);
	coap_server_reply(scene->server, &scene->incoming.ticket,
			  &(struct coap_answer){ .code = code, .body = body, .length = length });
}

static inline void on_request(void *arg, const struct coap_incoming *incoming)
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

static inline void turn(struct scene *scene)
{
	struct timespec pause = { .tv_nsec = 200000 };

	ev_run(scene->loop, EVRUN_NOWAIT);
	nanosleep(&pause, NULL); /* paces the polling of both sides; no condition hangs on it */
}

/* Takes one message of the client; 0 when there is none. Empty acknowledgements count. */
static inline bool poll_message(struct scene *scene, struct dtls_client *client)
{
	turn(scene);
	scene->received = dtls_client_receive(client, scene->bytes, sizeof(scene->bytes));
	return scene->received > 0 && coap_read(scene->bytes, (size_t)scene->received, &scene->message);
}

static inline void wait_message(struct scene *scene, struct dtls_client *client)
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

static inline struct coap_counters counters(const struct scene *scene)
{
	struct coap_counters result;

	coap_server_read_counters(scene->server, &result);
	return result;
}

static inline int try_handshake(struct scene *scene, struct dtls_client *client)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_MS;
	int result;

	while ((result = dtls_client_handshake(client)) == -EAGAIN && clock_mono_ms() < end_ms)
		turn(scene);
	return result;
}

static inline void connect_client(struct scene *scene, struct dtls_client *client, const char *identity)
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

static inline void send_request(struct dtls_client *client, const struct sent *sent)
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
static inline int ask(struct scene *scene, struct dtls_client *client, const struct sent *sent)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline int set_up_connected(void **state)
{
	set_up(state);
	connect_client(*state, &((struct scene *)*state)->client, "dev1");
	return 0;
}

#define alone(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define connected(name) cmocka_unit_test_setup_teardown(name, set_up_connected, tear_down)

#endif
