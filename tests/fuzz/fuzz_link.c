/*
 * Fuzzes what a hostile collector can make the agent's link do: any sequence of answers (codes, block options, ETags,
 * bodies) to hello, a job, a job's state, a snapshot and telemetry, and wakes. The DTLS session is replaced by
 * functions that take everything that is sent; all the rest is the product.
 *
 * Input: records of kind, code, block2 option (2 bytes), flags, length; then that many bytes of body.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/link_internal.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t last_tokens[LINK_EXCHANGES + 1][LINK_TOKEN_BYTES];

int link_session_create(struct link *link, struct err *err)
{
	(void)link;
	(void)err;
	return 0;
}
void link_session_destroy(struct link *link) { (void)link; }
void link_session_close(struct link *link) { (void)link; }
bool link_session_is_established(const struct link *link) { return link != NULL; }
int link_session_open(struct link *link, struct err *err)
{
	(void)link;
	(void)err;
	return 0;
}
void link_session_set_rtt(struct link *link) { (void)link; }
int link_session_ping(struct link *link)
{
	link_expect(link);
	return 0;
}
int link_session_send(struct link *link, const struct link_request *request)
{
	if (request->token[0] > LINK_EXCHANGES || request->length > 1024)
		abort();
	memcpy(last_tokens[request->token[0]], request->token, LINK_TOKEN_BYTES);
	link_expect(link);
	return 0;
}

static void on_open(void *arg, int64_t wall_ms)
{
	struct link *link = *(struct link **)arg;
	static const char text[] = "config interface\n";

	if (wall_ms < 0 || wall_ms >= LIMIT_WALL_MS)
		abort(); /* times are reckoned with it */
	(void)link_ask_job(link, 0); /* an earlier one may be under way */
	(void)link_offer_snapshot(link, text, sizeof(text) - 1);
	(void)link_confirm_job(link, "J1");
	(void)link_send_job_state(link, &(struct link_job_state){ .job_id = "J1", .output = text, .output_length = sizeof(text) });
}
static void on_closed(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
}
static void on_wake(void *arg, uint64_t job_seq, bool take_snapshot, int64_t wall_ms)
{
	(void)job_seq;
	(void)take_snapshot;
	on_open(arg, wall_ms);
}
static void on_job(void *arg, const struct link_job *job)
{
	volatile uint8_t sum = 0;

	(void)arg;
	if (!job)
		return;
	for (size_t i = 0; i < job->script_length; i++)
		sum ^= ((const uint8_t *)job->script)[i];
	if (strlen(job->job_id) > LIMIT_JOB_BYTES * 2 || strlen(job->interpreter) > LIMIT_JOB_BYTES * 2)
		abort();
}
static void on_job_state_acked(void *arg, uint64_t seq, int phase)
{
	(void)arg;
	(void)seq;
	(void)phase;
}
static void on_job_confirmed(void *arg, const char *refusal)
{
	(void)arg;
	if (refusal && strlen(refusal) >= LIMIT_JOB_REASON)
		abort();
}
static void on_snapshot_done(void *arg, int result, bool transferred)
{
	(void)arg;
	(void)transferred;
	if (result > 0)
		abort();
}
static void on_run_doctor(void *arg, uint64_t run)
{
	struct link *link = *(struct link **)arg;
	uint8_t *report = run % 2 ? malloc(2000) : NULL;

	if (!report)
		return;
	memset(report, (int)run, 2000);
	if (link_send_doctor_report(link, report, 2000) < 0)
		free(report);
}
static int read_uplink_state(void *arg, unsigned uplink)
{
	(void)arg;
	return (int)uplink;
}

static void feed(struct link *link, const uint8_t *head, const uint8_t *body, size_t length)
{
	struct link_response response = {
		.code = head[1] / 32 * 100 + head[1] % 32,
		.body = body,
		.length = length,
		.has_block2 = head[4] & 1,
		.etag = head[4] >> 6,
		.max_age_s = head[4] >> 4 & 3,
		.format = head[4] & 2 ? WIRE_FORMAT_PROTOBUF_ZLIB : WIRE_FORMAT_PROTOBUF,
	};

	if (head[0] % 8 > LINK_EXCHANGES) {
		(void)link_on_wake(link, body, length); /* malformed ones are part of the game */
		return;
	}
	if (response.has_block2 && block_decode(head + 2, 2, &response.block2))
		return;
	memcpy(response.token, last_tokens[head[0] % 8], LINK_TOKEN_BYTES);
	link_heard(link);
	link_on_response(link, &response);
	ev_run(link->loop, EVRUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct link_events events = { on_open,	      on_closed,	on_wake,	  on_job,
						   on_job_state_acked, on_job_confirmed, on_snapshot_done,
						   read_uplink_state, on_run_doctor };
	static const uint8_t boot_id[LIMIT_BOOT_ID_BYTES], psk[LIMIT_PSK_BYTES];
	static struct agent_config config = { .identity = "dev1", .has_collector = true };
	struct link_identity identity = { boot_id, "h", "m", "s", "linux", true, 0 };
	struct ev_loop *loop = ev_loop_new(0);
	struct spool *spool = NULL;
	struct link *link = NULL;
	struct err err;

	log_init(LOG_LEVEL_ERROR, false);
	if (spool_create(4096, &spool) || spool_add(spool, SPOOL_EVENT, "\x08\x01", 2) ||
	    link_create(loop, &config, psk, &identity, spool, &events, &link, &link, &err))
		abort();
	for (int i = 0; i < 4; i++)
		ev_run(loop, EVRUN_NOWAIT); /* waiting, connecting, greeting */
	while (size >= 6) {
		size_t length = data[5] < size - 6 ? data[5] : size - 6;

		feed(link, data, data + 6, length);
		data += 6 + length;
		size -= 6 + length;
	}
	link_destroy(link);
	spool_destroy(spool);
	ev_loop_destroy(loop);
	return 0;
}
