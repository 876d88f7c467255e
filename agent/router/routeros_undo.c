/*
 * routeros_undo: going back to a save point, and taking it away. Called by routeros_save.c, whose essay draws the whole.
 *
 *	found at the router		then
 *	no item, but the file		it has loaded the backup: remove
 *	unchanged, went back		nothing is left to be undone: remove
 *	told				wait: it goes back within ten seconds
 *	marked, without its backup	it was being taken away, or somebody did that: remove
 *	marked, safe mode is ours	unroll, look again
 *	marked				tell, look again
 *	nothing				there was none
 *
 * Whatever answer is lost, looking again says how it stands. A router that cannot be reached is waited for. Its reboot, by the
 * backup, ends safe mode in whose hands ever; a session that it believes in for minutes does not matter any more then.
 */
#include "agent/router/routeros_save.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/ros_way_back.h"
#include "common/clock.h"

static void remove_all(struct routeros_save_job *job);
static void look(struct routeros_save_job *job);

static void go_on(struct routeros_save_job *job)
{
	if (job->step == SAVE_REMOVE)
		remove_all(job);
	else
		look(job);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	go_on(timer->data);
}

static void again_in(struct routeros_save_job *job, int64_t wait_ms)
{
	ev_timer_stop(job->router->loop, &job->timer);
	ev_timer_init(&job->timer, on_timer, (ev_tstamp)wait_ms / 1000, 0);
	job->timer.data = job;
	ev_timer_start(job->router->loop, &job->timer);
}

static void finish(struct routeros_save_job *job, int result, const char *reason)
{
	job->router->saved = (struct ros_saved){ .script_ms = 0 };
	routeros_save_finish(job, result, reason);
}

/* --- safe mode ---------------------------------------------------------------------------------------- */

static void on_unrolled(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;
	struct router *router = job->router;

	if (result->status != 0 && result->status != -EREMOTEIO) { /* the session ended */
		again_in(job, LIMIT_ROS_LOOK_MS);
		return;
	}
	router->saved.session = 0;
	routeros_verify_in(router, LIMIT_ROS_SETTLE_MS); /* our own items went back, too */
	if (result->status != 0 && job->step == SAVE_LOOK)
		routeros_trouble(router, LOG_LEVEL_WARNING, ROUTEROS_SAFE_ENDED ": it loads its backup, and reboots");
	go_on(job);
}

static void unroll(struct routeros_save_job *job)
{
	static const struct ros_answer answer = { .on_end = on_unrolled };

	ros_api_begin(job->router->api, "/safe-mode/unroll");
	if (ros_api_send(job->router->api, LIMIT_ROS_PRINT_MS, &answer, job, NULL, NULL) < 0)
		again_in(job, LIMIT_ROS_LOOK_MS);
}

/* --- removing ----------------------------------------------------------------------------------------- */

/* Safe mode goes first: it would bring back what is removed under it. */
static void remove_all(struct routeros_save_job *job)
{
	struct err err;

	job->step = SAVE_REMOVE;
	if (routeros_holds_safe_mode(job->router)) {
		unroll(job);
		return;
	}
	buf_clear(&job->text);
	ros_put_remove(&job->text, job->name);
	if (routeros_save_execute(job, &err) < 0)
		again_in(job, LIMIT_ROS_LOOK_MS);
}

void routeros_undo_on_removed(struct routeros_save_job *job, const struct ros_outcome *outcome)
{
	/* -EPROTO: it refuses to tell how it ended, and would do so again. */
	if (outcome->status != 0 && outcome->status != -EREMOTEIO && outcome->status != -EPROTO) {
		again_in(job, LIMIT_ROS_LOOK_MS);
		return;
	}
	if (outcome->status != 0)
		routeros_trouble(job->router, LOG_LEVEL_WARNING, "keeps %s, which is of no use any more: %s", job->name, outcome->why.text);
	finish(job, job->result, job->why.text);
}

void routeros_undo_conclude(struct routeros_save_job *job, int result, const char *reason)
{
	job->result = result;
	err_set(&job->why, 0, "%s", reason);
	remove_all(job);
}

/* --- going back --------------------------------------------------------------------------------------- */

static void on_told(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;
	char reason[LIMIT_ERR_TEXT];

	if (result->status == -EREMOTEIO) {
		snprintf(reason, sizeof(reason), "the router does not go back: %.200s", result->err.text);
		finish(job, -EIO, reason);
		return;
	}
	if (result->status == 0)
		job->told_ms = clock_mono_ms();
	again_in(job, LIMIT_ROS_LOOK_MS);
}

