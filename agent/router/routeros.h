/*
 * routeros: what the files of the RouterOS driver share (routeros*.c).
 *
 *   routeros_read.c    the router as it is -> the model, and what of our items is missing or differs
 *   routeros_live.c    what is told and polled between two readings
 *   routeros_keep.c    what differs -> commands: the native plan as it should be
 *   routeros_steer.c   entries of address-lists with a time-out, flushes
 *   routeros_lease.c   is it us who steers, or another agent?
 *   routeros_execute.c one script at the router's interpreter, and how it ended
 *   routeros_save.c    the way back from them; routeros_undo.c: going it; routeros_prove.c: would we be let in again?
 *   routeros_script.c  scripts of the collector, in as many pieces as RouterOS needs
 *   routeros_doctor*.c, routeros_snapshot.c
 *   routeros_monitor.c menus that are listened to and read -> ros_watch; routeros_monitor_row.c: what their rows say;
 *                      routeros_modem.c: modems, which are asked one by one
 *   routeros_site.c    configuration and model -> what ros_plan needs to know
 *   routeros.c         the session and the table of operations
 *
 * Loop thread only. Nothing waits for the router: what is sent is forgotten, and answers come to callbacks (ros_api.h).
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_H
#define JAGA_AGENT_ROUTER_ROUTEROS_H

#include <ev.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/router/ros_api.h"
#include "agent/router/ros_lease.h"
#include "agent/router/ros_plan.h"
#include "agent/router/ros_row.h"
#include "agent/router/router.h"

#define ROS_TAG "jaga: " /* how every comment of ours begins */

struct ros_model { /* the router as it told; kept by listen */
	unsigned major, minor;
	struct ros_model_uplink {
		/* told by listen and by polls, too, whatever is being read */
		char id[LIMIT_ROS_ID]; /* of its interface; "": there is none */
		bool is_running;
		struct router_counters counters;
		/* by readings */
		bool has_address;
		uint32_t network, mask; /* of its address, host order */
		char gateway[LIMIT_HOST];      /* found now; "": none */
		char last_gateway[LIMIT_HOST]; /* that our own routes name */
		struct router_uplink_state reported;
	} uplinks[LIMIT_UPLINKS];
	bool has_lan[LIMIT_LANS], has_hotspot[LIMIT_LANS];
	unsigned n_networks, n_more_networks; /* for which there was no room */
	char networks[LIMIT_ROS_NETWORKS][INET_ADDRSTRLEN + 3]; /* inside that are in no private one */
};

struct ros_wanted { /* an item of the native plan */
	struct ros_item item;
	char id[LIMIT_ROS_ID]; /* "": it is missing */
	unsigned position;     /* among the items of its menu, from 1; 0: where it belongs */
	bool differs;
	bool is_refused;
};

struct ros_keeper {
	enum { ROS_UNREAD, ROS_READING, ROS_CHANGING, ROS_KEPT } state;
	unsigned reading; /* number of the print under way */
	unsigned n_rows;  /* of it, so far */
	bool is_due;	  /* again, as soon as this is done */
	unsigned n_wanted, n_room;
	struct ros_wanted *wanted; /* in the order of ros_plan_each() */
	unsigned n_surplus;
	struct ros_surplus {
		enum ros_menu menu;
		char id[LIMIT_ROS_ID];
	} surplus[LIMIT_ROS_SURPLUS];
	struct ros_foreign { /* the first item of another in a menu */
		char id[LIMIT_ROS_ID];
		unsigned position;
	} foreign[ROS_MENUS];
	/* while changing */
	enum ros_menu menu;
	unsigned left;			  /* items of the menu that have not been looked at */
	char before[LIMIT_ROS_ID];	  /* where an ordered item belongs: before this one; "": at the end */
	unsigned limit;			  /* its position */
	unsigned n_refused;
	struct err refused, told; /* the first refusal; what was told last */
	struct err unread; /* why the router cannot be read, as it was told */
};

struct ros_entry { /* of an address-list */
	char list[LIMIT_ROS_VALUE];
	uint8_t part; /* 0: 0.0.0.0/0; 1, 2: its halves */
	enum { ROS_ENTRY_FREE, ROS_ENTRY_ADDING, ROS_ENTRY_STANDING, ROS_ENTRY_REMOVING } state;
	char id[LIMIT_ROS_ID];
	uint32_t round; /* in which it was added */
	struct router *router;
};

