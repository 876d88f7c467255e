/* Bucket tables and the live map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/uplink/balance.h"

#define B0 1U
#define B1 2U
#define B2 4U
#define B3 8U

static struct balance balance;
static struct forwarding_plan plan;

static void setup(unsigned n, const uint32_t *weights, const uint32_t *tiers, unsigned n_buckets)
{
	balance_init(&balance, n, weights, tiers, n_buckets, &plan);
}

static void update(uint32_t up, uint32_t suspect, uint32_t linked, unsigned forced)
{
	struct balance_input input = { .up = up, .suspect = suspect, .linked = linked | up | suspect, .forced = forced };

	balance_update(&balance, &input, &plan);
}

static unsigned count(unsigned uplink)
{
	unsigned n = 0;

	for (unsigned b = 0; b < plan.n_buckets; b++)
		n += plan.bucket[b] == uplink;
	return n;
}

static const uint32_t one_tier[LIMIT_UPLINKS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

static void test_shares_follow_weights(void **state)
{
	static const struct {
		unsigned n, n_buckets;
		uint32_t weights[4], tiers[4];
		unsigned shares[4];
	} cases[] = {
		{ 1, 1, { 1 }, { 1 }, { 1 } },
		{ 2, 64, { 1, 1 }, { 1, 1 }, { 32, 32 } },
		{ 2, 64, { 60, 40 }, { 1, 1 }, { 38, 26 } },
		{ 2, 5, { 60, 40 }, { 1, 1 }, { 3, 2 } },
		{ 2, 64, { 100, 1 }, { 1, 1 }, { 63, 1 } },
		{ 3, 64, { 50, 30, 20 }, { 1, 1, 1 }, { 32, 19, 13 } },
		{ 3, 64, { 1, 1, 1 }, { 1, 1, 1 }, { 22, 21, 21 } },
		{ 3, 64, { 1, 100, 100 }, { 1, 2, 3 }, { 64, 0, 0 } },
		{ 4, 64, { 9, 1, 3, 7 }, { 2, 1, 1, 2 }, { 0, 16, 48, 0 } },
		{ 2, 0, { 1, 1 }, { 1, 1 }, { 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup(cases[i].n, cases[i].weights, cases[i].tiers, cases[i].n_buckets);
		for (unsigned u = 0; u < cases[i].n; u++) {
			assert_int_equal(count(u), cases[i].shares[u]);
			assert_int_equal(plan.live[u], u);
		}
	}
}

/* For every set of usable uplinks of one tier: shares by weight within two buckets, and only what failed moves. */
static void test_every_set_of_survivors(void **state)
{
	static const uint32_t weight_sets[][4] = { { 1, 1, 1, 1 }, { 60, 40, 30, 10 }, { 5, 5, 1, 9 }, { 100, 1, 1, 1 } };
	uint8_t tables[16][LIMIT_BUCKETS];

	(void)state;
	for (unsigned w = 0; w < 4; w++) {
		const uint32_t *weights = weight_sets[w];

		setup(4, weights, one_tier, 64);
		for (uint32_t set = 1; set < 16; set++) {
			uint32_t sum = 0;

			update(set, 0, 0, BALANCE_NO_UPLINK);
			memcpy(tables[set], plan.bucket, sizeof(plan.bucket));
			for (unsigned u = 0; u < 4; u++)
				sum += set >> u & 1 ? weights[u] : 0;
			for (unsigned u = 0; u < 4; u++) {
				unsigned fair = set >> u & 1 ? 64 * weights[u] / sum : 0;

				assert_in_range(count(u) + 2, fair, fair + 5);
			}
		}
		for (uint32_t set = 1; set < 16; set++)
			for (unsigned u = 0; u < 4; u++)
				for (unsigned b = 0; (set & ~(1U << u)) && b < 64; b++)
					if (tables[set][b] != u)
						assert_int_equal(tables[set & ~(1U << u)][b], tables[set][b]);
	}
}

static void test_tiers(void **state)
{
	static const uint32_t weights[] = { 60, 40, 70, 30 }, tiers[] = { 1, 1, 5, 5 };

	(void)state;
	setup(4, weights, tiers, 10);
	update(B1 | B2 | B3, 0, 0, BALANCE_NO_UPLINK);
	assert_int_equal(count(1), 10);
	assert_int_equal(plan.live[0], 1);
	update(B2 | B3, 0, 0, BALANCE_NO_UPLINK);
	assert_int_equal(count(2), 7);
	assert_int_equal(count(3), 3);
	update(B0 | B2 | B3, 0, 0, BALANCE_NO_UPLINK);
	assert_int_equal(count(0), 10);
}

