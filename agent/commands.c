/*
 * commands: what the running agent answers to `jaga-agent status`, `uplinks`, `force`, `unforce` and
 * `snapshot` over the local socket (local.h). One row of the table below is one command; the words
 * after its name are its arguments. Reads the modules' states and steers through steer.h only.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/agent.h"
#include "common/clock.h"
#include "common/log.h"


/* Sends the table that has been filled. */
static void answer_table(struct agent *agent, struct local_client *client, const struct local_request *request,
			 struct buf *out)
{
	static const char too_large[] = "the answer is larger than the agent can hold\n";

	if (table_render(&agent->table, request->format, out) < 0)
		local_answer(client, EXIT_FAILED, too_large, sizeof(too_large) - 1);
	else
		local_answer(client, EXIT_OK, out->data, out->length);
}

static void answer_text(struct local_client *client, enum local_exit status, struct buf *out)
{
	local_answer(client, status, out->data, out->length);
}

/* --- status ------------------------------------------------------------------------------------ */

/* Nothing that a session needs is missing. */
static bool has_prelude_ended(const struct agent *agent)
{
	return !condition_is_set(&agent->conditions, CONDITION_KEY) && !condition_is_set(&agent->conditions, CONDITION_RANDOM);
}

static void put_session(struct agent *agent)
{
	static const char *const names[] = { "idle", "connecting", "greeting", "open", "waiting" };
	struct link_status status = { .phase = LINK_IDLE };
	int64_t now_ms = clock_mono_ms();

	if (agent->link)
		link_read_status(agent->link, &status);
	table_put_text(&agent->table, "%s", agent->link			   ? names[status.phase]
					    : !agent->config->has_collector	   ? "none"
					    : has_prelude_ended(agent) ? "failed"
									   : "not-begun");
	table_put_number(&agent->table, agent->link ? (now_ms - status.since_ms) / 1000 : 0);
	table_put_number(&agent->table,
			 status.phase == LINK_WAITING && status.retry_at_ms > now_ms ? (status.retry_at_ms - now_ms) / 1000 : 0);
	table_put_text(&agent->table, "%s", status.phase == LINK_OPEN ? "" : status.last_error); /* of the session before: settled */
	table_put_number(&agent->table, (int64_t)status.batches_acked);
}

static void answer_status(struct agent *agent, struct local_client *client, const struct local_request *request,
			  struct buf *out)
{
	static const char *const columns[] = {
		"version", "identity", "uptime_s", "mode", "adopted", "plan_in_force", "scripts",
		"session", "session_age_s", "retry_in_s", "session_error", "batches_acknowledged",
		"spool_records", "spool_bytes", "dropped_events", "dropped_samples", "job", "job_phase", "snapshot",
		"trouble",
	};
	bool is_another_steering = condition_is_set(&agent->conditions, CONDITION_RIVAL);
	char memory[N_CONDITIONS * CONDITION_TEXT + 16];
	struct spool_stats spool;
	struct buf trouble;

	table_init(&agent->table, "status", columns, sizeof(columns) / sizeof(columns[0]), true);
	table_put_text(&agent->table, "%s", JAGA_VERSION);
	table_put_text(&agent->table, "%s", agent->config->identity);
	table_put_number(&agent->table, (clock_mono_ms() - agent->started_ms) / 1000);
	table_put_text(&agent->table, "%s", !agent->has_begun || is_another_steering ? "waits"
					    : agent->config->take_over			  ? "steers"
											  : "watches");
	table_put_bool(&agent->table, agent->adopted);
	table_put_bool(&agent->table, steer_is_plan_in_force(&agent->steer) && !is_another_steering);
	table_put_text(&agent->table, "%s", agent->config->scripts_unsigned ? "unsigned" : "off");
	put_session(agent);
	spool_read_stats(agent->spool, &spool);
	table_put_number(&agent->table, spool.records);
	table_put_number(&agent->table, (int64_t)spool.bytes_used);
	table_put_number(&agent->table, (int64_t)spool.dropped_events);
	table_put_number(&agent->table, (int64_t)spool.dropped_samples);
	table_put_text(&agent->table, "%s", runner_last_job(&agent->runner));
	table_put_text(&agent->table, "%s", runner_phase_name(&agent->runner));
	table_put_text(&agent->table, "%s", snapshot_outcome_name(agent->snapshot.result.outcome));
	buf_init(&trouble, memory, sizeof(memory));
	conditions_put(&agent->conditions, &trouble);
	table_put_text(&agent->table, "%s", trouble.data);
	answer_table(agent, client, request, out);
}

