/*
 * linux_doctor_nft: the doctor's look at nf_tables: does the kernel have what the plan needs, and what do
 * rules of others do that meets it? Reads by dumps; asks the kernel about the plan by a transaction that
 * lacks its end, which is checked message by message and then dropped. See linux_doctor.c.
 */
#include "agent/router/linux_doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ETHERNET_MTU 1500
#define MESSAGE(n) (NFNL_SUBSYS_NFTABLES << 8 | (n))

static int dump(struct linux_doctor *doctor, unsigned message, nl_message_fn *on_message, void *arg, struct err *err)
{
	struct nl_socket *sock = &doctor->router->netfilter;
	uint32_t sequence = nl_socket_next(sock);
	uint8_t memory[64] __attribute__((aligned(4)));
	struct nl_writer writer;
	int ret;

	nl_writer_init(&writer, memory, sizeof(memory));
	nft_get_begin(&writer, message, NLM_F_DUMP, sequence, NFPROTO_UNSPEC);
	nl_end(&writer);
	ret = nl_socket_dump(sock, &writer, sequence, on_message, arg);
	/* A ruleset that changes while it is read is looked at again next time. */
	return ret < 0 && ret != -EAGAIN ? err_sys(err, ret, "reading the nf_tables ruleset") : 0;
}

static const char *family_name(uint8_t family)
{
	return family == NFPROTO_INET	  ? "inet"
	       : family == NFPROTO_IPV4	  ? "ip"
	       : family == NFPROTO_IPV6	  ? "ip6"
	       : family == NFPROTO_NETDEV ? "netdev"
					  : "bridge";
}

int linux_check_kernel(struct linux_doctor *doctor, struct err *err)
{
	struct forwarding_plan plan = {.n_buckets = (uint8_t)doctor->config->n_buckets,
				       .n_uplinks = (uint8_t)doctor->config->n_uplinks};
	struct err refusal = {0};
	int ret;

	(void)err; /* a refusal is the finding */
	if (doctor->is_plan_in_force)
		return 0;
	linux_nft_write(doctor->router, &plan);
	ret = nft_batch_try(&doctor->router->batch, &doctor->router->netfilter, &refusal);
	if (ret < 0)
		linux_trap(doctor, ROUTER_TRAP_FATAL, "kernel",
			   "load or install what is named; the floor is kernel 5.2 with nf_tables and connection tracking", "%s",
			   refusal.text);
	return 0;
}

/* --- fast paths --- */

static int judge_flowtable(void *arg, const struct nl_message *message)
{
	struct linux_doctor *doctor = arg;
	struct linux_flowtable_facts facts;
	int ret;

	if (message->type != MESSAGE(NFT_MSG_NEWFLOWTABLE))
		return 0;
	ret = linux_flowtable_read_facts(doctor->config, message, &facts);
	if (ret < 0 || facts.interfaces == 0)
		return ret;
	if (facts.is_hardware)
		linux_trap(doctor, ROUTER_TRAP_FATAL, "flowtable",
			   "remove `flags offload` (OpenWrt: option flow_offloading_hw 0), or the flowtable",
			   "flowtable %s of table %s hands flows of our interfaces to hardware, which no rule can move",
			   facts.name, facts.table);
	else
		linux_trap(doctor, ROUTER_TRAP_WARNING, "flowtable",
			   "remove the flowtable (OpenWrt: option flow_offloading 0), or take its interfaces out",
			   "flowtable %s of table %s bypasses the rules: its flows move only when they are forgotten, and "
			   "restart",
			   facts.name, facts.table);
	return 0;
}

int linux_check_flowtables(struct linux_doctor *doctor, struct err *err)
{
	return dump(doctor, NFT_MSG_GETFLOWTABLE, judge_flowtable, doctor, err);
}

/* --- base chains --- */

static void read_hook(const struct nl_attr *hook, struct linux_base_chain *chain)
{
	struct nl_reader attrs;
	struct nl_attr attr;

	nl_enter(hook, &attrs);
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == NFTA_HOOK_HOOKNUM)
			chain->hook = nl_get_be32(&attrs, &attr);
	}
}

