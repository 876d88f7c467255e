/*
 * ingest_lab: batches of a device "r1" as its agent sends them. Over the rig (rig.h). Included once by a test program.
 */
#ifndef JAGA_TESTS_COLLECTOR_INGEST_LAB_H
#define JAGA_TESTS_COLLECTOR_INGEST_LAB_H

#include "tests/unit/collector/rig.h"

static uint8_t boot_a[LIMIT_BOOT_ID_BYTES] = { 'a' };

static inline int set_up(void **state)
{
	int r = rig_set_up(state);

	rig_enroll(*state, "r1");
	return r;
}

struct batch {
	Jaga__V1__TelemetryBatch message;
	Jaga__V1__Event events[70], *event_list[70];
	Jaga__V1__UplinkChange changes[70];
	Jaga__V1__Sample sample, *sample_list[1];
	Jaga__V1__UplinkSample uplink, *uplink_list[1];
};

/* n_events changes of "isp1" to `to`, numbered from seq_from, and nothing else. */
static inline struct batch *make_batch(uint8_t *boot, uint64_t seq_from, size_t n_events, int to)
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

static inline void add_sample(struct batch *batch, int state)
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

static inline const struct rig_reply *send_batch(struct rig *rig, struct batch *batch)
{
	const struct rig_reply *reply = rig_post(rig, COAP_PATH_TELEMETRY, "r1", &batch->message.base);

	free(batch);
	return reply;
}

static inline void assert_refused(const struct rig_reply *reply, const char *field)
{
	assert_int_equal(reply->code, COAP_BAD_REQUEST);
	assert_int_equal(strncmp((const char *)reply->body, field, strlen(field)), 0);
}

#endif
