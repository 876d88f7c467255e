/*
 * router: the port to the device that forwards packets. One table of functions per driver (linux.c for the
 * machine we run on, routeros.c for a router beside it), faked in tests.
 *
 * All calls are made on the loop thread and do not wait for anything but the local kernel. What takes longer is told
 * by an event: a device that is read over the network is known from on_ready on, and what it was told is in force
 * when on_applied comes. check, snapshot and run_script finish later through their callbacks.
 */
#ifndef JAGA_AGENT_ROUTER_ROUTER_H
#define JAGA_AGENT_ROUTER_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/config.h"
#include "agent/uplink/plan.h"
#include "common/err.h"
#include "common/log.h"

struct ev_loop;
struct router;

/* A trap found by the doctor. */
enum router_trap_level {
	ROUTER_TRAP_OK,	     /* looked at, fine */
	ROUTER_TRAP_WARNING, /* works, but will hurt */
	ROUTER_TRAP_FATAL,   /* a take-over would break here: refused while it stands */
};
struct router_trap {
	enum router_trap_level level;
	const char *id;	  /* "flowtable", "rp_filter", "mark-clash", ... */
	const char *what; /* what was seen, naming rule, interface or file */
	const char *fix;  /* what to type or change; "" with ROUTER_TRAP_OK */
};
/* The id of a fatal one by which a take-over does not break: another agent steers here, and on_rival tells when it does no more. */
#define ROUTER_TRAP_OTHER_AGENT "other-agent"
typedef void router_trap_fn(void *arg, const struct router_trap *trap);
/* The doctor has told every trap; `worst` is the worst level of them. error: it could not look, and worst means nothing. */
typedef void router_check_fn(void *arg, enum router_trap_level worst, const struct err *error);

/* State of an uplink's interface as the kernel tells it. */
struct router_uplink_state {
	bool has_carrier; /* exists, up and lower-up */
	bool has_address; /* has an address and (where one is needed) a known gateway */
};

struct router_counters {
	uint64_t rx_bytes, tx_bytes; /* of the uplink's interface */
};

enum router_flush { ROUTER_FLUSH_UNREPLIED, ROUTER_FLUSH_ALL };

/* What a driver watches beside the uplinks, where it can. Numbers as in proto/jaga.proto. */
enum router_watch {
	ROUTER_WATCH_NONE,
	ROUTER_WATCH_PPP,     /* users: up is logged in */
	ROUTER_WATCH_HOTSPOT,
	ROUTER_WATCH_OSPF,    /* neighbours: up is adjacent */
	ROUTER_WATCH_BGP,     /* peers: up is established */
	ROUTER_WATCH_L2TP,    /* tunnels */
	ROUTER_WATCH_LTE,     /* modems: up is registered */
	ROUTER_WATCH_INTERFACE,
	ROUTER_WATCH_NETWATCH,
	ROUTER_WATCHES,
};
enum router_state { ROUTER_STATE_UNKNOWN, ROUTER_STATE_UP, ROUTER_STATE_DOWN };

/* Something watched went up or down. All strings are others' bytes: no text for a terminal. Names are cut to LIMIT_WATCH_NAME. */
struct router_change {
	enum router_watch watch;
	enum router_state to;
	unsigned n_names;
	const char *names[LIMIT_WATCH_NAMES]; /* of whom or what; of many the first */
	uint32_t count;			      /* how many changed so within a second; 1: this one */
	uint32_t flaps;			      /* not 0: down and back so often, unseen; `to` is what it is now */
	int64_t lasted_ms;		      /* the state before; 0: not known */
	const char *address, *caller, *detail; /* of one: what the device tells of it; "" when it does not */
};

/* The device began anew. Strings are its own, as above. */
struct router_restart {
	int64_t uptime_s;
	const char *version, *previous_version;
};

