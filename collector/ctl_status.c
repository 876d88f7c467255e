/*
 * ctl_status: what is wrong now, each with what to do about it, then the counters. Nothing that is in
 * order makes a row, but a device that may be away because it is to prove itself: a notice.
 *
 * Of one device: what is wrong with it, its jobs, then what is watched there.
 *
 *   phases: the collector itself ─▶ devices, 64 a turn ─▶ jobs of the last day, 64 a turn ─▶ counters
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "collector/ingest.h"
#include "collector/ingest_rows.h"
#include "collector/ingest_watch.h"
#include "collector/jobs.h"
#include "collector/snapshots.h"
#include "collector/writer.h"
#include "common/clock.h"

#define DAY_MS (24 * 3600 * 1000LL)

enum phase { PHASE_SELF, PHASE_DEVICES, PHASE_JOBS, PHASE_COUNTERS };

struct problem {
	const char *kind, *device, *hint;
	int64_t since_ms;
	char text[LIMIT_ERR_TEXT], hint_text[LIMIT_ERR_TEXT]; /* hint may point to the latter */
};

static enum ctl_next put_row(struct ctl_client *client, const char *what, const struct problem *problem)
{
	json_t *row = json_object();

	json_row_set_text(row, what, problem->kind);
	if (problem->device)
		json_row_set_text(row, "device", problem->device);
	json_row_set_number(row, "since_ms", problem->since_ms);
	json_row_set_text(row, "text", problem->text);
	json_row_set_text(row, "hint", problem->hint);
	return ctl_put_row(client, row);
}

static enum ctl_next put_problem(struct ctl_client *client, const struct problem *problem)
{
	return put_row(client, "problem", problem);
}

/* --- the collector itself --------------------------------------------------------------------- */

static int read_usage(struct ctl_client *client, struct store_usage *ret_usage)
{
	struct store_txn *txn;
	int r = store_read_begin(client->collector->ports.store, &txn);

	if (r < 0)
		return r;
	r = store_read_usage(txn, ret_usage);
	store_read_end(txn);
	return r;
}

static enum ctl_next put_store_fault(struct ctl_client *client)
{
	struct problem problem = { .kind = "store-fault", .hint = "make room on its file system or raise [store] size; agents "
								  "keep their reports meanwhile" };
	struct writer_counters writer;

	writer_read_counters(client->collector->ports.writer, &writer);
	if (writer.fault == 0)
		return CTL_MORE;
	problem.since_ms = writer.fault_since_ms;
	snprintf(problem.text, sizeof(problem.text), "nothing can be stored in %s: %s",
		 client->collector->config->store_path, strerror(-writer.fault));
	return put_problem(client, &problem);
}

static enum ctl_next put_store_full(struct ctl_client *client)
{
	struct problem problem = { .kind = "store-full", .hint = "raise [store] size and restart the collector" };
	struct store_usage usage;
	int r = read_usage(client, &usage);

	if (r < 0)
		return ctl_fail_store(client, r);
	if (usage.used_bytes < usage.size_bytes / 10 * 8)
		return CTL_MORE;
	snprintf(problem.text, sizeof(problem.text), "the store holds %llu of %llu MiB",
		 (unsigned long long)(usage.used_bytes >> 20), (unsigned long long)(usage.size_bytes >> 20));
	return put_problem(client, &problem);
}

static enum ctl_next put_disk_low(struct ctl_client *client)
{
	const char *path = client->collector->config->store_path;
	struct problem problem = { .kind = "disk-low", .hint = "make room on this file system" };
	struct statvfs fs;
	unsigned long long free_bytes;

	if (statvfs(path, &fs) < 0)
		return CTL_MORE;
	free_bytes = (unsigned long long)fs.f_bavail * fs.f_frsize;
	if (free_bytes >= LIMIT_LOW_DISK_BYTES)
		return CTL_MORE;
	snprintf(problem.text, sizeof(problem.text), "%llu MiB are free at %s", free_bytes >> 20, path);
	return put_problem(client, &problem);
}

