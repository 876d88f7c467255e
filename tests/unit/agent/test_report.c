/* report: records carry everything, fit into a batch at their largest, and come out of the wire as they went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/report.h"
#include "common/wire.h"

static struct agent_config config;
static struct spool *spool;
static struct report report;
static unsigned added, added_urgent;

static void on_added(void *arg, bool urgent)
{
	assert_ptr_equal(arg, &added);
	added++;
	added_urgent += urgent;
}

static int set_up(void **state)
{
	(void)state;
	memset(&config, 0, sizeof(config));
	config.has_collector = true;
	config.n_uplinks = 2;
	strcpy(config.uplinks[0].name, "isp1");
	strcpy(config.uplinks[1].name, "isp2");
	assert_int_equal(parse_address("192.0.2.1", 0, &config.uplinks[0].targets[0]), 0);
	assert_int_equal(parse_address("2001:db8::1", 0, &config.uplinks[0].targets[1]), 0);
	config.uplinks[0].n_targets = 2;
	assert_int_equal(spool_create(65536, &spool), 0);
	report = (struct report){ &config, spool, on_added, &added };
	added = added_urgent = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	spool_destroy(spool);
	return 0;
}

/* What the collector would see: a batch of everything in the spool; 0: of as much as fits. */
static Jaga__V1__TelemetryBatch *read_batch(unsigned expected_records)
{
	static char bytes[LIMIT_BATCH_BYTES];
	static uint8_t memory[16384];
	static struct wire_arena arena;
	ProtobufCMessage *message;
	struct spool_run run;
	struct buf buf;

	buf_init(&buf, bytes, sizeof(bytes));
	assert_int_equal(spool_take_batch(spool, 0, &buf, &run), 0);
	if (expected_records > 0)
		assert_int_equal(run.n_records, expected_records);
	wire_arena_init(&arena, memory, sizeof(memory));
	assert_int_equal(wire_unpack(&arena, &jaga__v1__telemetry_batch__descriptor, (uint8_t *)buf.data, buf.length,
				     &message),
			 0);
	return (Jaga__V1__TelemetryBatch *)message;
}

static void test_uplink_change(void **state)
{
	const struct engine_change change = {
		.uplink = 0,
		.from = UPLINK_SUSPECT,
		.to = UPLINK_DOWN,
		.cause = UPLINK_BY_PROBES,
		.began_us = 5000000,
		.decided_us = 5420000,
		.lasted_us = 7000000,
		.misses = 5,
		.misses_needed = 5,
		.carried_by = 1,
		.n_targets = 2,
		.targets = { { 9, 5, 8000, 200000 }, { 9, 6, 9000, 210000 } },
	};
	Jaga__V1__TelemetryBatch *batch;
	Jaga__V1__UplinkChange *out;

	(void)state;
	report_uplink_change(&report, &change, 321, 42);
	assert_int_equal(added, 1);
	assert_int_equal(added_urgent, 1);
	batch = read_batch(1);
	assert_int_equal(batch->n_events, 1);
	assert_true(batch->events[0]->seq == 1);
	assert_true(batch->events[0]->at_ms == 5420);
	assert_int_equal(batch->events[0]->kind_case, JAGA__V1__EVENT__KIND_UPLINK);
	out = batch->events[0]->uplink;
	assert_string_equal(out->uplink, "isp1");
	assert_int_equal(out->from, JAGA__V1__UPLINK_STATE__UPLINK_STATE_SUSPECT);
	assert_int_equal(out->to, JAGA__V1__UPLINK_STATE__UPLINK_STATE_DOWN);
	assert_int_equal(out->cause, JAGA__V1__UPLINK_CAUSE__UPLINK_CAUSE_PROBES);
	assert_true(out->detect_us == 420000 && out->switch_us == 321 && out->lasted_ms == 7000);
	assert_int_equal(out->flows_moved, 42);
	assert_int_equal(out->misses, 5);
	assert_string_equal(out->carried_by, "isp2");
	assert_int_equal(out->n_probes, 2);
	assert_string_equal(out->probes[1]->target, "2001:db8::1");
	assert_int_equal(out->probes[1]->sent, 9);
	assert_int_equal(out->probes[1]->lost, 6);
	assert_int_equal(out->probes[1]->rtt_us, 9000);
	assert_int_equal(out->probes[1]->timeout_us, 210000);
}

static void test_carried_by_nobody(void **state)
{
	const struct engine_change change = { .uplink = 1, .carried_by = 255 };

	(void)state;
	report_uplink_change(&report, &change, 0, 0);
	assert_string_equal(read_batch(1)->events[0]->uplink->carried_by, "");
}