struct ros_steering {
	struct forwarding_plan plan;
	bool is_known; /* the entries are those of the router */
	bool is_reading; /* the reading under way takes them: they were forgotten before it began */
	bool is_told;  /* somebody waits for on_applied */
	bool is_plan_told; /* ... and for the native plan, too */
	bool is_stuck; /* the router refused something: not before the next round */
	uint32_t round;
	unsigned n_under_way;
	unsigned n_lists;
	char lists[LIMIT_BUCKETS + LIMIT_UPLINKS][LIMIT_ROS_VALUE]; /* that must hold an entry */
	struct ros_entry entries[LIMIT_ROS_ENTRIES];
	uint32_t flush_all, flush_unreplied; /* bit per uplink: to be sent behind the entries */
	uint32_t flows_moved; /* by flushes, since on_applied */
};

struct ros_claim { /* to be the agent that steers */
	struct ros_lease lease;
	bool is_held;	   /* the router is ours to change */
	bool is_under_way; /* a look, and what follows from it */
	bool has_written;  /* in this one */
	bool is_blind;	   /* ... what it writes renews, before a look */
	int64_t look_ms;   /* when it began */
	bool has_yielded;  /* another has had it since we read the router */
	bool is_rival_told; /* on_rival() has told of another: it steers no more is told, too */
	bool is_mute;	   /* the router takes no entry of ours; that was told */
	bool is_blind_told; /* the router refused the last look */
};

struct routeros_snapshot_job; /* routeros_snapshot.c */
struct routeros_monitor;      /* routeros_monitor.c */
struct routeros_doctor_job;   /* routeros_doctor.c */
struct routeros_script_job;   /* routeros_script.c */
struct routeros_save_job;     /* routeros_save.c */

struct router {
	struct ev_loop *loop;
	const struct agent_config *config;
	struct router_events events;
	void *events_arg;
	struct ros_api *api;
	bool is_ready;	   /* on_ready was called */
	bool is_installed; /* take_over was */
	bool is_removed;   /* remove was: nothing of ours is wanted */
	ev_timer verify, round, applied;
	struct ros_model model;
	struct ros_model next; /* what is being read */
	uint32_t printed, polled; /* bit per uplink: its interface was there */
	struct ros_keeper keeper;
	struct ros_steering steering;
	struct ros_claim claim;
	struct routeros_snapshot_job *snapshot_job; /* NULL: none runs */
	struct routeros_doctor_job *doctor_job;	    /* likewise */
	struct routeros_monitor *monitor;
	char gateways[LIMIT_UPLINKS][INET_ADDRSTRLEN + LIMIT_INTERFACE]; /* those that need their interface beside the address */
	struct routeros_script_job *script_job;	    /* NULL: none runs */
	struct routeros_save_job *save_job;	    /* NULL: no save point is being worked on */
	struct ros_saved {
		int64_t script_ms; /* a save point stands, and its script is stopped after this; 0: none does */
		unsigned session;  /* that holds safe mode for it; 0: none does */
		bool is_alone;	   /* safe mode is all that acts by itself */
		bool is_touched;   /* the script may have done something */
	} saved;
	unsigned sessions;			    /* with the router so far: one that is not this one has seen nothing */
	char check_hosts[LIMIT_UPLINKS][INET_ADDRSTRLEN], sources[LIMIT_UPLINKS][INET_ADDRSTRLEN];
};

