/*
 * link: the states of the session with the collector; link.h has the picture, link_internal.h the map.
 *
 * One timer drives everything: each change of a deadline sets it to the nearest one, and what is due
 * is done from its callback, outside libcoap. Liveness is the application's: whatever wants an answer
 * starts two deadlines (ask again, give up), any authentic datagram of the collector stops them, and an
 * idle session gets a ping. After a fail-over the same runs with a shorter limit, because the NAT
 * binding of the session has probably gone with the uplink. Wall-clock steps touch nothing: all
 * times are monotonic.
 *
 * Called by agent.c; calls back through struct link_events from the loop.
 */
#include "agent/link_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/platform_util.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"

#define HANDSHAKE_ROUND_TRIPS 3 /* cookie, keys, Finished (RFC 6347 section 4.2.4) */

static void set_phase(struct link *link, enum link_phase phase)
{
	link->phase = phase;
	link->since_ms = clock_mono_ms();
}

/* 0 .. limit_ms - 1 */
static int64_t random_ms(int64_t limit_ms)
{
	uint64_t bits;

	random_fill(&bits, sizeof(bits));
	return (int64_t)(bits % (uint64_t)limit_ms);
}

static void doom(struct link *link, const char *reason)
{
	if (!link->doomed)
		link->doomed = reason;
	link_schedule(link);
}

/* Whatever was answered took the path's round trip at least, also when it was lost and went again. */
static void take_rtt(struct link *link, int64_t took_ms)
{
	link->rtt_ms = took_ms > 0 ? took_ms : 1;
	link_session_set_rtt(link);
}

/* --- liveness ------------------------------------------------------------------------------------ */

void link_heard(struct link *link)
{
	link->heard_ms = clock_mono_ms();
	link->nudge_at_ms = 0;
	link->dead_at_ms = 0;
	link->is_jitterless = false;
	link_schedule(link);
}

static void expect_within(struct link *link, int64_t miss_ms)
{
	int64_t now_ms = clock_mono_ms();

	if (link->dead_at_ms == 0 || link->dead_at_ms > now_ms + 2 * miss_ms) {
		link->nudge_at_ms = now_ms + miss_ms;
		link->dead_at_ms = now_ms + 2 * miss_ms;
	}
	link_schedule(link);
}

void link_expect(struct link *link)
{
	if (link->phase == LINK_OPEN || link->phase == LINK_GREETING)
		expect_within(link, LIMIT_PING_MS);
}

void link_path_changed(struct link *link)
{
	if (!link->config->has_collector)
		return;
	switch (link->phase) {
	case LINK_OPEN:
	case LINK_GREETING:
		link->rtt_ms = 0; /* this session's messages keep its timers; they double */
		/* Busy: something confirmable is on its way already, its acknowledgement tells as much. */
		(void)link_session_ping(link);
		expect_within(link, LIMIT_PROBE_MS / 2);
		link->is_jitterless = true;
		break;
	case LINK_CONNECTING:
		link->is_jitterless = true;
		link_fail(link, "the path has changed");
		break;
	case LINK_WAITING:
		link->rtt_ms = 0; /* it was the other path's */
		link->failures = 0;
		link->retry_at_ms = clock_mono_ms();
		link_schedule(link);
		break;
	case LINK_IDLE:
		break;
	}
}

void link_renew(struct link *link, int64_t urgent_ms)
{
	int64_t now_ms = clock_mono_ms();

	if (!link->config->has_collector)
		return;
	link->urgent_until_ms = now_ms + urgent_ms;
	link->failures = 0;
	if (link->phase == LINK_WAITING) {
		link->retry_at_ms = now_ms;
		link_schedule(link);
		return;
	}
	link->is_jitterless = true;
	doom(link, "a script has run: is the collector still reached?"); /* what was measured holds for the next session's handshake */
}

static void check_liveness(struct link *link, int64_t now_ms)
{
	if (link->dead_at_ms && now_ms >= link->dead_at_ms) {
		link_fail(link, "collector is silent");
		return;
	}
	if (link->dead_at_ms == 0 && now_ms >= link->heard_ms + link->keepalive_ms) {
		if (link_session_ping(link))
			link_expect(link);
	} else if (link->nudge_at_ms && now_ms >= link->nudge_at_ms) {
		link->nudge_at_ms = 0;
		(void)link_session_ping(link); /* busy: as above */
	}
}

/* --- states -------------------------------------------------------------------------------------- */

void link_fail(struct link *link, const char *reason)
{
	link->rtt_ms = 0;
	doom(link, reason);
}

