/*
 * link_internal: what the files of the link share; nobody else includes it.
 *
 *   link.c           states, time-outs, liveness, hello        (decides)
 *   link_exchange.c  one confirmable request, block-wise        |
 *   link_report.c    telemetry from the spool                    > (say what to send)
 *   link_transfer.c  jobs, their states, snapshots              |
 *   link_session.c   libcoap and DTLS                          (sends; the only one with coap3/)
 *
 * Callbacks of libcoap never close a session: link_fail() marks the link, and the timer of link.c,
 * which runs outside libcoap, closes it.
 */
#ifndef JAGA_AGENT_LINK_INTERNAL_H
#define JAGA_AGENT_LINK_INTERNAL_H

#include <ev.h>

#include "agent/link.h"
#include "common/block.h"
#include "common/buf.h"
#include "common/wire.h"

#define LINK_TOKEN_BYTES 4
#define LINK_PATH_BYTES 80 /* "snap/" and 64 hexadecimal digits; "job/NAME/state" */
#define LINK_NO_FORMAT (-1)

enum link_method { LINK_GET = 1, LINK_POST = 2, LINK_PUT = 3 }; /* RFC 7252 section 12.1.1 */

struct link_request {
	bool confirmable;
	enum link_method method;
	const char *path;  /* segments separated by '/' */
	const char *query; /* or NULL */
	int format;
	int accept; /* content format that the answer may have beside its usual one; 0: none */
	const struct block *block1; /* or NULL */
	const struct block *block2;
	const uint8_t *body;
	size_t length;
	uint8_t token[LINK_TOKEN_BYTES];
};

struct link_response {
	int code; /* class * 100 + detail */
	const uint8_t *body;
	size_t length;
	bool has_block1, has_block2;
	struct block block1, block2;
	uint64_t etag; /* 0: none */
	int format;    /* 0: none was named */
	uint32_t max_age_s;
	uint8_t token[LINK_TOKEN_BYTES];
};

/* First byte of a token: who gets the answer. */
enum link_token { LINK_TOKEN_HELLO, LINK_TOKEN_JOB, LINK_TOKEN_JOB_STATE, LINK_TOKEN_SNAPSHOT, LINK_TOKEN_CONFIRM,
		  LINK_TOKEN_DOCTOR, LINK_EXCHANGES,
		  LINK_TOKEN_REPORT = LINK_EXCHANGES };

struct link_exchange;

/* Writes block `num` of a request's body to ret_block (at most 1024 bytes); asked for in order, each once. */
typedef int (*link_fill)(struct link *link, struct link_exchange *exchange, uint32_t num, uint8_t *ret_block,
			 size_t *ret_length, bool *ret_more);
/* code: class * 100 + detail. The exchange is free again: `done` may begin the next one. */
typedef void (*link_done)(struct link *link, const struct link_response *response);

struct link_exchange {
	bool busy;
	enum link_method method;
	char path[LINK_PATH_BYTES];
	char query[32];
	int format, accept;
	link_fill fill; /* NULL: no body */
	link_done done;
	const uint8_t *memory; /* what link_fill_memory sends */
	size_t memory_length;

	uint8_t block[1024];
	size_t block_length;
	struct block out;
	struct block in;
	bool is_receiving; /* the request is through, the answer comes in blocks */
	struct block_body answer;
	uint64_t answer_etag;

	uint32_t serial;
	unsigned attempts;
	unsigned restarts; /* of a body whose first blocks the collector had forgotten */
	int64_t deadline_ms; /* send again, or after a refusal begin again */
	bool is_paused;
};

struct link_report {
	uint64_t sent_seq; /* highest sequence number in the batch that waits for its Ack; 0: none waits */
	uint64_t highest_seq; /* ever sent: no Ack can go beyond it */
	unsigned n_refused;   /* in a row */
	int64_t sent_ms;
	int64_t tokens_micro; /* of the pace: one batch takes a million */
	int64_t refilled_ms;
	int64_t due_ms; /* 0: nothing new */
	int64_t paused_until_ms;
	uint32_t serial;
};

