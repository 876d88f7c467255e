/*
 * linux_dump: asks rtnetlink for all that it has of one kind (rules, routes, addresses), of each address
 * family that this router has. The answers of that protocol begin with a header of their kind, whose first
 * byte is the family.
 *
 * A list that changes while it is read may lack something or hold it twice: that is told at the end, and
 * whoever needs the list whole asks again. Whoever only looks need not: the change itself is an event.
 *
 * Callers: linux_link.c, linux_gateway.c, linux_route.c, linux_rule.c, the doctor.
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>

static int dump_family(struct router *router, unsigned family, uint16_t type, const void *header, size_t length,
		       nl_message_fn *on_message, void *arg)
{
	uint32_t sequence = nl_socket_next(&router->route);
	uint8_t memory[64] __attribute__((aligned(4)));
	struct nl_writer writer;

	nl_writer_init(&writer, memory, sizeof(memory));
	nl_begin(&writer, type, NLM_F_REQUEST | NLM_F_DUMP, sequence);
	nl_put(&writer, header, length);
	if (!writer.failed)
		memory[NLMSG_HDRLEN] = linux_address_family(family);
	nl_end(&writer);
	return nl_socket_dump(&router->route, &writer, sequence, on_message, arg);
}

int linux_dump(struct router *router, uint16_t type, const void *header, size_t length, nl_message_fn *on_message,
	       void *arg)
{
	bool is_interrupted = false;

	for (unsigned family = LINUX_V4; family < linux_families(router); family++) {
		int ret = dump_family(router, family, type, header, length, on_message, arg);

		if (ret < 0 && ret != -EAGAIN)
			return ret;
		is_interrupted |= ret == -EAGAIN;
	}
	return is_interrupted ? -EAGAIN : 0;
}
