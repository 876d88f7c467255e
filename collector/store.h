/*
 * store: the port to what the collector keeps on disk. One writer thread, short read transactions on
 * the loop. store_lmdb*.c is the implementation; another store is another set of files to link.
 *
 *   table      key                       value
 *   meta       "schema"                  u32
 *   devices    name                      store_device (its key included: the directory is 0700, the file 0600)
 *   hellos     device number             received_ms, packed Hello
 *   marks      device number             store_mark: what was stored last for this device
 *   events     id of the first record    store_batch head, TelemetryBatch as received (or text, see kind)
 *   snapshots  device number, n          store_snapshot
 *   texts      SHA-256                   references, length, zstd of the canonical text
 *   jobs       job number                store_job; those of schema 1 end before confirm_s
 *   scripts    job number                the script, the rollback behind it
 *   outputs    job number                bytes
 *   waiting    device number, job        (empty) jobs that are not final
 *
 * Telemetry costs two puts a batch. Each batch names those before it, so that no index is needed to
 * read history newest first: the device's batch before, the device's batch with events before (most
 * hold samples only), and the last batch with events of any device.
 *
 *   marks[7].last_id ──▶ events[912] ──previous──▶ events[640] ──previous──▶ (trimmed: -ENOENT, the end)
 *   marks[7].last_event_id ──────────────────────▶ events[640] ──previous_event──▶ events[12]
 *
 * Ids grow by one a record and never come back; records of a batch that an earlier batch has brought
 * already (sequence number up to skip_seq) are to be skipped by the reader.
 *
 * Writes happen inside a transaction of the writer thread. A function that returns an error before it
 * wrote anything leaves the transaction usable; one that failed in the middle marks it failed
 * (store_txn_failed), and then nothing of the whole transaction will be kept. Errors: -ENOSPC (disk
 * or map full), -EIO, -ENOTRECOVERABLE (the store must be opened again), -ENOENT, -EEXIST.
 * Pointers that a read function returns live until its transaction ends.
 */
#ifndef JAGA_COLLECTOR_STORE_H
#define JAGA_COLLECTOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/limits.h"

#define STORE_SCHEMA 2 /* raised when an older program would misread the file; 2: jobs that are confirmed */

struct store;
struct store_txn;

/*
 * Creates or opens the store in the directory `path` (made 0700 when missing). bytes: its greatest
 * size. -EBUSY: another collector has it; -EPROTONOSUPPORT: made by a newer program.
 */
int store_open(const char *path, uint64_t bytes, struct store **ret_store, struct err *err);
void store_close(struct store *store);

/* Writer thread. store_commit returns after the data is durable; it and store_abort end the transaction. */
int store_begin(struct store *store, struct store_txn **ret_txn);
int store_commit(struct store_txn *txn);
void store_abort(struct store_txn *txn);
bool store_txn_failed(const struct store_txn *txn);

/* Loop thread; one at a time. */
int store_read_begin(struct store *store, struct store_txn **ret_txn);
void store_read_end(struct store_txn *txn);

struct store_usage {
	uint64_t size_bytes;  /* the greatest size, from the configuration */
	uint64_t used_bytes;  /* live pages of all tables */
	uint64_t event_bytes; /* of these, the event log */
	uint64_t batches;     /* in the event log */
	uint64_t texts;	      /* distinct snapshots */
};
int store_read_usage(struct store_txn *txn, struct store_usage *ret_usage);

/* --- devices ------------------------------------------------------------------------------------- */

struct store_device {
	char name[LIMIT_NAME];
	uint32_t number; /* from 1, never used again */
	uint32_t has_key;
	uint8_t key[LIMIT_PSK_BYTES];
	int64_t enrolled_ms;
};

/* Gives the device `device->key`. Sets device->number. -EEXIST: it has a key and replace is false. */
int store_enroll_device(struct store_txn *txn, struct store_device *device, bool replace);
/* Erases the key; history stays. -ENOENT */
int store_remove_device(struct store_txn *txn, const char *name);
int store_put_hello(struct store_txn *txn, uint32_t number, int64_t received_ms, const void *bytes, size_t length);

/* Calls visit for each device; stops at its first result that is not 0 and returns that. */
int store_visit_devices(struct store_txn *txn, int (*visit)(void *arg, const struct store_device *device), void *arg);
int store_get_hello(struct store_txn *txn, uint32_t number, int64_t *ret_received_ms, const void **ret_bytes,
		    size_t *ret_length);

/* --- events -------------------------------------------------------------------------------------- */

struct store_mark {
	uint8_t boot_id[LIMIT_BOOT_ID_BYTES];
	uint64_t seq;	  /* highest stored sequence number of that boot */
	uint64_t last_id; /* newest entry in the event log; 0: none */
	uint64_t last_event_id; /* newest entry that holds events */
	int64_t last_ms;
	uint64_t dropped_events, dropped_samples; /* as the agent reported last */
};

enum store_batch_kind {
	STORE_BATCH_TELEMETRY, /* body: TelemetryBatch */
	STORE_BATCH_ONLINE,    /* body: text; made by the collector, one record */
	STORE_BATCH_OFFLINE,
	STORE_BATCH_JOB,
};

