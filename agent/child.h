/*
 * child: one program, or one function of our own, in a child process that nobody waits for.
 *
 * The loop goes on while it runs: output is collected into memory of the caller up to a cap, a
 * time-out ends the whole process group, and one callback tells the end. A function runs what may
 * block for long (fsync on slow flash). A program goes on when we are killed; a function is part of us,
 * and is killed with us: nothing of it is done after the next of us has begun. Needs the default loop of
 * libev. Loop thread only; one struct child may be used again after its end.
 */
#ifndef JAGA_AGENT_CHILD_H
#define JAGA_AGENT_CHILD_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

struct child_result {
	int exit_status; /* 128 + signal when a signal ended it; -1: it could not be started (reason) */
	size_t output_length;
	bool output_truncated;
	bool timed_out;
	int64_t duration_ms;
	const char *reason; /* "" when there is nothing to say; valid during the callback */
};
typedef void child_done_fn(void *arg, const struct child_result *result);

struct child_spec {
	const char *const *argv;	/* argv[0] is looked up in PATH; NULL: `function` runs instead */
	int (*function)(void *arg);	/* in the child: without our memory, killed with us; returns its exit status */
	void *function_arg;
	const char *const *environment; /* "NAME=value", NULL at the end; beside PATH and LC_ALL; may be NULL */
	int extra_fd;			/* becomes descriptor 3 of the program; -1: an empty file is there */
	char *output;			/* standard output and error together; NULL: to nowhere */
	size_t output_size;		/* bytes at output: more is dropped and flagged */
	int64_t timeout_ms;		/* then SIGTERM, and SIGKILL after CHILD_GRACE_MS */
};

#define CHILD_GRACE_MS 5000 /* long enough to remove a lock file, short beside any time-out */

struct child {
	struct ev_loop *loop;
	ev_child exited;
	ev_io readable;
	ev_timer timeout;
	child_done_fn *on_done;
	void *arg;
	pid_t pid; /* 0: not running */
	int output_fd, status_fd;
	char *output;
	size_t output_size, output_length;
	bool output_truncated, timed_out;
	int64_t began_ms;
};

void child_init(struct child *child);
bool child_is_running(const struct child *child);
/* 0: on_done will be called exactly once, later. -EBUSY: it runs. Else the errno of pipe or fork. */
int child_start(struct child *child, struct ev_loop *loop, const struct child_spec *spec, child_done_fn *on_done,
		void *arg, struct err *err);
/* Ends the whole process group at once; on_done is not called. Fine when nothing runs. */
void child_kill(struct child *child);
/* At our own end: waits for a running function, blocking, and ends it when timeout_ms are over; on_done is not called. */
void child_finish(struct child *child, int64_t timeout_ms);
/* Of a process that was forked by hand, in itself: it is killed with `parent`, who forked it; what is exec'd, too. */
int child_die_with(pid_t parent);
/* Lets go of a running child, which goes on by itself; on_done is not called. */
void child_abandon(struct child *child);

#endif
