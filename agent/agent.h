/*
 * agent: the one context of jaga-agent; start and stop order.
 *
 * Start   claim, router; when that has been read: back from a script that nobody confirmed; doctor, take-over, probes, journal, local socket, then the link: key
 *         and random numbers may come later (prelude.h), as may all that upkeep.h looks after. Nothing on the router
 *         is changed before the doctor has found no fatal trap; only a plan that an earlier agent left in
 *         force is taken on in spite of one. A router that cannot be reached is not waited for with the rest: journal,
 *         socket and link begin when it first fails to answer, and the take-over moves under them when it does.
 * Stop    (SIGTERM, SIGINT) the other way round. The forwarding plan stays in force: routing goes on,
 *         by the last decisions, until the next start adopts it or `jaga-agent --remove` takes it away.
 *
 * Each module sees only what it was given; this structure is for agent.c, remote.c and commands.c.
 */
#ifndef JAGA_AGENT_AGENT_H
#define JAGA_AGENT_AGENT_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/condition.h"
#include "agent/config.h"
#include "agent/job/runner.h"
#include "agent/link.h"
#include "agent/local.h"
#include "agent/prelude.h"
#include "agent/report.h"
#include "agent/router/router.h"
#include "agent/snapshot.h"
#include "agent/spool.h"
#include "agent/steer.h"
#include "agent/system.h"
#include "agent/upkeep.h"
#include "common/err.h"

struct agent_late_undo { /* a job of the journal that waits for a router that cannot be reached */
	const char *job_id;
	router_done_fn *on_done; /* NULL: there is none */
	void *arg;
};

struct agent {
	const struct agent_config *config;
	struct ev_loop *loop;
	const struct router_ops *router_ops;
	struct router *router;
	struct steer steer;
	struct spool *spool;
	struct report report;
	struct conditions conditions;
	struct upkeep upkeep;
	struct prelude prelude;
	struct link *link; /* NULL: no collector, the prelude goes on, or it could not be set up */
	struct runner runner;
	struct snapshot snapshot;
	struct remote_doctor *doctor; /* at work for the collector; NULL: nobody asks */
	struct local local;
	struct table table; /* answers are built here */
	enum table_format snapshot_format; /* for those who wait for one */
	ev_signal sigterm, sigint, sighup;
	ev_timer sample_timer;

	uint8_t boot_id[LIMIT_BOOT_ID_BYTES];
	struct system_identity system;
	struct link_identity identity;
	int64_t started_ms;
	uint64_t collector_epoch; /* of the last session; 0: there was none */
	struct agent_late_undo late_undo;
	bool adopted;
	bool is_take_over_refused; /* the doctor found what would break it */
	bool is_router_known; /* on_ready came: its operations may be called */
	bool has_begun;	      /* and it is steered, or watched */
	bool is_serving;      /* socket, session and all */
	bool is_snapshot_owed; /* the last one failed because the router was away already */
	bool is_going_back;   /* from an earlier agent's script, before anything else */
	int exit_status; /* enum local_exit, once the loop has ended */
};

/* Runs until a signal ends it. Returns the exit status (enum local_exit). */
int agent_run(const struct agent_config *config);

/* "up", "suspect", "down" */
const char *agent_state_name(enum uplink_state state);

/* The router is known, and as it should be: looks for traps, then steers or watches. */
void agent_look(struct agent *agent);

/* To the log and, as an event, to the collector. */
void agent_notice(struct agent *agent, enum log_level level, const char *subsystem, const char *text);

/* remote.c: jobs, snapshots and the session with the collector. The journal is read by init, the session begins with start. */
void remote_init(struct agent *agent);
void remote_start(struct agent *agent);
/* The router is known. True: it goes back from an earlier agent's script first; agent_look() follows. */
bool remote_goes_back(struct agent *agent);
/* The router is steered, or watched: jobs and snapshots may begin. */
void remote_on_begun(struct agent *agent);
void remote_stop(struct agent *agent);
/* remote_doctor.c: looks for traps and sends the collector what was found; arg is the struct agent. */
void remote_run_doctor(void *arg, uint64_t run);
void remote_doctor_stop(struct agent *agent);
/* The state directory can be written again (upkeep.h). */
void remote_on_state_back(void *arg);

/* commands.c: answers requests of the local socket; arg is the struct agent. */
local_handler_fn commands_handle;
/* A snapshot has ended: answers those who wait for it. */
void commands_answer_snapshot(struct agent *agent);

#endif
