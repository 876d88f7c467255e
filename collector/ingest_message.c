/*
 * ingest_message: see ingest_message.h. A record's sequence number must lie within its batch, and a
 * kind's sequence numbers must rise, so that "stored up to seq" means the same on both sides.
 */
#include "collector/ingest_message.h"

#include <errno.h>
#include <string.h>

#include "collector/ingest_watch.h"
#include "common/parse.h"

_Static_assert((int)JAGA__V1__UPLINK_STATE__UPLINK_STATE_UNKNOWN == FLEET_STATE_UNKNOWN &&
		       (int)JAGA__V1__UPLINK_STATE__UPLINK_STATE_DOWN == FLEET_STATE_DOWN,
	       "the fleet keeps states by their numbers in the messages");

/* A state of a newer agent that this collector does not know is stored as it came and shown as unknown. */
static int known_state(int state)
{
	return state < 0 || state > FLEET_STATE_DOWN ? FLEET_STATE_UNKNOWN : state;
}

const char *ingest_check_hello(const Jaga__V1__Hello *hello)
{
	if (hello->boot_id.len != LIMIT_BOOT_ID_BYTES)
		return "boot_id: not 16 bytes";
	if (hello->n_uplinks > LIMIT_UPLINKS)
		return "uplinks: more than 16";
	for (size_t i = 0; i < hello->n_uplinks; i++)
		if (!parse_is_name(hello->uplinks[i]->name))
			return "uplinks.name: not a name";
	return NULL;
}

const char *ingest_check_doctor(const Jaga__V1__DoctorReport *report)
{
	if (report->n_traps > LIMIT_DOCTOR_TRAPS)
		return "traps: more than 256";
	for (size_t i = 0; i < report->n_traps; i++)
		if (report->traps[i]->level > 2)
			return "traps.level: not 0, 1 or 2";
	return NULL;
}

static const char *check_sequence(uint64_t seq, uint64_t *last, const Jaga__V1__TelemetryBatch *batch)
{
	if (seq < batch->seq_from || seq > batch->seq_to)
		return "seq: outside seq_from..seq_to";
	if (seq <= *last)
		return "seq: does not rise";
	*last = seq;
	return NULL;
}