static enum ctl_next put_clock(struct ctl_client *client)
{
	struct problem problem = { .kind = "clock", .text = "the clock of the collector is not set: what happens is stored with "
							   "a time of long ago",
				   .hint = "set it, by NTP or by hand; sessions and jobs work meanwhile" };

	return clock_wall_is_set() ? CTL_MORE : put_problem(client, &problem);
}

static enum ctl_next put_refused(struct ctl_client *client)
{
	struct problem problem = { .kind = "handshakes-refused",
				   .hint = "a wrong agent.key, a removed device, or a stranger; the log names addresses" };
	uint64_t refused = collector_count_refused(client->collector);

	if (refused == 0)
		return CTL_MORE;
	snprintf(problem.text, sizeof(problem.text), "%llu handshakes were refused within the last hour",
		 (unsigned long long)refused);
	return put_problem(client, &problem);
}

/* --- devices ---------------------------------------------------------------------------------- */

static enum ctl_next put_uplinks(struct ctl_client *client, const struct fleet_device *device)
{
	enum ctl_next next = CTL_MORE;

	for (unsigned i = 0; i < device->n_uplinks && next == CTL_MORE; i++) {
		const struct fleet_uplink *uplink = &device->uplinks[i];
		struct problem problem = { .kind = "uplink-down", .device = device->name, .since_ms = uplink->since_ms };

		if (uplink->state != FLEET_STATE_DOWN &&
		    uplink->state != FLEET_STATE_SUSPECT)
			continue;
		if (uplink->state == FLEET_STATE_SUSPECT)
			problem.kind = "uplink-suspect";
		snprintf(problem.text, sizeof(problem.text), "uplink %s is %s", uplink->name,
			 ingest_state_name(uplink->state));
		snprintf(problem.hint_text, sizeof(problem.hint_text), "jaga events --device %s shows the evidence", device->name);
		problem.hint = problem.hint_text;
		next = put_problem(client, &problem);
	}
	return next;
}

static enum ctl_next put_troubles(struct ctl_client *client, const struct fleet_device *device)
{
	enum ctl_next next = CTL_MORE;

	for (unsigned i = 0; i < device->n_troubles && next == CTL_MORE; i++) {
		struct problem problem = { .kind = "trouble", .device = device->name, .since_ms = device->troubles[i].since_ms,
					   .hint = "jaga-agent status, there, says when it is over" };
		bool is_snapshot = strcmp(device->troubles[i].subsystem, FLEET_SNAPSHOT) == 0;

		if (strcmp(device->troubles[i].subsystem, FLEET_ROUTER) == 0)
			problem.hint = "is it on, and do its /ip service, user and password let the agent in? Its agent tries on";

		if (is_snapshot) {
			snprintf(problem.hint_text, sizeof(problem.hint_text), "jaga snapshots %s --take tries again", device->name);
			problem.hint = problem.hint_text;
		}
		snprintf(problem.text, sizeof(problem.text), "%s%s", is_snapshot ? "no snapshot could be taken: " : "",
			 device->troubles[i].text);
		next = put_problem(client, &problem);
	}
	return next;
}

/* What is wrong with a neighbour or a host that people have asked the router to watch. A tunnel may wait for its use, a port
 * for a cable: they are only shown. */
static enum ctl_next put_things(struct ctl_client *client, const struct fleet_device *device)
{
	static const struct {
		int watch;
		const char *kind, *what, *is, *hint;
	} kinds[] = {
		{ JAGA__V1__WATCH__WATCH_OSPF, "ospf-down", "OSPF neighbour", "is not full", "is that router reachable?" },
		{ JAGA__V1__WATCH__WATCH_BGP, "bgp-down", "BGP peer", "is not established", "is that router reachable?" },
		{ JAGA__V1__WATCH__WATCH_LTE, "lte-down", "LTE modem", "is not registered", "SIM, antenna, provider" },
		{ JAGA__V1__WATCH__WATCH_NETWATCH, "netwatch-down", "Netwatch host", "is down", "see the router's Netwatch" },
	};
	enum ctl_next next = CTL_MORE;

