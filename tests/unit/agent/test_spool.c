/* spool: order, acknowledgement, batches, what goes first when memory ends. A model of the policy checks random runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/spool.h"
#include "common/limits.h"
#include "common/wire.h"

#define HEAD 12 /* bytes that a record costs beside its own */

static struct spool *spool;

static void add(enum spool_kind kind, size_t length, int expected)
{
	uint8_t bytes[LIMIT_RECORD_BYTES + 1];

	/* The first bytes tell which record this is when it comes out again. */
	memset(bytes, (int)(spool_next_seq(spool) & 0xff), sizeof(bytes));
	assert_int_equal(spool_add(spool, kind, bytes, length), expected);
}

static unsigned records(void)
{
	struct spool_stats stats;

	spool_read_stats(spool, &stats);
	return stats.records;
}

static void test_empty(void **state)
{
	char memory[64];
	struct spool_run run = { .n_records = 77 };
	struct buf buf;

	(void)state;
	assert_int_equal(spool_create(256, &spool), 0);
	buf_init(&buf, memory, sizeof(memory));
	assert_true(spool_next_seq(spool) == 1);
	assert_int_equal(spool_take_batch(spool, 0, &buf, &run), -ENOENT);
	assert_int_equal(run.n_records, 77);
	assert_int_equal(buf.length, 0);
	spool_acknowledge(spool, 10);
	assert_true(spool_next_seq(spool) == 1);
	add(SPOOL_EVENT, 4, 0);
	assert_int_equal(records(), 1); /* an acknowledgement of what was never sent swallows nothing */
	spool_destroy(spool);
	spool_destroy(NULL);
}

static void test_refuses_large_records(void **state)
{
	(void)state;
	assert_int_equal(spool_create(4096, &spool), 0);
	add(SPOOL_EVENT, LIMIT_RECORD_BYTES, 0);
	add(SPOOL_EVENT, LIMIT_RECORD_BYTES + 1, -EMSGSIZE);
	assert_true(spool_next_seq(spool) == 2);
	spool_destroy(spool);
	assert_int_equal(spool_create(100, &spool), 0);
	add(SPOOL_EVENT, 100 - HEAD + 1, -EMSGSIZE); /* larger than the whole spool */
	add(SPOOL_EVENT, 100 - HEAD, 0);
	spool_destroy(spool);
}

static void test_batches(void **state)
{
	char memory[2 * (2 + 10) + 1];
	struct spool_run run;
	struct buf buf;

	(void)state;
	assert_int_equal(spool_create(1000, &spool), 0);
	add(SPOOL_EVENT, 10, 0);
	add(SPOOL_SAMPLE, 10, 0);
	add(SPOOL_EVENT, 10, 0);
	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(spool_take_batch(spool, 0, &buf, &run), 0);
	assert_int_equal(run.n_records, 2); /* the third does not fit */
	assert_true(run.seq_from == 1 && run.seq_to == 2);
	assert_int_equal(buf.length, 24);
	assert_memory_equal(buf.data, "\x22\x0a\x01", 3); /* field 4, 10 bytes, record 1 */
	assert_memory_equal(buf.data + 12, "\x2a\x0a\x02", 3);
	assert_false(buf.failed);

	buf_clear(&buf);
	assert_int_equal(spool_take_batch(spool, 2, &buf, &run), 0);
	assert_true(run.seq_from == 3 && run.seq_to == 3);
	assert_int_equal(spool_take_batch(spool, 3, &buf, &run), -ENOENT);
	spool_acknowledge(spool, 2);
	assert_int_equal(records(), 1);
	spool_acknowledge(spool, 1); /* late and old: nothing comes back */
	assert_int_equal(records(), 1);
	buf_clear(&buf);
	assert_int_equal(spool_take_batch(spool, 0, &buf, &run), 0);
	assert_true(run.seq_from == 3);
	spool_destroy(spool);
}

static void test_batch_has_at_most_so_many_records(void **state)
{
	char memory[4096];
	struct spool_run run;
	struct buf buf;

	(void)state;
	assert_int_equal(spool_create(8192, &spool), 0);
	for (unsigned i = 0; i < LIMIT_BATCH_RECORDS + 1; i++)
		add(SPOOL_SAMPLE, 1, 0);
	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(spool_take_batch(spool, 0, &buf, &run), 0);
	assert_int_equal(run.n_records, LIMIT_BATCH_RECORDS);
	spool_destroy(spool);
}

