/*
 * linux_nft_read: reads back the plan that an earlier agent left in force, so that it can be adopted
 * without replacing a rule. It counts as ours when
 *   - the marker chain of the wanted structure is in each table (same interfaces, field, hash, NAT),
 *   - the tables hold as many rules as we would write (nobody added or deleted one), and
 *   - both maps are complete and point at chains of known uplinks.
 * Anything else is -ENOENT: the caller installs anew.
 *
 * Callers: linux.c.
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>

#include "common/parse.h"

#define CHAIN_NAME_BYTES 32 /* ours are shorter; what does not fit is not ours */

static int has_chain(struct router *router, uint8_t family, const char *chain)
{
	struct nl_writer writer;
	uint32_t sequence = nl_socket_next(&router->netfilter);

	nl_writer_init(&writer, router->memory, sizeof(router->memory));
	nft_get_begin(&writer, NFT_MSG_GETCHAIN, NLM_F_ACK, sequence, family);
	nl_attr_string(&writer, NFTA_CHAIN_TABLE, LINUX_TABLE);
	nl_attr_string(&writer, NFTA_CHAIN_NAME, chain);
	nl_end(&writer);
	return nl_socket_request(&router->netfilter, &writer, sequence, sequence, NULL, NULL, NULL);
}

/* --- number of rules --- */

static int count_rule(void *arg, const struct nl_message *message)
{
	unsigned *count = arg;

	if (message->type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE))
		(*count)++;
	return 0;
}

static int count_rules(struct router *router, uint8_t family, unsigned *ret_count)
{
	struct nl_writer writer;
	uint32_t sequence = nl_socket_next(&router->netfilter);
	unsigned count = 0;
	int ret;

	nl_writer_init(&writer, router->memory, sizeof(router->memory));
	nft_get_begin(&writer, NFT_MSG_GETRULE, NLM_F_DUMP, sequence, family);
	nl_attr_string(&writer, NFTA_RULE_TABLE, LINUX_TABLE);
	nl_end(&writer);
	ret = nl_socket_dump(&router->netfilter, &writer, sequence, count_rule, &count);
	if (ret == 0)
		*ret_count += count;
	return ret;
}

static unsigned count_written_rules(struct router *router, const struct forwarding_plan *plan)
{
	struct nl_message message;
	struct nl_reader reader;
	unsigned count = 0;

	linux_nft_write(router, plan);
	nl_reader_init(&reader, router->batch.writer.data, router->batch.writer.length);
	while (nl_next_message(&reader, &message))
		(void)count_rule(&count, &message); /* never fails */
	return count;
}

/* --- elements of a map --- */

/* key -> goto chain. */
typedef void element_fn(void *arg, const struct nl_attr *key, const char *chain);

struct element_reader {
	element_fn *on_element;
	void *arg;
};

