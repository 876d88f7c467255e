/*
 * store_lmdb_devices: who may speak to the collector, and what each device said of itself last.
 * A device is never deleted: its number names its history. Removing it erases its key.
 */
#include "collector/store_lmdb.h"

static MDB_val name_key(const char *name)
{
	return (MDB_val){ strnlen(name, LIMIT_NAME), (void *)name };
}

static int put_device(struct store_txn *txn, const struct store_device *device)
{
	MDB_val key = name_key(device->name), value = STORE_VAL(*device);

	return store_put(txn, STORE_DEVICES, &key, &value, 0);
}

int store_enroll_device(struct store_txn *txn, struct store_device *device, bool replace)
{
	MDB_val key = name_key(device->name);
	struct store_device known;
	int r;

	r = store_get_fixed(txn, STORE_DEVICES, &key, &known, sizeof(known));
	if (r == 0 && known.has_key && !replace)
		r = -EEXIST;
	if (r == -ENOENT) {
		if (txn->next.device > LIMIT_DEVICES)
			return -EDQUOT;
		device->number = txn->next.device;
	} else if (r < 0) {
		goto out;
	} else {
		device->number = known.number;
	}
	device->has_key = 1;
	r = put_device(txn, device);
	if (r == 0 && device->number == txn->next.device)
		txn->next.device++;
out:
	explicit_bzero(&known, sizeof(known));
	return r;
}

int store_remove_device(struct store_txn *txn, const char *name)
{
	MDB_val key = name_key(name);
	struct store_device device;
	int r;

	r = store_get_fixed(txn, STORE_DEVICES, &key, &device, sizeof(device));
	if (r < 0)
		return r;
	explicit_bzero(device.key, sizeof(device.key));
	device.has_key = 0;
	return put_device(txn, &device);
}

int store_visit_devices(struct store_txn *txn, int (*visit)(void *arg, const struct store_device *device), void *arg)
{
	struct store_device device;
	MDB_cursor *cursor;
	MDB_val key, value;
	int r;

	r = store_translate(mdb_cursor_open(txn->mdb, txn->store->tables[STORE_DEVICES], &cursor));
	if (r < 0)
		return r;
	for (r = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); r == 0;
	     r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		if (value.mv_size != sizeof(device)) {
			r = -EIO;
			goto out;
		}
		memcpy(&device, value.mv_data, sizeof(device));
		r = visit(arg, &device);
		if (r != 0)
			goto out;
	}
	r = r == MDB_NOTFOUND ? 0 : store_translate(r);
out:
	mdb_cursor_close(cursor);
	explicit_bzero(&device, sizeof(device));
	return r;
}

static int note_highest(void *arg, const struct store_device *device)
{
	struct store_counters *next = arg;

	if (device->number >= next->device)
		next->device = device->number + 1;
	return 0;
}

int store_load_device_counter(struct store_txn *txn)
{
	txn->next.device = 1;
	return store_visit_devices(txn, note_highest, &txn->next);
}

int store_put_hello(struct store_txn *txn, uint32_t number, int64_t received_ms, const void *bytes, size_t length)
{
	MDB_val key = STORE_VAL(number), value = { sizeof(received_ms) + length, NULL };
	int r = store_put(txn, STORE_HELLOS, &key, &value, MDB_RESERVE);

	if (r < 0)
		return r;
	memcpy(value.mv_data, &received_ms, sizeof(received_ms));
	memcpy((char *)value.mv_data + sizeof(received_ms), bytes, length);
	return 0;
}

int store_get_hello(struct store_txn *txn, uint32_t number, int64_t *ret_received_ms, const void **ret_bytes,
		    size_t *ret_length)
{
	MDB_val key = STORE_VAL(number), value;
	int r = store_get(txn, STORE_HELLOS, &key, &value);

	if (r < 0)
		return r;
	if (value.mv_size < sizeof(*ret_received_ms))
		return -EIO;
	memcpy(ret_received_ms, value.mv_data, sizeof(*ret_received_ms));
	*ret_bytes = (const char *)value.mv_data + sizeof(*ret_received_ms);
	*ret_length = value.mv_size - sizeof(*ret_received_ms);
	return 0;
}