	for (unsigned i = 0; device->watched && i < device->watched->n_things && next == CTL_MORE; i++) {
		const struct fleet_thing *thing = &device->watched->things[i];

		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]) && next == CTL_MORE; k++) {
			struct problem problem = { .kind = kinds[k].kind, .device = device->name, .hint = kinds[k].hint,
						   .since_ms = thing->since_ms };

			if (thing->watch != kinds[k].watch || thing->state != JAGA__V1__WATCH_STATE__WATCH_STATE_DOWN)
				continue;
			snprintf(problem.text, sizeof(problem.text), "%s %s %s", kinds[k].what, thing->name, kinds[k].is);
			next = put_problem(client, &problem);
		}
	}
	return next;
}

/* Back or not yet: its script waits for the proof, and whether it was away for that is no trouble. */
static enum ctl_next put_confirming(struct ctl_client *client, const struct fleet_device *device, int64_t now_ms)
{
	const struct fleet_confirming *confirming = &device->confirming;
	struct problem notice = { .kind = "confirming", .device = device->name, .hint = notice.hint_text };
	int64_t left_ms = confirming->until_ms - now_ms;

	snprintf(notice.text, sizeof(notice.text), "confirming job %llu, which is undone when the router is not back within %lld s",
		 (unsigned long long)confirming->job, (long long)(left_ms + 999) / 1000);
	snprintf(notice.hint_text, sizeof(notice.hint_text), "wait: jaga job %llu --wait", (unsigned long long)confirming->job);
	return put_row(client, "notice", &notice);
}

static enum ctl_next put_offline(struct ctl_client *client, const struct fleet_device *device)
{
	struct problem problem = { .kind = "offline", .device = device->name };

	problem.since_ms = device->last_seen_ms ? device->session_since_ms : device->enrolled_ms;
	problem.hint = device->last_seen_ms ? "is the router powered, and does any of its uplinks work?"
					    : "start jaga-agent there with the agent.conf and agent.key of its enrolment";
	snprintf(problem.text, sizeof(problem.text), "%s", device->last_seen_ms ? "no session" : "has never connected");
	if (device->confirming.job != 0) { /* the first thing to think of */
		snprintf(problem.text, sizeof(problem.text), "no session since it ran job %llu",
			 (unsigned long long)device->confirming.job);
		snprintf(problem.hint_text, sizeof(problem.hint_text),
			 "the script may have cut it off, and the router undoes that by itself: jaga job %llu",
			 (unsigned long long)device->confirming.job);
		problem.hint = problem.hint_text;
	}
	return put_problem(client, &problem); /* what it said of its uplinks is old */
}

static enum ctl_next put_device(struct ctl_client *client, const struct fleet_device *device)
{
	struct problem problem = { .device = device->name };
	int64_t now_ms = clock_wall_ms();
	bool is_confirming = fleet_is_confirming(device, now_ms);
	enum ctl_next next = is_confirming ? put_confirming(client, device, now_ms) : CTL_MORE;

	if (!device->is_online && is_confirming)
		return next;
	if (!device->is_online)
		return put_offline(client, device);
	if (next == CTL_MORE)
		next = put_uplinks(client, device);
	if (next == CTL_MORE)
		next = put_troubles(client, device);
	if (next == CTL_MORE)
		next = put_things(client, device);
	if (next != CTL_MORE || (device->dropped_events == 0 && device->dropped_samples == 0) ||
	    clock_wall_ms() - device->dropped_since_ms > DAY_MS)
		return next;
	problem.kind = "dropped";
	problem.since_ms = device->dropped_since_ms;
	problem.hint = "it was cut off for longer than its spool lasts; raise `spool` in its agent.conf";
	snprintf(problem.text, sizeof(problem.text), "%llu events and %llu samples were dropped by the agent",
		 (unsigned long long)device->dropped_events, (unsigned long long)device->dropped_samples);
	return put_problem(client, &problem);
}

