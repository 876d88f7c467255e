/* coap: requests within a session, their bodies and their answers. */
#include "tests/unit/collector/coap_lab.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		connected(test_garbage_inside_a_session),
		connected(test_paths),
		connected(test_later_answers),
		connected(test_repetition_is_not_run_again),
		connected(test_rate),
		connected(test_body_of_blocks),
		connected(test_bad_blocks),
		connected(test_oversized_body),
		connected(test_answer_of_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