static int read_chain(void *arg, const struct nl_message *message)
{
	struct linux_doctor *doctor = arg;
	struct linux_base_chain chain = {0};
	struct nfgenmsg header;
	struct nl_reader attrs;
	struct nl_attr attr;
	bool is_base = false;

	if (message->type != MESSAGE(NFT_MSG_NEWCHAIN))
		return 0;
	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	chain.family = header.nfgen_family;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == NFTA_CHAIN_TABLE)
			nl_get_string_cut(&attr, chain.table, sizeof(chain.table));
		else if (attr.type == NFTA_CHAIN_NAME)
			nl_get_string_cut(&attr, chain.chain, sizeof(chain.chain));
		else if (attr.type == NFTA_CHAIN_POLICY)
			chain.drops = nl_get_be32(&attrs, &attr) == NF_DROP;
		else if (attr.type == NFTA_CHAIN_HOOK) {
			is_base = true;
			read_hook(&attr, &chain);
		}
	}
	if (attrs.failed)
		return -EBADMSG;
	if (strncmp(chain.chain, "mwan3", 5) == 0)
		linux_trap(doctor, ROUTER_TRAP_FATAL, "mwan3", "/etc/init.d/mwan3 stop; /etc/init.d/mwan3 disable",
			   "mwan3 balances this router already (chain %s)", chain.chain);
	if (is_base && strcmp(chain.table, LINUX_TABLE) != 0 && doctor->n_chains < LIMIT_DOCTOR_CHAINS)
		doctor->chains[doctor->n_chains++] = chain;
	return 0;
}

int linux_check_chains(struct linux_doctor *doctor, struct err *err)
{
	doctor->n_chains = 0;
	return dump(doctor, NFT_MSG_GETCHAIN, read_chain, doctor, err);
}

static const struct linux_base_chain *find_chain(const struct linux_doctor *doctor, uint8_t family, const char *table,
						 const char *name)
{
	for (unsigned i = 0; i < doctor->n_chains; i++) {
		const struct linux_base_chain *chain = &doctor->chains[i];

		if (chain->family == family && strcmp(chain->table, table) == 0 && strcmp(chain->chain, name) == 0)
			return chain;
	}
	return NULL;
}

static void note_names(struct linux_doctor *doctor, uint8_t family, const char *table, uint32_t uplinks)
{
	for (unsigned i = 0; i < doctor->n_chains; i++) {
		struct linux_base_chain *chain = &doctor->chains[i];

		if (chain->family == family && strcmp(chain->table, table) == 0)
			chain->uplinks_named |= uplinks;
	}
}

/* --- rules --- */

struct rule_place {
	uint8_t family;
	char table[LIMIT_NFT_NAME], chain[LIMIT_NFT_NAME];
	uint64_t handle;
};

/* By the time of these hooks the route is chosen. */
static bool is_behind_routing(const struct linux_base_chain *chain)
{
	return chain && (chain->hook == NF_INET_FORWARD || chain->hook == NF_INET_POST_ROUTING ||
			 chain->hook == NF_INET_LOCAL_IN);
}

static void judge_marks(struct linux_doctor *doctor, const struct rule_place *at, const struct linux_rule_facts *facts)
{
	uint32_t field = doctor->config->mark_field, written = (facts->meta_written | facts->ct_written) & field;
	bool is_late = is_behind_routing(find_chain(doctor, at->family, at->table, at->chain));
	char rule[3 * LIMIT_NFT_NAME];

	snprintf(rule, sizeof(rule), "rule %" PRIu64 " of chain %s in table %s %s", at->handle, at->chain,
		 family_name(at->family), at->table);
	if (written)
		linux_trap(doctor, is_late && !(facts->ct_written & field) ? ROUTER_TRAP_WARNING : ROUTER_TRAP_FATAL,
			   "mark-clash", "set only your own bits (meta mark set meta mark | 0x100), or another mark_field in agent.conf",
			   "%s writes bits 0x%x of the %s mark, which mark_field 0x%x claims", rule, written,
			   facts->ct_written & field ? "connection" : "packet", field);
	else if (facts->whole_compared)
		linux_trap(doctor, ROUTER_TRAP_WARNING, "mark-compare",
			   "compare only your own bits (meta mark & 0xff00 == 0x100)",
			   "%s compares the whole mark: it stops matching when we set our bits", rule);
}

static int judge_rule(void *arg, const struct nl_message *message)
{
	struct linux_doctor *doctor = arg;
	struct nl_attr attr, expressions = {0};
	struct linux_rule_facts facts;
	struct rule_place at = {0};
	struct nfgenmsg header;
	struct nl_reader attrs;
	uint32_t halves[2];
	int ret;

	if (message->type != MESSAGE(NFT_MSG_NEWRULE))
		return 0;
	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	at.family = header.nfgen_family;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == NFTA_RULE_TABLE)
			nl_get_string_cut(&attr, at.table, sizeof(at.table));
		else if (attr.type == NFTA_RULE_CHAIN)
			nl_get_string_cut(&attr, at.chain, sizeof(at.chain));
		else if (attr.type == NFTA_RULE_HANDLE) {
			nl_get_bytes(&attrs, &attr, halves, sizeof(halves));
			at.handle = (uint64_t)ntohl(halves[0]) << 32 | ntohl(halves[1]);
		} else if (attr.type == NFTA_RULE_EXPRESSIONS)
			expressions = attr;
	}
	if (attrs.failed)
		return -EBADMSG;
	if (strcmp(at.table, LINUX_TABLE) == 0 || !expressions.data)
		return 0;
	ret = linux_rule_read_facts(doctor->config, &expressions, &facts);
	if (ret < 0)
		return ret;
	doctor->clamps_mss |= facts.clamps_mss;
	doctor->translates_source |= facts.translates_source;
	note_names(doctor, at.family, at.table, facts.uplinks_named);
	judge_marks(doctor, &at, &facts);
	if (facts.is_snat_everywhere)
		linux_trap(doctor, ROUTER_TRAP_WARNING, "snat", "name the interface (oifname \"wan1\" snat to ...), or masquerade",
			   "rule %" PRIu64 " of chain %s in table %s %s gives flows one fixed address, whichever uplink they leave by",
			   at.handle, at.chain, family_name(at.family), at.table);
	if (facts.is_notrack)
		linux_trap(doctor, ROUTER_TRAP_WARNING, "notrack", "take users' traffic out of that rule",
			   "rule %" PRIu64 " of chain %s in table %s %s exempts traffic from connection tracking: it is not balanced",
			   at.handle, at.chain, family_name(at.family), at.table);
	return 0;
}

