/*
 * ctl_snapshots: snapshots, cat. What is in the store; ctl_take.c asks the devices.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/snapshots.h"

static enum ctl_next begin_snapshots(struct ctl_client *client)
{
	client->cursor.device = ctl_find_device(client);
	return client->cursor.device ? CTL_MORE : CTL_FAILED;
}

json_t *ctl_make_snapshot(const struct store_snapshot *snapshot)
{
	json_t *row = json_object();

	json_row_set_number(row, "n", snapshot->n);
	json_object_set_new(row, "hash", json_row_hex(snapshot->hash, sizeof(snapshot->hash)));
	json_row_set_number(row, "taken_ms", snapshot->taken_ms);
	json_row_set_number(row, "checked_ms", snapshot->checked_ms);
	json_object_set_new(row, "bytes", json_integer(snapshot->bytes));
	json_object_set_new(row, "stored_bytes", json_integer(snapshot->stored_bytes));
	return row;
}

static enum ctl_next step_snapshots(struct ctl_client *client)
{
	struct ctl_cursor *cursor = &client->cursor;
	struct store_snapshot snapshot;
	struct store_txn *txn;
	enum ctl_next next = CTL_MORE;
	int r = store_read_begin(client->collector->ports.store, &txn);

	if (r < 0)
		return ctl_fail_store(client, r);
	for (unsigned made = 0; made < LIMIT_CTL_ROWS && next == CTL_MORE; made++) {
		r = store_find_snapshot_from(txn, cursor->device->number, (uint32_t)cursor->next, &snapshot);
		if (r < 0) {
			next = r == -ENOENT ? CTL_DONE : ctl_fail_store(client, r);
			break;
		}
		cursor->next = (uint64_t)snapshot.n + 1;
		next = ctl_put_row(client, ctl_make_snapshot(&snapshot));
	}
	store_read_end(txn);
	return next;
}

static enum ctl_next fail_none(struct ctl_client *client, const struct fleet_device *device)
{
	return ctl_fail(client, "not-found", "`jaga snapshots DEVICE --take` asks the router for one", "%s has no snapshot yet",
			device->name);
}

static enum ctl_next begin_cat(struct ctl_client *client)
{
	const struct fleet_device *device = ctl_find_device(client);
	uint32_t n = client->request.n < 0 ? 0 : (uint32_t)client->request.n;
	struct store_snapshot snapshot;
	enum ctl_next next;
	json_t *row;
	char *text;
	int r;

	if (!device)
		return CTL_FAILED;
	r = snapshots_read_text(client->collector->ports.store, device->number, n, &snapshot, &text);
	if (r == -ENOENT && device->snapshot.n == 0)
		return fail_none(client, device);
	if (r == -ENOENT)
		return ctl_fail(client, "not-found", "`jaga snapshots DEVICE` lists those that are kept", "%s has no snapshot %u",
				device->name, n);
	if (r < 0)
		return ctl_fail_store(client, r);
	row = json_object();
	json_row_set_number(row, "n", snapshot.n);
	json_object_set_new(row, "hash", json_row_hex(snapshot.hash, sizeof(snapshot.hash)));
	json_row_set_number(row, "taken_ms", snapshot.taken_ms);
	json_object_set_new(row, "text", json_row_text(text, snapshot.bytes));
	if (!json_row_is_text(text, snapshot.bytes))
		json_object_set_new(row, "hex", json_row_hex((const uint8_t *)text, snapshot.bytes));
	free(text);
	next = ctl_put_row(client, row);
	return next == CTL_MORE ? CTL_DONE : next;
}

const struct ctl_operation ctl_snapshots = { .begin = begin_snapshots, .step = step_snapshots };
const struct ctl_operation ctl_cat = { .begin = begin_cat };
