/*
 * upkeep: see upkeep.h.
 *
 *   upkeep_claim   the name of the agent, the state directory       before anything is changed
 *   upkeep_start   the socket, the clock, the timer                 when forwarding is in force
 *   each turn      the same again, where it is cheap: what is well is looked at without writing
 *
 * Called by agent.c and maintenance.c.
 */
#include "agent/upkeep.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/system.h"

#define STEP_LEAST_MS 60000 /* smaller ones are NTP at work */
#define STEP_QUIET_MS 60000 /* a clock that is set to and fro is told once a minute */
#define DAY_MS INT64_C(86400000)
#define YEAR_MS INT64_C(31556952000)

/* --- the state directory ----------------------------------------------------------------------- */

/* -EBUSY: it is another agent's. */
static int take_state(struct upkeep *upkeep, struct err *err)
{
	const char *dir = upkeep->config->state_dir;
	int r = system_make_dir(dir, err);

	if (r == 0 && upkeep->lock_fd < 0)
		r = system_lock(dir, &upkeep->lock_fd, err);
	return r == 0 ? system_note_pid(dir, err) : r;
}

static void tell_state(struct upkeep *upkeep, const struct err *err)
{
	condition_set(upkeep->conditions, CONDITION_STATE, LOG_LEVEL_ERROR,
		      "%.100s; forwarding goes on, pushed scripts are refused meanwhile", err->text);
}

static void look_at_state(struct upkeep *upkeep)
{
	const char *dir = upkeep->config->state_dir;
	struct err err = { "" };

	if (!condition_is_set(upkeep->conditions, CONDITION_STATE)) {
		if (system_check_room(dir, &err) < 0)
			tell_state(upkeep, &err);
		return;
	}
	if (take_state(upkeep, &err) < 0) {
		tell_state(upkeep, &err);
		return;
	}
	condition_clear(upkeep->conditions, CONDITION_STATE, "the state directory can be written again");
	upkeep->ops->on_state_back(upkeep->arg);
}

/* --- the socket -------------------------------------------------------------------------------- */

static void open_socket(struct upkeep *upkeep)
{
	struct err err = { "" };

	if (upkeep->ops->open_socket(upkeep->arg, &err) < 0)
		condition_set(upkeep->conditions, CONDITION_SOCKET, LOG_LEVEL_ERROR,
			      "%.120s; \"jaga-agent status\" does not work meanwhile", err.text);
	else
		condition_clear(upkeep->conditions, CONDITION_SOCKET, "the socket of \"jaga-agent status\" is there");
}

/* --- the clock --------------------------------------------------------------------------------- */

static void look_whether_set(struct upkeep *upkeep)
{
	if (clock_wall_is_set()) {
		condition_clear(upkeep->conditions, CONDITION_CLOCK, "the clock is set now");
		return;
	}
	condition_set(upkeep->conditions, CONDITION_CLOCK, LOG_LEVEL_WARNING,
		      "the clock is not set (year %d): times in this router's own log are wrong, nothing else needs it",
		      (int)(1970 + clock_wall_ms() / YEAR_MS));
}

static void look_at_clock(struct upkeep *upkeep)
{
	int64_t now_ms = clock_mono_ms(), step_ms, size_ms, unit_ms;
	bool was_set = !condition_is_set(upkeep->conditions, CONDITION_CLOCK);
	char text[CONDITION_TEXT];

	look_whether_set(upkeep);
	if (upkeep->clock_told_ms != 0 && now_ms - upkeep->clock_told_ms < STEP_QUIET_MS)
		return;
	step_ms = clock_watch_step_ms(&upkeep->clock, STEP_LEAST_MS);
	/* From 1970 to now, and back, the condition has told. */
	if (step_ms == 0 || !was_set || condition_is_set(upkeep->conditions, CONDITION_CLOCK))
		return;
	upkeep->clock_told_ms = now_ms;
	size_ms = step_ms < 0 ? -step_ms : step_ms;
	unit_ms = size_ms < DAY_MS ? 1000 : DAY_MS;
	snprintf(text, sizeof(text), "the clock was set %s by %" PRId64 " %s: times in this router's own log jump, nothing else",
		 step_ms < 0 ? "back" : "forward", (size_ms + unit_ms / 2) / unit_ms,
		 unit_ms == DAY_MS ? "days" : "s");
	upkeep->conditions->tell(upkeep->conditions->arg, LOG_LEVEL_WARNING, "clock", text, NOTICE_PASSING);
}

/* --- the connection table ---------------------------------------------------------------------- */

/* Between full and free again what was told holds: a table at its brim is told of once. */
static void look_at_table(struct upkeep *upkeep)
{
	uint32_t max;

	if (system_is_table_full(LIMIT_TABLE_FULL_PERCENT, &max))
		condition_set(upkeep->conditions, CONDITION_TABLE, LOG_LEVEL_ERROR,
			      "the connection table is full (%" PRIu32 "): new connections fail, and uplinks are judged by carrier "
			      "and what probes still leave; raise net.netfilter.nf_conntrack_max", max);
	else if (!system_is_table_full(LIMIT_TABLE_FREE_PERCENT, NULL))
		condition_clear(upkeep->conditions, CONDITION_TABLE, "the connection table has room again");
}

/* --- start and stop ---------------------------------------------------------------------------- */

static void on_turn(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct upkeep *upkeep = timer->data;

	(void)loop;
	(void)revents;
	system_answer_claims(upkeep->claim_fd);
	look_at_clock(upkeep);
	look_at_state(upkeep);
	look_at_table(upkeep);
	if (condition_is_set(upkeep->conditions, CONDITION_SOCKET))
		open_socket(upkeep);
}

int upkeep_claim(struct upkeep *upkeep, const struct agent_config *config, struct conditions *conditions, struct err *err)
{
	struct err local_err = { "" };
	int r;

	*upkeep = (struct upkeep){ .config = config, .conditions = conditions, .claim_fd = -1, .lock_fd = -1 };
	r = system_claim(config->has_router ? &config->router : NULL, &upkeep->claim_fd, err);
	if (r == -EBUSY)
		return r;
	if (r < 0)
		log_warning("agent", "%s", err->text);
	r = take_state(upkeep, &local_err);
	if (r == -EBUSY)
		return err_set(err, r, "%s", local_err.text);
	if (r < 0)
		tell_state(upkeep, &local_err);
	return 0;
}

void upkeep_start(struct upkeep *upkeep, struct ev_loop *loop, const struct upkeep_ops *ops, void *arg)
{
	upkeep->loop = loop;
	upkeep->ops = ops;
	upkeep->arg = arg;
	open_socket(upkeep);
	look_whether_set(upkeep);
	look_at_table(upkeep);
	(void)clock_watch_step_ms(&upkeep->clock, 0); /* from here on */
	ev_timer_init(&upkeep->timer, on_turn, (ev_tstamp)LIMIT_UPKEEP_MS / 1000, (ev_tstamp)LIMIT_UPKEEP_MS / 1000);
	upkeep->timer.data = upkeep;
	ev_timer_start(loop, &upkeep->timer);
}

void upkeep_stop(struct upkeep *upkeep)
{
	if (upkeep->loop)
		ev_timer_stop(upkeep->loop, &upkeep->timer);
	if (!upkeep->config)
		return;
	if (upkeep->lock_fd >= 0)
		close(upkeep->lock_fd);
	if (upkeep->claim_fd >= 0)
		close(upkeep->claim_fd);
	upkeep->lock_fd = upkeep->claim_fd = -1;
}
