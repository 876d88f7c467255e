/*
 * Fuzzes the reading of netlink: messages, headers, attributes at every depth, values, results, routes
 * and ip rules, and what the doctor makes of rules and flowtables of nf_tables. Nothing may be read outside the datagram.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/router/linux_doctor.h"

#define MAX_DEPTH 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct agent_config config = {
	.mark_field = 0xff0,
	.n_lans = 1,
	.lans = { "lan0" },
	.n_uplinks = 2,
	.uplinks = { { .interface = "wan1" }, { .interface = "wan2" } },
};

/* Depth first without recursion: a stack of readers. */
static void walk(const struct nl_reader *attrs)
{
	struct nl_reader stack[MAX_DEPTH] = { *attrs };
	struct linux_rule_facts facts;
	struct nl_attr attr, found;
	uint8_t bytes[16];
	char text[16];
	int depth = 0;

	while (depth >= 0) {
		struct nl_reader copy = stack[depth];

		if (!nl_next_attr(&stack[depth], &attr)) {
			depth--;
			continue;
		}
		if (attr.data < copy.data || attr.data + attr.length > copy.data + copy.length)
			abort();
		(void)nl_get_u8(&copy, &attr);
		(void)nl_get_u32(&copy, &attr);
		(void)nl_get_be32(&copy, &attr);
		nl_get_bytes(&copy, &attr, bytes, sizeof(bytes));
		nl_get_string(&copy, &attr, text, sizeof(text));
		nl_get_string_cut(&attr, text, sizeof(text));
		(void)nl_find(&attr, 1, &found);
		(void)linux_rule_read_facts(&config, &attr, &facts);
		if (depth + 1 < MAX_DEPTH)
			nl_enter(&attr, &stack[++depth]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct linux_flowtable_facts flowtable;
	struct nl_message message;
	struct nl_reader messages, attrs;
	struct nl_result result;
	struct nl_attr nexthops;
	struct linux_route route;
	struct linux_rule rule;
	uint8_t header[20];

	nl_reader_init(&messages, data, size);
	while (nl_next_message(&messages, &message)) {
		(void)nl_read_result(&message, &result);
		(void)linux_flowtable_read_facts(&config, &message, &flowtable);
		(void)linux_rule_decode(&message, &rule);
		(void)linux_route_decode(&message, &route, &nexthops);
		for (size_t length = 1; length <= sizeof(header); length += 3) {
			if (nl_message_header(&message, header, length, &attrs))
				walk(&attrs);
		}
	}
	return 0;
}
