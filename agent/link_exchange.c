/*
 * link_exchange: one confirmable request and its answer, either of which may take many blocks.
 *
 *   prepared -> sending block 0..n (2.31 each) -> [receiving block 0..m] -> done
 *
 * Stop and wait: one datagram of an exchange is on its way at a time (RFC 7959 section 2.5, 2.4).
 * libcoap repeats it until it is acknowledged; the answer may come later, and is asked for again after twice the round trip
 * (LIMIT_ANSWER_MIN_MS to LIMIT_ANSWER_MS) and twice, four times, ... that, because a separate NON answer can be lost. Asked again for the answer to a
 * body of many blocks, the collector may have forgotten them (4.08): they go once more. An exchange that is never answered ends
 * the session: the next one begins with hello. Refused for a while (4.29, 5.03) it begins again then.
 * A body that arrives grows up to the cap that its owner set; what goes beyond it ends the exchange.
 */
#include "agent/link_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

struct link_exchange *link_exchange_prepare(struct link *link, enum link_token kind)
{
	struct link_exchange *exchange = &link->exchanges[kind];
	uint32_t serial = exchange->serial;

	if (exchange->busy)
		return NULL;
	block_body_finish(&exchange->answer);
	*exchange = (struct link_exchange){
		.serial = serial, /* a late answer to an earlier request must not fit */
		.method = LINK_POST,
		.format = LINK_NO_FORMAT,
		.answer.cap_bytes = LIMIT_ANSWER_BYTES,
	};
	return exchange;
}

static void put_token(enum link_token kind, uint32_t serial, uint8_t ret_token[static LINK_TOKEN_BYTES])
{
	ret_token[0] = (uint8_t)kind;
	ret_token[1] = (uint8_t)(serial >> 16);
	ret_token[2] = (uint8_t)(serial >> 8);
	ret_token[3] = (uint8_t)serial;
}

/* How long an answer is waited for after that many askings. */
static int64_t patience_ms(const struct link *link, unsigned attempts)
{
	int64_t first_ms = LIMIT_ANSWER_MS;

	if (link->rtt_ms && 2 * link->rtt_ms < first_ms)
		first_ms = 2 * link->rtt_ms > LIMIT_ANSWER_MIN_MS ? 2 * link->rtt_ms : LIMIT_ANSWER_MIN_MS;
	return first_ms << (attempts - 1);
}

static void send_block(struct link *link, enum link_token kind)
{
	struct link_exchange *exchange = &link->exchanges[kind];
	struct link_request request = {
		.confirmable = true,
		.method = exchange->method,
		.path = exchange->path,
		.query = exchange->query[0] ? exchange->query : NULL,
		.format = LINK_NO_FORMAT,
		.accept = exchange->accept,
	};

	put_token(kind, exchange->serial, request.token);
	if (exchange->is_receiving) {
		request.block2 = &exchange->in;
	} else {
		request.body = exchange->block;
		request.length = exchange->block_length;
		request.format = exchange->format;
		if (exchange->out.num > 0 || exchange->out.more)
			request.block1 = &exchange->out;
	}
	exchange->deadline_ms = clock_mono_ms() + patience_ms(link, exchange->attempts);
	if (link_session_send(link, &request))
		link_fail(link, "cannot send");
	link_schedule(link);
}

/* Loads block `num` of the body and sends it. */
static void send_next(struct link *link, enum link_token kind, uint32_t num)
{
	struct link_exchange *exchange = &link->exchanges[kind];
	bool more = false;

	exchange->serial++;
	exchange->attempts = 1;
	exchange->block_length = 0;
	if (exchange->fill && exchange->fill(link, exchange, num, exchange->block, &exchange->block_length, &more)) {
		link_fail(link, "no memory for a body");
		return;
	}
	exchange->out = (struct block){ .num = num, .more = more, .szx = BLOCK_SZX_MAX };
	send_block(link, kind);
}

void link_exchange_start(struct link *link, enum link_token kind)
{
	struct link_exchange *exchange = &link->exchanges[kind];

	exchange->busy = true;
	exchange->is_paused = false;
	exchange->is_receiving = false;
	block_body_finish(&exchange->answer);
	send_next(link, kind, 0);
}

int link_fill_memory(struct link *link, struct link_exchange *exchange, uint32_t num, uint8_t *ret_block,
		     size_t *ret_length, bool *ret_more)
{
	size_t offset = (size_t)num * sizeof(exchange->block);
	size_t left = exchange->memory_length - offset;

	(void)link;
	*ret_more = left > sizeof(exchange->block);
	*ret_length = *ret_more ? sizeof(exchange->block) : left;
	if (*ret_length)
		memcpy(ret_block, exchange->memory + offset, *ret_length);
	return 0;
}