/* What the device is like now. */
struct router_health {
	const char *version;
	int64_t uptime_s;
	uint32_t cpu_percent;
	uint64_t memory_free_bytes, memory_bytes;
	uint64_t disk_free_bytes, disk_bytes;
	uint32_t ppp_users, hotspot_users;
	uint32_t unwatched; /* users and things for which there was no room: told by their ids only */
};
struct router_thing { /* of what is watched, users excepted */
	enum router_watch watch;
	enum router_state state;
	const char *name;
	int64_t lasted_s; /* in this state, as far as is known */
	uint32_t remote_as, prefixes;	   /* BGP */
	uint64_t rx_bytes, tx_bytes;	   /* interfaces */
	uint32_t link_downs;
	const char *carrier;		   /* LTE: whose network */
	uint32_t told;			   /* LTE: which of these it told, bits in this order */
	int32_t rssi_dbm, rsrp_dbm, rsrq_db, sinr_db;
};
typedef void router_thing_fn(void *arg, const struct router_thing *thing);

struct router_events { /* callbacks into the agent, from the loop; arg is events_arg of open. NULL: nobody asks */
	/* Once: the device has been read. Nothing but close may be called before. */
	void (*on_ready)(void *arg);
	/*
	 * All that take_over, apply, flush or remove was told of and called ROUTER_TOLD is in force, or refused and
	 * on_trouble or on_rival said so. flows_moved: how many were forgotten by it; 0 where the device does not say.
	 */
	void (*on_applied)(void *arg, uint32_t flows_moved);
	/* Carrier or address of the uplink changed, or may have changed unseen. */
	void (*on_uplink)(void *arg, unsigned uplink, const struct router_uplink_state *state);
	void (*on_watch)(void *arg, const struct router_change *change);
	void (*on_restart)(void *arg, const struct router_restart *restart);
	/* The device cannot be reached, and why, at every attempt; or can be again (NULL). Also before on_ready. Without it the
	 * driver logs. */
	void (*on_reach)(void *arg, const struct err *why);
	/*
	 * Another agent steers the device, and who: nothing that take_over, apply and flush tell is carried out until it does no more
	 * (NULL), then the last of it, and on_applied follows. Said again when it is so again. Without it the driver logs.
	 */
	void (*on_rival)(void *arg, const struct err *who);
	/* Something that a person should know, said once: who receives it logs it. Without it the driver logs. */
	void (*on_trouble)(void *arg, enum log_level level, const char *text);
};

/* text: canonical, owned by the driver until the callback returns; NULL with error set. */
typedef void router_snapshot_fn(void *arg, const char *text, size_t length, const struct err *error);

struct router_script_result {
	int exit_status; /* 128 + signal when a signal ended it; -1: there is none (reason) */
	bool is_interrupted; /* with -1: it was started, and nobody knows how far it came */
	const char *output;
	size_t output_length;
	bool output_truncated;
	int64_t duration_ms;
	const char *reason;
};
typedef void router_script_fn(void *arg, const struct router_script_result *result);

/* result: 0, or a negative errno with why; of a commit also what a person should know beside (valid during the call; "": nothing). */
typedef void router_done_fn(void *arg, int result, const char *reason);

/* A way back, taken before a script runs. All strings are read before save_point returns. */
struct router_save_spec {
	const char *job_id;
	const char *script; /* that is going to run: how much it may change decides what kind of save point will do */
	size_t length;
	const char *rollback; /* a script of the job's author that undoes it; NULL: the driver's own way */
	size_t rollback_length;
	/* The device may go back by itself when commit has not come so long after the script has ended. */
	uint32_t confirm_s;
};

/* Of take_over, apply and remove, instead of 0: the device has been told. */
#define ROUTER_TOLD 1

