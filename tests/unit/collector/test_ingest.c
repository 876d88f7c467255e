/* ingest: what is accepted, what is refused with which field, what reaches fleet and store, and when. */
#include "tests/unit/collector/rig.h"

#include "collector/doctor.h"
#include "collector/ingest_message.h"
#include "collector/ingest_rows.h"
#include "collector/ingest_watch.h"
#include "collector/json_row.h"
#include "common/clock.h"

static uint8_t boot_a[LIMIT_BOOT_ID_BYTES] = { 'a' }, boot_b[LIMIT_BOOT_ID_BYTES] = { 'b' };

static int set_up(void **state)
{
	int r = rig_set_up(state);

	rig_enroll(*state, "r1");
	return r;
}

/* --- messages to send -------------------------------------------------------------------------- */

struct batch {
	Jaga__V1__TelemetryBatch message;
	Jaga__V1__Event events[70], *event_list[70];
	Jaga__V1__UplinkChange changes[70];
	Jaga__V1__Sample sample, *sample_list[1];
	Jaga__V1__UplinkSample uplink, *uplink_list[1];
};

/* n_events changes of "isp1" to `to`, numbered from seq_from, and nothing else. */
static struct batch *make_batch(uint8_t *boot, uint64_t seq_from, size_t n_events, int to)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	assert_non_null(batch);
	jaga__v1__telemetry_batch__init(&batch->message);
	batch->message.boot_id = (ProtobufCBinaryData){ LIMIT_BOOT_ID_BYTES, boot };
	batch->message.seq_from = seq_from;
	batch->message.seq_to = seq_from + n_events - 1;
	batch->message.sent_at_ms = 10000;
	batch->message.n_events = n_events;
	batch->message.events = batch->event_list;
	for (size_t i = 0; i < n_events; i++) {
		jaga__v1__event__init(&batch->events[i]);
		jaga__v1__uplink_change__init(&batch->changes[i]);
		batch->changes[i].uplink = (char *)"isp1";
		batch->changes[i].to = (Jaga__V1__UplinkState)to;
		batch->events[i].seq = seq_from + i;
		batch->events[i].at_ms = 4000;
		batch->events[i].kind_case = JAGA__V1__EVENT__KIND_UPLINK;
		batch->events[i].uplink = &batch->changes[i];
		batch->event_list[i] = &batch->events[i];
	}
	return batch;
}

static void add_sample(struct batch *batch, int state)
{
	jaga__v1__sample__init(&batch->sample);
	jaga__v1__uplink_sample__init(&batch->uplink);
	batch->uplink.uplink = (char *)"isp1";
	batch->uplink.state = (Jaga__V1__UplinkState)state;
	batch->uplink.rtt_us = 1234;
	batch->sample.seq = ++batch->message.seq_to;
	batch->sample.at_ms = 9000;
	batch->sample.conntrack_count = 55;
	batch->sample.n_uplinks = 1;
	batch->sample.uplinks = batch->uplink_list;
	batch->uplink_list[0] = &batch->uplink;
	batch->message.n_samples = 1;
	batch->message.samples = batch->sample_list;
	batch->sample_list[0] = &batch->sample;
}

static const struct rig_reply *send_batch(struct rig *rig, struct batch *batch)
{
	const struct rig_reply *reply = rig_post(rig, COAP_PATH_TELEMETRY, "r1", &batch->message.base);

	free(batch);
	return reply;
}

static const struct rig_reply *send_hello(struct rig *rig, const char *uplink_name)
{
	Jaga__V1__Hello hello = JAGA__V1__HELLO__INIT;
	Jaga__V1__UplinkInfo info = JAGA__V1__UPLINK_INFO__INIT, *list[] = { &info };

	hello.boot_id = (ProtobufCBinaryData){ LIMIT_BOOT_ID_BYTES, boot_a };
	hello.agent_version = (char *)"1.2.3";
	hello.hostname = (char *)"a-very-long-host-name-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-"
				"and-is-cut";
	hello.n_uplinks = 1;
	hello.uplinks = list;
	info.name = (char *)uplink_name;
	info.interface = (char *)"the fibre to the exchange of the telephone company, second pair of it, by eth0.1234567890123456789";
	info.state = JAGA__V1__UPLINK_STATE__UPLINK_STATE_UP;
	return rig_post(rig, COAP_PATH_HELLO, "r1", &hello.base);
}

