/*
 * coap_cookie: see coap_cookie.h. Called by coap.c for each datagram that belongs to no session.
 *
 *   Client Hello without cookie ─▶ Hello Verify Request ─▶ Client Hello with it ─▶ session (mbedTLS goes on from there)
 *
 *   record     type 22 | version | epoch 0 | sequence number 6 | length 2
 *   handshake  type 1  | length 3 | message number 2 | fragment offset 3 | fragment length 3
 *   hello      version 2 | random 32 | session id 1+n | cookie 1+n | suites, compressions, extensions: mbedTLS's
 *
 * The cookie is mbedTLS's: a time and a keyed hash over it and the source's address and port, good for a
 * minute. The answer carries the numbers of what it answers, as the RFC wants it of a server that remembers nothing.
 */
#include "collector/coap_cookie.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <mbedtls/ssl_cookie.h>

#define CONTENT_HANDSHAKE 22
#define CLIENT_HELLO 1
#define HELLO_VERIFY_REQUEST 3
#define RECORD_BYTES 13
#define HANDSHAKE_BYTES 12
#define MAX_SESSION_ID 32

struct cookies {
	mbedtls_ssl_cookie_ctx context;
};

struct hello {
	const uint8_t *record_number;  /* 6 bytes */
	const uint8_t *message_number; /* 2 bytes */
	const uint8_t *cookie;
	size_t cookie_length;
};

/* --- reading ------------------------------------------------------------------------------------- */

struct cursor {
	const uint8_t *at, *end;
	bool failed; /* something was read past the end; all later reads fail, too */
};

static const uint8_t *take(struct cursor *cursor, size_t length)
{
	const uint8_t *at = cursor->at;

	if (cursor->failed || (size_t)(cursor->end - at) < length) {
		cursor->failed = true;
		return NULL;
	}
	cursor->at += length;
	return at;
}

static uint32_t take_uint(struct cursor *cursor, size_t length)
{
	const uint8_t *at = take(cursor, length);
	uint32_t value = 0;

	for (size_t i = 0; at && i < length; i++)
		value = value << 8 | at[i];
	return value;
}

/* What follows must be of that value. */
static void expect(struct cursor *cursor, size_t length, uint32_t value)
{
	if (take_uint(cursor, length) != value)
		cursor->failed = true;
}

static bool read_hello(const uint8_t *datagram, size_t length, struct hello *ret_hello)
{
	struct cursor cursor = { .at = datagram, .end = datagram + length };
	struct hello hello;
	uint32_t rest, session_id;

	expect(&cursor, 1, CONTENT_HANDSHAKE);
	expect(&cursor, 1, 0xfe); /* DTLS 1.x; which x is mbedTLS's to say */
	take(&cursor, 1);
	expect(&cursor, 2, 0);
	hello.record_number = take(&cursor, 6);
	rest = take_uint(&cursor, 2);
	if (cursor.failed || rest < HANDSHAKE_BYTES || rest > (size_t)(cursor.end - cursor.at))
		return false;
	cursor.end = cursor.at + rest; /* the record; what stands behind it in the datagram is mbedTLS's */
	rest -= HANDSHAKE_BYTES;
	expect(&cursor, 1, CLIENT_HELLO);
	expect(&cursor, 3, rest);
	hello.message_number = take(&cursor, 2);
	expect(&cursor, 3, 0);
	expect(&cursor, 3, rest);
	expect(&cursor, 1, 0xfe);
	take(&cursor, 1 + 32);
	session_id = take_uint(&cursor, 1);
	take(&cursor, session_id);
	hello.cookie_length = take_uint(&cursor, 1);
	hello.cookie = take(&cursor, hello.cookie_length);
	if (cursor.failed || session_id > MAX_SESSION_ID)
		return false;
	*ret_hello = hello;
	return true;
}

/* --- writing ------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t length)
{
	memcpy(at, bytes, length);
	return at + length;
}

static uint8_t *put_uint(uint8_t *at, size_t length, size_t value)
{
	for (size_t i = length; i-- > 0; value >>= 8)
		at[i] = (uint8_t)value;
	return at + length;
}

/* The heads before `body_length` bytes that stand in place already. */
static void put_heads(uint8_t *at, const struct hello *hello, size_t body_length)
{
	at = put_uint(at, 1, CONTENT_HANDSHAKE);
	at = put_uint(at, 2, 0xfeff); /* DTLS 1.0 in this message, whatever version will be agreed on */
	at = put_uint(at, 2, 0);
	at = put(at, hello->record_number, 6);
	at = put_uint(at, 2, HANDSHAKE_BYTES + body_length);
	at = put_uint(at, 1, HELLO_VERIFY_REQUEST);
	at = put_uint(at, 3, body_length);
	at = put(at, hello->message_number, 2);
	at = put_uint(at, 3, 0);
	put_uint(at, 3, body_length);
}

/* --- cookies ------------------------------------------------------------------------------------- */

struct source {
	uint8_t bytes[16 + 2];
	size_t length;
};

static struct source source_of(const struct sockaddr *from)
{
	struct source source = { .length = 0 };
	uint8_t *end = source.bytes;

	if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

		end = put(put(end, &in6->sin6_addr, 16), &in6->sin6_port, 2);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;

		end = put(put(end, &in->sin_addr, 4), &in->sin_port, 2);
	}
	source.length = (size_t)(end - source.bytes);
	return source;
}

enum cookie_verdict cookies_examine(struct cookies *cookies, const struct sockaddr *from, const uint8_t *datagram,
				    size_t length, uint8_t ret_reply[static COOKIE_REPLY_BYTES], size_t *ret_length)
{
	struct source source = source_of(from);
	uint8_t *body = ret_reply + RECORD_BYTES + HANDSHAKE_BYTES, *cookie = body + 3, *end = cookie;
	struct hello hello;

	if (!read_hello(datagram, length, &hello))
		return COOKIE_STRAY;
	if (mbedtls_ssl_cookie_check(&cookies->context, hello.cookie, hello.cookie_length, source.bytes,
				     source.length) == 0)
		return COOKIE_RETURNED;
	if (mbedtls_ssl_cookie_write(&cookies->context, &end, ret_reply + COOKIE_REPLY_BYTES, source.bytes,
				     source.length) != 0)
		return COOKIE_STRAY; /* a hash has no reason to fail: as if it had been lost, it comes again */
	put_uint(body, 2, 0xfeff);
	put_uint(body + 2, 1, (size_t)(end - cookie));
	put_heads(ret_reply, &hello, (size_t)(end - body));
	*ret_length = (size_t)(end - ret_reply);
	return COOKIE_ASKED;
}

static int fill_random(void *context, unsigned char *bytes, size_t length)
{
	(void)context;
	return getrandom(bytes, length, 0) == (ssize_t)length ? 0 : -EIO;
}

int cookies_create(struct cookies **ret_cookies)
{
	struct cookies *cookies = malloc(sizeof(*cookies));

	if (!cookies)
		return -ENOMEM;
	mbedtls_ssl_cookie_init(&cookies->context);
	if (mbedtls_ssl_cookie_setup(&cookies->context, fill_random, NULL) != 0) {
		cookies_destroy(cookies);
		return -EIO;
	}
	*ret_cookies = cookies;
	return 0;
}

void cookies_destroy(struct cookies *cookies)
{
	if (!cookies)
		return;
	mbedtls_ssl_cookie_free(&cookies->context); /* clears the secret */
	free(cookies);
}