static void begin_jobs(struct ctl_client *client)
{
	client->cursor.phase = PHASE_JOBS;
	client->cursor.next = UINT64_MAX;
	client->cursor.since_ms = clock_wall_ms() - DAY_MS;
}

static enum ctl_next step_devices(struct ctl_client *client)
{
	const struct fleet *fleet = client->collector->ports.fleet;
	struct ctl_cursor *cursor = &client->cursor;
	enum ctl_next next = CTL_MORE;

	for (unsigned passed = 0; passed < LIMIT_CTL_ROWS && next == CTL_MORE; passed++) {
		const struct fleet_device *device;

		if (cursor->next >= fleet_count(fleet)) {
			begin_jobs(client);
			break;
		}
		device = fleet_get(fleet, (uint32_t)++cursor->next);
		if (device && device->has_key)
			next = put_device(client, device);
	}
	return next;
}

/* --- jobs ------------------------------------------------------------------------------------- */

/* Jobs come newest first: of a device the first that has ended counts. What went wrong before it was mended, or tried again. */
static bool is_newest_end(struct ctl_client *client, const struct store_job *job)
{
	struct ctl_cursor *cursor = &client->cursor;

	for (unsigned i = 0; i < cursor->n_ids; i++)
		if (cursor->ids[i] == job->device_number)
			return false;
	cursor->ids[cursor->n_ids++] = job->device_number; /* one a job at most: LIMIT_STATUS_JOBS */
	return true;
}

static enum ctl_next put_job(struct ctl_client *client, const struct store_job *job)
{
	const struct fleet_device *device = fleet_get(client->collector->ports.fleet, job->device_number);
	struct problem problem = { .kind = "job", .device = device ? device->name : "?", .since_ms = job->changed_ms };

	if (++client->cursor.at > LIMIT_STATUS_JOBS)
		return CTL_DONE;
	if (client->cursor.device && client->cursor.device != device)
		return CTL_MORE;
	if (!job->is_final || job->changed_ms < client->cursor.since_ms || !is_newest_end(client, job))
		return CTL_MORE;
	if (!jobs_is_bad_end(job->phase))
		return CTL_MORE;
	snprintf(problem.text, sizeof(problem.text), "job %llu (%s) %s%s%s", (unsigned long long)job->number, job->name,
		 jobs_phase_name(job->phase), job->reason[0] ? ": " : "", job->reason);
	snprintf(problem.hint_text, sizeof(problem.hint_text), "jaga job %llu tells more", (unsigned long long)job->number);
	problem.hint = problem.hint_text;
	return put_problem(client, &problem);
}

static enum ctl_next step_jobs(struct ctl_client *client)
{
	enum ctl_next next = ctl_walk_jobs(client, put_job);

	if (next != CTL_DONE)
		return next;
	client->cursor.phase = PHASE_COUNTERS;
	return CTL_MORE;
}

/* --- counters --------------------------------------------------------------------------------- */

static void set(json_t *row, const char *key, uint64_t value)
{
	json_object_set_new(row, key, json_integer((json_int_t)value));
}

static uint64_t count_devices(const struct fleet *fleet)
{
	uint64_t n = 0;

	for (uint32_t i = 1; i <= fleet_count(fleet); i++) {
		const struct fleet_device *device = fleet_get(fleet, i);

		n += device && device->has_key;
	}
	return n;
}

