/*
 * agent: see agent.h. Wires the modules together: who is told when something happens.
 *
 *   router ──▶ steer ──▶ router        carrier and addresses in, plans and flushes out
 *                `─────▶ report ──▶ spool ──▶ link       what people should know
 *   link ────▶ runner ──▶ router       jobs down, their results up
 *   link ────▶ snapshot ─▶ router      the configuration, when it is wanted
 *   local ───▶ commands ─▶ steer
 *
 * Called by main.c. Everything runs on libev's default loop; nothing here blocks.
 */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"

static const char *const state_names[] = { "unknown", "up", "suspect", "down" };
static const char *const cause_names[] = { "unknown",	  "probes",    "carrier", "address", "forced",
					   "force-ended", "recovered", "start" };

const char *agent_state_name(enum uplink_state state)
{
	return state_names[state];
}

/* --- what happens ------------------------------------------------------------------------------ */

static void notice(struct agent *agent, enum log_level level, const char *subsystem, const char *text)
{
	log_write(level, subsystem, "%s", text);
	report_notice(&agent->report, level, subsystem, text, clock_mono_ms());
}

static void on_record_added(void *arg, bool urgent)
{
	struct agent *agent = arg;

	if (agent->link)
		link_kick(agent->link, urgent);
}

static void on_change(void *arg, const struct engine_change *change, int64_t switch_us, uint32_t flows_moved)
{
	struct agent *agent = arg;
	const struct agent_config *config = agent->config;
	const char *carried_by = change->carried_by < config->n_uplinks ? config->uplinks[change->carried_by].name : "-";

	log_write(change->to == UPLINK_UP ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "uplink",
		  "%s is %s cause=%s was=%s misses=%u/%u detect_ms=%lld switch_us=%lld flows_moved=%u carried_by=%s",
		  config->uplinks[change->uplink].name, state_names[change->to], cause_names[change->cause],
		  state_names[change->from], change->misses, change->misses_needed,
		  (long long)((change->decided_us - change->began_us) / 1000), (long long)switch_us, flows_moved,
		  carried_by);
	report_uplink_change(&agent->report, change, switch_us, flows_moved);
	/* A suspect moves no flow that has seen a reply; everything else may have moved the session's, too. */
	if (agent->link && change->to != UPLINK_SUSPECT)
		link_path_changed(agent->link);
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	notice(arg, level, "router", text);
}

static const struct steer_events steer_events = { .on_change = on_change, .on_trouble = on_trouble };

static void on_uplink(void *arg, unsigned uplink, const struct router_uplink_state *state)
{
	struct agent *agent = arg;

	steer_on_uplink(&agent->steer, uplink, state);
}

static void on_condition(void *arg, enum log_level level, const char *subsystem, const char *text)
{
	notice(arg, level, subsystem, text);
}

/* --- the link's side --------------------------------------------------------------------------- */

static void on_link_open(void *arg, int64_t wall_ms)
{
	struct agent *agent = arg;

	log_info("link", "session open");
	agent->identity.job_hiwater = runner_hiwater(&agent->runner);
	runner_on_open(&agent->runner, wall_ms);
	snapshot_on_open(&agent->snapshot);
}

static void on_link_closed(void *arg, const char *reason)
{
	struct agent *agent = arg;
	struct link_status status;

	link_read_status(agent->link, &status);
	log_warning("link", "session lost reason=\"%s\", reconnecting in_ms=%lld", reason,
		    (long long)(status.retry_at_ms - status.since_ms));
	runner_on_closed(&agent->runner);
	snapshot_on_closed(&agent->snapshot);
}

static void on_wake(void *arg, uint64_t job_seq, bool take_snapshot, int64_t wall_ms)
{
	struct agent *agent = arg;

	if (wall_ms > 0)
		runner_set_time(&agent->runner, wall_ms);
	runner_on_wake(&agent->runner, job_seq);
	if (take_snapshot)
		snapshot_request(&agent->snapshot);
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
	.on_snapshot_done = on_snapshot_done,
	.read_uplink_state = read_uplink_state,
};

/* --- jobs and snapshots -------------------------------------------------------------------------- */

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

static void on_script_ended(void *arg)
{
	struct agent *agent = arg;

	snapshot_request(&agent->snapshot);
}

static void on_job_trouble(void *arg, enum log_level level, const char *text)
{
	notice(arg, level, "job", text);
}

static const struct runner_ops runner_ops = {
	.ask_job = ask_job,
	.send_state = send_job_state,
	.run_script = run_script,
	.on_script_ended = on_script_ended,
	.on_trouble = on_job_trouble,
};

static int take_snapshot(void *arg, router_snapshot_fn *on_done, void *done_arg, struct err *err)
{
	struct agent *agent = arg;

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

	if (result->outcome == SNAPSHOT_FAILED)
		log_warning("snapshot", "failed, trying again at the next occasion reason=\"%s\"", result->reason);
	else
		log_info("snapshot", "taken bytes=%zu outcome=%s", result->bytes, snapshot_outcome_name(result->outcome));
	commands_answer_snapshot(agent);
}

