/*
 * agent: see agent.h. Wires the modules together: who is told when something happens.
 *
 *   router ──▶ steer ──▶ router        carrier and addresses in, plans and flushes out
 *                `─────▶ report ──▶ spool ──▶ link       what people should know
 *   remote               what the collector sends for: jobs and snapshots
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

static const char *const state_names[] = { "unknown", "up", "suspect", "down" };
static const char *const cause_names[] = { "unknown",	  "probes",    "carrier", "address", "forced",
					   "force-ended", "recovered", "start" };

const char *agent_state_name(enum uplink_state state)
{
	return state_names[state];
}

/* --- what happens ------------------------------------------------------------------------------ */

static void on_condition(void *arg, enum log_level level, const char *subsystem, const char *text, enum notice_span span)
{
	struct agent *agent = arg;

	log_write(level, subsystem, "%s", text);
	report_notice(&agent->report, level, subsystem, text, span, clock_mono_ms());
}

void agent_notice(struct agent *agent, enum log_level level, const char *subsystem, const char *text)
{
	on_condition(agent, level, subsystem, text, NOTICE_PASSING);
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
	struct engine_change idle = *change;
	const char *carried_by;

	if (condition_is_set(&agent->conditions, CONDITION_RIVAL)) { /* it was seen here, and nothing was done about it */
		idle.carried_by = BALANCE_NO_UPLINK;
		change = &idle;
		switch_us = flows_moved = 0;
	}
	carried_by = change->carried_by < config->n_uplinks ? config->uplinks[change->carried_by].name : "-";

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
	agent_notice(arg, level, "router", text);
}

static const struct steer_events steer_events = { .on_change = on_change, .on_trouble = on_trouble };

static void on_uplink(void *arg, unsigned uplink, const struct router_uplink_state *state)
{
	struct agent *agent = arg;

	steer_on_uplink(&agent->steer, uplink, state);
}

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

		if (!agent->is_router_known)
			break;
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
	if (agent->is_router_known)
		report_watched(&agent->report, agent->router_ops, agent->router, &sample, clock_mono_ms());
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

	if (trap->level == ROUTER_TRAP_OK || strcmp(trap->id, ROUTER_TRAP_OTHER_AGENT) == 0)
		return; /* of the other agent on_rival() tells, and when it is over */
	agent->is_take_over_refused |= trap->level == ROUTER_TRAP_FATAL;
	snprintf(text, sizeof(text), "%s: %s; %s", trap->id, trap->what, trap->fix);
	agent_notice(agent, trap->level == ROUTER_TRAP_FATAL ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "doctor", text);
}

/* Nothing is changed, so nothing that the doctor could find stands in the way. */
static void watch(struct agent *agent)
{
	struct forwarding_plan observed;

	if (agent->config->n_uplinks > 0 && agent->router_ops->read_plan(agent->router, &observed, NULL) == 0)
		agent_notice(agent, LOG_LEVEL_WARNING, "agent",
			     "the forwarding plan of an earlier agent is in force and nobody steers it; jaga-agent --remove takes it "
			     "away");
}

