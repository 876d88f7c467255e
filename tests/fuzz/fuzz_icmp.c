/*
 * Fuzzes echo_parse, which gets whatever arrives on an ICMP socket. The first byte picks the kind of socket.
 * A datagram that is accepted must be the one that this key makes: everything else is a forgery.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/probe/echo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct echo_key key = { .identifier = 0x4a47, .cookie = { 'J', 'a', 'g', 'a', 'j', 'a', 'g', 'a' } };
	uint8_t request[ECHO_BYTES];
	const uint8_t *body;
	uint16_t sequence;
	unsigned target;
	int family;

	if (size == 0)
		return 0;
	family = data[0] & 1 ? AF_INET6 : AF_INET;
	if (echo_parse(&key, family, (data[0] & 2) != 0, data + 1, size - 1, &target, &sequence) < 0)
		return 0;
	echo_build(&key, family, target, sequence, request);
	body = data + size - ECHO_BYTES;
	/* Type and checksum differ between request and reply. */
	if (body[1] != 0 || memcmp(body + 4, request + 4, ECHO_BYTES - 4) != 0)
		abort();
	return 0;
}