static json_t *make_counters(struct ctl_client *client, const struct store_usage *usage)
{
	const struct collector *collector = client->collector;
	struct snapshots_counters snapshots;
	struct ingest_counters ingest;
	struct writer_counters writer;
	struct coap_counters coap;
	json_t *row = json_object();

	ingest_read_counters(collector->ingest, &ingest);
	snapshots_read_counters(collector->snapshots, &snapshots);
	writer_read_counters(collector->ports.writer, &writer);
	coap_server_read_counters(collector->coap, &coap);
	set(row, "uptime_s", (uint64_t)(clock_mono_ms() - collector->started_ms) / 1000);
	set(row, "devices", count_devices(collector->ports.fleet));
	set(row, "online", fleet_count_online(collector->ports.fleet));
	set(row, "sessions_opened", coap.sessions_opened);
	set(row, "handshakes_refused", coap.handshakes_refused);
	set(row, "handshakes_limited", coap.handshakes_limited);
	set(row, "cookies_asked", coap.cookies_asked);
	set(row, "stray_datagrams", coap.strays);
	set(row, "requests", coap.requests);
	set(row, "requests_refused", coap.requests_refused + ingest.refused);
	set(row, "rate_limited", coap.rate_limited);
	set(row, "replies_dropped", coap.replies_dropped);
	set(row, "hellos", ingest.hellos);
	set(row, "batches", ingest.batches);
	set(row, "records", ingest.records);
	set(row, "duplicates", ingest.duplicates);
	set(row, "unavailable", ingest.unavailable);
	set(row, "snapshots_stored", snapshots.stored);
	set(row, "snapshots_confirmed", snapshots.confirmed);
	set(row, "snapshots_refused", snapshots.refused);
	set(row, "commits", writer.groups);
	set(row, "commits_failed", writer.failed_groups);
	set(row, "writes", writer.ops);
	set(row, "writes_waiting", writer_count_waiting(collector->ports.writer));
	set(row, "store_bytes", usage->used_bytes);
	set(row, "store_size_bytes", usage->size_bytes);
	set(row, "event_bytes", usage->event_bytes);
	set(row, "event_batches", usage->batches);
	return row;
}

static enum ctl_next put_counters(struct ctl_client *client)
{
	struct store_usage usage;
	enum ctl_next next;
	json_t *row;
	int r = read_usage(client, &usage);

	if (r < 0)
		return ctl_fail_store(client, r);
	row = json_object();
	json_object_set_new(row, "counters", make_counters(client, &usage));
	next = ctl_put_row(client, row);
	return next == CTL_MORE ? CTL_DONE : next;
}

static enum ctl_next put_router(struct ctl_client *client)
{
	const struct fleet_device *device = client->cursor.device;
	enum ctl_next next;
	json_t *row;

	if (!device->watched)
		return CTL_DONE;
	row = json_object();
	json_object_set_new(row, "router", ctl_make_watched(device));
	next = ctl_put_row(client, row);
	return next == CTL_MORE ? CTL_DONE : next;
}

static enum ctl_next begin_status(struct ctl_client *client)
{
	client->cursor.ids = calloc(LIMIT_STATUS_JOBS, sizeof(*client->cursor.ids));
	if (!client->cursor.ids)
		return ctl_fail_store(client, -ENOMEM);
	if (client->request.device[0] == '\0')
		return CTL_MORE;
	client->cursor.device = ctl_find_device(client);
	if (!client->cursor.device)
		return CTL_FAILED;
	begin_jobs(client); /* after what is wrong with the device itself */
	return client->cursor.device->has_key ? put_device(client, client->cursor.device) : CTL_MORE;
}

static enum ctl_next step_self(struct ctl_client *client)
{
	static enum ctl_next (*const checks[])(struct ctl_client *client) = { put_store_fault, put_store_full,
									      put_disk_low, put_clock, put_refused };
	enum ctl_next next = CTL_MORE;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && next == CTL_MORE; i++)
		next = checks[i](client);
	client->cursor.phase = PHASE_DEVICES;
	return next;
}

static enum ctl_next step_status(struct ctl_client *client)
{
	switch (client->cursor.phase) {
	case PHASE_SELF:
		return step_self(client);
	case PHASE_DEVICES:
		return step_devices(client);
	case PHASE_JOBS:
		return step_jobs(client);
	default:
		return client->cursor.device ? put_router(client) : put_counters(client);
	}
}

const struct ctl_operation ctl_status = { .begin = begin_status, .step = step_status };
