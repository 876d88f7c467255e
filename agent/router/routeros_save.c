/*
 * routeros_save: the way back of a pushed script on RouterOS: a backup, and an entry of the scheduler that loads it.
 *
 *	save_point   /system backup save, its file seen; then the entry jaga-JOB, every 10 s and at each start:
 *		     too late, rebooted meanwhile, or told to -> /system backup load, with which the router reboots
 *	commit	     entry and file are removed
 *	roll_back    the entry is told to by its comment; afterwards the entry is gone, which the backup does not hold,
 *		     and the file is still there: that is the proof, also for an agent that comes later
 *
 * The entry goes by the uptime, not by the clock, which routers lose: less than at the save point means a power cut. With a
 * rollback of the job's author the entry runs that instead of loading a backup, and is left behind, disabled, as the proof.
 *
 * The backup's password is random, for this job alone. RouterOS has no place where a script could read it and a person could not:
 * whoever may read the scheduler sees it until commit. It is never logged. Called through router.h by job/confirm.c.
 *
 * A small script on 7.18 and newer has safe mode instead (routeros_safe.h), unless somebody else holds it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/ros_script.h"
#include "agent/router/routeros_execute.h"
#include "agent/router/routeros_safe.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"

#define GO_BACK "jaga: go back now"
#define WENT_BACK "jaga: went back"

struct routeros_save_job {
	struct router *router;
	router_done_fn *on_done;
	void *arg;
	char name[LIMIT_NAME + 8]; /* jaga-JOB */
	bool is_saving;
	int failure;	/* of a save point that could not be had, while what is left of it is removed ... */
	struct err why; /* ... and its reason */
	/* roll_back */
	ev_timer timer;
	int64_t told_ms; /* when the entry was told to go back; 0: not yet */
	bool has_entry, has_file;
	char entry_id[LIMIT_ROS_ID], file_id[LIMIT_ROS_ID], comment[LIMIT_ROS_VALUE];
	struct routeros_safe safe;
	struct ros_execution execution;
	struct ros_output output;
	struct buf text;
	char script[LIMIT_ROS_EXECUTE_BYTES];
};

static void finish(struct routeros_save_job *job, int result, const char *reason)
{
	job->router->save_job = NULL;
	if (result == 0)
		job->router->is_saved = job->is_saving;
	ev_timer_stop(job->router->loop, &job->timer);
	job->on_done(job->arg, result, reason);
	explicit_bzero(job->script, sizeof(job->script));
	free(job);
}

/* --- scripts ------------------------------------------------------------------------------------------ */

/* When the entry goes back: `now` is the uptime at the save point. */
static void put_condition(struct buf *out, const char *name)
{
	buf_printf(out,
		   "(\":local up [/system resource get uptime];:if (\\$up > \" . ($now + $wait) . \" || \\$up < \" . $now . "
		   "\" || [/system scheduler get [find name=\\\"%s\\\"] comment] = \\\"" GO_BACK "\\\") do={\\r\\n\" . ", name);
}

static void put_entry(struct routeros_save_job *job, uint32_t wait_s, const char *action, size_t length)
{
	buf_printf(&job->text, ":local wait %" PRIu32 "s\n:local now [/system resource get uptime]\n:local act ", wait_s);
	ros_put_quoted(&job->text, action, length);
	buf_printf(&job->text, "\n/system scheduler add name=\"%s\" comment=\"jaga: way back\" start-time=startup interval=10s on-event=",
		   job->name);
	put_condition(&job->text, job->name);
	buf_puts(&job->text, "$load . $act . \"}\")\n");
}

/* What 7.17 forbids to home routers is told with its remedy. */
static void put_device_mode(struct routeros_save_job *job)
{
	const struct ros_model *model = &job->router->model;

	if (model->major > 7 || (model->major == 7 && model->minor >= 17))
		buf_puts(&job->text, ":if ([:tostr [/system device-mode get scheduler]] ~ \"no|false\") do={ :error \"device-mode forbids the "
				     "scheduler: /system device-mode update scheduler=yes\" }\n");
}

