/*
 * coap: the collector's DTLS endpoint; coap.h has the contract, coap_internal.h the map.
 *
 *   datagram -> admission (cookie, per source) -> handshake (find_key) -> first request: peer -> handler -> answer
 *
 * Nothing is kept for a source that has not returned its cookie. Until its handshake is done nothing else is known for
 * sure: the source's address is counted, the identity looked up in memory. An identity that does not exist gets a key that nobody has, so that it looks to the
 * other side like a wrong key. libcoap's idle limit stays 0 (with any other an unauthenticated
 * datagram evicts a live session), connection IDs are compiled out, block-wise bodies and
 * keepalive are ours. Loop thread only; called by collector.c, calls back through struct coap_events.
 */
#include "collector/coap_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <mbedtls/platform_util.h>

#include "common/clock.h"
#include "common/coap_ev.h"
#include "common/wire.h"

_Static_assert(COAP_ADMISSION_REPLY_SIZE >= COOKIE_REPLY_BYTES, "");

#define ENDPOINT_MTU 1280 /* what agents send at most is 1200; libcoap drops what is larger than this */
#define TICK_S 1.
#define WAKE_REPETITIONS 2 /* 2 + 4 + 8 s, or shorter steps and more of them; then the device counts as gone */

static struct coap_server *server_of(coap_session_t *session)
{
	return coap_context_get_app_data(coap_session_get_context(session));
}

/* --- handshakes ------------------------------------------------------------------------------------ */

static int on_admission(coap_context_t *context, const coap_address_t *remote, const uint8_t *datagram, size_t length,
			uint8_t *reply, size_t *reply_length, void *arg)
{
	struct coap_server *server = arg;
	unsigned suppressed;

	(void)context;
	switch (cookies_examine(server->cookies, &remote->addr.sa, datagram, length, reply, reply_length)) {
	case COOKIE_STRAY:
		server->counters.strays++;
		return 0;
	case COOKIE_ASKED:
		server->counters.cookies_asked++;
		return 0;
	case COOKIE_RETURNED:
		break;
	}
	if (*source_find(&server->sources, &remote->addr.sa) < LIMIT_HANDSHAKES_PER_SOURCE)
		return 1;
	server->counters.handshakes_limited++;
	if (log_limit_allows(&server->log_strays, clock_mono_ms(), &suppressed))
		log_warning("coap", "too many half-open handshakes of one source: limit=%d suppressed=%u",
			    LIMIT_HANDSHAKES_PER_SOURCE, suppressed);
	return 0;
}

static const char *identity_of(const coap_bin_const_t *identity, char ret_name[static LIMIT_NAME])
{
	bool is_whole = identity && identity->length < LIMIT_NAME && !memchr(identity->s, '\0', identity->length);

	if (is_whole)
		memcpy(ret_name, identity->s, identity->length);
	ret_name[is_whole ? identity->length : 0] = '\0';
	return parse_is_name(ret_name) ? ret_name : NULL;
}

/* libcoap copies the result at once. */
static const coap_bin_const_t *on_identity(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	struct coap_server *server = arg;
	char text[LIMIT_NAME];
	const char *name = identity_of(identity, text);

	(void)session;
	if (!name || server->events->find_key(server->arg, name, server->key))
		memcpy(server->key, server->decoy, sizeof(server->key));
	return &server->key_view;
}

static void log_refused_handshake(struct coap_server *server, coap_session_t *session)
{
	char text[LIMIT_NAME], address[LIMIT_HOST];
	const char *name = identity_of(coap_session_get_psk_identity(session), text);
	uint8_t key[LIMIT_PSK_BYTES];
	bool is_known = name && server->events->find_key(server->arg, name, key) == 0;
	unsigned suppressed;

	mbedtls_platform_zeroize(key, sizeof(key));
	if (!log_limit_allows(&server->log_handshakes, clock_mono_ms(), &suppressed))
		return;
	log_warning("coap", "handshake refused: identity=%s peer=%s cause=\"%s\" suppressed=%u", name ? name : "(none)",
		    peer_address(session, address),
		    is_known ? "wrong key; is the device's key file the one of the last `jaga enroll`?"
		    : name   ? "unknown identity; `jaga enroll` makes it known"
			     : "no suite or identity that we know",
		    suppressed);
}

