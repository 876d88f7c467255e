/*
 * confirm: see confirm.h. Called by runner.c.
 *
 * A driver may answer inside the call, or fail to begin: both end in finish(), so that the runner has one place
 * where it goes on. finish() may begin the next thing.
 */
#include "agent/job/confirm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void finish(struct confirm *confirm, int result, const char *reason)
{
	confirm->phase = CONFIRM_IDLE;
	ev_timer_stop(confirm->loop, &confirm->told);
	ev_timer_stop(confirm->loop, &confirm->deadline);
	confirm->on_done(confirm->done_arg, result, reason);
}

/* --- the driver --------------------------------------------------------------------------------- */

static void on_router_done(void *arg, int result, const char *reason)
{
	finish(arg, result, reason);
}

void confirm_save(struct confirm *confirm, const struct router_save_spec *spec)
{
	struct err err = { "" };
	int r;

	confirm->phase = CONFIRM_SAVING;
	r = confirm->ops->save_point(confirm->arg, spec, on_router_done, confirm, &err);
	if (r < 0)
		finish(confirm, r, err.text);
}

void confirm_keep(struct confirm *confirm, const char *job_id)
{
	struct err err = { "" };
	int r;

	confirm->phase = CONFIRM_KEEPING;
	r = confirm->ops->commit(confirm->arg, job_id, on_router_done, confirm, &err);
	if (r < 0)
		finish(confirm, r, err.text);
}

void confirm_undo(struct confirm *confirm, const char *job_id)
{
	struct err err = { "" };
	int r = -ENOTSUP;

	confirm->phase = CONFIRM_UNDOING;
	if (confirm->ops->roll_back)
		r = confirm->ops->roll_back(confirm->arg, job_id, on_router_done, confirm, &err);
	else
		err_set(&err, r, "this driver has no way back");
	if (r < 0)
		finish(confirm, r, err.text);
}

/* --- the proof ---------------------------------------------------------------------------------- */

static void come_back(struct confirm *confirm)
{
	ev_timer_stop(confirm->loop, &confirm->told);
	confirm->phase = CONFIRM_RETURNING;
	confirm->ops->new_session(confirm->arg, (int64_t)confirm->confirm_s * 1000);
}

static void on_told_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	come_back(timer->data);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct confirm *confirm = timer->data;
	char reason[64];

	(void)loop;
	(void)revents;
	snprintf(reason, sizeof(reason), "no session with the collector within %u s", confirm->confirm_s);
	finish(confirm, -ETIMEDOUT, reason);
}

void confirm_prove(struct confirm *confirm, const char *job_id, uint32_t confirm_s, bool is_told)
{
	confirm->phase = CONFIRM_TELLING;
	confirm->job_id = job_id;
	confirm->confirm_s = confirm_s;
	ev_now_update(confirm->loop); /* a script may have ended long before this turn of the loop */
	ev_timer_set(&confirm->deadline, (ev_tstamp)confirm_s, 0.);
	ev_timer_start(confirm->loop, &confirm->deadline);
	ev_timer_set(&confirm->told, (ev_tstamp)LIMIT_CONFIRM_TELL_MS / 1000, 0.);
	ev_timer_start(confirm->loop, &confirm->told);
	if (is_told)
		come_back(confirm);
}

void confirm_on_told(struct confirm *confirm)
{
	if (confirm->phase == CONFIRM_TELLING)
		come_back(confirm);
}

void confirm_on_open(struct confirm *confirm)
{
	if (confirm->phase == CONFIRM_RETURNING && confirm->ops->ask_confirmation(confirm->arg, confirm->job_id) == 0)
		confirm->phase = CONFIRM_ASKING;
}

void confirm_on_closed(struct confirm *confirm)
{
	if (confirm->phase == CONFIRM_TELLING)
		come_back(confirm);
	else if (confirm->phase == CONFIRM_ASKING) /* the link begins another by itself */
		confirm->phase = CONFIRM_RETURNING;
}

void confirm_on_answer(struct confirm *confirm, const char *refusal)
{
	char reason[LIMIT_JOB_REASON];

	if (confirm->phase != CONFIRM_ASKING)
		return;
	if (!refusal) {
		finish(confirm, 0, "");
		return;
	}
	snprintf(reason, sizeof(reason), "the collector does not confirm it: %s", refusal);
	finish(confirm, -EPERM, reason);
}

/* --- start and stop ------------------------------------------------------------------------------- */

void confirm_init(struct confirm *confirm, struct ev_loop *loop, const struct confirm_ops *ops, void *arg,
		  confirm_done_fn *on_done, void *done_arg)
{
	*confirm = (struct confirm){ .loop = loop, .ops = ops, .arg = arg, .on_done = on_done, .done_arg = done_arg };
	ev_timer_init(&confirm->told, on_told_time, 0., 0.);
	confirm->told.data = confirm;
	ev_timer_init(&confirm->deadline, on_deadline, 0., 0.);
	confirm->deadline.data = confirm;
}

void confirm_stop(struct confirm *confirm)
{
	if (!confirm->loop) /* never begun */
		return;
	ev_timer_stop(confirm->loop, &confirm->told);
	ev_timer_stop(confirm->loop, &confirm->deadline);
}

bool confirm_is_possible(const struct confirm *confirm)
{
	return confirm->ops->save_point != NULL;
}