/* Flows of failed uplinks: spread over the survivors by weight, following a chain, not moving without need. */
static void test_live_map(void **state)
{
	static const uint32_t weights[] = { 10, 10, 30, 20 };

	(void)state;
	setup(4, weights, one_tier, 64);
	update(B1 | B2 | B3, 0, 0, BALANCE_NO_UPLINK);
	assert_int_equal(plan.live[0], 2); /* (30 + 10) / 30 is the least */
	update(B2 | B3, 0, 0, BALANCE_NO_UPLINK);
	assert_int_equal(plan.live[0], 2);
	assert_int_equal(plan.live[1], 3); /* 30/20 against 50/30 */
	update(B3, 0, 0, BALANCE_NO_UPLINK); /* the survivor fails */
	assert_int_equal(plan.live[0], 3);
	assert_int_equal(plan.live[1], 3);
	assert_int_equal(plan.live[2], 3);
	update(B2 | B3, 0, 0, BALANCE_NO_UPLINK); /* it returns: its own flows go back, the others stay */
	assert_int_equal(plan.live[0], 3);
	assert_int_equal(plan.live[2], 2);
	update(B0 | B1 | B2 | B3, 0, 0, BALANCE_NO_UPLINK);
	for (unsigned u = 0; u < 4; u++)
		assert_int_equal(plan.live[u], u);
}

static void test_suspects(void **state)
{
	static const uint32_t weights[] = { 1, 1, 1 };

	(void)state;
	setup(3, weights, one_tier, 6);
	update(B1 | B2, B0, 0, BALANCE_NO_UPLINK);
	assert_int_equal(count(0), 0);
	assert_int_equal(plan.live[0], 0);	     /* its flows stay */
	update(0, B0 | B1, B2, BALANCE_NO_UPLINK); /* the only survivors are suspect */
	assert_int_equal(count(0), 3);
	assert_int_equal(count(1), 3);
	assert_int_equal(plan.live[2], 0);
	update(B2, B0, B1, BALANCE_NO_UPLINK);
	assert_int_equal(count(2), 6);
	assert_int_equal(plan.live[1], 2); /* a survivor that is up before one that is suspect */
}

static void test_nothing_left(void **state)
{
	static const uint32_t weights[] = { 1, 1, 1 };
	struct forwarding_plan last;

	(void)state;
	setup(3, weights, one_tier, 6);
	update(B0 | B1, 0, B2, BALANCE_NO_UPLINK);
	last = plan;
	update(0, 0, B0 | B1 | B2, BALANCE_NO_UPLINK); /* all down by probes: as before */
	assert_memory_equal(&plan, &last, sizeof(plan));
	update(0, 0, B1 | B2, BALANCE_NO_UPLINK); /* one of those used last has lost its link */
	assert_int_equal(count(1), 6);
	assert_int_equal(plan.live[0], 1);
	update(0, 0, B2, BALANCE_NO_UPLINK); /* none used last is linked, but another is */
	assert_int_equal(count(2), 6);
	assert_int_equal(plan.live[0], 2);
	assert_int_equal(plan.live[1], 2);
	last = plan;
	update(0, 0, 0, BALANCE_NO_UPLINK); /* no link at all */
	assert_memory_equal(&plan, &last, sizeof(plan));
	update(0, 0, B0 | B1 | B2, BALANCE_NO_UPLINK);
	assert_memory_equal(&plan, &last, sizeof(plan));
	update(B0, 0, B1 | B2, BALANCE_NO_UPLINK);
	assert_int_equal(count(0), 6);
	assert_int_equal(plan.live[2], 0);
}

static void test_force(void **state)
{
	static const uint32_t weights[] = { 1, 1, 1 }, tiers[] = { 1, 1, 2 };

	(void)state;
	setup(3, weights, tiers, 6);
	update(B0 | B1 | B2, 0, 0, 2);
	assert_int_equal(count(2), 6);
	for (unsigned u = 0; u < 3; u++)
		assert_int_equal(plan.live[u], 2);
	update(B0 | B1, B2, 0, 2); /* suspect is good enough */
	assert_int_equal(count(2), 6);
	update(B0 | B1, 0, B2, 2); /* down is not */
	assert_int_equal(count(0), 3);
	assert_int_equal(plan.live[0], 0);
	assert_int_equal(plan.live[2], 0);
	update(0, B0, B2, 2);
	assert_int_equal(count(0), 6);
	update(0, 0, B0 | B1 | B2, 2); /* nothing is up: the operator's choice first */
	assert_int_equal(count(2), 6);
	update(0, 0, B0 | B1, 2);
	assert_int_equal(count(2), 0);
	update(B0 | B1 | B2, 0, 0, BALANCE_NO_UPLINK);
	assert_int_equal(count(0), 3);
	assert_int_equal(plan.live[2], 2);
}

/* The largest configuration keeps the order of preference a permutation. */
static void test_orders_are_permutations(void **state)
{
	uint32_t weights[LIMIT_UPLINKS], tiers[LIMIT_UPLINKS];

	(void)state;
	for (unsigned u = 0; u < LIMIT_UPLINKS; u++) {
		weights[u] = 1 + u * 7 % 100;
		tiers[u] = 1 + u % 3;
	}
	setup(LIMIT_UPLINKS, weights, tiers, LIMIT_BUCKETS);
	for (unsigned b = 0; b < LIMIT_BUCKETS; b++) {
		uint32_t seen = 0;

		for (unsigned d = 0; d < LIMIT_UPLINKS; d++) {
			seen |= 1U << balance.order[b][d];
			if (d > 0)
				assert_true(tiers[balance.order[b][d - 1]] <= tiers[balance.order[b][d]]);
		}
		assert_int_equal(seen, 0xffff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares_follow_weights),
		cmocka_unit_test(test_every_set_of_survivors),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_live_map),
		cmocka_unit_test(test_suspects),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_force),
		cmocka_unit_test(test_orders_are_permutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
