/*
 * linux_nft_maps: the part of the forwarding plan that knows uplinks by number: sets of interface names, the
 * maps, the two small chains of each uplink, and the marker. linux_nft_rules.c has the whole picture.
 *
 * nf_tables cannot OR a map's result into a mark, so the maps hold verdicts: each points at a chain that
 * writes one constant under a constant mask and leaves the bits of others alone.
 */
#include "agent/router/linux.h"

#include <inttypes.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#define STRUCTURE_VERSION 1 /* of all rules: another number makes the next start replace them */

struct chain_name {
	char text[24];
};

static struct chain_name chain_of(const char *what, unsigned uplink)
{
	struct chain_name name;

	snprintf(name.text, sizeof(name.text), "%s_%u", what, uplink);
	return name;
}

/* --- sets and maps --- */

static void put_element_goto_name(struct nft_batch *b, const char *interface, const char *chain)
{
	char key[IFNAMSIZ] = {0};

	memcpy(key, interface, strnlen(interface, IFNAMSIZ - 1));
	nft_element_goto(b, key, sizeof(key), chain);
}

static void add_name_set(struct nft_batch *b, const char *set, unsigned n, const char *first, size_t stride)
{
	char key[IFNAMSIZ];
	size_t nest;

	nft_set_add(b, set, NFT_KEY_IFNAME);
	if (n == 0)
		return;
	nest = nft_elements_begin(b, NFT_MSG_NEWSETELEM, set);
	for (unsigned i = 0; i < n; i++) {
		const char *name = first + i * stride;

		memset(key, 0, sizeof(key));
		memcpy(key, name, strnlen(name, IFNAMSIZ - 1));
		nft_element(b, key, sizeof(key));
	}
	nft_elements_end(b, nest);
}

void linux_nft_put_bucket(struct nft_batch *b, uint32_t bucket, unsigned uplink)
{
	nft_element_goto(b, &bucket, sizeof(bucket), chain_of("bind", uplink).text);
}

void linux_nft_put_mark(struct nft_batch *b, uint32_t mark, unsigned uplink)
{
	nft_element_goto(b, &mark, sizeof(mark), chain_of("carry", uplink).text);
}

void linux_nft_add_maps(struct nft_batch *b, const struct agent_config *config, const struct forwarding_plan *plan)
{
	size_t nest;

	nft_label(b, "sets of interface names (package kmod-nft-core, CONFIG_NF_TABLES)");
	add_name_set(b, "uplinks", config->n_uplinks, config->uplinks[0].interface, sizeof(config->uplinks[0]));
	add_name_set(b, "lans", config->n_lans, config->lans[0], sizeof(config->lans[0]));

	nft_label(b, "verdict maps");
	nft_vmap_add(b, "bucket", NFT_KEY_NUMBER, plan->n_buckets);
	nest = nft_elements_begin(b, NFT_MSG_NEWSETELEM, "bucket");
	for (unsigned i = 0; i < plan->n_buckets; i++)
		linux_nft_put_bucket(b, i, plan->bucket[i]);
	nft_elements_end(b, nest);

	nft_vmap_add(b, "live", NFT_KEY_MARK, 0);
	nest = nft_elements_begin(b, NFT_MSG_NEWSETELEM, "live");
	for (unsigned i = 0; i < plan->n_uplinks; i++)
		linux_nft_put_mark(b, router_uplink_mark(config, i), plan->live[i]);
	nft_elements_end(b, nest);

	nft_vmap_add(b, "home", NFT_KEY_MARK, 0);
	nest = nft_elements_begin(b, NFT_MSG_NEWSETELEM, "home");
	for (unsigned i = 0; i < plan->n_uplinks; i++)
		linux_nft_put_mark(b, router_uplink_mark(config, i), i);
	nft_elements_end(b, nest);

	nft_vmap_add(b, "by_interface", NFT_KEY_IFNAME, 0);
	nest = nft_elements_begin(b, NFT_MSG_NEWSETELEM, "by_interface");
	for (unsigned i = 0; i < plan->n_uplinks; i++)
		put_element_goto_name(b, config->uplinks[i].interface, chain_of("bind", i).text);
	nft_elements_end(b, nest);
}

/* --- chains --- */

void linux_nft_add_uplink_chains(struct nft_batch *b, const struct agent_config *config)
{
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		nft_chain_add(b, chain_of("bind", i).text, NULL);
		nft_chain_add(b, chain_of("carry", i).text, NULL);
	}
}

void linux_nft_add_mark_rules(struct nft_batch *b, const struct agent_config *config)
{
	uint32_t field = config->mark_field;
	size_t rule;

	nft_label(b, "rules that write connection and packet marks (CONFIG_NFT_CT, CONFIG_NF_CONNTRACK_MARK)");
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		rule = nft_rule_begin(b, chain_of("bind", i).text);
		nft_ct(b, NFT_CT_MARK, NFT_REG_1);
		nft_bitwise_u32(b, NFT_REG_1, ~field, router_uplink_mark(config, i));
		nft_ct_set(b, NFT_CT_MARK, NFT_REG_1);
		nft_rule_end(b, rule);

		rule = nft_rule_begin(b, chain_of("carry", i).text);
		nft_meta(b, NFT_META_MARK, NFT_REG_1);
		nft_bitwise_u32(b, NFT_REG_1, ~field, router_uplink_mark(config, i));
		nft_meta_set(b, NFT_META_MARK, NFT_REG_1);
		nft_rule_end(b, rule);
	}
}

/* --- the marker --- */

static uint64_t fnv1a(uint64_t hash, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * 0x100000001b3u;
	return hash;
}

void linux_nft_marker(const struct agent_config *config, char ret_name[static LINUX_MARKER_BYTES])
{
	uint32_t head[] = {STRUCTURE_VERSION, config->mark_field,  config->hash,
			   config->n_buckets, config->n_uplinks, config->n_lans};
	uint64_t hash = fnv1a(0xcbf29ce484222325u, head, sizeof(head));

	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct config_uplink *uplink = &config->uplinks[i];
		uint8_t nat[2] = {uplink->nat, uplink->nat6};

		hash = fnv1a(hash, uplink->interface, strnlen(uplink->interface, IFNAMSIZ) + 1);
		hash = fnv1a(hash, nat, sizeof(nat));
	}
	for (unsigned i = 0; i < config->n_lans; i++)
		hash = fnv1a(hash, config->lans[i], strnlen(config->lans[i], IFNAMSIZ) + 1);
	snprintf(ret_name, LINUX_MARKER_BYTES, "plan_%016" PRIx64, hash);
}