static void on_snapshot_trouble(void *arg, enum log_level level, const char *text)
{
	notice(arg, level, "snapshot", text);
}

static const struct snapshot_ops snapshot_ops = {
	.take = take_snapshot,
	.offer = offer_snapshot,
	.on_finished = on_snapshot_finished,
	.on_trouble = on_snapshot_trouble,
};

/* --- time and signals ---------------------------------------------------------------------------- */

static void on_sample_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct agent *agent = timer->data;
	struct report_sample sample = { .conntrack_count = 0 };
	struct system_load load;

	(void)loop;
	(void)revents;
	for (unsigned i = 0; i < agent->config->n_uplinks; i++) {
		struct router_counters counters = { 0, 0 };
		struct engine_uplink_status status;

		/* An interface that is away has no counters: zero says so. */
		(void)agent->router_ops->read_counters(agent->router, i, &counters);
		steer_read_status(&agent->steer, i, &status);
		sample.uplinks[i] = (struct report_uplink_sample){
			.state = status.state,
			.rtt_us = status.detector.rtt_us,
			.loss_permille = status.detector.loss_permille,
			.rx_bytes = counters.rx_bytes,
			.tx_bytes = counters.tx_bytes,
		};
	}
	system_read_load(&load);
	sample.conntrack_count = load.conntrack_count;
	sample.conntrack_max = load.conntrack_max;
	sample.mem_available_kb = load.mem_available_kb;
	sample.load_permille = load.load_permille;
	report_sample(&agent->report, &sample, clock_mono_ms());
}

static void on_stop_signal(struct ev_loop *loop, ev_signal *signal, int revents)
{
	(void)revents;
	log_info("agent", "stopping signal=%d, the forwarding plan stays in force", signal->signum);
	ev_break(loop, EVBREAK_ALL);
}

static void on_hangup(struct ev_loop *loop, ev_signal *signal, int revents)
{
	(void)loop;
	(void)signal;
	(void)revents;
	log_info("agent", "to read a changed configuration restart the agent: it adopts the plan and cuts no flow");
}

/* --- start ------------------------------------------------------------------------------------- */

static void on_trap(void *arg, const struct router_trap *trap)
{
	struct agent *agent = arg;
	char text[LIMIT_ERR_TEXT];

	if (trap->level == ROUTER_TRAP_OK)
		return;
	snprintf(text, sizeof(text), "%s: %s; %s", trap->id, trap->what, trap->fix);
	notice(agent, trap->level == ROUTER_TRAP_FATAL ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "doctor", text);
}

