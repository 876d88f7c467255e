/*
 * store_lmdb: opening, transactions and the few table operations that the other store_lmdb_*.c files
 * are made of. See store.h for the tables.
 *
 * LMDB's default durability is what we promise with: mdb_txn_commit writes the new pages, calls
 * fdatasync, then writes the root through a descriptor opened with O_DSYNC. No MDB_WRITEMAP (a full
 * disk would be SIGBUS), no MDB_NOSYNC, no MDB_NOMEMINIT (heap bytes would reach the file). A failed
 * write aborts its transaction; the file keeps the last root. Only a failed write of the root itself
 * poisons the environment (MDB_PANIC): the program must then start again.
 */
#include "collector/store_lmdb.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned flags;
} tables[STORE_N_TABLES] = {
	[STORE_META] = { "meta", 0 },
	[STORE_DEVICES] = { "devices", 0 },
	[STORE_HELLOS] = { "hellos", MDB_INTEGERKEY },
	[STORE_MARKS] = { "marks", MDB_INTEGERKEY },
	[STORE_EVENTS] = { "events", MDB_INTEGERKEY },
	[STORE_SNAPSHOTS] = { "snapshots", 0 },
	[STORE_TEXTS] = { "texts", 0 },
	[STORE_JOBS] = { "jobs", MDB_INTEGERKEY },
	[STORE_SCRIPTS] = { "scripts", MDB_INTEGERKEY },
	[STORE_OUTPUTS] = { "outputs", MDB_INTEGERKEY },
	[STORE_WAITING] = { "waiting", 0 },
};

int store_translate(int code)
{
	switch (code) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_PANIC:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
		return -ENOTRECOVERABLE;
	default:
		return code > 0 ? -code : -EIO;
	}
}

/* --- opening --------------------------------------------------------------------------------- */

static int make_directory(const char *path, struct err *err)
{
	char parent[LIMIT_PATH];

	snprintf(parent, sizeof(parent), "%s", path);
	for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			return err_sys(err, -errno, "cannot make directory %s", parent);
		*slash = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "cannot make directory %s", path);
	return 0;
}

static int take_lock(const char *path, int *ret_fd, struct err *err)
{
	char lock_path[LIMIT_PATH + 16];
	int fd, r;

	snprintf(lock_path, sizeof(lock_path), "%s/collector.lock", path);
	fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, -errno, "cannot open %s", lock_path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? err_set(err, -EBUSY,
						   "another jaga-collector has the store %s open; stop it first, or give "
						   "this one another path in [store]", path)
					 : err_sys(err, -errno, "cannot lock %s", lock_path);
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int check_schema(struct store_txn *txn, struct err *err)
{
	MDB_val key = { 6, (void *)"schema" }, value;
	uint32_t schema = STORE_SCHEMA;
	int r;

	r = store_get_fixed(txn, STORE_META, &key, &schema, sizeof(schema));
	if (r == -ENOENT || (r == 0 && schema < STORE_SCHEMA)) { /* new, or older: what it holds is read as it is */
		schema = STORE_SCHEMA;
		value = STORE_VAL(schema);
		r = store_put(txn, STORE_META, &key, &value, 0);
	}
	if (r < 0)
		return err_sys(err, r, "cannot read the schema version");
	if (schema > STORE_SCHEMA)
		return err_set(err, -EPROTONOSUPPORT,
			       "made by a newer jaga-collector (schema %u, this program knows %u); run the newer program, "
			       "or give this one another path in [store]", schema, STORE_SCHEMA);
	return 0;
}

static int prepare_tables(struct store *store, struct err *err)
{
	struct store_txn *txn;
	int r;

	r = store_begin(store, &txn);
	if (r < 0)
		return err_sys(err, r, "cannot begin a transaction");
	for (unsigned i = 0; i < STORE_N_TABLES; i++) {
		r = store_translate(mdb_dbi_open(txn->mdb, tables[i].name, tables[i].flags | MDB_CREATE,
						 &store->tables[i]));
		if (r < 0) {
			err_sys(err, r, "cannot open table %s", tables[i].name);
			goto out;
		}
	}
	r = check_schema(txn, err);
	if (r < 0)
		goto out;
	r = store_load_event_counter(txn);
	if (r == 0)
		r = store_load_job_counter(txn);
	if (r == 0)
		r = store_load_device_counter(txn);
	if (r < 0)
		err_sys(err, r, "cannot read the tables");
out:
	if (r < 0) {
		store_abort(txn);
		return r;
	}
	r = store_commit(txn);
	return r < 0 ? err_sys(err, r, "cannot commit") : 0;
}

int store_open(const char *path, uint64_t bytes, struct store **ret_store, struct err *err)
{
	struct store *store;
	int r;

	store = calloc(1, sizeof(*store));
	if (!store)
		return err_sys(err, -ENOMEM, "store");
	store->lock_fd = -1;
	store->bytes = bytes;
	store->writer.store = store->reader.store = store;
	r = make_directory(path, err);
	if (r < 0)
		goto out;
	r = take_lock(path, &store->lock_fd, err);
	if (r < 0)
		goto out;
	r = store_translate(mdb_env_create(&store->env));
	if (r == 0)
		r = store_translate(mdb_env_set_mapsize(store->env, bytes));
	if (r == 0)
		r = store_translate(mdb_env_set_maxdbs(store->env, LIMIT_STORE_TABLES));
	if (r == 0)
		r = store_translate(mdb_env_set_maxreaders(store->env, LIMIT_STORE_READERS));
	if (r == 0)
		r = store_translate(mdb_env_open(store->env, path, MDB_NOTLS | MDB_NORDAHEAD, 0600));
	if (r < 0) {
		err_sys(err, r, "cannot open");
		goto out;
	}
	r = prepare_tables(store, err);
	if (r < 0)
		goto out;
	*ret_store = store;
	store = NULL;
out:
	if (r < 0)
		err_prefix(err, "store %s: ", path);
	store_close(store);
	return r;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->reader.mdb)
		mdb_txn_abort(store->reader.mdb);
	if (store->env)
		mdb_env_close(store->env);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	free(store);
}