struct store_batch {
	uint64_t id;	   /* of its first record */
	uint64_t previous; /* this device's batch before; 0: none */
	uint64_t previous_event; /* this device's batch with events before */
	uint64_t previous_event_of_any; /* the batch with events before, whoever's */
	uint64_t skip_seq;
	int64_t received_ms;
	uint32_t device_number;
	uint8_t n_records, n_events;
	uint16_t kind;
	const uint8_t *body;
	size_t length;
};

struct store_telemetry {
	uint32_t device_number;
	uint8_t n_records, n_events;
	uint8_t boot_id[LIMIT_BOOT_ID_BYTES];
	uint64_t seq_to;
	int64_t received_ms;
	uint64_t dropped_events, dropped_samples;
	const uint8_t *body;
	size_t length;
};

/*
 * Stores what is new in the batch. *ret_seq: highest sequence number that is stored when this
 * transaction is. *ret_id: of the first record, 0 when the whole batch was known already.
 */
int store_add_telemetry(struct store_txn *txn, const struct store_telemetry *telemetry, uint64_t *ret_id,
			uint64_t *ret_seq);
/* An event of the collector's own. */
int store_add_event(struct store_txn *txn, uint32_t device_number, enum store_batch_kind kind, int64_t now_ms,
		    const char *text, uint64_t *ret_id);
/* Drops the oldest batches when the log is over its share of the store. Call once per transaction. */
int store_trim_events(struct store_txn *txn);

int store_get_mark(struct store_txn *txn, uint32_t number, struct store_mark *ret_mark);
int store_get_batch(struct store_txn *txn, uint64_t id, struct store_batch *ret_batch);
/* The first batch with id >= `id`. -ENOENT */
int store_find_batch_from(struct store_txn *txn, uint64_t id, struct store_batch *ret_batch);
int store_find_last_batch(struct store_txn *txn, struct store_batch *ret_batch);

/* --- snapshots ------------------------------------------------------------------------------------ */

struct store_snapshot {
	uint8_t hash[32];
	uint32_t n; /* from 1, for each device */
	uint32_t bytes, stored_bytes;
	int64_t taken_ms;   /* when it arrived first */
	int64_t checked_ms; /* when the device last said that it is still so */
};

/* Notes that the newest snapshot is still so; -ENOENT when the newest has another hash. */
int store_confirm_snapshot(struct store_txn *txn, uint32_t number, const uint8_t hash[static 32], int64_t now_ms,
			   struct store_snapshot *ret_snapshot);
/*
 * Adds a snapshot whose zstd text is `packed`. When the device's newest has this hash, only confirms
 * it. *ret_added tells which. -ENOSPC before writing anything when the store is nearly full.
 */
int store_add_snapshot(struct store_txn *txn, uint32_t number, const uint8_t hash[static 32], uint32_t bytes,
		       const void *packed, size_t length, int64_t now_ms, struct store_snapshot *ret_snapshot,
		       bool *ret_added);
/* n 0: the newest. -ENOENT */
int store_get_snapshot(struct store_txn *txn, uint32_t number, uint32_t n, struct store_snapshot *ret_snapshot);
/* The first snapshot with this n or a higher one. */
int store_find_snapshot_from(struct store_txn *txn, uint32_t number, uint32_t n, struct store_snapshot *ret_snapshot);
int store_get_text(struct store_txn *txn, const uint8_t hash[static 32], const void **ret_packed, size_t *ret_length,
		   uint32_t *ret_bytes);

/* --- jobs ----------------------------------------------------------------------------------------- */

struct store_job { /* phase: numbers of JobPhase in proto/jaga.proto */
	uint64_t number; /* of the job; also its sequence number for the device */
	uint32_t device_number;
	uint32_t phase;
	int64_t queued_ms, changed_ms, not_after_ms, duration_ms;
	int32_t exit_status;
	uint32_t attempt;
	uint32_t script_bytes, output_bytes;
	uint32_t output_truncated;
	uint32_t is_final;
	char name[LIMIT_JOB_NAME];
	char interpreter[16];
	char reason[LIMIT_JOB_REASON];
	uint32_t confirm_s; /* 0: nothing to confirm */
	uint32_t rollback_bytes;
};

/* Sets job->number: the next, and above what it was. length: of the script with its rollback. -ENOSPC before writing when
 * the store is nearly full. */
int store_add_job(struct store_txn *txn, struct store_job *job, const void *script, size_t length);
/* Replaces the job; output NULL: leave what is stored. */
int store_update_job(struct store_txn *txn, const struct store_job *job, const void *output, size_t length);
int store_get_job(struct store_txn *txn, uint64_t number, struct store_job *ret_job);
/* job->script_bytes of it are the script, the rest its rollback. */
int store_get_script(struct store_txn *txn, uint64_t number, const void **ret_bytes, size_t *ret_length);
int store_get_output(struct store_txn *txn, uint64_t number, const void **ret_bytes, size_t *ret_length);
/* The last job with a number below `number` (UINT64_MAX: the newest). -ENOENT */
int store_find_job_before(struct store_txn *txn, uint64_t number, struct store_job *ret_job);
/* The first unfinished job of the device with a number above `after`. -ENOENT */
int store_find_waiting_job(struct store_txn *txn, uint32_t device_number, uint64_t after, struct store_job *ret_job);

#endif
