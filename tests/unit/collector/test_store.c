/* store: deduplication, chains, trimming, shared texts, jobs, schema and lock. */
#include "tests/unit/collector/rig.h"

#include <lmdb.h>
#include <sys/stat.h>

struct bench {
	char directory[64];
	struct store *store;
};

static void open_store(struct bench *bench, uint64_t bytes)
{
	struct err err = { "" };

	assert_int_equal(store_open(bench->directory, bytes, &bench->store, &err), 0);
}

static int set_up(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	strcpy(bench->directory, "/tmp/jaga-store-XXXXXX");
	assert_non_null(mkdtemp(bench->directory));
	open_store(bench, 4 << 20);
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	store_close(bench->store);
	rig_remove_directory(bench->directory);
	free(bench);
	return 0;
}

static void reopen(struct bench *bench)
{
	store_close(bench->store);
	open_store(bench, 4 << 20);
}

static struct store_txn *begin(struct bench *bench)
{
	struct store_txn *txn;

	assert_int_equal(store_begin(bench->store, &txn), 0);
	return txn;
}

/* Stores a batch of the boot named by its first byte; returns the id, 0 for a duplicate. */
static uint64_t add(struct store_txn *txn, uint32_t device, uint8_t boot, uint64_t seq_to, uint8_t n_events,
		    uint64_t *ret_seq)
{
	struct store_telemetry telemetry = { .device_number = device, .n_records = 2, .n_events = n_events, .seq_to = seq_to,
					     .received_ms = 5000, .body = (const uint8_t *)"bytes", .length = 5,
					     .boot_id = { boot } };
	uint64_t id;

	assert_int_equal(store_add_telemetry(txn, &telemetry, &id, ret_seq), 0);
	return id;
}

static void test_batch_is_stored_once(void **state)
{
	struct bench *bench = *state;
	struct store_txn *txn = begin(bench);
	struct store_batch batch;
	uint64_t seq;

	assert_int_equal(add(txn, 1, 'a', 5, 2, &seq), 1);
	assert_int_equal(seq, 5);
	assert_int_equal(add(txn, 1, 'a', 5, 2, &seq), 0);
	assert_int_equal(seq, 5);
	assert_int_equal(add(txn, 1, 'a', 3, 2, &seq), 0); /* late: Ack says what is stored */
	assert_int_equal(seq, 5);
	assert_int_equal(add(txn, 1, 'a', 8, 2, &seq), 3); /* overlaps: the reader skips up to 5 */
	assert_int_equal(store_get_batch(txn, 3, &batch), 0);
	assert_int_equal(batch.skip_seq, 5);
	assert_int_equal(batch.length, 5);
	assert_memory_equal(batch.body, "bytes", 5);
	assert_int_equal(add(txn, 1, 'b', 1, 2, &seq), 5); /* another start of the agent counts from the beginning */
	assert_int_equal(seq, 1);
	assert_int_equal(add(txn, 2, 'a', 5, 2, &seq), 7); /* another device */
	assert_int_equal(store_commit(txn), 0);
}

static void test_dedup_survives_restart_but_not_abort(void **state)
{
	struct bench *bench = *state;
	struct store_txn *txn = begin(bench);
	uint64_t seq;

	assert_int_equal(add(txn, 1, 'a', 5, 1, &seq), 1);
	assert_int_equal(store_commit(txn), 0);
	txn = begin(bench);
	assert_int_equal(add(txn, 1, 'a', 9, 1, &seq), 3);
	store_abort(txn);
	reopen(bench);
	txn = begin(bench);
	assert_int_equal(add(txn, 1, 'a', 5, 1, &seq), 0);
	assert_int_equal(add(txn, 1, 'a', 9, 1, &seq), 3); /* the id of the aborted one, and no duplicate */
	assert_int_equal(store_commit(txn), 0);
}

