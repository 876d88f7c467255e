/*
 * prelude: what must be there before a session with the collector can begin: the key, and random numbers that
 * are fit for the keys of DTLS. Either may come later than the agent: the file when a technician copies it, the
 * numbers when the kernel has gathered enough after a boot. Forwarding waits for neither; each that is missing is
 * a condition (condition.h).
 *
 *   begin ─▶ key file? ── no: every LIMIT_UPKEEP_MS again ──┐
 *      `───▶ random?   ── no: a child waits for it ─────────┴─▶ both ─▶ on_ready, once
 *
 * Loop thread only.
 */
#ifndef JAGA_AGENT_PRELUDE_H
#define JAGA_AGENT_PRELUDE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/child.h"
#include "agent/condition.h"
#include "common/limits.h"

/* key: zeroised when this returns. */
typedef void prelude_ready_fn(void *arg, const uint8_t key[static LIMIT_PSK_BYTES]);

struct prelude {
	struct ev_loop *loop;
	const char *key_file;
	struct conditions *conditions;
	prelude_ready_fn *on_ready;
	void *arg;
	ev_timer retry;
	struct child waiter; /* for random numbers */
	bool has_key, has_random;
	uint8_t key[LIMIT_PSK_BYTES];
};

/* key_file, conditions: borrowed. on_ready may be called before this returns. */
void prelude_start(struct prelude *prelude, struct ev_loop *loop, const char *key_file, struct conditions *conditions,
		   prelude_ready_fn *on_ready, void *arg);
void prelude_stop(struct prelude *prelude); /* fine when it never started */

#endif
