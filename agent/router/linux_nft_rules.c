/*
 * linux_nft_rules: the forwarding plan as nf_tables rules. F is the configured mark field, m(i) uplink i
 * within it, ~F the bits of others, which every write keeps. `nft list table inet jaga` shows:
 *
 *   set uplinks, set lans        names of interfaces
 *   map bucket        0..n-1  -> goto bind_i     new flows; changed by apply
 *   map live          m(i)    -> goto carry_j    who carries the flows of i now; changed by apply
 *   map home          m(i)    -> goto carry_i    answers to inbound connections
 *   map by_interface  name(i) -> goto bind_i
 *   bind_i:   ct mark = ct mark & ~F | m(i)      carry_i: meta mark = meta mark & ~F | m(i)
 *
 *   prerouting   iifname @uplinks goto from_uplink; ct mark & F != 0 goto steer; iifname @lans ct state new goto from_lan
 *   from_uplink  ct state new ct mark & F == 0 iifname vmap @by_interface        inbound flows go home by their uplink
 *   from_lan     main would send it to uplink i, or nowhere: goto to_uplink      to_uplink    jump pick; goto steer
 *   output       own probes, ESP, AH, DHCP: return; ct mark & F != 0 goto steer;
 *                oifname != @uplinks return; ct state new jump pick; goto steer
 *   pick         not unicast, link-local: return; goto hash      hash   jhash of addresses vmap @bucket
 *   steer        original: ct mark & F vmap @live; reply: ct mark & F vmap @home
 *   postrouting  unbound flows (older than us, or not ours to balance) are bound to the uplink that they leave by
 *
 * A flow is hashed once, in its first packet; after that only its mark and `live` count. NAT is in tables
 * of families ip and ip6, each only where an uplink wants it: a NAT chain of family inet would make every flow of
 * IPv6 pass the kernel's NAT as soon as IPv4 needs it.
 *
 * An empty chain named after a fingerprint of the structure says what was installed; it works on every
 * kernel, unlike a comment of the table. See docs/forwarding.md; callers: linux_nft.c.
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#define HASH_SEED 0x6a616761 /* fixed: a restarted agent must hash as the one before it */
#define REG32(n) (NFT_REG32_00 + (n))

#define NF_PRIORITY_MANGLE (-150)
#define NF_PRIORITY_SRCNAT 100
#define DHCP4_SERVER_PORT 67
#define DHCP6_SERVER_PORT 547

/* --- matches and small actions, each one phrase of nft's language --- */

static void match_mark_field(struct nft_batch *b, bool is_ct, uint32_t field, unsigned op)
{
	if (is_ct)
		nft_ct(b, NFT_CT_MARK, NFT_REG_1);
	else
		nft_meta(b, NFT_META_MARK, NFT_REG_1);
	nft_bitwise_u32(b, NFT_REG_1, field, 0);
	nft_cmp_u32(b, NFT_REG_1, op, 0);
}

static void match_state_new(struct nft_batch *b)
{
	nft_ct(b, NFT_CT_STATE, NFT_REG_1);
	nft_bitwise_u32(b, NFT_REG_1, NF_CT_STATE_BIT(IP_CT_NEW), 0);
	nft_cmp_u32(b, NFT_REG_1, NFT_CMP_NEQ, 0);
}

static void match_name_in(struct nft_batch *b, unsigned key, const char *set, bool is_inverted)
{
	nft_meta(b, key, NFT_REG_1);
	nft_lookup(b, set, NFT_REG_1, is_inverted);
}

static void match_u8(struct nft_batch *b, unsigned meta_key, uint8_t value)
{
	nft_meta(b, meta_key, NFT_REG_1);
	nft_cmp_u8(b, NFT_REG_1, NFT_CMP_EQ, value);
}

static void rule_return_udp_port(struct nft_batch *b, const char *chain, uint16_t port)
{
	size_t rule = nft_rule_begin(b, chain);
	uint8_t wire[2] = {(uint8_t)(port >> 8), (uint8_t)port};

	match_u8(b, NFT_META_L4PROTO, IPPROTO_UDP);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(wire), NFT_REG_1);
	nft_cmp(b, NFT_REG_1, NFT_CMP_EQ, wire, sizeof(wire));
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);
}

static void rule_return_protocol(struct nft_batch *b, const char *chain, uint8_t protocol)
{
	size_t rule = nft_rule_begin(b, chain);

	match_u8(b, NFT_META_L4PROTO, protocol);
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);
}

static void rule_return_ipsec(struct nft_batch *b, const char *chain)
{
	size_t rule;

	nft_label(b, "rule that leaves IPsec alone (`rt ipsec`, kernel 5.0 or later)");
	rule = nft_rule_begin(b, chain);
	nft_rt(b, NFT_RT_XFRM, NFT_REG_1);
	nft_cmp_u8(b, NFT_REG_1, NFT_CMP_EQ, 1);
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);
}

