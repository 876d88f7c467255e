/*
 * linux_doctor_facts: what one rule of somebody else's does, and what one flowtable covers, read from
 * the expressions as the kernel lists them. Only what can meet ours is looked for:
 *   - bits of packet and connection marks that are written, and marks compared without a mask
 *   - source NAT without an interface; the TCP maximum segment size; notrack; names of our uplinks
 *
 * Registers are followed just as far as needed: one value at a time, since the rules that people write
 * load a mark, change it and store it. What cannot be followed counts as writing every bit: the doctor
 * would rather name a rule too many. Pure; fuzzed together with netlink.c.
 *
 * Callers: linux_doctor_nft.c.
 */
#include "agent/router/linux_doctor.h"

#include <errno.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_mark.h>
#include <string.h>

#define TCPOPT_MAXSEG 2

enum origin { ORIGIN_OTHER, ORIGIN_META_MARK, ORIGIN_CT_MARK };

struct walk {
	const struct agent_config *config;
	struct linux_rule_facts *facts;
	enum origin origin; /* of the value in the register */
	uint32_t changed;   /* its bits that are not the origin's any more */
	bool has_mask;
	bool has_interface; /* an outgoing interface was asked for */
	bool failed;
};

/* The attributes of one expression that matter here. */
struct expression {
	uint32_t key, operation, kind;
	bool has_sreg, has_dreg;
	struct nl_attr value, mask, xor;
};

static uint32_t value_u32(const struct nl_attr *data)
{
	struct nl_reader reader;
	struct nl_attr attr;
	uint32_t value = UINT32_MAX;

	if (!data->data)
		return value;
	nl_enter(data, &reader);
	while (nl_next_attr(&reader, &attr)) {
		if (attr.type == NFTA_DATA_VALUE && attr.length == sizeof(value))
			memcpy(&value, attr.data, sizeof(value));
	}
	return value;
}

/* A comparison with the name of an uplink's interface, or with its beginning ("wan*"). */
static void note_name(struct walk *walk, const struct nl_attr *data)
{
	struct nl_reader reader;
	struct nl_attr attr;

	if (!data->data)
		return;
	nl_enter(data, &reader);
	while (nl_next_attr(&reader, &attr)) {
		if (attr.type != NFTA_DATA_VALUE || attr.length < 2 || attr.length > IFNAMSIZ)
			continue;
		for (unsigned i = 0; i < walk->config->n_uplinks; i++) {
			char name[IFNAMSIZ] = {0};

			memcpy(name, walk->config->uplinks[i].interface, strnlen(walk->config->uplinks[i].interface, IFNAMSIZ - 1));
			if (memcmp(name, attr.data, attr.length) == 0)
				walk->facts->uplinks_named |= 1u << i;
		}
	}
}

/* The attribute numbers differ from expression to expression; each reads its own. */
static void read_expression(const char *name, struct nl_reader *attrs, struct expression *e)
{
	static const struct {
		const char *name;
		uint16_t key, sreg, dreg, operation, kind, value, mask, xor;
	} layouts[] = {
		{"meta", NFTA_META_KEY, NFTA_META_SREG, NFTA_META_DREG, 0, 0, 0, 0, 0},
		{"ct", NFTA_CT_KEY, NFTA_CT_SREG, NFTA_CT_DREG, 0, 0, 0, 0, 0},
		{"cmp", 0, NFTA_CMP_SREG, 0, NFTA_CMP_OP, 0, NFTA_CMP_DATA, 0, 0},
		{"bitwise", 0, NFTA_BITWISE_SREG, NFTA_BITWISE_DREG, NFTA_BITWISE_OP, 0, 0, NFTA_BITWISE_MASK, NFTA_BITWISE_XOR},
		{"immediate", 0, 0, NFTA_IMMEDIATE_DREG, 0, 0, NFTA_IMMEDIATE_DATA, 0, 0},
		{"lookup", 0, NFTA_LOOKUP_SREG, NFTA_LOOKUP_DREG, 0, 0, 0, 0, 0},
		{"hash", 0, NFTA_HASH_SREG, NFTA_HASH_DREG, 0, 0, 0, 0, 0},
		{"numgen", 0, 0, NFTA_NG_DREG, 0, 0, 0, 0, 0},
		{"exthdr", NFTA_EXTHDR_TYPE, NFTA_EXTHDR_SREG, NFTA_EXTHDR_DREG, NFTA_EXTHDR_OP, 0, 0, 0, 0},
		{"nat", 0, 0, 0, 0, NFTA_NAT_TYPE, 0, 0, 0},
	};
	struct nl_attr attr;
	size_t l = 0;

	while (l < sizeof(layouts) / sizeof(layouts[0]) && strcmp(layouts[l].name, name) != 0)
		l++;
	if (l == sizeof(layouts) / sizeof(layouts[0]))
		return;
	while (nl_next_attr(attrs, &attr)) {
		if (attr.type == layouts[l].key && strcmp(name, "exthdr") == 0)
			e->key = nl_get_u8(attrs, &attr);
		else if (attr.type == layouts[l].key)
			e->key = nl_get_be32(attrs, &attr);
		else if (attr.type == layouts[l].sreg)
			e->has_sreg = true;
		else if (attr.type == layouts[l].dreg)
			e->has_dreg = true;
		else if (attr.type == layouts[l].operation)
			e->operation = nl_get_be32(attrs, &attr);
		else if (attr.type == layouts[l].kind)
			e->kind = nl_get_be32(attrs, &attr);
		else if (attr.type == layouts[l].value)
			e->value = attr;
		else if (attr.type == layouts[l].mask)
			e->mask = attr;
		else if (attr.type == layouts[l].xor)
			e->xor = attr;
	}
}

