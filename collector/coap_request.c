/*
 * coap_request: a decrypted request -> one call of the owner's handler, or a refusal.
 *
 * All paths share one handler: libcoap's "unknown" resource, so that routing is one table
 * (coap_route.c). Checks go from cheap to dear: session, repetition, rate, path, content format, body. Bodies
 * of many blocks are put together here (common/block.h), each block answered 2.31, and count once
 * against the rate. What is refused is answered with a code and a text, counted, and logged at a bounded
 * rate. A confirmable request that is not answered at once is acknowledged empty by libcoap, and its
 * repetition is acknowledged again without running the handler (RFC 7252 section 4.5).
 */
#include "collector/coap_internal.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/wire.h"

#define CODE_CONTINUE 231
#define CODE_INCOMPLETE 408
#define CODE_TOO_LARGE 413
#define CODE_FORMAT 415
#define CODE_TOO_MANY 429
#define CODE_NO_SESSION 401

struct request {
	struct coap_server *server;
	struct coap_peer *peer;
	const coap_pdu_t *pdu;
	coap_pdu_t *response;
	struct route route;
	struct coap_incoming incoming;
	bool has_block1;
	struct block block1;
	uint32_t format; /* UINT32_MAX: none named */
};

/* --- refusals ------------------------------------------------------------------------------------ */

static coap_pdu_code_t to_pdu_code(int code)
{
	return (coap_pdu_code_t)(code / 100 << 5 | code % 100);
}

static void refuse(struct request *request, int code, const char *problem)
{
	struct coap_server *server = request->server;
	unsigned suppressed;

	server->counters.requests_refused++;
	coap_pdu_set_code(request->response, to_pdu_code(code));
	if (code == CODE_TOO_MANY) {
		uint8_t seconds = 1;

		coap_add_option(request->response, COAP_OPTION_MAXAGE, 1, &seconds);
	}
	coap_add_data(request->response, strlen(problem), (const uint8_t *)problem);
	if (log_limit_allows(&server->log_requests, clock_mono_ms(), &suppressed))
		log_warning("coap", "request refused: device=%s code=%d.%02d problem=\"%s\" suppressed=%u",
			    request->peer ? request->peer->device : "?", code / 100, code % 100, problem, suppressed);
}

/* --- reading --------------------------------------------------------------------------------------- */

/* Returns 0, or a response code and its text. */
static int read_options(struct request *request, struct route_request *route, const char **ret_problem)
{
	coap_opt_iterator_t iterator;
	const coap_opt_t *option;
	struct block block2 = { .szx = BLOCK_SZX_MAX };

	route->method = coap_pdu_get_code(request->pdu);
	request->format = UINT32_MAX;
	coap_option_iterator_init(request->pdu, &iterator, COAP_OPT_ALL);
	*ret_problem = "option";
	while ((option = coap_option_next(&iterator))) {
		struct route_text text = { coap_opt_value(option), coap_opt_length(option) };

		switch (iterator.number) {
		case COAP_OPTION_URI_PATH:
			if (route->n_segments < ROUTE_SEGMENTS)
				route->segments[route->n_segments] = text;
			route->n_segments++;
			break;
		case COAP_OPTION_URI_QUERY:
			if (route->n_queries++ == 0)
				route->query = text;
			break;
		case COAP_OPTION_CONTENT_FORMAT:
			if (text.length > 2)
				return 400;
			request->format = coap_decode_var_bytes(text.bytes, text.length);
			break;
		case COAP_OPTION_ACCEPT: /* an answer of another format is not held back: agents take the usual one as well */
			request->incoming.accepts_zlib =
				text.length <= 2 && coap_decode_var_bytes(text.bytes, text.length) == WIRE_FORMAT_PROTOBUF_ZLIB;
			break;
		case COAP_OPTION_BLOCK1:
			if (block_decode(text.bytes, text.length, &request->block1))
				return 400;
			request->has_block1 = true;
			break;
		case COAP_OPTION_BLOCK2:
			if (block_decode(text.bytes, text.length, &block2))
				return 400;
			break;
		default: /* libcoap has refused critical options that it does not know */
			break;
		}
	}
	request->incoming.ticket.block2_num = block2.num;
	request->incoming.ticket.block2_szx = block2.szx;
	return 0;
}

static int check_format(const struct request *request, size_t length)
{
	switch (request->route.path) {
	case COAP_PATH_HELLO:
	case COAP_PATH_TELEMETRY:
	case COAP_PATH_JOB_STATE:
	case COAP_PATH_DOCTOR:
		return request->format == WIRE_FORMAT_PROTOBUF ? 0 : CODE_FORMAT;
	case COAP_PATH_SNAPSHOT:
		return length == 0 || request->format == WIRE_FORMAT_SNAPSHOT ? 0 : CODE_FORMAT;
	case COAP_PATH_JOB:
	case COAP_PATH_JOB_CONFIRM:
		break;
	}
	return length == 0 ? 0 : 400;
}

/* --- handing on -------------------------------------------------------------------------------------- */