static void assert_refused(const struct rig_reply *reply, const char *field)
{
	assert_int_equal(reply->code, COAP_BAD_REQUEST);
	assert_int_equal(strncmp((const char *)reply->body, field, strlen(field)), 0);
}

static uint64_t count_batches(struct rig *rig)
{
	struct store_usage usage;
	struct store_txn *txn;

	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	assert_int_equal(store_read_usage(txn, &usage), 0);
	store_read_end(txn);
	return usage.batches;
}

/* --- tests --------------------------------------------------------------------------------------- */

static void test_hello(void **state)
{
	struct rig *rig = *state;
	const struct rig_reply *reply = send_hello(rig, "isp1");
	const struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	Jaga__V1__HelloAck *ack;

	assert_int_equal(reply->code, COAP_CHANGED);
	ack = jaga__v1__hello_ack__unpack(NULL, reply->length, reply->body);
	assert_non_null(ack);
	assert_int_equal(ack->epoch, 7);
	assert_int_equal(ack->keepalive_s, 25);
	assert_true(ack->time_ms > 1700000000000);
	jaga__v1__hello_ack__free_unpacked(ack, NULL);
	assert_string_equal(device->version, "1.2.3");
	assert_int_equal(strlen(device->hostname), LIMIT_TEXT - 1); /* cut, not refused */
	assert_int_equal(device->n_uplinks, 1);
	assert_int_equal(strlen(device->uplinks[0].interface), LIMIT_INTERFACE - 1);
	assert_refused(send_hello(rig, "not a name"), "uplinks.name");
}

static void test_batch_is_acknowledged_and_applied(void **state)
{
	struct rig *rig = *state;
	const struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	struct ingest_counters counters;
	struct batch *batch;

	send_hello(rig, "isp1");
	batch = make_batch(boot_a, 1, 10, 3);
	add_sample(batch, 2);
	assert_int_equal(rig_read_ack(send_batch(rig, batch)), 11);
	assert_int_equal(device->uplinks[0].state, 2); /* the sample came after the events */
	assert_int_equal(device->uplinks[0].rtt_us, 1234);
	assert_int_equal(device->sample.conntrack_count, 55);
	ingest_read_counters(rig->ingest, &counters);
	assert_int_equal(counters.batches, 1);
	assert_int_equal(counters.records, 11);
	assert_int_equal(rig->n_changes[PORT_CHANGE_EVENTS], 1);
}

static void test_repetition_is_acknowledged_not_stored(void **state)
{
	struct rig *rig = *state;
	struct ingest_counters counters;

	send_hello(rig, "isp1");
	assert_int_equal(rig_read_ack(send_batch(rig, make_batch(boot_a, 1, 10, 3))), 10);
	assert_int_equal(rig_read_ack(send_batch(rig, make_batch(boot_a, 1, 10, 3))), 10);
	assert_int_equal(rig_read_ack(send_batch(rig, make_batch(boot_a, 1, 4, 1))), 10);
	assert_int_equal(count_batches(rig), 1);
	/* What is old changes nothing of what is known. */
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->uplinks[0].state, 3);
	assert_int_equal(rig_read_ack(send_batch(rig, make_batch(boot_a, 8, 5, 1))), 12);
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->uplinks[0].state, 1);
	assert_int_equal(count_batches(rig), 2);
	assert_int_equal(rig_read_ack(send_batch(rig, make_batch(boot_b, 1, 2, 1))), 2);
	ingest_read_counters(rig->ingest, &counters);
	assert_int_equal(counters.duplicates, 2);
	assert_int_equal(counters.batches, 3);
}

