/*
 * routeros_safe: see routeros_safe.h. Called by routeros_save.c.
 *
 *	take	note -> /safe-mode/take
 *	keep	note "releasing" -> /safe-mode/release -> no note
 *	undo	same session: /safe-mode/unroll -> no note
 *		another: is it noted? -> /safe-mode/take until the router gives it, so nobody holds it any more, and release -> no note
 *
 * A router that was cut off notices after nine minutes that the session is gone; so long the last one waits. What somebody else's
 * safe mode keeps it from is told after that.
 */
#include "agent/router/routeros_safe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/ros_actions.h"
#include "common/clock.h"
#include "common/log.h"

#define RELEASING " releasing"

bool routeros_safe_is_known(const struct router *router)
{
	return router->model.major > 7 || (router->model.major == 7 && router->model.minor >= 18);
}

bool routeros_safe_is_enough(const struct router *router, const struct router_save_spec *spec)
{
	int actions = routeros_safe_is_known(router) && !spec->rollback ? ros_count_actions(spec->script, spec->length) : -ENOTSUP;

	return actions >= 0 && actions <= LIMIT_ROS_SAFE_ACTIONS;
}

bool routeros_safe_is_held(const struct router *router)
{
	return router->safe_session != 0;
}

static bool is_same_session(const struct routeros_safe *safe, unsigned session)
{
	return ros_api_is_open(safe->router->api) && safe->router->sessions == session;
}

static void finish(struct routeros_safe *safe, int result, const char *reason)
{
	ev_timer_stop(safe->router->loop, &safe->timer);
	safe->on_done(safe, result, reason);
}

static void look(struct routeros_safe *safe);