/* --- names in sets: `iifname { "wan1", "wan2" }` --- */

struct name_set {
	struct linux_doctor *doctor;
	uint8_t family;
	char table[LIMIT_NFT_NAME];
};
struct name_sets {
	unsigned n;
	struct {
		uint8_t family;
		char table[LIMIT_NFT_NAME], name[LIMIT_NFT_NAME];
	} list[LIMIT_DOCTOR_SETS];
};

static int read_set(void *arg, const struct nl_message *message)
{
	struct name_sets *sets = arg;
	struct nfgenmsg header;
	struct nl_reader attrs;
	struct nl_attr attr;
	uint32_t key_type = 0;

	if (message->type != MESSAGE(NFT_MSG_NEWSET) || sets->n >= LIMIT_DOCTOR_SETS)
		return 0;
	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	sets->list[sets->n].family = header.nfgen_family;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type == NFTA_SET_TABLE)
			nl_get_string_cut(&attr, sets->list[sets->n].table, LIMIT_NFT_NAME);
		else if (attr.type == NFTA_SET_NAME)
			nl_get_string_cut(&attr, sets->list[sets->n].name, LIMIT_NFT_NAME);
		else if (attr.type == NFTA_SET_KEY_TYPE)
			key_type = nl_get_be32(&attrs, &attr);
	}
	if (attrs.failed)
		return -EBADMSG;
	sets->n += key_type == NFT_DATATYPE_IFNAME && strcmp(sets->list[sets->n].table, LINUX_TABLE) != 0;
	return 0;
}

static void note_element(const struct name_set *set, const struct nl_attr *element)
{
	struct nl_attr key, value;
	char name[IFNAMSIZ];

	if (!nl_find(element, NFTA_SET_ELEM_KEY, &key) || !nl_find(&key, NFTA_DATA_VALUE, &value))
		return;
	nl_get_string_cut(&value, name, sizeof(name));
	for (unsigned i = 0; i < set->doctor->config->n_uplinks; i++) {
		if (strcmp(name, set->doctor->config->uplinks[i].interface) == 0)
			note_names(set->doctor, set->family, set->table, 1u << i);
	}
}

