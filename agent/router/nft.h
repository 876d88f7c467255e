/*
 * nft: messages of nf_tables over netlink.h: a batch is one transaction; tables, chains, sets, maps
 * and rules are put into it, rules as a list of expressions. What each expression does is what
 * `nft --debug=netlink` prints for the line in its comment. See linux/netfilter/nf_tables.h.
 *
 * Registers hold 16 bytes (NFT_REG_1..4) or 4 (NFT_REG32_00..15, four to each of the former).
 */
#ifndef JAGA_AGENT_ROUTER_NFT_H
#define JAGA_AGENT_ROUTER_NFT_H

#include <stddef.h>
#include <stdint.h>

#include "agent/router/netlink.h"
#include "agent/router/nl_socket.h"
#include "common/err.h"
#include "common/limits.h"

struct nft_batch {
	struct nl_writer writer;
	uint8_t family; /* NFPROTO_* of the table being written */
	const char *table;
	uint32_t first, next; /* sequence numbers */
	uint32_t set_ids;
	const char *label;			      /* what is being written, for errors */
	const char *labels[LIMIT_NETLINK_MESSAGES]; /* by sequence number */
};

/* Opens a transaction in `memory`. Sequence numbers begin at `sequence`. */
void nft_batch_begin(struct nft_batch *batch, void *memory, size_t size, uint32_t sequence);
/*
 * Ends it, sends it and waits for the verdict. Returns 0 or a negative errno, err saying which message the
 * kernel refused and why. sock->sequence is moved on. An empty transaction is not sent.
 */
int nft_batch_commit(struct nft_batch *batch, struct nl_socket *sock, struct err *err);
/*
 * Sends it without its end: the kernel checks every message and then drops all of it. Returns and says
 * what a commit would, but for errors that only show when all is put together.
 */
int nft_batch_try(struct nft_batch *batch, struct nl_socket *sock, struct err *err);
/* Text for errors from here on: "hash of addresses (CONFIG_NFT_HASH)". Static storage. */
void nft_label(struct nft_batch *batch, const char *label);
bool nft_batch_is_empty(const struct nft_batch *batch);

void nft_table_add(struct nft_batch *batch, uint8_t family, const char *table); /* selects it, too */
void nft_table_delete(struct nft_batch *batch);
void nft_table_select(struct nft_batch *batch, uint8_t family, const char *table);

struct nft_hook {
	const char *type; /* "filter", "route", "nat" */
	unsigned number;  /* NF_INET_* */
	int priority;
};
void nft_chain_add(struct nft_batch *batch, const char *chain, const struct nft_hook *hook); /* NULL: not a base chain */

/* What the nft program calls types of keys; the kernel keeps them for it (nftables: include/datatype.h). */
#define NFT_DATATYPE_MARK 19
#define NFT_DATATYPE_IFNAME 41

#define NFT_DATATYPE_INTEGER 4

enum nft_key { NFT_KEY_MARK, NFT_KEY_IFNAME, NFT_KEY_NUMBER };
void nft_set_add(struct nft_batch *batch, const char *set, enum nft_key key);
/* modulus: NFT_KEY_NUMBER only, keys are below it. */
void nft_vmap_add(struct nft_batch *batch, const char *map, enum nft_key key, uint32_t modulus);
/* Elements: begin, any number of elements, end. Deleting needs the key only. */
size_t nft_elements_begin(struct nft_batch *batch, unsigned message, const char *set);
void nft_element(struct nft_batch *batch, const void *key, size_t length);
void nft_element_goto(struct nft_batch *batch, const void *key, size_t length, const char *chain);
void nft_elements_end(struct nft_batch *batch, size_t nest);

size_t nft_rule_begin(struct nft_batch *batch, const char *chain);
void nft_rule_end(struct nft_batch *batch, size_t nest);

/* --- expressions; reg is loaded unless said otherwise --- */
void nft_meta(struct nft_batch *batch, unsigned key, unsigned reg);
void nft_meta_set(struct nft_batch *batch, unsigned key, unsigned reg); /* reg is stored */
void nft_ct(struct nft_batch *batch, unsigned key, unsigned reg);
void nft_ct_set(struct nft_batch *batch, unsigned key, unsigned reg);
void nft_rt(struct nft_batch *batch, unsigned key, unsigned reg);
/* base: NFT_PAYLOAD_*_HEADER. */
void nft_payload(struct nft_batch *batch, unsigned base, unsigned offset, unsigned length, unsigned reg);
void nft_fib(struct nft_batch *batch, unsigned result, unsigned flags, unsigned reg);
/* op: NFT_CMP_EQ or NFT_CMP_NEQ */
void nft_cmp(struct nft_batch *batch, unsigned reg, unsigned op, const void *value, size_t length);
void nft_cmp_u8(struct nft_batch *batch, unsigned reg, unsigned op, uint8_t value);
void nft_cmp_u32(struct nft_batch *batch, unsigned reg, unsigned op, uint32_t value);
/* reg = (reg & mask) ^ xor */
void nft_bitwise(struct nft_batch *batch, unsigned reg, const void *mask, const void *xor, size_t length);
void nft_bitwise_u32(struct nft_batch *batch, unsigned reg, uint32_t mask, uint32_t xor);
/* reg = jhash(the `length` bytes from `source`, seed) % modulus */
void nft_jhash(struct nft_batch *batch, unsigned source, unsigned length, uint32_t modulus, uint32_t seed, unsigned reg);
void nft_lookup(struct nft_batch *batch, const char *set, unsigned reg, bool is_inverted);
void nft_lookup_verdict(struct nft_batch *batch, const char *map, unsigned reg); /* `... vmap @map` */
/* code: NFT_RETURN, NFT_JUMP, NFT_GOTO, NF_ACCEPT; chain NULL without one. */
void nft_verdict(struct nft_batch *batch, int code, const char *chain);
void nft_masquerade(struct nft_batch *batch);

/* A request that is no part of a transaction (NFT_MSG_GET*): opens a message; end it with nl_end(). */
void nft_get_begin(struct nl_writer *writer, unsigned message, uint16_t flags, uint32_t sequence, uint8_t family);

#endif
