/*
 * runner: scripts from the collector, each run at most once.
 *
 *   idle -> asking -> starting -> running -> ending -> reporting -> idle
 *            job?     journal:    script     journal:   until the collector
 *                     STARTED                result     has it durably
 *
 * A job that has to be confirmed takes a longer way (confirm.h), which leads back whenever something is wrong:
 *
 *   starting -> saving -> running -> applying -> proving -> marking -> keeping -> ending (CONFIRMED)
 *               save      |          journal:    over a new  journal:   the save point goes
 *               point     |          APPLIED     session     KEEPING
 *                         `-- fails --------------`-- not confirmed, or the power goes --> undoing -> ending (ROLLED_BACK)
 *
 * A save point that is gone afterwards was given up when the journal says KEEPING, and used when it says APPLIED.
 *
 * The journal (journal.h) is on the disk before a script's first instruction, so a job that was
 * running when the power went is INTERRUPTED afterwards, never run again. Scripts run only with
 * scripts = unsigned in the agent's own file; every refusal is reported with its reason. One job at a
 * time; the next is asked for when the result of the last has been acknowledged. Loop thread only.
 */
#ifndef JAGA_AGENT_JOB_RUNNER_H
#define JAGA_AGENT_JOB_RUNNER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/job/confirm.h"
#include "agent/job/journal_writer.h"
#include "agent/link.h"
#include "agent/router/router.h"
#include "common/err.h"
#include "common/log.h"

struct runner_ops { /* the link and the router, or their fakes */
	int (*ask_job)(void *arg, uint64_t after_seq);		       /* as link_ask_job */
	int (*send_state)(void *arg, const struct link_job_state *state); /* as link_send_job_state */
	int (*run_script)(void *arg, const char *job_id, const char *interpreter, const void *script, size_t length,
			  router_script_fn *on_done, void *done_arg, struct err *err);
	/* A snapshot is being taken, and a router may be able to give one long answer at a time: no job is asked for until
	 * runner_on_read(). Going back from a script waits for nothing. */
	bool (*is_reading)(void *arg);
	/* runner_is_unsettled() was true and is not any more. has_run: the configuration may have changed. */
	void (*on_settled)(void *arg, bool has_run);
	void (*on_trouble)(void *arg, enum log_level level, const char *text);
	struct confirm_ops confirm;
};

enum runner_phase {
	RUNNER_IDLE,
	RUNNER_ASKING,
	RUNNER_STARTING,
	RUNNER_SAVING,
	RUNNER_RUNNING,
	RUNNER_APPLYING,
	RUNNER_PROVING,
	RUNNER_MARKING, /* the journal is to know that it is kept */
	RUNNER_KEEPING,
	RUNNER_UNDOING,
	RUNNER_ENDING,
	RUNNER_REPORTING,
	RUNNER_REFUSING, /* the journal is damaged: what was run before is not known */
};

struct runner {
	struct ev_loop *loop;
	const char *dir;
	bool scripts_unsigned;
	const struct runner_ops *ops;
	void *arg;

	enum runner_phase phase;
	bool ask_again;	      /* a wake came while busy, or a snapshot was in the way */
	bool is_open;	      /* the link has a session */
	bool is_resumed;      /* the job was under way when this agent started */
	int64_t wall_offset_ms; /* wall time - monotonic time, by the collector; 0: unknown */
	struct journal_record record;
	struct journal_writer writer;
	struct confirm confirm;
	char interpreter[16];
	size_t script_length, rollback_length;
	char script[LIMIT_JOB_BYTES]; /* the rollback script behind it; zeros once the job has ended */
	char output[LIMIT_OUTPUT_BYTES];
};

/* dir, ops: borrowed. Reads the journal; never fails towards the caller: trouble is told and jobs are refused. */
void runner_init(struct runner *runner, struct ev_loop *loop, const char *dir, bool scripts_unsigned,
		 const struct runner_ops *ops, void *arg);
/*
 * Before runner_init, which then begins it: the journal says that the router has to go back from a script of which nobody
 * knows whether it left the router in order.
 */
bool runner_has_to_undo(struct runner *runner, const char *dir);
/* It is going back now; on_settled follows. */
bool runner_is_undoing(const struct runner *runner);
/* A running script goes on; its job will be INTERRUPTED. Blocks until what the journal was told is
 * written, LIMIT_JOURNAL_STOP_MS at most. */
void runner_stop(struct runner *runner);

/* From the link. */
void runner_on_open(struct runner *runner);
void runner_on_closed(struct runner *runner);
/* What time it is now, by the collector; 0: it does not tell, and what it told before counts on. Before runner_on_open(),
 * and during a session, which may outlive a step of its clock. */
void runner_set_time(struct runner *runner, int64_t wall_ms);
void runner_on_wake(struct runner *runner, uint64_t job_seq);
void runner_on_job(struct runner *runner, const struct link_job *job); /* NULL: there is none */
void runner_on_state_acked(struct runner *runner, uint64_t seq, int phase);
/* To ask_confirmation: NULL: acknowledged; else why not. */
void runner_on_confirmed(struct runner *runner, const char *refusal);

/* The router was read to the end: is_reading() is over. */
void runner_on_read(struct runner *runner);

/* The state directory could not be written, perhaps not even read, and now can: what it says of jobs counts again. */
void runner_on_state_back(struct runner *runner);

uint64_t runner_hiwater(const struct runner *runner);
/* A script may begin, runs, or what it did may still be undone: not the moment for a snapshot. on_settled follows. */
bool runner_is_unsettled(const struct runner *runner);
/* "idle", "running", ... and the last job, "" when there was none. */
const char *runner_phase_name(const struct runner *runner);
const char *runner_last_job(const struct runner *runner);

#endif
