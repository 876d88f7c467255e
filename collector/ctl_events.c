/*
 * ctl_events: the newest events, oldest first, and then what comes.
 *
 *   begin: find the newest batch with events
 *   step:  walk their chain back until `limit` rows that are wanted are found; emit those batches in turn; then, when following, scan the log forward from where we began
 *
 * A follower reads the log itself after each commit, so it misses nothing and sees nothing twice,
 * however slowly it reads; when the log's oldest part is trimmed before it came there, that part is gone.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/ingest_rows.h"
#include "common/buf.h"

#define DEFAULT_EVENTS 100
#define WALK_BATCHES 64	  /* on the way back, in one turn: rows are made of each */
#define SCAN_BATCHES 1000 /* a follower of one device passes over so many batches of others in one turn */

static uint64_t wanted_rows(const struct ctl_client *client)
{
	return client->request.limit < 0 ? DEFAULT_EVENTS : (uint64_t)client->request.limit;
}

/* A row that the client asked for. */
static bool is_wanted(const struct ctl_client *client, const json_t *row)
{
	const char *kind = json_string_value(json_object_get(row, "kind"));
	size_t length = kind ? strlen(kind) : 0;

	if (client->request.kinds[0] == '\0')
		return true;
	for (const char *at = client->request.kinds; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, kind ? kind : "", length) == 0 && (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return false;
}

static bool is_kind(const char *name, size_t length)
{
	for (const char *const *kind = ingest_kinds; *kind; kind++)
		if (strlen(*kind) == length && memcmp(*kind, name, length) == 0)
			return true;
	return false;
}

/* A kind that there is not would match nothing for ever, without a word. */
static enum ctl_next refuse_kind(struct ctl_client *client, const char *name, size_t length)
{
	char memory[LIMIT_ERR_TEXT];
	struct buf known;

	buf_init(&known, memory, sizeof(memory));
	buf_puts(&known, "the kinds are ");
	for (const char *const *kind = ingest_kinds; *kind; kind++)
		buf_printf(&known, "%s%s", kind == ingest_kinds ? "" : ", ", *kind);
	return ctl_fail(client, "bad-request", known.data, "\"%.*s\" is no kind of event", (int)length, name);
}

static enum ctl_next check_kinds(struct ctl_client *client)
{
	const char *at = client->request.kinds[0] != '\0' ? client->request.kinds : NULL;

	while (at) {
		size_t length = strcspn(at, ",");

		if (!is_kind(at, length))
			return refuse_kind(client, at, length);
		at = at[length] == ',' ? at + length + 1 : NULL;
	}
	return CTL_MORE;
}

static json_t *make_rows(struct ctl_client *client, const struct store_batch *batch)
{
	const struct fleet_device *device = fleet_get(client->collector->ports.fleet, batch->device_number);
	json_t *rows = ingest_make_rows(batch, device ? device->name : "?");

	for (size_t i = json_array_size(rows); i-- > 0;)
		if (!is_wanted(client, json_array_get(rows, i)))
			(void)json_array_remove(rows, i); /* fails only for an index that is not there */
	return rows;
}

/* How many of its rows the client asked for. n_events is no such number: an agent sends again what was not acknowledged, and
 * what an earlier batch brought makes no row. */
static uint64_t count_rows(struct ctl_client *client, const struct store_batch *batch)
{
	json_t *rows = make_rows(client, batch);
	uint64_t n = json_array_size(rows);

	json_decref(rows);
	return n;
}

/* Where the walk begins: at the newest batch with events. */
static int find_newest(struct ctl_client *client, struct store_txn *txn)
{
	struct ctl_cursor *cursor = &client->cursor;
	struct store_batch batch;
	struct store_mark mark;
	int r;

	r = store_find_last_batch(txn, &batch);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	cursor->next = batch.id + 1;
	cursor->walk = batch.n_events > 0 ? batch.id : batch.previous_event_of_any;
	if (!cursor->device)
		return 0;
	cursor->walk = 0;
	r = store_get_mark(txn, cursor->device->number, &mark);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	cursor->walk = mark.last_event_id;
	return 0;
}

/* Some batches back; walk is 0 when there are enough, or no more. */
static int walk_back(struct ctl_client *client, struct store_txn *txn)
{
	struct ctl_cursor *cursor = &client->cursor;
	uint64_t limit = wanted_rows(client), n;
	struct store_batch batch;

	for (unsigned passed = 0; passed < WALK_BATCHES && cursor->walk != 0; passed++) {
		int r = cursor->found < limit ? store_get_batch(txn, cursor->walk, &batch) : -ENOENT;

		if (r == -ENOENT) {
			cursor->walk = 0;
			break;
		}
		if (r < 0)
			return r;
		n = count_rows(client, &batch);
		if (n > 0)
			cursor->ids[cursor->n_ids++] = cursor->walk;
		cursor->found += n;
		cursor->walk = cursor->device ? batch.previous_event : batch.previous_event_of_any;
	}
	if (cursor->walk == 0)
		cursor->at = cursor->found > limit ? (unsigned)(cursor->found - limit) : 0; /* too many rows of the oldest batch */
	return 0;
}

static enum ctl_next begin_events(struct ctl_client *client)
{
	const struct ctl_request *request = &client->request;
	struct ctl_cursor *cursor = &client->cursor;
	struct store_txn *txn;
	int r;

	if (check_kinds(client) != CTL_MORE)
		return CTL_FAILED;
	if (request->device[0] != '\0') {
		cursor->device = ctl_find_device(client);
		if (!cursor->device)
			return CTL_FAILED;
	}
	cursor->ids = calloc(wanted_rows(client) + 1, sizeof(*cursor->ids));
	if (!cursor->ids)
		return ctl_fail_store(client, -ENOMEM);
	r = store_read_begin(client->collector->ports.store, &txn);
	if (r == 0) {
		r = find_newest(client, txn);
		store_read_end(txn);
	}
	return r < 0 ? ctl_fail_store(client, r) : CTL_MORE;
}

static enum ctl_next put_batch(struct ctl_client *client, const struct store_batch *batch)
{
	json_t *rows = make_rows(client, batch), *row;
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

	if (cursor->walk != 0) {
		r = walk_back(client, txn);
		return r < 0 ? ctl_fail_store(client, r) : CTL_MORE;
	}
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