static void put_backup(struct routeros_save_job *job)
{
	char password[33];
	uint8_t random[16];
	struct buf hex;

	random_fill(random, sizeof(random));
	buf_init(&hex, password, sizeof(password));
	buf_put_hex(&hex, random, sizeof(random));
	/* What is not under flash/ is in memory, on boards that have it. */
	buf_printf(&job->text,
		   ":local file \"%s\"\n"
		   ":if ([:len [/file find name=\"flash\"]] > 0) do={ :set file \"flash/%s\" }\n"
		   "/system backup save name=$file password=%s\n"
		   ":local size 0\n"
		   ":for i from=1 to=40 do={ :if ($size = 0) do={\n"
		   "  :if ([:len [/file find name=\"$file.backup\"]] > 0) do={ :set size [/file get [/file find name=\"$file.backup\"] size] }\n"
		   "  :if ($size = 0) do={ :delay 250ms }\n"
		   "} }\n"
		   ":if ($size = 0) do={ :error \"the backup has not become a file within 10 s\" }\n",
		   job->name, job->name, password);
	explicit_bzero(random, sizeof(random));
	buf_printf(&job->text, ":local load (\"/system backup load password=%s name=\" . $file . \"\\r\\n\")\n", password);
	explicit_bzero(password, sizeof(password));
}

static void put_removal(struct routeros_save_job *job)
{
	buf_printf(&job->text,
		   "/system scheduler remove [find name=\"%s\"]\n/file remove [find name=\"%s.backup\"]\n/file remove [find name=\"flash/%s.backup\"]\n",
		   job->name, job->name, job->name);
}

static void on_executed(struct ros_execution *execution, const struct ros_outcome *outcome);

static int execute(struct routeros_save_job *job, struct err *err)
{
	struct ros_piece piece = { .end = job->text.length, .line = 1 };

	if (job->text.failed)
		return err_set(err, -E2BIG, "the rollback script is longer than RouterOS takes");
	job->execution.arg = job;
	job->output.length = 0;
	return routeros_execute(&job->execution, job->router, job->script, &piece, false, LIMIT_ROS_PRINT_MS, &job->output, on_executed, err);
}

static void on_executed(struct ros_execution *execution, const struct ros_outcome *outcome)
{
	struct routeros_save_job *job = execution->arg;
	struct err err;

	if (job->failure != 0) { /* what was left of it has been removed, or cannot be */
		finish(job, job->failure, job->why.text);
		return;
	}
	if (!job->is_saving || outcome->status == 0) {
		finish(job, outcome->status, outcome->why.text);
		return;
	}
	job->failure = outcome->status;
	job->why = outcome->why;
	buf_clear(&job->text);
	put_removal(job);
	if (outcome->status != -EREMOTEIO || execute(job, &err) < 0)
		finish(job, job->failure, job->why.text);
}

/* --- going back --------------------------------------------------------------------------------------- */

static void look(struct routeros_save_job *job);

