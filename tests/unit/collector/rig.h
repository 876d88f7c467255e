/*
 * rig: a store in a directory of its own, a loop with writer and worker, and ports that remember what
 * was answered. For the unit tests of the collector's modules; nothing here is faked but the sockets.
 */
#ifndef JAGA_TESTS_COLLECTOR_RIG_H
#define JAGA_TESTS_COLLECTOR_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/fleet.h"
#include "collector/ingest.h"
#include "collector/jobs.h"
#include "collector/ports.h"
#include "collector/snapshots.h"
#include "collector/store.h"
#include "collector/worker.h"
#include "collector/writer.h"
#include "common/wire.h"

#define RIG_STORE_BYTES (8ull << 20)
#define RIG_REPLIES 64
#define RIG_DEADLINE_S 10.0

struct rig_reply {
	uint64_t session; /* of the ticket: tests number their requests with it */
	enum coap_code code;
	uint32_t max_age_s;
	size_t length;
	uint8_t body[2048];
};

struct rig {
	char directory[64];
	struct ports ports;
	struct jobs *jobs;
	struct snapshots *snapshots;
	struct ingest *ingest;
	struct rig_reply replies[RIG_REPLIES];
	unsigned n_replies;
	unsigned n_wakes, n_changes[PORT_CHANGE_DOCTOR + 1];
	uint8_t wake[LIMIT_WAKE_BYTES];
	size_t wake_length;
	bool is_connected; /* wakes go through */
	int fault;
};

static inline void rig_on_reply(void *arg, const struct coap_ticket *ticket, const struct coap_answer *answer)
{
	struct rig *rig = arg;
	struct rig_reply *reply = &rig->replies[rig->n_replies % RIG_REPLIES];

	reply->session = ticket->session;
	reply->code = answer->code;
	reply->max_age_s = answer->max_age_s;
	reply->length = answer->length;
	if (answer->length > 0)
		memcpy(reply->body, answer->body,
		       answer->length < sizeof(reply->body) ? answer->length : sizeof(reply->body));
	rig->n_replies++;
}

static inline int rig_on_wake(void *arg, const char *device, const void *body, size_t length)
{
	struct rig *rig = arg;

	(void)device;
	if (!rig->is_connected)
		return -ENOTCONN;
	memcpy(rig->wake, body, length);
	rig->wake_length = length;
	rig->n_wakes++;
	return 0;
}

static inline void rig_on_changed(void *arg, enum port_change what, uint64_t subject)
{
	struct rig *rig = arg;

	(void)subject;
	rig->n_changes[what]++;
}

static inline void rig_on_fault(void *arg, int error)
{
	((struct rig *)arg)->fault = error;
}

/* Everything above the directory: again after rig_stop, it is a restart of the collector. */
static inline void rig_start(struct rig *rig)
{
	struct writer_options writer = { .on_fault = rig_on_fault, .arg = rig };
	struct ports *ports = &rig->ports;
	struct err err = { "" };

	*ports = (struct ports){ .loop = ev_loop_new(EVFLAG_AUTO), .epoch = 7, .keepalive_s = 25, .reply = rig_on_reply,
				 .wake = rig_on_wake, .changed = rig_on_changed, .arg = rig };
	assert_int_equal(store_open(rig->directory, RIG_STORE_BYTES, &ports->store, &err), 0);
	writer.store = ports->store;
	assert_int_equal(writer_create(ports->loop, &writer, &ports->writer, &err), 0);
	assert_int_equal(worker_create(ports->loop, &ports->worker, &err), 0);
	assert_int_equal(fleet_create(&ports->fleet), 0);
	assert_int_equal(jobs_create(ports, &rig->jobs), 0);
	assert_int_equal(snapshots_create(ports, &rig->snapshots), 0);
	assert_int_equal(ingest_create(ports, rig->jobs, rig->snapshots, &rig->ingest), 0);
	assert_int_equal(ingest_restore(rig->ingest, &err), 0);
	assert_int_equal(jobs_restore(rig->jobs, &err), 0);
}

