/*
 * routeros_safe: safe mode as the save point of a small script (RouterOS 7.18 and newer), within the work of routeros_save.c.
 *
 * Safe mode belongs to the session that took it: when that ends without /safe-mode/release, the router undoes. Which kind of
 * save point a job has is noted at the router for an agent that comes later, as a variable: in memory, in no export, gone with
 * a reboot. What the note says is true at any moment:
 *
 *	"JOB"		safe mode was taken, or is about to be, and was not released
 *	"JOB releasing"	it was released or not: this alone cannot be told afterwards
 *	none		it was released; or there was another kind of save point, or none; or the router has rebooted since
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_SAFE_H
#define JAGA_AGENT_ROUTER_ROUTEROS_SAFE_H

#include "agent/router/routeros_execute.h"

struct routeros_safe;
/*
 * 0: done. -EBUSY: of a taking, the router does not give safe mode, and why. -ENOENT: of an undoing, safe mode was not this
 * job's save point. Else the reason says what a person has to know. Always from the loop.
 */
typedef void routeros_safe_fn(struct routeros_safe *safe, int result, const char *reason);

struct routeros_safe { /* contents are private, but for what the comment says */
	struct router *router;
	struct ros_execution *execution; /* to borrow; these three are set by the owner */
	struct ros_output *output;
	void *arg;
	routeros_safe_fn *on_done;
	char job_id[LIMIT_NAME];
	char note[LIMIT_ROS_VALUE]; /* as the router has it */
	enum { SAFE_TAKE, SAFE_KEEP, SAFE_KEPT, SAFE_UNDO, SAFE_UNDONE } step;
	unsigned session; /* in which it goes on */
	int64_t until_ms; /* waits so long for another session to end */
	int result;	  /* of the undoing, while the note is removed ... */
	struct err why;	  /* ... and its reason */
	ev_timer timer;
	char text[LIMIT_ROS_VALUE];
};

bool routeros_safe_is_known(const struct router *router); /* this version has it */
/* May a script of this text have safe mode as its save point on this router? */
bool routeros_safe_is_enough(const struct router *router, const struct router_save_spec *spec);
/* Is it held for a job of this process? */
bool routeros_safe_is_held(const struct router *router);
void routeros_safe_init(struct routeros_safe *safe, struct router *router, const char *job_id, routeros_safe_fn *on_done, void *arg);
/* Both fail at once, or on_done follows. */
int routeros_safe_take(struct routeros_safe *safe, struct err *err);
int routeros_safe_keep(struct routeros_safe *safe, struct err *err);
/* Goes back, or waits until the router has done so. Also in a process that knows nothing of the job. */
void routeros_safe_undo(struct routeros_safe *safe);
void routeros_safe_finish(struct routeros_safe *safe);

/* For a script that the router is given: no job has safe mode. */
#define ROUTEROS_SAFE_FORGET ":global jagaSafe\n:set jagaSafe\n"

#endif
