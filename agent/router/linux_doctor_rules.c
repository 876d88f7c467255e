/*
 * linux_doctor_rules: the doctor's look at ip rules and routing tables of others: those that stand at our
 * preferences, test our bits, catch what should reach ours, or use our tables. See linux_doctor.c.
 */
#include "agent/router/linux_doctor.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* mwan3 keeps its number in these bits of the mark and its rules from here on. */
#define MWAN3_MASK 0x3f00
#define MWAN3_PREFERENCE_MIN 1001
#define MWAN3_PREFERENCE_MAX 3000

static bool is_at_our_preference(const struct agent_config *config, uint32_t preference)
{
	uint32_t first = config->rule_base, fallback = first + LINUX_FALLBACK_RULE_OFFSET;

	return (preference >= first && preference <= first + config->n_uplinks) ||
	       (preference > fallback && preference <= fallback + config->n_uplinks);
}

static void judge_mark(struct linux_doctor *doctor, const struct linux_rule *rule)
{
	uint32_t clash = rule->mask & doctor->config->mark_field;

	if (rule->mask == MWAN3_MASK && rule->preference >= MWAN3_PREFERENCE_MIN &&
	    rule->preference <= MWAN3_PREFERENCE_MAX) {
		linux_trap(doctor, ROUTER_TRAP_FATAL, "mwan3", "/etc/init.d/mwan3 stop; /etc/init.d/mwan3 disable",
			   "mwan3 balances this router already (ip rule %u, fwmark mask 0x%x)", rule->preference, rule->mask);
		return;
	}
	/* "not fwmark X" catches whatever is not X: our bits change nothing about that. */
	if (clash == 0 || rule->is_inverted)
		return;
	linux_trap(doctor, ROUTER_TRAP_FATAL, "mark-clash",
		   "give that rule a mask without our bits (fwmark 0x100/0xff00), or set another mark_field in agent.conf",
		   "ip rule %u tests bits 0x%x of the mark (fwmark 0x%x/0x%x), which mark_field 0x%x claims", rule->preference,
		   clash, rule->mark, rule->mask, doctor->config->mark_field);
}

static void judge_order(struct linux_doctor *doctor, const struct linux_rule *rule)
{
	bool is_catch_all = (rule->mask == 0 || rule->is_inverted) && !rule->is_narrow && !rule->suppresses;
	/* Where the kernel puts them; a container of RouterOS 7.22 has main at 2, and its default route wins there. */
	bool is_kernels = rule->table == RT_TABLE_LOCAL ||
			  ((rule->table == RT_TABLE_MAIN || rule->table == RT_TABLE_DEFAULT) &&
			   rule->preference >= doctor->config->rule_base);

	if (!is_catch_all || rule->action != FR_ACT_TO_TBL || is_kernels)
		return;
	if (rule->preference < doctor->config->rule_base)
		linux_trap(doctor, ROUTER_TRAP_WARNING, "rule-order",
			   "move it behind ours, or set rule_base in agent.conf below it",
			   "ip rule %u sends everything to table %u before ours (from %u) are asked", rule->preference,
			   rule->table, doctor->config->rule_base);
	else
		linux_trap(doctor, ROUTER_TRAP_WARNING, "rule-order",
			   "if that is a VPN for everything (wg-quick), set rule_base in agent.conf above it; else nothing",
			   "ip rule %u sends everything else to table %u: users' traffic that we balance will not go there",
			   rule->preference, rule->table);
}

static int judge_rule(void *arg, const struct nl_message *message)
{
	struct linux_doctor *doctor = arg;
	struct linux_rule rule;
	int ret = linux_rule_decode(message, &rule);

	if (ret < 0 || rule.protocol == LINUX_PROTOCOL)
		return ret;
	if (is_at_our_preference(doctor->config, rule.preference))
		linux_trap(doctor, ROUTER_TRAP_FATAL, "rule-preference",
			   "set another rule_base in agent.conf, or move that rule",
			   "ip rule %u belongs to someone else; Jaga needs preferences %u to %u", rule.preference,
			   doctor->config->rule_base, doctor->config->rule_base + doctor->config->n_uplinks);
	if (rule.mask != 0)
		judge_mark(doctor, &rule);
	judge_order(doctor, &rule);
	return 0;
}

int linux_check_rules(struct linux_doctor *doctor, struct err *err)
{
	const struct fib_rule_hdr header = {0};
	int ret = linux_dump(doctor->router, RTM_GETRULE, &header, sizeof(header), judge_rule, doctor);

	if (ret == -EOPNOTSUPP || ret == -EAFNOSUPPORT)
		linux_trap(doctor, ROUTER_TRAP_FATAL, "kernel", "a kernel with CONFIG_IP_MULTIPLE_TABLES (and its IPv6 twin)",
			   "this kernel has no ip rules, or none for IPv6");
	else if (ret < 0 && ret != -EAGAIN)
		return err_sys(err, ret, "asking for ip rules");
	return 0;
}

/* --- tables --- */

struct table_users {
	struct linux_doctor *doctor;
	bool is_told[LIMIT_UPLINKS];
};

static int judge_route(void *arg, const struct nl_message *message)
{
	struct table_users *users = arg;
	const struct agent_config *config = users->doctor->config;
	struct nl_attr nexthops;
	struct linux_route route;
	uint32_t index;
	int ret = linux_route_decode(message, &route, &nexthops);

	if (ret < 0)
		return ret;
	index = route.table - config->table_base;
	if (route.protocol == LINUX_PROTOCOL || index >= config->n_uplinks || users->is_told[index])
		return 0;
	users->is_told[index] = true;
	linux_trap(users->doctor, ROUTER_TRAP_FATAL, "table", "set another table_base in agent.conf, or empty that table",
		   "routing table %u holds routes of someone else; it would be the table of uplink %s", route.table,
		   config->uplinks[index].name);
	return 0;
}

int linux_check_tables(struct linux_doctor *doctor, struct err *err)
{
	struct table_users users = {.doctor = doctor};
	const struct rtmsg header = {0};
	int ret = linux_dump(doctor->router, RTM_GETROUTE, &header, sizeof(header), judge_route, &users);

	return ret < 0 && ret != -EAGAIN ? err_sys(err, ret, "asking for routes") : 0;
}