const char *ingest_check_batch(const Jaga__V1__TelemetryBatch *batch)
{
	uint64_t last_event = 0, last_sample = 0;
	const char *wrong;

	if (batch->boot_id.len != LIMIT_BOOT_ID_BYTES)
		return "boot_id: not 16 bytes";
	if (batch->seq_from == 0 || batch->seq_to < batch->seq_from || batch->seq_to == UINT64_MAX)
		return "seq_from, seq_to: not a range";
	if (batch->n_events + batch->n_samples == 0)
		return "events, samples: none";
	if (batch->n_events + batch->n_samples > LIMIT_BATCH_RECORDS)
		return "events, samples: more than 64";
	for (size_t i = 0; i < batch->n_events; i++) {
		const Jaga__V1__Event *event = batch->events[i];

		wrong = check_sequence(event->seq, &last_event, batch);
		if (wrong)
			return wrong;
		if (event->kind_case == JAGA__V1__EVENT__KIND_UPLINK && !parse_is_name(event->uplink->uplink))
			return "events.uplink.uplink: not a name";
		if (event->kind_case == JAGA__V1__EVENT__KIND_WATCH)
			wrong = ingest_check_watch(event->watch);
		else if (event->kind_case == JAGA__V1__EVENT__KIND_RESTART)
			wrong = ingest_check_restart(event->restart);
		if (wrong)
			return wrong;
	}
	for (size_t i = 0; i < batch->n_samples; i++) {
		wrong = check_sequence(batch->samples[i]->seq, &last_sample, batch);
		if (wrong)
			return wrong;
		if (batch->samples[i]->n_uplinks > LIMIT_UPLINKS)
			return "samples.uplinks: more than 16";
		wrong = ingest_check_watched(batch->samples[i]);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static void copy_text(char *to, size_t size, const char *from)
{
	size_t length = strnlen(from, size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

static bool has_capability(const Jaga__V1__Hello *hello, const char *name)
{
	for (size_t i = 0; i < hello->n_caps; i++)
		if (strcmp(hello->caps[i], name) == 0)
			return true;
	return false;
}

int ingest_apply_hello(struct fleet_device *device, const Jaga__V1__Hello *hello, int64_t now_ms)
{
	struct fleet_uplink uplinks[LIMIT_UPLINKS];
	int r;

	memset(uplinks, 0, sizeof(uplinks));
	for (size_t i = 0; i < hello->n_uplinks; i++) {
		const Jaga__V1__UplinkInfo *info = hello->uplinks[i];

		copy_text(uplinks[i].name, sizeof(uplinks[i].name), info->name);
		copy_text(uplinks[i].interface, sizeof(uplinks[i].interface), info->interface);
		uplinks[i].weight = info->weight;
		uplinks[i].tier = info->tier;
		uplinks[i].state = known_state((int)info->state);
	}
	r = fleet_set_uplinks(device, uplinks, (unsigned)hello->n_uplinks, now_ms);
	if (r < 0)
		return r;
	device->has_hello = true;
	device->watches = has_capability(hello, "watches");
	device->rtt_ms = hello->rtt_ms;
	device->job_hiwater = hello->job_hiwater;
	device->can_confirm = false;
	for (size_t i = 0; i < hello->n_caps; i++)
		device->can_confirm |= strcmp(hello->caps[i], "confirm") == 0;
	memcpy(device->boot_id, hello->boot_id.data, sizeof(device->boot_id));
	copy_text(device->version, sizeof(device->version), hello->agent_version);
	copy_text(device->driver, sizeof(device->driver), hello->driver);
	copy_text(device->hostname, sizeof(device->hostname), hello->hostname);
	copy_text(device->model, sizeof(device->model), hello->model);
	copy_text(device->system, sizeof(device->system), hello->system);
	return 0;
}

int64_t ingest_record_time(int64_t received_ms, int64_t sent_at_ms, int64_t at_ms)
{
	/* An agent's clock runs forward; anything else is a record that cannot say when, so: now. */
	if (at_ms < 0 || sent_at_ms < at_ms || sent_at_ms - at_ms > received_ms)
		return received_ms;
	return received_ms - (sent_at_ms - at_ms);
}

enum { NOTICE_BEGINS = 1, NOTICE_ENDS = 2 }; /* Notice.span */
#define NOTICE_ERROR 3 /* Notice.level */

static void apply_sample(struct fleet_device *device, const Jaga__V1__Sample *sample, int64_t time_ms)
{
	device->sample = (struct fleet_sample){
		.at_ms = time_ms,
		.conntrack_count = sample->conntrack_count,
		.conntrack_max = sample->conntrack_max,
		.mem_available_kb = sample->mem_available_kb,
		.load_permille = sample->load_permille,
	};
	ingest_apply_watched(device, sample, time_ms);
	for (size_t i = 0; i < sample->n_uplinks; i++) {
		const Jaga__V1__UplinkSample *from = sample->uplinks[i];
		struct fleet_uplink *uplink = fleet_find_uplink(device, from->uplink);

		if (!uplink)
			continue;
		uplink->rtt_us = from->rtt_us;
		uplink->loss_permille = from->loss_permille;
		uplink->rx_bytes = from->rx_bytes;
		uplink->tx_bytes = from->tx_bytes;
		if (from->state != JAGA__V1__UPLINK_STATE__UPLINK_STATE_UNKNOWN)
			fleet_set_uplink_state(uplink, known_state((int)from->state), time_ms);
	}
}

/* That a snapshot failed passes, but there is none until the next one. */
static void apply_notice(struct fleet_device *device, const Jaga__V1__Notice *notice, int64_t time_ms)
{
	bool is_failure = notice->level == NOTICE_ERROR && strcmp(notice->subsystem, FLEET_SNAPSHOT) == 0;

	if (notice->span == NOTICE_BEGINS || is_failure)
		fleet_set_trouble(device, notice->subsystem, notice->text, time_ms);
	else if (notice->span == NOTICE_ENDS)
		fleet_set_trouble(device, notice->subsystem, NULL, time_ms);
	device->snapshot_failures += is_failure;
}

static void apply_event(struct fleet_device *device, const Jaga__V1__Event *event, int64_t time_ms)
{
	struct fleet_uplink *uplink;

	if (event->kind_case == JAGA__V1__EVENT__KIND_NOTICE)
		apply_notice(device, event->notice, time_ms);
	if (event->kind_case == JAGA__V1__EVENT__KIND_WATCH)
		ingest_apply_watch(device, event->watch, time_ms);
	if (event->kind_case != JAGA__V1__EVENT__KIND_UPLINK)
		return;
	uplink = fleet_find_uplink(device, event->uplink->uplink);
	if (uplink)
		fleet_set_uplink_state(uplink, known_state((int)event->uplink->to), time_ms);
}

void ingest_apply_batch(struct fleet_device *device, const Jaga__V1__TelemetryBatch *batch, int64_t received_ms)
{
	uint64_t applied = device->telemetry_seq;
	size_t event = 0, sample = 0;

	if (memcmp(device->telemetry_boot_id, batch->boot_id.data, LIMIT_BOOT_ID_BYTES) != 0) {
		memcpy(device->telemetry_boot_id, batch->boot_id.data, LIMIT_BOOT_ID_BYTES);
		device->dropped_events = device->dropped_samples = 0;
		device->telemetry_seq = applied = 0;
		device->n_troubles = 0; /* of an agent that is no more */
	}
	if (batch->dropped_events > device->dropped_events || batch->dropped_samples > device->dropped_samples) {
		device->dropped_events = batch->dropped_events;
		device->dropped_samples = batch->dropped_samples;
		device->dropped_since_ms = received_ms;
	}
	if (batch->seq_to <= applied)
		return;
	/* Both lists rise: a merge applies them in the order in which the agent made them. */
	while (event < batch->n_events || sample < batch->n_samples) {
		bool is_event = sample == batch->n_samples ||
				(event < batch->n_events && batch->events[event]->seq < batch->samples[sample]->seq);

		if (is_event) {
			const Jaga__V1__Event *at = batch->events[event++];

			if (at->seq > applied)
				apply_event(device, at, ingest_record_time(received_ms, batch->sent_at_ms, at->at_ms));
		} else {
			const Jaga__V1__Sample *at = batch->samples[sample++];

			if (at->seq > applied)
				apply_sample(device, at, ingest_record_time(received_ms, batch->sent_at_ms, at->at_ms));
		}
	}
	device->telemetry_seq = batch->seq_to;
}