static void test_rows_skip_what_an_earlier_batch_brought(void **state)
{
	struct rig *rig = *state;
	struct store_batch batch;
	struct store_txn *txn;
	json_t *rows, *row;

	send_batch(rig, make_batch(boot_a, 1, 4, 3));
	send_batch(rig, make_batch(boot_a, 3, 4, 1));
	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	assert_int_equal(store_find_batch_from(txn, 2, &batch), 0);
	rows = ingest_make_rows(&batch, "r1");
	assert_int_equal(json_array_size(rows), 2); /* 5 and 6 */
	row = json_array_get(rows, 0);
	assert_string_equal(json_string_value(json_object_get(row, "uplink")), "isp1");
	assert_string_equal(json_string_value(json_object_get(row, "to")), "up");
	assert_string_equal(json_string_value(json_object_get(row, "cause")), "unknown");
	assert_int_equal(json_integer_value(json_object_get(row, "time_ms")), batch.received_ms - 6000);
	json_decref(rows);
	store_read_end(txn);
}

static void test_bad_batches(void **state)
{
	struct rig *rig = *state;
	struct ingest_counters counters;
	struct batch *batch;

	batch = make_batch(boot_a, 1, 2, 1);
	batch->message.boot_id.len = 15;
	assert_refused(send_batch(rig, batch), "boot_id");
	batch = make_batch(boot_a, 1, 2, 1);
	batch->message.seq_from = 0;
	assert_refused(send_batch(rig, batch), "seq_from");
	batch = make_batch(boot_a, 5, 2, 1);
	batch->message.seq_to = 4;
	assert_refused(send_batch(rig, batch), "seq_from");
	batch = make_batch(boot_a, 1, 2, 1);
	batch->message.seq_to = UINT64_MAX;
	assert_refused(send_batch(rig, batch), "seq_from");
	batch = make_batch(boot_a, 1, 2, 1);
	batch->message.n_events = 0;
	assert_refused(send_batch(rig, batch), "events, samples: none");
	batch = make_batch(boot_a, 1, 3, 1);
	batch->events[1].seq = 9;
	assert_refused(send_batch(rig, batch), "seq: outside");
	batch = make_batch(boot_a, 1, 3, 1);
	batch->events[1].seq = 1;
	assert_refused(send_batch(rig, batch), "seq: does not rise");
	batch = make_batch(boot_a, 1, 1, 1);
	batch->changes[0].uplink = (char *)"\033[2J";
	assert_refused(send_batch(rig, batch), "events.uplink.uplink");
	batch = make_batch(boot_a, 1, 65, 1);
	for (size_t i = 0; i < 65; i++) /* small enough for a datagram */
		batch->events[i].kind_case = JAGA__V1__EVENT__KIND__NOT_SET;
	assert_refused(send_batch(rig, batch), "events, samples: more");
	batch = make_batch(boot_a, 1, 70, 1);
	assert_refused(send_batch(rig, batch), "not a TelemetryBatch"); /* longer than a datagram */
	ingest_read_counters(rig->ingest, &counters);
	assert_int_equal(counters.refused, 10);
	assert_int_equal(count_batches(rig), 0);
}

static void test_hostile_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
	} cases[] = { { "", 0 }, { "\xff", 1 }, { "\x0a\xff\xff\xff\xff\x0f", 6 }, { "\x22\x7f", 2 }, { "\x00", 1 } };
	struct rig *rig = *state;
	uint8_t many[LIMIT_BATCH_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct coap_incoming incoming = { .path = i % 2 ? COAP_PATH_HELLO : COAP_PATH_TELEMETRY, .device = "r1",
						  .body = (const uint8_t *)cases[i].bytes, .length = cases[i].length };

		assert_int_equal(rig_ask(rig, &incoming)->code, COAP_BAD_REQUEST);
	}
	for (size_t i = 0; i < sizeof(many); i += 2) /* 512 empty events: more memory than the message is worth */
		memcpy(many + i, "\x22\x00", 2);
	assert_int_equal(rig_ask(rig, &(struct coap_incoming){ .path = COAP_PATH_TELEMETRY, .device = "r1", .body = many,
							       .length = sizeof(many) })->code, COAP_BAD_REQUEST);
	assert_int_equal(count_batches(rig), 0);
}

static void test_removed_device_is_refused(void **state)
{
	struct rig *rig = *state;

	fleet_remove_key(fleet_find(rig->ports.fleet, "r1"));
	assert_refused(send_batch(rig, make_batch(boot_a, 1, 1, 1)), "this device was removed");
	assert_int_equal(count_batches(rig), 0);
}