static void deliver(struct request *request, const uint8_t *body, size_t length)
{
	struct coap_server *server = request->server;
	struct coap_incoming *incoming = &request->incoming;
	char address[LIMIT_HOST];
	coap_bin_const_t token = coap_pdu_get_token(request->pdu);
	struct coap_peer *peer = request->peer;

	incoming->path = request->route.path;
	incoming->device = peer->device;
	incoming->peer = request->route.path == COAP_PATH_HELLO ? peer_address(peer->session, address) : "";
	memcpy(incoming->hash, request->route.hash, sizeof(incoming->hash));
	memcpy(incoming->job_id, request->route.job_id, sizeof(incoming->job_id));
	incoming->after_seq = request->route.after_seq;
	incoming->body = body;
	incoming->length = length;
	incoming->ticket.session = (uint64_t)peer->generation << 32 | peer->slot;
	incoming->ticket.token_length = (uint8_t)token.length;
	if (token.length)
		memcpy(incoming->ticket.token, token.s, token.length);
	incoming->ticket.has_block1 = request->has_block1;
	incoming->ticket.block1_num = request->block1.num;
	incoming->ticket.block1_szx = request->block1.szx;
	server->current = (struct coap_current){ .ticket = &incoming->ticket, .response = request->response };
	server->events->on_request(server->arg, incoming);
	/* The handler may have dropped the peer: it lives until the reaper. */
	if (!server->current.is_answered && coap_pdu_get_type(request->pdu) == COAP_MESSAGE_CON)
		peer->mids[peer->mids_next++ % PEER_MIDS] = coap_pdu_get_mid(request->pdu);
	server->current = (struct coap_current){ 0 };
}

static void answer_continue(struct request *request)
{
	uint8_t value[3];

	coap_pdu_set_code(request->response, to_pdu_code(CODE_CONTINUE));
	coap_add_option(request->response, COAP_OPTION_BLOCK1, block_encode(&request->block1, value), value);
}

/* One block of a body. Delivers the whole with the last one. */
static void take_block(struct request *request, const uint8_t *bytes, size_t length)
{
	struct coap_server *server = request->server;
	struct coap_transfer *transfer = transfer_find(request->peer, &request->route);
	size_t size_before;
	int result;

	if (!transfer && request->block1.num == 0)
		transfer = transfer_add(request->peer, &request->route);
	if (!transfer) {
		refuse(request, CODE_INCOMPLETE, request->block1.num ? "no block 0" : "too many transfers");
		return;
	}
	if (request->block1.num == 0)
		transfer->format = (uint16_t)request->format;
	transfer->used_ms = clock_mono_ms();
	size_before = transfer->body.size;
	result = transfer->format != request->format ? -EILSEQ
		 : server->transfer_bytes > LIMIT_TRANSFERS_BYTES
			 ? -ENOMEM
			 : block_body_add(&transfer->body, &request->block1, bytes, length);
	server->transfer_bytes += transfer->body.size - size_before;
	if (result == -EALREADY || (result == 0 && request->block1.more)) {
		answer_continue(request);
		return;
	}
	if (result == 0)
		deliver(request, transfer->body.data ? transfer->body.data : (const uint8_t *)"", transfer->body.length);
	else if (result == -EMSGSIZE)
		refuse(request, CODE_TOO_LARGE, "body");
	else if (result == -ENOMEM)
		refuse(request, 503, "memory");
	else
		refuse(request, CODE_INCOMPLETE, "block out of order");
	if (peer_of(request->peer->session) == request->peer) /* else its transfers went with it */
		transfer_remove(server, request->peer, transfer);
}

static bool is_repetition(const struct request *request)
{
	coap_mid_t mid = coap_pdu_get_mid(request->pdu);

	if (coap_pdu_get_type(request->pdu) != COAP_MESSAGE_CON)
		return false;
	for (unsigned i = 0; i < PEER_MIDS; i++)
		if (request->peer->mids[i] == mid)
			return true;
	return false;
}

static void handle(struct request *request)
{
	struct coap_server *server = request->server;
	struct route_request route = { 0 };
	const uint8_t *bytes;
	const char *problem;
	size_t length;
	int code;

	server->counters.requests++;
	peer_heard(server, request->peer);
	if (is_repetition(request))
		return;
	code = read_options(request, &route, &problem);
	if (code) {
		refuse(request, code, problem);
		return;
	}
	if (request->block1.num == 0 && request->incoming.ticket.block2_num == 0 &&
	    !peer_may_request(request->peer, request->peer->heard_ms)) {
		server->counters.rate_limited++;
		refuse(request, CODE_TOO_MANY, "rate");
		return;
	}
	code = route_parse(&route, &request->route, &problem);
	if (code) {
		refuse(request, code, problem);
		return;
	}
	if (!coap_get_data(request->pdu, &length, &bytes))
		bytes = (const uint8_t *)""; /* handlers get a pointer in any case */
	code = check_format(request, length);
	if (code)
		refuse(request, code, code == CODE_FORMAT ? "content format" : "a body where none belongs");
	else if (request->has_block1 && (request->block1.num || request->block1.more))
		take_block(request, bytes, length);
	else
		deliver(request, bytes, length);
}

static void on_request(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *pdu,
		       const coap_string_t *query, coap_pdu_t *response)
{
	struct request request = {
		.server = coap_context_get_app_data(coap_session_get_context(session)),
		.peer = peer_of(session),
		.pdu = pdu,
		.response = response,
	};

	(void)resource;
	(void)query;
	if (!request.peer)
		request.peer = peer_admit(request.server, session);
	if (request.peer)
		handle(&request);
	else
		refuse(&request, CODE_NO_SESSION, "device unknown or session over");
}

int request_register(coap_context_t *context)
{
	coap_resource_t *resource = coap_resource_unknown_init2(on_request, COAP_RESOURCE_HANDLE_WELLKNOWN_CORE);

	if (!resource)
		return -ENOMEM;
	for (int method = COAP_REQUEST_GET; method <= COAP_REQUEST_IPATCH; method++)
		coap_register_request_handler(resource, (coap_request_t)method, on_request);
	coap_add_resource(context, resource);
	return 0;
}
