/*
 * remote: what the collector is told and sends for. Wires the session to jobs and snapshots, and those to the router.
 *
 *   link ──▶ runner ───▶ router       jobs down, their results up
 *   link ──▶ snapshot ─▶ router       the configuration, when it is wanted
 *   prelude ─▶ link                   the session waits for a key and for random numbers
 *
 * Called by agent.c. Nothing here decides whether the router forwards.
 */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"

/* --- the link's side --------------------------------------------------------------------------- */

/* There is a session, and a router that jobs and snapshots can be of. */
static void begin_exchange(struct agent *agent)
{
	runner_on_open(&agent->runner);
	snapshot_on_open(&agent->snapshot);
}

static void on_link_open(void *arg, int64_t wall_ms)
{
	struct agent *agent = arg;
	struct link_status status;

	log_info("link", "session open");
	link_read_status(agent->link, &status);
	if (agent->collector_epoch != 0 && status.epoch != agent->collector_epoch)
		conditions_repeat(&agent->conditions); /* it started anew: it may not remember */
	agent->collector_epoch = status.epoch;
	agent->identity.job_hiwater = runner_hiwater(&agent->runner);
	runner_set_time(&agent->runner, wall_ms);
	if (agent->has_begun)
		begin_exchange(agent);
}

static void on_link_closed(void *arg, const char *reason)
{
	struct agent *agent = arg;
	struct link_status status;

	link_read_status(agent->link, &status);
	log_warning("link", "session lost reason=\"%s\", reconnecting in_ms=%lld", reason,
		    (long long)(status.retry_at_ms - status.since_ms));
	snapshot_on_closed(&agent->snapshot); /* first: what the runner no longer holds up would be read for nobody */
	runner_on_closed(&agent->runner);
}

static void on_wake(void *arg, uint64_t job_seq, bool take_snapshot, int64_t wall_ms)
{
	struct agent *agent = arg;

	runner_set_time(&agent->runner, wall_ms);
	runner_on_wake(&agent->runner, job_seq);
	if (take_snapshot)
		snapshot_ask(&agent->snapshot);
}

static void on_job(void *arg, const struct link_job *job)
{
	struct agent *agent = arg;

	runner_on_job(&agent->runner, job);
	agent->identity.job_hiwater = runner_hiwater(&agent->runner);
}

static void on_job_state_acked(void *arg, uint64_t seq, int phase)
{
	struct agent *agent = arg;

	runner_on_state_acked(&agent->runner, seq, phase);
}

static void on_job_confirmed(void *arg, const char *refusal)
{
	struct agent *agent = arg;

	runner_on_confirmed(&agent->runner, refusal);
}

static void on_snapshot_done(void *arg, int result, bool transferred)
{
	struct agent *agent = arg;

	snapshot_on_offered(&agent->snapshot, result, transferred);
}

static int read_uplink_state(void *arg, unsigned uplink)
{
	struct agent *agent = arg;
	struct engine_uplink_status status;

	steer_read_status(&agent->steer, uplink, &status);
	return (int)status.state;
}

static const struct link_events link_events = {
	.on_open = on_link_open,
	.on_closed = on_link_closed,
	.on_wake = on_wake,
	.on_job = on_job,
	.on_job_state_acked = on_job_state_acked,
	.on_job_confirmed = on_job_confirmed,
	.on_snapshot_done = on_snapshot_done,
	.read_uplink_state = read_uplink_state,
	.on_run_doctor = remote_run_doctor,
};

/* --- jobs ---------------------------------------------------------------------------------------- */

static int ask_job(void *arg, uint64_t after_seq)
{
	struct agent *agent = arg;

	return agent->link ? link_ask_job(agent->link, after_seq) : -ENOTCONN;
}

static int send_job_state(void *arg, const struct link_job_state *state)
{
	struct agent *agent = arg;

	return agent->link ? link_send_job_state(agent->link, state) : -ENOTCONN;
}

static int run_script(void *arg, const char *job_id, const char *interpreter, const void *script, size_t length,
		      router_script_fn *on_done, void *done_arg, struct err *err)
{
	struct agent *agent = arg;

	return agent->router_ops->run_script(agent->router, job_id, interpreter, script, length, LIMIT_SCRIPT_MS, on_done,
					     done_arg, err);
}

static bool is_reading(void *arg)
{
	const struct agent *agent = arg;

	return snapshot_is_taking(&agent->snapshot);
}

static void on_settled(void *arg, bool has_run)
{
	struct agent *agent = arg;

	if (has_run)
		snapshot_request(&agent->snapshot);
	else
		snapshot_on_settled(&agent->snapshot);
	if (agent->is_going_back) {
		agent->is_going_back = false;
		agent_look(agent);
	}
}

static void on_job_trouble(void *arg, enum log_level level, const char *text)
{
	agent_notice(arg, level, "job", text);
}

static int save_point(void *arg, const struct router_save_spec *spec, router_done_fn *on_done, void *done_arg,
		      struct err *err)
{
	struct agent *agent = arg;

	return agent->router_ops->save_point(agent->router, spec, on_done, done_arg, err);
}

static int commit(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err)
{
	struct agent *agent = arg;

	return agent->router_ops->commit(agent->router, job_id, on_done, done_arg, err);
}

static int roll_back(void *arg, const char *job_id, router_done_fn *on_done, void *done_arg, struct err *err)
{
	struct agent *agent = arg;

	if (!agent->is_router_known) { /* of the journal: remote_goes_back() does it */
		agent->late_undo = (struct agent_late_undo){ job_id, on_done, done_arg };
		return 0;
	}
	return agent->router_ops->roll_back(agent->router, job_id, on_done, done_arg, err);
}