/* --- uplinks ----------------------------------------------------------------------------------- */

/* Microseconds as milliseconds with two decimals. */
static void put_ms(struct table *table, enum table_format format, uint32_t us)
{
	if (format == TABLE_TEXT)
		table_put_text(table, "%" PRIu32 ".%02" PRIu32, us / 1000, us % 1000 / 10);
	else
		table_put_number(table, us);
}

static void put_loss(struct table *table, enum table_format format, uint32_t permille)
{
	if (format == TABLE_TEXT)
		table_put_text(table, "%" PRIu32 ".%" PRIu32, permille / 10, permille % 10);
	else
		table_put_number(table, permille);
}

static void put_age(struct table *table, enum table_format format, int64_t seconds)
{
	if (format != TABLE_TEXT)
		table_put_number(table, seconds);
	else if (seconds < 120)
		table_put_text(table, "%" PRId64 "s", seconds);
	else if (seconds < 7200)
		table_put_text(table, "%" PRId64 "m", seconds / 60);
	else
		table_put_text(table, "%" PRId64 "h", seconds / 3600);
}

/* What is known of an uplink that nobody steers. */
static void read_interface(struct agent *agent, unsigned uplink, struct engine_uplink_status *status)
{
	struct router_uplink_state state;

	if (agent->router_ops->read_uplink(agent->router, uplink, &state) < 0)
		return;
	status->has_carrier = state.has_carrier;
	status->has_address = state.has_address;
}

static void put_uplink(struct agent *agent, unsigned i, enum table_format format)
{
	const struct config_uplink *config = &agent->config->uplinks[i];
	struct table *table = &agent->table;
	struct engine_uplink_status status;
	int64_t now_us = clock_mono_us();
	bool is_carried;

	steer_read_status(&agent->steer, i, &status);
	if (!agent->config->take_over && agent->is_router_known)
		read_interface(agent, i, &status);
	is_carried = status.carried_by < agent->config->n_uplinks;
	table_put_text(table, "%s", config->name);
	table_put_text(table, "%s", config->interface);
	table_put_text(table, "%s", agent_state_name(status.state));
	put_age(table, format, status.since_us > 0 ? (now_us - status.since_us) / 1000000 : 0);
	table_put_number(table, status.buckets * 100 / agent->config->n_buckets);
	table_put_text(table, "%s", is_carried ? agent->config->uplinks[status.carried_by].name : "");
	put_ms(table, format, status.detector.rtt_us);
	put_loss(table, format, status.detector.loss_permille);
	table_put_text(table, "%u/%u", status.detector.misses, status.detector.misses_needed);
	table_put_bool(table, status.has_carrier);
	table_put_bool(table, status.has_address);
	if (!status.is_forced && format == TABLE_TEXT)
		table_put_text(table, "%s", "");
	else
		put_age(table, format, status.is_forced ? (status.forced_until_us - now_us) / 1000000 : 0);
}

static void answer_uplinks(struct agent *agent, struct local_client *client, const struct local_request *request,
			   struct buf *out)
{
	static const char *const text_columns[] = { "UPLINK", "INTERFACE", "STATE", "FOR", "SHARE%", "CARRIED-BY", "RTT-MS",
						    "LOSS%", "MISSES", "CARRIER", "ADDRESS", "FORCED" };
	static const char *const columns[] = { "name", "interface", "state", "since_s", "share_percent", "carried_by",
					       "rtt_us", "loss_permille", "misses", "carrier", "address", "forced_s" };

	table_init(&agent->table, "uplinks", request->format == TABLE_TEXT ? text_columns : columns,
		   sizeof(columns) / sizeof(columns[0]), false);
	for (unsigned i = 0; i < agent->config->n_uplinks; i++)
		put_uplink(agent, i, request->format);
	answer_table(agent, client, request, out);
}

/* --- force ------------------------------------------------------------------------------------- */

static void answer_force(struct agent *agent, struct local_client *client, const struct local_request *request,
			 struct buf *out)
{
	int uplink = config_find_uplink(agent->config, request->words[1]);
	int64_t for_ms;

