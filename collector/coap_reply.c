/*
 * coap_reply: an answer to the request that a ticket names.
 *
 * While the request's handler runs the answer goes with libcoap's own response (an acknowledgement, or
 * NON for NON). Later it goes as a NON response of its own: confirmable ones stalled, and an agent
 * that misses one asks again. A body larger than a block is cut to the block that the request asked for;
 * the handler is asked again for each of the others, and the ETag lets the agent see that it answered
 * the same. So an unfinished download costs no memory here.
 */
#include "collector/coap_internal.h"

#include <string.h>

#include "common/clock.h"
#include "common/wire.h"

static uint64_t hash_bytes(const uint8_t *bytes, size_t length)
{
	uint64_t hash = 14695981039346656037ULL; /* FNV-1a: tells versions of one answer apart, guards nothing */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 1099511628211ULL;
	return hash ? hash : 1;
}

static bool add_uint(coap_pdu_t *pdu, coap_option_num_t number, uint64_t value)
{
	uint8_t bytes[8];

	return coap_add_option(pdu, number, coap_encode_var_safe8(bytes, sizeof(bytes), value), bytes) > 0;
}

static bool add_block(coap_pdu_t *pdu, coap_option_num_t number, const struct block *block)
{
	uint8_t value[3];

	return coap_add_option(pdu, number, block_encode(block, value), value) > 0;
}

/* Writes code, options in the order of their numbers, and body to a response that has its token already. */
static bool fill_response(coap_pdu_t *pdu, const struct coap_ticket *ticket, const struct coap_answer *answer)
{
	struct block block2 = { .num = ticket->block2_num, .szx = ticket->block2_szx };
	struct block block1 = { .num = ticket->block1_num, .szx = ticket->block1_szx };
	size_t size = block_size(block2.szx), offset = block2.num * size, length = answer->length;
	bool is_cut = answer->code < COAP_BAD_REQUEST && (block2.num > 0 || length > size);

	if (is_cut && offset >= length) {
		coap_pdu_set_code(pdu, COAP_RESPONSE_CODE_BAD_REQUEST);
		return true;
	}
	if (is_cut) {
		block2.more = length - offset > size;
		length = block2.more ? size : length - offset;
	} else {
		offset = 0;
		if (length > size) /* a diagnostic text */
			length = size;
	}
	coap_pdu_set_code(pdu, (coap_pdu_code_t)((int)answer->code / 100 << 5 | (int)answer->code % 100));
	return (!is_cut || add_uint(pdu, COAP_OPTION_ETAG, hash_bytes(answer->body, answer->length))) &&
	       (answer->code >= COAP_BAD_REQUEST || length == 0 ||
		add_uint(pdu, COAP_OPTION_CONTENT_FORMAT, answer->is_zlib ? WIRE_FORMAT_PROTOBUF_ZLIB : WIRE_FORMAT_PROTOBUF)) &&
	       (!answer->max_age_s || add_uint(pdu, COAP_OPTION_MAXAGE, answer->max_age_s)) &&
	       (!is_cut || add_block(pdu, COAP_OPTION_BLOCK2, &block2)) &&
	       (!ticket->has_block1 || add_block(pdu, COAP_OPTION_BLOCK1, &block1)) &&
	       (!is_cut || add_uint(pdu, COAP_OPTION_SIZE2, answer->length)) &&
	       (length == 0 || coap_add_data(pdu, length, (const uint8_t *)answer->body + offset));
}

static void count_refusal(struct coap_server *server, const struct coap_peer *peer, const struct coap_answer *answer)
{
	unsigned suppressed;

	if (answer->code < COAP_BAD_REQUEST || answer->code == COAP_NOT_FOUND)
		return; /* 4.04 is the ordinary answer of two paths */
	server->counters.requests_refused++;
	if (log_limit_allows(&server->log_requests, clock_mono_ms(), &suppressed))
		log_warning("coap", "request refused: device=%s code=%d.%02d problem=\"%.*s\" suppressed=%u", peer->device,
			    (int)answer->code / 100, (int)answer->code % 100, (int)answer->length,
			    (const char *)answer->body, suppressed);
}

void coap_server_reply(struct coap_server *server, const struct coap_ticket *ticket, const struct coap_answer *answer)
{
	struct coap_peer *peer = peer_find_ticket(server, ticket);
	bool is_in_time = server->current.ticket && !server->current.is_answered &&
			  server->current.ticket->session == ticket->session &&
			  server->current.ticket->token_length == ticket->token_length &&
			  memcmp(server->current.ticket->token, ticket->token, ticket->token_length) == 0;
	coap_pdu_t *pdu = NULL;

	if (!peer)
		goto dropped;
	count_refusal(server, peer, answer);
	if (is_in_time) {
		server->current.is_answered = true;
		if (!fill_response(server->current.response, ticket, answer))
			goto dropped;
		return;
	}
	pdu = coap_new_pdu(COAP_MESSAGE_NON, COAP_RESPONSE_CODE_CONTENT, peer->session);
	if (!pdu || !coap_add_token(pdu, ticket->token_length, ticket->token) || !fill_response(pdu, ticket, answer)) {
		coap_delete_pdu(pdu);
		goto dropped;
	}
	if (coap_send(peer->session, pdu) != COAP_INVALID_MID) /* takes pdu in any case */
		return;
dropped:
	server->counters.replies_dropped++;
}
