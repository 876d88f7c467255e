/*
 * linux_rule: ip rules. In order of preference, for IPv4 and IPv6 alike:
 *   rule_base              lookup main suppress_prefixlength 0    whatever main knows better than by default
 *   rule_base + 1 + i      fwmark m(i)/F lookup table_base + i
 *   rule_base + 33001 + i  iif lo lookup table_base + i           behind main: the router's own traffic when main
 *                                                                 has no default route (or one without carrier)
 * They are recognised by their protocol number. Rules never change on a fail-over.
 *
 * Callers: linux.c, linux_event.c.
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static bool is_same(const struct linux_rule *a, const struct linux_rule *b)
{
	return a->family == b->family && a->has_input == b->has_input && a->suppresses == b->suppresses &&
	       a->preference == b->preference && a->table == b->table && a->mark == b->mark && a->mask == b->mask;
}

static bool holds(const struct linux_rules *rules, const struct linux_rule *rule)
{
	for (unsigned i = 0; i < rules->n; i++) {
		if (is_same(&rules->list[i], rule))
			return true;
	}
	return false;
}

int linux_rule_decode(const struct nl_message *message, struct linux_rule *ret_rule)
{
	struct fib_rule_hdr header;
	struct linux_rule rule = {0};
	struct nl_reader attrs;
	struct nl_attr attr;

	if (message->type != RTM_NEWRULE || !nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	rule.family = header.family;
	rule.table = header.table;
	rule.action = header.action;
	rule.is_inverted = header.flags & FIB_RULE_INVERT;
	rule.is_narrow = header.src_len || header.dst_len || header.tos;
	while (nl_next_attr(&attrs, &attr)) {
		switch (attr.type) {
		case FRA_PROTOCOL:
			rule.protocol = nl_get_u8(&attrs, &attr);
			break;
		case FRA_PRIORITY:
			rule.preference = nl_get_u32(&attrs, &attr);
			break;
		case FRA_TABLE:
			rule.table = nl_get_u32(&attrs, &attr);
			break;
		case FRA_FWMARK:
			rule.mark = nl_get_u32(&attrs, &attr);
			break;
		case FRA_FWMASK: /* there is one beside every mark */
			rule.mask = nl_get_u32(&attrs, &attr);
			break;
		case FRA_SUPPRESS_PREFIXLEN: /* the kernel says -1 where nothing is suppressed */
			rule.suppresses = nl_get_u32(&attrs, &attr) != UINT32_MAX;
			break;
		case FRA_IIFNAME:
			rule.has_input = true;
			rule.is_narrow = true;
			break;
		case FRA_OIFNAME:
		case FRA_UID_RANGE:
		case FRA_IP_PROTO:
		case FRA_SPORT_RANGE:
		case FRA_DPORT_RANGE:
		case FRA_TUN_ID:
		case FRA_L3MDEV:
			rule.is_narrow = true;
			break;
		default:
			break;
		}
	}
	if (attrs.failed)
		return -EBADMSG;
	*ret_rule = rule;
	return 0;
}

static int keep_ours(void *arg, const struct nl_message *message)
{
	struct linux_rules *rules = arg;
	struct linux_rule rule;
	int ret = linux_rule_decode(message, &rule);

	if (ret == 0 && rule.protocol == LINUX_PROTOCOL && rules->n < LINUX_MAX_RULES)
		rules->list[rules->n++] = rule;
	return ret;
}

int linux_rules_read(struct router *router, struct linux_rules *ret_rules, struct err *err)
{
	const struct fib_rule_hdr header = {0};
	int ret, tries = LIMIT_DUMP_TRIES;

	do {
		ret_rules->n = 0;
		ret = linux_dump(router, RTM_GETRULE, &header, sizeof(header), keep_ours, ret_rules);
	} while (ret == -EAGAIN && --tries > 0);
	return ret < 0 ? err_sys(err, ret, "asking for ip rules") : 0;
}

void linux_rules_want(const struct router *router, struct linux_rules *ret_rules)
{
	const struct agent_config *config = router->config;

	ret_rules->n = 0;
	for (unsigned family = LINUX_V4; family < linux_families(router); family++) {
		uint8_t af = linux_address_family(family);

		ret_rules->list[ret_rules->n++] = (struct linux_rule){
			.family = af,
			.preference = config->rule_base,
			.table = RT_TABLE_MAIN,
			.suppresses = true,
		};
		for (unsigned i = 0; i < config->n_uplinks; i++) {
			ret_rules->list[ret_rules->n++] = (struct linux_rule){
				.family = af,
				.preference = config->rule_base + 1 + i,
				.table = config->table_base + i,
				.mark = router_uplink_mark(config, i),
				.mask = config->mark_field,
			};
			ret_rules->list[ret_rules->n++] = (struct linux_rule){
				.family = af,
				.has_input = true,
				.preference = config->rule_base + LINUX_FALLBACK_RULE_OFFSET + 1 + i,
				.table = config->table_base + i,
			};
		}
	}
}

static int send_rule(struct router *router, const struct linux_rule *rule, uint16_t type, uint16_t flags)
{
	uint32_t sequence = nl_socket_next(&router->route);
	struct fib_rule_hdr header = {.family = rule->family, .action = FR_ACT_TO_TBL, .table = RT_TABLE_UNSPEC};
	uint8_t memory[256] __attribute__((aligned(4)));
	struct nl_writer writer;

	nl_writer_init(&writer, memory, sizeof(memory));
	nl_begin(&writer, type, NLM_F_REQUEST | NLM_F_ACK | flags, sequence);
	nl_put(&writer, &header, sizeof(header));
	nl_attr_u32(&writer, FRA_PRIORITY, rule->preference);
	nl_attr_u32(&writer, FRA_TABLE, rule->table);
	nl_attr_u8(&writer, FRA_PROTOCOL, LINUX_PROTOCOL);
	if (rule->mark) {
		nl_attr_u32(&writer, FRA_FWMARK, rule->mark);
		nl_attr_u32(&writer, FRA_FWMASK, rule->mask);
	}
	if (rule->has_input)
		nl_attr_string(&writer, FRA_IIFNAME, "lo");
	if (rule->suppresses)
		nl_attr_u32(&writer, FRA_SUPPRESS_PREFIXLEN, 0);
	nl_end(&writer);
	return nl_socket_request(&router->route, &writer, sequence, sequence, NULL, NULL, NULL);
}

int linux_rules_change(struct router *router, const struct linux_rules *have, const struct linux_rules *want,
		       struct err *err)
{
	int ret;

	for (unsigned i = 0; i < want->n; i++) {
		if (holds(have, &want->list[i]))
			continue;
		ret = send_rule(router, &want->list[i], RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
		if (ret < 0 && ret != -EEXIST)
			return err_sys(err, ret, "ip rule with preference %u (CONFIG_IP_MULTIPLE_TABLES)",
				       want->list[i].preference);
	}
	for (unsigned i = 0; i < have->n; i++) {
		if (holds(want, &have->list[i]))
			continue;
		ret = send_rule(router, &have->list[i], RTM_DELRULE, 0);
		if (ret < 0 && ret != -ENOENT)
			return err_sys(err, ret, "deleting the ip rule with preference %u", have->list[i].preference);
	}
	return 0;
}
