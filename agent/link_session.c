/*
 * link_session: the DTLS session under the link, by libcoap.
 *
 * One context for the life of the link, one client session at a time on a fresh socket that follows the
 * routing table (not bound, mark 0), so that a new session finds its way after a fail-over. libcoap's
 * own block-wise transfers, keepalive and Q-Block stay off (link_exchange.c, link.c do what is needed and
 * bound it). Its callbacks translate and pass on; none of them ends a session (link_fail() does, later).
 * Whether a handshake is done coap_ev's `after` asks the session's state, outside libcoap's callbacks.
 */
#include "agent/link_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <coap3/coap.h>

#include "common/coap_ev.h"
#include "common/log.h"

#define SESSION_MTU 1200 /* of UDP payload: fits IPv6's smallest path (1280 - 48); one block with its options is 1140 */

struct link_session {
	coap_context_t *context;
	struct coap_ev *ev;
	coap_session_t *session;
};

static struct link *link_of(coap_session_t *session)
{
	struct link *link = coap_context_get_app_data(coap_session_get_context(session));

	/* Callbacks of a session that was let go already mean nothing. */
	return link->session && link->session->session == session ? link : NULL;
}

/* --- receiving --------------------------------------------------------------------------------- */

static bool read_uint(const coap_pdu_t *pdu, coap_option_num_t number, uint64_t *ret_value)
{
	coap_opt_iterator_t iterator;
	const coap_opt_t *option = coap_check_option(pdu, number, &iterator);

	if (!option || coap_opt_length(option) > sizeof(*ret_value))
		return false;
	*ret_value = coap_decode_var_bytes8(coap_opt_value(option), coap_opt_length(option));
	return true;
}

static bool read_block(const coap_pdu_t *pdu, coap_option_num_t number, struct block *ret_block)
{
	coap_opt_iterator_t iterator;
	const coap_opt_t *option = coap_check_option(pdu, number, &iterator);

	return option && block_decode(coap_opt_value(option), coap_opt_length(option), ret_block) == 0;
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received,
				   const coap_mid_t mid)
{
	struct link *link = link_of(session);
	coap_bin_const_t token = coap_pdu_get_token(received);
	unsigned code = coap_pdu_get_code(received);
	struct link_response response = { .code = (int)(code >> 5) * 100 + (int)(code & 31) };
	uint64_t number;

	(void)sent;
	(void)mid;
	if (!link)
		return COAP_RESPONSE_OK;
	link_heard(link);
	if (token.length != LINK_TOKEN_BYTES)
		return COAP_RESPONSE_OK;
	memcpy(response.token, token.s, LINK_TOKEN_BYTES);
	if (!coap_get_data(received, &response.length, &response.body))
		response.body = (const uint8_t *)""; /* length is 0 then */
	response.has_block1 = read_block(received, COAP_OPTION_BLOCK1, &response.block1);
	response.has_block2 = read_block(received, COAP_OPTION_BLOCK2, &response.block2);
	if (read_uint(received, COAP_OPTION_ETAG, &number))
		response.etag = number;
	if (read_uint(received, COAP_OPTION_CONTENT_FORMAT, &number))
		response.format = number <= UINT16_MAX ? (int)number : 0;
	if (read_uint(received, COAP_OPTION_MAXAGE, &number))
		response.max_age_s = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
	link_on_response(link, &response);
	return COAP_RESPONSE_OK;
}

