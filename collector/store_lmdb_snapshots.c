/*
 * store_lmdb_snapshots: each device's list of configurations, and the texts, kept once however many
 * devices or times share them. A text carries the number of list entries that name it and goes with
 * the last of them. The newest of a device is one SET_RANGE and PREV away (1.4 us).
 */
#include "collector/store_lmdb.h"

struct text_head { /* before the zstd frame */
	uint32_t references;
	uint32_t bytes; /* of the text itself */
};

static int read_snapshot(const MDB_val *key, const MDB_val *value, uint32_t number, struct store_snapshot *ret)
{
	struct store_pair pair;

	if (key->mv_size != sizeof(pair))
		return -EIO;
	memcpy(&pair, key->mv_data, sizeof(pair));
	if (be32toh(pair.first_be) != number)
		return -ENOENT;
	if (value->mv_size != sizeof(*ret))
		return -EIO;
	memcpy(ret, value->mv_data, sizeof(*ret));
	return 0;
}

int store_get_snapshot(struct store_txn *txn, uint32_t number, uint32_t n, struct store_snapshot *ret_snapshot)
{
	struct store_pair pair = store_pair(number, n == 0 ? UINT64_MAX : n);
	MDB_val key = STORE_VAL(pair), value;
	int r;

	if (n != 0)
		return store_get_fixed(txn, STORE_SNAPSHOTS, &key, ret_snapshot, sizeof(*ret_snapshot));
	r = store_seek_before(txn, STORE_SNAPSHOTS, &key, &value);
	return r < 0 ? r : read_snapshot(&key, &value, number, ret_snapshot);
}

int store_find_snapshot_from(struct store_txn *txn, uint32_t number, uint32_t n, struct store_snapshot *ret_snapshot)
{
	struct store_pair pair = store_pair(number, n);
	MDB_val key = STORE_VAL(pair), value;
	int r = store_seek(txn, STORE_SNAPSHOTS, MDB_SET_RANGE, &key, &value);

	return r < 0 ? r : read_snapshot(&key, &value, number, ret_snapshot);
}

static int put_snapshot(struct store_txn *txn, uint32_t number, struct store_snapshot *snapshot)
{
	struct store_pair pair = store_pair(number, snapshot->n);
	MDB_val key = STORE_VAL(pair), value = STORE_VAL(*snapshot);

	return store_put(txn, STORE_SNAPSHOTS, &key, &value, 0);
}

int store_confirm_snapshot(struct store_txn *txn, uint32_t number, const uint8_t hash[static 32], int64_t now_ms,
			   struct store_snapshot *ret_snapshot)
{
	struct store_snapshot snapshot;
	int r = store_get_snapshot(txn, number, 0, &snapshot);

	if (r < 0)
		return r;
	if (memcmp(snapshot.hash, hash, sizeof(snapshot.hash)) != 0)
		return -ENOENT;
	snapshot.checked_ms = now_ms;
	r = put_snapshot(txn, number, &snapshot);
	if (r == 0)
		*ret_snapshot = snapshot;
	return r;
}

/* -ENOENT: no such text. */
static int find_text(struct store_txn *txn, MDB_val *key, MDB_val *ret_value, struct text_head *ret_head)
{
	int r = store_get(txn, STORE_TEXTS, key, ret_value);

	if (r < 0)
		return r;
	if (ret_value->mv_size < sizeof(*ret_head))
		return -EIO;
	memcpy(ret_head, ret_value->mv_data, sizeof(*ret_head));
	return 0;
}

