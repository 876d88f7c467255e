/*
 * Fuzzes the collector's look at datagrams that belong to no session. Whatever they are, the answer is whole, shorter
 * than what it answers, and its cookie is taken when it comes back in the same Client Hello.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "collector/coap_cookie.h"

#define REPLY_COOKIE 28 /* where it stands in a Hello Verify Request, behind its length */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(uint8_t *at, size_t width, size_t value)
{
	for (size_t i = width; i-- > 0; value >>= 8) {
		value += at[i];
		at[i] = (uint8_t)value;
	}
}

/* The hello again, its cookie replaced: what a client does. Bytes 59 and on are those of a hello that was believed. */
static void give_back(struct cookies *cookies, const struct sockaddr *from, const uint8_t *data, size_t size,
		      const uint8_t *cookie, size_t length)
{
	size_t at = 60 + data[59], old = data[at], end = 13 + ((size_t)data[11] << 8 | data[12]);
	uint8_t reply[COOKIE_REPLY_BYTES], *again = malloc(size + length);
	size_t reply_length = 0;

	if (!again || end + length - old > 0xffff) {
		free(again);
		return;
	}
	memcpy(again, data, at);
	again[at] = (uint8_t)length;
	memcpy(again + at + 1, cookie, length);
	memcpy(again + at + 1 + length, data + at + 1 + old, size - at - 1 - old);
	add(again + 11, 2, length - old);
	add(again + 14, 3, length - old);
	add(again + 22, 3, length - old);
	if (cookies_examine(cookies, from, again, size + length - old, reply, &reply_length) != COOKIE_RETURNED)
		abort();
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cookies *cookies;
	static const struct sockaddr_in6 from6 = { .sin6_family = AF_INET6, .sin6_port = 7 };
	static const struct sockaddr_in from4 = { .sin_family = AF_INET, .sin_port = 7 };
	const struct sockaddr *from = size % 2 ? (const struct sockaddr *)&from4 : (const struct sockaddr *)&from6;
	uint8_t reply[COOKIE_REPLY_BYTES];
	size_t length = 0;
	enum cookie_verdict verdict;

	if (!cookies && cookies_create(&cookies) < 0)
		abort();
	verdict = cookies_examine(cookies, from, data, size, reply, &length);
	if (verdict == COOKIE_RETURNED || (length != 0) != (verdict == COOKIE_ASKED))
		abort(); /* nobody guesses a cookie */
	if (verdict != COOKIE_ASKED)
		return 0;
	if (length > size || length != REPLY_COOKIE + (size_t)reply[REPLY_COOKIE - 1] || memcmp(reply + 5, data + 5, 6) != 0)
		abort();
	give_back(cookies, from, data, size, reply + REPLY_COOKIE, length - REPLY_COOKIE);
	return 0;
}