struct router_ops {
	const char *name; /* "linux", "routeros" */
	/* Begins to read the device's state, changes nothing. on_ready follows. `config` must outlive the router. */
	int (*open)(struct ev_loop *loop, const struct agent_config *config, const struct router_events *events,
		    void *events_arg, struct router **ret_router, struct err *err);
	/*
	 * The doctor. Changes nothing. on_done comes once, after every on_trap; before check returns where the device can be
	 * looked at at once. One at a time: -EBUSY while one runs. A negative result, and close, end it without on_done.
	 */
	int (*check)(struct router *router, router_trap_fn *on_trap, router_check_fn *on_done, void *arg, struct err *err);
	/*
	 * The plan that an earlier agent left in force here, read from the kernel. -ENOENT: there is none, or
	 * it does not fit the configuration (number of uplinks or buckets, mark field).
	 */
	int (*read_plan)(struct router *router, struct forwarding_plan *ret_plan, struct err *err);
	/*
	 * Installs the forwarding plan, or adopts the one that an earlier agent left when it fits the
	 * configuration (*ret_adopted): then no rule is replaced and no flow is cut.
	 * All or nothing: on failure the device forwards as before. 0: in force, ROUTER_TOLD: on_applied follows.
	 */
	int (*take_over)(struct router *router, const struct forwarding_plan *plan, bool *ret_adopted, struct err *err);
	/* Desired against observed: the smallest change. 0: in force, ROUTER_TOLD: on_applied follows. */
	int (*apply)(struct router *router, const struct forwarding_plan *plan, struct err *err);
	/* Forgets flows bound to the uplink, behind what apply was told, so that they start anew elsewhere. *ret_flows: how
	 * many; 0 where on_applied tells. */
	int (*flush)(struct router *router, unsigned uplink, enum router_flush what, uint32_t *ret_flows, struct err *err);
	int (*read_uplink)(struct router *router, unsigned uplink, struct router_uplink_state *ret_state);
	int (*read_counters)(struct router *router, unsigned uplink, struct router_counters *ret_counters);
	/* What is watched, as it was read last: *ret_health first, then each thing through on_thing. -ENODATA: the device
	 * cannot be asked now. NULL: this driver watches nothing. */
	int (*read_watched)(struct router *router, struct router_health *ret_health, router_thing_fn *on_thing, void *arg);
	/* Takes every trace of Jaga away and restores the sysctls that were changed. Works without take_over. 0 or
	 * ROUTER_TOLD. */
	int (*remove)(struct router *router, struct err *err);
	/* One at a time each: -EBUSY while one runs. */
	int (*snapshot)(struct router *router, router_snapshot_fn *on_done, void *arg, struct err *err);
	/*
	 * job_id: for the script's environment. The script is read before this returns. interpreter: "" or the driver's own
	 * ("sh", "routeros"); -ENOTSUP: another.
	 */
	int (*run_script)(struct router *router, const char *job_id, const char *interpreter, const void *script,
			  size_t length, int64_t timeout_ms, router_script_fn *on_done, void *arg, struct err *err);
	/*
	 * The way back of a job (job/runner.h calls them in this order): save_point, run_script, then commit or roll_back. NULL
	 * where the driver has none. One save point at a time; it outlives this process and, as docs say for each device, a power
	 * cut: roll_back is also called by the next agent, with the same job_id, and finds it. on_done comes from the loop.
	 *
	 * save_point: on failure nothing is left behind and the script must not run.
	 * commit: the save point is gone, what the script did stays.
	 * roll_back: the configuration is as at the save point. Also after the device went back by itself; result -ENOENT: it has
	 * no save point of this job and did not go back. A device that cannot be reached is waited for.
	 */
	int (*save_point)(struct router *router, const struct router_save_spec *spec, router_done_fn *on_done, void *arg,
			  struct err *err);
	int (*commit)(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err);
	int (*roll_back)(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err);
	/*
	 * Leaves the forwarding plan in force and ends a running snapshot. A running script goes on by itself:
	 * half a script is worse than a script that nobody watches. NULL is fine.
	 */
	void (*close)(struct router *router);
};

extern const struct router_ops router_linux, router_routeros;

/* The driver that the configuration asks for. NULL: this program does not hold it; main.c says so, once for all. */
const struct router_ops *router_driver(const struct agent_config *config);

/*
 * jaga-agent --pin: prints the certificate that the RouterOS router at that address presents now, as the lines of a
 * configuration that trusts it; nothing is sent to it. Runs a loop of its own. 0, or negative errno and err says why.
 */
int router_show_pin(const char *address, FILE *out, struct err *err);

/* The last line of a script's output that is not blank: where a shell says what was wrong in which line. "": none. */
void router_last_line(const char *output, size_t length, char *ret_line, size_t size);

/* The mark of uplink i within config->mark_field: (i + 1) shifted to the field's lowest bit. */
uint32_t router_uplink_mark(const struct agent_config *config, unsigned uplink);

#endif
