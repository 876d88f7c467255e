/*
 * echo: see echo.h. Called by icmp.c with whatever arrives on its sockets: raw sockets see the
 * replies to every ping of the router, so most of it is somebody else's, and any of it may be
 * forged. A reply is accepted only when all of it is as expected, byte by byte.
 */
#include "agent/probe/echo.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_V4 8
#define REQUEST_V6 128
#define IP_HEADER_MIN 20
#define OFFSET_CHECKSUM 2
#define OFFSET_IDENTIFIER 4
#define OFFSET_SEQUENCE 6
#define OFFSET_COOKIE 8
#define OFFSET_TARGET 16

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* RFC 1071, over an even number of bytes. */
static uint16_t checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i += 2)
		sum += get16(bytes + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void fill(const struct echo_key *key, uint8_t type, unsigned target, uint16_t sequence, uint8_t *ret_bytes)
{
	memset(ret_bytes, 0, ECHO_BYTES);
	ret_bytes[0] = type;
	put16(ret_bytes + OFFSET_IDENTIFIER, key->identifier);
	put16(ret_bytes + OFFSET_SEQUENCE, sequence);
	memcpy(ret_bytes + OFFSET_COOKIE, key->cookie, sizeof(key->cookie));
	ret_bytes[OFFSET_TARGET] = (uint8_t)target;
}

void echo_build(const struct echo_key *key, int family, unsigned target, uint16_t sequence,
		uint8_t ret_bytes[static ECHO_BYTES])
{
	fill(key, family == AF_INET ? REQUEST_V4 : REQUEST_V6, target, sequence, ret_bytes);
	if (family == AF_INET)
		put16(ret_bytes + OFFSET_CHECKSUM, checksum(ret_bytes, ECHO_BYTES));
}

int echo_parse(const struct echo_key *key, int family, bool has_ip_header, const uint8_t *bytes, size_t length,
	       unsigned *ret_target, uint16_t *ret_sequence)
{
	uint8_t expected[ECHO_BYTES];
	size_t header = 0;

	if (has_ip_header) {
		if (length < IP_HEADER_MIN)
			return -EBADMSG;
		header = (size_t)(bytes[0] & 0x0f) * 4;
		if (header < IP_HEADER_MIN || header > length)
			return -EBADMSG;
	}
	if (length - header != ECHO_BYTES)
		return -EBADMSG;
	bytes += header;
	fill(key, family == AF_INET ? ECHO_REPLY_V4 : ECHO_REPLY_V6, bytes[OFFSET_TARGET], get16(bytes + OFFSET_SEQUENCE),
	     expected);
	/* Raw IPv4 sockets get packets before the kernel verifies them; ICMPv6 is always verified. */
	if (family == AF_INET && checksum(bytes, ECHO_BYTES) != 0)
		return -EBADMSG;
	memcpy(expected + OFFSET_CHECKSUM, bytes + OFFSET_CHECKSUM, 2);
	if (memcmp(bytes, expected, ECHO_BYTES) != 0)
		return -EBADMSG;
	*ret_target = bytes[OFFSET_TARGET];
	*ret_sequence = get16(bytes + OFFSET_SEQUENCE);
	return 0;
}
