/* coap_source: see coap_source.h. The mixer is that of MurmurHash3 (64 bits), seeded before and between. */
#include "collector/coap_source.h"

#include <netinet/in.h>
#include <string.h>

static uint64_t mix(uint64_t value)
{
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdULL;
	value ^= value >> 33;
	value *= 0xc4ceb9fe1a85ec53ULL;
	return value ^ value >> 33;
}

uint16_t *source_find(struct source_table *table, const struct sockaddr *address)
{
	uint64_t bits = 0;

	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;

		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			memcpy(&bits, in6->sin6_addr.s6_addr + 12, 4);
		else
			memcpy(&bits, in6->sin6_addr.s6_addr, 8);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

		memcpy(&bits, &in->sin_addr, 4);
	}
	return &table->counters[mix(mix(bits ^ table->seed) + table->seed) % SOURCE_COUNTERS];
}
