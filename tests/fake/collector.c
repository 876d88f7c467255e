/*
 * collector: the collector's real CoAP server (collector/coap.h) with a handler that can be steered, for
 * tests of the agent's link and for measuring the transport alone.
 *
 *   collector PORT [KEEPALIVE_S] [EPOCH]     on 127.0.0.1; every identity "dev..." has the key 42 42 .. 42
 *
 * Prints a line per event ("hello dev1 127.0.0.1:40123", "batch 1 10", ...), reads commands from standard
 * input, a line each:
 *   wake SEQ SNAPSHOT     mute 0|1 (keep Acks back)   job SEQ BYTES (the next GET /job; 0: none)   zip KIND (enum zip)   lose N (the Nth answer from now)
 *   refuse 0|400|401 (batches)   liar 0|1 (Acks for what was never sent)
 *   busy SECONDS|0        have 0|1 (snapshots known)  garble 0|1 (answers are not protobuf)
 *   quiet 1               (no lines for batches)      counters   quit      unconfirmed 0|1 (refuse confirmations)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>
#include <zlib.h>

#include "collector/coap.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/wire.h"

#define TICKETS 4096

struct fake {
	struct ev_loop *loop;
	struct coap_server *server;
	uint32_t keepalive_s;
	uint64_t epoch;
	bool is_muted, is_quiet, has_snapshots, is_garbled, lies, refuses_confirmations;
	unsigned busy_s, refusal;
	uint64_t job_seq;
	size_t job_bytes;
	unsigned lose_in; /* the answer after so many less one is not sent; 0: none */
	enum zip { ZIP_NO, ZIP_WELL, ZIP_BOMB, ZIP_CUT, ZIP_WIDE } zip;
	char device[LIMIT_NAME]; /* that said hello last */
	char line[256];
	size_t line_length;
	struct coap_ticket tickets[TICKETS]; /* Acks that leave at the end of the loop's turn, as after a commit */
	uint64_t seqs[TICKETS];
	unsigned n_tickets;
	ev_prepare prepare;
	uint8_t arena_memory[256 * 1024];
	struct wire_arena arena;
};

static int find_key(void *arg, const char *identity, uint8_t ret_key[static LIMIT_PSK_BYTES])
{
	(void)arg;
	if (strncmp(identity, "dev", 3) != 0)
		return -ENOENT;
	memset(ret_key, 0x42, LIMIT_PSK_BYTES);
	return 0;
}

static void on_online(void *arg, const char *device, const char *peer)
{
	const struct fake *fake = arg;

	if (!fake->is_quiet)
		printf("online %s %s\n", device, peer);
}

static void on_offline(void *arg, const char *device, const char *reason)
{
	const struct fake *fake = arg;

	if (!fake->is_quiet)
		printf("offline %s %s\n", device, reason);
}

static void reply(struct fake *fake, const struct coap_ticket *ticket, enum coap_code code, const ProtobufCMessage *body)
{
	static char bytes[512 * 1024];
	struct buf buf;

	if (fake->lose_in > 0 && --fake->lose_in == 0)
		return;
	buf_init(&buf, bytes, sizeof(bytes));
	if (body && wire_pack(body, &buf))
		abort();
	if (fake->is_garbled)
		buf_puts(&buf, "\xff\xff\xff\xff");
	coap_server_reply(fake->server, ticket,
			  &(struct coap_answer){ .code = code, .body = bytes, .length = buf.length });
}

static void take_hello(struct fake *fake, const struct coap_incoming *incoming)
{
	Jaga__V1__HelloAck ack = JAGA__V1__HELLO_ACK__INIT;
	ProtobufCMessage *message;

	if (wire_unpack(&fake->arena, &jaga__v1__hello__descriptor, incoming->body, incoming->length, &message)) {
		reply(fake, &incoming->ticket, COAP_BAD_REQUEST, NULL);
		return;
	}
	snprintf(fake->device, sizeof(fake->device), "%s", incoming->device);
	if (!fake->is_quiet)
		printf("hello %s %s rtt_ms=%" PRIu32 " uplinks=%zu\n", incoming->device, incoming->peer,
		       ((Jaga__V1__Hello *)message)->rtt_ms, ((Jaga__V1__Hello *)message)->n_uplinks);
	ack.time_ms = clock_wall_ms();
	ack.keepalive_s = fake->keepalive_s;
	ack.epoch = fake->epoch;
	reply(fake, &incoming->ticket, COAP_CHANGED, &ack.base);
}