static void new_session(void *arg, int64_t urgent_ms)
{
	struct agent *agent = arg;

	if (agent->link)
		link_renew(agent->link, urgent_ms);
}

static int ask_confirmation(void *arg, const char *job_id)
{
	struct agent *agent = arg;

	return agent->link ? link_confirm_job(agent->link, job_id) : -ENOTCONN;
}

static const struct runner_ops runner_ops = {
	.ask_job = ask_job,
	.send_state = send_job_state,
	.run_script = run_script,
	.is_reading = is_reading,
	.on_settled = on_settled,
	.on_trouble = on_job_trouble,
	.confirm = { save_point, commit, roll_back, new_session, ask_confirmation },
};

/* For a driver without a way back. */
static const struct runner_ops plain_runner_ops = {
	.ask_job = ask_job,
	.send_state = send_job_state,
	.run_script = run_script,
	.is_reading = is_reading,
	.on_settled = on_settled,
	.on_trouble = on_job_trouble,
	.confirm = { .new_session = new_session, .ask_confirmation = ask_confirmation },
};

/* --- snapshots ----------------------------------------------------------------------------------- */

static int take_snapshot(void *arg, router_snapshot_fn *on_done, void *done_arg, struct err *err)
{
	struct agent *agent = arg;

	if (!agent->is_router_known)
		return err_set(err, -ENOTCONN, "the router has not been reached yet");
	return agent->router_ops->snapshot(agent->router, on_done, done_arg, err);
}

static int offer_snapshot(void *arg, const char *text, size_t length)
{
	struct agent *agent = arg;

	return agent->link ? link_offer_snapshot(agent->link, text, length) : -ENOTCONN;
}

static void on_snapshot_finished(void *arg, const struct snapshot_result *result)
{
	struct agent *agent = arg;

	/* One that broke the session itself would break the next: it has time until the interval. */
	agent->is_snapshot_owed = result->outcome == SNAPSHOT_FAILED && condition_is_set(&agent->conditions, CONDITION_ROUTER);
	if (result->outcome == SNAPSHOT_FAILED)
		log_warning("snapshot", "failed, trying again at the next occasion reason=\"%s\"", result->reason);
	else
		log_info("snapshot", "taken bytes=%zu outcome=%s", result->bytes, snapshot_outcome_name(result->outcome));
	commands_answer_snapshot(agent);
}

static void on_snapshot_trouble(void *arg, enum log_level level, const char *text)
{
	agent_notice(arg, level, "snapshot", text);
}

static bool is_unsettled(void *arg)
{
	const struct agent *agent = arg;

	return runner_is_unsettled(&agent->runner);
}

static void on_snapshot_read(void *arg)
{
	struct agent *agent = arg;

	runner_on_read(&agent->runner);
}

static const struct snapshot_ops snapshot_ops = {
	.take = take_snapshot,
	.offer = offer_snapshot,
	.on_finished = on_snapshot_finished,
	.on_trouble = on_snapshot_trouble,
	.is_unsettled = is_unsettled,
	.on_read = on_snapshot_read,
};

/* --- start and stop ------------------------------------------------------------------------------ */

static void on_prelude_ready(void *arg, const uint8_t key[static LIMIT_PSK_BYTES])
{
	struct agent *agent = arg;
	struct err err = { "" };

	/* Not before there are random numbers: two boots with one id would be one boot to the collector. */
	random_fill(agent->boot_id, sizeof(agent->boot_id));
	if (link_create(agent->loop, agent->config, key, &agent->identity, agent->spool, &link_events, agent,
			&agent->link, &err) < 0) {
		agent->link = NULL;
		log_error("link", "cannot be set up, going on without a collector: %s", err.text);
	}
}

void remote_start(struct agent *agent)
{
	if (agent->config->has_collector)
		prelude_start(&agent->prelude, agent->loop, agent->config->key_file, &agent->conditions, on_prelude_ready,
			      agent);
	else
		log_info("agent", "no collector is configured: nobody is told what happens here");
}

void remote_on_state_back(void *arg)
{
	struct agent *agent = arg;

	runner_on_state_back(&agent->runner);
	agent->identity.job_hiwater = runner_hiwater(&agent->runner);
}

void remote_init(struct agent *agent)
{
	bool can_confirm = agent->router_ops->save_point != NULL;

	agent->identity.can_confirm = can_confirm;
	snapshot_init(&agent->snapshot, agent->loop, agent->config->snapshot_interval_ms, &snapshot_ops, agent);
	/* The journal may send the router back at once. */
	runner_init(&agent->runner, agent->loop, agent->config->state_dir, agent->config->scripts_unsigned,
		    can_confirm ? &runner_ops : &plain_runner_ops, agent);
	agent->identity.job_hiwater = runner_hiwater(&agent->runner);
}

bool remote_goes_back(struct agent *agent)
{
	struct agent_late_undo undo = agent->late_undo;
	struct err err = { "" };
	int r;

	if (undo.on_done) {
		agent->late_undo.on_done = NULL;
		r = roll_back(agent, undo.job_id, undo.on_done, undo.arg, &err);
		if (r < 0)
			undo.on_done(undo.arg, r, err.text);
	}
	agent->is_going_back = agent->is_serving && runner_is_undoing(&agent->runner);
	return agent->is_going_back;
}

void remote_on_begun(struct agent *agent)
{
	struct link_status status;

	if (!agent->link)
		return;
	link_read_status(agent->link, &status);
	if (status.phase == LINK_OPEN)
		begin_exchange(agent);
}

void remote_stop(struct agent *agent)
{
	prelude_stop(&agent->prelude);
	remote_doctor_stop(agent);
	link_destroy(agent->link);
	snapshot_stop(&agent->snapshot);
	runner_stop(&agent->runner);
}
