/*
 * script_unit: a pushed script handed to a process that is root, by an agent that is not.
 *
 *   agent (user jaga-agent)                     jaga-script@.service (root), one process a script
 *     script_unit_start() ── SOCK_SEQPACKET ──▶   script_serve()
 *        request + descriptor of the text          checks who asks and what root's agent.conf allows,
 *        router_script_fn ◀── answer + output      runs it (script.h), answers, ends
 *
 * One message each way. Both ends are programs of one machine, mostly the same file; where an upgrade
 * has just replaced one of them, the version tells. The script does not depend on the agent: when that
 * ends, the script goes on to its end, and nobody takes the answer.
 */
#ifndef JAGA_AGENT_SCRIPT_UNIT_H
#define JAGA_AGENT_SCRIPT_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/script.h"

#define SCRIPT_UNIT_VERSION 1 /* of the two messages */

struct script_unit_request { /* beside it, by SCM_RIGHTS: a regular file, the script */
	uint32_t version;
	char job_id[LIMIT_NAME];
	int64_t timeout_ms; /* 1 to LIMIT_SCRIPT_MS */
};
struct script_unit_answer { /* behind it: the output */
	uint32_t version;
	int32_t exit_status; /* as in struct router_script_result */
	int64_t duration_ms;
	bool output_truncated, is_interrupted;
	char reason[128];
};

struct script_unit;

/*
 * 0: handed over; on_done will be called exactly once, later. Else nothing was run: -ENOENT,
 * -ECONNREFUSED, -EACCES: the socket is not there, nobody listens, or we may not.
 */
int script_unit_start(struct ev_loop *loop, const char *socket_path, const struct script_spec *spec,
		      router_script_fn *on_done, void *arg, struct script_unit **ret_unit, struct err *err);
/* Lets go of it: the script goes on, on_done is not called. NULL is fine. */
void script_unit_abandon(struct script_unit *unit);

/*
 * jaga-agent --run-script: serves the connection that is descriptor `fd`, and returns an exit status
 * (enum local_exit). Runs nothing unless the peer is root or the owner of state_dir, and the
 * configuration at config_path, which only root can change, says that scripts run here.
 */
int script_serve(const char *config_path, int fd);

#endif
