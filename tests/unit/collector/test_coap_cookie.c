/*
 * coap_cookie: Client Hellos whole, cut and lying; what is answered, and whose cookie counts. That mbedTLS's client
 * takes the answer, and its server goes on from there, is tested in test_coap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "collector/coap_cookie.h"

#define COOKIE_AT 60 /* its length, in what write_hello() makes */

static struct cookies *cookies;
static uint8_t reply[COOKIE_REPLY_BYTES];
static size_t reply_length;
static uint8_t hello[256];

static int create(void **state)
{
	(void)state;
	return cookies_create(&cookies);
}

static int destroy(void **state)
{
	(void)state;
	cookies_destroy(cookies);
	return 0;
}

/* Of the length returned; record 7, message 1. */
static size_t write_hello(const uint8_t *cookie, uint8_t cookie_length)
{
	static const uint8_t rest[] = { 0, 2, 0xcc, 0xac, 1, 0 }; /* suites, compressions */
	static const uint8_t record[] = { 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0 };
	static const uint8_t handshake[] = { 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xfe, 0xfd };
	uint8_t body_length = (uint8_t)(2 + 32 + 1 + 1 + cookie_length + sizeof(rest)), *at = hello + sizeof(record);

	memset(hello, 0xab, sizeof(hello));
	memcpy(hello, record, sizeof(record));
	*at++ = (uint8_t)(12 + body_length);
	memcpy(at, handshake, sizeof(handshake));
	at[3] = at[11] = body_length;
	at += sizeof(handshake) + 32;
	*at++ = 0; /* no session id */
	*at++ = cookie_length;
	if (cookie_length)
		memcpy(at, cookie, cookie_length);
	memcpy(at + cookie_length, rest, sizeof(rest));
	return (size_t)(at + cookie_length + sizeof(rest) - hello);
}

static enum cookie_verdict examine(const char *address, uint16_t port, size_t length)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const void *from = &in;

	if (inet_pton(AF_INET, address, &in.sin_addr) != 1) {
		assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
		from = &in6;
	}
	reply_length = 0;
	return cookies_examine(cookies, from, hello, length, reply, &reply_length);
}

static void test_answer(void **state)
{
	static const uint8_t heads[] = { 22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 7, 0, 47, /* the record's number is the hello's */
					 3,  0,	   0,	35, 0, 1, 0, 0, 0, 0, 0, 35,	/* and the message's */
					 0xfe, 0xff, 32 };
	size_t length = write_hello(NULL, 0);

	(void)state;
	assert_int_equal(examine("192.0.2.1", 4000, length), COOKIE_ASKED);
	assert_int_equal(reply_length, 60);
	assert_true(reply_length <= length);
	assert_memory_equal(reply, heads, sizeof(heads));
}

static void test_whose_cookie_counts(void **state)
{
	static const char *const owners[] = { "192.0.2.1", "2001:db8::1" };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t cookie[32];
		size_t length = write_hello(NULL, 0);

		assert_int_equal(examine(owners[i], 4000, length), COOKIE_ASKED);
		memcpy(cookie, reply + 28, sizeof(cookie));
		length = write_hello(cookie, sizeof(cookie));
		assert_int_equal(examine(owners[i], 4000, length), COOKIE_RETURNED);
		assert_int_equal(reply_length, 0);
		assert_int_equal(examine(owners[i], 4001, length), COOKIE_ASKED);
		assert_int_equal(examine("192.0.2.2", 4000, length), COOKIE_ASKED);
		assert_int_equal(examine("2001:db8::2", 4000, length), COOKIE_ASKED);
		hello[COOKIE_AT + 1 + 31] ^= 1;
		assert_int_equal(examine(owners[i], 4000, length), COOKIE_ASKED);
		length = write_hello(cookie, sizeof(cookie) - 1);
		assert_int_equal(examine(owners[i], 4000, length), COOKIE_ASKED);
	}
}

static void test_cookie_of_another_start(void **state)
{
	struct cookies *before = cookies;
	uint8_t cookie[32];
	size_t length = write_hello(NULL, 0);

	(void)state;
	assert_int_equal(examine("192.0.2.1", 4000, length), COOKIE_ASKED);
	memcpy(cookie, reply + 28, sizeof(cookie));
	assert_int_equal(cookies_create(&cookies), 0);
	length = write_hello(cookie, sizeof(cookie));
	assert_int_equal(examine("192.0.2.1", 4000, length), COOKIE_ASKED);
	cookies_destroy(cookies);
	cookies = before;
}

static void test_cut(void **state)
{
	size_t length = write_hello((const uint8_t *)"0123456789", 10);
	struct sockaddr_in in = { .sin_family = AF_INET };

	(void)state;
	for (size_t cut = 0; cut <= length; cut++) {
		uint8_t *exact = malloc(cut + 1); /* ASan sees a byte read too much, but not at 0 */

		assert_non_null(exact);
		memcpy(exact + 1, hello, cut);
		reply_length = 0;
		assert_int_equal(cookies_examine(cookies, (const struct sockaddr *)&in, exact + 1, cut, reply, &reply_length),
				 cut < length ? COOKIE_STRAY : COOKIE_ASKED);
		free(exact);
	}
}

static void test_lies(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t value;
	} lies[] = {
		{ "content type", 0, 23 },	{ "TLS", 1, 3 },	       { "epoch", 4, 1 },
		{ "record length, high", 11, 1 }, { "record length", 12, 255 }, { "record of a head", 12, 12 },
		{ "record of less", 12, 11 },	{ "server hello", 13, 2 },     { "length, high", 14, 1 },
		{ "length", 16, 43 },		{ "fragment offset", 21, 1 },  { "fragment length", 24, 41 },
		{ "version", 25, 3 },		{ "session id", 59, 33 },      { "session id past the end", 59, 200 },
		{ "cookie past the end", COOKIE_AT, 7 }, { "cookie of 255", COOKIE_AT, 255 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		size_t length = write_hello(NULL, 0);

		hello[lies[i].at] = lies[i].value;
		if (examine("192.0.2.1", 4000, length) != COOKIE_STRAY || reply_length != 0)
			fail_msg("%s was believed", lies[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_whose_cookie_counts),
		cmocka_unit_test(test_cookie_of_another_start),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, create, destroy);
}
