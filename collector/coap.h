/*
 * coap: the collector's DTLS sessions and CoAP resources (proto/README.md). Only coap.c, coap_peer.c,
 * coap_reply.c and coap_request.c include coap3/.
 *
 * It authenticates, checks method, path, content format, sizes and rates, and hands whole bodies to
 * one function; answers may be given at once or later from the loop (after the store's commit).
 * One session per identity: the newest wins once it has authenticated. Loop thread only.
 */
#ifndef JAGA_COLLECTOR_COAP_H
#define JAGA_COLLECTOR_COAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/limits.h"
#include "common/parse.h"

struct ev_loop;
struct coap_server;

enum coap_path { COAP_PATH_HELLO, COAP_PATH_TELEMETRY, COAP_PATH_SNAPSHOT, COAP_PATH_JOB, COAP_PATH_JOB_STATE,
		 COAP_PATH_JOB_CONFIRM, COAP_PATH_DOCTOR };

/* Names the request that a later coap_server_reply answers. Plain value: copy it freely. */
struct coap_ticket {
	uint64_t session;    /* generation-checked: a reply to a gone session is dropped and counted */
	uint8_t token[8];
	uint8_t token_length;
	bool has_block1;     /* from here: transport's own use (RFC 7959) */
	uint8_t block1_szx, block2_szx;
	uint32_t block1_num, block2_num;
};

struct coap_incoming {
	enum coap_path path;
	const char *device;	/* the authenticated identity */
	const char *peer;	/* "192.0.2.7:40123"; only with COAP_PATH_HELLO, else "" */
	uint8_t hash[32];	/* COAP_PATH_SNAPSHOT: from the path */
	char job_id[LIMIT_NAME]; /* COAP_PATH_JOB_STATE, _CONFIRM */
	uint64_t after_seq;	/* COAP_PATH_JOB */
	bool accepts_zlib;	/* the answer may be of WIRE_FORMAT_PROTOBUF_ZLIB */
	const uint8_t *body;	/* valid during the call only */
	size_t length;
	struct coap_ticket ticket;
};

enum coap_code { /* RFC 7252 section 12.1.2, class * 100 + detail */
	COAP_VALID = 203,
	COAP_CHANGED = 204,
	COAP_CONTENT = 205,
	COAP_BAD_REQUEST = 400,
	COAP_NOT_FOUND = 404,
	COAP_CONFLICT = 409, /* RFC 8132 */
	COAP_UNAVAILABLE = 503,
};

struct coap_answer {
	enum coap_code code;
	const void *body;	/* copied; protobuf unless code >= 400, then diagnostic text */
	size_t length;
	bool is_zlib;		/* the protobuf is in a zlib stream, which the request accepted */
	uint32_t max_age_s;	/* COAP_UNAVAILABLE: come back after this */
};

struct coap_events {
	/* Key of an identity; -ENOENT when there is none. Called in the middle of handshakes: memory only. */
	int (*find_key)(void *arg, const char *identity, uint8_t ret_key[static LIMIT_PSK_BYTES]);
	/* A device's session is authenticated; one that replaces another comes without a `gone` for the old. */
	void (*on_online)(void *arg, const char *device, const char *peer);
	void (*on_offline)(void *arg, const char *device, const char *reason);
	/*
	 * A whole request of a known path and format. The handler answers, now or later, with coap_server_reply. A GET
	 * whose answer takes several blocks is asked again for each: answer the same as long as it is the same.
	 */
	void (*on_request)(void *arg, const struct coap_incoming *incoming);
};

struct coap_counters {
	uint64_t sessions_opened, sessions_open;
	uint64_t handshakes_refused; /* wrong key, unknown identity, no common suite, given up by the other side */
	uint64_t cookies_asked;	     /* Client Hellos answered without a session; one of each handshake, the others are noise */
	uint64_t handshakes_limited; /* Client Hellos ignored: too many half-open ones of their source */
	uint64_t strays;	     /* datagrams that belong to no session and begin none */
	uint64_t requests, requests_refused, rate_limited;
	uint64_t replies_dropped;
};

int coap_server_create(struct ev_loop *loop, const struct parse_address *listen, const struct coap_events *events,
		       void *arg, struct coap_server **ret_server, struct err *err);
void coap_server_destroy(struct coap_server *server);
void coap_server_reply(struct coap_server *server, const struct coap_ticket *ticket, const struct coap_answer *answer);
/* One datagram to the device over its own session: -ENOTCONN when it has none. rtt_ms: the device's, 0: not known; a wake that is
 * not acknowledged goes again after twice that. body: a packed Wake. */
int coap_server_wake(struct coap_server *server, const char *device, uint32_t rtt_ms, const void *body, size_t length);
/* Ends the device's session, if any: its key is gone or has changed. on_offline follows. */
void coap_server_disconnect(struct coap_server *server, const char *device, const char *reason);
/* A device that was not heard for so long is offline; LIMIT_SILENCE_MS at first. */
void coap_server_set_silence(struct coap_server *server, int64_t silence_ms);
void coap_server_read_counters(const struct coap_server *server, struct coap_counters *ret_counters);

#endif
