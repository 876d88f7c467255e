/*
 * routeros_save: the way back of a pushed script on RouterOS: making and releasing it. Called through router.h by job/confirm.c.
 *
 * One mechanism guards every script: a backup, and an entry of the scheduler that loads it, and so reboots the router, when it is
 * told to, when its time is over, or after a power cut (ros_way_back.h, with all states that the router may be found in).
 * On top of that a small script has safe mode, from 7.18 on: the gentle way back, without a reboot, while the router is reached.
 *
 *	save_point   prepare ---> take ---> mark ---> it stands      not small: prepare alone, which marks
 *			`-----------`---------`-----> conclude, with the reason
 *	commit	     prove ---> release ---> keep --> all is gone    keep fails unless it is still marked
 *	roll_back    look ---> unroll, or tell, or wait ---> look ...
 *		      `-> conclude -----------------> all is gone    routeros_undo.c
 *
 * Safe mode in the hands of a session that ended, or that is half dead unnoticed, is of no use: the router is told to go back, and
 * its reboot ends safe mode as well. It may also have ended without a word: then release, unroll, or the mark that is still there
 * say so, and the backup is there. Where device-mode forbids the scheduler, a small script has safe mode alone, and an agent that
 * loads the backup when it reaches the router.
 *
 * The backup's password is random, for this job alone, and never logged. docs/routeros-driver.md says who could read it.
 */
#include "agent/router/routeros_save.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/ros_actions.h"
#include "agent/router/ros_way_back.h"
#include "common/log.h"
#include "common/random.h"

#define NO_SCHEDULER "device-mode forbids the scheduler (/system device-mode update scheduler=yes)"

/* Its texts hold the backup's password. */
static void forget(struct routeros_save_job *job)
{
	explicit_bzero(job, sizeof(*job));
	free(job);
}

void routeros_save_finish(struct routeros_save_job *job, int result, const char *reason)
{
	job->router->save_job = NULL;
	ev_timer_stop(job->router->loop, &job->timer);
	job->on_done(job->arg, result, reason);
	forget(job);
}

bool routeros_holds_safe_mode(const struct router *router)
{
	return router->saved.session == router->sessions && ros_api_is_open(router->api);
}

static void on_executed(struct ros_execution *execution, const struct ros_outcome *outcome);

int routeros_save_execute(struct routeros_save_job *job, struct err *err)
{
	struct ros_piece piece = { .end = job->text.length, .line = 1 };

	if (job->text.failed)
		return err_set(err, -E2BIG, "the rollback script is longer than RouterOS takes");
	job->execution.arg = job;
	job->output.length = 0;
	return routeros_execute(&job->execution, job->router, job->script, &piece, false, LIMIT_ROS_PRINT_MS, &job->output, on_executed, err);
}

/* --- the save point ------------------------------------------------------------------------------------- */

static int send_command(struct routeros_save_job *job, const char *command, const struct ros_answer *answer, struct err *err)
{
	ros_api_begin(job->router->api, command);
	return ros_api_send(job->router->api, LIMIT_ROS_PRINT_MS, answer, job, NULL, err);
}

static void mark(struct routeros_save_job *job)
{
	struct err err;
	int r;

	job->step = SAVE_MARK;
	buf_clear(&job->text);
	ros_put_mark(&job->text, job->name);
	r = routeros_save_execute(job, &err);
	if (r < 0)
		routeros_undo_conclude(job, r, err.text);
}

static void on_taken(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;
	struct ros_saved *saved = &job->router->saved;
	struct err err;

	if (result->status == -EREMOTEIO)
		saved->session = 0;
	if (result->status == 0) {
		mark(job);
	} else if (result->status != -EREMOTEIO) {
		routeros_undo_conclude(job, result->status, result->err.text);
	} else if (saved->is_alone) {
		err_set(&err, 0, NO_SCHEDULER "; no safe mode: %s", result->err.text);
		routeros_undo_conclude(job, -EBUSY, err.text);
	} else {
		log_debug("router", "no safe mode, so the backup alone: item=%s why=\"%s\"", job->name, result->err.text);
		mark(job);
	}
}

static void on_prepared(struct routeros_save_job *job)
{
	static const struct ros_answer answer = { .on_end = on_taken };
	struct ros_saved *saved = &job->router->saved;
	struct err err;
	int r;

	saved->is_alone = job->output.length >= strlen(ROS_ALONE) && memcmp(job->output.text, ROS_ALONE, strlen(ROS_ALONE)) == 0;
	if (saved->is_alone)
		routeros_trouble(job->router, LOG_LEVEL_WARNING, "guards a script by safe mode alone, because " NO_SCHEDULER ": if that cuts "
				 "the agent off it goes back after up to 9 minutes, and after a power cut when the agent reaches it");
	if (!job->is_small) { /* it has been marked from the beginning */
		routeros_save_finish(job, 0, "");
		return;
	}
	saved->session = job->router->sessions; /* from here on it may be held, whatever answer is lost */
	r = send_command(job, "/safe-mode/take", &answer, &err);
	if (r < 0)
		routeros_undo_conclude(job, r, err.text);
}

static void on_executed(struct ros_execution *execution, const struct ros_outcome *outcome)
{
	struct routeros_save_job *job = execution->arg;

	if (job->step == SAVE_REMOVE) {
		routeros_undo_on_removed(job, outcome);
	} else if (job->step == SAVE_KEEP) {
		if (outcome->status == 0)
			job->router->saved = (struct ros_saved){ .script_ms = 0 };
		routeros_save_finish(job, outcome->status, outcome->status == 0 ? job->why.text : outcome->why.text);
	} else if (outcome->status != 0) {
		routeros_undo_conclude(job, outcome->status, outcome->why.text);
	} else if (job->step == SAVE_PREPARE) {
		on_prepared(job);
	} else {
		routeros_save_finish(job, 0, "");
	}
}

