/*
 * linux_nft: puts the forwarding plan of linux_nft_rules.c in force, changes its two maps, takes it away.
 *
 * Each is one transaction. A fail-over is the smallest one: of the entries that differ between what
 * the maps hold (router->plan) and what is wanted, the old elements are deleted and the new ones added;
 * packets see either all of it or none. Element values of verdict maps cannot be overwritten.
 *
 * Callers: linux.c (take_over, apply, remove), linux_event.c (another program flushed the ruleset).
 */
#include "agent/router/linux.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

int linux_nft_install(struct router *router, const struct forwarding_plan *plan, struct err *err)
{
	int ret;

	linux_nft_write(router, plan);
	ret = nft_batch_commit(&router->batch, &router->netfilter, err);
	if (ret == 0)
		router->plan = *plan;
	return ret;
}

/* Deletes the old and adds the new element of each entry that differs, in both maps. */
static void write_difference(struct router *router, const struct forwarding_plan *plan)
{
	const struct forwarding_plan *have = &router->plan;
	const struct agent_config *config = router->config;
	struct nft_batch *b = &router->batch;

	for (unsigned pass = 0; pass < 4; pass++) { /* delete, add; bucket, live */
		bool is_add = pass & 1, is_live = pass >= 2;
		unsigned n = is_live ? plan->n_uplinks : plan->n_buckets;
		const uint8_t *old = is_live ? have->live : have->bucket;
		const uint8_t *new = is_live ? plan->live : plan->bucket;
		size_t nest;

		if (memcmp(old, new, n) == 0)
			continue;
		nest = nft_elements_begin(b, is_add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
					  is_live ? "live" : "bucket");
		for (unsigned i = 0; i < n; i++) {
			uint32_t key = is_live ? router_uplink_mark(config, i) : i;

			if (old[i] == new[i])
				continue;
			if (!is_add)
				nft_element(b, &key, sizeof(key));
			else if (is_live)
				linux_nft_put_mark(b, key, new[i]);
			else
				linux_nft_put_bucket(b, key, new[i]);
		}
		nft_elements_end(b, nest);
	}
}

int linux_nft_apply(struct router *router, const struct forwarding_plan *plan, struct err *err)
{
	struct nft_batch *b = &router->batch;
	int ret;

	nft_batch_begin(b, router->memory, sizeof(router->memory), nl_socket_next(&router->netfilter));
	nft_table_select(b, NFPROTO_INET, LINUX_TABLE);
	nft_label(b, "change of the forwarding plan's maps");
	write_difference(router, plan);
	ret = nft_batch_commit(b, &router->netfilter, err);
	if (ret == 0)
		router->plan = *plan;
	return ret;
}

int linux_nft_remove(struct router *router, struct err *err)
{
	struct nft_batch *b = &router->batch;

	nft_batch_begin(b, router->memory, sizeof(router->memory), nl_socket_next(&router->netfilter));
	linux_nft_replace_table(b, NFPROTO_INET, false);
	linux_nft_replace_table(b, NFPROTO_IPV4, false);
	if (router->has_ipv6)
		linux_nft_replace_table(b, NFPROTO_IPV6, false);
	return nft_batch_commit(b, &router->netfilter, err);
}