/* Changes the references of a text by `by`; the text goes when none is left. */
static int refer_to_text(struct store_txn *txn, const uint8_t *hash, int by)
{
	MDB_val key = { 32, (void *)hash }, value, copy;
	struct text_head head;
	int r = find_text(txn, &key, &value, &head);

	if (r < 0)
		return r;
	head.references += (uint32_t)by;
	if (head.references == 0)
		return store_delete(txn, STORE_TEXTS, &key);
	copy = (MDB_val){ value.mv_size, NULL };
	/* Same size: LMDB hands back the place of the old value, in a page of this transaction with the old bytes. */
	r = store_put(txn, STORE_TEXTS, &key, &copy, MDB_RESERVE);
	if (r < 0)
		return r;
	if (copy.mv_data != value.mv_data)
		memmove(copy.mv_data, value.mv_data, value.mv_size);
	memcpy(copy.mv_data, &head, sizeof(head));
	return 0;
}

static int put_text(struct store_txn *txn, const uint8_t *hash, uint32_t bytes, const void *packed, size_t length)
{
	struct text_head head = { .references = 1, .bytes = bytes };
	MDB_val key = { 32, (void *)hash }, value = { sizeof(head) + length, NULL };
	int r = store_put(txn, STORE_TEXTS, &key, &value, MDB_RESERVE);

	if (r < 0)
		return r;
	memcpy(value.mv_data, &head, sizeof(head));
	memcpy((char *)value.mv_data + sizeof(head), packed, length);
	return 0;
}

/* The list is bounded: the entry that is now too old goes, with its text when nobody else names it. */
static int forget_oldest(struct store_txn *txn, uint32_t number, uint32_t newest)
{
	struct store_snapshot oldest;
	struct store_pair pair;
	MDB_val key;
	int r;

	if (newest <= LIMIT_SNAPSHOTS_PER_DEVICE)
		return 0;
	r = store_get_snapshot(txn, number, newest - LIMIT_SNAPSHOTS_PER_DEVICE, &oldest);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	pair = store_pair(number, oldest.n);
	key = STORE_VAL(pair);
	r = store_delete(txn, STORE_SNAPSHOTS, &key);
	return r < 0 ? r : refer_to_text(txn, oldest.hash, -1);
}

int store_add_snapshot(struct store_txn *txn, uint32_t number, const uint8_t hash[static 32], uint32_t bytes,
		       const void *packed, size_t length, int64_t now_ms, struct store_snapshot *ret_snapshot,
		       bool *ret_added)
{
	struct store_snapshot snapshot = { .bytes = bytes, .stored_bytes = (uint32_t)length, .taken_ms = now_ms,
					   .checked_ms = now_ms };
	struct store_snapshot newest = { .n = 0 };
	int r;

	r = store_confirm_snapshot(txn, number, hash, now_ms, ret_snapshot);
	if (r == 0)
		*ret_added = false;
	if (r != -ENOENT)
		return r;
	r = store_get_snapshot(txn, number, 0, &newest);
	if (r < 0 && r != -ENOENT)
		return r;
	r = store_check_room(txn, length);
	if (r < 0)
		return r;
	snapshot.n = newest.n + 1;
	memcpy(snapshot.hash, hash, sizeof(snapshot.hash));
	r = refer_to_text(txn, hash, 1);
	if (r == -ENOENT)
		r = put_text(txn, hash, bytes, packed, length);
	if (r == 0)
		r = put_snapshot(txn, number, &snapshot);
	if (r == 0)
		r = forget_oldest(txn, number, snapshot.n);
	if (r < 0) {
		txn->is_failed = true;
		return r;
	}
	*ret_snapshot = snapshot;
	*ret_added = true;
	return 0;
}

int store_get_text(struct store_txn *txn, const uint8_t hash[static 32], const void **ret_packed, size_t *ret_length,
		   uint32_t *ret_bytes)
{
	MDB_val key = { 32, (void *)hash }, value;
	struct text_head head;
	int r = find_text(txn, &key, &value, &head);

	if (r < 0)
		return r;
	*ret_packed = (const char *)value.mv_data + sizeof(head);
	*ret_length = value.mv_size - sizeof(head);
	*ret_bytes = head.bytes;
	return 0;
}
