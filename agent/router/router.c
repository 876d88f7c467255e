/*
 * router: what every driver shares: the last words of a script, and how an uplink is written into a mark. Mark 0 means "not ours", so
 * uplink i is i + 1 in the configured field; probes, rules and the forwarding plan all use this.
 */
#include "agent/router/router.h"

#include <string.h>

void router_last_line(const char *output, size_t length, char *ret_line, size_t size)
{
	size_t end = length, begin;

	while (end > 0 && (unsigned char)output[end - 1] <= ' ')
		end--;
	for (begin = end; begin > 0 && output[begin - 1] != '\n';)
		begin--;
	length = end - begin < size ? end - begin : size - 1;
	memcpy(ret_line, output + begin, length);
	ret_line[length] = '\0';
}

uint32_t router_uplink_mark(const struct agent_config *config, unsigned uplink)
{
	uint32_t lowest = config->mark_field & (~config->mark_field + 1);

	return (uplink + 1) * lowest;
}
