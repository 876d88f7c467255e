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

/* What the collector would see: a batch of everything in the spool. */
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