static void test_started_and_notice(void **state)
{
	Jaga__V1__TelemetryBatch *batch;
	char long_text[400];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	report_started(&report, true, "plan adopted", 77);
	report_notice(&report, LOG_LEVEL_INFO, "router", "all well", NOTICE_PASSING, 78);
	report_notice(&report, LOG_LEVEL_ERROR, "router", long_text, NOTICE_BEGINS, 79);
	assert_int_equal(added, 3);
	assert_int_equal(added_urgent, 1);
	batch = read_batch(3);
	assert_int_equal(batch->n_events, 3);
	assert_true(batch->events[0]->started->adopted);
	assert_string_equal(batch->events[0]->started->version, JAGA_VERSION);
	assert_string_equal(batch->events[1]->notice->text, "all well");
	assert_int_equal(batch->events[1]->notice->level, 6);
	assert_int_equal(strlen(batch->events[2]->notice->text), 200);
	assert_int_equal(batch->events[1]->notice->span, 0);
	assert_int_equal(batch->events[2]->notice->span, 1);
	assert_true(batch->events[2]->seq == 3);
}

static void test_without_a_collector(void **state)
{
	struct spool_stats stats;

	(void)state;
	config.has_collector = false;
	report_started(&report, false, "", 1);
	spool_read_stats(spool, &stats);
	assert_int_equal(stats.records, 0);
	assert_int_equal(added, 0);
}

static void fill_largest(void)
{
	config.n_uplinks = LIMIT_UPLINKS;
	for (unsigned i = 0; i < LIMIT_UPLINKS; i++) {
		memset(config.uplinks[i].name, 'n', LIMIT_NAME - 1);
		config.uplinks[i].n_targets = LIMIT_TARGETS;
		for (unsigned t = 0; t < LIMIT_TARGETS; t++)
			assert_int_equal(parse_address("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 0,
						       &config.uplinks[i].targets[t]),
					 0);
	}
}

static void test_largest_change_fits(void **state)
{
	struct engine_change change = { .decided_us = INT64_MAX / 2, .lasted_us = INT64_MAX / 2, .misses = UINT32_MAX,
					.misses_needed = UINT32_MAX, .n_targets = LIMIT_TARGETS };

	(void)state;
	fill_largest();
	memset(change.targets, 0xff, sizeof(change.targets));
	report_uplink_change(&report, &change, INT64_MAX, UINT32_MAX);
	assert_int_equal(read_batch(1)->events[0]->uplink->n_probes, LIMIT_TARGETS);
}

static void test_samples(void **state)
{
	struct report_sample sample;
	Jaga__V1__TelemetryBatch *batch;

	(void)state;
	fill_largest();
	memset(&sample, 0x7f, sizeof(sample));
	sample.uplinks[0] = (struct report_uplink_sample){ UPLINK_UP, 1, 2, 3, 4 };
	sample.conntrack_count = 5;
	sample.conntrack_max = 6;
	sample.mem_available_kb = 7;
	sample.load_permille = 8;
	for (unsigned i = 0; i < LIMIT_UPLINKS; i++)
		sample.uplinks[i].state = UPLINK_UP;
	report_sample(&report, &sample, 60000);
	assert_int_equal(added, 2); /* sixteen uplinks make two records */
	assert_int_equal(added_urgent, 0);
	batch = read_batch(1);
	assert_int_equal(batch->n_samples, 1);
	assert_true(batch->samples[0]->at_ms == 60000);
	assert_int_equal(batch->samples[0]->n_uplinks, 8);
	assert_int_equal(batch->samples[0]->conntrack_max, 6);
	assert_int_equal(batch->samples[0]->load_permille, 8);
	assert_true(batch->samples[0]->uplinks[0]->tx_bytes == 4);
}

static void test_sample_of_a_watcher(void **state)
{
	const struct report_sample sample = { .mem_available_kb = 7 };
	Jaga__V1__TelemetryBatch *batch;

	(void)state;
	config.n_uplinks = 0;
	report_sample(&report, &sample, 1);
	batch = read_batch(1);
	assert_int_equal(batch->samples[0]->n_uplinks, 0);
	assert_int_equal(batch->samples[0]->mem_available_kb, 7);
}

/* --- what is watched on a router ----------------------------------------------------------------- */

static char long_name[LIMIT_WATCH_NAME];
static unsigned n_things;

