/*
 * upkeep: what the agent would like to have of its machine and can do without, looked after every few seconds:
 * a state directory that can be written, a socket for `jaga-agent status`, a clock that is right. Each is a
 * condition (condition.h) while it is wrong, and is taken on when it comes: flash that is mounted late, space
 * that returns, NTP. Also who may steer: one agent in a network namespace, one with this state directory.
 *
 * Loop thread only. Writes to flash only to find out whether a directory that could not be written can be again.
 */
#ifndef JAGA_AGENT_UPKEEP_H
#define JAGA_AGENT_UPKEEP_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/condition.h"
#include "agent/config.h"
#include "common/clock.h"
#include "common/err.h"

struct upkeep_ops {
	int (*open_socket)(void *arg, struct err *err); /* again after each failure */
	void (*on_state_back)(void *arg);		/* the directory could not be written, and now can */
};

struct upkeep {
	struct ev_loop *loop;
	const struct agent_config *config;
	struct conditions *conditions;
	const struct upkeep_ops *ops;
	void *arg;
	ev_timer timer;
	int claim_fd, lock_fd; /* -1: not held */
	struct clock_watch clock;
	int64_t clock_told_ms; /* monotonic; 0: no step was told yet */
};

/*
 * The first step of a start; nothing has changed yet. -EBUSY: another agent steers here (in err); all else that fails
 * becomes a condition, and the agent goes on.
 */
int upkeep_claim(struct upkeep *upkeep, const struct agent_config *config, struct conditions *conditions, struct err *err);
/* ops: borrowed. Opens the socket, and begins to look. */
void upkeep_start(struct upkeep *upkeep, struct ev_loop *loop, const struct upkeep_ops *ops, void *arg);
void upkeep_stop(struct upkeep *upkeep); /* fine after upkeep_claim() alone, and without */

#endif