static void test_chains_lead_back(void **state)
{
	struct bench *bench = *state;
	struct store_txn *txn = begin(bench);
	struct store_batch batch;
	struct store_mark mark;
	uint64_t seq;

	add(txn, 1, 'a', 2, 1, &seq);  /* id 1, events */
	add(txn, 2, 'a', 2, 1, &seq);  /* id 3, events */
	add(txn, 1, 'a', 4, 0, &seq);  /* id 5, samples only */
	add(txn, 1, 'a', 6, 1, &seq);  /* id 7, events */
	assert_int_equal(store_commit(txn), 0);
	reopen(bench);
	txn = begin(bench);
	assert_int_equal(store_get_mark(txn, 1, &mark), 0);
	assert_int_equal(mark.last_id, 7);
	assert_int_equal(mark.last_event_id, 7);
	assert_int_equal(store_get_batch(txn, 7, &batch), 0);
	assert_int_equal(batch.previous, 5);
	assert_int_equal(batch.previous_event, 1);
	assert_int_equal(batch.previous_event_of_any, 3);
	assert_int_equal(store_find_batch_from(txn, 6, &batch), 0);
	assert_int_equal(batch.id, 7);
	assert_int_equal(store_find_batch_from(txn, 8, &batch), -ENOENT);
	add(txn, 2, 'a', 4, 0, &seq); /* id 9: the counter after the reopening knew of 7 */
	assert_int_equal(store_get_batch(txn, 9, &batch), 0);
	assert_int_equal(batch.previous_event_of_any, 7);
	store_abort(txn);
}

static void test_full_log_drops_oldest(void **state)
{
	struct bench *bench = *state;
	struct store_usage usage;
	struct store_batch batch;
	struct store_txn *txn;
	uint64_t seq = 0, last = 0;

	for (unsigned group = 0; group < 2000; group++) {
		txn = begin(bench);
		for (unsigned i = 0; i < 20; i++)
			last = add(txn, 1, 'a', ++seq, 1, &(uint64_t){ 0 });
		assert_int_equal(store_trim_events(txn), 0);
		assert_int_equal(store_commit(txn), 0);
	}
	txn = begin(bench);
	assert_int_equal(store_read_usage(txn, &usage), 0);
	assert_true(usage.event_bytes <= (4 << 20) / 2 + 65536);
	assert_true(usage.batches > 1000);
	assert_int_equal(store_find_last_batch(txn, &batch), 0);
	assert_int_equal(batch.id, last);
	assert_int_equal(store_find_batch_from(txn, 0, &batch), 0);
	assert_true(batch.id > 1);
	assert_int_equal(store_get_batch(txn, batch.previous, &batch), -ENOENT);
	store_abort(txn);
}

static void test_map_full_keeps_what_was_committed(void **state)
{
	struct bench *bench = *state;
	struct store_txn *txn = begin(bench);
	uint64_t seq, id;
	int r = 0;

	add(txn, 1, 'a', 1, 1, &seq);
	assert_int_equal(store_commit(txn), 0);
	txn = begin(bench);
	for (unsigned i = 0; i < 100000 && r == 0; i++)
		r = store_add_event(txn, 1, STORE_BATCH_ONLINE, 1, "some text that takes room in the store", &id);
	assert_int_equal(r, -ENOSPC);
	assert_true(store_txn_failed(txn));
	store_abort(txn);
	txn = begin(bench);
	assert_false(store_txn_failed(txn));
	assert_int_equal(add(txn, 1, 'a', 1, 1, &seq), 0);
	assert_int_equal(add(txn, 1, 'a', 2, 1, &seq), 3);
	assert_int_equal(store_commit(txn), 0);
}

static int count_device(void *arg, const struct store_device *device)
{
	(void)device;
	++*(unsigned *)arg;
	return 0;
}

