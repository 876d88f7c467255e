/*
 * store_lmdb: what the files store_lmdb*.c share. Nobody else includes this (or lmdb.h).
 *
 * Integer keys are in host order (MDB_INTEGERKEY); pairs of numbers are big-endian, so that memcmp
 * sorts them. Values are copied in and out: LMDB aligns to 2 bytes only.
 */
#ifndef JAGA_COLLECTOR_STORE_LMDB_H
#define JAGA_COLLECTOR_STORE_LMDB_H

#include <endian.h>
#include <errno.h>
#include <lmdb.h>
#include <string.h>

#include "collector/store.h"

enum store_table {
	STORE_META,
	STORE_DEVICES,
	STORE_HELLOS,
	STORE_MARKS,
	STORE_EVENTS,
	STORE_SNAPSHOTS,
	STORE_TEXTS,
	STORE_JOBS,
	STORE_SCRIPTS,
	STORE_OUTPUTS,
	STORE_WAITING,
	STORE_N_TABLES,
};

/* Numbers handed out next; a transaction works on a copy that becomes the store's when it commits. */
struct store_counters {
	uint64_t event_id;
	uint64_t last_event_batch; /* handed out last to a batch with events */
	uint64_t job;
	uint32_t device;
	uint32_t batches_added; /* in this transaction */
};

struct store_txn {
	MDB_txn *mdb;
	struct store *store;
	struct store_counters next;
	bool is_failed;
};

struct store {
	MDB_env *env;
	MDB_dbi tables[STORE_N_TABLES];
	struct store_counters next;
	struct store_txn writer, reader;
	uint64_t bytes;
	int lock_fd;
};

/* A pair of numbers as a key: (device, n) or (device, job). */
struct store_pair {
	uint32_t first_be;
	uint32_t second_be[2];
};

static inline struct store_pair store_pair(uint32_t first, uint64_t second)
{
	uint64_t be = htobe64(second);
	struct store_pair pair = { .first_be = htobe32(first) };

	memcpy(pair.second_be, &be, sizeof(be));
	return pair;
}

static inline uint64_t store_pair_second(const struct store_pair *pair)
{
	uint64_t be;

	memcpy(&be, pair->second_be, sizeof(be));
	return be64toh(be);
}

#define STORE_VAL(object) ((MDB_val){ sizeof(object), (void *)&(object) })

/* LMDB's codes to ours. */
int store_translate(int code);
/* Reads; never mark the transaction. */
int store_get(struct store_txn *txn, enum store_table table, const MDB_val *key, MDB_val *ret_value);
/* Copies a fixed-size value out; -EIO when the stored one has another size. */
int store_get_fixed(struct store_txn *txn, enum store_table table, const MDB_val *key, void *ret, size_t size);
/* One cursor step: op MDB_SET_RANGE, MDB_LAST ... relative to *key; *key and *value become what was found. */
int store_seek(struct store_txn *txn, enum store_table table, MDB_cursor_op op, MDB_val *key, MDB_val *value);
/* The last entry before *key in the order of the table. */
int store_seek_before(struct store_txn *txn, enum store_table table, MDB_val *key, MDB_val *value);
/* Writes; a failure marks the transaction. */
int store_put(struct store_txn *txn, enum store_table table, const MDB_val *key, MDB_val *value, unsigned flags);
int store_delete(struct store_txn *txn, enum store_table table, const MDB_val *key);
/* Is there room for `bytes` of bulk beside the reserve? -ENOSPC */
int store_check_room(struct store_txn *txn, size_t bytes);
uint64_t store_table_bytes(struct store_txn *txn, enum store_table table);
/* Read at open: the numbers to hand out next. */
int store_load_event_counter(struct store_txn *txn);
int store_load_job_counter(struct store_txn *txn);
int store_load_device_counter(struct store_txn *txn);

#endif
