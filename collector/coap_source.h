/*
 * coap_source: how many half-open handshakes each source address has. Pure.
 *
 * Whoever owns many addresses must not make a table grow, so nothing is stored for one: an address (IPv4), or
 * network of 64 bits (IPv6), stands for one of SOURCE_COUNTERS counters, by a hash with a secret seed. Two
 * sources that share a counter share a limit; nobody can choose with whom.
 */
#ifndef JAGA_COLLECTOR_COAP_SOURCE_H
#define JAGA_COLLECTOR_COAP_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOURCE_COUNTERS 8192 /* above LIMIT_HANDSHAKES: a flood from everywhere leaves most counters at 0 or 1 */

struct source_table {
	uint64_t seed;
	uint16_t counters[SOURCE_COUNTERS];
};

/* The counter of an address; the port does not count. */
uint16_t *source_find(struct source_table *table, const struct sockaddr *address);

#endif
