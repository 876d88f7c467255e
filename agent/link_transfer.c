/*
 * link_transfer: jobs down, their states up, snapshots up.
 *
 *   job       GET /job?after=N            -> on_job (NULL: none); deflated when the collector can
 *   state     PUT /job/ID/state           -> on_job_state_acked
 *   confirm   POST /job/ID/confirm        -> on_job_confirmed
 *   doctor    PUT /doctor                 -> 2.04, or nobody waits for it any more
 *   snapshot  PUT /snap/HASH, no body     -> 2.03 the collector has it
 *                                         -> 4.04 PUT /snap/HASH, deflated block by block -> 2.04
 *
 * A snapshot is deflated while it is sent: beside the copy of its text this takes zlib's 32 KB (window
 * of 4 KB, level 9) and one block. Everything that is allocated here goes with the transfer.
 */
#include "agent/link_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <zlib.h>

#include "agent/inflate.h"
#include "common/log.h"

#define DEFLATE_LEVEL 9
#define DEFLATE_MEMORY_LEVEL 5
#define JOB_ANSWER_BYTES (LIMIT_JOB_BYTES + LIMIT_ANSWER_BYTES) /* a SignedJob, however it travels */
#define STATE_HEAD_BYTES 512 /* fields of JobState beside output and reason */

struct snapshot_upload {
	char path[LINK_PATH_BYTES];
	z_stream stream;
	bool is_deflating;
	size_t length;
	char text[];
};

/* --- jobs ------------------------------------------------------------------------------------ */

static void deliver_job(struct link *link, const uint8_t *body, size_t length, struct wire_arena *arena)
{
	ProtobufCMessage *message;
	const Jaga__V1__SignedJob *envelope;
	const Jaga__V1__Job *job;

	if (wire_unpack(arena, &jaga__v1__signed_job__descriptor, body, length, &message))
		goto malformed;
	envelope = (const Jaga__V1__SignedJob *)message;
	if (wire_unpack(arena, &jaga__v1__job__descriptor, envelope->body.data, envelope->body.len, &message))
		goto malformed;
	job = (const Jaga__V1__Job *)message;
	link->events->on_job(link->arg, &(struct link_job){
						.job_id = job->job_id,
						.seq = job->seq,
						.not_after_ms = job->not_after_ms,
						.script = job->script.data,
						.script_length = job->script.len,
						.rollback = job->rollback.data,
						.rollback_length = job->rollback.len,
						.interpreter = job->interpreter,
						.confirm_s = job->confirm_s,
						.is_signed = envelope->signature.len > 0,
					});
	return;
malformed:
	link_fail(link, "malformed job");
}

static void take_job(struct link *link, const uint8_t *body, size_t length)
{
	size_t size = 2 * length + sizeof(link->arena_memory); /* the body is copied out twice, then pointers */
	void *memory = malloc(size);
	struct wire_arena arena;

	if (!memory) {
		link_fail(link, "no memory for a job");
		return;
	}
	wire_arena_init(&arena, memory, size);
	deliver_job(link, body, length, &arena);
	mbedtls_platform_zeroize(memory, size); /* scripts may hold passwords */
	free(memory);
}

static void on_job_answer(struct link *link, const struct link_response *response)
{
	uint8_t *inflated;
	size_t length;
	int r;

	if (response->code == 404) {
		link->events->on_job(link->arg, NULL);
		return;
	}
	if (response->code != 205) {
		link_fail(link, "job refused");
		return;
	}
	if (response->format != WIRE_FORMAT_PROTOBUF_ZLIB) {
		take_job(link, response->body, response->length);
		return;
	}
	r = inflate_bytes(response->body, response->length, JOB_ANSWER_BYTES, &inflated, &length);
	if (r < 0) {
		link_fail(link, r == -ENOMEM ? "no memory for a job" : "malformed job");
		return;
	}
	take_job(link, inflated, length);
	mbedtls_platform_zeroize(inflated, length);
	free(inflated);
}

int link_ask_job(struct link *link, uint64_t after_seq)
{
	struct link_exchange *exchange;

	if (link->phase != LINK_OPEN)
		return -ENOTCONN;
	exchange = link_exchange_prepare(link, LINK_TOKEN_JOB);
	if (!exchange)
		return -EBUSY;
	exchange->method = LINK_GET;
	exchange->done = on_job_answer;
	exchange->accept = inflate_is_there() ? WIRE_FORMAT_PROTOBUF_ZLIB : 0;
	exchange->answer.cap_bytes = JOB_ANSWER_BYTES;
	snprintf(exchange->path, sizeof(exchange->path), "job");
	snprintf(exchange->query, sizeof(exchange->query), "after=%" PRIu64, after_seq);
	link_exchange_start(link, LINK_TOKEN_JOB);
	return 0;
}

/* --- states of jobs ---------------------------------------------------------------------------- */

