/*
 * nft: see nft.h. A transaction is NFNL_MSG_BATCH_BEGIN, messages, NFNL_MSG_BATCH_END in one send();
 * the kernel does all of it or nothing. The last message asks for an acknowledgement, and a table of
 * labels by sequence number turns "message 23: ENOENT" into words.
 *
 * Byte order: attributes of nf_tables are big-endian; values that are compared or looked up are in the
 * order of their origin: marks, states and interface types in host order, packet bytes as they come.
 *
 * Callers: linux_nft.c (the plan), linux_nft_read.c.
 */
#include "agent/router/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <string.h>

/* What the nft program writes beside a set (libnftnl: udata.h; nftables: enum byteorder, enum expr_types). */
#define UDATA_SET_KEYBYTEORDER 0
#define UDATA_SET_KEY_TYPEOF 3
#define UDATA_SET_DATA_TYPEOF 4
#define UDATA_TYPEOF_EXPR 0
#define UDATA_TYPEOF_DATA 1
#define EXPR_VERDICT 1
#define EXPR_NUMGEN 23
#define BYTEORDER_HOST 1

static void put_genmsg(struct nl_writer *writer, uint8_t family, uint16_t resource)
{
	struct nfgenmsg header = {.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)};

	nl_put(writer, &header, sizeof(header));
}

static void begin(struct nft_batch *batch, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
	uint32_t index = batch->next - batch->first;

	if (index >= LIMIT_NETLINK_MESSAGES) {
		batch->writer.failed = true;
		return;
	}
	batch->labels[index] = batch->label;
	nl_begin(&batch->writer, type, NLM_F_REQUEST | flags, batch->next++);
	put_genmsg(&batch->writer, family, resource);
}

static void begin_nft(struct nft_batch *batch, unsigned message, uint16_t flags)
{
	begin(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), flags, batch->family, 0);
}

void nft_get_begin(struct nl_writer *writer, unsigned message, uint16_t flags, uint32_t sequence, uint8_t family)
{
	nl_begin(writer, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), NLM_F_REQUEST | flags, sequence);
	put_genmsg(writer, family, 0);
}