static void test_unknown_fields_and_values_are_kept(void **state)
{
	struct rig *rig = *state;
	struct batch *batch = make_batch(boot_a, 1, 1, 77); /* a state of the future */
	uint8_t bytes[256];
	size_t length = jaga__v1__telemetry_batch__pack(&batch->message, bytes);
	struct coap_incoming incoming = { .path = COAP_PATH_TELEMETRY, .device = "r1", .body = bytes };
	struct store_batch stored;
	struct store_txn *txn;

	memcpy(bytes + length, "\xfa\x07\x03new", 6); /* field 127 */
	incoming.length = length + 6;
	assert_int_equal(rig_read_ack(rig_ask(rig, &incoming)), 1);
	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	assert_int_equal(store_get_batch(txn, 1, &stored), 0);
	assert_int_equal(stored.length, length + 6);
	assert_memory_equal(stored.body, bytes, length + 6);
	store_read_end(txn);
	free(batch);
}

static void test_restart_remembers(void **state)
{
	struct rig *rig = *state;
	const struct fleet_device *device;
	struct batch *batch;

	send_hello(rig, "isp1");
	batch = make_batch(boot_a, 1, 2, 3);
	add_sample(batch, 3);
	batch->message.dropped_events = 5;
	send_batch(rig, batch);
	send_batch(rig, make_batch(boot_a, 4, 1, 1));
	ingest_note(rig->ingest, fleet_find(rig->ports.fleet, "r1"), STORE_BATCH_OFFLINE, clock_wall_ms(), "gone");
	rig_wait(rig, &rig->n_changes[PORT_CHANGE_EVENTS], 3);
	rig_stop(rig);
	rig_start(rig);
	device = fleet_find(rig->ports.fleet, "r1");
	assert_non_null(device);
	assert_string_equal(device->version, "1.2.3");
	assert_int_equal(device->uplinks[0].state, 1);
	assert_int_equal(device->sample.conntrack_count, 55);
	assert_int_equal(device->dropped_events, 5);
	assert_int_equal(device->telemetry_seq, 4);
	assert_true(device->last_seen_ms > 0);
	assert_false(device->is_online);
	assert_int_equal(rig_read_ack(send_batch(rig, make_batch(boot_a, 1, 4, 1))), 4);
	assert_int_equal(count_batches(rig), 3);
}

static const struct rig_reply *send_report(struct rig *rig, uint64_t run, uint32_t level, const char *error)
{
	Jaga__V1__DoctorReport report = JAGA__V1__DOCTOR_REPORT__INIT;
	Jaga__V1__DoctorTrap trap = JAGA__V1__DOCTOR_TRAP__INIT, *traps[] = { &trap };

	report.run = run;
	report.n_traps = 1;
	report.traps = traps;
	report.error = (char *)(uintptr_t)error;
	trap.level = level;
	trap.id = (char *)"rp_filter";
	trap.what = (char *)"strict";
	return rig_post(rig, COAP_PATH_DOCTOR, "r1", &report.base);
}

/* It is taken once, by who asked last, and kept nowhere. */
static void test_doctor_report(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	json_t *rows, *error;

	assert_int_equal(send_report(rig, 1, 1, "")->code, COAP_NOT_FOUND); /* nobody asked */
	rig->is_connected = false;
	assert_int_equal(doctor_ask(&rig->ports, device, 5), -ENOTCONN);
	assert_int_equal(device->doctor.asker, 0);
	rig->is_connected = true;
	assert_int_equal(doctor_ask(&rig->ports, device, 5), 0);
	assert_memory_equal(rig->wake, "\040\002", 2); /* Wake.run_doctor = 2: the second question */
	assert_int_equal(doctor_ask(&rig->ports, device, 6), 0);
	assert_int_equal(send_report(rig, 2, 1, "")->code, COAP_NOT_FOUND); /* of an earlier question */
	assert_refused(send_report(rig, 3, 3, ""), "traps.level");
	assert_int_equal(send_report(rig, 3, 2, "half blind")->code, COAP_CHANGED);
	assert_int_equal(rig->n_changes[PORT_CHANGE_DOCTOR], 1);
	assert_int_equal(send_report(rig, 3, 1, "")->code, COAP_NOT_FOUND); /* twice */
	rows = ingest_make_findings(device->doctor.report, device->doctor.length, &error);
	assert_int_equal(json_array_size(rows), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "level")), "fatal");
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "id")), "rp_filter");
	assert_string_equal(json_string_value(error), "half blind");
	doctor_forget(device);
	assert_null(device->doctor.report);
	json_decref(rows);
	json_decref(error);
}

