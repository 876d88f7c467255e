/*
 * balance: see balance.h. Called by engine.c whenever an uplink changes its state.
 *
 * The orders of preference are built once, position by position. For bucket b at position d, let
 * F be the set of uplinks before that position: b comes to position d when F has failed. Among
 * the lowest tier outside F it takes the uplink that is furthest below its share, counting the
 * buckets that are known to be with it when F has failed: the smallest (2 n + 1) / weight. That
 * is Sainte-Lague's method; with two uplinks it is the largest remainder, with more it differs
 * from it by a bucket at most, and it deals the buckets out evenly instead of in blocks.
 */
#include "agent/uplink/balance.h"

#include <stdbool.h>

static uint32_t bit(unsigned uplink)
{
	return UINT32_C(1) << uplink;
}

static bool contains(uint32_t set, unsigned uplink)
{
	return (set & bit(uplink)) != 0;
}

/* The part of the set (not empty) that is in its lowest tier. */
static uint32_t lowest_tier(const struct balance *balance, uint32_t set)
{
	uint32_t members = 0, lowest = UINT32_MAX;

	for (unsigned i = 0; i < balance->n_uplinks; i++) {
		if (!contains(set, i) || balance->tiers[i] > lowest)
			continue;
		if (balance->tiers[i] < lowest)
			members = 0;
		lowest = balance->tiers[i];
		members |= bit(i);
	}
	return members;
}

/* Number of buckets of uplink i when `failed` have failed, as far as orders are known: `depth` positions of
 * every bucket, one more of those before `n_deeper`. */
static unsigned count_buckets(const struct balance *balance, unsigned uplink, uint32_t failed, unsigned depth,
			      unsigned n_deeper)
{
	unsigned n = 0;

	for (unsigned b = 0; b < balance->n_buckets; b++) {
		unsigned known = depth + (b < n_deeper), d = 0;

		while (d < known && contains(failed, balance->order[b][d]))
			d++;
		n += d < known && balance->order[b][d] == uplink;
	}
	return n;
}

/* Position `depth` of bucket b. */
static uint8_t prefer(const struct balance *balance, unsigned b, unsigned depth)
{
	uint32_t failed = 0, candidates;
	unsigned best = BALANCE_NO_UPLINK;
	uint64_t best_due = 0;

	for (unsigned d = 0; d < depth; d++)
		failed |= bit(balance->order[b][d]);
	candidates = lowest_tier(balance, ~failed);
	for (unsigned i = 0; i < balance->n_uplinks; i++) {
		uint64_t due;

		if (!contains(candidates, i))
			continue;
		due = 2 * (uint64_t)count_buckets(balance, i, failed, depth, b) + 1;
		if (best == BALANCE_NO_UPLINK || due * balance->weights[best] < best_due * balance->weights[i]) {
			best = i;
			best_due = due;
		}
	}
	return (uint8_t)best;
}

static uint8_t first_usable(const struct balance *balance, unsigned b, uint32_t usable)
{
	unsigned d = 0;

	while (!contains(usable, balance->order[b][d]))
		d++;
	return balance->order[b][d];
}

void balance_init(struct balance *balance, unsigned n_uplinks, const uint32_t *weights, const uint32_t *tiers,
		  unsigned n_buckets, struct forwarding_plan *ret_plan)
{
	*balance = (struct balance){ .n_uplinks = n_uplinks, .n_buckets = n_buckets };
	*ret_plan = (struct forwarding_plan){ .n_uplinks = (uint8_t)n_uplinks, .n_buckets = (uint8_t)n_buckets };
	for (unsigned i = 0; i < n_uplinks; i++) {
		balance->weights[i] = weights[i];
		balance->tiers[i] = tiers[i];
		balance->in_use |= bit(i);
		ret_plan->live[i] = (uint8_t)i;
	}
	for (unsigned d = 0; d < n_uplinks; d++)
		for (unsigned b = 0; b < n_buckets; b++)
			balance->order[b][d] = prefer(balance, b, d);
	for (unsigned b = 0; b < n_buckets; b++)
		ret_plan->bucket[b] = balance->order[b][0];
}

/* The uplinks among which new flows are shared; never empty. */
static uint32_t usable_set(const struct balance *balance, const struct balance_input *input)
{
	uint32_t alive = input->up | input->suspect;

	if (contains(alive ? alive : input->linked, input->forced))
		return bit(input->forced);
	if (input->up)
		return input->up;
	if (input->suspect)
		return input->suspect;
	if (balance->in_use & input->linked)
		return balance->in_use & input->linked;
	return input->linked ? input->linked : balance->in_use;
}

/* A survivor for the flows of `dead`: the one in the lowest tier of `usable` that carries least for its weight. */
static uint8_t pick_survivor(const struct balance *balance, const struct forwarding_plan *plan, unsigned dead,
			     uint32_t usable)
{
	uint32_t candidates = lowest_tier(balance, usable);
	unsigned best = BALANCE_NO_UPLINK;
	uint64_t best_load = 0;

	for (unsigned i = 0; i < balance->n_uplinks; i++) {
		uint64_t load = balance->weights[dead];

		if (!contains(candidates, i))
			continue;
		for (unsigned other = 0; other < balance->n_uplinks; other++)
			if (other != dead && plan->live[other] == i)
				load += balance->weights[other];
		if (best == BALANCE_NO_UPLINK || load * balance->weights[best] < best_load * balance->weights[i]) {
			best = i;
			best_load = load;
		}
	}
	return (uint8_t)best;
}

void balance_update(struct balance *balance, const struct balance_input *input, struct forwarding_plan *plan)
{
	uint32_t alive = input->up | input->suspect;
	uint32_t usable = usable_set(balance, input);
	bool is_forced = usable == bit(input->forced);

	for (unsigned b = 0; b < balance->n_buckets; b++)
		plan->bucket[b] = first_usable(balance, b, usable);
	for (unsigned i = 0; i < balance->n_uplinks; i++) {
		if (is_forced)
			plan->live[i] = (uint8_t)input->forced;
		else if (contains(alive, i))
			plan->live[i] = (uint8_t)i;
		else if (!contains(alive ? alive : usable, plan->live[i]))
			plan->live[i] = pick_survivor(balance, plan, i, usable);
	}
	balance->in_use = usable;
}