static void finish(struct link *link, enum link_token kind, const struct link_response *response)
{
	struct link_exchange *exchange = &link->exchanges[kind];
	struct block_body answer = exchange->answer;

	/* `done` may prepare the next exchange in this place: what the response points to is held here. */
	exchange->answer = (struct block_body){ .cap_bytes = answer.cap_bytes };
	exchange->busy = false;
	exchange->deadline_ms = 0;
	exchange->done(link, response);
	block_body_finish(&answer);
	link_schedule(link);
}

static void pause_for(struct link *link, enum link_token kind, uint32_t seconds)
{
	struct link_exchange *exchange = &link->exchanges[kind];

	if (seconds > LIMIT_MAX_AGE_S)
		seconds = LIMIT_MAX_AGE_S;
	log_info("link", "collector is busy: path=%s again_s=%u", exchange->path, seconds ? seconds : 1);
	if (kind == LINK_TOKEN_HELLO) { /* no session is held for one that is not served */
		link->retry_at_ms = clock_mono_ms() + 1000 * (int64_t)seconds;
		link_fail(link, "collector is overloaded");
		return;
	}
	exchange->is_paused = true;
	exchange->serial++;
	exchange->deadline_ms = clock_mono_ms() + 1000 * (int64_t)(seconds ? seconds : 1);
	link_schedule(link);
}

/* One block of an answer. True while more are wanted. */
static bool receive_block(struct link *link, enum link_token kind, struct link_response *response)
{
	struct link_exchange *exchange = &link->exchanges[kind];
	int result;

	if (response->block2.num == 0)
		exchange->answer_etag = response->etag;
	result = response->etag != exchange->answer_etag
			 ? -ESTALE
			 : block_body_add(&exchange->answer, &response->block2, response->body, response->length);
	if (result == -EALREADY)
		return true;
	if (result) {
		log_warning("link", "answer refused: path=%s error=\"%s\"", exchange->path, strerror(-result));
		response->code = 0;
		return false;
	}
	if (!response->block2.more) {
		response->body = exchange->answer.data ? exchange->answer.data : (const uint8_t *)"";
		response->length = exchange->answer.length;
		return false;
	}
	exchange->is_receiving = true;
	exchange->in = (struct block){ .num = exchange->answer.next, .szx = exchange->answer.szx };
	exchange->serial++;
	exchange->attempts = 1;
	send_block(link, kind);
	return true;
}

void link_exchange_on_response(struct link *link, enum link_token kind, const struct link_response *response)
{
	struct link_exchange *exchange = &link->exchanges[kind];
	struct link_response whole = *response;
	uint8_t token[LINK_TOKEN_BYTES];

	put_token(kind, exchange->serial, token);
	if (!exchange->busy || exchange->is_paused || memcmp(token, response->token, sizeof(token)) != 0)
		return;
	if (response->code == 231) {
		if (exchange->is_receiving || !exchange->out.more) {
			link_fail(link, "collector wants a block that does not exist");
			return;
		}
		send_next(link, kind, exchange->out.num + 1);
		return;
	}
	if (response->code == 429 || response->code == 503) {
		pause_for(link, kind, response->max_age_s);
		return;
	}
	if (response->code == 408 && exchange->out.num > 0 && exchange->restarts < LIMIT_ANSWER_ATTEMPTS) {
		exchange->restarts++;
		link_exchange_start(link, kind);
		return;
	}
	if (response->code / 100 == 2 && response->has_block2 && receive_block(link, kind, &whole))
		return;
	finish(link, kind, &whole);
}

void link_exchange_on_time(struct link *link, int64_t now_ms)
{
	for (int kind = 0; kind < LINK_EXCHANGES; kind++) {
		struct link_exchange *exchange = &link->exchanges[kind];

		if (!exchange->busy || exchange->deadline_ms > now_ms)
			continue;
		if (exchange->is_paused) {
			link_exchange_start(link, (enum link_token)kind);
		} else if (patience_ms(link, exchange->attempts) >= (int64_t)LIMIT_ANSWER_MS << (LIMIT_ANSWER_ATTEMPTS - 1)) {
			link_fail(link, "no answer");
			return;
		} else {
			exchange->attempts++;
			send_block(link, (enum link_token)kind);
		}
	}
}

int64_t link_exchange_deadline(const struct link *link)
{
	int64_t deadline_ms = INT64_MAX;

	for (int kind = 0; kind < LINK_EXCHANGES; kind++) {
		const struct link_exchange *exchange = &link->exchanges[kind];

		if (exchange->busy && exchange->deadline_ms < deadline_ms)
			deadline_ms = exchange->deadline_ms;
	}
	return deadline_ms;
}

void link_exchange_cancel_all(struct link *link)
{
	for (int kind = 0; kind < LINK_EXCHANGES; kind++) {
		link->exchanges[kind].busy = false;
		block_body_finish(&link->exchanges[kind].answer);
	}
}
