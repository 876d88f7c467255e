/*
 * link_report: telemetry, from the spool to the collector's disk.
 *
 * One batch waits for its Ack at a time and begins with the oldest record that is not acknowledged
 * (proto/README.md: the collector keeps only the highest number). Urgent records do not wait for that
 * Ack: a new batch that begins at the same place and reaches further goes at once. Without an
 * Ack it goes again after LIMIT_RESEND_MS. Batches are paced below the collector's limit of requests, with
 * room for the other requests of the session, so that a full spool drains without being refused.
 *
 *   nothing new -> due (now or within a second) -> sent -> acknowledged -> due while the spool has more
 */
#include "agent/link_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define BATCH_HEAD_BYTES 96 /* boot_id, two sequence numbers, two drop counters, the time */
#define MICRO 1000000

static bool take_token(struct link_report *report, int64_t now_ms)
{
	int64_t filled = report->tokens_micro + (now_ms - report->refilled_ms) * 1000 * LIMIT_BATCHES_PER_S;

	report->refilled_ms = now_ms;
	report->tokens_micro = filled > (int64_t)LIMIT_BATCHES_BURST * MICRO ? (int64_t)LIMIT_BATCHES_BURST * MICRO : filled;
	if (report->tokens_micro < MICRO)
		return false;
	report->tokens_micro -= MICRO;
	return true;
}

/* Packs the batch after what is acknowledged. Returns its length, or -ENOENT. */
static int pack_batch(struct link *link, struct spool_run *ret_run, uint8_t *ret_bytes, size_t size)
{
	struct spool_stats stats;
	struct buf buf;
	int result;

	spool_read_stats(link->spool, &stats);
	/* Fields of a message may come in any order: records first, then the head that depends on them. */
	buf_init(&buf, (char *)ret_bytes, size - BATCH_HEAD_BYTES);
	result = spool_take_batch(link->spool, stats.acknowledged_seq, &buf, ret_run);
	if (result)
		return result;
	buf.size = size;
	wire_put_bytes(&buf, 1, link->identity->boot_id, LIMIT_BOOT_ID_BYTES);
	wire_put_u64(&buf, 2, ret_run->seq_from);
	wire_put_u64(&buf, 3, ret_run->seq_to);
	wire_put_u64(&buf, 6, stats.dropped_events);
	wire_put_u64(&buf, 7, stats.dropped_samples);
	wire_put_u64(&buf, 8, (uint64_t)clock_mono_ms());
	return buf.failed ? -EMSGSIZE : (int)buf.length;
}

static void send_batch(struct link *link, int64_t now_ms)
{
	struct link_report *report = &link->report;
	uint8_t bytes[LIMIT_BATCH_BYTES + 1]; /* buf ends with a NUL */
	struct link_request request = { .method = LINK_POST, .path = "tm", .format = WIRE_FORMAT_PROTOBUF, .body = bytes };
	struct spool_run run;
	int length = pack_batch(link, &run, bytes, sizeof(bytes));

	report->due_ms = 0;
	report->sent_seq = 0;
	if (length < 0)
		return;
	if (!take_token(report, now_ms)) {
		report->due_ms = now_ms + 1000 / LIMIT_BATCHES_PER_S + 1;
		return;
	}
	request.length = (size_t)length;
	report->serial++;
	request.token[0] = LINK_TOKEN_REPORT;
	request.token[1] = (uint8_t)(report->serial >> 16);
	request.token[2] = (uint8_t)(report->serial >> 8);
	request.token[3] = (uint8_t)report->serial;
	report->sent_seq = run.seq_to;
	if (run.seq_to > report->highest_seq)
		report->highest_seq = run.seq_to;
	report->sent_ms = now_ms;
	link->batches_sent++;
	if (link_session_send(link, &request))
		link_fail(link, "cannot send");
}

