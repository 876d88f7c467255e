/*
 * linux_save: the way back of a pushed script on Linux: a save point, and going back to it.
 *
 *   save_point, commit, roll_back ─▶ linux_save.sh, with what it is about in front ─▶ linux_run_script()
 *
 * Saving and going back need the same rights as the script: so they are scripts, too, run as root where scripts are run
 * as root (linux_script.c), and what they keep lies in the state directory, where the next agent and the next boot find
 * it. The shell's text is part of the program (agent/module.mk writes linux_save.inc from linux_save.sh, without its
 * comments). One at a time, and none beside a script: the runner calls them one after the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/linux.h"
#include "common/buf.h"

#define NO_SAVE_POINT 44	   /* exit status of linux_save.sh */
#define ASSIGNMENTS_BYTES 16384 /* all paths and patterns at their longest, each with some quotes in it */

static const char program[] =
#include "linux_save.inc"
	;

static void on_end(void *arg, const struct router_script_result *result)
{
	struct router *router = arg;
	struct linux_save save = router->save;
	char line[LIMIT_ERR_TEXT];

	router->save = (struct linux_save){ NULL, NULL };
	if (result->exit_status == 0) {
		save.on_done(save.arg, 0, "");
		return;
	}
	router_last_line(result->output, result->output_length, line, sizeof(line));
	if (result->exit_status == NO_SAVE_POINT)
		save.on_done(save.arg, -ENOENT, line);
	else
		save.on_done(save.arg, -EIO, line[0] != '\0' && result->exit_status > 0 ? line : result->reason);
}

/* NAME='text': nothing in it means anything to the shell; a quote ends, stands by itself and begins again. */
static void put_assignment(struct buf *buf, const char *name, const char *text, size_t length)
{
	buf_printf(buf, "%s='", name);
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\'')
			buf_puts(buf, "'\\''");
		else
			buf_put(buf, text + i, 1);
	}
	buf_puts(buf, "'\n");
}

static void put_files(struct buf *buf, const struct agent_config *config)
{
	char text[LIMIT_SNAPSHOT_SOURCES * (LIMIT_PATH + 1) + 1];
	struct buf files;

	buf_init(&files, text, sizeof(text));
	for (unsigned i = 0; i < config->n_snapshot_files; i++)
		buf_printf(&files, "%s\n", config->snapshot_files[i]);
	put_assignment(buf, "FILES", files.data, files.length);
}

static int run(struct router *router, const char *action, const char *job_id, const char *rollback, size_t rollback_length,
	       router_done_fn *on_done, void *arg, struct err *err)
{
	const struct agent_config *config = router->config;
	/* A rollback full of quotes is four times as long. */
	size_t size = sizeof(program) + ASSIGNMENTS_BYTES + 4 * rollback_length;
	char *memory;
	struct buf buf;
	int r;

	if (router->save.on_done)
		return err_set(err, -EBUSY, "another save point is being worked on");
	if (rollback_length > 0 && memchr(rollback, '\0', rollback_length))
		return err_set(err, -EINVAL, "the rollback script is not a text");
	memory = malloc(size);
	if (!memory)
		return err_set(err, -ENOMEM, "no memory for a save point");
	buf_init(&buf, memory, size);
	put_assignment(&buf, "ACTION", action, strlen(action));
	put_assignment(&buf, "DIR", config->state_dir, strlen(config->state_dir));
	put_assignment(&buf, "JOB", job_id, strlen(job_id));
	put_assignment(&buf, "RELOAD", config->script_reload, strlen(config->script_reload));
	put_files(&buf, config);
	put_assignment(&buf, "ROLLBACK", rollback, rollback_length);
	buf_put(&buf, program, sizeof(program) - 1);
	router->save = (struct linux_save){ on_done, arg };
	if (buf.failed || buf.length > LIMIT_JOB_BYTES)
		r = err_set(err, -EMSGSIZE, "the rollback script is too long to be kept");
	else
		r = linux_run_script(router, "way-back", "sh", buf.data, buf.length, LIMIT_SCRIPT_MS, on_end, router, err);
	if (r < 0)
		router->save = (struct linux_save){ NULL, NULL };
	free(memory);
	return r;
}

int linux_save_point(struct router *router, const struct router_save_spec *spec, router_done_fn *on_done, void *arg,
		     struct err *err)
{
	return run(router, "save", spec->job_id, spec->rollback, spec->rollback_length, on_done, arg, err);
}

int linux_commit(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err)
{
	return run(router, "commit", job_id, NULL, 0, on_done, arg, err);
}

int linux_roll_back(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err)
{
	return run(router, "roll_back", job_id, NULL, 0, on_done, arg, err);
}