/* iptables-nft wraps its targets: MARK and CONNMARK with their own structs. */
static void read_target(struct walk *walk, struct nl_reader *attrs)
{
	char name[32] = "";
	struct xt_mark_tginfo2 mark;
	struct xt_connmark_tginfo1 connmark;
	struct nl_attr attr, info = {0};

	while (nl_next_attr(attrs, &attr)) {
		if (attr.type == NFTA_TARGET_NAME)
			nl_get_string(attrs, &attr, name, sizeof(name));
		else if (attr.type == NFTA_TARGET_INFO)
			info = attr;
	}
	if (strcmp(name, "MARK") == 0 && info.length >= sizeof(mark)) {
		memcpy(&mark, info.data, sizeof(mark));
		walk->facts->meta_written |= mark.mark | mark.mask;
	} else if (strcmp(name, "CONNMARK") == 0 && info.length >= sizeof(connmark)) {
		memcpy(&connmark, info.data, sizeof(connmark));
		if (connmark.mode == XT_CONNMARK_RESTORE)
			walk->facts->meta_written |= connmark.nfmask;
		else
			walk->facts->ct_written |= connmark.ctmask | (connmark.mode == XT_CONNMARK_SET ? connmark.ctmark : 0);
	} else if (strcmp(name, "TCPMSS") == 0) {
		walk->facts->clamps_mss = true;
	} else if (strcmp(name, "MASQUERADE") == 0 || strcmp(name, "SNAT") == 0) {
		walk->facts->translates_source = true;
		walk->facts->is_snat_everywhere |= name[0] == 'S' && !walk->has_interface;
	}
}

static void step_mark(struct walk *walk, const struct expression *e, bool is_ct)
{
	enum origin here = is_ct ? ORIGIN_CT_MARK : ORIGIN_META_MARK;

	if (e->has_sreg && e->key == (is_ct ? (uint32_t)NFT_CT_MARK : (uint32_t)NFT_META_MARK)) {
		uint32_t written = walk->origin == here ? walk->changed : UINT32_MAX;

		if (is_ct)
			walk->facts->ct_written |= written;
		else
			walk->facts->meta_written |= written;
	} else if (e->has_dreg) {
		walk->origin = e->key == (is_ct ? (uint32_t)NFT_CT_MARK : (uint32_t)NFT_META_MARK) ? here : ORIGIN_OTHER;
		walk->changed = 0;
		walk->has_mask = false;
		walk->has_interface |= !is_ct && (e->key == NFT_META_OIFNAME || e->key == NFT_META_OIF);
	}
}

static void step_bitwise(struct walk *walk, const struct expression *e)
{
	walk->has_mask = true;
	/* Operation 0 is (value & mask) ^ xor; shifts and two-register forms are not followed. */
	walk->changed |= e->operation == 0 ? ~value_u32(&e->mask) | value_u32(&e->xor) : UINT32_MAX;
}