static void look_again(struct routeros_save_job *job)
{
	ev_timer_set(&job->timer, LIMIT_ROS_LOOK_MS / 1000.0, 0);
	ev_timer_start(job->router->loop, &job->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	look(timer->data);
}

/* A session that ended is waited for: look() is what knows how it stands. */
static void on_told(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;

	if (result->status == -ECANCELED)
		finish(job, -ECANCELED, "the agent ends");
	else
		look_again(job);
}

static void on_trace_removed(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;

	if (result->status == -EREMOTEIO)
		routeros_trouble(job->router, LOG_LEVEL_WARNING, "keeps %s, which is of no use any more: %s", job->name, result->err.text);
	finish(job, 0, "");
}

static void send_or_look(struct routeros_save_job *job, const struct ros_answer *answer)
{
	if (ros_api_send(job->router->api, LIMIT_ROS_ANSWER_MS, answer, job, NULL, NULL) < 0)
		look_again(job);
}

static void remove_trace(struct routeros_save_job *job, const char *command, const char *id)
{
	static const struct ros_answer answer = { .on_end = on_trace_removed };

	ros_put_attribute(ros_api_begin(job->router->api, command), ".id", id, strlen(id));
	send_or_look(job, &answer);
}

static void tell_to_go_back(struct routeros_save_job *job)
{
	static const struct ros_answer answer = { .on_end = on_told };
	struct buf *out = ros_api_begin(job->router->api, "/system/scheduler/set");

	ros_put_attribute(out, ".id", job->entry_id, strlen(job->entry_id));
	ros_put_attribute(out, "comment", GO_BACK, strlen(GO_BACK));
	send_or_look(job, &answer);
}

static int on_file(void *arg, const struct ros_sentence *row)
{
	struct routeros_save_job *job = arg;
	const char *id = ros_find(row, ".id");

	if (id)
		routeros_copy(job->file_id, sizeof(job->file_id), id);
	job->has_file = id != NULL;
	return 0;
}

static void on_looked(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;

	if (result->status < 0)
		on_told(job, result);
	else if (job->has_entry && strcmp(job->comment, WENT_BACK) == 0)
		remove_trace(job, "/system/scheduler/remove", job->entry_id);
	else if (job->has_entry && strcmp(job->comment, GO_BACK) != 0)
		tell_to_go_back(job);
	else if (job->has_entry && job->told_ms != 0 && clock_mono_ms() - job->told_ms > LIMIT_ROS_GO_BACK_MS)
		finish(job, -EIO, "the router does not go back: see its log, and /system scheduler print");
	else if (job->has_entry)
		look_again(job);
	else if (job->has_file)
		remove_trace(job, "/file/remove", job->file_id);
	else if (job->told_ms != 0)
		finish(job, 0, "");
	else if (routeros_safe_is_known(job->router))
		routeros_safe_undo(&job->safe);
	else
		finish(job, -ENOENT, "the router has no save point of this job");
	/* job may be gone */
}

static int on_entry(void *arg, const struct ros_sentence *row)
{
	struct routeros_save_job *job = arg;
	const char *id = ros_find(row, ".id"), *comment = ros_find(row, "comment");

	if (id)
		routeros_copy(job->entry_id, sizeof(job->entry_id), id);
	if (comment)
		routeros_copy(job->comment, sizeof(job->comment), comment);
	job->has_entry = id != NULL;
	if (job->told_ms == 0 && id)
		job->told_ms = clock_mono_ms();
	return 0;
}

static void on_entries(void *arg, const struct ros_result *result)
{
	static const struct ros_answer answer = { .on_re = on_file, .on_end = on_looked };
	struct routeros_save_job *job = arg;
	char query[LIMIT_ROS_VALUE];
	struct buf *out;

	if (result->status < 0) {
		on_told(job, result);
		return;
	}
	out = ros_api_begin(job->router->api, "/file/print");
	ros_put_word(out, "=.proplist=.id");
	snprintf(query, sizeof(query), "?name=%s.backup", job->name);
	ros_put_word(out, query);
	snprintf(query, sizeof(query), "?name=flash/%s.backup", job->name);
	ros_put_word(out, query);
	ros_put_word(out, "?#|");
	send_or_look(job, &answer);
}

/* How it stands now. */
static void look(struct routeros_save_job *job)
{
	static const struct ros_answer answer = { .on_re = on_entry, .on_end = on_entries };
	char query[LIMIT_ROS_VALUE];
	struct buf *out;

	job->has_entry = job->has_file = false;
	job->comment[0] = '\0';
	if (!ros_api_is_open(job->router->api)) {
		look_again(job);
		return;
	}
	out = ros_api_begin(job->router->api, "/system/scheduler/print");
	ros_put_word(out, "=.proplist=.id,comment");
	snprintf(query, sizeof(query), "?name=%s", job->name);
	ros_put_word(out, query);
	send_or_look(job, &answer);
}

/* --- operations --------------------------------------------------------------------------------------- */

static void on_safe(struct routeros_safe *safe, int result, const char *reason)
{
	struct routeros_save_job *job = safe->arg;
	struct err err;
	int r;

	if (!job->is_saving || result != -EBUSY) {
		finish(job, result, reason);
		return;
	}
	log_debug("router", "no safe mode, so a backup: job=%s why=\"%s\"", safe->job_id, reason);
	r = execute(job, &err);
	if (r < 0)
		finish(job, r, err.text);
}

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
	ev_init(&job->timer, on_timer);
	job->timer.data = job;
	snprintf(job->name, sizeof(job->name), "jaga-%s", job_id);
	buf_init(&job->text, job->script, sizeof(job->script));
	job->safe.execution = &job->execution;
	job->safe.output = &job->output;
	routeros_safe_init(&job->safe, router, job_id, on_safe, job);
	*ret_job = job;
	return 0;
}

