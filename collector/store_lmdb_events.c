/*
 * store_lmdb_events: the event log and the marks of devices: two puts for a batch of any number of
 * records. The log's key only grows, so MDB_APPEND fills pages to the brim without searching.
 *
 * Deduplication is decided here, on the writer thread, against the mark inside the same transaction:
 * a mark that was not committed was never believed, whatever failed and whatever comes again.
 */
#include "collector/store_lmdb.h"

struct batch_head { /* before the body in a value of the log */
	uint64_t previous, previous_event, previous_event_of_any;
	uint64_t skip_seq;
	int64_t received_ms;
	uint32_t device_number;
	uint8_t n_records, n_events;
	uint16_t kind;
};

static int read_batch(const MDB_val *key, const MDB_val *value, struct store_batch *ret_batch)
{
	struct batch_head head;
	uint64_t id;

	if (key->mv_size != sizeof(id) || value->mv_size < sizeof(head))
		return -EIO;
	memcpy(&id, key->mv_data, sizeof(id));
	memcpy(&head, value->mv_data, sizeof(head));
	*ret_batch = (struct store_batch){
		.id = id,
		.previous = head.previous,
		.previous_event = head.previous_event,
		.previous_event_of_any = head.previous_event_of_any,
		.skip_seq = head.skip_seq,
		.received_ms = head.received_ms,
		.device_number = head.device_number,
		.n_records = head.n_records,
		.n_events = head.n_events,
		.kind = head.kind,
		.body = (const uint8_t *)value->mv_data + sizeof(head),
		.length = value->mv_size - sizeof(head),
	};
	return 0;
}

int store_load_event_counter(struct store_txn *txn)
{
	struct store_batch batch;
	int r = store_find_last_batch(txn, &batch);

	if (r == -ENOENT) {
		txn->next.event_id = 1;
		txn->next.last_event_batch = 0;
		return 0;
	}
	if (r < 0)
		return r;
	txn->next.event_id = batch.id + batch.n_records;
	txn->next.last_event_batch = batch.n_events > 0 ? batch.id : batch.previous_event_of_any;
	return 0;
}

int store_get_mark(struct store_txn *txn, uint32_t number, struct store_mark *ret_mark)
{
	MDB_val key = STORE_VAL(number);

	return store_get_fixed(txn, STORE_MARKS, &key, ret_mark, sizeof(*ret_mark));
}

/* Appends head and body to the log and links it into the chains. */
static int append(struct store_txn *txn, struct batch_head *head, const void *body, size_t length,
		  struct store_mark *mark)
{
	uint64_t id = txn->next.event_id;
	MDB_val key = STORE_VAL(id), value = { sizeof(*head) + length, NULL };
	uint32_t number = head->device_number;
	int r;

	head->previous = mark->last_id;
	head->previous_event = mark->last_event_id;
	head->previous_event_of_any = txn->next.last_event_batch;
	r = store_put(txn, STORE_EVENTS, &key, &value, MDB_RESERVE | MDB_APPEND);
	if (r < 0)
		return r;
	memcpy(value.mv_data, head, sizeof(*head));
	memcpy((char *)value.mv_data + sizeof(*head), body, length);
	mark->last_id = id;
	if (head->n_events > 0)
		mark->last_event_id = id;
	mark->last_ms = head->received_ms;
	key = STORE_VAL(number);
	value = STORE_VAL(*mark);
	r = store_put(txn, STORE_MARKS, &key, &value, 0);
	if (r < 0)
		return r;
	txn->next.event_id = id + head->n_records;
	if (head->n_events > 0)
		txn->next.last_event_batch = id;
	txn->next.batches_added++;
	return 0;
}