static void look_again(struct routeros_safe *safe)
{
	ev_timer_set(&safe->timer, LIMIT_ROS_LOOK_MS / 1000.0, 0);
	ev_timer_start(safe->router->loop, &safe->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	look(timer->data);
}

/* --- the note --------------------------------------------------------------------------------------- */

static void on_noted(struct ros_execution *execution, const struct ros_outcome *outcome);

/* note NULL: none. */
static int write_note(struct routeros_safe *safe, const char *note, const char *more, struct err *err)
{
	struct ros_piece piece = { .line = 1 };

	if (note)
		snprintf(safe->text, sizeof(safe->text), ":global jagaSafe\n:set jagaSafe \"%s%s\"\n", note, more);
	else
		snprintf(safe->text, sizeof(safe->text), ROUTEROS_SAFE_FORGET);
	piece.end = strlen(safe->text);
	safe->execution->arg = safe;
	safe->output->length = 0;
	return routeros_execute(safe->execution, safe->router, safe->text, &piece, false, LIMIT_ROS_ANSWER_MS, safe->output, on_noted, err);
}

/* Whether the note could be removed decides nothing: it is of this job, whose end is known. */
static void forget(struct routeros_safe *safe)
{
	struct err err;

	safe->router->safe_session = 0;
	if (write_note(safe, NULL, "", &err) < 0)
		finish(safe, safe->result, safe->why.text);
}

static void end_undo(struct routeros_safe *safe, int result, const char *reason)
{
	safe->step = SAFE_UNDONE;
	safe->result = result;
	err_set(&safe->why, 0, "%s", reason);
	routeros_verify_in(safe->router, LIMIT_ROS_SETTLE_MS); /* our own items went back, too */
	forget(safe);
}

/* --- safe mode -------------------------------------------------------------------------------------- */

static void on_answered(void *arg, const struct ros_result *result)
{
	struct routeros_safe *safe = arg;
	struct router *router = safe->router;

	if (result->status == -ECANCELED) {
		finish(safe, -ECANCELED, "the agent ends");
	} else if (safe->step == SAFE_TAKE) {
		if (result->status == 0)
			router->safe_session = safe->session;
		finish(safe, result->status == -EREMOTEIO ? -EBUSY : result->status, result->err.text);
	} else if (safe->step == SAFE_KEEP && result->status == 0) {
		safe->step = SAFE_KEPT;
		forget(safe);
	} else if (safe->step == SAFE_KEEP) { /* undo follows */
		finish(safe, -EIO, result->err.text);
	} else if (result->status == 0) {
		end_undo(safe, 0, "");
	} else if (result->status == -EREMOTEIO) {
		end_undo(safe, -EIO, "safe mode had ended before, and nobody knows whether anything was undone");
	} else {
		look_again(safe); /* the session ended */
	}
}

static int send_command(struct routeros_safe *safe, const char *command, const struct ros_answer *answer, struct err *err)
{
	ros_api_begin(safe->router->api, command);
	return ros_api_send(safe->router->api, LIMIT_ROS_PRINT_MS, answer, safe, NULL, err);
}

static const struct ros_answer answered = { .on_end = on_answered };

/* The note was written, or removed. */
static void on_noted(struct ros_execution *execution, const struct ros_outcome *outcome)
{
	struct routeros_safe *safe = execution->arg;
	bool is_taking = safe->step == SAFE_TAKE;
	struct err err;
	int r;

	if (safe->step == SAFE_KEPT || safe->step == SAFE_UNDONE) {
		if (outcome->status < 0)
			log_debug("router", "the note of job=%s stays until the router reboots: %s", safe->job_id, outcome->why.text);
		finish(safe, safe->result, safe->why.text);
	} else if (outcome->status < 0) {
		finish(safe, is_taking && outcome->status == -EREMOTEIO ? -EBUSY : outcome->status, outcome->why.text);
	} else if (!is_same_session(safe, safe->session)) {
		finish(safe, -ECONNRESET, "the session with the router ended");
	} else {
		r = send_command(safe, is_taking ? "/safe-mode/take" : "/safe-mode/release", &answered, &err);
		if (r < 0)
			finish(safe, r, err.text);
	}
}

/* --- another session's ------------------------------------------------------------------------------- */

static bool is_releasing(const struct routeros_safe *safe)
{
	return safe->note[strlen(safe->job_id)] != '\0';
}

static void on_free(void *arg, const struct ros_result *result)
{
	struct routeros_safe *safe = arg;

	if (result->status == -ECANCELED)
		finish(safe, -ECANCELED, "the agent ends");
	else if (result->status < 0)
		look_again(safe); /* it ends with the session at the latest, and held nothing */
	else if (is_releasing(safe))
		end_undo(safe, -EIO, "the session ended while safe mode was being released: look whether the change stands");
	else
		end_undo(safe, 0, "");
}

static void on_asked(void *arg, const struct ros_result *result)
{
	static const struct ros_answer freed = { .on_end = on_free };
	struct routeros_safe *safe = arg;
	struct err err;

	if (result->status == -ECANCELED)
		finish(safe, -ECANCELED, "the agent ends");
	else if (result->status == -EREMOTEIO && clock_mono_ms() > safe->until_ms)
		end_undo(safe, -EIO, "safe mode is still held, so it is not known that the router has undone it");
	else if (result->status < 0 || send_command(safe, "/safe-mode/release", &freed, &err) < 0)
		look_again(safe);
}

static void on_note_read(void *arg, const struct ros_result *result)
{
	static const struct ros_answer asked = { .on_end = on_asked };
	struct routeros_safe *safe = arg;
	struct err err;

	if (result->status == -ECANCELED)
		finish(safe, -ECANCELED, "the agent ends");
	else if (result->status < 0)
		look_again(safe);
	else if (safe->note[0] != '\0' && send_command(safe, "/safe-mode/take", &asked, &err) < 0)
		look_again(safe);
	else if (safe->note[0] == '\0' && routeros_safe_is_held(safe->router))
		end_undo(safe, -EIO, "the router has rebooted, and safe mode does not say whether it undoes then: look whether the change stands");
	else if (safe->note[0] == '\0')
		finish(safe, -ENOENT, "the router has no save point of this job");
}

/* Of this job, or it is none. */
static int on_note(void *arg, const struct ros_sentence *row)
{
	struct routeros_safe *safe = arg;
	const char *value = ros_find(row, "value");
	size_t length = strlen(safe->job_id);

	if (value && strncmp(value, safe->job_id, length) == 0 && (value[length] == '\0' || strcmp(value + length, RELEASING) == 0))
		routeros_copy(safe->note, sizeof(safe->note), value);
	return 0;
}

/* How it stands now. */
static void look(struct routeros_safe *safe)
{
	static const struct ros_answer read = { .on_re = on_note, .on_end = on_note_read };
	struct router *router = safe->router;
	struct err err;
	struct buf *out;

	if (!ros_api_is_open(router->api)) {
		look_again(safe);
	} else if (router->safe_session == router->sessions) {
		if (send_command(safe, "/safe-mode/unroll", &answered, &err) < 0)
			look_again(safe);
	} else {
		safe->note[0] = '\0';
		out = ros_api_begin(router->api, "/system/script/environment/print");
		ros_put_word(out, "=.proplist=value");
		ros_put_word(out, "?name=jagaSafe");
		if (ros_api_send(router->api, LIMIT_ROS_ANSWER_MS, &read, safe, NULL, &err) < 0)
			look_again(safe);
	}
}

/* --- operations -------------------------------------------------------------------------------------- */

void routeros_safe_init(struct routeros_safe *safe, struct router *router, const char *job_id, routeros_safe_fn *on_done, void *arg)
{
	safe->router = router;
	safe->on_done = on_done;
	safe->arg = arg;
	snprintf(safe->job_id, sizeof(safe->job_id), "%s", job_id);
	ev_init(&safe->timer, on_timer);
	safe->timer.data = safe;
}

int routeros_safe_take(struct routeros_safe *safe, struct err *err)
{
	safe->step = SAFE_TAKE;
	safe->session = safe->router->sessions;
	return write_note(safe, safe->job_id, "", err);
}

int routeros_safe_keep(struct routeros_safe *safe, struct err *err)
{
	safe->step = SAFE_KEEP;
	safe->session = safe->router->safe_session;
	if (!is_same_session(safe, safe->session))
		return err_set(err, -ECONNRESET, "the session with the router ended, with which safe mode ends");
	return write_note(safe, safe->job_id, RELEASING, err);
}

void routeros_safe_undo(struct routeros_safe *safe)
{
	safe->step = SAFE_UNDO;
	safe->until_ms = clock_mono_ms() + LIMIT_ROS_SAFE_LOST_MS;
	ev_timer_set(&safe->timer, 0, 0);
	ev_timer_start(safe->router->loop, &safe->timer);
}

void routeros_safe_finish(struct routeros_safe *safe)
{
	if (safe->router)
		ev_timer_stop(safe->router->loop, &safe->timer);
}
