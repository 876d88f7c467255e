/*
 * condition: what does not work on this router for a while, and why: a file system that cannot be written, a
 * key that is not there, a clock in 1970, a router that does not answer. Each is told once when it begins, once more when its reason changes and
 * once when it ends, in one line each: to the log and (by the callback) to the collector; `jaga-agent status`
 * shows those that last. None of them keeps the agent from forwarding. Loop thread only; allocates nothing.
 */
#ifndef JAGA_AGENT_CONDITION_H
#define JAGA_AGENT_CONDITION_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/log.h"

enum condition_id {
	CONDITION_STATE, CONDITION_SOCKET, CONDITION_CLOCK, CONDITION_KEY, CONDITION_RANDOM, CONDITION_ROUTER, CONDITION_TABLE,
	CONDITION_RIVAL,
	N_CONDITIONS
};

/* What a line says: something that passed; that a condition of its subsystem lasts from now on, or is over. The numbers of
 * Notice.span in proto/. */
enum notice_span { NOTICE_PASSING, NOTICE_BEGINS, NOTICE_ENDS };

#define CONDITION_TEXT 192 /* a notice's; longer is cut */

typedef void condition_tell_fn(void *arg, enum log_level level, const char *subsystem, const char *text,
			       enum notice_span span);

struct conditions {
	condition_tell_fn *tell;
	void *arg;
	char texts[N_CONDITIONS][CONDITION_TEXT]; /* "": all is well */
};

void conditions_init(struct conditions *conditions, condition_tell_fn *tell, void *arg);
/* It is so. Told when that is new. */
void condition_set(struct conditions *conditions, enum condition_id id, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* It is not so (any more): `text` is told if it was. */
void condition_clear(struct conditions *conditions, enum condition_id id, const char *text);
bool condition_is_set(const struct conditions *conditions, enum condition_id id);
/* Tells all that last once more, to somebody who may have forgotten. */
void conditions_repeat(const struct conditions *conditions);
/* All that last, "; " between them; "" when there is none. */
void conditions_put(const struct conditions *conditions, struct buf *buf);

#endif