/* Takes the job along when it fails: r is how it began. */
static int start(struct routeros_save_job *job, int r)
{
	if (r < 0)
		free(job);
	else
		job->router->save_job = job;
	return r;
}

int routeros_save_point(struct router *router, const struct router_save_spec *spec, router_done_fn *on_done, void *arg,
			struct err *err)
{
	uint32_t wait_s = LIMIT_ROS_SAVED_SCRIPT_MS / 1000 + spec->confirm_s;
	static const char went[] = "\r\n/system scheduler set [find name=\"%s\"] disabled=yes comment=\"" WENT_BACK "\"\r\n";
	struct routeros_save_job *job;
	char mark[sizeof(went) + LIMIT_NAME + 8];
	bool is_safe;
	int r = router->is_ready ? begin(router, spec->job_id, on_done, arg, &job, err)
				 : err_set(err, -ENOTCONN, "the router could not be reached yet");

	if (r < 0)
		return r;
	job->is_saving = true;
	is_safe = routeros_safe_is_enough(router, spec);
	if (is_safe) /* else only if it cannot be had: that there is a note is no longer true then */
		buf_puts(&job->text, ROUTEROS_SAFE_FORGET);
	put_device_mode(job);
	if (!spec->rollback) {
		put_backup(job);
		put_entry(job, wait_s, "", 0);
	} else {
		snprintf(mark, sizeof(mark), went, job->name);
		buf_puts(&job->text, ":local load ");
		ros_put_quoted(&job->text, spec->rollback, spec->rollback_length);
		buf_puts(&job->text, "\n");
		put_entry(job, wait_s, mark, strlen(mark));
	}
	return start(job, is_safe ? routeros_safe_take(&job->safe, err) : execute(job, err));
}

int routeros_commit(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err)
{
	struct routeros_save_job *job;
	int r = begin(router, job_id, on_done, arg, &job, err);

	if (r < 0)
		return r;
	put_removal(job);
	return start(job, routeros_safe_is_held(router) ? routeros_safe_keep(&job->safe, err) : execute(job, err));
}

int routeros_roll_back(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err)
{
	struct routeros_save_job *job;
	int r = begin(router, job_id, on_done, arg, &job, err);

	if (r < 0)
		return r;
	router->save_job = job;
	if (routeros_safe_is_held(router)) {
		routeros_safe_undo(&job->safe);
		return 0;
	}
	ev_timer_set(&job->timer, 0, 0);
	ev_timer_start(router->loop, &job->timer);
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
	routeros_safe_finish(&router->save_job->safe);
	ev_timer_stop(router->loop, &router->save_job->timer);
	free(router->save_job);
	router->save_job = NULL;
}