static void test_devices(void **state)
{
	struct bench *bench = *state;
	struct store_device one = { .name = "one", .key = { 9 } }, two = { .name = "two" };
	struct store_txn *txn = begin(bench);
	const void *bytes;
	int64_t received;
	unsigned n = 0;
	size_t length;

	assert_int_equal(store_enroll_device(txn, &one, false), 0);
	assert_int_equal(store_enroll_device(txn, &two, false), 0);
	assert_int_equal(one.number, 1);
	assert_int_equal(two.number, 2);
	assert_int_equal(store_enroll_device(txn, &one, false), -EEXIST);
	assert_int_equal(store_enroll_device(txn, &one, true), 0);
	assert_int_equal(one.number, 1);
	assert_int_equal(store_remove_device(txn, "one"), 0);
	assert_int_equal(store_remove_device(txn, "none"), -ENOENT);
	assert_int_equal(store_enroll_device(txn, &one, false), 0); /* removed: may come back, as itself */
	assert_int_equal(one.number, 1);
	assert_int_equal(store_put_hello(txn, 2, 77, "hello", 5), 0);
	assert_int_equal(store_commit(txn), 0);
	reopen(bench);
	txn = begin(bench);
	assert_int_equal(store_visit_devices(txn, count_device, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(store_get_hello(txn, 2, &received, &bytes, &length), 0);
	assert_int_equal(received, 77);
	assert_int_equal(length, 5);
	strcpy(two.name, "three");
	assert_int_equal(store_enroll_device(txn, &two, false), 0);
	assert_int_equal(two.number, 3); /* numbers are never used again */
	store_abort(txn);
}

static void add_snapshot(struct store_txn *txn, uint32_t device, uint8_t hash, bool added, uint32_t n)
{
	struct store_snapshot snapshot;
	uint8_t whole[32] = { hash };
	bool is_added;

	assert_int_equal(store_add_snapshot(txn, device, whole, 100, "packed", 6, 10, &snapshot, &is_added), 0);
	assert_int_equal(is_added, added);
	assert_int_equal(snapshot.n, n);
}

static void test_snapshots_share_texts(void **state)
{
	struct bench *bench = *state;
	struct store_txn *txn = begin(bench);
	struct store_snapshot snapshot;
	struct store_usage usage;
	uint8_t a[32] = { 'a' }, b[32] = { 'b' };
	const void *packed;
	uint32_t bytes;
	size_t length;

	add_snapshot(txn, 1, 'a', true, 1);
	add_snapshot(txn, 1, 'a', false, 1);
	add_snapshot(txn, 1, 'b', true, 2);
	add_snapshot(txn, 1, 'a', true, 3);
	add_snapshot(txn, 2, 'a', true, 1);
	assert_int_equal(store_read_usage(txn, &usage), 0);
	assert_int_equal(usage.texts, 2);
	/* "have it" is about this device's newest only. */
	assert_int_equal(store_confirm_snapshot(txn, 1, a, 99, &snapshot), 0);
	assert_int_equal(snapshot.n, 3);
	assert_int_equal(snapshot.checked_ms, 99);
	assert_int_equal(store_confirm_snapshot(txn, 1, b, 99, &snapshot), -ENOENT);
	assert_int_equal(store_confirm_snapshot(txn, 3, a, 99, &snapshot), -ENOENT);
	assert_int_equal(store_get_snapshot(txn, 1, 2, &snapshot), 0);
	assert_memory_equal(snapshot.hash, b, 32);
	assert_int_equal(store_get_snapshot(txn, 1, 4, &snapshot), -ENOENT);
	assert_int_equal(store_find_snapshot_from(txn, 1, 3, &snapshot), 0);
	assert_int_equal(store_find_snapshot_from(txn, 1, 4, &snapshot), -ENOENT);
	assert_int_equal(store_get_text(txn, a, &packed, &length, &bytes), 0);
	assert_int_equal(bytes, 100);
	assert_memory_equal(packed, "packed", 6);
	assert_int_equal(store_commit(txn), 0);
}

static void test_old_snapshots_go_with_their_texts(void **state)
{
	struct bench *bench = *state;
	struct store_snapshot snapshot;
	struct store_usage usage;
	struct store_txn *txn = begin(bench);
	bool is_added;

	for (uint32_t i = 1; i <= LIMIT_SNAPSHOTS_PER_DEVICE + 3; i++) {
		uint8_t hash[32];

		memset(hash, 0, sizeof(hash));
		memcpy(hash, &i, sizeof(i));
		assert_int_equal(store_add_snapshot(txn, 1, hash, 1, "p", 1, 10, &snapshot, &is_added), 0);
	}
	assert_int_equal(store_read_usage(txn, &usage), 0);
	assert_int_equal(usage.texts, LIMIT_SNAPSHOTS_PER_DEVICE);
	assert_int_equal(store_find_snapshot_from(txn, 1, 0, &snapshot), 0);
	assert_int_equal(snapshot.n, 4);
	store_abort(txn);
}

static void test_bulk_is_refused_before_the_reserve(void **state)
{
	struct bench *bench = *state;
	struct store_snapshot snapshot;
	struct store_txn *txn;
	static uint8_t packed[300000];
	bool is_added;
	int r = 0;

	for (uint8_t i = 1; i < 30 && r == 0; i++) {
		uint8_t hash[32] = { i };

		txn = begin(bench);
		r = store_add_snapshot(txn, 1, hash, 1, packed, sizeof(packed), 10, &snapshot, &is_added);
		assert_false(store_txn_failed(txn)); /* a refusal, not a failure: others of the group go on */
		assert_int_equal(store_commit(txn), 0);
	}
	assert_int_equal(r, -ENOSPC);
}

static void test_jobs(void **state)
{
	struct bench *bench = *state;
	struct store_job job = { .device_number = 2, .phase = 1, .name = "a.sh" }, found;
	struct store_txn *txn = begin(bench);
	const void *bytes;
	size_t length;

	assert_int_equal(store_add_job(txn, &job, "echo", 4), 0);
	assert_int_equal(job.number, 1);
	assert_int_equal(store_add_job(txn, &job, "true", 4), 0);
	job.device_number = 3;
	assert_int_equal(store_add_job(txn, &job, "false", 5), 0);
	assert_int_equal(store_find_waiting_job(txn, 2, 0, &found), 0);
	assert_int_equal(found.number, 1);
	assert_int_equal(store_find_waiting_job(txn, 2, 1, &found), 0);
	assert_int_equal(found.number, 2);
	assert_int_equal(store_find_waiting_job(txn, 2, 2, &found), -ENOENT);
	assert_int_equal(store_find_waiting_job(txn, 2, UINT64_MAX, &found), -ENOENT);
	found.is_final = 1;
	assert_int_equal(store_update_job(txn, &found, "out", 3), 0);
	assert_int_equal(store_find_waiting_job(txn, 2, 1, &found), -ENOENT);
	assert_int_equal(store_get_output(txn, 2, &bytes, &length), 0);
	assert_memory_equal(bytes, "out", 3);
	assert_int_equal(store_get_output(txn, 1, &bytes, &length), -ENOENT);
	assert_int_equal(store_get_script(txn, 3, &bytes, &length), 0);
	assert_memory_equal(bytes, "false", 5);
	assert_int_equal(store_find_job_before(txn, UINT64_MAX, &found), 0);
	assert_int_equal(found.number, 3);
	assert_int_equal(store_find_job_before(txn, 1, &found), -ENOENT);
	assert_int_equal(store_commit(txn), 0);
	reopen(bench);
	txn = begin(bench);
	assert_int_equal(store_add_job(txn, &job, "x", 1), 0);
	assert_int_equal(job.number, 4);
	store_abort(txn);
}

/* The oldest job waits for a device that is gone: another one makes room. */
static void test_unfinished_jobs_do_not_block_the_others(void **state)
{
	struct bench *bench = *state;
	struct store_job job = { .device_number = 2, .phase = 1, .name = "a.sh" };
	struct store_txn *txn;

	store_close(bench->store);
	open_store(bench, 256 << 20);
	txn = begin(bench);
	for (unsigned i = 0; i < LIMIT_JOBS; i++)
		assert_int_equal(store_add_job(txn, &job, "echo", 4), 0);
	assert_int_equal(store_add_job(txn, &job, "echo", 4), -EDQUOT);
	assert_int_equal(store_get_job(txn, 3, &job), 0);
	job.is_final = 1;
	assert_int_equal(store_update_job(txn, &job, NULL, 0), 0);
	job.is_final = 0;
	assert_int_equal(store_add_job(txn, &job, "echo", 4), 0);
	assert_int_equal(store_get_job(txn, 3, &job), -ENOENT);
	assert_int_equal(store_get_job(txn, 1, &job), 0);
	assert_int_equal(store_commit(txn), 0);
}

static void test_second_opening_is_refused(void **state)
{
	struct bench *bench = *state;
	struct store *second = NULL;
	struct err err = { "" };

	assert_int_equal(store_open(bench->directory, 4 << 20, &second, &err), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(err.text, bench->directory));
	assert_non_null(strstr(err.text, "another jaga-collector"));
}

static MDB_txn *begin_raw(const struct bench *bench, MDB_env **ret_env)
{
	MDB_txn *txn;

	assert_int_equal(mdb_env_create(ret_env), 0);
	assert_int_equal(mdb_env_set_maxdbs(*ret_env, 4), 0);
	assert_int_equal(mdb_env_open(*ret_env, bench->directory, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(*ret_env, NULL, 0, &txn), 0);
	return txn;
}

/* Before jobs could be confirmed their records were shorter: such a store opens, and an older program no longer reads it. */
static void test_a_store_of_schema_1(void **state)
{
	struct bench *bench = *state;
	struct store_job job = { .number = 5, .device_number = 2, .phase = 1, .script_bytes = 4, .name = "old.sh", .reason = "r" };
	struct store_job found;
	uint32_t schema = 1;
	uint64_t number = 5;
	MDB_val meta = { 6, (void *)"schema" }, meta_value = { sizeof(schema), &schema };
	MDB_val key = { sizeof(number), &number }, value = { 312, &job };
	struct store_txn *txn;
	MDB_env *env;
	MDB_txn *raw;
	MDB_dbi dbi;

	store_close(bench->store);
	raw = begin_raw(bench, &env);
	assert_int_equal(mdb_dbi_open(raw, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_put(raw, dbi, &meta, &meta_value, 0), 0);
	assert_int_equal(mdb_dbi_open(raw, "jobs", MDB_INTEGERKEY, &dbi), 0);
	assert_int_equal(mdb_put(raw, dbi, &key, &value, 0), 0);
	assert_int_equal(mdb_txn_commit(raw), 0);
	mdb_env_close(env);

	open_store(bench, 4 << 20);
	txn = begin(bench);
	assert_int_equal(store_get_job(txn, 5, &found), 0);
	assert_memory_equal(&found, &job, sizeof(job)); /* confirm_s and what follows: 0 */
	assert_int_equal(store_find_job_before(txn, UINT64_MAX, &found), 0);
	assert_int_equal(found.number, 5);
	found.confirm_s = 90; /* written anew it is as long as all others */
	assert_int_equal(store_update_job(txn, &found, NULL, 0), 0);
	assert_int_equal(store_find_waiting_job(txn, 2, 0, &found), 0);
	assert_int_equal(found.confirm_s, 90);
	assert_int_equal(store_add_job(txn, &job, "echo", 4), 0);
	assert_int_equal(job.number, 6);
	assert_int_equal(store_commit(txn), 0);
	store_close(bench->store);
	bench->store = NULL;

	raw = begin_raw(bench, &env);
	assert_int_equal(mdb_dbi_open(raw, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_get(raw, dbi, &meta, &meta_value), 0);
	assert_memory_equal(meta_value.mv_data, &(uint32_t){ STORE_SCHEMA }, sizeof(schema));
	mdb_txn_abort(raw);
	mdb_env_close(env);
}

static void test_newer_schema_is_refused(void **state)
{
	struct bench *bench = *state;
	struct store *store = NULL;
	struct err err = { "" };
	uint32_t schema = STORE_SCHEMA + 1;
	MDB_val key = { 6, (void *)"schema" }, value = { sizeof(schema), &schema };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	store_close(bench->store);
	bench->store = NULL;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
	assert_int_equal(mdb_env_open(env, bench->directory, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	assert_int_equal(store_open(bench->directory, 4 << 20, &store, &err), -EPROTONOSUPPORT);
	assert_null(store);
	assert_non_null(strstr(err.text, "newer jaga-collector"));
}

static void test_files_are_private(void **state)
{
	struct bench *bench = *state;
	char path[128];
	struct stat stat_buf;

	snprintf(path, sizeof(path), "%s/data.mdb", bench->directory);
	assert_int_equal(stat(path, &stat_buf), 0);
	assert_int_equal(stat_buf.st_mode & 0777, 0600);
	assert_int_equal(stat(bench->directory, &stat_buf), 0);
	assert_int_equal(stat_buf.st_mode & 0777, 0700);
}

static void test_unusable_path(void **state)
{
	struct store *store = NULL;
	struct err err = { "" };

	(void)state;
	assert_true(store_open("/proc/nowhere/store", 4 << 20, &store, &err) < 0);
	assert_null(store);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_batch_is_stored_once),
		TEST(test_dedup_survives_restart_but_not_abort),
		TEST(test_chains_lead_back),
		TEST(test_full_log_drops_oldest),
		TEST(test_map_full_keeps_what_was_committed),
		TEST(test_devices),
		TEST(test_snapshots_share_texts),
		TEST(test_old_snapshots_go_with_their_texts),
		TEST(test_bulk_is_refused_before_the_reserve),
		TEST(test_jobs),
		TEST(test_unfinished_jobs_do_not_block_the_others),
		TEST(test_second_opening_is_refused),
		TEST(test_a_store_of_schema_1),
		TEST(test_newer_schema_is_refused),
		TEST(test_files_are_private),
		cmocka_unit_test(test_unusable_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
