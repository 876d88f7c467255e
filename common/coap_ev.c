/*
 * coap_ev: see coap_ev.h.
 *
 *   epoll of libev <- epoll of libcoap <- its sockets, its timerfd
 *
 * Each wake takes the ready events of libcoap's epoll without waiting and hands them to
 * coap_io_do_epoll(), which reads bursts of datagrams (our patch) and then visits every session
 * once to set its timer; coap_io_process() would visit them twice. libcoap's log level is a global
 * of the library; its messages may hold identities and addresses, never keys. Payloads are dumped
 * only above the level that is let through here.
 */
#include "common/coap_ev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <coap3/coap.h>
#include <ev.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"

#define EVENTS_PER_WAKE 8 /* an endpoint, a client session and the timer are three */

struct coap_ev {
	struct ev_loop *loop;
	coap_context_t *context;
	void (*after)(void *arg);
	void *arg;
	ev_io watcher;
};

static void on_log(coap_log_t level, const char *message)
{
	static struct log_limit limit = { .burst = 100 };
	unsigned suppressed;

	(void)level;
	if (!log_limit_allows(&limit, clock_mono_ms(), &suppressed))
		return;
	log_debug("libcoap", "%.*s", (int)strcspn(message, "\n"), message);
}

void coap_ev_startup(void)
{
	coap_startup();
	coap_set_log_handler(on_log);
	/* COAP_LOG_DEBUG would dump payloads. */
	coap_set_log_level(log_is_enabled(LOG_LEVEL_DEBUG) ? COAP_LOG_INFO : COAP_LOG_EMERG);
	coap_dtls_set_log_level(COAP_LOG_EMERG);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct coap_ev *ev = watcher->data;
	struct epoll_event events[EVENTS_PER_WAKE];
	int n = epoll_wait(watcher->fd, events, EVENTS_PER_WAKE, 0);

	(void)loop;
	(void)revents;
	if (n > 0)
		coap_io_do_epoll(ev->context, events, (size_t)n);
	if (ev->after)
		ev->after(ev->arg);
}

int coap_ev_create(struct ev_loop *loop, coap_context_t *context, void (*after)(void *arg), void *arg,
		   struct coap_ev **ret_ev)
{
	int fd = coap_context_get_coap_fd(context);
	struct coap_ev *ev;

	if (fd < 0)
		return -EINVAL;
	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return -ENOMEM;
	ev->loop = loop;
	ev->context = context;
	ev->after = after;
	ev->arg = arg;
	ev_io_init(&ev->watcher, on_readable, fd, EV_READ);
	ev->watcher.data = ev;
	ev_io_start(loop, &ev->watcher);
	coap_ev_update(ev);
	*ret_ev = ev;
	return 0;
}

void coap_ev_destroy(struct coap_ev *ev)
{
	if (!ev)
		return;
	ev_io_stop(ev->loop, &ev->watcher);
	free(ev);
}

void coap_ev_update(struct coap_ev *ev)
{
	coap_tick_t now;

	coap_ticks(&now);
	/* The timerfd inside the context is what wakes us; the result says the same in milliseconds. */
	(void)coap_io_prepare_epoll(ev->context, now);
}

unsigned coap_ev_timeout_ms(int64_t rtt_ms)
{
	if (rtt_ms <= 0 || rtt_ms >= LIMIT_ACK_MAX_MS / 2)
		return LIMIT_ACK_MAX_MS;
	return 2 * rtt_ms > LIMIT_ACK_MIN_MS ? (unsigned)(2 * rtt_ms) : LIMIT_ACK_MIN_MS;
}

void coap_ev_set_rtt(coap_session_t *session, int64_t rtt_ms, unsigned repetitions)
{
	unsigned timeout_ms = coap_ev_timeout_ms(rtt_ms);

	for (unsigned step_ms = timeout_ms; step_ms < LIMIT_ACK_MAX_MS; step_ms *= 2)
		repetitions++;
	coap_session_set_ack_timeout(session, (coap_fixed_point_t){ (uint16_t)(timeout_ms / 1000), (uint16_t)(timeout_ms % 1000) });
	coap_session_set_max_retransmit(session, (uint16_t)repetitions);
}