static void on_wake(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
		    const coap_string_t *query, coap_pdu_t *response)
{
	struct link *link = link_of(session);
	const uint8_t *body;
	size_t length;
	uint64_t format;

	(void)resource;
	(void)query;
	if (!link)
		return;
	link_heard(link);
	if (!coap_get_data(request, &length, &body))
		body = (const uint8_t *)""; /* an empty Wake is well-formed and says nothing */
	if (!read_uint(request, COAP_OPTION_CONTENT_FORMAT, &format) || format != WIRE_FORMAT_PROTOBUF)
		coap_pdu_set_code(response, COAP_RESPONSE_CODE_UNSUPPORTED_CONTENT_FORMAT);
	else if (link_on_wake(link, body, length))
		coap_pdu_set_code(response, COAP_RESPONSE_CODE_BAD_REQUEST);
	else
		coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

static void on_nack(coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason,
		    const coap_mid_t mid)
{
	struct link *link = link_of(session);

	(void)sent;
	(void)mid;
	if (!link)
		return;
	switch (reason) {
	case COAP_NACK_RST: /* how a CoAP ping is answered (RFC 7252 section 4.3) */
		link_heard(link);
		break;
	case COAP_NACK_ICMP_ISSUE: /* not authentic: a reason to look, not to believe */
		if (link->phase == LINK_CONNECTING)
			link_fail(link, "collector is unreachable");
		else
			link_path_changed(link);
		break;
	case COAP_NACK_TOO_MANY_RETRIES:
		link_fail(link, "no acknowledgement");
		break;
	default: /* the session is over, an event says so too */
		break;
	}
}

static int on_event(coap_session_t *session, const coap_event_t event)
{
	struct link *link = link_of(session);

	if (!link)
		return 0;
	if (event == COAP_EVENT_DTLS_ERROR || event == COAP_EVENT_DTLS_CLOSED)
		link_fail(link, link->phase == LINK_CONNECTING ? "handshake refused (is the key the one of `jaga enroll`?)"
							       : "closed by the collector");
	return 0;
}

static void after_io(void *arg)
{
	struct link *link = arg;

	if (link->phase == LINK_CONNECTING)
		link_schedule(link);
}

/* --- sending --------------------------------------------------------------------------------------- */

static bool add_uint(coap_pdu_t *pdu, coap_option_num_t number, unsigned value)
{
	uint8_t bytes[4];

	return coap_add_option(pdu, number, coap_encode_var_safe(bytes, sizeof(bytes), value), bytes) > 0;
}

static bool add_block(coap_pdu_t *pdu, coap_option_num_t number, const struct block *block)
{
	uint8_t value[3];

	return coap_add_option(pdu, number, block_encode(block, value), value) > 0;
}

static bool add_path(coap_pdu_t *pdu, const char *path)
{
	for (const char *segment = path; *segment;) {
		size_t length = strcspn(segment, "/");

		if (!coap_add_option(pdu, COAP_OPTION_URI_PATH, length, (const uint8_t *)segment))
			return false;
		segment += length;
		segment += *segment == '/';
	}
	return true;
}

/* Options go in the order of their numbers. */
static bool fill_pdu(coap_pdu_t *pdu, const struct link_request *request)
{
	return coap_add_token(pdu, LINK_TOKEN_BYTES, request->token) && add_path(pdu, request->path) &&
	       (request->format == LINK_NO_FORMAT ||
		add_uint(pdu, COAP_OPTION_CONTENT_FORMAT, (unsigned)request->format)) &&
	       (!request->query || coap_add_option(pdu, COAP_OPTION_URI_QUERY, strlen(request->query),
						   (const uint8_t *)request->query)) &&
	       (!request->accept || add_uint(pdu, COAP_OPTION_ACCEPT, (unsigned)request->accept)) &&
	       (!request->block2 || add_block(pdu, COAP_OPTION_BLOCK2, request->block2)) &&
	       (!request->block1 || add_block(pdu, COAP_OPTION_BLOCK1, request->block1)) &&
	       (request->length == 0 || coap_add_data(pdu, request->length, request->body));
}

int link_session_send(struct link *link, const struct link_request *request)
{
	static const coap_pdu_code_t codes[] = {
		[LINK_GET] = COAP_REQUEST_CODE_GET,
		[LINK_POST] = COAP_REQUEST_CODE_POST,
		[LINK_PUT] = COAP_REQUEST_CODE_PUT,
	};
	coap_session_t *session = link->session ? link->session->session : NULL;
	coap_pdu_t *pdu;

	if (!session)
		return -EIO;
	pdu = coap_new_pdu(request->confirmable ? COAP_MESSAGE_CON : COAP_MESSAGE_NON, codes[request->method], session);
	if (!pdu)
		return -EIO;
	if (!fill_pdu(pdu, request)) {
		coap_delete_pdu(pdu);
		return -EIO;
	}
	link_expect(link);
	return coap_send(session, pdu) == COAP_INVALID_MID ? -EIO : 0; /* takes pdu in any case */
}

void link_session_set_rtt(struct link *link)
{
	coap_ev_set_rtt(link->session->session, link->rtt_ms, COAP_DEFAULT_MAX_RETRANSMIT);
}

int link_session_ping(struct link *link)
{
	if (coap_session_send_ping(link->session->session) == COAP_INVALID_MID)
		return -EBUSY;
	link_expect(link);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------------ */

bool link_session_is_established(const struct link *link)
{
	return link->session && link->session->session &&
	       coap_session_get_state(link->session->session) == COAP_SESSION_STATE_ESTABLISHED;
}

static int add_wake(coap_context_t *context)
{
	coap_resource_t *wake = coap_resource_init(coap_make_str_const("wake"), 0);

	if (!wake)
		return -ENOMEM;
	coap_register_request_handler(wake, COAP_REQUEST_POST, on_wake);
	coap_add_resource(context, wake);
	return 0;
}

int link_session_create(struct link *link, struct err *err)
{
	struct link_session *session = calloc(1, sizeof(*session));
	int result = -ENOMEM;

	if (!session)
		return err_set(err, -ENOMEM, "link: no memory");
	coap_ev_startup();
	session->context = coap_new_context(NULL);
	if (!session->context)
		goto out;
	result = add_wake(session->context);
	if (result)
		goto out;
	coap_context_set_app_data(session->context, link);
	coap_register_response_handler(session->context, on_response);
	coap_register_nack_handler(session->context, on_nack);
	coap_register_event_handler(session->context, on_event);
	result = coap_ev_create(link->loop, session->context, after_io, link, &session->ev);
	if (result)
		goto out;
	link->session = session;
	return 0;
out:
	if (session->context)
		coap_free_context(session->context);
	free(session);
	return err_sys(err, result, "link: cannot start libcoap");
}

void link_session_destroy(struct link *link)
{
	struct link_session *session = link->session;

	if (!session)
		return;
	link_session_close(link);
	link->session = NULL;
	coap_ev_destroy(session->ev);
	coap_free_context(session->context);
	free(session);
}

int link_session_open(struct link *link, struct err *err)
{
	struct sockaddr_storage storage;
	coap_dtls_cpsk_t credentials = { .version = COAP_DTLS_CPSK_SETUP_VERSION };
	coap_address_t address;
	coap_session_t *session;

	coap_address_init(&address);
	address.size = parse_address_to_sockaddr(&link->config->collector, &storage);
	memcpy(&address.addr, &storage, address.size);
	credentials.psk_info.identity.s = (const uint8_t *)link->config->identity;
	credentials.psk_info.identity.length = strlen(link->config->identity);
	credentials.psk_info.key.s = link->psk;
	credentials.psk_info.key.length = sizeof(link->psk);
	coap_context_set_handshake_timeout(link->session->context, link->rtt_ms ? coap_ev_timeout_ms(link->rtt_ms) : 0);
	session = coap_new_client_session_psk2(link->session->context, NULL, &address, COAP_PROTO_DTLS, &credentials);
	if (!session)
		return err_set(err, -EHOSTUNREACH, "no route to the collector, or no memory or random numbers for a session");
	coap_session_set_mtu(session, SESSION_MTU);
	link->session->session = session;
	link_session_set_rtt(link);
	coap_ev_update(link->session->ev);
	return 0;
}

void link_session_close(struct link *link)
{
	coap_session_t *session;

	if (!link->session)
		return;
	session = link->session->session;
	link->session->session = NULL;
	if (!session)
		return;
	/* What is not acknowledged would keep it, and hello, arriving late, would be taken for a session newer than the next. */
	if (coap_session_get_state(session) != COAP_SESSION_STATE_NONE)
		coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE); /* sends close_notify */
	coap_session_release(session);
}
