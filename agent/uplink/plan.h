/*
 * plan: what the engine wants of the packet forwarder, in uplink numbers (the order of the
 * configuration). The driver turns desired against observed into the smallest change.
 */
#ifndef JAGA_AGENT_UPLINK_PLAN_H
#define JAGA_AGENT_UPLINK_PLAN_H

#include <stdint.h>

#include "common/limits.h"

struct forwarding_plan {
	uint8_t n_buckets;		/* flows are hashed into this many buckets */
	uint8_t n_uplinks;
	uint8_t bucket[LIMIT_BUCKETS];	/* bucket -> uplink for new flows */
	uint8_t live[LIMIT_UPLINKS];	/* uplink that a flow was bound to -> uplink that carries it now */
};

#endif