static void wait_before_retry(struct link *link)
{
	int64_t limit_ms = LIMIT_BACKOFF_BASE_MS;

	for (unsigned i = 0; i < link->failures && limit_ms < LIMIT_BACKOFF_CAP_MS; i++)
		limit_ms *= 2;
	if (clock_mono_ms() < link->urgent_until_ms)
		limit_ms = LIMIT_BACKOFF_BASE_MS;
	if (limit_ms > LIMIT_BACKOFF_CAP_MS)
		limit_ms = LIMIT_BACKOFF_CAP_MS;
	link->failures++;
	set_phase(link, LINK_WAITING);
	link->retry_at_ms = link->since_ms + (link->is_jitterless ? 0 : random_ms(limit_ms));
	link->is_jitterless = false;
}

static void tell_no_session(const struct link *link)
{
	log_info("link", "no session: reason=\"%s\" retry_ms=%" PRId64, link->last_error, link->retry_at_ms - link->since_ms);
}

static void close_session(struct link *link)
{
	bool was_open = link->phase == LINK_OPEN;
	const char *reason = link->doomed;
	int64_t sent_away_ms = link->retry_at_ms;

	link->doomed = NULL;
	link->dead_at_ms = 0;
	link->nudge_at_ms = 0;
	link_exchange_cancel_all(link);
	link_session_close(link);
	snprintf(link->last_error, sizeof(link->last_error), "%s", reason);
	wait_before_retry(link);
	if (sent_away_ms > link->retry_at_ms)
		link->retry_at_ms = sent_away_ms + random_ms(LIMIT_BACKOFF_BASE_MS);
	if (!was_open) /* the end of a session is told by who is told of it */
		tell_no_session(link);
	link_transfer_abandon(link);
	if (was_open)
		link->events->on_closed(link->arg, reason);
}

static void connect_session(struct link *link)
{
	struct err err = { "" };

	link->retry_at_ms = 0;
	set_phase(link, LINK_CONNECTING);
	if (link_session_open(link, &err)) {
		snprintf(link->last_error, sizeof(link->last_error), "%.*s", (int)sizeof(link->last_error) - 1, err.text);
		wait_before_retry(link);
		tell_no_session(link);
	}
}

/* --- hello ----------------------------------------------------------------------------------------- */

/* What the collector says that the time is; 0: what no clock shows, so not known. */
static int64_t believe_time(int64_t wall_ms)
{
	return wall_ms > 0 && wall_ms < LIMIT_WALL_MS ? wall_ms : 0;
}

static void on_hello_answer(struct link *link, const struct link_response *response)
{
	const Jaga__V1__HelloAck *ack;
	ProtobufCMessage *message;
	int64_t took_ms;

	wire_arena_reset(&link->arena);
	if (response->code != 204) {
		link_fail(link, "hello refused");
		return;
	}
	if (wire_unpack(&link->arena, &jaga__v1__hello_ack__descriptor, response->body, response->length, &message)) {
		link_fail(link, "malformed HelloAck");
		return;
	}
	ack = (const Jaga__V1__HelloAck *)message;
	if (ack->retry_after_s) {
		uint32_t seconds = ack->retry_after_s < LIMIT_MAX_AGE_S ? ack->retry_after_s : LIMIT_MAX_AGE_S;

		link->retry_at_ms = clock_mono_ms() + 1000 * (int64_t)seconds;
		link_fail(link, "collector is overloaded");
		return;
	}
	if (ack->keepalive_s >= LIMIT_KEEPALIVE_MIN_S && ack->keepalive_s <= LIMIT_MAX_AGE_S)
		link->keepalive_ms = 1000 * (int64_t)ack->keepalive_s;
	if (link->epoch && link->epoch != ack->epoch)
		log_info("link", "collector has restarted, sending what it has not acknowledged again");
	link->epoch = ack->epoch;
	link->failures = 0;
	link->sessions++;
	link->is_jitterless = false;
	took_ms = clock_mono_ms() - link->since_ms;
	if (took_ms < link->rtt_ms || link->rtt_ms == 0)
		take_rtt(link, took_ms);
	set_phase(link, LINK_OPEN);
	link_report_open(link, link->since_ms);
	link->events->on_open(link->arg, believe_time(ack->time_ms));
}

