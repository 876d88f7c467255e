/*
 * ingest: what is accepted, what is refused with which field, what reaches fleet and store, and when. What is watched on a
 * router is in test_ingest_watch.c.
 */
#include "tests/unit/collector/ingest_lab.h"

#include "collector/doctor.h"
#include "collector/ingest_message.h"
#include "collector/ingest_rows.h"
#include "collector/json_row.h"
#include "common/clock.h"

static uint8_t boot_b[LIMIT_BOOT_ID_BYTES] = { 'b' };

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
	assert_int_equal(rig_count_batches(rig), 1);
	/* What is old changes nothing of what is known. */
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->uplinks[0].state, 3);
	assert_int_equal(rig_read_ack(send_batch(rig, make_batch(boot_a, 8, 5, 1))), 12);
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->uplinks[0].state, 1);
	assert_int_equal(rig_count_batches(rig), 2);
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
	assert_int_equal(rig_count_batches(rig), 0);
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
	assert_int_equal(rig_count_batches(rig), 0);
}

static void test_removed_device_is_refused(void **state)
{
	struct rig *rig = *state;

	fleet_remove_key(fleet_find(rig->ports.fleet, "r1"));
	assert_refused(send_batch(rig, make_batch(boot_a, 1, 1, 1)), "this device was removed");
	assert_int_equal(rig_count_batches(rig), 0);
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
	assert_int_equal(rig_count_batches(rig), 3);
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
