/*
 * routeros_save: what the two files of the way back share: routeros_save.c, which makes and releases a save point, and
 * routeros_undo.c, which goes back to it and takes it away. One job at a time, router->save_job; it frees itself at its end.
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_SAVE_H
#define JAGA_AGENT_ROUTER_ROUTEROS_SAVE_H

#include "agent/router/routeros_execute.h"
#include "agent/router/routeros_prove.h"

#define ROUTEROS_SAFE_ENDED "safe mode had ended by itself (the router undoes 100 actions, everybody's together)"

struct routeros_save_job {
	struct router *router;
	router_done_fn *on_done;
	void *arg;
	char name[LIMIT_NAME + 8]; /* jaga-JOB: of the backup and of the item that loads it */
	enum { SAVE_PREPARE, SAVE_MARK, SAVE_KEEP, SAVE_LOOK, SAVE_REMOVE } step;
	bool is_small; /* safe mode is wanted */
	int result;	/* how it ends, once everything has been removed ... */
	struct err why; /* ... and its reason */
	/* look */
	enum save_menu { SAVE_ENTRY, SAVE_RECORD, SAVE_FILE, SAVE_MENUS } menu; /* that is being read */
	struct {
		char id[LIMIT_ROS_ID]; /* "": it is not there */
		char comment[LIMIT_ROS_VALUE];
	} found[SAVE_MENUS];
	int64_t told_ms; /* when it was certain that the router had been told; 0: not yet */
	ev_timer timer;
	struct routeros_proof proof;
	struct ros_execution execution;
	struct ros_output output;
	struct buf text;
	char script[LIMIT_ROS_EXECUTE_BYTES];
};

/* routeros_save.c */
/* Its text, at the router; routeros_save.c is told of the end, and hands that of SAVE_REMOVE on. */
int routeros_save_execute(struct routeros_save_job *job, struct err *err);
void routeros_save_finish(struct routeros_save_job *job, int result, const char *reason);
bool routeros_holds_safe_mode(const struct router *router);

/* routeros_undo.c */
/* Begins, from the loop, with how the router stands. */
void routeros_undo_begin(struct routeros_save_job *job);
/* Nothing has been done since the save point, or all of it undone: takes that away, then ends with the result. */
void routeros_undo_conclude(struct routeros_save_job *job, int result, const char *reason);
void routeros_undo_on_removed(struct routeros_save_job *job, const struct ros_outcome *outcome);

#endif
