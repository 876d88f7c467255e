/*
 * ctl_events: the newest events, oldest first, and then what comes.
 *
 *   begin: walk the chain of batches with events back, newest first, until `limit` are found
 *   step:  emit those batches in turn; then, when following, scan the log forward from where we began
 *
 * A follower reads the log itself after each commit, so it misses nothing and sees nothing twice,
 * however slowly it reads; when the log's oldest part is trimmed before it came there, that part is gone.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/ingest_rows.h"

#define DEFAULT_EVENTS 100
#define SCAN_BATCHES 1000 /* a follower of one device passes over so many batches of others in one turn */

static int collect(struct ctl_client *client, struct store_txn *txn, uint64_t limit)
{
	struct ctl_cursor *cursor = &client->cursor;
	const struct fleet_device *device = cursor->device;
	struct store_batch batch;
	struct store_mark mark;
	uint64_t id, found = 0;
	int r;

	r = store_find_last_batch(txn, &batch);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	cursor->next = batch.id + 1;
	id = batch.n_events > 0 ? batch.id : batch.previous_event_of_any;
	if (device) {
		r = store_get_mark(txn, device->number, &mark);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		id = mark.last_event_id;
	}
	while (id != 0 && found < limit) {
		r = store_get_batch(txn, id, &batch);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		cursor->ids[cursor->n_ids++] = id;
		found += batch.n_events;
		id = device ? batch.previous_event : batch.previous_event_of_any;
	}
	cursor->at = found > limit ? (unsigned)(found - limit) : 0; /* rows of the oldest batch that are too many */
	return 0;
}

static enum ctl_next begin_events(struct ctl_client *client)
{
	const struct ctl_request *request = &client->request;
	struct ctl_cursor *cursor = &client->cursor;
	uint64_t limit = request->limit < 0 ? DEFAULT_EVENTS : (uint64_t)request->limit;
	struct store_txn *txn;
	int r;

	if (request->device[0] != '\0') {
		cursor->device = ctl_find_device(client);
		if (!cursor->device)
			return CTL_FAILED;
	}
	cursor->ids = calloc(limit + 1, sizeof(*cursor->ids));
	if (!cursor->ids)
		return ctl_fail_store(client, -ENOMEM);
	r = store_read_begin(client->collector->ports.store, &txn);
	if (r == 0) {
		r = collect(client, txn, limit);
		store_read_end(txn);
	}
	return r < 0 ? ctl_fail_store(client, r) : CTL_MORE;
}

static enum ctl_next put_batch(struct ctl_client *client, const struct store_batch *batch)
{
	const struct fleet_device *device = fleet_get(client->collector->ports.fleet, batch->device_number);
	json_t *rows = ingest_make_rows(batch, device ? device->name : "?"), *row;
	enum ctl_next next = rows ? CTL_MORE : ctl_fail_store(client, -ENOMEM);
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (client->cursor.at > 0) {
			client->cursor.at--;
			continue;
		}
		next = ctl_put_row(client, json_incref(row));
		if (next != CTL_MORE)
			break;
	}
	json_decref(rows);
	return next;
}

/* Scans forward for the batches with events that came after we began. */
static enum ctl_next step_forward(struct ctl_client *client, struct store_txn *txn)
{
	struct ctl_cursor *cursor = &client->cursor;
	struct store_batch batch;

	for (unsigned passed = 0; passed < SCAN_BATCHES; passed++) {
		int r = store_find_batch_from(txn, cursor->next, &batch);

		if (r == -ENOENT)
			return CTL_WAIT;
		if (r < 0)
			return ctl_fail_store(client, r);
		cursor->next = batch.id + 1;
		if (batch.n_events > 0 && (!cursor->device || cursor->device->number == batch.device_number))
			return put_batch(client, &batch);
	}
	return CTL_MORE;
}

static enum ctl_next step_in_transaction(struct ctl_client *client, struct store_txn *txn)
{
	struct ctl_cursor *cursor = &client->cursor;
	struct store_batch batch;
	int r;

	if (cursor->n_ids == 0)
		return client->request.follow ? step_forward(client, txn) : CTL_DONE;
	r = store_get_batch(txn, cursor->ids[--cursor->n_ids], &batch);
	if (r == -ENOENT)
		return CTL_MORE; /* trimmed while the client was reading */
	return r < 0 ? ctl_fail_store(client, r) : put_batch(client, &batch);
}

static enum ctl_next step_events(struct ctl_client *client)
{
	struct store_txn *txn;
	enum ctl_next next;
	int r = store_read_begin(client->collector->ports.store, &txn);

	if (r < 0)
		return ctl_fail_store(client, r);
	next = step_in_transaction(client, txn);
	store_read_end(txn);
	return next;
}

static bool events_wants(const struct ctl_client *client, enum port_change what, uint64_t subject)
{
	(void)client;
	(void)subject;
	return what == PORT_CHANGE_EVENTS;
}

const struct ctl_operation ctl_events = { .begin = begin_events, .step = step_events, .wants = events_wants };
