/*
 * script: one pushed script, run by this machine's shell in a child process (child.h).
 *
 * The text is a descriptor that the shell reads as /proc/self/fd/3, not its standard input: a command of
 * the script that reads (ssh, read, cat) must find an empty input and not the rest of the script. The
 * script has a session of its own, PATH, LC_ALL=C and JAGA_JOB, its output is kept up to
 * LIMIT_OUTPUT_BYTES, and a time-out ends its whole process group. It runs with the rights of the caller:
 * the agent where that is root, else `jaga-agent --run-script` in a unit of its own (script_unit.h).
 * Needs libev's default loop; loop thread only.
 */
#ifndef JAGA_AGENT_SCRIPT_H
#define JAGA_AGENT_SCRIPT_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/router/router.h"
#include "common/err.h"

struct script;

struct script_spec {
	const char *job_id; /* JAGA_JOB; read before the start returns */
	int text_fd;	    /* borrowed until the start returns */
	int64_t timeout_ms;
};

/* The text as a descriptor, in memory. Who gets it closes it. */
int script_open_text(const void *text, size_t length, int *ret_fd, struct err *err);

/* 0: on_done will be called exactly once, later; then *ret_script is gone. */
int script_start(struct ev_loop *loop, const struct script_spec *spec, router_script_fn *on_done, void *arg,
		 struct script **ret_script, struct err *err);
/* Ends its process group at once; on_done is not called. NULL is fine. */
void script_kill(struct script *script);
/* Lets go of it: it goes on by itself; on_done is not called. NULL is fine. */
void script_abandon(struct script *script);

#endif