static void test_own_event_rows(void **state)
{
	struct rig *rig = *state;
	struct store_batch batch;
	struct store_txn *txn;
	json_t *rows;

	ingest_note(rig->ingest, fleet_find(rig->ports.fleet, "r1"), STORE_BATCH_ONLINE, clock_wall_ms(), "192.0.2.7:4000");
	rig_wait(rig, &rig->n_changes[PORT_CHANGE_EVENTS], 1);
	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	assert_int_equal(store_get_batch(txn, 1, &batch), 0);
	rows = ingest_make_rows(&batch, "r1");
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "kind")), "online");
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "text")), "192.0.2.7:4000");
	json_decref(rows);
	batch.kind = STORE_BATCH_TELEMETRY; /* bytes that are no batch: a row that says so */
	rows = ingest_make_rows(&batch, "r1");
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
	store_read_end(txn);
}

static void test_record_time(void **state)
{
	(void)state;
	assert_int_equal(ingest_record_time(1000000, 500, 400), 999900);
	assert_int_equal(ingest_record_time(1000000, 400, 500), 1000000);  /* after its own sending */
	assert_int_equal(ingest_record_time(1000000, 400, -1), 1000000);
	assert_int_equal(ingest_record_time(1000, INT64_MAX, 0), 1000); /* before 1970 */
}

static void test_text_of_others(void **state)
{
	static const struct {
		const char *bytes, *shown;
	} cases[] = {
		{ "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "latin \xe4!", "latin \xef\xbf\xbd!" },
		{ "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd" },
		{ "surrogate \xed\xa0\x80", "surrogate \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "overlong \xc0\x80 \xe0\x80\x80", "overlong \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "beyond \xf4\x90\x80\x80", "beyond \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "", "" },
	};
	json_t *json;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json = json_row_text(cases[i].bytes, strlen(cases[i].bytes));
		assert_string_equal(json_string_value(json), cases[i].shown);
		json_decref(json);
	}
	json = json_row_text("a\0b", 3);
	assert_string_equal(json_string_value(json), "a\xef\xbf\xbd" "b");
	json_decref(json);
}

/* --- what is watched on a router ----------------------------------------------------------------- */

#define BYTES(text) ((ProtobufCBinaryData){ sizeof(text) - 1, (uint8_t *)(uintptr_t)(text) })
#define FORTY "0123456789012345678901234567890123456789"

/* A batch of one event of `change`. */
static const struct rig_reply *send_watch(struct rig *rig, uint64_t seq, Jaga__V1__WatchChange *change)
{
	struct batch *batch = make_batch(boot_a, seq, 1, 0);

	batch->events[0].kind_case = JAGA__V1__EVENT__KIND_WATCH;
	batch->events[0].watch = change;
	return send_batch(rig, batch);
}

static bool is_kind(const char *name)
{
	for (const char *const *kind = ingest_kinds; *kind; kind++)
		if (strcmp(*kind, name) == 0)
			return true;
	return false;
}

/* What a row may be of, one may ask for. */
static void test_kinds_are_all_named(void **state)
{
	json_t *row = json_object();

	(void)state;
	for (int watch = JAGA__V1__WATCH__WATCH_PPP; strcmp(ingest_watch_name(watch), "watch") != 0; watch++)
		assert_true(is_kind(ingest_watch_name(watch)));
	ingest_fill_restart(row, &(Jaga__V1__RouterRestart)JAGA__V1__ROUTER_RESTART__INIT, 0);
	assert_true(is_kind(json_string_value(json_object_get(row, "kind"))));
	json_decref(row);
	assert_false(is_kind("watch"));
}

static void test_hostile_changes(void **state)
{
	Jaga__V1__WatchChange change = JAGA__V1__WATCH_CHANGE__INIT;
	Jaga__V1__RouterRestart restart = JAGA__V1__ROUTER_RESTART__INIT;
	ProtobufCBinaryData names[17];
	struct batch *batch;
	char version[LIMIT_TEXT + 1];

	for (unsigned i = 0; i < 17; i++)
		names[i] = BYTES(FORTY);
	change.names = names;
	assert_refused(send_watch(*state, 1, &change), "events.watch.names: not 1 to 16");
	change.n_names = 17;
	assert_refused(send_watch(*state, 1, &change), "events.watch.names: not 1 to 16");
	change.n_names = 16;
	names[15] = BYTES(FORTY "x");
	assert_refused(send_watch(*state, 1, &change), "events.watch.names: not 1 to 40 bytes");
	names[15] = BYTES("");
	assert_refused(send_watch(*state, 1, &change), "events.watch.names: not 1 to 40 bytes");
	names[15] = BYTES("\xff\x1b\0x");
	change.detail = BYTES(FORTY "x");
	assert_refused(send_watch(*state, 1, &change), "events.watch: a text");
	change.detail = BYTES("");
	change.lasted_ms = -1000;
	assert_refused(send_watch(*state, 1, &change), "events.watch.lasted_ms");
	change.lasted_ms = 0;
	change.watch = (Jaga__V1__Watch)77; /* of a newer agent */
	change.count = UINT32_MAX;
	assert_int_equal(send_watch(*state, 1, &change)->code, COAP_CHANGED);

	memset(version, 'x', sizeof(version));
	version[LIMIT_TEXT] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		restart.version = i == 0 ? version : (char *)"7";
		restart.uptime_s = i == 1 ? INT64_MAX : i == 2 ? -1 : 0;
		batch = make_batch(boot_a, 2, 1, 0);
		batch->events[0].kind_case = JAGA__V1__EVENT__KIND_RESTART;
		batch->events[0].restart = &restart;
		assert_refused(send_batch(*state, batch), "events.restart");
	}
}

