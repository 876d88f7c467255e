/*
 * linux_script: runs a pushed script with the shell of this router.
 *
 * The text goes into a memfd and the shell reads it as /proc/self/fd/3, not from its standard input:
 * a command of the script that reads (ssh, read, cat) must find an empty input and not the rest of the
 * script. The child has a session of its own, PATH, LC_ALL=C and JAGA_JOB, its output in a pipe that
 * is capped at LIMIT_OUTPUT_BYTES, and a time-out for its whole process group (child.h). Called through
 * struct router_ops by job/runner.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/child.h"
#include "agent/router/linux.h"
#include "common/file.h"

struct linux_script_job {
	struct child child;
	struct router *router;
	router_script_fn *on_done;
	void *arg;
	char output[LIMIT_OUTPUT_BYTES];
};

static void on_script_end(void *arg, const struct child_result *end)
{
	struct linux_script_job *job = arg;
	const struct router_script_result result = {
		.exit_status = end->exit_status,
		.output = job->output,
		.output_length = end->output_length,
		.output_truncated = end->output_truncated,
		.duration_ms = end->duration_ms,
		.reason = end->reason,
	};

	job->router->script_job = NULL;
	job->on_done(job->arg, &result);
	free(job);
}

int linux_run_script(struct router *router, const char *job_id, const char *interpreter, const void *script,
		     size_t length, int64_t timeout_ms, router_script_fn *on_done, void *arg, struct err *err)
{
	static const char *const argv[] = { "sh", "/proc/self/fd/3", NULL };
	char name[16 + LIMIT_NAME];
	const char *const environment[] = { name, NULL };
	struct linux_script_job *job = NULL;
	int fd = -1, r;

	if (router->script_job)
		return err_set(err, -EBUSY, "another script runs");
	if (interpreter[0] != '\0' && strcmp(interpreter, "sh") != 0)
		return err_set(err, -ENOTSUP, "this router has no interpreter '%.16s', only sh", interpreter);
	fd = memfd_create("jaga-job", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "memfd_create");
	r = file_write_all(fd, script, length);
	if (r < 0) {
		r = err_sys(err, r, "memory for the script");
		goto out;
	}
	job = malloc(sizeof(*job));
	if (!job) {
		r = err_set(err, -ENOMEM, "no memory for the output");
		goto out;
	}
	child_init(&job->child);
	job->router = router;
	job->on_done = on_done;
	job->arg = arg;
	snprintf(name, sizeof(name), "JAGA_JOB=%s", job_id);
	r = child_start(&job->child, router->loop,
			&(struct child_spec){ .argv = argv,
					      .environment = environment,
					      .extra_fd = fd,
					      .output = job->output,
					      .output_size = sizeof(job->output),
					      .timeout_ms = timeout_ms },
			on_script_end, job, err);
	if (r < 0)
		goto out;
	router->script_job = job;
	job = NULL;
out:
	free(job);
	close(fd);
	return r;
}

void linux_script_close(struct router *router)
{
	if (!router->script_job)
		return;
	child_abandon(&router->script_job->child);
	free(router->script_job);
	router->script_job = NULL;
}
