/*
 * ctl_fleet: devices, show, enroll, remove. Rows come from memory (fleet.h); an enrolment makes a
 * key from getrandom, stores it durably and shows it once: to the technician who asked.
 */
#include "collector/ctl_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "collector/ingest_rows.h"
#include "collector/writer.h"
#include "common/clock.h"
#include "common/log.h"

/* --- devices, show ---------------------------------------------------------------------------- */

static json_t *make_uplinks(const struct fleet_device *device)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < device->n_uplinks; i++) {
		const struct fleet_uplink *uplink = &device->uplinks[i];
		json_t *item = json_object();

		json_row_set_text(item, "name", uplink->name);
		json_row_set_text(item, "interface", uplink->interface);
		json_row_set_text(item, "state", ingest_state_name(uplink->state));
		json_row_set_number(item, "weight", uplink->weight);
		json_row_set_number(item, "tier", uplink->tier);
		json_row_set_number(item, "since_ms", uplink->since_ms);
		json_array_append_new(list, item);
	}
	return list;
}

static unsigned count_snapshots(const struct fleet_device *device)
{
	return device->snapshot.n > LIMIT_SNAPSHOTS_PER_DEVICE ? LIMIT_SNAPSHOTS_PER_DEVICE : device->snapshot.n;
}

static json_t *make_device(const struct fleet_device *device)
{
	json_t *row = json_object();

	json_row_set_text(row, "name", device->name);
	json_object_set_new(row, "online", json_boolean(device->is_online));
	if (fleet_is_confirming(device, clock_wall_ms()))
		ctl_set_job(row, "confirming", device->confirming.job);
	json_row_set_text(row, "address", device->address);
	json_row_set_number(row, "last_seen_ms", device->last_seen_ms);
	json_row_set_text(row, "version", device->version);
	json_row_set_text(row, "driver", device->driver);
	json_object_set_new(row, "watches", json_boolean(device->watches));
	json_object_set_new(row, "uplinks", make_uplinks(device));
	json_object_set_new(row, "snapshots", json_integer(count_snapshots(device)));
	json_object_set_new(row, "jobs_waiting", json_integer(device->jobs_waiting));
	json_row_set_number(row, "enrolled_ms", device->enrolled_ms);
	return row;
}

static enum ctl_next step_devices(struct ctl_client *client)
{
	const struct fleet *fleet = client->collector->ports.fleet;

	for (unsigned made = 0; made < LIMIT_CTL_ROWS; made++) {
		const struct fleet_device *device;
		enum ctl_next next;

		if (client->cursor.next >= fleet_count(fleet))
			return CTL_DONE;
		device = fleet_get(fleet, (uint32_t)++client->cursor.next);
		if (!device || !device->has_key)
			continue;
		next = ctl_put_row(client, make_device(device));
		if (next != CTL_MORE)
			return next;
	}
	return CTL_MORE;
}

static json_t *make_sample(const struct fleet_device *device)
{
	const struct fleet_sample *sample = &device->sample;
	json_t *row = json_object(), *list = json_array();

	json_row_set_number(row, "at_ms", sample->at_ms);
	json_object_set_new(row, "conntrack_count", json_integer(sample->conntrack_count));
	json_object_set_new(row, "conntrack_max", json_integer(sample->conntrack_max));
	json_object_set_new(row, "mem_available_kb", json_integer(sample->mem_available_kb));
	json_object_set_new(row, "load_permille", json_integer(sample->load_permille));
	for (unsigned i = 0; i < device->n_uplinks; i++) {
		const struct fleet_uplink *uplink = &device->uplinks[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "uplink", uplink->name, "state",
						      ingest_state_name(uplink->state), "rtt_us",
						      (json_int_t)uplink->rtt_us, "loss_permille",
						      (json_int_t)uplink->loss_permille, "rx_bytes",
						      (json_int_t)uplink->rx_bytes, "tx_bytes",
						      (json_int_t)uplink->tx_bytes));
	}
	json_object_set_new(row, "uplinks", list);
	return row;
}

static enum ctl_next begin_show(struct ctl_client *client)
{
	const struct fleet_device *device = ctl_find_device(client);
	enum ctl_next next;
	json_t *row;

	if (!device)
		return CTL_FAILED;
	row = make_device(device);
	json_row_set_text(row, "hostname", device->hostname);
	json_row_set_text(row, "model", device->model);
	json_row_set_text(row, "system", device->system);
	if (device->is_online)
		json_row_set_number(row, "session_since_ms", device->session_since_ms);
	if (device->has_hello)
		json_object_set_new(row, "boot_id", json_row_hex(device->boot_id, sizeof(device->boot_id)));
	json_object_set_new(row, "dropped_events", json_integer((json_int_t)device->dropped_events));
	json_object_set_new(row, "dropped_samples", json_integer((json_int_t)device->dropped_samples));
	if (device->snapshot.n != 0)
		json_object_set_new(row, "snapshot", ctl_make_snapshot(&device->snapshot));
	if (device->sample.at_ms != 0)
		json_object_set_new(row, "sample", make_sample(device));
	if (device->watched)
		json_object_set_new(row, "router", ctl_make_watched(device));
	next = ctl_put_row(client, row);
	return next == CTL_MORE ? CTL_DONE : next;
}

/* --- enroll, remove --------------------------------------------------------------------------- */

struct key_op {
	struct writer_op writer;
	struct collector *collector;
	uint64_t client;
	unsigned uid;
	struct store_device device;
	bool replace;
};

