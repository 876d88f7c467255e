/*
 * linux_script: runs a pushed script on this router, as root.
 *
 * Where the agent is root (OpenWrt, containers) it runs the script itself (script.h). Where it is not,
 * --script-socket names the unit that is root (script_unit.h). An agent that is neither runs none: a
 * script that fails half-way for want of rights is worse than one that was refused. Called through
 * struct router_ops by job/runner.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/router/linux.h"
#include "agent/script_unit.h"

struct linux_script_job {
	struct router *router;
	router_script_fn *on_done;
	void *arg;
	struct script *script;	  /* it runs here ... */
	struct script_unit *unit; /* ... or there */
};

static void on_script_end(void *arg, const struct router_script_result *result)
{
	struct linux_script_job *job = arg;

	job->router->script_job = NULL;
	job->on_done(job->arg, result);
	free(job);
}

static int start(struct linux_script_job *job, const struct script_spec *spec, struct err *err)
{
	const char *socket_path = job->router->config->script_socket;
	struct ev_loop *loop = job->router->loop;

	if (socket_path[0] != '\0')
		return script_unit_start(loop, socket_path, spec, on_script_end, job, &job->unit, err);
	if (geteuid() != 0)
		return err_set(err, -EPERM, "not run: this agent is not root and has no unit for scripts (--script-socket)");
	return script_start(loop, spec, on_script_end, job, &job->script, err);
}

int linux_run_script(struct router *router, const char *job_id, const char *interpreter, const void *script,
		     size_t length, int64_t timeout_ms, router_script_fn *on_done, void *arg, struct err *err)
{
	struct script_spec spec = { job_id, -1, timeout_ms };
	struct linux_script_job *job;
	int r;

	if (router->script_job)
		return err_set(err, -EBUSY, "another script runs");
	if (interpreter[0] != '\0' && strcmp(interpreter, "sh") != 0)
		return err_set(err, -ENOTSUP, "this router has no interpreter '%.16s', only sh", interpreter);
	job = malloc(sizeof(*job));
	if (!job)
		return err_set(err, -ENOMEM, "no memory for the script");
	*job = (struct linux_script_job){ .router = router, .on_done = on_done, .arg = arg };
	r = script_open_text(script, length, &spec.text_fd, err);
	if (r == 0)
		r = start(job, &spec, err);
	if (spec.text_fd >= 0)
		close(spec.text_fd);
	if (r < 0) {
		free(job);
		return r;
	}
	router->script_job = job;
	return 0;
}

void linux_script_close(struct router *router)
{
	if (!router->script_job)
		return;
	script_abandon(router->script_job->script);
	script_unit_abandon(router->script_job->unit);
	free(router->script_job);
	router->script_job = NULL;
}
