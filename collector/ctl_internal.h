/*
 * ctl_internal: between the control socket's server (ctl.c) and its operations (ctl_*.c).
 *
 *   reading ─▶ begin ─▶ step, step, ... ─▶ closing
 *                 │        ▲  │
 *                 └▶ wait ─┘◀─┘ CTL_WAIT, until changed(), or resume by an operation that has finished
 *
 * A step makes a bounded number of rows. It is called again only while the client reads, so nothing
 * that a client does can stall the loop or fill the memory.
 */
#ifndef JAGA_COLLECTOR_CTL_INTERNAL_H
#define JAGA_COLLECTOR_CTL_INTERNAL_H

#include <ev.h>
#include <jansson.h>

#include "collector/collector.h"
#include "collector/ctl.h"
#include "collector/ctl_request.h"
#include "collector/fleet.h"
#include "collector/json_row.h"
#include "collector/store.h"

struct ctl_client;

enum ctl_next {
	CTL_MORE, /* call step again when the client has read */
	CTL_WAIT, /* call step again after a change, or ctl_resume */
	CTL_DONE,
	CTL_FAILED, /* ctl_fail was called */
};

struct ctl_operation {
	enum ctl_next (*begin)(struct ctl_client *client);
	enum ctl_next (*step)(struct ctl_client *client); /* NULL: begin never returns CTL_MORE */
	/* Does this change concern the client that waits? NULL: changes never do. */
	bool (*wants)(const struct ctl_client *client, enum port_change what, uint64_t subject);
	/* ctl_limit_wait has run out; step is called next. NULL: it is never armed. */
	void (*late)(struct ctl_client *client);
};

/* One for each enum ctl_op, in the file of its family. */
extern const struct ctl_operation ctl_devices, ctl_show, ctl_enroll, ctl_remove; /* ctl_fleet.c */
extern const struct ctl_operation ctl_doctor;					  /* ctl_doctor.c */
extern const struct ctl_operation ctl_events;					  /* ctl_events.c */
extern const struct ctl_operation ctl_snapshots, ctl_cat;			  /* ctl_snapshots.c */
extern const struct ctl_operation ctl_snapshot_take;				  /* ctl_take.c */
extern const struct ctl_operation ctl_push, ctl_jobs, ctl_job;			  /* ctl_jobs.c */
extern const struct ctl_operation ctl_status;					  /* ctl_status.c */

struct ctl_asked { /* a device whose answer is waited for */
	struct fleet_device *device;
	uint64_t reports, failures; /* snapshot-take: those it had made before */
	uint32_t snapshot_n;	    /* and its newest then */
};

/* ctl_ask.c: what is asked of one device or of all. */
struct ctl_question {
	enum port_change change; /* tells of an answer; its subject is the device's number */
	/* NULL: it was asked. Else what the device is, so that it cannot be ("offline"), and what to do about that. */
	const char *(*ask)(struct ctl_client *client, struct ctl_asked *asked, const char **ret_hint);
	bool (*has_answered)(const struct ctl_client *client, const struct ctl_asked *asked);
	enum ctl_next (*put)(struct ctl_client *client, const struct ctl_asked *asked);
	void (*leave)(struct ctl_client *client, const struct ctl_asked *asked); /* may be NULL: nobody waits for its answer any more */
};

struct ctl_cursor { /* where a step goes on; each operation uses what it needs */
	uint64_t next;
	uint64_t walk, found; /* events: the batch to look at on the way back; rows found so far */
	uint64_t *ids; /* freed with the client */
	unsigned n_ids, at;
	const struct ctl_question *question;
	struct ctl_asked *asked; /* freed with the client; those before `at` have been asked */
	unsigned n_asked;
	bool is_late; /* ctl_ask.c: who has not answered by now is missing */
	uint32_t phase;
	struct fleet_device *device;
	int64_t since_ms;
};

struct ctl_client {
	struct ctl *ctl;
	struct collector *collector;
	uint64_t serial; /* names the client in operations that outlive it */
	struct ctl_request request;
	const struct ctl_operation *operation;
	struct ctl_cursor cursor;
	bool is_waiting;
	unsigned uid; /* who asks, for the log */
	/* Below: ctl.c's own. */
	struct ctl_client *next;
	int fd;
	ev_io read, write;
	ev_timer stall;	 /* it must have sent its request, or read on, by then */
	ev_timer answer; /* ctl_limit_wait */
	bool is_closing;
	char *in;
	size_t in_length, in_size;
	char *out;
	size_t out_begin, out_end, out_size;
};

int ctl_put_json(struct ctl_client *client, const json_t *json); /* a line; -EMSGSIZE, -ENOMEM */
/* Sends the row and drops the reference to it. NULL (out of memory while it was made) fails the request. */
enum ctl_next ctl_put_row(struct ctl_client *client, json_t *row);
/* The final error; hint may be "". */
enum ctl_next ctl_fail(struct ctl_client *client, const char *code, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The error for a negative errno of the store or writer. */
enum ctl_next ctl_fail_store(struct ctl_client *client, int error);
/* It has not read what there is: the step ends here with CTL_MORE. */
bool ctl_is_behind(const struct ctl_client *client);
/* ctl_ask.c: the request's begin, and step, wants and late of such an operation. question outlives the client. */
enum ctl_next ctl_ask_begin(struct ctl_client *client, const struct ctl_question *question);
enum ctl_next ctl_ask_step(struct ctl_client *client);
bool ctl_ask_wants(const struct ctl_client *client, enum port_change what, uint64_t subject);
void ctl_ask_late(struct ctl_client *client);
void ctl_ask_leave(struct ctl_client *client); /* it goes: those that have not answered are told to nobody */
/* "offline", or what else a device without a session is. */
const char *ctl_explain_away(const struct fleet_device *device);
/* The answer is that there is none. */
enum ctl_next ctl_put_missing(struct ctl_client *client, const struct fleet_device *device, const char *why);
bool ctl_asks_all(const struct ctl_client *client); /* the request names no device */
/* ctl_watch.c: what is watched there, which must be something, as a new object. */
json_t *ctl_make_watched(const struct fleet_device *device);
/* The device that the request names, or NULL after ctl_fail. */
struct fleet_device *ctl_find_device(struct ctl_client *client);
/*
 * ctl_jobs.c: the next LIMIT_CTL_ROWS jobs before cursor.next, newest first, each to visit until that returns
 * something else than CTL_MORE. CTL_DONE: there are no more.
 */
typedef enum ctl_next ctl_job_fn(struct ctl_client *client, const struct store_job *job);
enum ctl_next ctl_walk_jobs(struct ctl_client *client, ctl_job_fn *visit);
void ctl_set_job(json_t *row, const char *key, uint64_t number); /* numbers of jobs are texts */
json_t *ctl_make_snapshot(const struct store_snapshot *snapshot); /* ctl_snapshots.c */
/* The client with this serial, or NULL: it has gone. */
struct ctl_client *ctl_find_client(struct ctl *ctl, uint64_t serial);
/* An operation that had been waited for has ended with `next`. */
void ctl_resume(struct ctl_client *client, enum ctl_next next);
/* Arms a deadline for a client that waits: the operation's late. */
void ctl_limit_wait(struct ctl_client *client, int64_t ms);

#endif