static int pack_hello(struct link *link, uint8_t *ret_bytes, size_t size)
{
	const struct agent_config *config = link->config;
	Jaga__V1__Hello hello = JAGA__V1__HELLO__INIT;
	Jaga__V1__UplinkInfo infos[LIMIT_UPLINKS], *pointers[LIMIT_UPLINKS];
	char *caps[3];
	struct buf buf;
	int result;

	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct config_uplink *uplink = &config->uplinks[i];

		pointers[i] = &infos[i];
		jaga__v1__uplink_info__init(&infos[i]);
		infos[i].name = (char *)(uintptr_t)uplink->name;
		infos[i].interface = (char *)(uintptr_t)uplink->interface;
		infos[i].weight = uplink->weight;
		infos[i].tier = uplink->tier;
		infos[i].state = (Jaga__V1__UplinkState)link->events->read_uplink_state(link->arg, i);
	}
	hello.n_uplinks = config->n_uplinks;
	hello.uplinks = pointers;
	hello.boot_id.data = (uint8_t *)(uintptr_t)link->identity->boot_id;
	hello.boot_id.len = LIMIT_BOOT_ID_BYTES;
	hello.agent_version = (char *)(uintptr_t)JAGA_VERSION;
	hello.driver = (char *)(uintptr_t)link->identity->driver;
	hello.hostname = (char *)(uintptr_t)link->identity->hostname;
	hello.model = (char *)(uintptr_t)link->identity->model;
	hello.system = (char *)(uintptr_t)link->identity->system;
	hello.job_hiwater = link->identity->job_hiwater;
	hello.rtt_ms = (uint32_t)link->rtt_ms;
	if (config->scripts_unsigned)
		caps[hello.n_caps++] = (char *)(uintptr_t)"scripts.unsigned";
	if (!config->take_over)
		caps[hello.n_caps++] = (char *)(uintptr_t)"watches";
	if (link->identity->can_confirm)
		caps[hello.n_caps++] = (char *)(uintptr_t)"confirm";
	hello.caps = caps;
	buf_init(&buf, (char *)ret_bytes, size);
	result = wire_pack(&hello.base, &buf);
	return result ? result : (int)buf.length;
}

static void greet(struct link *link)
{
	struct link_exchange *exchange = link_exchange_prepare(link, LINK_TOKEN_HELLO);
	int length;

	take_rtt(link, (clock_mono_ms() - link->since_ms) / HANDSHAKE_ROUND_TRIPS);
	length = pack_hello(link, link->hello, sizeof(link->hello));
	if (length < 0) {
		link_fail(link, "hello is too long");
		return;
	}
	set_phase(link, LINK_GREETING);
	link_heard(link); /* the handshake was theirs as much as ours */
	snprintf(exchange->path, sizeof(exchange->path), "hello");
	exchange->format = WIRE_FORMAT_PROTOBUF;
	exchange->done = on_hello_answer;
	exchange->fill = link_fill_memory;
	exchange->memory = link->hello;
	exchange->memory_length = (size_t)length;
	link_exchange_start(link, LINK_TOKEN_HELLO);
}

/* --- what comes in ----------------------------------------------------------------------------------- */

void link_on_response(struct link *link, const struct link_response *response)
{
	if (response->code == 401) /* the session is nobody's any more, whatever was asked: nothing was refused for good */
		link_fail(link, "the collector wants a new session");
	else if (response->token[0] < LINK_EXCHANGES)
		link_exchange_on_response(link, (enum link_token)response->token[0], response);
	else if (response->token[0] == LINK_TOKEN_REPORT)
		link_report_on_response(link, response);
}

int link_on_wake(struct link *link, const uint8_t *body, size_t length)
{
	const Jaga__V1__Wake *wake;
	ProtobufCMessage *message;

	wire_arena_reset(&link->arena);
	if (length > LIMIT_WAKE_BYTES ||
	    wire_unpack(&link->arena, &jaga__v1__wake__descriptor, body, length, &message))
		return -EBADMSG;
	wake = (const Jaga__V1__Wake *)message;
	if (link->phase == LINK_OPEN)
		link->events->on_wake(link->arg, wake->job_seq, wake->take_snapshot, believe_time(wake->time_ms));
	if (link->phase == LINK_OPEN && wake->run_doctor)
		link->events->on_run_doctor(link->arg, wake->run_doctor);
	return 0;
}

/* --- time ---------------------------------------------------------------------------------------------- */

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
	return b_ms && b_ms < a_ms ? b_ms : a_ms;
}