static void step(struct walk *walk, const char *name, const struct expression *e)
{
	if (strcmp(name, "meta") == 0) {
		step_mark(walk, e, false);
	} else if (strcmp(name, "ct") == 0) {
		step_mark(walk, e, true);
	} else if (strcmp(name, "bitwise") == 0) {
		step_bitwise(walk, e);
	} else if (strcmp(name, "cmp") == 0) {
		if (walk->origin != ORIGIN_OTHER && !walk->has_mask && value_u32(&e->value) != 0)
			walk->facts->whole_compared |= 1;
		note_name(walk, &e->value);
	} else if (strcmp(name, "exthdr") == 0) {
		walk->facts->clamps_mss |= e->has_sreg && e->key == TCPOPT_MAXSEG && e->operation == NFT_EXTHDR_OP_TCPOPT;
	} else if (strcmp(name, "nat") == 0) {
		walk->facts->translates_source |= e->kind == NFT_NAT_SNAT;
		walk->facts->is_snat_everywhere |= e->kind == NFT_NAT_SNAT && !walk->has_interface;
	} else if (strcmp(name, "masq") == 0) {
		walk->facts->translates_source = true;
	} else if (strcmp(name, "notrack") == 0) {
		walk->facts->is_notrack = true;
	} else if (e->has_dreg) { /* a constant, a lookup's result, a hash */
		walk->origin = ORIGIN_OTHER;
		walk->changed = UINT32_MAX;
	}
}

static void walk_expression(struct walk *walk, struct nl_reader *attrs)
{
	struct expression e = {.key = UINT32_MAX};
	char name[16] = "";
	struct nl_attr attr, data = {0};
	struct nl_reader inner;

	while (nl_next_attr(attrs, &attr)) {
		if (attr.type == NFTA_EXPR_NAME && attr.length <= sizeof(name))
			nl_get_string(attrs, &attr, name, sizeof(name));
		else if (attr.type == NFTA_EXPR_DATA)
			data = attr;
	}
	walk->failed |= attrs->failed;
	nl_reader_init(&inner, data.data ? data.data : (const uint8_t *)"", data.length);
	if (strcmp(name, "target") == 0) {
		read_target(walk, &inner);
	} else {
		read_expression(name, &inner, &e);
		step(walk, name, &e);
	}
	walk->failed |= inner.failed;
}

int linux_rule_read_facts(const struct agent_config *config, const struct nl_attr *expressions,
			  struct linux_rule_facts *ret_facts)
{
	struct linux_rule_facts facts = {0};
	struct walk walk = {.config = config, .facts = &facts};
	struct nl_reader list, inner;
	struct nl_attr attr;

	nl_enter(expressions, &list);
	while (nl_next_attr(&list, &attr)) {
		nl_enter(&attr, &inner);
		walk_expression(&walk, &inner);
	}
	if (list.failed || walk.failed)
		return -EBADMSG;
	*ret_facts = facts;
	return 0;
}

/* --- flowtables --- */

static void note_device(const struct agent_config *config, const char *name, uint32_t *ret_interfaces)
{
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		if (strcmp(config->uplinks[i].interface, name) == 0)
			*ret_interfaces |= 1u << i;
	}
	for (unsigned i = 0; i < config->n_lans; i++) {
		if (strcmp(config->lans[i], name) == 0)
			*ret_interfaces |= 1u << (LIMIT_UPLINKS + i);
	}
}

static bool read_hook(const struct agent_config *config, const struct nl_attr *hook, uint32_t *ret_interfaces)
{
	struct nl_reader attrs, devices;
	struct nl_attr attr;
	char name[IFNAMSIZ];

	nl_enter(hook, &attrs);
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type != NFTA_FLOWTABLE_HOOK_DEVS)
			continue;
		nl_enter(&attr, &devices);
		while (nl_next_attr(&devices, &attr)) {
			nl_get_string(&devices, &attr, name, sizeof(name));
			note_device(config, name, ret_interfaces);
		}
		if (devices.failed)
			return false;
	}
	return !attrs.failed;
}

int linux_flowtable_read_facts(const struct agent_config *config, const struct nl_message *message,
			       struct linux_flowtable_facts *ret_facts)
{
	struct linux_flowtable_facts facts = {0};
	struct nfgenmsg header;
	struct nl_reader attrs;
	struct nl_attr attr;

	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == NFTA_FLOWTABLE_TABLE)
			nl_get_string_cut(&attr, facts.table, sizeof(facts.table));
		else if (attr.type == NFTA_FLOWTABLE_NAME)
			nl_get_string_cut(&attr, facts.name, sizeof(facts.name));
		else if (attr.type == NFTA_FLOWTABLE_FLAGS)
			facts.is_hardware = nl_get_be32(&attrs, &attr) & NFT_FLOWTABLE_HW_OFFLOAD;
		else if (attr.type == NFTA_FLOWTABLE_HOOK && !read_hook(config, &attr, &facts.interfaces))
			return -EBADMSG;
	}
	if (attrs.failed)
		return -EBADMSG;
	*ret_facts = facts;
	return 0;
}