void link_kick(struct link *link, bool urgent)
{
	struct link_report *report = &link->report;
	int64_t now_ms = clock_mono_ms();
	int64_t due_ms = urgent ? now_ms : now_ms + LIMIT_KICK_MS;

	if (link->phase != LINK_OPEN || (!urgent && report->sent_seq))
		return; /* all that the spool holds goes when the session opens, or after the Ack */
	if (report->due_ms == 0 || due_ms < report->due_ms)
		report->due_ms = due_ms;
	link_schedule(link);
}

void link_report_open(struct link *link, int64_t now_ms)
{
	link->report.sent_seq = 0;
	link->report.paused_until_ms = 0;
	link->report.due_ms = now_ms;
}

void link_report_on_time(struct link *link, int64_t now_ms)
{
	struct link_report *report = &link->report;

	if (now_ms < report->paused_until_ms)
		return;
	if (report->due_ms && now_ms >= report->due_ms)
		send_batch(link, now_ms);
	else if (report->sent_seq && now_ms >= report->sent_ms + LIMIT_RESEND_MS)
		send_batch(link, now_ms);
}

int64_t link_report_deadline(const struct link *link)
{
	const struct link_report *report = &link->report;
	int64_t deadline_ms = INT64_MAX;

	if (report->sent_seq)
		deadline_ms = report->sent_ms + LIMIT_RESEND_MS;
	if (report->due_ms && report->due_ms < deadline_ms)
		deadline_ms = report->due_ms;
	if (deadline_ms != INT64_MAX && deadline_ms < report->paused_until_ms)
		deadline_ms = report->paused_until_ms;
	return deadline_ms;
}

static void pause_for(struct link_report *report, uint32_t seconds)
{
	int64_t now_ms = clock_mono_ms();

	if (seconds > LIMIT_MAX_AGE_S)
		seconds = LIMIT_MAX_AGE_S;
	report->paused_until_ms = now_ms + 1000 * (int64_t)(seconds ? seconds : 1);
	report->due_ms = report->paused_until_ms;
	report->sent_seq = 0;
}

/* A batch that is refused for what it is would be refused for ever, and hold up all that comes after it. */
static void give_up(struct link *link, int code)
{
	struct link_report *report = &link->report;

	report->n_refused = 0;
	if (!report->sent_seq)
		return;
	log_error("link", "collector refuses a batch of reports, dropped: code=%d up_to_seq=%" PRIu64, code, report->sent_seq);
	spool_acknowledge(link->spool, report->sent_seq);
}

static void on_refusal(struct link *link, const struct link_response *response)
{
	struct link_report *report = &link->report;
	bool is_busy = response->code == 429 || response->code / 100 == 5;

	if (!is_busy && ++report->n_refused >= LIMIT_REFUSALS)
		give_up(link, response->code);
	pause_for(report, is_busy ? response->max_age_s : LIMIT_REFUSED_S);
	link_schedule(link);
}

static void take_ack(struct link *link, uint64_t seq)
{
	struct link_report *report = &link->report;
	struct spool_stats stats;

	report->n_refused = 0;
	spool_acknowledge(link->spool, seq);
	if (!report->sent_seq || seq < report->sent_seq)
		return; /* of an earlier batch: the later one is still on its way */
	link->batches_acked++;
	report->sent_seq = 0;
	spool_read_stats(link->spool, &stats);
	if (stats.records > 0)
		report->due_ms = clock_mono_ms();
}

void link_report_on_response(struct link *link, const struct link_response *response)
{
	ProtobufCMessage *message;
	uint64_t seq;

	if (response->code != 204) {
		on_refusal(link, response);
		return;
	}
	wire_arena_reset(&link->arena);
	if (wire_unpack(&link->arena, &jaga__v1__ack__descriptor, response->body, response->length, &message)) {
		link_fail(link, "malformed Ack");
		return;
	}
	seq = ((Jaga__V1__Ack *)message)->seq;
	if (seq <= link->report.highest_seq) /* else nonsense: only what was sent can be acknowledged */
		take_ack(link, seq);
	link_schedule(link);
}
