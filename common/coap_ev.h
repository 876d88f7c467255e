/*
 * coap_ev: a libcoap context inside a libev loop, and its log inside ours.
 *
 * libcoap keeps its sockets and its timer in one epoll descriptor; that descriptor is one watcher of
 * the loop. This file is compiled twice, against the agent's and the collector's libcoap, and goes
 * into both archives. Loop thread only.
 */
#ifndef JAGA_COMMON_COAP_EV_H
#define JAGA_COMMON_COAP_EV_H

#include <stdint.h>

struct ev_loop;
struct coap_ev;
struct coap_context_t;
struct coap_session_t;

/* Initialises libcoap once a process: its log lines become debug lines of ours (they are not for operators). */
void coap_ev_startup(void);

/*
 * Attaches context, which stays the caller's and must outlive the result. `after` (may be NULL) is
 * called whenever libcoap has been run: the place to let go of sessions, which its callbacks must not do.
 * -ENOMEM, -EINVAL (a libcoap without epoll).
 */
int coap_ev_create(struct ev_loop *loop, struct coap_context_t *context, void (*after)(void *arg), void *arg,
		   struct coap_ev **ret_ev);
void coap_ev_destroy(struct coap_ev *ev); /* NULL is fine */

/* After work that libcoap does not see the end of (a new client session): sets its timer anew. */
void coap_ev_update(struct coap_ev *ev);

/* After how long what is not acknowledged goes again, on a path with this round trip: from LIMIT_ACK_MIN_MS to LIMIT_ACK_MAX_MS,
 * which it is, too, when the round trip is not known (0). */
unsigned coap_ev_timeout_ms(int64_t rtt_ms);
/*
 * That for the session's confirmable messages, and for a handshake how often a flight goes again. `repetitions` are those of RFC
 * 7252's ACK_TIMEOUT: with shorter steps there are as many more, so that nobody is given up earlier.
 */
void coap_ev_set_rtt(struct coap_session_t *session, int64_t rtt_ms, unsigned repetitions);

#endif