int store_add_telemetry(struct store_txn *txn, const struct store_telemetry *telemetry, uint64_t *ret_id,
			uint64_t *ret_seq)
{
	struct store_mark mark = { 0 };
	struct batch_head head;
	uint64_t id = txn->next.event_id;
	int r;

	r = store_get_mark(txn, telemetry->device_number, &mark);
	if (r < 0 && r != -ENOENT)
		return r;
	if (memcmp(mark.boot_id, telemetry->boot_id, sizeof(mark.boot_id)) != 0) {
		memcpy(mark.boot_id, telemetry->boot_id, sizeof(mark.boot_id));
		mark.seq = 0;
	}
	if (telemetry->seq_to <= mark.seq) {
		*ret_id = 0;
		*ret_seq = mark.seq;
		return 0;
	}
	head = (struct batch_head){
		.skip_seq = mark.seq,
		.received_ms = telemetry->received_ms,
		.device_number = telemetry->device_number,
		.n_records = telemetry->n_records,
		.n_events = telemetry->n_events,
		.kind = STORE_BATCH_TELEMETRY,
	};
	mark.seq = telemetry->seq_to;
	mark.dropped_events = telemetry->dropped_events;
	mark.dropped_samples = telemetry->dropped_samples;
	r = append(txn, &head, telemetry->body, telemetry->length, &mark);
	if (r < 0)
		return r;
	*ret_id = id;
	*ret_seq = mark.seq;
	return 0;
}

int store_add_event(struct store_txn *txn, uint32_t device_number, enum store_batch_kind kind, int64_t now_ms,
		    const char *text, uint64_t *ret_id)
{
	struct store_mark mark = { 0 };
	struct batch_head head = { .received_ms = now_ms, .device_number = device_number, .n_records = 1,
				   .n_events = 1, .kind = (uint16_t)kind };
	uint64_t id = txn->next.event_id;
	int r;

	r = store_get_mark(txn, device_number, &mark);
	if (r < 0 && r != -ENOENT)
		return r;
	r = append(txn, &head, text, strlen(text), &mark);
	if (r == 0)
		*ret_id = id;
	return r;
}

int store_trim_events(struct store_txn *txn)
{
	uint64_t most = txn->store->bytes / 1000 * LIMIT_STORE_EVENTS_PERMILLE;
	unsigned left = txn->next.batches_added + LIMIT_STORE_TRIM;
	MDB_cursor *cursor;
	MDB_stat stat;
	MDB_val key, value;
	int r = 0;

	if (txn->next.batches_added == 0 || store_table_bytes(txn, STORE_EVENTS) <= most)
		return 0;
	r = mdb_stat(txn->mdb, txn->store->tables[STORE_EVENTS], &stat);
	if (r == 0)
		r = mdb_cursor_open(txn->mdb, txn->store->tables[STORE_EVENTS], &cursor);
	if (r != 0)
		return store_translate(r);
	/* The last batch stays whatever its size: its id says which number comes next. */
	for (; left > 0 && stat.ms_entries > 1 && r == 0; left--, stat.ms_entries--) {
		r = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
		if (r == 0)
			r = mdb_cursor_del(cursor, 0);
	}
	mdb_cursor_close(cursor);
	if (r != 0)
		txn->is_failed = true;
	return store_translate(r);
}

int store_get_batch(struct store_txn *txn, uint64_t id, struct store_batch *ret_batch)
{
	MDB_val key = STORE_VAL(id), value;
	int r = store_get(txn, STORE_EVENTS, &key, &value);

	return r < 0 ? r : read_batch(&key, &value, ret_batch);
}

int store_find_batch_from(struct store_txn *txn, uint64_t id, struct store_batch *ret_batch)
{
	MDB_val key = STORE_VAL(id), value;
	int r = store_seek(txn, STORE_EVENTS, MDB_SET_RANGE, &key, &value);

	return r < 0 ? r : read_batch(&key, &value, ret_batch);
}

int store_find_last_batch(struct store_txn *txn, struct store_batch *ret_batch)
{
	MDB_val key, value;
	int r = store_seek(txn, STORE_EVENTS, MDB_LAST, &key, &value);

	return r < 0 ? r : read_batch(&key, &value, ret_batch);
}
