/*
 * script: see script.h. Called by router/linux_script.c in an agent that is root, and by script_serve.c
 * in the unit that is root for an agent that is not.
 */
#include "agent/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/child.h"
#include "common/file.h"

struct script {
	struct child child;
	router_script_fn *on_done;
	void *arg;
	char output[LIMIT_OUTPUT_BYTES];
};

int script_open_text(const void *text, size_t length, int *ret_fd, struct err *err)
{
	int fd = memfd_create("jaga-job", MFD_CLOEXEC), r;

	if (fd < 0)
		return err_sys(err, -errno, "memfd_create");
	r = file_write_all(fd, text, length);
	if (r < 0) {
		close(fd);
		return err_sys(err, r, "memory for the script");
	}
	*ret_fd = fd;
	return 0;
}

static void on_end(void *arg, const struct child_result *end)
{
	struct script *script = arg;
	const struct router_script_result result = {
		.exit_status = end->exit_status,
		.output = script->output,
		.output_length = end->output_length,
		.output_truncated = end->output_truncated,
		.duration_ms = end->duration_ms,
		.reason = end->reason,
	};

	script->on_done(script->arg, &result);
	free(script);
}

int script_start(struct ev_loop *loop, const struct script_spec *spec, router_script_fn *on_done, void *arg,
		 struct script **ret_script, struct err *err)
{
	static const char *const argv[] = { "sh", "/proc/self/fd/3", NULL };
	char name[16 + LIMIT_NAME];
	const char *const environment[] = { name, NULL };
	struct script *script = malloc(sizeof(*script));
	int r;

	if (!script)
		return err_set(err, -ENOMEM, "no memory for the output");
	child_init(&script->child);
	script->on_done = on_done;
	script->arg = arg;
	snprintf(name, sizeof(name), "JAGA_JOB=%s", spec->job_id);
	r = child_start(&script->child, loop,
			&(struct child_spec){ .argv = argv,
					      .environment = environment,
					      .extra_fd = spec->text_fd,
					      .output = script->output,
					      .output_size = sizeof(script->output),
					      .timeout_ms = spec->timeout_ms },
			on_end, script, err);
	if (r < 0) {
		free(script);
		return r;
	}
	*ret_script = script;
	return 0;
}

void script_kill(struct script *script)
{
	if (!script)
		return;
	child_kill(&script->child);
	free(script);
}

void script_abandon(struct script *script)
{
	if (!script)
		return;
	child_abandon(&script->child);
	free(script);
}
