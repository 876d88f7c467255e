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
	return a->family == b->family && a->is_local == b->is_local && a->suppresses_default == b->suppresses_default &&
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

static int read_rule(void *arg, const struct nl_message *message)
{
	struct linux_rules *rules = arg;
	struct fib_rule_hdr header;
	struct linux_rule rule = {0};
	struct nl_reader attrs;
	struct nl_attr attr;
	uint8_t protocol = 0;

	if (message->type != RTM_NEWRULE)
		return 0;
	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return -EBADMSG;
	rule.family = header.family;
	rule.table = header.table;
	while (nl_next_attr(&attrs, &attr)) {
		switch (attr.type) {
		case FRA_PROTOCOL:
			protocol = nl_get_u8(&attrs, &attr);
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
		case FRA_FWMASK:
			rule.mask = nl_get_u32(&attrs, &attr);
			break;
		case FRA_IIFNAME:
			rule.is_local = true; /* we use no other than lo */
			break;
		case FRA_SUPPRESS_PREFIXLEN:
			rule.suppresses_default = nl_get_u32(&attrs, &attr) == 0;
			break;
		default:
			break;
		}
	}
	if (attrs.failed)
		return -EBADMSG;
	if (rule.mark == 0)
		rule.mask = 0;
	if (protocol == LINUX_PROTOCOL && rules->n < LINUX_MAX_RULES)
		rules->list[rules->n++] = rule;
	return 0;
}

int linux_rules_read(struct router *router, struct linux_rules *ret_rules, struct err *err)
{
	uint8_t memory[64] __attribute__((aligned(4)));
	struct nl_writer writer;
	uint32_t sequence;
	int ret = 0, tries = 3;

	do {
		ret_rules->n = 0;
		for (unsigned family = LINUX_V4; ret == 0 && family < LINUX_FAMILIES; family++) {
			struct fib_rule_hdr header = {.family = linux_address_family(family)};

			if (family == LINUX_V6 && !router->has_ipv6)
				continue;
			sequence = nl_socket_next(&router->route);
			nl_writer_init(&writer, memory, sizeof(memory));
			nl_begin(&writer, RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, sequence);
			nl_put(&writer, &header, sizeof(header));
			nl_end(&writer);
			ret = nl_socket_dump(&router->route, &writer, sequence, read_rule, ret_rules);
		}
	} while (ret == -EAGAIN && --tries > 0 && (ret = 0) == 0);
	return ret < 0 ? err_sys(err, ret, "asking for ip rules") : 0;
}

void linux_rules_want(const struct router *router, struct linux_rules *ret_rules)
{
	const struct agent_config *config = router->config;

	ret_rules->n = 0;
	for (unsigned family = LINUX_V4; family < LINUX_FAMILIES; family++) {
		uint8_t af = linux_address_family(family);

		if (family == LINUX_V6 && !router->has_ipv6)
			continue;
		ret_rules->list[ret_rules->n++] = (struct linux_rule){
			.family = af,
			.preference = config->rule_base,
			.table = RT_TABLE_MAIN,
			.suppresses_default = true,
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
				.is_local = true,
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
	if (rule->is_local)
		nl_attr_string(&writer, FRA_IIFNAME, "lo");
	if (rule->suppresses_default)
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