static void on_state_answer(struct link *link, const struct link_response *response)
{
	free(link->state_body);
	link->state_body = NULL;
	if (response->code / 100 != 2 && response->code / 100 != 4) {
		link_fail(link, "job state not taken");
		return;
	}
	if (response->code / 100 == 4) /* sending it again would be refused again, for ever */
		log_warning("link", "collector refuses the state of job seq=%" PRIu64 ", dropped: code=%d text=\"%.*s\"",
			    link->state_seq, response->code, (int)response->length, (const char *)response->body);
	link->events->on_job_state_acked(link->arg, link->state_seq, link->state_phase);
}

/* Packs the message into link->state_body. Returns its length or -ENOMEM. */
static int pack_state(struct link *link, const struct link_job_state *state)
{
	Jaga__V1__JobState message = JAGA__V1__JOB_STATE__INIT;
	size_t output_length = state->output_length < LIMIT_OUTPUT_BYTES ? state->output_length : LIMIT_OUTPUT_BYTES;
	size_t size = STATE_HEAD_BYTES + output_length + (state->reason ? strlen(state->reason) : 0);
	struct buf buf;
	void *output;

	link->state_body = malloc(size);
	if (!link->state_body)
		return -ENOMEM;
	memcpy(&output, &state->output, sizeof(output)); /* protobuf-c has no const; packing only reads */
	message.seq = state->seq;
	message.phase = (Jaga__V1__JobPhase)state->phase;
	message.exit_status = state->exit_status;
	message.output.data = output;
	message.output.len = output_length;
	message.output_truncated = state->output_truncated || output_length < state->output_length;
	message.attempt = state->attempt;
	message.reason = state->reason ? (char *)(uintptr_t)state->reason : (char *)(uintptr_t)"";
	message.duration_ms = state->duration_ms;
	buf_init(&buf, (char *)link->state_body, size);
	if (wire_pack(&message.base, &buf) == 0)
		return (int)buf.length;
	free(link->state_body);
	link->state_body = NULL;
	return -EMSGSIZE;
}

int link_send_job_state(struct link *link, const struct link_job_state *state)
{
	struct link_exchange *exchange;
	int length;

	if (link->phase != LINK_OPEN)
		return -ENOTCONN;
	if (!parse_is_name(state->job_id))
		return -EINVAL;
	exchange = link_exchange_prepare(link, LINK_TOKEN_JOB_STATE);
	if (!exchange)
		return -EBUSY;
	length = pack_state(link, state);
	if (length < 0)
		return length;
	link->state_seq = state->seq;
	link->state_phase = state->phase;
	exchange->method = LINK_PUT;
	exchange->format = WIRE_FORMAT_PROTOBUF;
	exchange->done = on_state_answer;
	exchange->fill = link_fill_memory;
	exchange->memory = link->state_body;
	exchange->memory_length = (size_t)length;
	snprintf(exchange->path, sizeof(exchange->path), "job/%s/state", state->job_id);
	link_exchange_start(link, LINK_TOKEN_JOB_STATE);
	return 0;
}

/* --- confirmation -------------------------------------------------------------------------------- */

static void on_confirm_answer(struct link *link, const struct link_response *response)
{
	char text[LIMIT_JOB_REASON];

	if (response->code == 204) { /* ConfirmAck: the session vouches for who says so */
		link->events->on_job_confirmed(link->arg, NULL);
	} else if (response->code / 100 == 4) {
		snprintf(text, sizeof(text), "%.*s", (int)response->length, (const char *)response->body);
		link->events->on_job_confirmed(link->arg, text);
	} else {
		link_fail(link, "confirmation not taken");
	}
}

int link_confirm_job(struct link *link, const char *job_id)
{
	struct link_exchange *exchange;

	if (link->phase != LINK_OPEN)
		return -ENOTCONN;
	if (!parse_is_name(job_id))
		return -EINVAL;
	exchange = link_exchange_prepare(link, LINK_TOKEN_CONFIRM);
	if (!exchange)
		return -EBUSY;
	exchange->done = on_confirm_answer;
	snprintf(exchange->path, sizeof(exchange->path), "job/%s/confirm", job_id);
	link_exchange_start(link, LINK_TOKEN_CONFIRM);
	return 0;
}

/* --- the doctor's report ------------------------------------------------------------------------- */

static void on_doctor_answer(struct link *link, const struct link_response *response)
{
	free(link->doctor_body);
	link->doctor_body = NULL;
	if (response->code != 204)
		log_info("link", "collector has no use for the doctor's report: code=%d", response->code);
}