static int64_t next_deadline(const struct link *link)
{
	int64_t deadline_ms = INT64_MAX;

	if (link->doomed)
		return 0;
	switch (link->phase) {
	case LINK_IDLE:
		break;
	case LINK_WAITING:
		return link->retry_at_ms;
	case LINK_CONNECTING:
		return link_session_is_established(link) ? 0 : link->since_ms + LIMIT_CONNECT_MS;
	case LINK_GREETING:
		deadline_ms = link->since_ms + LIMIT_CONNECT_MS;
		deadline_ms = earlier(deadline_ms, link_exchange_deadline(link));
		deadline_ms = earlier(deadline_ms, link->nudge_at_ms);
		deadline_ms = earlier(deadline_ms, link->dead_at_ms);
		break;
	case LINK_OPEN:
		deadline_ms = link->dead_at_ms ? link->dead_at_ms : link->heard_ms + link->keepalive_ms;
		deadline_ms = earlier(deadline_ms, link->nudge_at_ms);
		deadline_ms = earlier(deadline_ms, link_exchange_deadline(link));
		deadline_ms = earlier(deadline_ms, link_report_deadline(link));
		break;
	}
	return deadline_ms;
}

void link_schedule(struct link *link)
{
	int64_t deadline_ms = next_deadline(link);
	int64_t now_ms = clock_mono_ms();

	ev_timer_stop(link->loop, &link->timer);
	if (deadline_ms == INT64_MAX)
		return;
	/* libev counts from the beginning of this turn of its loop. */
	ev_timer_set(&link->timer, deadline_ms <= now_ms ? 0. : (double)(deadline_ms - now_ms) / 1000. + 0.001, 0.);
	ev_timer_start(link->loop, &link->timer);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct link *link = timer->data;
	int64_t now_ms = clock_mono_ms();

	(void)loop;
	(void)revents;
	if (link->doomed) {
		close_session(link);
	} else if (link->phase == LINK_WAITING) {
		if (now_ms >= link->retry_at_ms)
			connect_session(link);
	} else if (link->phase == LINK_CONNECTING) {
		if (link_session_is_established(link))
			greet(link);
		else if (now_ms >= link->since_ms + LIMIT_CONNECT_MS)
			link_fail(link, "collector does not answer (is UDP to it open?)");
	} else {
		if (link->phase == LINK_GREETING && now_ms >= link->since_ms + LIMIT_CONNECT_MS)
			link_fail(link, "no answer to hello");
		check_liveness(link, now_ms);
		link_exchange_on_time(link, now_ms);
		if (link->phase == LINK_OPEN)
			link_report_on_time(link, now_ms);
	}
	link_schedule(link);
}

/* --- life ------------------------------------------------------------------------------------------------ */

int link_create(struct ev_loop *loop, const struct agent_config *config, const uint8_t psk[static LIMIT_PSK_BYTES],
		struct link_identity *identity, struct spool *spool, const struct link_events *events, void *arg,
		struct link **ret_link, struct err *err)
{
	struct link *link = calloc(1, sizeof(*link));
	int result;

	if (!link)
		return err_set(err, -ENOMEM, "link: no memory");
	link->loop = loop;
	link->config = config;
	memcpy(link->psk, psk, sizeof(link->psk));
	link->identity = identity;
	link->spool = spool;
	link->events = events;
	link->arg = arg;
	link->keepalive_ms = 1000 * LIMIT_KEEPALIVE_S;
	link->report.tokens_micro = (int64_t)LIMIT_BATCHES_BURST * 1000000;
	link->report.refilled_ms = clock_mono_ms();
	wire_arena_init(&link->arena, link->arena_memory, sizeof(link->arena_memory));
	ev_timer_init(&link->timer, on_time, 0., 0.);
	link->timer.data = link;
	set_phase(link, LINK_IDLE);
	if (config->has_collector) {
		result = link_session_create(link, err);
		if (result) {
			link_destroy(link);
			return result;
		}
		set_phase(link, LINK_WAITING);
		link->retry_at_ms = link->since_ms;
	}
	link_schedule(link);
	*ret_link = link;
	return 0;
}

void link_destroy(struct link *link)
{
	if (!link)
		return;
	ev_timer_stop(link->loop, &link->timer);
	link_exchange_cancel_all(link);
	link_session_destroy(link);
	link_transfer_finish(link);
	mbedtls_platform_zeroize(link->psk, sizeof(link->psk));
	free(link);
}

void link_read_status(const struct link *link, struct link_status *ret_status)
{
	*ret_status = (struct link_status){
		.phase = link->phase,
		.since_ms = link->since_ms,
		.retry_at_ms = link->retry_at_ms,
		.sessions = link->sessions,
		.batches_sent = link->batches_sent,
		.batches_acked = link->batches_acked,
		.epoch = link->epoch,
	};
	memcpy(ret_status->last_error, link->last_error, sizeof(ret_status->last_error));
}