struct link_session;
struct snapshot_upload;

struct link {
	struct ev_loop *loop;
	const struct agent_config *config;
	uint8_t psk[LIMIT_PSK_BYTES];
	struct link_identity *identity;
	struct spool *spool;
	const struct link_events *events;
	void *arg;
	ev_timer timer;

	enum link_phase phase;
	int64_t since_ms;
	int64_t retry_at_ms;
	unsigned failures;	/* in a row; sets the back-off */
	uint32_t sessions;
	uint64_t epoch;
	int64_t keepalive_ms;
	const char *doomed;	/* why the session must be closed; set inside libcoap's callbacks */
	int64_t urgent_until_ms; /* until then the back-off does not grow */
	bool is_jitterless;	/* the next attempt need not wait: the cause is ours alone */
	char last_error[128];

	int64_t rtt_ms;		/* of the path to the collector, at most; 0: not known. From it comes when something goes again */
	int64_t heard_ms;	/* last authenticated datagram of the collector */
	int64_t nudge_at_ms;	/* an answer is owed: ask again then; 0: none is owed, or asked already */
	int64_t dead_at_ms;	/* and give the session up then; 0: none is owed */

	struct link_session *session;
	struct link_exchange exchanges[LINK_EXCHANGES];
	uint8_t hello[LIMIT_HELLO_BYTES];
	struct link_report report;
	struct snapshot_upload *upload;
	uint8_t *doctor_body;	/* the DoctorReport on its way */
	uint8_t *state_body;	/* the JobState on its way */
	uint64_t state_seq;
	int state_phase;
	uint64_t batches_sent, batches_acked;

	struct wire_arena arena;
	uint8_t arena_memory[4096]; /* HelloAck, Ack, Wake, with whatever a later version adds */
};

/* link.c */
void link_fail(struct link *link, const char *reason); /* reason: a constant */
void link_heard(struct link *link);		       /* a datagram of the collector was authentic */
void link_expect(struct link *link);		       /* something was sent that must be answered */
void link_schedule(struct link *link);		       /* deadlines have changed */
void link_on_response(struct link *link, const struct link_response *response);
int link_on_wake(struct link *link, const uint8_t *body, size_t length); /* -EBADMSG */

/* link_session.c */
int link_session_create(struct link *link, struct err *err);
void link_session_destroy(struct link *link);
int link_session_open(struct link *link, struct err *err); /* begins the handshake */
void link_session_close(struct link *link); /* sends close_notify; nothing when there is none */
bool link_session_is_established(const struct link *link);
int link_session_send(struct link *link, const struct link_request *request); /* -EIO */
void link_session_set_rtt(struct link *link); /* rtt_ms has changed */
int link_session_ping(struct link *link); /* -EBUSY: a confirmable message is on its way already, which is as good */

/* link_exchange.c */
/* A clean exchange to be filled in and started; NULL while the last one is under way. */
struct link_exchange *link_exchange_prepare(struct link *link, enum link_token kind);
void link_exchange_start(struct link *link, enum link_token kind);
void link_exchange_on_response(struct link *link, enum link_token kind, const struct link_response *response);
void link_exchange_on_time(struct link *link, int64_t now_ms);
int64_t link_exchange_deadline(const struct link *link); /* INT64_MAX: none */
void link_exchange_cancel_all(struct link *link);	  /* without telling anybody */
int link_fill_memory(struct link *link, struct link_exchange *exchange, uint32_t num, uint8_t *ret_block,
		     size_t *ret_length, bool *ret_more);

/* link_report.c */
void link_report_open(struct link *link, int64_t now_ms);
void link_report_on_time(struct link *link, int64_t now_ms);
int64_t link_report_deadline(const struct link *link);
void link_report_on_response(struct link *link, const struct link_response *response);

/* link_transfer.c */
void link_transfer_abandon(struct link *link); /* the session is gone: tells who waits */
void link_transfer_finish(struct link *link);  /* the link is going: tells nobody */

#endif
