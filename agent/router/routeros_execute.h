/*
 * routeros_execute: one text for RouterOS's script interpreter, run to its end, with certain knowledge of how it ended.
 *
 * Where the answer to a script is worth nothing (before 7.8 "/execute" answers with the number of a job, whose errors are
 * lost) or may lie, the script itself tells: a global variable holds the line of the statement under way.
 *
 *	:global jagaX 0;          absent afterwards: the router could not read the script, nothing was done
 *	:set jagaX 7;/ip address  7: the statement of line 7 failed, what stands before it was carried out
 *	:set jagaX;:put jagaX     as a string, from 7.8: the last line of the output says that all was done
 *	:set jagaX done           as a job: the variable says so, and the output is in a file
 *
 * Variables are in the router's memory and in no export. The variable and the file are taken away at the end. See MikroTik's
 * manual, "Scripting". Loop thread only.
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_EXECUTE_H
#define JAGA_AGENT_ROUTER_ROUTEROS_EXECUTE_H

#include "agent/router/ros_scan.h"
#include "agent/router/routeros.h"

struct ros_output { /* what scripts printed, one behind the other */
	char text[LIMIT_OUTPUT_BYTES];
	size_t length;
	bool is_truncated;
	size_t begin;	       /* where the output of the script under way begins */
	uint64_t seen;	       /* its bytes so far */
	char tail[LIMIT_ROS_TAIL]; /* its last ones, with the marker or the reason */
	size_t tail_length;
};

struct ros_outcome {
	/*
	 * 0: all was done. -EREMOTEIO: the script failed, or the router does not take it. -ETIMEDOUT: it was stopped. Others:
	 * the session ended, nobody knows.
	 */
	int status;
	bool has_begun;	       /* unless 0: something may have been carried out */
	uint32_t line, column; /* of the script, where it failed; 0: not told */
	struct err why;
};

struct ros_execution;
typedef void ros_execution_fn(struct ros_execution *execution, const struct ros_outcome *outcome);

struct ros_execution { /* contents are private, but for arg */
	void *arg;
	struct router *router;
	ros_execution_fn *on_done;
	const char *script;
	struct ros_piece piece;
	struct ros_output *output;
	bool is_job;
	unsigned session; /* of the router's, in which it began */
	ev_timer timer;	  /* to look at the job again */
	ev_timer deadline;
	uint32_t tag;	  /* of /execute */
	char name[LIMIT_ROS_ID]; /* of variable, marker and file */
	char job_id[LIMIT_ROS_ID], variable_id[LIMIT_ROS_ID], file_id[LIMIT_ROS_ID];
	bool is_running; /* the job is listed ... */
	bool has_no_end; /* ... and would be for ever */
	struct err refusal; /* of /execute itself */
	int64_t pause_ms;
	char value[LIMIT_ROS_ID]; /* of the variable; "": it is not there */
	uint64_t file_size;
	struct ros_outcome outcome;
	struct buf text;
	char space[LIMIT_ROS_EXECUTE_BYTES + 1];
};

/*
 * Runs a piece of script, or with is_dry only has the router read it. script and output are borrowed until on_done, which
 * comes from the loop. Nothing of the script is logged.
 */
int routeros_execute(struct ros_execution *execution, struct router *router, const char *script, const struct ros_piece *piece,
		     bool is_dry, int64_t timeout_ms, struct ros_output *output, ros_execution_fn *on_done, struct err *err);
/* After the session was destroyed, which ends commands but not what waits for a timer. A job goes on at the router. */
void routeros_execute_finish(struct ros_execution *execution);

/* Of a piece: leaves room for what is put around it. */
#define ROS_PIECE_BYTES (LIMIT_ROS_EXECUTE_BYTES - 256)

#endif
