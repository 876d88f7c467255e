/*
 * store_lmdb_jobs: jobs, with script and output beside them so that a change of state rewrites half a
 * kilobyte and not the script. `waiting` lists the unfinished jobs of each device in order.
 */
#include <stddef.h>

#include "collector/store_lmdb.h"

#define JOB_BYTES_OF_SCHEMA_1 offsetof(struct store_job, confirm_s)

/* What a record does not have yet is zero, which is what it meant. */
static int read_job(const MDB_val *value, struct store_job *ret_job)
{
	if (value->mv_size != sizeof(*ret_job) && value->mv_size != JOB_BYTES_OF_SCHEMA_1)
		return -EIO;
	memset(ret_job, 0, sizeof(*ret_job));
	memcpy(ret_job, value->mv_data, value->mv_size);
	return 0;
}

int store_load_job_counter(struct store_txn *txn)
{
	struct store_job job;
	int r = store_find_job_before(txn, UINT64_MAX, &job);

	if (r == -ENOENT) {
		txn->next.job = 1;
		return 0;
	}
	if (r == 0)
		txn->next.job = job.number + 1;
	return r;
}

static int put_job(struct store_txn *txn, const struct store_job *job)
{
	struct store_pair pair = store_pair(job->device_number, job->number);
	MDB_val key = STORE_VAL(job->number), value = STORE_VAL(*job);
	MDB_val waiting = STORE_VAL(pair), nothing = { 0, (void *)"" };
	int r;

	r = store_put(txn, STORE_JOBS, &key, &value, 0);
	if (r < 0)
		return r;
	if (!job->is_final)
		return store_put(txn, STORE_WAITING, &waiting, &nothing, 0);
	r = store_delete(txn, STORE_WAITING, &waiting);
	return r == -ENOENT ? 0 : r;
}

/* The oldest job that is final. -ENOENT: every job still waits. */
static int find_oldest_final(struct store_txn *txn, struct store_job *ret_job)
{
	uint64_t number = 0;

	do {
		MDB_val key = STORE_VAL(number), value;
		int r = store_seek(txn, STORE_JOBS, MDB_SET_RANGE, &key, &value);

		if (r < 0)
			return r;
		r = read_job(&value, ret_job);
		if (r < 0)
			return r;
		number = ret_job->number + 1;
	} while (!ret_job->is_final);
	return 0;
}

/*
 * The number of jobs is bounded: makes room by deleting the oldest final one. Jobs of a device that is
 * gone may wait for ever; they are passed over.
 */
static int forget_oldest(struct store_txn *txn)
{
	struct store_job job;
	MDB_stat stat;
	MDB_val key = STORE_VAL(job.number);
	int r;

	r = store_translate(mdb_stat(txn->mdb, txn->store->tables[STORE_JOBS], &stat));
	if (r < 0 || stat.ms_entries < LIMIT_JOBS)
		return r;
	r = find_oldest_final(txn, &job);
	if (r < 0)
		return r == -ENOENT ? -EDQUOT : r;
	r = store_delete(txn, STORE_SCRIPTS, &key);
	if (r == 0 || r == -ENOENT)
		r = store_delete(txn, STORE_OUTPUTS, &key);
	if (r == 0 || r == -ENOENT)
		r = store_delete(txn, STORE_JOBS, &key);
	return r;
}

int store_add_job(struct store_txn *txn, struct store_job *job, const void *script, size_t length)
{
	MDB_val key = STORE_VAL(job->number), value = { length, (void *)script };
	int r;

	r = store_check_room(txn, length + LIMIT_OUTPUT_BYTES);
	if (r == 0)
		r = forget_oldest(txn);
	if (r < 0)
		return r;
	if (txn->next.job <= job->number)
		txn->next.job = job->number + 1;
	job->number = txn->next.job;
	r = store_put(txn, STORE_SCRIPTS, &key, &value, 0);
	if (r == 0)
		r = put_job(txn, job);
	if (r == 0)
		txn->next.job++;
	return r;
}

int store_update_job(struct store_txn *txn, const struct store_job *job, const void *output, size_t length)
{
	MDB_val key = STORE_VAL(job->number), value = { length, (void *)output };
	int r = 0;

	if (output)
		r = store_put(txn, STORE_OUTPUTS, &key, &value, 0);
	return r < 0 ? r : put_job(txn, job);
}

int store_get_job(struct store_txn *txn, uint64_t number, struct store_job *ret_job)
{
	MDB_val key = STORE_VAL(number), value;
	int r = store_get(txn, STORE_JOBS, &key, &value);

	return r < 0 ? r : read_job(&value, ret_job);
}

static int get_bytes(struct store_txn *txn, enum store_table table, uint64_t number, const void **ret_bytes,
		     size_t *ret_length)
{
	MDB_val key = STORE_VAL(number), value;
	int r = store_get(txn, table, &key, &value);

	if (r < 0)
		return r;
	*ret_bytes = value.mv_data;
	*ret_length = value.mv_size;
	return 0;
}

int store_get_script(struct store_txn *txn, uint64_t number, const void **ret_bytes, size_t *ret_length)
{
	return get_bytes(txn, STORE_SCRIPTS, number, ret_bytes, ret_length);
}

int store_get_output(struct store_txn *txn, uint64_t number, const void **ret_bytes, size_t *ret_length)
{
	return get_bytes(txn, STORE_OUTPUTS, number, ret_bytes, ret_length);
}

int store_find_job_before(struct store_txn *txn, uint64_t number, struct store_job *ret_job)
{
	MDB_val key = STORE_VAL(number), value;
	int r = store_seek_before(txn, STORE_JOBS, &key, &value);

	return r < 0 ? r : read_job(&value, ret_job);
}

int store_find_waiting_job(struct store_txn *txn, uint32_t device_number, uint64_t after, struct store_job *ret_job)
{
	struct store_pair pair = store_pair(device_number, after + 1);
	MDB_val key = STORE_VAL(pair), value;
	int r;

	if (after == UINT64_MAX)
		return -ENOENT;
	r = store_seek(txn, STORE_WAITING, MDB_SET_RANGE, &key, &value);
	if (r < 0)
		return r;
	if (key.mv_size != sizeof(pair))
		return -EIO;
	memcpy(&pair, key.mv_data, sizeof(pair));
	if (be32toh(pair.first_be) != device_number)
		return -ENOENT;
	return store_get_job(txn, store_pair_second(&pair), ret_job);
}
