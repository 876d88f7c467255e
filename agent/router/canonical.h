/*
 * canonical: output of configuration commands -> text that changes only when the configuration does. Pure.
 *
 * Every text: LF line ends, no white space at the ends of lines, one final LF. What the known tools
 * show beside the configuration is left out:
 *
 *   nft        counters, used quotas, handles; elements of dynamic sets and of sets with time-outs;
 *              Jaga's own tables, whose maps move with every fail-over
 *   ip route   life times, link states, routes that were learnt (kernel, DHCP, router advertisements,
 *              routing daemons) or are Jaga's own; sorted
 *   ip addr    interface numbers, life times, states of duplicate detection; link-local, temporary and
 *              leased addresses, and those of PPP, which change with every dial; sorted
 *   ip rule    nothing: rules do not move, not even Jaga's own
 */
#ifndef JAGA_AGENT_ROUTER_CANONICAL_H
#define JAGA_AGENT_ROUTER_CANONICAL_H

#include <stddef.h>

#include "common/buf.h"

enum canonical_kind { CANONICAL_PLAIN, CANONICAL_NFT, CANONICAL_ROUTE, CANONICAL_ADDRESS, CANONICAL_RULE };

/* By the first words of a command line: "nft ...", "ip [-options] route ...". */
enum canonical_kind canonical_kind_of(const char *command);
/*
 * Appends the canonical form of text; out->failed when it does not fit. text is overwritten and has
 * room for one byte more. Not for two threads at once.
 */
void canonical_put(enum canonical_kind kind, char *text, size_t length, struct buf *out);

#endif