static int read_elements(void *arg, const struct nl_message *message)
{
	struct element_reader *reader = arg;
	struct nl_attr list, element, key, value, data, verdict, name;
	struct nl_reader attrs, elements;
	char chain[CHAIN_NAME_BYTES];
	struct nfgenmsg header;

	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	while (nl_next_attr(&attrs, &list)) {
		if (list.type != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nl_enter(&list, &elements);
		while (nl_next_attr(&elements, &element)) {
			if (!nl_find(&element, NFTA_SET_ELEM_KEY, &key) || !nl_find(&key, NFTA_DATA_VALUE, &value))
				return -EBADMSG;
			chain[0] = '\0'; /* an element that goes nowhere is not ours */
			if (nl_find(&element, NFTA_SET_ELEM_DATA, &data) && nl_find(&data, NFTA_DATA_VERDICT, &verdict) &&
			    nl_find(&verdict, NFTA_VERDICT_CHAIN, &name))
				nl_get_string_cut(&name, chain, sizeof(chain));
			reader->on_element(reader->arg, &value, chain);
		}
		if (elements.failed)
			return -EBADMSG;
	}
	return attrs.failed ? -EBADMSG : 0;
}

static int read_map(struct router *router, const char *map, element_fn *on_element, void *arg)
{
	struct element_reader reader = {.on_element = on_element, .arg = arg};
	uint32_t sequence = nl_socket_next(&router->netfilter);
	struct nl_writer writer;

	nl_writer_init(&writer, router->memory, sizeof(router->memory));
	nft_get_begin(&writer, NFT_MSG_GETSETELEM, NLM_F_DUMP, sequence, NFPROTO_INET);
	nl_attr_string(&writer, NFTA_SET_ELEM_LIST_TABLE, LINUX_TABLE);
	nl_attr_string(&writer, NFTA_SET_ELEM_LIST_SET, map);
	nl_end(&writer);
	return nl_socket_dump(&router->netfilter, &writer, sequence, read_elements, &reader);
}

struct plan_map {
	const char *prefix;	      /* "bind_": the uplink's number follows */
	uint32_t key_unit, key_offset; /* key = (index + key_offset) * key_unit */
	unsigned n_keys, n_uplinks;
	uint8_t *values;
	unsigned n_read;
	bool is_foreign; /* something is in it that we would not have put there */
};

/* Chains are named after the uplink that they stand for. */
static int read_chain_uplink(const char *chain, const char *prefix, uint32_t *ret_uplink)
{
	size_t length = strlen(prefix);

	return strncmp(chain, prefix, length) == 0 ? parse_u32(chain + length, 0, LIMIT_UPLINKS - 1, ret_uplink) : -EINVAL;
}

static void take_element(void *arg, const struct nl_attr *key, const char *chain)
{
	struct plan_map *map = arg;
	uint32_t value, uplink;
	unsigned index;

	if (key->length != sizeof(value)) {
		map->is_foreign = true;
		return;
	}
	memcpy(&value, key->data, sizeof(value));
	index = value / map->key_unit - map->key_offset;
	if (value % map->key_unit != 0 || index >= map->n_keys ||
	    read_chain_uplink(chain, map->prefix, &uplink) < 0 || uplink >= map->n_uplinks) {
		map->is_foreign = true;
		return;
	}
	map->values[index] = (uint8_t)uplink;
	map->n_read++;
}

static int read_plan_map(struct router *router, const char *name, struct plan_map *map)
{
	int ret = read_map(router, name, take_element, map);

	return ret == 0 && (map->is_foreign || map->n_read != map->n_keys) ? -ENOENT : ret;
}

/* --- whose mark is whose --- */

static void take_owner(void *arg, const struct nl_attr *key, const char *chain)
{
	char(*names)[IFNAMSIZ] = arg;
	uint32_t uplink;

	if (read_chain_uplink(chain, "bind_", &uplink) == 0)
		nl_get_string_cut(key, names[uplink], IFNAMSIZ);
}

int linux_nft_read_owners(struct router *router, char ret_names[static LIMIT_UPLINKS][IFNAMSIZ], struct err *err)
{
	int ret;

	memset(ret_names, 0, LIMIT_UPLINKS * IFNAMSIZ);
	ret = read_map(router, "by_interface", take_owner, ret_names);
	return ret < 0 && ret != -ENOENT ? err_sys(err, ret, "reading the earlier forwarding plan") : 0;
}

/* --- the whole --- */

static bool wants_nat(const struct router *router, uint8_t family)
{
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		const struct config_uplink *uplink = &router->config->uplinks[i];

		if (family == NFPROTO_IPV4 ? uplink->nat : uplink->nat6 && router->has_ipv6)
			return true;
	}
	return false;
}

static int read_tables(struct router *router, unsigned *ret_rules)
{
	static const uint8_t families[] = {NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6};
	char marker[LINUX_MARKER_BYTES];
	int ret;

	linux_nft_marker(router->config, marker);
	for (size_t f = 0; f < sizeof(families); f++) {
		if (families[f] != NFPROTO_INET && !wants_nat(router, families[f]))
			continue;
		ret = has_chain(router, families[f], marker);
		if (ret == 0)
			ret = count_rules(router, families[f], ret_rules);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int linux_nft_read(struct router *router, struct forwarding_plan *ret_plan, struct err *err)
{
	const struct agent_config *config = router->config;
	uint32_t lowest = router_uplink_mark(config, 0);
	struct forwarding_plan plan = {.n_buckets = (uint8_t)config->n_buckets, .n_uplinks = (uint8_t)config->n_uplinks};
	struct plan_map bucket = {.prefix = "bind_", .key_unit = 1, .n_keys = config->n_buckets,
				    .n_uplinks = config->n_uplinks, .values = plan.bucket};
	struct plan_map live = {.prefix = "carry_", .key_unit = lowest, .key_offset = 1, .n_keys = config->n_uplinks,
				  .n_uplinks = config->n_uplinks, .values = plan.live};
	unsigned rules = 0;
	int ret;

	ret = read_tables(router, &rules);
	if (ret == 0)
		ret = read_plan_map(router, "bucket", &bucket);
	if (ret == 0)
		ret = read_plan_map(router, "live", &live);
	if (ret == 0 && count_written_rules(router, &plan) != rules)
		ret = -ENOENT;
	if (ret == -ENOENT)
		return err_set(err, ret, "no forwarding plan of this configuration is in force");
	if (ret < 0)
		return err_sys(err, ret, "reading the forwarding plan");
	*ret_plan = plan;
	return 0;
}