	if (!agent->has_begun || !agent->config->take_over) {
		buf_puts(out, agent->has_begun ? "this agent only watches, there is nothing to force; take_over = yes makes it steer\n"
					       : "nothing is steered yet, there is nothing to force; status says what it waits for\n");
		answer_text(client, EXIT_FAILED, out);
		return;
	}
	if (uplink < 0) {
		buf_printf(out, "there is no uplink %s; there are", request->words[1]);
		for (unsigned i = 0; i < agent->config->n_uplinks; i++)
			buf_printf(out, " %s", agent->config->uplinks[i].name);
		buf_puts(out, "\n");
		answer_text(client, EXIT_USAGE, out);
		return;
	}
	if (parse_duration_ms(request->words[2], 1000, LIMIT_FORCE_MS, &for_ms) < 0) {
		buf_printf(out, "'%s' is not a duration from 1s to 7d; write --for 2h\n", request->words[2]);
		answer_text(client, EXIT_USAGE, out);
		return;
	}
	log_info("agent", "an operator forces uplink=%s for_s=%lld", request->words[1], (long long)for_ms / 1000);
	steer_force(&agent->steer, (unsigned)uplink, for_ms);
	buf_printf(out, "%s is preferred over all others for %s; unforce ends it\n", request->words[1], request->words[2]);
	answer_text(client, EXIT_OK, out);
}

static void answer_unforce(struct agent *agent, struct local_client *client, const struct local_request *request,
			   struct buf *out)
{
	(void)request;
	log_info("agent", "an operator takes the force back");
	if (agent->has_begun && agent->config->take_over)
		steer_unforce(&agent->steer);
	buf_puts(out, "no uplink is forced any more\n");
	answer_text(client, EXIT_OK, out);
}

/* --- snapshot ---------------------------------------------------------------------------------- */

static void answer_snapshot(struct agent *agent, struct local_client *client, const struct local_request *request,
			    struct buf *out)
{
	(void)out;
	agent->snapshot_format = request->format; /* of who asked last: people do not ask for two at once */
	local_wait(client, LIMIT_SNAPSHOT_WAIT_MS);
	snapshot_await(&agent->snapshot);
}

void commands_answer_snapshot(struct agent *agent)
{
	static const char *const columns[] = { "outcome", "sha256", "bytes", "reason" };
	const struct snapshot_result *result = &agent->snapshot.result;
	char memory[512], hex[2 * SNAPSHOT_HASH_BYTES + 1];
	struct buf hash, out;

	buf_init(&hash, hex, sizeof(hex));
	if (result->has_hash)
		buf_put_hex(&hash, result->hash, sizeof(result->hash));
	table_init(&agent->table, "snapshot", columns, 4, true);
	table_put_text(&agent->table, "%s", snapshot_outcome_name(result->outcome));
	table_put_text(&agent->table, "%s", hash.data);
	table_put_number(&agent->table, (int64_t)result->bytes);
	table_put_text(&agent->table, "%s", result->reason);
	buf_init(&out, memory, sizeof(memory));
	if (table_render(&agent->table, agent->snapshot_format, &out) < 0)
		buf_clear(&out);
	local_answer_waiting(&agent->local, result->outcome == SNAPSHOT_FAILED ? EXIT_FAILED : EXIT_OK, out.data, out.length);
}

/* --- dispatch ---------------------------------------------------------------------------------- */

static const struct command {
	const char *name;
	unsigned n_words; /* with the name */
	void (*answer)(struct agent *agent, struct local_client *client, const struct local_request *request,
		       struct buf *out);
} commands[] = {
	{ "status", 1, answer_status },
	{ "uplinks", 1, answer_uplinks },
	{ "force", 3, answer_force }, /* UPLINK DURATION */
	{ "unforce", 1, answer_unforce },
	{ "snapshot", 1, answer_snapshot },
};

void commands_handle(void *arg, struct local_client *client, const struct local_request *request, struct buf *out)
{
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, request->words[0]) == 0 && commands[i].n_words == request->n_words) {
			commands[i].answer(arg, client, request, out);
			return;
		}
	}
	buf_printf(out, "'%s' with %u arguments is not understood; see jaga-agent --help, or are client and agent of "
			"different versions?\n",
		   request->words[0], request->n_words - 1);
	answer_text(client, EXIT_USAGE, out);
}