static void take_batch(struct fake *fake, const struct coap_incoming *incoming)
{
	ProtobufCMessage *message;
	const Jaga__V1__TelemetryBatch *batch;

	if (wire_unpack(&fake->arena, &jaga__v1__telemetry_batch__descriptor, incoming->body, incoming->length, &message)) {
		reply(fake, &incoming->ticket, COAP_BAD_REQUEST, NULL);
		return;
	}
	batch = (const Jaga__V1__TelemetryBatch *)message;
	if (!fake->is_quiet)
		printf("batch %" PRIu64 " %" PRIu64 " events=%zu\n", batch->seq_from, batch->seq_to, batch->n_events);
	if (fake->refusal) {
		reply(fake, &incoming->ticket, (enum coap_code)fake->refusal, NULL);
		return;
	}
	if (fake->is_muted || fake->n_tickets == TICKETS)
		return;
	fake->tickets[fake->n_tickets] = incoming->ticket;
	fake->seqs[fake->n_tickets++] = batch->seq_to + (fake->lies ? 1 : 0);
}

static void send_acks(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
	struct fake *fake = prepare->data;

	(void)loop;
	(void)revents;
	for (unsigned i = 0; i < fake->n_tickets; i++) {
		Jaga__V1__Ack ack = JAGA__V1__ACK__INIT;

		ack.seq = fake->seqs[i];
		reply(fake, &fake->tickets[i], COAP_CHANGED, &ack.base);
	}
	fake->n_tickets = 0;
}

static void take_snapshot(struct fake *fake, const struct coap_incoming *incoming)
{
	static uint8_t text[LIMIT_BODY_BYTES];
	uLongf length = sizeof(text);

	if (incoming->length == 0) {
		printf("snapshot asked\n");
		reply(fake, &incoming->ticket, fake->has_snapshots ? COAP_VALID : COAP_NOT_FOUND, NULL);
		return;
	}
	if (uncompress(text, &length, incoming->body, incoming->length) != Z_OK) {
		reply(fake, &incoming->ticket, COAP_BAD_REQUEST, NULL);
		return;
	}
	printf("snapshot %zu %lu crc=%08lx\n", incoming->length, length, crc32(0, text, (uInt)length));
	reply(fake, &incoming->ticket, COAP_CHANGED, NULL);
}

