/*
 * parse: text of people and configuration files to values. Each takes the whole string (white
 * space around it is not accepted), leaves *ret_ untouched on failure and returns -EINVAL
 * (malformed) or -ERANGE (well-formed, outside the range).
 */
#ifndef JAGA_COMMON_PARSE_H
#define JAGA_COMMON_PARSE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Decimal, or hexadecimal after 0x; min <= value <= max. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value);
/* The decimal number that *at begins with; moves *at behind its digits. */
int parse_leading_u32(const char **at, uint32_t *ret_value);
/* yes no true false on off 1 0 */
int parse_bool(const char *text, bool *ret_value);
/* "250ms" "30s" "15m" "2h" "1d": a number and a unit, required; result in milliseconds. */
int parse_duration_ms(const char *text, int64_t min_ms, int64_t max_ms, int64_t *ret_ms);
/* Exactly `length` bytes as 2 * length hexadecimal digits of either case. */
int parse_hex(const char *text, uint8_t *ret_bytes, size_t length);
/* A device or uplink name: 1..LIMIT_NAME-1 of [a-z A-Z 0-9 . _ -], beginning with a letter or digit. */
bool parse_is_name(const char *text);

/* A numeric IPv4 or IPv6 address, or "ADDRESS:PORT" / "[ADDRESS6]:PORT". */
struct parse_address {
	int family; /* AF_INET or AF_INET6 */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
	uint16_t port; /* host order; the default when the text names none */
};
int parse_address(const char *text, uint16_t default_port, struct parse_address *ret_address);
socklen_t parse_address_to_sockaddr(const struct parse_address *address, struct sockaddr_storage *ret_storage);

#endif