static json_t *row_of(const Jaga__V1__WatchChange *change)
{
	json_t *row = json_object();

	ingest_fill_watch(row, change);
	return row;
}

static void test_rows_of_changes(void **state)
{
	Jaga__V1__WatchChange change = JAGA__V1__WATCH_CHANGE__INIT;
	ProtobufCBinaryData names[LIMIT_WATCH_NAMES];
	json_t *row;

	(void)state;
	for (unsigned i = 0; i < LIMIT_WATCH_NAMES; i++)
		names[i] = BYTES(FORTY);
	names[0] = BYTES("a\xff\x1b\0b");
	change.watch = JAGA__V1__WATCH__WATCH_HOTSPOT;
	change.to = JAGA__V1__WATCH_STATE__WATCH_STATE_DOWN;
	change.n_names = 1;
	change.names = names;
	row = row_of(&change);
	assert_string_equal(json_string_value(json_object_get(row, "kind")), "hotspot");
	assert_string_equal(json_string_value(json_object_get(row, "text")),
			    "Hotspot user a\xef\xbf\xbd\x1b\xef\xbf\xbd" "b logged out");
	assert_null(json_object_get(row, "names"));
	json_decref(row);

	change.n_names = LIMIT_WATCH_NAMES; /* the longest text */
	change.count = UINT32_MAX;
	row = row_of(&change);
	assert_int_equal(json_array_size(json_object_get(row, "names")), LIMIT_WATCH_NAMES);
	assert_non_null(strstr(json_string_value(json_object_get(row, "text")), ", " FORTY " and 4294967279 more"));
	json_decref(row);
}

