/*
 * coap_cookie: the stateless half of a DTLS handshake (RFC 6347, 4.2.1). A Client Hello is answered with a cookie that
 * only a receiver at its source address can return; before that nothing is stored and nothing costly is done, so
 * that a flood from invented addresses is worth no more than its datagrams.
 *
 * The answer is never longer than what it answers: nobody can be flooded by way of us.
 */
#ifndef JAGA_COLLECTOR_COAP_COOKIE_H
#define JAGA_COLLECTOR_COAP_COOKIE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct cookies;

/* A secret of its own, until destroyed. -ENOMEM, -EIO: no random numbers. */
int cookies_create(struct cookies **ret_cookies);
void cookies_destroy(struct cookies *cookies); /* NULL is fine */

enum cookie_verdict {
	COOKIE_STRAY,	 /* no whole Client Hello of DTLS in one fragment: to be ignored */
	COOKIE_ASKED,	 /* it has no cookie of ours for that address, or an old one: *ret_reply is to be sent */
	COOKIE_RETURNED, /* its sender receives there: it may have a session */
};

#define COOKIE_REPLY_BYTES 64
/* from: AF_INET or AF_INET6. *ret_length is set (not 0) only with COOKIE_ASKED. */
enum cookie_verdict cookies_examine(struct cookies *cookies, const struct sockaddr *from, const uint8_t *datagram,
				    size_t length, uint8_t ret_reply[static COOKIE_REPLY_BYTES], size_t *ret_length);

#endif