static int take_over(struct agent *agent, struct err *err)
{
	struct forwarding_plan observed;

	/* A plan that is in force already is adopted all the same: a router without fail-over is no safer. */
	if (agent->is_take_over_refused && agent->router_ops->read_plan(agent->router, &observed, NULL) < 0) {
		err_set(err, -EPERM, "not taking over while what the doctor found would break it (above); nothing was changed");
		return EXIT_REFUSED;
	}
	if (steer_start(&agent->steer, agent->router, &agent->adopted, err) < 0) {
		err_prefix(err, "the forwarding plan cannot be installed: ");
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int open_socket(void *arg, struct err *err)
{
	struct agent *agent = arg;

	return local_open(&agent->local, agent->loop, agent->config->socket_path, commands_handle, agent, err);
}

static const struct upkeep_ops upkeep_ops = { .open_socket = open_socket, .on_state_back = remote_on_state_back };

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

/* All but forwarding: what people and the collector can ask. */
static void serve(struct agent *agent)
{
	ev_tstamp interval_s = (ev_tstamp)agent->config->sample_interval_ms / 1000;

	if (agent->is_serving)
		return;
	agent->is_serving = true;
	remote_init(agent);
	upkeep_start(&agent->upkeep, agent->loop, &upkeep_ops, agent);
	remote_start(agent);
	ev_timer_init(&agent->sample_timer, on_sample_time, interval_s, interval_s);
	agent->sample_timer.data = agent;
	ev_timer_start(agent->loop, &agent->sample_timer);
}

/* The router is known, and the doctor has been there if his findings matter. */
static int begin(struct agent *agent, struct err *err)
{
	const struct agent_config *config = agent->config;
	int r = EXIT_OK;

	if (config->take_over)
		r = take_over(agent, err);
	else
		watch(agent);
	if (r != EXIT_OK)
		return r;
	/* Forwarding has begun: from here on nothing is worth giving it up. */
	report_started(&agent->report, agent->adopted,
		       agent->adopted ? "adopted the plan in force" : config->take_over ? "" : "watches, steers nothing",
		       clock_mono_ms());
	if (agent->link) /* it is older than the plan, by which it may have lost its way */
		link_path_changed(agent->link);
	serve(agent);
	agent->has_begun = true;
	remote_on_begun(agent);
	log_info("agent", "started version=%s uplinks=%u mode=%s adopted=%s scripts=%s", JAGA_VERSION, config->n_uplinks,
		 config->take_over ? "steers" : "watches", agent->adopted ? "yes" : "no",
		 config->scripts_unsigned ? "unsigned" : "off");
	return EXIT_OK;
}

static void give_up(struct agent *agent, int exit_status, const struct err *why)
{
	agent->exit_status = exit_status;
	log_error("agent", "%s", why->text);
	ev_break(agent->loop, EVBREAK_ALL);
}

static void on_checked(void *arg, enum router_trap_level worst, const struct err *error)
{
	struct agent *agent = arg;
	struct err err = { "" };
	int exit_status = EXIT_FAILED;

	(void)worst; /* of what matters here on_trap() was told */
	if (error)
		err_set(&err, 0, "the router cannot be read: %s", error->text);
	else
		exit_status = begin(agent, &err);
	if (exit_status != EXIT_OK)
		give_up(agent, exit_status, &err);
}

void agent_look(struct agent *agent)
{
	struct err err = { "" };

	agent->is_take_over_refused = false;
	if (!agent->config->take_over) {
		on_checked(agent, ROUTER_TRAP_OK, NULL);
		return;
	}
	if (agent->router_ops->check(agent->router, on_trap, on_checked, agent, &err) < 0) {
		err_prefix(&err, "the router cannot be read: ");
		give_up(agent, EXIT_FAILED, &err);
	}
}

/* What a script has done that may have cut the router off is no ground for a doctor, nor for a plan. */
static void on_ready(void *arg)
{
	struct agent *agent = arg;

	agent->is_router_known = true;
	if (!agent->is_serving && runner_has_to_undo(&agent->runner, agent->config->state_dir))
		serve(agent);
	if (!remote_goes_back(agent))
		agent_look(agent);
}

/* Who has to mend it must hear of it, so nobody else waits for the router. */
static void on_reach(void *arg, const struct err *why)
{
	struct agent *agent = arg;

	if (why) {
		condition_set(&agent->conditions, CONDITION_ROUTER, LOG_LEVEL_ERROR, "%s", why->text);
		serve(agent);
	} else {
		condition_clear(&agent->conditions, CONDITION_ROUTER, "the router is connected again");
		if (agent->is_snapshot_owed) /* the next interval is too late for somebody who looks for a change */
			snapshot_request(&agent->snapshot);
	}
}

static void on_applied(void *arg, uint32_t flows_moved)
{
	struct agent *agent = arg;

	steer_on_applied(&agent->steer, flows_moved);
}

static void on_rival(void *arg, const struct err *who)
{
	struct agent *agent = arg;

	if (who) {
		condition_set(&agent->conditions, CONDITION_RIVAL, LOG_LEVEL_ERROR, "%s", who->text);
	} else {
		condition_clear(&agent->conditions, CONDITION_RIVAL, "no other agent steers the router any more: this one does");
		steer_on_regained(&agent->steer);
	}
}

static void on_watch(void *arg, const struct router_change *change)
{
	struct agent *agent = arg;

	report_watch(&agent->report, change, clock_mono_ms());
}

static void on_restart(void *arg, const struct router_restart *restart)
{
	struct agent *agent = arg;

	log_warning("router", "has restarted uptime_s=%lld", (long long)restart->uptime_s);
	report_restart(&agent->report, restart, clock_mono_ms());
}

static const struct router_events router_events = {
	.on_ready = on_ready,
	.on_applied = on_applied,
	.on_uplink = on_uplink,
	.on_watch = on_watch,
	.on_restart = on_restart,
	.on_reach = on_reach,
	.on_rival = on_rival,
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
		remote_stop(agent);
		local_close(&agent->local);
		ev_timer_stop(agent->loop, &agent->sample_timer);
		ev_signal_stop(agent->loop, &agent->sigterm);
		ev_signal_stop(agent->loop, &agent->sigint);
		ev_signal_stop(agent->loop, &agent->sighup);
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
	agent->started_ms = clock_mono_ms();
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
