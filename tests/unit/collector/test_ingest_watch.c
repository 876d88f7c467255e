/* ingest_watch: changes and moments of what is watched on a router: refused, applied to the fleet, told in words. */
#include "tests/unit/collector/ingest_lab.h"

#include "collector/ingest_rows.h"
#include "collector/ingest_watch.h"
#include "collector/json_row.h"

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

/* Rows are made of what is stored, and an older collector let in what is no duration. */
static void test_rows_of_restarts(void **state)
{
	static const struct {
		int64_t uptime_s, booted_ms; /* 0: not told */
	} rows[] = { { 60, 40000 }, { INT64_MAX, 0 }, { INT64_MIN, 0 }, { -1, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Jaga__V1__RouterRestart restart = JAGA__V1__ROUTER_RESTART__INIT;
		json_t *row = json_object();

		restart.uptime_s = rows[i].uptime_s;
		ingest_fill_restart(row, &restart, 100000);
		assert_int_equal(json_integer_value(json_object_get(row, "booted_ms")), rows[i].booted_ms);
		json_decref(row);
	}
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

/* A collector that does not know a field yet stores it unseen; the one after it reads that from its store when it starts. */
static void test_what_older_collectors_let_in(void **state)
{
	struct rig *rig = *state;
	uint32_t number = fleet_find(rig->ports.fleet, "r1")->number;
	Jaga__V1__RouterSample router = JAGA__V1__ROUTER_SAMPLE__INIT;
	Jaga__V1__Hello hello = JAGA__V1__HELLO__INIT;
	struct batch *batch = make_batch(boot_a, 1, 0, 0);
	struct store_telemetry stored = { .device_number = number, .n_records = 1, .seq_to = 1, .received_ms = 1000 };
	struct store_txn *txn = rig_begin(rig);
	char version[LIMIT_TEXT + 500], memory[1024];
	uint64_t id, seq;
	struct buf buf;

	memset(version, 'x', sizeof(version));
	version[sizeof(version) - 1] = '\0';
	add_sample(batch, 0);
	batch->message.seq_to = batch->sample.seq = 1;
	router.version = version;
	batch->sample.router = &router;
	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(wire_pack(&batch->message.base, &buf), 0);
	stored.body = (const uint8_t *)memory;
	stored.length = buf.length;
	assert_int_equal(store_add_telemetry(txn, &stored, &id, &seq), 0);
	buf_init(&buf, memory, sizeof(memory));
	hello.boot_id = BYTES("short");
	assert_int_equal(wire_pack(&hello.base, &buf), 0);
	assert_int_equal(store_put_hello(txn, number, 1000, memory, buf.length), 0);
	assert_int_equal(store_commit(txn), 0);
	free(batch);
	rig_stop(rig);
	rig_start(rig);
	assert_null(fleet_find(rig->ports.fleet, "r1")->watched);
	assert_false(fleet_find(rig->ports.fleet, "r1")->has_hello);
	send_moment(rig, 2, "fibre", 0); /* and it goes on */
	assert_string_equal(fleet_find(rig->ports.fleet, "r1")->watched->version, "7.20.4");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_are_all_named),
		TEST(test_hostile_changes),
		TEST(test_rows_of_changes),
		cmocka_unit_test(test_rows_of_restarts),
		TEST(test_things_of_a_moment),
		TEST(test_what_older_collectors_let_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
