/*
 * ingest_rows: see ingest_rows.h. A batch that does not unpack (made by a newer collector, or
 * damaged) yields one row that says so instead of silence. Values that a newer agent knows and we do
 * not are "unknown"; fields with the value zero are absent.
 */
#include "collector/ingest_rows.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/ingest_message.h"
#include "collector/ingest_watch.h"
#include "collector/json_row.h"
#include "common/buf.h"
#include "common/wire.h"

#define ROW_ARENA_BYTES (64 * 1024) /* a batch of 1 KiB unpacks to a quarter of this at most when it is sound */

const char *const ingest_kinds[] = { "uplink", "online", "offline", "job", "started", "notice", "ppp", "hotspot", "ospf", "bgp", "l2tp",
				     "lte", "interface", "netwatch", "restart", NULL };

/* "UPLINK_CAUSE_FORCE_ENDED" -> "force-ended" */
static void make_enum_name(const ProtobufCEnumDescriptor *descriptor, int value, size_t prefix, struct buf *ret_name)
{
	const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(descriptor, value);

	if (!known)
		known = protobuf_c_enum_descriptor_get_value(descriptor, 0);
	for (const char *at = known->name + prefix; *at; at++) {
		char c = *at == '_' ? '-' : (char)tolower((unsigned char)*at);

		buf_put(ret_name, &c, 1);
	}
}

const char *ingest_state_name(int state)
{
	static const char *const names[] = { "unknown", "up", "suspect", "down" };

	return state < 0 || state > 3 ? names[0] : names[state];
}

static json_t *make_probes(const Jaga__V1__UplinkChange *change)
{
	json_t *list = json_array();

	for (size_t i = 0; i < change->n_probes; i++) {
		const Jaga__V1__ProbeEvidence *probe = change->probes[i];
		json_t *item = json_object();

		json_row_set_text(item, "target", probe->target);
		json_object_set_new(item, "sent", json_integer(probe->sent));
		json_object_set_new(item, "lost", json_integer(probe->lost));
		json_row_set_number(item, "rtt_us", probe->rtt_us);
		json_row_set_number(item, "timeout_us", probe->timeout_us);
		json_array_append_new(list, item);
	}
	return list;
}

static void fill_uplink(json_t *row, const Jaga__V1__UplinkChange *change)
{
	char cause[32], text[LIMIT_TEXT + LIMIT_NAME];
	struct buf buf;

	buf_init(&buf, cause, sizeof(cause));
	make_enum_name(&jaga__v1__uplink_cause__descriptor, (int)change->cause, strlen("UPLINK_CAUSE_"), &buf);
	snprintf(text, sizeof(text), "%s is %s: %s", change->uplink, ingest_state_name((int)change->to), cause);
	json_object_set_new(row, "kind", json_string("uplink"));
	json_row_set_text(row, "text", text);
	json_row_set_text(row, "uplink", change->uplink);
	json_object_set_new(row, "from", json_string(ingest_state_name((int)change->from)));
	json_object_set_new(row, "to", json_string(ingest_state_name((int)change->to)));
	json_row_set_text(row, "cause", cause);
	json_row_set_number(row, "detect_us", change->detect_us);
	json_row_set_number(row, "switch_us", change->switch_us);
	json_row_set_number(row, "flows_moved", change->flows_moved);
	json_row_set_text(row, "carried_by", change->carried_by);
	json_row_set_number(row, "lasted_ms", change->lasted_ms);
	json_row_set_number(row, "misses", change->misses);
	json_row_set_number(row, "misses_needed", change->misses_needed);
	if (change->n_probes > 0)
		json_object_set_new(row, "probes", make_probes(change));
}

static void fill_started(json_t *row, const Jaga__V1__AgentStarted *started)
{
	char text[2 * LIMIT_TEXT];

	snprintf(text, sizeof(text), "agent %s started%s%s%s", started->version,
		 started->adopted ? ", adopted the forwarding plan in force" : "", started->reason[0] ? ": " : "",
		 started->reason);
	json_object_set_new(row, "kind", json_string("started"));
	json_row_set_text(row, "text", text);
}

static void fill_notice(json_t *row, const Jaga__V1__Notice *notice)
{
	json_object_set_new(row, "kind", json_string("notice"));
	json_row_set_text(row, "text", notice->text);
	json_row_set_text(row, "subsystem", notice->subsystem);
	json_row_set_number(row, "level", notice->level);
}

