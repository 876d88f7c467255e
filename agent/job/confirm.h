/*
 * confirm: the way back of a job, and the proof that it is not needed.
 *
 *   save: the driver takes a save point                         before the script
 *   prove: telling -> returning -> asking -> acknowledged       after it
 *             `--------- or confirm_s later: not
 *   keep: the save point goes    |    undo: the router goes back to it
 *
 * What is proved is that the router still reaches its collector after the script: so the collector is told (in the
 * session that may not live), that session is closed whatever its state, and only over a new one the acknowledgement is
 * asked for. One thing at a time, begun by the runner and ended by its callback, from the loop. Nothing here is durable:
 * the journal is the runner's, the save point the driver's. Loop thread only.
 */
#ifndef JAGA_AGENT_JOB_CONFIRM_H
#define JAGA_AGENT_JOB_CONFIRM_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/router/router.h"
#include "common/limits.h"

/* result: 0, or a negative errno with why. The driver's errors come as they are. */
typedef void confirm_done_fn(void *arg, int result, const char *reason);

struct confirm_ops { /* the router and the link, or their fakes; save_point NULL: this router has no way back */
	int (*save_point)(void *arg, const struct router_save_spec *spec, router_done_fn *on_done, void *done_arg,
			  struct err *err);
	int (*commit)(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err);
	int (*roll_back)(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err);
	void (*new_session)(void *arg, int64_t urgent_ms);	/* as link_renew */
	int (*ask_confirmation)(void *arg, const char *job_id); /* as link_confirm_job */
};

enum confirm_phase {
	CONFIRM_IDLE,
	CONFIRM_SAVING,
	CONFIRM_TELLING,   /* the collector should hear in the old session that the script has ended */
	CONFIRM_RETURNING, /* a new session has been asked for */
	CONFIRM_ASKING,
	CONFIRM_KEEPING,
	CONFIRM_UNDOING,
};

struct confirm {
	struct ev_loop *loop;
	const struct confirm_ops *ops;
	void *arg;
	confirm_done_fn *on_done;
	void *done_arg;

	enum confirm_phase phase;
	const char *job_id; /* the runner's */
	uint32_t confirm_s;
	ev_timer told;	    /* this long for telling at most */
	ev_timer deadline;  /* of the proof */
};

void confirm_init(struct confirm *confirm, struct ev_loop *loop, const struct confirm_ops *ops, void *arg,
		  confirm_done_fn *on_done, void *done_arg);
/* A save point stays, for the next start to find. */
void confirm_stop(struct confirm *confirm);
bool confirm_is_possible(const struct confirm *confirm);

/* Each: on_done follows, later. job_id: borrowed until then. */
void confirm_save(struct confirm *confirm, const struct router_save_spec *spec);
/* is_told: nobody can be told that the script has ended, or that is not needed; else confirm_on_told follows. */
void confirm_prove(struct confirm *confirm, const char *job_id, uint32_t confirm_s, bool is_told);
void confirm_keep(struct confirm *confirm, const char *job_id);
/* -ENOENT: there is no save point of this job, and the router did not go back. */
void confirm_undo(struct confirm *confirm, const char *job_id);

/* From the link, by the runner; meaningless ones are ignored. */
void confirm_on_told(struct confirm *confirm);
void confirm_on_open(struct confirm *confirm);
void confirm_on_closed(struct confirm *confirm);
/* NULL: acknowledged, durably; else why the collector refuses for good. */
void confirm_on_answer(struct confirm *confirm, const char *refusal);

#endif