static int read_elements(void *arg, const struct nl_message *message)
{
	struct nl_reader attrs, list;
	struct nfgenmsg header;
	struct nl_attr attr, element;

	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	while (nl_next_attr(&attrs, &attr)) {
		if (attr.type != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nl_enter(&attr, &list);
		while (nl_next_attr(&list, &element))
			note_element(arg, &element);
	}
	return attrs.failed ? -EBADMSG : 0;
}

static int note_sets(struct linux_doctor *doctor, struct err *err)
{
	struct nl_socket *sock = &doctor->router->netfilter;
	struct name_sets sets = {0};
	int ret = dump(doctor, NFT_MSG_GETSET, read_set, &sets, err);

	for (unsigned i = 0; ret == 0 && i < sets.n; i++) {
		struct name_set set = {.doctor = doctor, .family = sets.list[i].family};
		uint32_t sequence = nl_socket_next(sock);
		uint8_t memory[256] __attribute__((aligned(4)));
		struct nl_writer writer;

		memcpy(set.table, sets.list[i].table, sizeof(set.table));
		nl_writer_init(&writer, memory, sizeof(memory));
		nft_get_begin(&writer, NFT_MSG_GETSETELEM, NLM_F_DUMP, sequence, set.family);
		nl_attr_string(&writer, NFTA_SET_ELEM_LIST_TABLE, set.table);
		nl_attr_string(&writer, NFTA_SET_ELEM_LIST_SET, sets.list[i].name);
		nl_end(&writer);
		ret = nl_socket_dump(sock, &writer, sequence, read_elements, &set);
		if (ret == -EAGAIN || ret == -ENOENT) /* changed or deleted since it was listed */
			ret = 0;
		if (ret < 0)
			return err_sys(err, ret, "reading set %s of table %s", sets.list[i].name, set.table);
	}
	return ret;
}

/* --- what follows from all rules together --- */

static void judge_forward_policies(struct linux_doctor *doctor)
{
	uint32_t all = (1u << doctor->config->n_uplinks) - 1;

	for (unsigned c = 0; c < doctor->n_chains; c++) {
		const struct linux_base_chain *chain = &doctor->chains[c];

		/* A firewall that names no uplink decides by other things; one that names some forgot the rest. */
		if (chain->hook != NF_INET_FORWARD || !chain->drops || chain->uplinks_named == 0 ||
		    chain->uplinks_named == all)
			continue;
		for (unsigned i = 0; i < doctor->config->n_uplinks; i++) {
			if (!(chain->uplinks_named & 1u << i))
				linux_trap(doctor, ROUTER_TRAP_WARNING, "forward-policy",
					   "let users' traffic out by it, as by the other uplinks (fw4: the zone wan)",
					   "chain %s of table %s %s drops what no rule accepts, and none names %s (uplink %s)",
					   chain->chain, family_name(chain->family), chain->table,
					   doctor->config->uplinks[i].interface, doctor->config->uplinks[i].name);
		}
	}
}

int linux_check_nft_rules(struct linux_doctor *doctor, struct err *err)
{
	int ret = dump(doctor, NFT_MSG_GETRULE, judge_rule, doctor, err);

	if (ret == 0)
		ret = note_sets(doctor, err);
	if (ret == 0)
		judge_forward_policies(doctor);
	return ret;
}

int linux_check_mss(struct linux_doctor *doctor, struct err *err)
{
	struct linux_link link;

	(void)err; /* missing interfaces are another check's finding */
	for (unsigned i = 0; i < doctor->config->n_uplinks && !doctor->clamps_mss; i++) {
		const struct config_uplink *uplink = &doctor->config->uplinks[i];

		if (linux_link_ask(doctor->router, uplink->interface, &link) < 0 || link.mtu >= ETHERNET_MTU)
			continue;
		linux_trap(doctor, ROUTER_TRAP_WARNING, "mss",
			   "in a forward chain: oifname that interface tcp flags syn tcp option maxseg size set rt mtu",
			   "%s (uplink %s) has MTU %u and no rule clamps TCP's segment size: some sites will hang",
			   uplink->interface, uplink->name, link.mtu);
	}
	return 0;
}

int linux_check_nat(struct linux_doctor *doctor, struct err *err)
{
	(void)err; /* read with the rules */
	for (unsigned i = 0; i < doctor->config->n_uplinks && !doctor->translates_source; i++) {
		if (!doctor->config->uplinks[i].nat)
			linux_trap(doctor, ROUTER_TRAP_WARNING, "no-nat",
				   "nat = yes in its section, unless the provider routes your network to you",
				   "uplink %s has nat = no, and nobody else translates addresses on this router",
				   doctor->config->uplinks[i].name);
	}
	return 0;
}

/* Where they are modules; of a kernel that holds them itself root alone can tell (jaga-agent --check). */
static bool has_legacy_module(void)
{
	static const char *const modules[] = {"/sys/module/iptable_mangle", "/sys/module/iptable_nat",
					      "/sys/module/ip6table_mangle", "/sys/module/ip6table_nat"};
	bool has = false;

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		has = has || access(modules[i], F_OK) == 0;
	return has;
}

/* iptables-legacy keeps its rules where nf_tables cannot see them. */
int linux_check_legacy(struct linux_doctor *doctor, struct err *err)
{
	static const char *const files[] = {"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"};
	char line[LIMIT_NFT_NAME];

	(void)err; /* no such file: no such rules */
	for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
		FILE *file = fopen(files[f], "re");

		if (!file && errno == EACCES && has_legacy_module()) /* an agent that is not root */
			linux_trap(doctor, ROUTER_TRAP_WARNING, "iptables-legacy", "look once as root: jaga-agent --check",
				   "only root can see in %s whether iptables-legacy has rules", files[f]);
		while (file && fgets(line, sizeof(line), file)) {
			line[strcspn(line, "\n")] = '\0';
			if (strcmp(line, "mangle") == 0 || strcmp(line, "nat") == 0)
				linux_trap(doctor, ROUTER_TRAP_WARNING, "iptables-legacy",
					   "look for MARK, CONNMARK and SNAT in it (iptables-legacy-save), or move to iptables-nft",
					   "iptables-legacy has a table %s, which cannot be read from here", line);
		}
		if (file)
			fclose(file);
	}
	return 0;
}