static int on_event(coap_session_t *session, const coap_event_t event)
{
	struct coap_server *server = server_of(session);
	struct coap_peer *peer = peer_of(session);

	switch (event) {
	case COAP_EVENT_SERVER_SESSION_NEW:
		++*source_find(&server->sources, &coap_session_get_addr_remote(session)->addr.sa);
		break;
	case COAP_EVENT_SERVER_SESSION_DEL:
		if (peer_was_admitted(session))
			break;
		--*source_find(&server->sources, &coap_session_get_addr_remote(session)->addr.sa);
		server->counters.handshakes_refused++;
		break;
	case COAP_EVENT_DTLS_ERROR:
		if (!peer_was_admitted(session))
			log_refused_handshake(server, session);
		break;
	case COAP_EVENT_DTLS_CLOSED:
		if (peer)
			peer_drop(server, peer, "closed by the device");
		break;
	case COAP_EVENT_BAD_PACKET:
		server->counters.requests_refused++;
		break;
	default:
		break;
	}
	return 0;
}

/* --- what is not a request ----------------------------------------------------------------------------- */

static void on_ping(coap_session_t *session, const coap_pdu_t *received, const coap_mid_t mid)
{
	struct coap_server *server = server_of(session);
	struct coap_peer *peer = peer_of(session);

	(void)received;
	(void)mid;
	if (!peer)
		peer = peer_admit(server, session);
	if (peer)
		peer_heard(server, peer);
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received,
				   const coap_mid_t mid)
{
	struct coap_peer *peer = peer_of(session);

	(void)sent;
	(void)mid;
	if (!peer)
		return COAP_RESPONSE_OK;
	peer_heard(server_of(session), peer);
	if (peer->n_wakes && --peer->n_wakes)
		peer->wake_ms = peer->heard_ms;
	if (coap_pdu_get_code(received) != COAP_RESPONSE_CODE_CHANGED)
		log_info("coap", "wake refused: device=%s", peer->device);
	return COAP_RESPONSE_OK;
}

static void on_nack(coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason,
		    const coap_mid_t mid)
{
	struct coap_peer *peer = peer_of(session);

	(void)sent;
	(void)mid;
	if (!peer)
		return;
	if (reason == COAP_NACK_TOO_MANY_RETRIES)
		peer_drop(server_of(session), peer, "wake not acknowledged");
	else if (reason == COAP_NACK_RST && peer->n_wakes)
		peer->n_wakes--;
}

int coap_server_wake(struct coap_server *server, const char *device, uint32_t rtt_ms, const void *body, size_t length)
{
	struct coap_peer *peer = peer_find(server, device);
	uint8_t format[2] = { WIRE_FORMAT_PROTOBUF >> 8, WIRE_FORMAT_PROTOBUF & 0xff };
	coap_pdu_t *pdu;

	if (!peer)
		return -ENOTCONN;
	if (length > LIMIT_WAKE_BYTES)
		return -EMSGSIZE;
	if (peer->n_wakes >= LIMIT_WAKES)
		return -EBUSY;
	pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, peer->session);
	if (!pdu)
		return -ENOMEM;
	server->wakes++;
	if (!coap_add_token(pdu, sizeof(server->wakes), (const uint8_t *)&server->wakes) ||
	    !coap_add_option(pdu, COAP_OPTION_URI_PATH, 4, (const uint8_t *)"wake") ||
	    !coap_add_option(pdu, COAP_OPTION_CONTENT_FORMAT, sizeof(format), format) ||
	    (length && !coap_add_data(pdu, length, body))) {
		coap_delete_pdu(pdu);
		return -EMSGSIZE;
	}
	coap_ev_set_rtt(peer->session, rtt_ms, WAKE_REPETITIONS);
	if (coap_send(peer->session, pdu) == COAP_INVALID_MID)
		return -EIO;
	if (peer->n_wakes++ == 0)
		peer->wake_ms = clock_mono_ms();
	return 0;
}

void coap_server_disconnect(struct coap_server *server, const char *device, const char *reason)
{
	struct coap_peer *peer = peer_find(server, device);

	if (peer)
		peer_drop(server, peer, reason);
}

/* --- time ------------------------------------------------------------------------------------------------ */

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	peer_drop_silent(timer->data, clock_mono_ms());
}

static void on_reap(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	peer_reap(timer->data);
}

/* --- life -------------------------------------------------------------------------------------------------- */

/* libcoap's sockets share a port with any other of the kind without an error: try with one that does not. */
static int check_port_is_free(const struct sockaddr *address, socklen_t length)
{
	int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = 0;

	if (fd < 0 || bind(fd, address, length))
		result = -errno;
	if (fd >= 0)
		close(fd);
	return result;
}