void nft_batch_begin(struct nft_batch *batch, void *memory, size_t size, uint32_t sequence)
{
	nl_writer_init(&batch->writer, memory, size);
	batch->first = batch->next = sequence;
	batch->set_ids = 0;
	batch->label = "transaction";
	batch->table = NULL;
	begin(batch, NFNL_MSG_BATCH_BEGIN, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
	nl_end(&batch->writer);
}

bool nft_batch_is_empty(const struct nft_batch *batch)
{
	return batch->next - batch->first <= 1;
}

/* Sends what is written and turns a refusal into words. */
static int send_batch(struct nft_batch *batch, struct nl_socket *sock, uint32_t last, struct err *err)
{
	struct nl_refusal refusal = {0};
	const char *label = "transaction";
	int ret;

	sock->sequence = batch->next;
	ret = nl_socket_request(sock, &batch->writer, batch->first, last, &refusal, NULL, NULL);
	if (ret == 0)
		return 0;
	if (refusal.result.error == 0)
		return err_sys(err, ret, "nf_tables transaction");
	if (refusal.sequence - batch->first <= last - batch->first)
		label = batch->labels[refusal.sequence - batch->first];
	if (refusal.result.explanation[0])
		return err_sys(err, ret, "the kernel refused the %s: %s", label, refusal.result.explanation);
	return err_sys(err, ret, "the kernel refused the %s", label);
}

int nft_batch_commit(struct nft_batch *batch, struct nl_socket *sock, struct err *err)
{
	uint32_t last = batch->next - 1;

	if (nft_batch_is_empty(batch))
		return 0;
	nl_add_flags(&batch->writer, NLM_F_ACK);
	begin(batch, NFNL_MSG_BATCH_END, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
	nl_end(&batch->writer);
	return send_batch(batch, sock, last, err);
}

int nft_batch_try(struct nft_batch *batch, struct nl_socket *sock, struct err *err)
{
	nl_add_flags(&batch->writer, NLM_F_ACK);
	return send_batch(batch, sock, batch->next - 1, err);
}

void nft_label(struct nft_batch *batch, const char *label)
{
	batch->label = label;
}

/* --- tables, chains, sets --- */

void nft_table_select(struct nft_batch *batch, uint8_t family, const char *table)
{
	batch->family = family;
	batch->table = table;
}

void nft_table_add(struct nft_batch *batch, uint8_t family, const char *table)
{
	nft_table_select(batch, family, table);
	begin_nft(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	nl_attr_string(&batch->writer, NFTA_TABLE_NAME, table);
	nl_attr_be32(&batch->writer, NFTA_TABLE_FLAGS, 0);
	nl_end(&batch->writer);
}

void nft_table_delete(struct nft_batch *batch)
{
	begin_nft(batch, NFT_MSG_DELTABLE, 0);
	nl_attr_string(&batch->writer, NFTA_TABLE_NAME, batch->table);
	nl_end(&batch->writer);
}

void nft_chain_add(struct nft_batch *batch, const char *chain, const struct nft_hook *hook)
{
	struct nl_writer *w = &batch->writer;

	begin_nft(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	nl_attr_string(w, NFTA_CHAIN_TABLE, batch->table);
	nl_attr_string(w, NFTA_CHAIN_NAME, chain);
	if (hook) {
		size_t nest = nl_nest(w, NFTA_CHAIN_HOOK);

		nl_attr_be32(w, NFTA_HOOK_HOOKNUM, hook->number);
		nl_attr_be32(w, NFTA_HOOK_PRIORITY, (uint32_t)hook->priority);
		nl_nest_end(w, nest);
		nl_attr_be32(w, NFTA_CHAIN_POLICY, NF_ACCEPT);
		nl_attr_string(w, NFTA_CHAIN_TYPE, hook->type);
	}
	nl_end(w);
}

struct note { /* libnftnl keeps notes as type, length, value */
	uint8_t type, length;
	uint32_t value;
} __attribute__((packed));

/*
 * Notes for the nft program: keys are in host order, or it lists them the wrong way round; and a number has
 * the type of an expression (`typeof numgen inc mod N`), or it does not load what it has listed.
 */
static void put_notes(struct nl_writer *w, enum nft_key key, uint32_t modulus)
{
	const struct notes {
		struct note order;
		uint8_t typeof_type, typeof_length;
		struct note expression;
		uint8_t data_type, data_length;
		struct note numgen[3];
		uint8_t value_type, value_length;
		struct note value_expression;
		uint8_t value_data_type, value_data_length;
	} __attribute__((packed)) notes = {
		.order = {UDATA_SET_KEYBYTEORDER, sizeof(uint32_t), BYTEORDER_HOST},
		.typeof_type = UDATA_SET_KEY_TYPEOF,
		.typeof_length = offsetof(struct notes, value_type) - offsetof(struct notes, expression),
		.expression = {UDATA_TYPEOF_EXPR, sizeof(uint32_t), EXPR_NUMGEN},
		.data_type = UDATA_TYPEOF_DATA,
		.data_length = sizeof(notes.numgen),
		.numgen = {{0, sizeof(uint32_t), NFT_NG_INCREMENTAL}, {1, sizeof(uint32_t), modulus}, {2, sizeof(uint32_t), 0}},
		.value_type = UDATA_SET_DATA_TYPEOF,
		.value_length = sizeof(notes) - offsetof(struct notes, value_expression),
		.value_expression = {UDATA_TYPEOF_EXPR, sizeof(uint32_t), EXPR_VERDICT},
		.value_data_type = UDATA_TYPEOF_DATA,
	};

	nl_attr(w, NFTA_SET_USERDATA, &notes, key == NFT_KEY_NUMBER ? sizeof(notes) : sizeof(notes.order));
}

static void set_add(struct nft_batch *batch, const char *set, enum nft_key key, uint32_t modulus, bool is_vmap)
{
	static const struct {
		uint32_t type, length;
	} keys[] = {
		[NFT_KEY_MARK] = {NFT_DATATYPE_MARK, sizeof(uint32_t)},
		[NFT_KEY_IFNAME] = {NFT_DATATYPE_IFNAME, IFNAMSIZ},
		[NFT_KEY_NUMBER] = {NFT_DATATYPE_INTEGER, sizeof(uint32_t)},
	};
	struct nl_writer *w = &batch->writer;

	begin_nft(batch, NFT_MSG_NEWSET, NLM_F_CREATE);
	nl_attr_string(w, NFTA_SET_TABLE, batch->table);
	nl_attr_string(w, NFTA_SET_NAME, set);
	nl_attr_be32(w, NFTA_SET_FLAGS, is_vmap ? NFT_SET_MAP : 0);
	nl_attr_be32(w, NFTA_SET_KEY_TYPE, keys[key].type);
	nl_attr_be32(w, NFTA_SET_KEY_LEN, keys[key].length);
	nl_attr_be32(w, NFTA_SET_ID, ++batch->set_ids);
	if (is_vmap)
		nl_attr_be32(w, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
	put_notes(w, key, modulus);
	nl_end(w);
}

void nft_set_add(struct nft_batch *batch, const char *set, enum nft_key key)
{
	set_add(batch, set, key, 0, false);
}

void nft_vmap_add(struct nft_batch *batch, const char *map, enum nft_key key, uint32_t modulus)
{
	set_add(batch, map, key, modulus, true);
}

static void put_verdict(struct nl_writer *w, int code, const char *chain)
{
	size_t nest = nl_nest(w, NFTA_DATA_VERDICT);

	nl_attr_be32(w, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		nl_attr_string(w, NFTA_VERDICT_CHAIN, chain);
	nl_nest_end(w, nest);
}

static void put_data(struct nl_writer *w, unsigned type, const void *value, size_t length)
{
	size_t nest = nl_nest(w, type);

	nl_attr(w, NFTA_DATA_VALUE, value, length);
	nl_nest_end(w, nest);
}

size_t nft_elements_begin(struct nft_batch *batch, unsigned message, const char *set)
{
	begin_nft(batch, message, message == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
	nl_attr_string(&batch->writer, NFTA_SET_ELEM_LIST_TABLE, batch->table);
	nl_attr_string(&batch->writer, NFTA_SET_ELEM_LIST_SET, set);
	return nl_nest(&batch->writer, NFTA_SET_ELEM_LIST_ELEMENTS);
}

void nft_element(struct nft_batch *batch, const void *key, size_t length)
{
	size_t nest = nl_nest(&batch->writer, NFTA_LIST_ELEM);

	put_data(&batch->writer, NFTA_SET_ELEM_KEY, key, length);
	nl_nest_end(&batch->writer, nest);
}

void nft_element_goto(struct nft_batch *batch, const void *key, size_t length, const char *chain)
{
	size_t nest = nl_nest(&batch->writer, NFTA_LIST_ELEM), data;

	put_data(&batch->writer, NFTA_SET_ELEM_KEY, key, length);
	data = nl_nest(&batch->writer, NFTA_SET_ELEM_DATA);
	put_verdict(&batch->writer, NFT_GOTO, chain);
	nl_nest_end(&batch->writer, data);
	nl_nest_end(&batch->writer, nest);
}

void nft_elements_end(struct nft_batch *batch, size_t nest)
{
	nl_nest_end(&batch->writer, nest);
	nl_end(&batch->writer);
}

/* --- rules --- */

size_t nft_rule_begin(struct nft_batch *batch, const char *chain)
{
	begin_nft(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	nl_attr_string(&batch->writer, NFTA_RULE_TABLE, batch->table);
	nl_attr_string(&batch->writer, NFTA_RULE_CHAIN, chain);
	return nl_nest(&batch->writer, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft_batch *batch, size_t nest)
{
	nl_nest_end(&batch->writer, nest);
	nl_end(&batch->writer);
}

struct expr {
	struct nl_writer *writer;
	size_t nest, data;
};

static struct expr expr_begin(struct nft_batch *batch, const char *name)
{
	struct expr expr = {.writer = &batch->writer, .nest = nl_nest(&batch->writer, NFTA_LIST_ELEM)};

	nl_attr_string(expr.writer, NFTA_EXPR_NAME, name);
	expr.data = nl_nest(expr.writer, NFTA_EXPR_DATA);
	return expr;
}

static void expr_end(struct expr *expr)
{
	nl_nest_end(expr->writer, expr->data);
	nl_nest_end(expr->writer, expr->nest);
}

/* Most expressions are a handful of 32-bit attributes. */
static void expr_put(struct nft_batch *batch, const char *name, unsigned n, const uint32_t pairs[][2])
{
	struct expr expr = expr_begin(batch, name);

	for (unsigned i = 0; i < n; i++)
		nl_attr_be32(expr.writer, pairs[i][0], pairs[i][1]);
	expr_end(&expr);
}

void nft_meta(struct nft_batch *batch, unsigned key, unsigned reg)
{
	expr_put(batch, "meta", 2, (const uint32_t[][2]){{NFTA_META_KEY, key}, {NFTA_META_DREG, reg}});
}

void nft_meta_set(struct nft_batch *batch, unsigned key, unsigned reg)
{
	expr_put(batch, "meta", 2, (const uint32_t[][2]){{NFTA_META_KEY, key}, {NFTA_META_SREG, reg}});
}

void nft_ct(struct nft_batch *batch, unsigned key, unsigned reg)
{
	expr_put(batch, "ct", 2, (const uint32_t[][2]){{NFTA_CT_KEY, key}, {NFTA_CT_DREG, reg}});
}

void nft_ct_set(struct nft_batch *batch, unsigned key, unsigned reg)
{
	expr_put(batch, "ct", 2, (const uint32_t[][2]){{NFTA_CT_KEY, key}, {NFTA_CT_SREG, reg}});
}

void nft_rt(struct nft_batch *batch, unsigned key, unsigned reg)
{
	expr_put(batch, "rt", 2, (const uint32_t[][2]){{NFTA_RT_KEY, key}, {NFTA_RT_DREG, reg}});
}

void nft_payload(struct nft_batch *batch, unsigned base, unsigned offset, unsigned length, unsigned reg)
{
	expr_put(batch, "payload", 4,
		 (const uint32_t[][2]){{NFTA_PAYLOAD_DREG, reg},
				       {NFTA_PAYLOAD_BASE, base},
				       {NFTA_PAYLOAD_OFFSET, offset},
				       {NFTA_PAYLOAD_LEN, length}});
}

void nft_fib(struct nft_batch *batch, unsigned result, unsigned flags, unsigned reg)
{
	expr_put(batch, "fib", 3,
		 (const uint32_t[][2]){{NFTA_FIB_DREG, reg}, {NFTA_FIB_RESULT, result}, {NFTA_FIB_FLAGS, flags}});
}

void nft_cmp(struct nft_batch *batch, unsigned reg, unsigned op, const void *value, size_t length)
{
	struct expr expr = expr_begin(batch, "cmp");

	nl_attr_be32(expr.writer, NFTA_CMP_SREG, reg);
	nl_attr_be32(expr.writer, NFTA_CMP_OP, op);
	put_data(expr.writer, NFTA_CMP_DATA, value, length);
	expr_end(&expr);
}

void nft_cmp_u8(struct nft_batch *batch, unsigned reg, unsigned op, uint8_t value)
{
	nft_cmp(batch, reg, op, &value, sizeof(value));
}

void nft_cmp_u32(struct nft_batch *batch, unsigned reg, unsigned op, uint32_t value)
{
	nft_cmp(batch, reg, op, &value, sizeof(value));
}

void nft_bitwise(struct nft_batch *batch, unsigned reg, const void *mask, const void *xor, size_t length)
{
	struct expr expr = expr_begin(batch, "bitwise");

	nl_attr_be32(expr.writer, NFTA_BITWISE_SREG, reg);
	nl_attr_be32(expr.writer, NFTA_BITWISE_DREG, reg);
	nl_attr_be32(expr.writer, NFTA_BITWISE_LEN, (uint32_t)length);
	put_data(expr.writer, NFTA_BITWISE_MASK, mask, length);
	put_data(expr.writer, NFTA_BITWISE_XOR, xor, length);
	expr_end(&expr);
}

void nft_bitwise_u32(struct nft_batch *batch, unsigned reg, uint32_t mask, uint32_t xor)
{
	nft_bitwise(batch, reg, &mask, &xor, sizeof(mask));
}

void nft_jhash(struct nft_batch *batch, unsigned source, unsigned length, uint32_t modulus, uint32_t seed, unsigned reg)
{
	expr_put(batch, "hash", 6,
		 (const uint32_t[][2]){{NFTA_HASH_SREG, source},
				       {NFTA_HASH_DREG, reg},
				       {NFTA_HASH_LEN, length},
				       {NFTA_HASH_MODULUS, modulus},
				       {NFTA_HASH_SEED, seed},
				       {NFTA_HASH_TYPE, NFT_HASH_JENKINS}});
}

static void lookup(struct nft_batch *batch, const char *set, unsigned reg, uint32_t flags, bool is_verdict)
{
	struct expr expr = expr_begin(batch, "lookup");

	nl_attr_string(expr.writer, NFTA_LOOKUP_SET, set);
	nl_attr_be32(expr.writer, NFTA_LOOKUP_SREG, reg);
	if (is_verdict)
		nl_attr_be32(expr.writer, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
	if (flags)
		nl_attr_be32(expr.writer, NFTA_LOOKUP_FLAGS, flags);
	expr_end(&expr);
}

void nft_lookup(struct nft_batch *batch, const char *set, unsigned reg, bool is_inverted)
{
	lookup(batch, set, reg, is_inverted ? NFT_LOOKUP_F_INV : 0, false);
}

void nft_lookup_verdict(struct nft_batch *batch, const char *map, unsigned reg)
{
	lookup(batch, map, reg, 0, true);
}

void nft_verdict(struct nft_batch *batch, int code, const char *chain)
{
	struct expr expr = expr_begin(batch, "immediate");
	size_t data;

	nl_attr_be32(expr.writer, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = nl_nest(expr.writer, NFTA_IMMEDIATE_DATA);
	put_verdict(expr.writer, code, chain);
	nl_nest_end(expr.writer, data);
	expr_end(&expr);
}

void nft_masquerade(struct nft_batch *batch)
{
	expr_put(batch, "masq", 0, NULL);
}