static void test_watch(void **state)
{
	struct router_change change = { .watch = ROUTER_WATCH_PPP, .to = ROUTER_STATE_DOWN, .n_names = LIMIT_WATCH_NAMES,
					.count = UINT32_MAX, .flaps = UINT32_MAX, .lasted_ms = INT64_MAX, .address = long_name,
					.caller = long_name, .detail = long_name };
	struct router_restart restart = { 60, "7.20.4", "7.16" };
	const Jaga__V1__TelemetryBatch *batch;

	(void)state;
	memset(long_name, 0xff, sizeof(long_name) - 1); /* no UTF-8: it travels as it is */
	for (unsigned i = 0; i < LIMIT_WATCH_NAMES; i++)
		change.names[i] = long_name;
	report_watch(&report, &change, 1000);
	batch = read_batch(1);
	assert_int_equal(batch->events[0]->kind_case, JAGA__V1__EVENT__KIND_WATCH);
	assert_int_equal(batch->events[0]->watch->n_names, LIMIT_WATCH_NAMES);
	assert_int_equal(batch->events[0]->watch->names[15].len, LIMIT_WATCH_NAME - 1);
	assert_int_equal(batch->events[0]->watch->count, UINT32_MAX);
	assert_int_equal(batch->events[0]->watch->watch, JAGA__V1__WATCH__WATCH_PPP);
	spool_acknowledge(spool, 1);
	report_restart(&report, &restart, 2000);
	change.n_names = change.count = 1;
	change.flaps = 0;
	report_watch(&report, &change, 3000);
	assert_int_equal(added_urgent, 3);
}

static int read_watched(struct router *router, struct router_health *ret_health, router_thing_fn *on_thing, void *arg)
{
	(void)router;
	*ret_health = (struct router_health){ .version = long_name, .uptime_s = INT64_MAX, .cpu_percent = UINT32_MAX,
					      .memory_free_bytes = UINT64_MAX, .memory_bytes = UINT64_MAX,
					      .disk_free_bytes = UINT64_MAX, .disk_bytes = UINT64_MAX, .ppp_users = UINT32_MAX,
					      .hotspot_users = UINT32_MAX, .unwatched = UINT32_MAX };
	for (unsigned i = 0; i < n_things; i++) {
		struct router_thing thing = { .watch = i < 4 ? ROUTER_WATCH_LTE : i % 2 ? ROUTER_WATCH_INTERFACE : ROUTER_WATCH_BGP,
					      .state = ROUTER_STATE_UP, .name = long_name, .lasted_s = INT64_MAX,
					      .remote_as = UINT32_MAX, .prefixes = UINT32_MAX, .rx_bytes = UINT64_MAX,
					      .tx_bytes = UINT64_MAX, .link_downs = UINT32_MAX, .carrier = long_name,
					      .told = 15, .rssi_dbm = -32767, .rsrp_dbm = -32767, .rsrq_db = -32767,
					      .sinr_db = -32767 };

		on_thing(arg, &thing);
	}
	return 0;
}

/* However many there are and however large: nothing is left out, and every record fits. */
static void test_watched(void **state)
{
	static const struct router_ops ops = { .read_watched = read_watched }, none = { .name = "linux" };
	struct report_sample sample = { .conntrack_count = UINT32_MAX, .conntrack_max = UINT32_MAX };
	struct spool_stats stats;
	unsigned n_seen, n_routers;

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	report_watched(&report, &none, NULL, &sample, 1000);
	assert_int_equal(added, 0);
	for (n_things = 0; n_things <= LIMIT_WATCH_THINGS; n_things += 8) {
		n_seen = n_routers = 0;
		report_watched(&report, &ops, NULL, &sample, 1000);
		for (spool_read_stats(spool, &stats); stats.records > 0; spool_read_stats(spool, &stats)) {
			const Jaga__V1__TelemetryBatch *batch = read_batch(0);

			for (size_t i = 0; i < batch->n_samples; i++) {
				const Jaga__V1__Sample *out = batch->samples[i];

				n_routers += out->router != NULL;
				n_seen += (unsigned)(out->n_watches + out->n_interfaces + out->n_modems);
				assert_int_equal(out->conntrack_count, UINT32_MAX);
				spool_acknowledge(spool, out->seq);
			}
		}
		assert_int_equal(n_routers, 1);
		assert_int_equal(n_seen, n_things);
		assert_int_equal(stats.dropped_samples, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_uplink_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_carried_by_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_started_and_notice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_a_collector, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_largest_change_fits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_samples, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sample_of_a_watcher, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_watch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_watched, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