/* One moment of things; the next one lacks some. */
static void send_moment(struct rig *rig, uint64_t seq, const char *peer, uint64_t rx_bytes)
{
	Jaga__V1__RouterSample router = JAGA__V1__ROUTER_SAMPLE__INIT;
	Jaga__V1__WatchSample watch = JAGA__V1__WATCH_SAMPLE__INIT, *watches[] = { &watch };
	Jaga__V1__InterfaceSample interface = JAGA__V1__INTERFACE_SAMPLE__INIT, *interfaces[] = { &interface };
	struct batch *batch = make_batch(boot_a, seq, 0, 0);

	add_sample(batch, 0);
	batch->message.seq_to = batch->sample.seq = seq;
	batch->message.sent_at_ms = batch->sample.at_ms = (int64_t)seq * 1000;
	batch->sample.n_uplinks = 0;
	router.version = (char *)"7.20.4";
	router.ppp_users = 5;
	batch->sample.router = &router;
	watch.watch = JAGA__V1__WATCH__WATCH_BGP;
	watch.state = JAGA__V1__WATCH_STATE__WATCH_STATE_UP;
	watch.name = (ProtobufCBinaryData){ strlen(peer), (uint8_t *)(uintptr_t)peer };
	batch->sample.n_watches = 1;
	batch->sample.watches = watches;
	interface.name = BYTES("ether1");
	interface.rx_bytes = rx_bytes;
	batch->sample.n_interfaces = 1;
	batch->sample.interfaces = interfaces;
	assert_int_equal(send_batch(rig, batch)->code, COAP_CHANGED);
}

static void test_things_of_a_moment(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	Jaga__V1__WatchChange change = JAGA__V1__WATCH_CHANGE__INIT;
	ProtobufCBinaryData name = BYTES("fibre");
	struct fleet_thing *thing;

	assert_null(device->watched);
	send_moment(rig, 1, "fibre", UINT64_MAX);
	assert_int_equal(device->watched->n_things, 2);
	assert_int_equal(device->watched->ppp_users, 5);
	thing = fleet_watch_find(device->watched, JAGA__V1__WATCH__WATCH_BGP, "fibre", 5);
	assert_int_equal(thing->state, JAGA__V1__WATCH_STATE__WATCH_STATE_UP);
	change.watch = JAGA__V1__WATCH__WATCH_BGP;
	change.to = JAGA__V1__WATCH_STATE__WATCH_STATE_DOWN;
	change.n_names = 1;
	change.names = &name;
	assert_int_equal(send_watch(rig, 2, &change)->code, COAP_CHANGED);
	assert_int_equal(thing->state, JAGA__V1__WATCH_STATE__WATCH_STATE_DOWN);
	change.watch = JAGA__V1__WATCH__WATCH_PPP;
	change.count = 9; /* more than are there */
	assert_int_equal(send_watch(rig, 3, &change)->code, COAP_CHANGED);
	assert_int_equal(device->watched->ppp_users, 0);
	send_moment(rig, 4, "tunnel", 0); /* counters that fall begin anew */
	send_moment(rig, 5, "tunnel", 1000);
	assert_int_equal(device->watched->n_things, 2);
	assert_null(fleet_watch_find(device->watched, JAGA__V1__WATCH__WATCH_BGP, "fibre", 5));
	assert_null(fleet_watch_find(device->watched, JAGA__V1__WATCH__WATCH_BGP, "tunne", 5));
	for (unsigned i = 0; i < 2 * LIMIT_WATCH_THINGS; i++) { /* a device that never comes to an end */
		char text[16];

		snprintf(text, sizeof(text), "peer%u", i);
		fleet_watch_put(device->watched, JAGA__V1__WATCH__WATCH_BGP, text, strlen(text));
	}
	assert_int_equal(device->watched->n_things, LIMIT_WATCH_THINGS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_hello),
		TEST(test_batch_is_acknowledged_and_applied),
		TEST(test_repetition_is_acknowledged_not_stored),
		TEST(test_rows_skip_what_an_earlier_batch_brought),
		TEST(test_bad_batches),
		TEST(test_hostile_bytes),
		cmocka_unit_test(test_kinds_are_all_named),
		TEST(test_hostile_changes),
		TEST(test_rows_of_changes),
		TEST(test_things_of_a_moment),
		TEST(test_removed_device_is_refused),
		TEST(test_unknown_fields_and_values_are_kept),
		TEST(test_restart_remembers),
		TEST(test_doctor_report),
		TEST(test_own_event_rows),
		cmocka_unit_test(test_record_time),
		cmocka_unit_test(test_text_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