static inline void rig_stop(struct rig *rig)
{
	struct ports *ports = &rig->ports;

	lane_destroy(ports->worker);
	writer_destroy(ports->writer);
	ingest_destroy(rig->ingest);
	snapshots_destroy(rig->snapshots);
	jobs_destroy(rig->jobs);
	fleet_destroy(ports->fleet);
	store_close(ports->store);
	ev_loop_destroy(ports->loop);
}

static inline int rig_set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	strcpy(rig->directory, "/tmp/jaga-rig-XXXXXX");
	assert_non_null(mkdtemp(rig->directory));
	rig_start(rig);
	*state = rig;
	return 0;
}

static inline void rig_remove_directory(const char *directory)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "collector.lock" };
	char path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		unlink(path);
	}
	rmdir(directory);
}

static inline int rig_tear_down(void **state)
{
	struct rig *rig = *state;

	rig_stop(rig);
	rig_remove_directory(rig->directory);
	free(rig);
	return 0;
}

static inline void rig_on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)timer;
	(void)events;
	fail_msg("the loop did not get there in time");
}

/* Runs the loop until *counter has reached the value. */
static inline void rig_wait(struct rig *rig, const unsigned *counter, unsigned value)
{
	ev_timer deadline;

	ev_timer_init(&deadline, rig_on_deadline, RIG_DEADLINE_S, 0.0);
	ev_timer_start(rig->ports.loop, &deadline);
	while (*counter < value)
		ev_run(rig->ports.loop, EVRUN_ONCE);
	ev_timer_stop(rig->ports.loop, &deadline);
}

/* One transaction of the test's own, while the writer has nothing to do. */
static inline struct store_txn *rig_begin(struct rig *rig)
{
	struct store_txn *txn;

	assert_int_equal(store_begin(rig->ports.store, &txn), 0);
	return txn;
}

static inline struct fleet_device *rig_enroll(struct rig *rig, const char *name)
{
	struct store_device stored = { .enrolled_ms = 1000, .key = { 1, 2, 3 } };
	struct store_txn *txn = rig_begin(rig);
	struct fleet_device *device;

	strcpy(stored.name, name);
	assert_int_equal(store_enroll_device(txn, &stored, false), 0);
	assert_int_equal(store_commit(txn), 0);
	assert_int_equal(fleet_put(rig->ports.fleet, &stored, &device), 0);
	return device;
}

/* A request of the device, numbered; returns the reply to it. */
static inline const struct rig_reply *rig_ask(struct rig *rig, struct coap_incoming *incoming)
{
	unsigned before = rig->n_replies;

	incoming->peer = "192.0.2.1:4000";
	incoming->ticket.session = before + 1;
	ingest_request(rig->ingest, incoming);
	rig_wait(rig, &rig->n_replies, before + 1);
	assert_int_equal(rig->replies[before % RIG_REPLIES].session, before + 1);
	return &rig->replies[before % RIG_REPLIES];
}

static inline const struct rig_reply *rig_post(struct rig *rig, enum coap_path path, const char *device,
					       const ProtobufCMessage *message)
{
	char memory[8192];
	struct coap_incoming incoming = { .path = path, .device = device, .body = (uint8_t *)memory };
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(wire_pack(message, &buf), 0);
	incoming.length = buf.length;
	return rig_ask(rig, &incoming);
}

/* Ack.seq of a reply. */
static inline uint64_t rig_read_ack(const struct rig_reply *reply)
{
	Jaga__V1__Ack *ack = jaga__v1__ack__unpack(NULL, reply->length, reply->body);
	uint64_t seq;

	assert_non_null(ack);
	seq = ack->seq;
	jaga__v1__ack__free_unpacked(ack, NULL);
	return seq;
}

/* In the store, as it is on the disk. */
static inline uint64_t rig_count_batches(struct rig *rig)
{
	struct store_usage usage;
	struct store_txn *txn;

	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	assert_int_equal(store_read_usage(txn, &usage), 0);
	store_read_end(txn);
	return usage.batches;
}

#endif
