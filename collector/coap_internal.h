/*
 * coap_internal: what the files of the CoAP server share; nobody else includes it.
 *
 *   coap.c          context, handshakes, time, wakes        (the only files that
 *   coap_request.c  a request: checks, bodies, dispatch      include coap3/ are
 *   coap_reply.c    an answer, now or later                  these four)
 *   coap_peer.c     authenticated sessions, by device, by ticket, by age
 *   coap_route.c    path -> meaning                (pure)
 *   coap_cookie.c   handshakes before there is a session
 *   coap_source.c   half-open handshakes a source  (pure)
 *
 * A peer is the session of one device. libcoap's callbacks may run inside a session's own code, so a peer
 * that must go is taken out of every table at once and its session is closed by `reaper`, later in the loop.
 */
#ifndef JAGA_COLLECTOR_COAP_INTERNAL_H
#define JAGA_COLLECTOR_COAP_INTERNAL_H

#include <coap3/coap.h>
#include <ev.h>

#include "collector/coap.h"
#include "collector/coap_cookie.h"
#include "collector/coap_route.h"
#include "collector/coap_source.h"
#include "common/block.h"
#include "common/log.h"

#define PEER_BUCKETS 4096 /* by device name: five a bucket at LIMIT_DEVICES */
#define PEER_MIDS 4	  /* confirmable requests whose repetition must not run again */

struct coap_transfer { /* a request's body on its way up */
	struct coap_transfer *next;
	struct route route;
	uint16_t format;
	struct block_body body;
	int64_t used_ms;
};

struct coap_peer {
	coap_session_t *session; /* referenced */
	char device[LIMIT_NAME];
	uint32_t slot;
	uint32_t generation;
	struct coap_peer *next_in_bucket;
	struct coap_peer *older, *newer; /* by heard_ms */
	struct coap_peer *next_closing;
	int64_t heard_ms;
	int64_t tokens_milli; /* requests that it may make */
	int64_t refilled_ms;
	struct coap_transfer *transfers;
	unsigned n_wakes; /* not acknowledged */
	int64_t wake_ms;  /* the oldest of them */
	coap_mid_t mids[PEER_MIDS];
	unsigned mids_next;
};

struct coap_slot {
	struct coap_peer *peer; /* NULL: free */
	uint32_t generation;
};

/* The request whose handler is running: a reply in time goes with the acknowledgement. */
struct coap_current {
	const struct coap_ticket *ticket;
	coap_pdu_t *response;
	bool is_answered;
};

struct coap_server {
	struct ev_loop *loop;
	coap_context_t *context;
	struct coap_ev *ev;
	const struct coap_events *events;
	void *arg;
	ev_timer tick;
	ev_timer reaper;
	int64_t silence_ms;
	uint8_t decoy[LIMIT_PSK_BYTES]; /* key of identities that do not exist */
	uint8_t key[LIMIT_PSK_BYTES];	/* found last; libcoap copies it at once */
	coap_bin_const_t key_view;
	struct cookies *cookies;
	struct source_table sources;

	struct coap_slot *slots;
	uint32_t n_slots;
	uint32_t first_free; /* no free slot below */
	struct coap_peer *buckets[PEER_BUCKETS];
	struct coap_peer *oldest, *newest;
	struct coap_peer *closing;
	size_t transfer_bytes;
	uint32_t wakes; /* sent; a wake's token */

	struct coap_current current;
	struct coap_counters counters;
	struct log_limit log_handshakes, log_requests, log_replaced, log_strays;
};

/* coap_peer.c */
struct coap_peer *peer_of(coap_session_t *session); /* NULL: not authenticated yet, or gone */
/* Makes the session its device's, in place of an older one. NULL: the identity is unknown now, or no memory. */
struct coap_peer *peer_admit(struct coap_server *server, coap_session_t *session);
void peer_heard(struct coap_server *server, struct coap_peer *peer);
struct coap_peer *peer_find(struct coap_server *server, const char *device);
struct coap_peer *peer_find_ticket(struct coap_server *server, const struct coap_ticket *ticket);
/* Takes the peer out; its session is closed soon. reason NULL: it is replaced, nobody is told. */
void peer_drop(struct coap_server *server, struct coap_peer *peer, const char *reason);
void peer_reap(struct coap_server *server);
void peer_drop_silent(struct coap_server *server, int64_t now_ms); /* and transfers that stand still */
bool peer_may_request(struct coap_peer *peer, int64_t now_ms);
const char *peer_address(coap_session_t *session, char ret_text[static LIMIT_HOST]);
/* False for a session that never was a peer (its handshake was not completed, or nothing came after it). */
bool peer_was_admitted(coap_session_t *session);
struct coap_transfer *transfer_find(struct coap_peer *peer, const struct route *route);
struct coap_transfer *transfer_add(struct coap_peer *peer, const struct route *route); /* NULL: too many, or no memory */
void transfer_remove(struct coap_server *server, struct coap_peer *peer, struct coap_transfer *transfer);

/* coap_request.c */
int request_register(coap_context_t *context); /* -ENOMEM */

#endif