static int take_over(struct agent *agent, struct err *err)
{
	enum router_trap_level worst = ROUTER_TRAP_OK;
	struct forwarding_plan observed;
	int r;

	r = agent->router_ops->check(agent->router, on_trap, agent, &worst, err);
	if (r < 0) {
		err_prefix(err, "the router cannot be read: ");
		return EXIT_FAILED;
	}
	/* A plan that is in force already is adopted all the same: a router without fail-over is no safer. */
	if (worst == ROUTER_TRAP_FATAL && agent->router_ops->read_plan(agent->router, &observed, NULL) < 0) {
		err_set(err, -EPERM, "not taking over while what the doctor found would break it (above); nothing was changed");
		return EXIT_REFUSED;
	}
	r = steer_start(&agent->steer, agent->router, &agent->adopted, err);
	if (r < 0) {
		err_prefix(err, "the forwarding plan cannot be installed: ");
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

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

static void start_link(struct agent *agent)
{
	if (agent->config->has_collector)
		prelude_start(&agent->prelude, agent->loop, agent->config->key_file, &agent->conditions, on_prelude_ready,
			      agent);
	else
		log_info("agent", "no collector is configured: nobody is told what happens here");
}

static int open_socket(void *arg, struct err *err)
{
	struct agent *agent = arg;

	return local_open(&agent->local, agent->loop, agent->config->socket_path, commands_handle, agent, err);
}

static void on_state_back(void *arg)
{
	struct agent *agent = arg;

	runner_on_state_back(&agent->runner);
	agent->identity.job_hiwater = runner_hiwater(&agent->runner);
}

static const struct upkeep_ops upkeep_ops = { .open_socket = open_socket, .on_state_back = on_state_back };

static void start_signal(struct agent *agent, ev_signal *watcher, int number,
			 void (*on_signal)(struct ev_loop *, ev_signal *, int))
{
	ev_signal_init(watcher, on_signal, number);
	watcher->data = agent;
	ev_signal_start(agent->loop, watcher);
}

static int prepare(struct agent *agent, struct err *err)
{
	const struct agent_config *config = agent->config;

	if (spool_create(config->spool_bytes, &agent->spool) < 0) {
		err_set(err, -ENOMEM, "no memory for the spool of %u bytes; lower spool in [agent]", config->spool_bytes);
		return EXIT_FAILED;
	}
	agent->report = (struct report){ config, agent->spool, on_record_added, agent };
	conditions_init(&agent->conditions, on_condition, agent);
	if (upkeep_claim(&agent->upkeep, config, &agent->conditions, err) < 0)
		return EXIT_FAILED;
	agent->loop = ev_default_loop(EVFLAG_NOENV);
	if (!agent->loop) {
		err_set(err, -ENOMEM, "libev cannot start");
		return EXIT_FAILED;
	}
	system_read_identity(&agent->system);
	agent->identity = (struct link_identity){
		.boot_id = agent->boot_id,
		.hostname = agent->system.hostname,
		.model = agent->system.model,
		.system = agent->system.system,
		.driver = agent->router_ops->name,
	};
	steer_init(&agent->steer, agent->loop, config, agent->router_ops, &probe_icmp, &steer_events, agent);
	return EXIT_OK;
}

/* The router is known. */
static int begin(struct agent *agent, struct err *err)
{
	int r = take_over(agent, err);

	if (r != EXIT_OK)
		return r;
	agent->started_ms = clock_mono_ms();
	report_started(&agent->report, agent->adopted, agent->adopted ? "adopted the plan in force" : "", agent->started_ms);
	/* Forwarding has begun: from here on nothing is worth giving it up. */
	runner_init(&agent->runner, agent->loop, agent->config->state_dir, agent->config->scripts_unsigned, &runner_ops,
		    agent);
	agent->identity.job_hiwater = runner_hiwater(&agent->runner);
	snapshot_init(&agent->snapshot, agent->loop, agent->config->snapshot_interval_ms, &snapshot_ops, agent);
	upkeep_start(&agent->upkeep, agent->loop, &upkeep_ops, agent);
	start_link(agent);
	ev_timer_init(&agent->sample_timer, on_sample_time, (ev_tstamp)agent->config->sample_interval_ms / 1000,
		      (ev_tstamp)agent->config->sample_interval_ms / 1000);
	agent->sample_timer.data = agent;
	ev_timer_start(agent->loop, &agent->sample_timer);
	log_info("agent", "started version=%s uplinks=%u adopted=%s scripts=%s", JAGA_VERSION, agent->config->n_uplinks,
		 agent->adopted ? "yes" : "no", agent->config->scripts_unsigned ? "unsigned" : "off");
	return EXIT_OK;
}

static void on_ready(void *arg)
{
	struct agent *agent = arg;
	struct err err = { "" };

	agent->exit_status = begin(agent, &err);
	if (agent->exit_status == EXIT_OK)
		return;
	log_error("agent", "%s", err.text);
	ev_break(agent->loop, EVBREAK_ALL);
}

static void on_applied(void *arg)
{
	struct agent *agent = arg;

	steer_on_applied(&agent->steer);
}

static const struct router_events router_events = {
	.on_ready = on_ready,
	.on_applied = on_applied,
	.on_uplink = on_uplink,
	.on_trouble = on_trouble,
};

static int start(struct agent *agent, struct err *err)
{
	int r = prepare(agent, err);

	if (r != EXIT_OK)
		return r;
	start_signal(agent, &agent->sigterm, SIGTERM, on_stop_signal);
	start_signal(agent, &agent->sigint, SIGINT, on_stop_signal);
	start_signal(agent, &agent->sighup, SIGHUP, on_hangup);
	if (agent->router_ops->open(agent->loop, agent->config, &router_events, agent, &agent->router, err) < 0) {
		err_prefix(err, "the router cannot be read: ");
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static void stop(struct agent *agent)
{
	if (agent->loop) {
		prelude_stop(&agent->prelude);
		link_destroy(agent->link);
		local_close(&agent->local);
		ev_timer_stop(agent->loop, &agent->sample_timer);
		ev_signal_stop(agent->loop, &agent->sigterm);
		ev_signal_stop(agent->loop, &agent->sigint);
		ev_signal_stop(agent->loop, &agent->sighup);
		snapshot_stop(&agent->snapshot);
		runner_stop(&agent->runner);
		steer_stop(&agent->steer);
		agent->router_ops->close(agent->router);
	}
	upkeep_stop(&agent->upkeep);
	spool_destroy(agent->spool);
}

static struct agent *create(const struct agent_config *config)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (!agent) {
		log_error("agent", "no memory to start");
		return NULL;
	}
	agent->config = config;
	agent->router_ops = router_driver(config);
	agent->local.fd = -1;
	return agent;
}

int agent_run(const struct agent_config *config)
{
	struct agent *agent = create(config);
	struct err err = { "" };
	int r;

	if (!agent)
		return EXIT_FAILED;
	system_protect_memory();
	signal(SIGPIPE, SIG_IGN);
	r = start(agent, &err);
	if (r == EXIT_OK) {
		ev_run(agent->loop, 0);
		r = agent->exit_status;
	} else {
		log_error("agent", "%s", err.text);
	}
	stop(agent);
	free(agent);
	return r;
}
