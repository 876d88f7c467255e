/*
 * link: the agent's session with its collector, CoAP over DTLS (proto/README.md).
 *
 *   idle -> connecting -> greeting (POST /hello) -> open -> (two keepalive misses, error) -> waiting -> connecting
 *
 * Reconnects for ever with full jitter (base 2 s, cap 300 s), sends what the spool holds and again
 * what was not acknowledged within LIMIT_RESEND_MS; keeps the NAT binding alive. link_session.c is the only
 * file of the agent that includes coap3/. Never blocks; loop thread only. All callbacks come from the loop.
 * Forwarding never waits for it: without a collector the router stays online just the same.
 */
#ifndef JAGA_AGENT_LINK_H
#define JAGA_AGENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/spool.h"
#include "common/err.h"
#include "common/limits.h"

struct ev_loop;
struct link;

/* A job as received; pointers are valid during the callback only. */
struct link_job {
	const char *job_id;
	uint64_t seq;
	int64_t not_after_ms;
	const void *script;
	size_t script_length;
	const void *rollback;
	size_t rollback_length;
	const char *interpreter;
	uint32_t confirm_s;
	bool is_signed;
};

/* phase: numbers of JobPhase in proto/jaga.proto */
struct link_job_state {
	char job_id[LIMIT_NAME];
	uint64_t seq;
	int phase;
	int exit_status;
	const void *output;
	size_t output_length;
	bool output_truncated;
	uint32_t attempt;
	const char *reason;
	int64_t duration_ms;
};

struct link_identity { /* what hello tells; pointers outlive the link */
	const uint8_t *boot_id; /* LIMIT_BOOT_ID_BYTES */
	const char *hostname, *model, *system, *driver;
	bool can_confirm;     /* the router has a way back from a script */
	uint64_t job_hiwater; /* read again at each hello */
};

struct link_events {
	/* The session is up and hello answered. wall_ms: the collector's authenticated time; 0: it tells none that can be. */
	void (*on_open)(void *arg, int64_t wall_ms);
	void (*on_closed)(void *arg, const char *reason);
	/* wall_ms: as on_open; 0: the collector did not tell. */
	void (*on_wake)(void *arg, uint64_t job_seq, bool take_snapshot, int64_t wall_ms);
	/* Answer to link_ask_job: job NULL when there is none. */
	void (*on_job)(void *arg, const struct link_job *job);
	/* The collector has this state durably, or refuses it for good (logged). */
	void (*on_job_state_acked)(void *arg, uint64_t seq, int phase);
	/* Answer to link_confirm_job: NULL: acknowledged, durably; else why the collector refuses for good. */
	void (*on_job_confirmed)(void *arg, const char *refusal);
	/* Answer to link_offer_snapshot (-ENOTCONN: the session ended first): result 0 the collector has it now (transferred: it had to be sent), else -errno. */
	void (*on_snapshot_done)(void *arg, int result, bool transferred);
	/* Current state of an uplink (UplinkState number), for hello. */
	int (*read_uplink_state)(void *arg, unsigned uplink);
	/* The collector wants to know the traps of this router: link_send_doctor_report with this number. */
	void (*on_run_doctor)(void *arg, uint64_t run);
};

enum link_phase { LINK_IDLE, LINK_CONNECTING, LINK_GREETING, LINK_OPEN, LINK_WAITING };

struct link_status {
	enum link_phase phase;
	int64_t since_ms;      /* monotonic */
	int64_t retry_at_ms;   /* LINK_WAITING */
	uint32_t sessions;     /* opened since start */
	uint64_t batches_sent, batches_acked;
	uint64_t epoch;	       /* of the collector */
	char last_error[128];
};

/*
 * `psk` is copied and zeroised at destroy. The spool is borrowed. Starts connecting at once when
 * config->has_collector.
 */
int link_create(struct ev_loop *loop, const struct agent_config *config, const uint8_t psk[static LIMIT_PSK_BYTES],
		struct link_identity *identity, struct spool *spool, const struct link_events *events, void *arg,
		struct link **ret_link, struct err *err);
void link_destroy(struct link *link); /* says goodbye (close_notify) when open; NULL is fine */

/* New records are in the spool: send when the session allows. urgent: now, else within 1 s. */
void link_kick(struct link *link, bool urgent);
/*
 * Routing has changed (a fail-over): the session's NAT binding may have gone with the uplink. Asks the collector at
 * once and opens a new session after LIMIT_PROBE_MS without an answer; ends a wait for the next attempt.
 */
void link_path_changed(struct link *link);
/*
 * Ends the session, or the attempt at one, whatever its state, and begins another at once. For urgent_ms from now
 * attempts follow each other within seconds: somebody waits for the proof that the collector can be reached.
 */
void link_renew(struct link *link, int64_t urgent_ms);
/* Each: -ENOTCONN when not open; -EBUSY while one of its kind is under way. */
int link_ask_job(struct link *link, uint64_t after_seq);
int link_send_job_state(struct link *link, const struct link_job_state *state);
/* No answer before the session ends: it has to be asked again over the next. */
int link_confirm_job(struct link *link, const char *job_id);
/* Hash first; the deflated text only when the collector asks for it. text is copied. */
int link_offer_snapshot(struct link *link, const char *text, size_t length);
/* report: a packed DoctorReport from malloc, the link's own from here on when this returns 0. Nobody is told how it went: who
 * asked is waiting at the collector. */
int link_send_doctor_report(struct link *link, uint8_t *report, size_t length);
void link_read_status(const struct link *link, struct link_status *ret_status);

#endif