/* --- transactions ---------------------------------------------------------------------------- */

int store_begin(struct store *store, struct store_txn **ret_txn)
{
	struct store_txn *txn = &store->writer;
	int r = store_translate(mdb_txn_begin(store->env, NULL, 0, &txn->mdb));

	if (r < 0)
		return r;
	txn->next = store->next;
	txn->next.batches_added = 0;
	txn->is_failed = false;
	*ret_txn = txn;
	return 0;
}

int store_commit(struct store_txn *txn)
{
	int r = store_translate(mdb_txn_commit(txn->mdb));

	txn->mdb = NULL;
	if (r == 0)
		txn->store->next = txn->next;
	return r;
}

void store_abort(struct store_txn *txn)
{
	mdb_txn_abort(txn->mdb);
	txn->mdb = NULL;
}

bool store_txn_failed(const struct store_txn *txn)
{
	return txn->is_failed;
}

int store_read_begin(struct store *store, struct store_txn **ret_txn)
{
	struct store_txn *txn = &store->reader;
	int r;

	/* The reader's slot is kept between transactions: renewing costs no system call. */
	r = txn->mdb ? mdb_txn_renew(txn->mdb) : mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn->mdb);
	if (r != 0)
		return store_translate(r);
	*ret_txn = txn;
	return 0;
}

void store_read_end(struct store_txn *txn)
{
	mdb_txn_reset(txn->mdb);
}

/* --- table operations ------------------------------------------------------------------------ */

int store_get(struct store_txn *txn, enum store_table table, const MDB_val *key, MDB_val *ret_value)
{
	return store_translate(mdb_get(txn->mdb, txn->store->tables[table], (MDB_val *)key, ret_value));
}

int store_get_fixed(struct store_txn *txn, enum store_table table, const MDB_val *key, void *ret, size_t size)
{
	MDB_val value;
	int r = store_get(txn, table, key, &value);

	if (r < 0)
		return r;
	if (value.mv_size != size)
		return -EIO;
	memcpy(ret, value.mv_data, size);
	return 0;
}

int store_seek(struct store_txn *txn, enum store_table table, MDB_cursor_op op, MDB_val *key, MDB_val *value)
{
	MDB_cursor *cursor;
	int r;

	r = mdb_cursor_open(txn->mdb, txn->store->tables[table], &cursor);
	if (r == 0) {
		r = mdb_cursor_get(cursor, key, value, op);
		mdb_cursor_close(cursor);
	}
	return store_translate(r);
}

int store_seek_before(struct store_txn *txn, enum store_table table, MDB_val *key, MDB_val *value)
{
	MDB_cursor *cursor;
	int r;

	r = mdb_cursor_open(txn->mdb, txn->store->tables[table], &cursor);
	if (r != 0)
		return store_translate(r);
	r = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (r == 0)
		r = mdb_cursor_get(cursor, key, value, MDB_PREV);
	else if (r == MDB_NOTFOUND)
		r = mdb_cursor_get(cursor, key, value, MDB_LAST);
	mdb_cursor_close(cursor);
	return store_translate(r);
}

int store_put(struct store_txn *txn, enum store_table table, const MDB_val *key, MDB_val *value, unsigned flags)
{
	int r = store_translate(mdb_put(txn->mdb, txn->store->tables[table], (MDB_val *)key, value, flags));

	if (r < 0)
		txn->is_failed = true;
	return r;
}

int store_delete(struct store_txn *txn, enum store_table table, const MDB_val *key)
{
	int r = store_translate(mdb_del(txn->mdb, txn->store->tables[table], (MDB_val *)key, NULL));

	if (r < 0 && r != -ENOENT)
		txn->is_failed = true;
	return r;
}

uint64_t store_table_bytes(struct store_txn *txn, enum store_table table)
{
	MDB_stat stat;

	if (mdb_stat(txn->mdb, txn->store->tables[table], &stat) != 0)
		return 0;
	return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * (uint64_t)stat.ms_psize;
}

int store_read_usage(struct store_txn *txn, struct store_usage *ret_usage)
{
	struct store_usage usage = { .size_bytes = txn->store->bytes };
	MDB_stat events, texts;
	int r;

	r = mdb_stat(txn->mdb, txn->store->tables[STORE_EVENTS], &events);
	if (r == 0)
		r = mdb_stat(txn->mdb, txn->store->tables[STORE_TEXTS], &texts);
	if (r != 0)
		return store_translate(r);
	for (unsigned i = 0; i < STORE_N_TABLES; i++)
		usage.used_bytes += store_table_bytes(txn, i);
	usage.event_bytes = store_table_bytes(txn, STORE_EVENTS);
	usage.batches = events.ms_entries;
	usage.texts = texts.ms_entries;
	*ret_usage = usage;
	return 0;
}

int store_check_room(struct store_txn *txn, size_t bytes)
{
	struct store_usage usage;
	uint64_t reserve = txn->store->bytes / 1000 * LIMIT_STORE_RESERVE_PERMILLE;
	int r = store_read_usage(txn, &usage);

	if (r < 0)
		return r;
	return usage.used_bytes + bytes + reserve > usage.size_bytes ? -ENOSPC : 0;
}