/* routeros.c */
void routeros_trouble(struct router *router, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Copies what fits; what does not fit was never ours, and is left out. */
void routeros_copy(char *ret_text, size_t size, const char *text);
/* Is the version of the router this one or newer? */
bool routeros_is_from(const struct router *router, unsigned major, unsigned minor);
/* The first line of password_file; "" without one. */
int routeros_read_password(const struct agent_config *config, char ret_password[static LIMIT_ROS_PASSWORD], struct err *err);
/* How its sessions are had; the caller wipes the password, also of a failure. */
int routeros_settings(const struct agent_config *config, struct ros_api_settings *ret_settings, struct err *err);
/* The router has been read, for the first time in this session or again. */
void routeros_on_read(struct router *router);
/* It is ours to change; `has_yielded`: another has done so since it was read. */
void routeros_on_held(struct router *router, bool has_yielded);
/* The native plan stands as far as the router lets it. */
void routeros_on_kept(struct router *router);
/* Something may have come to its end: tells on_applied when everything has. */
void routeros_settle(struct router *router);
/* Reads and keeps once more, soon. */
void routeros_verify_in(struct router *router, int64_t wait_ms);

/* routeros_site.c: *ret_site points into router. */
void routeros_site(struct router *router, struct ros_site *ret_site);
/* Is it part of a private network that is inside as a whole? Host order. */
bool routeros_is_private(const struct agent_config *config, uint32_t network, uint32_t mask);

/* routeros_read.c */
void routeros_read(struct router *router);

/* routeros_live.c */
/* In `model`; NULL: the interface is no uplink's. */
struct ros_model_uplink *routeros_uplink_by_interface(struct router *router, struct ros_model *model, const char *name);
/* A row of /interface, or what listen tells of one, into the model. The bit of its uplink; 0: of none. */
uint32_t routeros_take_running(struct router *router, const struct ros_sentence *row);
/* All rows were taken: uplinks that are not among them have no interface any more. */
void routeros_lose_others(struct router *router, uint32_t seen);
int routeros_listen(struct router *router, struct err *err);
/* Counters of the uplinks, and what a listen should have told. */
void routeros_poll(struct router *router);
void routeros_state(const struct router *router, unsigned uplink, struct router_uplink_state *ret_state);
void routeros_report_uplinks(struct router *router);

/* routeros_keep.c */
/* Makes keeper.wanted anew. -ENOMEM. */
int routeros_want(struct router *router, struct err *err);
/* One item of ours or of others as the router has it: `position` counts those of its menu. */
void routeros_compare(struct router *router, enum ros_menu menu, const struct ros_sentence *row, unsigned position);
bool routeros_is_kept(const struct router *router);
/* Of the items of the plan, does none lack? */
bool routeros_is_whole(const struct router *router);
void routeros_change(struct router *router);

/* routeros_steer.c */
void routeros_forget_entries(struct router *router);
void routeros_take_entry(struct router *router, const struct ros_sentence *row);
void routeros_read_plan(struct router *router, struct forwarding_plan *ret_plan);
/* Sets what must stand, from steering.plan (nothing, once removed), and sends what is missing. */
void routeros_steer(struct router *router);
void routeros_next_round(struct router *router);
bool routeros_is_steered(const struct router *router);

/* routeros_lease.c */
/* The id that an earlier agent left in the state directory, if any. Writes nothing. */
void routeros_lease_init(struct router *router);
/* take_over or remove was called: an agent that had no id makes one. */
void routeros_lease_want(struct router *router);
/* Looks who steers, unless that is being done, or nobody wants to know. What comes of it: routeros_on_held(), or the agent is told. */
void routeros_lease_look(struct router *router);
void routeros_lease_next_round(struct router *router);
/* The session is lost, or begins. */
void routeros_lease_forget(struct router *router);

/* routeros_doctor.c, routeros_snapshot.c, routeros_script.c: as in struct router_ops. */
int routeros_check(struct router *router, router_trap_fn *on_trap, router_check_fn *on_done, void *arg, struct err *err);
int routeros_snapshot(struct router *router, router_snapshot_fn *on_done, void *arg, struct err *err);
/* A session is open: a check under way begins anew. */
void routeros_doctor_begin(struct router *router);
/* Nobody waits for it any more; after the session was destroyed. */
void routeros_doctor_close(struct router *router);
/* Nobody waits for it any more; before the session is destroyed. */
void routeros_snapshot_close(struct router *router);
int routeros_run_script(struct router *router, const char *job_id, const char *interpreter, const void *script, size_t length,
			int64_t timeout_ms, router_script_fn *on_done, void *arg, struct err *err);
/* Nobody waits for it any more; and: the session has been destroyed. */
void routeros_script_close(struct router *router);
void routeros_script_free(struct router *router);
int routeros_save_point(struct router *router, const struct router_save_spec *spec, router_done_fn *on_done, void *arg,
			struct err *err);
int routeros_commit(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err);
int routeros_roll_back(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err);
/* As of scripts. */
void routeros_save_close(struct router *router);
void routeros_save_free(struct router *router);

/* routeros_monitor.c */
int routeros_monitor_create(struct router *router, struct err *err);
/* After the session: it ends commands of the monitor's. */
void routeros_monitor_destroy(struct router *router);
/* The router has been read: begins to watch, unless it does already in this session. */
void routeros_monitor_begin(struct router *router);
void routeros_monitor_lost(struct router *router);
/* What listen tells of /interface, to which the driver listens anyway. */
void routeros_monitor_take_interface(struct router *router, const struct ros_sentence *row);
int routeros_read_watched(struct router *router, struct router_health *ret_health, router_thing_fn *on_thing, void *arg);

#endif