static void rule_verdict(struct nft_batch *b, const char *chain, int code, const char *target)
{
	size_t rule = nft_rule_begin(b, chain);

	nft_verdict(b, code, target);
	nft_rule_end(b, rule);
}

static void rule_bound_goto_steer(struct nft_batch *b, const char *chain, uint32_t field)
{
	size_t rule = nft_rule_begin(b, chain);

	match_mark_field(b, true, field, NFT_CMP_NEQ);
	nft_verdict(b, NFT_GOTO, "steer");
	nft_rule_end(b, rule);
}

/* --- chains --- */

static void add_chains(struct nft_batch *b, const struct agent_config *config)
{
	static const char *const plain[] = {"from_uplink", "from_lan", "to_uplink", "pick", "hash", "steer"};
	char marker[LINUX_MARKER_BYTES];

	nft_label(b, "chains at the prerouting and postrouting hooks (CONFIG_NF_TABLES_INET)");
	linux_nft_marker(config, marker);
	nft_chain_add(b, marker, NULL);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		nft_chain_add(b, plain[i], NULL);
	linux_nft_add_uplink_chains(b, config);
	nft_chain_add(b, "prerouting", &(struct nft_hook){"filter", NF_INET_PRE_ROUTING, NF_PRIORITY_MANGLE});
	nft_chain_add(b, "postrouting", &(struct nft_hook){"filter", NF_INET_POST_ROUTING, NF_PRIORITY_MANGLE});
	nft_label(b, "chain of type route in family inet (kernel 5.2 or later)");
	nft_chain_add(b, "output", &(struct nft_hook){"route", NF_INET_LOCAL_OUT, NF_PRIORITY_MANGLE});
}

static void add_steer(struct nft_batch *b, uint32_t field)
{
	static const struct {
		uint8_t direction;
		const char *map;
	} steps[] = {{IP_CT_DIR_ORIGINAL, "live"}, {IP_CT_DIR_REPLY, "home"}};

	nft_label(b, "rules that steer bound flows (CONFIG_NFT_CT)");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		size_t rule = nft_rule_begin(b, "steer");

		nft_ct(b, NFT_CT_DIRECTION, NFT_REG_1);
		nft_cmp_u8(b, NFT_REG_1, NFT_CMP_EQ, steps[i].direction);
		nft_ct(b, NFT_CT_MARK, NFT_REG_1);
		nft_bitwise_u32(b, NFT_REG_1, field, 0);
		nft_lookup_verdict(b, steps[i].map, NFT_REG_1);
		nft_rule_end(b, rule);
	}
}

/* jhash of what the configuration names, from consecutive registers: saddr [daddr [sport dport]] */
static void rule_hash(struct nft_batch *b, const struct agent_config *config, unsigned family, uint8_t protocol)
{
	unsigned size = (unsigned)linux_address_length(family);
	unsigned offset = family == LINUX_V4 ? 12 : 8; /* of saddr in the IP header */
	unsigned reg = REG32(0), words = size / 4, n = 1;
	size_t rule = nft_rule_begin(b, "hash");

	match_u8(b, NFT_META_NFPROTO, family == LINUX_V4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	if (protocol)
		match_u8(b, NFT_META_L4PROTO, protocol);
	nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, size, reg);
	if (config->hash != CONFIG_HASH_SOURCE) {
		nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset + size, size, reg + words);
		n = 2;
	}
	if (protocol) {
		nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, reg + 2 * words);
		nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg + 2 * words + 1);
	}
	nft_jhash(b, reg, n * size + (protocol ? 8 : 0), config->n_buckets, HASH_SEED, NFT_REG_1);
	nft_lookup_verdict(b, "bucket", NFT_REG_1);
	nft_rule_end(b, rule);
}

static void add_hash(struct nft_batch *b, const struct agent_config *config)
{
	nft_label(b, "hash of addresses (package kmod-nft-core, CONFIG_NFT_HASH)");
	for (unsigned family = 0; family < LINUX_FAMILIES; family++) {
		if (config->hash == CONFIG_HASH_BOTH_ADDRESSES_AND_PORTS) {
			rule_hash(b, config, family, IPPROTO_TCP);
			rule_hash(b, config, family, IPPROTO_UDP);
		}
		rule_hash(b, config, family, 0);
	}
}