static void tell(struct routeros_save_job *job, enum save_menu menu)
{
	static const struct ros_answer answer = { .on_end = on_told };
	const char *id = job->found[menu].id;
	struct buf *out = ros_api_begin(job->router->api, menu == SAVE_ENTRY ? "/system/scheduler/set" : "/system/script/run");

	ros_put_attribute(out, ".id", id, strlen(id));
	if (menu == SAVE_ENTRY)
		ros_put_attribute(out, "comment", ROS_GO_BACK, strlen(ROS_GO_BACK));
	if (ros_api_send(job->router->api, LIMIT_ROS_ANSWER_MS, &answer, job, NULL, NULL) < 0)
		again_in(job, LIMIT_ROS_LOOK_MS);
}

static void wait_for_it(struct routeros_save_job *job)
{
	if (job->told_ms == 0) /* an earlier agent told it, or the answer was lost */
		job->told_ms = clock_mono_ms();
	if (clock_mono_ms() - job->told_ms > LIMIT_ROS_GO_BACK_MS)
		finish(job, -EIO, "the router does not go back: see its log, and /system scheduler print");
	else
		again_in(job, LIMIT_ROS_LOOK_MS);
}

/* There is nothing to go back to. After a restart, or when it was being committed, that is because it was committed. */
static void give_up(struct routeros_save_job *job)
{
	if (job->router->saved.script_ms == 0)
		routeros_undo_conclude(job, -ENOENT, "the router has no save point of this job");
	else
		routeros_undo_conclude(job, -EIO, "somebody has taken the save point away");
}

/* All menus were read: the table above. */
static void judge(struct routeros_save_job *job)
{
	enum save_menu menu = job->found[SAVE_ENTRY].id[0] != '\0' ? SAVE_ENTRY : SAVE_RECORD;
	const char *comment = job->found[menu].comment;
	bool has_item = job->found[menu].id[0] != '\0', has_file = job->found[SAVE_FILE].id[0] != '\0';

	if (!has_item && (has_file || job->told_ms != 0))
		routeros_undo_conclude(job, 0, "");
	else if (!has_item)
		give_up(job);
	else if (strcmp(comment, ROS_UNCHANGED) == 0 || strcmp(comment, ROS_WENT_BACK) == 0)
		routeros_undo_conclude(job, 0, "");
	else if (strcmp(comment, ROS_GO_BACK) == 0 || job->told_ms != 0)
		wait_for_it(job);
	else if (!has_file && strcmp(comment, ROS_ROLLBACK) != 0)
		give_up(job);
	else if (routeros_holds_safe_mode(job->router))
		unroll(job);
	else
		tell(job, menu);
}

/* --- looking -------------------------------------------------------------------------------------------- */

static int on_row(void *arg, const struct ros_sentence *row)
{
	struct routeros_save_job *job = arg;

	routeros_copy(job->found[job->menu].id, LIMIT_ROS_ID, ros_row_text(row, ".id"));
	routeros_copy(job->found[job->menu].comment, LIMIT_ROS_VALUE, ros_row_text(row, "comment"));
	return 0;
}

static void look_at(struct routeros_save_job *job, enum save_menu menu);

static void on_looked(void *arg, const struct ros_result *result)
{
	struct routeros_save_job *job = arg;

	if (result->status < 0)
		again_in(job, LIMIT_ROS_LOOK_MS);
	else if (job->menu + 1 < SAVE_MENUS)
		look_at(job, job->menu + 1);
	else
		judge(job);
}

static void look_at(struct routeros_save_job *job, enum save_menu menu)
{
	static const struct ros_answer answer = { .on_re = on_row, .on_end = on_looked };
	static const char *const prints[] = { "/system/scheduler/print", "/system/script/print", "/file/print" };
	const char *suffix = menu == SAVE_FILE ? ".backup" : "";
	struct buf *out = ros_api_begin(job->router->api, prints[menu]);
	char query[LIMIT_ROS_VALUE];

	job->menu = menu;
	ros_put_word(out, menu == SAVE_FILE ? "=.proplist=.id" : "=.proplist=.id,comment");
	snprintf(query, sizeof(query), "?name=%s%s", job->name, suffix);
	ros_put_word(out, query);
	if (menu == SAVE_FILE) {
		snprintf(query, sizeof(query), "?name=flash/%s%s", job->name, suffix);
		ros_put_word(out, query);
		ros_put_word(out, "?#|");
	}
	if (ros_api_send(job->router->api, LIMIT_ROS_ANSWER_MS, &answer, job, NULL, NULL) < 0)
		again_in(job, LIMIT_ROS_LOOK_MS);
}

static void look(struct routeros_save_job *job)
{
	job->step = SAVE_LOOK;
	memset(job->found, 0, sizeof(job->found));
	if (ros_api_is_open(job->router->api))
		look_at(job, SAVE_ENTRY);
	else
		again_in(job, LIMIT_ROS_LOOK_MS);
}

void routeros_undo_begin(struct routeros_save_job *job)
{
	bool is_unused = job->router->saved.script_ms != 0 && !job->router->saved.is_touched;

	job->step = is_unused ? SAVE_REMOVE : SAVE_LOOK; /* what the router refused to read did nothing: no reboot for that */
	again_in(job, 0);
}