static void free_key_op(struct key_op *op)
{
	explicit_bzero(op, sizeof(*op));
	free(op);
}

static enum ctl_next submit_key_op(struct ctl_client *client, struct key_op *op,
				   int (*apply)(struct writer_op *op, struct store_txn *txn),
				   void (*done)(struct lane_op *lane, int result))
{
	int r;

	op->writer = (struct writer_op){ .lane = { .bytes = sizeof(*op), .done = done }, .apply = apply };
	op->collector = client->collector;
	op->client = client->serial;
	op->uid = client->uid;
	memcpy(op->device.name, client->request.device, sizeof(op->device.name));
	r = writer_submit(client->collector->ports.writer, &op->writer);
	if (r == 0)
		return CTL_WAIT;
	free_key_op(op);
	return ctl_fail_store(client, r);
}

static void set_collector_address(json_t *row, const struct collector_config *config)
{
	char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 10];
	bool is_v6 = config->advertise.family == AF_INET6;

	if (!config->has_advertise)
		return;
	inet_ntop(config->advertise.family, is_v6 ? (const void *)&config->advertise.v6 : &config->advertise.v4, host,
		  sizeof(host));
	snprintf(text, sizeof(text), is_v6 ? "[%s]:%u" : "%s:%u", host, config->advertise.port);
	json_row_set_text(row, "collector", text);
}

static int apply_enroll(struct writer_op *writer, struct store_txn *txn)
{
	struct key_op *op = (struct key_op *)writer;

	return store_enroll_device(txn, &op->device, op->replace);
}

static enum ctl_next answer_enroll(struct ctl_client *client, const struct key_op *op, int result)
{
	enum ctl_next next;
	json_t *row;

	if (result == -EEXIST)
		return ctl_fail(client, "exists", "to give it another key: jaga enroll --force", "%s is enrolled already",
				op->device.name);
	if (result < 0)
		return ctl_fail_store(client, result);
	row = json_object();
	json_row_set_text(row, "device", op->device.name);
	json_object_set_new(row, "key", json_row_hex(op->device.key, sizeof(op->device.key)));
	set_collector_address(row, op->collector->config);
	next = ctl_put_row(client, row);
	return next == CTL_MORE ? CTL_DONE : next;
}

static void finish_enroll(struct lane_op *lane, int result)
{
	struct key_op *op = (struct key_op *)lane;
	struct collector *collector = op->collector;
	struct ctl_client *client = ctl_find_client(collector->ctl, op->client);
	struct fleet_device *device;

	if (result == 0) {
		log_info("ctl", "device has a new key device=%s uid=%u", op->device.name, op->uid);
		result = fleet_put(collector->ports.fleet, &op->device, &device);
		coap_server_disconnect(collector->coap, op->device.name, "its key was replaced");
	}
	if (client)
		ctl_resume(client, answer_enroll(client, op, result));
	free_key_op(op);
}

static enum ctl_next begin_enroll(struct ctl_client *client)
{
	struct key_op *op = calloc(1, sizeof(*op));

	if (!op)
		return ctl_fail_store(client, -ENOMEM);
	op->replace = client->request.replace;
	op->device.enrolled_ms = clock_wall_ms();
	if (getrandom(op->device.key, sizeof(op->device.key), 0) != sizeof(op->device.key)) {
		free_key_op(op);
		return ctl_fail_store(client, -EIO);
	}
	return submit_key_op(client, op, apply_enroll, finish_enroll);
}

static int apply_remove(struct writer_op *writer, struct store_txn *txn)
{
	struct key_op *op = (struct key_op *)writer;

	return store_remove_device(txn, op->device.name);
}

static void finish_remove(struct lane_op *lane, int result)
{
	struct key_op *op = (struct key_op *)lane;
	struct collector *collector = op->collector;
	struct ctl_client *client = ctl_find_client(collector->ctl, op->client);
	struct fleet_device *device = fleet_find(collector->ports.fleet, op->device.name);

	if (result == 0 && device) {
		log_info("ctl", "device was removed device=%s uid=%u", op->device.name, op->uid);
		fleet_remove_key(device);
		coap_server_disconnect(collector->coap, op->device.name, "the device was removed");
	}
	if (client)
		ctl_resume(client, result < 0 ? ctl_fail_store(client, result) : CTL_DONE);
	free_key_op(op);
}

static enum ctl_next begin_remove(struct ctl_client *client)
{
	const struct fleet_device *device = ctl_find_device(client);
	struct key_op *op;

	if (!device)
		return CTL_FAILED;
	op = calloc(1, sizeof(*op));
	return op ? submit_key_op(client, op, apply_remove, finish_remove) : ctl_fail_store(client, -ENOMEM);
}

struct fleet_device *ctl_find_device(struct ctl_client *client)
{
	const char *name = client->request.device;
	struct fleet_device *device = fleet_find(client->collector->ports.fleet, name);

	if (!device)
		ctl_fail(client, "not-found", "see `jaga devices`", "there is no device %s", name);
	return device;
}

static enum ctl_next begin_devices(struct ctl_client *client)
{
	(void)client;
	return CTL_MORE;
}

const struct ctl_operation ctl_devices = { .begin = begin_devices, .step = step_devices };
const struct ctl_operation ctl_show = { .begin = begin_show };
const struct ctl_operation ctl_enroll = { .begin = begin_enroll };
const struct ctl_operation ctl_remove = { .begin = begin_remove };
