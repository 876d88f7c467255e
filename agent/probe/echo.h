/*
 * echo: the bytes of ICMP and ICMPv6 echo messages (RFC 792, RFC 4443 section 4). Pure.
 *
 *   0        type  code  checksum      the checksum of ICMPv6 is the kernel's (it covers addresses)
 *   4        identifier  sequence
 *   8        cookie, 8 bytes           random for each prober: nobody off the path can answer
 *   16       target                    index; two targets may have one address
 *   17..23   zero
 */
#ifndef JAGA_AGENT_PROBE_ECHO_H
#define JAGA_AGENT_PROBE_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECHO_BYTES 24
#define ECHO_REPLY_V4 0
#define ECHO_REPLY_V6 129

struct echo_key {
	uint16_t identifier; /* host order */
	uint8_t cookie[8];
};

/* A request; family is AF_INET or AF_INET6. */
void echo_build(const struct echo_key *key, int family, unsigned target, uint16_t sequence,
		uint8_t ret_bytes[static ECHO_BYTES]);
/*
 * A received datagram; has_ip_header as raw IPv4 sockets deliver it. Returns 0, or -EBADMSG for
 * anything but the exact reply to a request made with this key. The caller compares the sender.
 */
int echo_parse(const struct echo_key *key, int family, bool has_ip_header, const uint8_t *bytes, size_t length,
	       unsigned *ret_target, uint16_t *ret_sequence);

#endif