static json_t *make_row(uint64_t id, const char *device, int64_t time_ms)
{
	json_t *row = json_object();

	json_object_set_new(row, "id", json_integer((json_int_t)id));
	json_row_set_text(row, "device", device);
	json_object_set_new(row, "time_ms", json_integer(time_ms));
	return row;
}

static json_t *make_event(uint64_t id, const char *device, int64_t time_ms, const Jaga__V1__Event *event)
{
	json_t *row = make_row(id, device, time_ms);

	switch (event->kind_case) {
	case JAGA__V1__EVENT__KIND_UPLINK:
		fill_uplink(row, event->uplink);
		break;
	case JAGA__V1__EVENT__KIND_STARTED:
		fill_started(row, event->started);
		break;
	case JAGA__V1__EVENT__KIND_NOTICE:
		fill_notice(row, event->notice);
		break;
	case JAGA__V1__EVENT__KIND_WATCH:
		ingest_fill_watch(row, event->watch);
		break;
	case JAGA__V1__EVENT__KIND_RESTART:
		ingest_fill_restart(row, event->restart, time_ms);
		break;
	default:
		json_object_set_new(row, "kind", json_string("notice"));
		json_row_set_text(row, "text", "an event of a kind that this collector does not know");
	}
	return row;
}

static json_t *make_own(const struct store_batch *batch, const char *device)
{
	static const char *const kinds[] = { [STORE_BATCH_ONLINE] = "online",
					     [STORE_BATCH_OFFLINE] = "offline",
					     [STORE_BATCH_JOB] = "job" };
	json_t *row = make_row(batch->id, device, batch->received_ms);

	json_object_set_new(row, "kind", json_string(batch->kind <= STORE_BATCH_JOB ? kinds[batch->kind] : "notice"));
	json_object_set_new(row, "text", json_row_text((const char *)batch->body, batch->length));
	return row;
}

json_t *ingest_make_rows(const struct store_batch *batch, const char *device)
{
	_Alignas(16) uint8_t memory[ROW_ARENA_BYTES];
	const Jaga__V1__TelemetryBatch *message;
	ProtobufCMessage *unpacked;
	struct wire_arena arena;
	json_t *rows = json_array(), *row;

	if (batch->kind != STORE_BATCH_TELEMETRY) {
		json_array_append_new(rows, make_own(batch, device));
		return rows;
	}
	wire_arena_init(&arena, memory, sizeof(memory));
	if (wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, batch->body, batch->length, &unpacked) < 0) {
		row = make_row(batch->id, device, batch->received_ms);
		json_object_set_new(row, "kind", json_string("notice"));
		json_row_set_text(row, "text", "a stored report that cannot be read");
		json_array_append_new(rows, row);
		return rows;
	}
	message = (const Jaga__V1__TelemetryBatch *)unpacked;
	for (size_t i = 0; i < message->n_events; i++) {
		const Jaga__V1__Event *event = message->events[i];

		if (event->seq > batch->skip_seq)
			json_array_append_new(rows, make_event(batch->id + i, device,
							       ingest_record_time(batch->received_ms, message->sent_at_ms,
										  event->at_ms),
							       event));
	}
	return rows;
}

json_t *ingest_make_findings(const void *report, size_t length, json_t **ret_error)
{
	static const char *const levels[] = { "ok", "warning", "fatal" };
	uint8_t *memory = malloc(LIMIT_INGEST_ARENA); /* what it was let in with */
	json_t *rows = memory ? json_array() : NULL;
	const Jaga__V1__DoctorReport *message;
	ProtobufCMessage *unpacked;
	struct wire_arena arena;

	*ret_error = NULL;
	if (!rows)
		goto out;
	wire_arena_init(&arena, memory, LIMIT_INGEST_ARENA);
	if (wire_unpack(&arena, &jaga__v1__doctor_report__descriptor, report, length, &unpacked) < 0)
		goto out;
	message = (const Jaga__V1__DoctorReport *)unpacked;
	for (size_t i = 0; i < message->n_traps; i++) {
		const Jaga__V1__DoctorTrap *trap = message->traps[i];
		json_t *row = json_object();

		json_row_set_text(row, "level", levels[trap->level < 3 ? trap->level : 2]);
		json_row_set_text(row, "id", trap->id);
		json_row_set_text(row, "what", trap->what);
		json_row_set_text(row, "fix", trap->fix);
		json_array_append_new(rows, row);
	}
	if (message->error[0] != '\0')
		*ret_error = json_row_text(message->error, strlen(message->error));
out:
	free(memory);
	return rows;
}
