/* linux_doctor: what the files of the doctor share. Private to agent/router/. */
#ifndef JAGA_AGENT_ROUTER_LINUX_DOCTOR_H
#define JAGA_AGENT_ROUTER_LINUX_DOCTOR_H

#include "agent/router/linux.h"

/* A base chain of somebody else's. */
struct linux_base_chain {
	uint8_t family;
	char table[LIMIT_NFT_NAME], chain[LIMIT_NFT_NAME];
	unsigned hook; /* NF_INET_* */
	bool drops;    /* policy drop */
	uint32_t uplinks_named; /* bit i: some rule or set of its table names uplink i */
};

struct linux_doctor {
	struct router *router;
	const struct agent_config *config;
	router_trap_fn *on_trap;
	void *arg;
	enum router_trap_level worst;
	unsigned n_found;	 /* traps above ROUTER_TRAP_OK */
	bool is_plan_in_force;	 /* ours; the kernel has what it takes */
	bool clamps_mss;	 /* some rule sets the TCP maximum segment size */
	bool translates_source;	 /* some rule of another does NAT */
	unsigned n_chains;
	struct linux_base_chain chains[LIMIT_DOCTOR_CHAINS];
};

/* Tells the caller of check about one finding. */
void linux_trap(struct linux_doctor *doctor, enum router_trap_level level, const char *id, const char *fix,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Each returns 0 when it could look, whatever it saw. */
typedef int linux_check_fn(struct linux_doctor *doctor, struct err *err);
linux_check_fn linux_check_interfaces, linux_check_addresses, linux_check_defaults, linux_check_ipv6;
linux_check_fn linux_check_rules, linux_check_tables;
linux_check_fn linux_check_kernel, linux_check_flowtables, linux_check_chains, linux_check_nft_rules, linux_check_mss,
	linux_check_nat, linux_check_legacy;

/* A rule's mark of another owner: does it concern our field? Unit-tested by hostile bytes. */
struct linux_rule_facts {
	uint32_t meta_written, ct_written; /* bits of marks that the rule writes */
	uint32_t whole_compared;	   /* not 0: a mark is compared without a mask */
	bool clamps_mss, translates_source, is_snat_everywhere, is_notrack;
	uint32_t uplinks_named;
};
/* expressions: the value of NFTA_RULE_EXPRESSIONS. -EBADMSG when it is malformed. */
int linux_rule_read_facts(const struct agent_config *config, const struct nl_attr *expressions,
			  struct linux_rule_facts *ret_facts);
/* One message of a flowtable dump; the interfaces of ours in it, as bits: uplinks, then LANs from bit LIMIT_UPLINKS. */
struct linux_flowtable_facts {
	char table[LIMIT_NFT_NAME], name[LIMIT_NFT_NAME];
	uint32_t interfaces;
	bool is_hardware;
};
int linux_flowtable_read_facts(const struct agent_config *config, const struct nl_message *message,
			       struct linux_flowtable_facts *ret_facts);

#endif