/* What has no business on an uplink of our choice: addresses of the router, broadcast, multicast, link-local. */
static void add_pick(struct nft_batch *b)
{
	static const uint8_t linklocal4[2] = {169, 254};
	static const uint8_t linklocal6[16] = {0xfe, 0x80}, mask6[16] = {0xff, 0xc0}, zero[16];
	size_t rule;

	nft_label(b, "rules on the type of the destination (package kmod-nft-fib, CONFIG_NFT_FIB_INET)");
	rule = nft_rule_begin(b, "pick");
	nft_fib(b, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR, NFT_REG_1);
	nft_cmp_u32(b, NFT_REG_1, NFT_CMP_NEQ, RTN_UNICAST);
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);

	nft_label(b, "rules on link-local destinations");
	rule = nft_rule_begin(b, "pick");
	match_u8(b, NFT_META_NFPROTO, NFPROTO_IPV4);
	nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, 16, sizeof(linklocal4), NFT_REG_1);
	nft_cmp(b, NFT_REG_1, NFT_CMP_EQ, linklocal4, sizeof(linklocal4));
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);

	rule = nft_rule_begin(b, "pick");
	match_u8(b, NFT_META_NFPROTO, NFPROTO_IPV6);
	nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, 24, sizeof(linklocal6), NFT_REG_1);
	nft_bitwise(b, NFT_REG_1, mask6, zero, sizeof(mask6));
	nft_cmp(b, NFT_REG_1, NFT_CMP_EQ, linklocal6, sizeof(linklocal6));
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);

	rule_verdict(b, "pick", NFT_GOTO, "hash");
}

static void add_prerouting(struct nft_batch *b, const struct agent_config *config)
{
	uint32_t field = config->mark_field;
	size_t rule;

	nft_label(b, "rules at the prerouting hook");
	rule = nft_rule_begin(b, "prerouting");
	match_name_in(b, NFT_META_IIFNAME, "uplinks", false);
	nft_verdict(b, NFT_GOTO, "from_uplink");
	nft_rule_end(b, rule);
	rule_bound_goto_steer(b, "prerouting", field);
	rule = nft_rule_begin(b, "prerouting");
	match_name_in(b, NFT_META_IIFNAME, "lans", false);
	match_state_new(b);
	nft_verdict(b, NFT_GOTO, "from_lan");
	nft_rule_end(b, rule);

	rule = nft_rule_begin(b, "from_uplink");
	match_state_new(b);
	match_mark_field(b, true, field, NFT_CMP_EQ);
	nft_meta(b, NFT_META_IIFNAME, NFT_REG_1);
	nft_lookup_verdict(b, "by_interface", NFT_REG_1);
	nft_rule_end(b, rule);

	/*
	 * Without our mark the main table decides: what it sends to another interface than an uplink (another
	 * LAN, a tunnel) stays there. What it has no route for at all is ours.
	 */
	nft_label(b, "rules on the route to the destination (package kmod-nft-fib, CONFIG_NFT_FIB_INET)");
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		char name[IFNAMSIZ] = {0};

		memcpy(name, config->uplinks[i].interface, strnlen(config->uplinks[i].interface, IFNAMSIZ - 1));
		rule = nft_rule_begin(b, "from_lan");
		nft_fib(b, NFT_FIB_RESULT_OIFNAME, NFTA_FIB_F_DADDR, NFT_REG_1);
		nft_cmp(b, NFT_REG_1, NFT_CMP_EQ, name, sizeof(name));
		nft_verdict(b, NFT_GOTO, "to_uplink");
		nft_rule_end(b, rule);
	}
	rule = nft_rule_begin(b, "from_lan");
	nft_fib(b, NFT_FIB_RESULT_OIF, NFTA_FIB_F_DADDR, NFT_REG_1);
	nft_cmp_u32(b, NFT_REG_1, NFT_CMP_EQ, 0);
	nft_verdict(b, NFT_GOTO, "to_uplink");
	nft_rule_end(b, rule);

	nft_label(b, "rules at the prerouting hook");
	rule_verdict(b, "to_uplink", NFT_JUMP, "pick");
	rule_verdict(b, "to_uplink", NFT_GOTO, "steer");
}

static void add_output(struct nft_batch *b, uint32_t field)
{
	size_t rule;

	nft_label(b, "rules at the output hook");
	rule = nft_rule_begin(b, "output"); /* the agent's probes say themselves where they go */
	match_mark_field(b, false, field, NFT_CMP_NEQ);
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);
	rule_return_protocol(b, "output", IPPROTO_ESP); /* a tunnel's outer address was negotiated */
	rule_return_protocol(b, "output", IPPROTO_AH);
	rule_return_udp_port(b, "output", DHCP4_SERVER_PORT);
	rule_return_udp_port(b, "output", DHCP6_SERVER_PORT);
	rule_bound_goto_steer(b, "output", field);
	rule = nft_rule_begin(b, "output");
	match_name_in(b, NFT_META_OIFNAME, "uplinks", true);
	nft_verdict(b, NFT_RETURN, NULL);
	nft_rule_end(b, rule);
	rule = nft_rule_begin(b, "output");
	match_state_new(b);
	nft_verdict(b, NFT_JUMP, "pick");
	nft_rule_end(b, rule);
	rule_verdict(b, "output", NFT_GOTO, "steer");

	nft_label(b, "rules at the postrouting hook");
	rule = nft_rule_begin(b, "postrouting");
	match_mark_field(b, false, field, NFT_CMP_EQ);
	match_mark_field(b, true, field, NFT_CMP_EQ);
	nft_meta(b, NFT_META_OIFNAME, NFT_REG_1);
	nft_lookup_verdict(b, "by_interface", NFT_REG_1);
	nft_rule_end(b, rule);
}