static int open_endpoint(struct coap_server *server, const struct parse_address *listen, struct err *err)
{
	struct sockaddr_storage storage;
	socklen_t length = parse_address_to_sockaddr(listen, &storage);
	coap_address_t address;
	coap_endpoint_t *endpoint;
	int result = check_port_is_free((struct sockaddr *)&storage, length);
	int bytes = LIMIT_SOCKET_BYTES;

	if (result)
		return err_sys(err, result, "cannot listen on port %u", listen->port);
	coap_address_init(&address);
	address.size = length;
	memcpy(&address.addr, &storage, length);
	endpoint = coap_new_endpoint(server->context, &address, COAP_PROTO_DTLS);
	if (!endpoint)
		return err_set(err, -EADDRNOTAVAIL, "cannot listen on port %u", listen->port);
	coap_endpoint_set_default_mtu(endpoint, ENDPOINT_MTU);
	/* Above the system's limit needs CAP_NET_ADMIN; with less, bursts of the fleet are sent twice. */
	if (setsockopt(coap_endpoint_get_fd(endpoint), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) &&
	    setsockopt(coap_endpoint_get_fd(endpoint), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)))
		log_debug("coap", "receive buffer stays at its default: %s", strerror(errno));
	return 0;
}

static int open_context(struct coap_server *server, struct err *err)
{
	coap_dtls_spsk_t credentials = {
		.version = COAP_DTLS_SPSK_SETUP_VERSION,
		.validate_id_call_back = on_identity,
		.id_call_back_arg = server,
		.psk_info.key = { .s = server->decoy, .length = sizeof(server->decoy) },
	};

	coap_ev_startup();
	server->context = coap_new_context(NULL);
	if (!server->context || request_register(server->context))
		return err_set(err, -ENOMEM, "cannot start libcoap");
	coap_context_set_app_data(server->context, server);
	coap_context_set_max_idle_sessions(server->context, 0);
	coap_context_set_max_handshake_sessions(server->context, LIMIT_HANDSHAKES);
	coap_context_set_admission_handler(server->context, on_admission, server);
	coap_register_event_handler(server->context, on_event);
	coap_register_ping_handler(server->context, on_ping);
	coap_register_response_handler(server->context, on_response);
	coap_register_nack_handler(server->context, on_nack);
	if (!coap_context_set_psk2(server->context, &credentials))
		return err_set(err, -EINVAL, "cannot set up DTLS");
	return 0;
}

int coap_server_create(struct ev_loop *loop, const struct parse_address *listen, const struct coap_events *events,
		       void *arg, struct coap_server **ret_server, struct err *err)
{
	struct coap_server *server = calloc(1, sizeof(*server));
	int result = -ENOMEM;

	if (!server)
		return err_set(err, -ENOMEM, "no memory for the CoAP server");
	server->loop = loop;
	server->events = events;
	server->arg = arg;
	server->silence_ms = LIMIT_SILENCE_MS;
	server->key_view = (coap_bin_const_t){ .s = server->key, .length = sizeof(server->key) };
	server->log_handshakes.burst = server->log_requests.burst = server->log_replaced.burst = 20;
	server->log_strays.burst = 1;
	ev_timer_init(&server->tick, on_tick, TICK_S, TICK_S);
	ev_timer_init(&server->reaper, on_reap, 0., 0.);
	server->tick.data = server->reaper.data = server;
	if (getrandom(server->decoy, sizeof(server->decoy), 0) != sizeof(server->decoy) ||
	    getrandom(&server->sources.seed, sizeof(server->sources.seed), 0) != sizeof(server->sources.seed)) {
		result = err_sys(err, -errno, "no random numbers");
		goto out;
	}
	result = cookies_create(&server->cookies);
	if (result) {
		err_sys(err, result, "cannot start DTLS");
		goto out;
	}
	result = open_context(server, err);
	if (result)
		goto out;
	result = open_endpoint(server, listen, err);
	if (result)
		goto out;
	result = coap_ev_create(loop, server->context, NULL, NULL, &server->ev);
	if (result) {
		err_sys(err, result, "cannot start libcoap");
		goto out;
	}
	ev_timer_start(loop, &server->tick);
	*ret_server = server;
	server = NULL;
	result = 0;
out:
	coap_server_destroy(server);
	return result;
}

void coap_server_destroy(struct coap_server *server)
{
	if (!server)
		return;
	while (server->oldest)
		peer_drop(server, server->oldest, NULL);
	peer_reap(server);
	ev_timer_stop(server->loop, &server->reaper);
	ev_timer_stop(server->loop, &server->tick);
	coap_ev_destroy(server->ev);
	if (server->context)
		coap_free_context(server->context);
	cookies_destroy(server->cookies);
	free(server->slots);
	mbedtls_platform_zeroize(server, sizeof(*server));
	free(server);
}

void coap_server_set_silence(struct coap_server *server, int64_t silence_ms)
{
	server->silence_ms = silence_ms;
}

void coap_server_read_counters(const struct coap_server *server, struct coap_counters *ret_counters)
{
	*ret_counters = server->counters;
}
