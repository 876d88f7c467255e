/*
 * ros_tls: TLS 1.2 (RFC 5246) of a client over a connected socket that never waits: api-ssl of RouterOS.
 *
 * Nothing can be sent before the router's certificate has been accepted: pinned, its SHA-256 is the one that was
 * configured, whatever its dates and names say; verified, it leads to an authority of ca_file, is made out for the
 * router's address and, when the clock can be right, is in date. There is no mode that accepts any certificate, and
 * none without one (anonymous Diffie-Hellman): both would give the password to whoever answers.
 *
 * Called by ros_stream.c, which owns the socket, on the loop's thread. Everything is allocated by create and freed, zeroised, by
 * destroy.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_TLS_H
#define JAGA_AGENT_ROUTER_ROS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/config.h"
#include "common/err.h"
#include "common/limits.h"
#include "common/parse.h"

struct ros_tls; /* one connection */

struct ros_tls_certificate { /* that a router presents */
	bool is_seen;
	uint8_t pin[LIMIT_ROS_PIN_BYTES]; /* SHA-256 of its DER form */
	char subject[LIMIT_ROS_SUBJECT];
	char valid_from[sizeof("2026-11-21")], valid_to[sizeof("2026-11-21")];
};

struct ros_tls_settings {
	enum config_tls mode; /* OFF: none of this is used */
	uint8_t pin[LIMIT_ROS_PIN_BYTES];
	char ca_file[LIMIT_PATH];     /* PEM; read for each connection */
	struct parse_address address; /* that the certificate must be made out for */
	struct ros_tls_certificate *certificate; /* is told what was presented, accepted or not; NULL: nobody asks */
};

/* `settings` must outlive it; `fd` stays the caller's. */
int ros_tls_create(const struct ros_tls_settings *settings, int fd, struct ros_tls **ret_tls, struct err *err);
void ros_tls_destroy(struct ros_tls *tls); /* says goodbye if the socket takes it; NULL is fine */

/*
 * Each of these does what it can. -EAGAIN: call again when the socket can be read, or written when
 * ros_tls_is_blocked(). Other negative errnos are the end of the connection, and err says why without naming the router.
 */
int ros_tls_handshake(struct ros_tls *tls, struct err *err); /* 0: the certificate is accepted, bytes can be sent */
ssize_t ros_tls_receive(struct ros_tls *tls, void *bytes, size_t size, struct err *err);
/* After -EAGAIN the bytes must be offered again, more may follow them. */
ssize_t ros_tls_send(struct ros_tls *tls, const void *bytes, size_t length, struct err *err);
bool ros_tls_is_blocked(const struct ros_tls *tls);
/* There is more to receive, of which the socket will tell nothing. */
bool ros_tls_has_more(const struct ros_tls *tls);

#endif
