/*
 * ros_way_back: the texts that RouterOS is given for the way back of a job (routeros_save.c). Pure: memory only.
 *
 * What lies at the router is the whole state, so any agent can go on from it: an item of the configuration by the name of the
 * job, whose comment says how it stands, and the file of the backup.
 *
 *	item	comment	   file
 *	yes	UNCHANGED  yes	nothing has been done yet, or safe mode has undone all of it: the way back is not needed
 *	yes	WAY_BACK   yes	the script may have done something. ROLLBACK, without a file: the author's own script undoes it
 *	yes	GO_BACK	   yes	the router goes back within ten seconds
 *	yes	WENT_BACK  -	it did so by the author's script; or UNCHANGED was never taken away: the item is disabled
 *	-		   yes	it has loaded the backup, which holds no such item
 *	yes	WAY_BACK   -	it was being taken away: what the script did stays
 *
 * From UNCHANGED to WAY_BACK goes the first action within safe mode, which is the last to be undone: so the comment proves
 * whether safe mode undid all, or ended without a word (past 100 actions, or at a power cut).
 *
 * The item is an entry of the scheduler. Where device-mode forbids those, it is a script that only an agent can run, and
 * safe mode alone acts by itself.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_WAY_BACK_H
#define JAGA_AGENT_ROUTER_ROS_WAY_BACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define ROS_UNCHANGED "jaga: nothing changed yet"
#define ROS_WAY_BACK "jaga: way back"
#define ROS_ROLLBACK "jaga: rollback"
#define ROS_GO_BACK "jaga: go back now"
#define ROS_WENT_BACK "jaga: went back"

/* What ros_put_prepare() prints when safe mode is all that acts by itself. */
#define ROS_ALONE "alone"

struct ros_way_back {
	const char *name;     /* of item and file; without anything to quote */
	const char *password; /* of the backup, likewise; NULL with a rollback */
	const char *rollback; /* of the job's author; NULL: a backup */
	size_t rollback_length;
	uint32_t wait_s;      /* then the router goes back */
	bool is_small;	      /* safe mode will be tried */
	bool has_device_mode; /* that may forbid the scheduler: from 7.17 */
};

/* Backup and item. A failed one may leave either behind. */
void ros_put_prepare(struct buf *out, const struct ros_way_back *way);
/* UNCHANGED -> WAY_BACK. */
void ros_put_mark(struct buf *out, const char *name);
/* Takes all away, whatever is left of it; the file first, without which nothing goes back. */
void ros_put_remove(struct buf *out, const char *name);
/* The same, but fails if the router has gone back, or is about to. */
void ros_put_keep(struct buf *out, const char *name);

#endif