/* A SignedJob deflated; also in ways that an agent must not take (enum zip). */
static void reply_zipped(struct fake *fake, const struct coap_ticket *ticket, const Jaga__V1__SignedJob *envelope)
{
	static uint8_t plain[2 * LIMIT_BODY_BYTES], zipped[LIMIT_BODY_BYTES];
	z_stream stream = { .next_in = plain, .next_out = zipped, .avail_out = sizeof(zipped) };
	struct buf buf;

	memset(plain, 0, sizeof(plain));
	buf_init(&buf, (char *)plain, sizeof(plain));
	if (wire_pack(&envelope->base, &buf) ||
	    deflateInit2(&stream, 6, Z_DEFLATED, fake->zip == ZIP_WIDE ? 15 : LIMIT_ZLIB_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	stream.avail_in = fake->zip == ZIP_BOMB ? (uInt)sizeof(plain) : (uInt)buf.length;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
		abort();
	(void)deflateEnd(&stream); /* it has ended well */
	if (fake->zip == ZIP_CUT)
		stream.total_out--;
	coap_server_reply(fake->server, ticket, &(struct coap_answer){ .code = COAP_CONTENT, .body = zipped,
								       .length = stream.total_out, .is_zlib = true });
}

static void give_job(struct fake *fake, const struct coap_incoming *incoming)
{
	static uint8_t script[LIMIT_JOB_BYTES], body[LIMIT_JOB_BYTES + 1024];
	char job_id[] = "J1", interpreter[] = "sh";
	Jaga__V1__SignedJob envelope = JAGA__V1__SIGNED_JOB__INIT;
	Jaga__V1__Job job = JAGA__V1__JOB__INIT;
	struct buf buf;

	if (incoming->ticket.block2_num == 0)
		printf("job-asked %" PRIu64 "\n", incoming->after_seq);
	if (incoming->after_seq >= fake->job_seq || fake->job_bytes == 0) {
		reply(fake, &incoming->ticket, COAP_NOT_FOUND, NULL);
		return;
	}
	for (size_t i = 0; i < fake->job_bytes; i++)
		script[i] = (uint8_t)(i * 7);
	job.job_id = job_id;
	job.interpreter = interpreter;
	job.seq = fake->job_seq;
	job.script.data = script;
	job.script.len = fake->job_bytes;
	buf_init(&buf, (char *)body, sizeof(body));
	if (wire_pack(&job.base, &buf))
		abort();
	envelope.body.data = body;
	envelope.body.len = buf.length;
	if (fake->zip != ZIP_NO && incoming->accepts_zlib)
		reply_zipped(fake, &incoming->ticket, &envelope);
	else
		reply(fake, &incoming->ticket, COAP_CONTENT, &envelope.base);
}

static void take_job_state(struct fake *fake, const struct coap_incoming *incoming)
{
	ProtobufCMessage *message;
	const Jaga__V1__JobState *state;
	Jaga__V1__Ack ack = JAGA__V1__ACK__INIT;

	if (wire_unpack(&fake->arena, &jaga__v1__job_state__descriptor, incoming->body, incoming->length, &message)) {
		reply(fake, &incoming->ticket, COAP_BAD_REQUEST, NULL);
		return;
	}
	state = (const Jaga__V1__JobState *)message;
	printf("state %s seq=%" PRIu64 " phase=%d exit=%d output=%zu truncated=%d\n", incoming->job_id, state->seq,
	       (int)state->phase, state->exit_status, state->output.len, state->output_truncated);
	ack.seq = state->seq;
	reply(fake, &incoming->ticket, COAP_CHANGED, &ack.base);
}

static void take_confirmation(struct fake *fake, const struct coap_incoming *incoming)
{
	Jaga__V1__ConfirmAck ack = JAGA__V1__CONFIRM_ACK__INIT;

	printf("confirm %s\n", incoming->job_id);
	ack.epoch = fake->epoch;
	if (fake->refuses_confirmations)
		coap_server_reply(fake->server, &incoming->ticket,
				  &(struct coap_answer){ .code = COAP_CONFLICT, .body = "too old", .length = 7 });
	else
		reply(fake, &incoming->ticket, COAP_CHANGED, &ack.base);
}

static void take_doctor(struct fake *fake, const struct coap_incoming *incoming)
{
	ProtobufCMessage *message;
	const Jaga__V1__DoctorReport *report;

	if (wire_unpack(&fake->arena, &jaga__v1__doctor_report__descriptor, incoming->body, incoming->length, &message))
		abort();
	report = (const Jaga__V1__DoctorReport *)message;
	printf("doctor run=%" PRIu64 " bytes=%zu traps=%zu error=%s\n", report->run, incoming->length, report->n_traps, report->error);
	coap_server_reply(fake->server, &incoming->ticket, &(struct coap_answer){ .code = COAP_CHANGED });
}

static void on_request(void *arg, const struct coap_incoming *incoming)
{
	struct fake *fake = arg;

	wire_arena_reset(&fake->arena);
	if (fake->busy_s) {
		coap_server_reply(fake->server, &incoming->ticket,
				  &(struct coap_answer){ .code = COAP_UNAVAILABLE, .max_age_s = fake->busy_s });
		return;
	}
	switch (incoming->path) {
	case COAP_PATH_HELLO:
		take_hello(fake, incoming);
		break;
	case COAP_PATH_TELEMETRY:
		take_batch(fake, incoming);
		break;
	case COAP_PATH_SNAPSHOT:
		take_snapshot(fake, incoming);
		break;
	case COAP_PATH_JOB:
		give_job(fake, incoming);
		break;
	case COAP_PATH_JOB_STATE:
		take_job_state(fake, incoming);
		break;
	case COAP_PATH_JOB_CONFIRM:
		take_confirmation(fake, incoming);
		break;
	case COAP_PATH_DOCTOR:
		take_doctor(fake, incoming);
		break;
	}
}

static void wake(struct fake *fake, uint64_t seq, bool take)
{
	Jaga__V1__Wake message = JAGA__V1__WAKE__INIT;
	char bytes[64];
	struct buf buf;

	message.job_seq = seq;
	message.take_snapshot = take;
	message.time_ms = 1790000000000;
	buf_init(&buf, bytes, sizeof(bytes));
	if (wire_pack(&message.base, &buf))
		abort();
	printf("woken %d\n", coap_server_wake(fake->server, fake->device, 0, bytes, buf.length));
}

static void wake_for_doctor(struct fake *fake, uint64_t run)
{
	char bytes[16];
	struct buf buf;

	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_u64(&buf, 4, run);
	printf("woken %d\n", coap_server_wake(fake->server, fake->device, 0, bytes, buf.length));
}

static void print_counters(const struct fake *fake)
{
	struct coap_counters counters;

	coap_server_read_counters(fake->server, &counters);
	printf("counters opened=%" PRIu64 " open=%" PRIu64 " refused=%" PRIu64 " limited=%" PRIu64 " strays=%" PRIu64
	       " requests=%" PRIu64 " bad=%" PRIu64 " rate=%" PRIu64 " dropped=%" PRIu64 "\n",
	       counters.sessions_opened, counters.sessions_open, counters.handshakes_refused, counters.handshakes_limited,
	       counters.strays, counters.requests, counters.requests_refused, counters.rate_limited, counters.replies_dropped);
}

static void obey(struct fake *fake, const char *line)
{
	unsigned long a = 0, b = 0;
	char word[16] = "";

	if (sscanf(line, "%15s %lu %lu", word, &a, &b) < 1)
		return;
	if (strcmp(word, "wake") == 0)
		wake(fake, a, b != 0);
	else if (strcmp(word, "doctor") == 0)
		wake_for_doctor(fake, a);
	else if (strcmp(word, "mute") == 0)
		fake->is_muted = a != 0;
	else if (strcmp(word, "quiet") == 0)
		fake->is_quiet = a != 0;
	else if (strcmp(word, "garble") == 0)
		fake->is_garbled = a != 0;
	else if (strcmp(word, "refuse") == 0)
		fake->refusal = (unsigned)a;
	else if (strcmp(word, "liar") == 0)
		fake->lies = a != 0;
	else if (strcmp(word, "unconfirmed") == 0)
		fake->refuses_confirmations = a != 0;
	else if (strcmp(word, "have") == 0)
		fake->has_snapshots = a != 0;
	else if (strcmp(word, "busy") == 0)
		fake->busy_s = (unsigned)a;
	else if (strcmp(word, "silence") == 0)
		coap_server_set_silence(fake->server, (int64_t)a);
	else if (strcmp(word, "counters") == 0)
		print_counters(fake);
	else if (strcmp(word, "job") == 0) {
		fake->job_seq = a;
		fake->job_bytes = b < LIMIT_JOB_BYTES ? b : LIMIT_JOB_BYTES;
	} else if (strcmp(word, "lose") == 0)
		fake->lose_in = (unsigned)a;
	else if (strcmp(word, "zip") == 0)
		fake->zip = (enum zip)a;
	else if (strcmp(word, "quit") == 0)
		ev_break(fake->loop, EVBREAK_ALL);
	else
		printf("what? %s\n", word);
}

static void on_input(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct fake *fake = watcher->data;
	ssize_t n = read(watcher->fd, fake->line + fake->line_length, sizeof(fake->line) - 1 - fake->line_length);
	char *end;

	(void)revents;
	if (n <= 0) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	fake->line_length += (size_t)n;
	fake->line[fake->line_length] = '\0';
	while ((end = strchr(fake->line, '\n'))) {
		*end = '\0';
		obey(fake, fake->line);
		fake->line_length -= (size_t)(end + 1 - fake->line);
		memmove(fake->line, end + 1, fake->line_length + 1);
	}
}

int main(int argc, char **argv)
{
	static struct fake fake;
	static const struct coap_events events = { find_key, on_online, on_offline, on_request };
	struct parse_address address;
	struct err err = { "" };
	ev_io input;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_init(getenv("DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, false);
	if (argc < 2 || parse_address("127.0.0.1", (uint16_t)atoi(argv[1]), &address)) {
		fprintf(stderr, "usage: collector PORT [KEEPALIVE_S] [EPOCH]\n");
		return 2;
	}
	fake.keepalive_s = argc > 2 ? (uint32_t)atoi(argv[2]) : 25;
	fake.epoch = argc > 3 ? (uint64_t)atoi(argv[3]) : 1;
	fake.loop = ev_default_loop(0);
	wire_arena_init(&fake.arena, fake.arena_memory, sizeof(fake.arena_memory));
	if (coap_server_create(fake.loop, &address, &events, &fake, &fake.server, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	ev_prepare_init(&fake.prepare, send_acks);
	fake.prepare.data = &fake;
	ev_prepare_start(fake.loop, &fake.prepare);
	ev_io_init(&input, on_input, STDIN_FILENO, EV_READ);
	input.data = &fake;
	ev_io_start(fake.loop, &input);
	printf("ready\n");
	ev_run(fake.loop, 0);
	coap_server_destroy(fake.server);
	ev_loop_destroy(fake.loop);
	return 0;
}