static void test_samples_go_first(void **state)
{
	static const uint8_t kept[] = { 3, 5, 6, 8, 9 };
	char memory[512];
	struct spool_stats stats;
	struct spool_run run;
	struct buf buf;

	(void)state;
	assert_int_equal(spool_create(5 * (HEAD + 20), &spool), 0);
	add(SPOOL_EVENT, 20, 0);  /* 1 */
	add(SPOOL_SAMPLE, 20, 0); /* 2 */
	add(SPOOL_EVENT, 20, 0);  /* 3 */
	add(SPOOL_SAMPLE, 20, 0); /* 4 */
	add(SPOOL_EVENT, 20, 0);  /* 5 */
	add(SPOOL_EVENT, 20, 0);  /* 6: drops 2 */
	add(SPOOL_SAMPLE, 20, 0); /* 7: drops 4 */
	add(SPOOL_EVENT, 20, 0);  /* 8: drops 7 */
	spool_read_stats(spool, &stats);
	assert_true(stats.dropped_samples == 3 && stats.dropped_events == 0);
	assert_int_equal(stats.records, 5);
	add(SPOOL_SAMPLE, 20, -ENOSPC); /* only events left: they stay */
	assert_true(spool_next_seq(spool) == 9);
	add(SPOOL_EVENT, 20, 0); /* 9: the oldest event goes, at last */
	spool_read_stats(spool, &stats);
	assert_true(stats.dropped_samples == 4 && stats.dropped_events == 1);
	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(spool_take_batch(spool, 0, &buf, &run), 0);
	assert_int_equal(run.n_records, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal((uint8_t)buf.data[i * 22 + 2], kept[i]);
	spool_destroy(spool);
}

/* Random runs against a plain list that holds the policy in the most naive way. */
struct model_record {
	uint64_t seq;
	size_t length;
	enum spool_kind kind;
};
static struct model_record model[4096];
static unsigned n_model;
static uint64_t model_drops[2];

static void model_remove(unsigned i)
{
	memmove(model + i, model + i + 1, (n_model - i - 1) * sizeof(model[0]));
	n_model--;
}

static size_t model_bytes(void)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < n_model; i++)
		bytes += HEAD + model[i].length;
	return bytes;
}

static bool model_drop_oldest(enum spool_kind kind)
{
	for (unsigned i = 0; i < n_model; i++) {
		if (model[i].kind != kind)
			continue;
		model_remove(i);
		model_drops[kind - SPOOL_EVENT]++;
		return true;
	}
	return false;
}

static int model_add(enum spool_kind kind, size_t length, uint64_t seq, size_t size)
{
	while (size - model_bytes() < HEAD + length) {
		if (model_drop_oldest(SPOOL_SAMPLE))
			continue;
		if (kind == SPOOL_SAMPLE) {
			model_drops[1]++;
			return -ENOSPC;
		}
		assert_true(model_drop_oldest(SPOOL_EVENT));
	}
	model[n_model++] = (struct model_record){ seq, length, kind };
	return 0;
}

static void compare_with_model(void)
{
	static char memory[LIMIT_RECORD_BYTES + 64];
	struct spool_stats stats;
	struct spool_run run;
	struct buf buf;
	uint64_t after = 0;

	spool_read_stats(spool, &stats);
	assert_int_equal(stats.records, n_model);
	assert_int_equal(stats.bytes_used, model_bytes());
	assert_true(stats.dropped_events == model_drops[0] && stats.dropped_samples == model_drops[1]);
	for (unsigned i = 0; i < n_model;) {
		buf_init(&buf, memory, sizeof(memory));
		assert_int_equal(spool_take_batch(spool, after, &buf, &run), 0);
		assert_true(run.seq_from == model[i].seq);
		assert_true(run.seq_to == model[i + run.n_records - 1].seq);
		i += run.n_records;
		after = run.seq_to;
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void test_against_model(void **state)
{
	static const size_t sizes[] = { 200, 1000, 1013, 5000 };
	uint32_t seed = 4711;

	(void)state;
	for (unsigned s = 0; s < 4; s++) {
		n_model = 0;
		memset(model_drops, 0, sizeof(model_drops));
		assert_int_equal(spool_create(sizes[s], &spool), 0);
		for (unsigned step = 0; step < 3000; step++) {
			uint32_t dice = next_random(&seed) % 10;

			if (dice < 8) {
				enum spool_kind kind = dice < 3 ? SPOOL_EVENT : SPOOL_SAMPLE;
				size_t length = 1 + next_random(&seed) % 180;
				uint64_t seq = spool_next_seq(spool);

				add(kind, length, model_add(kind, length, seq, sizes[s]));
			} else if (n_model > 0) {
				uint64_t seq = model[next_random(&seed) % n_model].seq;

				spool_acknowledge(spool, seq);
				while (n_model > 0 && model[0].seq <= seq)
					model_remove(0);
			}
			compare_with_model();
		}
		spool_destroy(spool);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_refuses_large_records),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_batch_has_at_most_so_many_records),
		cmocka_unit_test(test_samples_go_first),
		cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