static bool uplink_has_nat(const struct config_uplink *uplink, uint8_t family)
{
	return family == NFPROTO_IPV4 ? uplink->nat : uplink->nat6;
}

static void add_nat(struct nft_batch *b, const struct agent_config *config, uint8_t family, bool has_ipsec)
{
	char marker[LINUX_MARKER_BYTES];
	size_t rule;

	nft_label(b, "chain of type nat (package kmod-nft-nat, CONFIG_NFT_NAT)");
	linux_nft_marker(config, marker);
	nft_chain_add(b, marker, NULL);
	nft_chain_add(b, "postrouting", &(struct nft_hook){"nat", NF_INET_POST_ROUTING, NF_PRIORITY_SRCNAT});

	if (has_ipsec)
		rule_return_ipsec(b, "postrouting");
	rule_return_protocol(b, "postrouting", IPPROTO_ESP);
	rule_return_protocol(b, "postrouting", IPPROTO_AH);

	nft_label(b, "masquerade (package kmod-nft-nat, CONFIG_NFT_MASQ)");
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		char name[IFNAMSIZ] = {0};

		if (!uplink_has_nat(&config->uplinks[i], family))
			continue;
		memcpy(name, config->uplinks[i].interface, strnlen(config->uplinks[i].interface, IFNAMSIZ - 1));
		rule = nft_rule_begin(b, "postrouting");
		nft_meta(b, NFT_META_OIFNAME, NFT_REG_1);
		nft_cmp(b, NFT_REG_1, NFT_CMP_EQ, name, sizeof(name));
		nft_masquerade(b);
		nft_rule_end(b, rule);
	}
}

/* --- the whole --- */

/* Adding first makes deleting safe when there is nothing to delete. */
void linux_nft_replace_table(struct nft_batch *b, uint8_t family, bool is_wanted)
{
	nft_label(b, "table (package kmod-nft-core, CONFIG_NF_TABLES)");
	nft_table_add(b, family, LINUX_TABLE);
	nft_table_delete(b);
	if (is_wanted)
		nft_table_add(b, family, LINUX_TABLE);
}

/*
 * Kernels without CONFIG_XFRM have no IPsec and do not know `rt ipsec`: asked by that rule alone, in a transaction
 * without its end. What else they refuse is said of the plan itself.
 */
bool linux_nft_has_ipsec(struct router *router)
{
	static const char chain[] = "ipsec";
	struct nft_batch *b = &router->batch;
	struct err ignored;

	nft_batch_begin(b, router->memory, sizeof(router->memory), nl_socket_next(&router->netfilter));
	nft_table_add(b, NFPROTO_IPV4, LINUX_TABLE);
	nft_chain_add(b, chain, NULL);
	rule_return_ipsec(b, chain);
	return nft_batch_try(b, &router->netfilter, &ignored) != -EOPNOTSUPP;
}

void linux_nft_write(struct router *router, const struct forwarding_plan *plan)
{
	static const uint8_t nat_families[] = {NFPROTO_IPV4, NFPROTO_IPV6};
	const struct agent_config *config = router->config;
	struct nft_batch *b = &router->batch;

	nft_batch_begin(b, router->memory, sizeof(router->memory), nl_socket_next(&router->netfilter));
	linux_nft_replace_table(b, NFPROTO_INET, true);
	add_chains(b, config);
	linux_nft_add_maps(b, config, plan);
	linux_nft_add_mark_rules(b, config);
	add_steer(b, config->mark_field);
	add_hash(b, config);
	add_pick(b);
	add_prerouting(b, config);
	add_output(b, config->mark_field);
	for (size_t f = 0; f < sizeof(nat_families); f++) {
		bool is_wanted = false;

		if (nat_families[f] == NFPROTO_IPV6 && !router->has_ipv6)
			continue;
		for (unsigned i = 0; i < config->n_uplinks; i++)
			is_wanted |= uplink_has_nat(&config->uplinks[i], nat_families[f]);
		linux_nft_replace_table(b, nat_families[f], is_wanted);
		if (is_wanted)
			add_nat(b, config, nat_families[f], router->has_ipsec);
	}
}