int link_send_doctor_report(struct link *link, uint8_t *report, size_t length)
{
	struct link_exchange *exchange;

	if (link->phase != LINK_OPEN)
		return -ENOTCONN;
	exchange = link_exchange_prepare(link, LINK_TOKEN_DOCTOR);
	if (!exchange)
		return -EBUSY;
	link->doctor_body = report;
	exchange->method = LINK_PUT;
	exchange->format = WIRE_FORMAT_PROTOBUF;
	exchange->done = on_doctor_answer;
	exchange->fill = link_fill_memory;
	exchange->memory = report;
	exchange->memory_length = length;
	snprintf(exchange->path, sizeof(exchange->path), "doctor");
	link_exchange_start(link, LINK_TOKEN_DOCTOR);
	return 0;
}

/* --- snapshots ----------------------------------------------------------------------------------- */

static void free_upload(struct link *link)
{
	struct snapshot_upload *upload = link->upload;

	link->upload = NULL;
	if (upload && upload->is_deflating)
		(void)deflateEnd(&upload->stream); /* complains of data that was not sent: that is why we are here */
	if (upload)
		munmap(upload, sizeof(*upload) + upload->length);
}

static void finish_snapshot(struct link *link, int result, bool transferred)
{
	free_upload(link);
	link->events->on_snapshot_done(link->arg, result, transferred);
}

static int fill_deflated(struct link *link, struct link_exchange *exchange, uint32_t num, uint8_t *ret_block,
			 size_t *ret_length, bool *ret_more)
{
	struct snapshot_upload *upload = link->upload;
	z_stream *stream = &upload->stream;

	if (num == 0) { /* also after a refusal: from the beginning */
		if (upload->is_deflating)
			(void)deflateEnd(stream);
		*stream = (z_stream){ 0 };
		upload->is_deflating = deflateInit2(stream, DEFLATE_LEVEL, Z_DEFLATED, LIMIT_ZLIB_WINDOW_BITS,
						    DEFLATE_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
		if (!upload->is_deflating)
			return -ENOMEM;
		stream->next_in = (Bytef *)upload->text;
		stream->avail_in = (uInt)upload->length;
	}
	stream->next_out = ret_block;
	stream->avail_out = sizeof(exchange->block);
	*ret_more = deflate(stream, Z_FINISH) != Z_STREAM_END;
	*ret_length = sizeof(exchange->block) - stream->avail_out;
	return 0;
}

static void on_upload_answer(struct link *link, const struct link_response *response)
{
	if (response->code == 204) {
		finish_snapshot(link, 0, true);
		return;
	}
	log_warning("link", "collector refuses a snapshot: code=%d text=\"%.*s\"", response->code,
		    (int)response->length, (const char *)response->body);
	finish_snapshot(link, response->code == 413 ? -EMSGSIZE : -EBADMSG, false);
}

static void start_snapshot(struct link *link, link_fill fill, int format, link_done done)
{
	struct link_exchange *exchange = link_exchange_prepare(link, LINK_TOKEN_SNAPSHOT);

	exchange->method = LINK_PUT;
	exchange->format = format;
	exchange->fill = fill;
	exchange->done = done;
	memcpy(exchange->path, link->upload->path, sizeof(exchange->path));
	link_exchange_start(link, LINK_TOKEN_SNAPSHOT);
}

static void on_ask_answer(struct link *link, const struct link_response *response)
{
	if (response->code == 203)
		finish_snapshot(link, 0, false);
	else if (response->code == 404)
		start_snapshot(link, fill_deflated, WIRE_FORMAT_SNAPSHOT, on_upload_answer);
	else
		finish_snapshot(link, -EBADMSG, false);
}

int link_offer_snapshot(struct link *link, const char *text, size_t length)
{
	struct snapshot_upload *upload;
	uint8_t hash[32];
	struct buf path;

	if (link->phase != LINK_OPEN)
		return -ENOTCONN;
	if (length > LIMIT_BODY_BYTES)
		return -EMSGSIZE;
	if (link->upload)
		return -EBUSY;
	/* Mapped: the heap would keep what the largest one took. */
	upload = mmap(NULL, sizeof(*upload) + length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (upload == MAP_FAILED)
		return -ENOMEM;
	link->upload = upload;
	upload->length = length;
	memcpy(upload->text, text, length);
	/* SHA-256 in software cannot fail with these arguments. */
	(void)mbedtls_sha256((const unsigned char *)text, length, hash, 0);
	buf_init(&path, upload->path, sizeof(upload->path));
	buf_puts(&path, "snap/");
	buf_put_hex(&path, hash, sizeof(hash));
	start_snapshot(link, NULL, LINK_NO_FORMAT, on_ask_answer);
	return 0;
}

void link_transfer_abandon(struct link *link)
{
	free(link->state_body);
	free(link->doctor_body);
	link->state_body = link->doctor_body = NULL;
	if (link->upload)
		finish_snapshot(link, -ENOTCONN, false);
}

void link_transfer_finish(struct link *link)
{
	free(link->state_body);
	free(link->doctor_body);
	link->state_body = link->doctor_body = NULL;
	free_upload(link);
}