/* --- operations --------------------------------------------------------------------------------------- */

static int begin(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct routeros_save_job **ret_job,
		 struct err *err)
{
	struct routeros_save_job *job;

	if (router->save_job)
		return err_set(err, -EBUSY, "another save point is being worked on");
	job = calloc(1, sizeof(*job));
	if (!job)
		return err_set(err, -ENOMEM, "no memory for the save point");
	job->router = router;
	job->on_done = on_done;
	job->arg = arg;
	snprintf(job->name, sizeof(job->name), "jaga-%s", job_id);
	buf_init(&job->text, job->script, sizeof(job->script));
	*ret_job = job;
	return 0;
}

/* Takes the job along when it fails: r is how it began. */
static int start(struct routeros_save_job *job, int r)
{
	if (r < 0)
		forget(job);
	else
		job->router->save_job = job;
	return r;
}

/* From 7.18, and if its text alone proves that it ends soon and stays far below what safe mode undoes. */
static bool is_small(const struct router *router, const struct router_save_spec *spec)
{
	int actions = routeros_is_from(router, 7, 18) && !spec->rollback ? ros_count_actions(spec->script, spec->length) : -ENOTSUP;

	return actions >= 0 && actions <= LIMIT_ROS_SAFE_ACTIONS;
}

int routeros_save_point(struct router *router, const struct router_save_spec *spec, router_done_fn *on_done, void *arg,
			struct err *err)
{
	struct ros_way_back way = { .rollback = spec->rollback, .rollback_length = spec->rollback_length };
	struct routeros_save_job *job;
	char password[33];
	uint8_t random[16];
	struct buf hex;
	int r = router->is_ready ? begin(router, spec->job_id, on_done, arg, &job, err)
				 : err_set(err, -ENOTCONN, "the router could not be reached yet");

	if (r < 0)
		return r;
	random_fill(random, sizeof(random));
	buf_init(&hex, password, sizeof(password));
	buf_put_hex(&hex, random, sizeof(random));
	job->is_small = is_small(router, spec);
	router->saved = (struct ros_saved){ .script_ms = job->is_small ? LIMIT_ROS_SMALL_SCRIPT_MS : LIMIT_ROS_SAVED_SCRIPT_MS };
	way.name = job->name;
	way.password = password;
	way.is_small = job->is_small;
	way.has_device_mode = routeros_is_from(router, 7, 17);
	way.wait_s = (uint32_t)(router->saved.script_ms / 1000) + spec->confirm_s + LIMIT_ROS_MARGIN_S;
	ros_put_prepare(&job->text, &way);
	explicit_bzero(random, sizeof(random));
	explicit_bzero(password, sizeof(password));
	r = start(job, routeros_save_execute(job, err));
	if (r < 0)
		router->saved = (struct ros_saved){ .script_ms = 0 };
	return r;
}

static int keep(struct routeros_save_job *job, struct err *err)
{
	job->step = SAVE_KEEP;
	job->router->saved.script_ms = 0; /* from here on it may be gone */
	ros_put_keep(&job->text, job->name);
	return routeros_save_execute(job, err);
}

static void on_released(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;
	struct err err = result->err;
	int r = result->status;

	if (r == 0 || r == -EREMOTEIO)
		job->router->saved.session = 0;
	if (r == -EREMOTEIO) {
		routeros_trouble(job->router, LOG_LEVEL_WARNING, ROUTEROS_SAFE_ENDED ", before %s was confirmed: its backup was the way back", job->name);
		err_set(&job->why, 0, ROUTEROS_SAFE_ENDED ": what was done stays");
	}
	r = r == 0 || r == -EREMOTEIO ? keep(job, &err) : r;
	if (r < 0)
		routeros_save_finish(job, r, err.text);
}

static void on_proved(void *arg, int result, const char *reason)
{
	static const struct ros_answer answer = { .on_end = on_released };
	struct routeros_save_job *job = arg;
	struct router *router = job->router;
	struct err err;
	int r;

	if (result < 0)
		r = err_set(&err, result, "the agent is not let in again: %s", reason);
	else if (router->saved.session == 0)
		r = keep(job, &err);
	else if (routeros_holds_safe_mode(router))
		r = send_command(job, "/safe-mode/release", &answer, &err);
	else
		r = err_set(&err, -ECONNRESET, "the session with the router ended, with which safe mode ends");
	if (r < 0)
		routeros_save_finish(job, r, err.text);
}

int routeros_commit(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err)
{
	struct routeros_save_job *job;
	int r = begin(router, job_id, on_done, arg, &job, err);

	if (r < 0)
		return r;
	if (router->saved.is_alone)
		err_set(&job->why, 0, "guarded by safe mode alone: " NO_SCHEDULER);
	return start(job, routeros_prove(&job->proof, router, on_proved, job, err));
}

int routeros_roll_back(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err)
{
	struct routeros_save_job *job = NULL;
	int r = begin(router, job_id, on_done, arg, &job, err);

	if (r < 0)
		return r;
	router->save_job = job;
	routeros_undo_begin(job);
	return 0;
}

static void ignore(void *arg, int result, const char *reason)
{
	(void)arg;
	(void)result;
	(void)reason;
}

void routeros_save_close(struct router *router)
{
	if (router->save_job)
		router->save_job->on_done = ignore;
}

void routeros_save_free(struct router *router)
{
	if (!router->save_job)
		return;
	if (router->save_job->execution.router)
		routeros_execute_finish(&router->save_job->execution);
	routeros_prove_finish(&router->save_job->proof);
	ev_timer_stop(router->loop, &router->save_job->timer);
	forget(router->save_job);
	router->save_job = NULL;
}
