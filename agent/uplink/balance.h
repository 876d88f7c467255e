/*
 * balance: which uplinks are usable -> forwarding plan. Pure.
 *
 * At the start every bucket gets an order of preference over all uplinks: by tier, and within a
 * tier so that for every set of failed uplinks the survivors share the buckets by weight. A
 * bucket belongs to the first usable uplink of its order. Three properties follow: when an uplink
 * fails, only its own buckets move; when it returns, exactly the same buckets return; the table
 * depends on the set of usable uplinks alone, not on the order of events.
 */
#ifndef JAGA_AGENT_UPLINK_BALANCE_H
#define JAGA_AGENT_UPLINK_BALANCE_H

#include <stdint.h>

#include "agent/uplink/plan.h"
#include "common/limits.h"

#define BALANCE_NO_UPLINK LIMIT_UPLINKS

/* Sets of uplinks: bit i is uplink i. */
struct balance_input {
	uint32_t up, suspect; /* disjoint */
	uint32_t linked;      /* has carrier and address, whatever the probes say; contains up and suspect */
	unsigned forced;      /* the operator's choice, or BALANCE_NO_UPLINK */
};

struct balance {
	unsigned n_uplinks, n_buckets;
	uint32_t weights[LIMIT_UPLINKS], tiers[LIMIT_UPLINKS];
	uint8_t order[LIMIT_BUCKETS][LIMIT_UPLINKS];
	uint32_t in_use; /* uplinks among which the last plan shared the buckets */
};

/* 1 <= n_uplinks <= LIMIT_UPLINKS, n_buckets <= LIMIT_BUCKETS, weights >= 1. *ret_plan: every uplink up. */
void balance_init(struct balance *balance, unsigned n_uplinks, const uint32_t *weights, const uint32_t *tiers,
		  unsigned n_buckets, struct forwarding_plan *ret_plan);
/*
 * Updates *plan, which must be the one that balance_init or the last call left.
 * New flows: the forced uplink if it is up or suspect (or nothing is, and it is linked); else the
 * lowest tier with an up uplink; else suspect ones; when all are down, those used last, as long as
 * one of them is linked. Existing flows stay where they are bound to while that uplink is not
 * down; those of a down uplink are carried by one survivor, and stay there while it is not down.
 */
void balance_update(struct balance *balance, const struct balance_input *input, struct forwarding_plan *plan);

#endif
