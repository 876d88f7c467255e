/*
 * probe: sends one probe to one target out of one uplink and tells when the answer came.
 *
 * One prober per uplink; the engine decides when to send and when an answer is late, so a prober
 * keeps no timers. A prober's packets leave by its uplink's interface (SO_BINDTODEVICE) with the
 * uplink's mark (SO_MARK), whatever the routing table says; or, where the uplinks are another router's, from an
 * address by which that router knows the uplink. Non-blocking, loop thread only. Steady state allocates nothing.
 *
 * An interface or address that does not exist yet is no error of create; send returns -ENODEV, and nothing
 * ever leaves by another way, until rebind has found it.
 */
#ifndef JAGA_AGENT_PROBE_PROBE_H
#define JAGA_AGENT_PROBE_PROBE_H

#include <stdint.h>

#include "common/err.h"
#include "common/limits.h"
#include "common/parse.h"

struct ev_loop;
struct probe;

/* An answer: target index and sequence of the request it answers. */
typedef void probe_reply_fn(void *arg, unsigned target, uint16_t sequence);

struct probe_config {
	const char *interface;
	uint32_t mark, mark_field; /* mark is within mark_field */
	const struct parse_address *source; /* NULL: by interface and mark; else by this address alone, IPv4 */
	unsigned n_targets;
	const struct parse_address *targets;
};

struct probe_ops {
	const char *name; /* "icmp" */
	int (*create)(struct ev_loop *loop, const struct probe_config *config, probe_reply_fn *on_reply, void *arg,
		      struct probe **ret_probe, struct err *err);
	/* 0, or the negative errno of sending. -ENOSPC: this machine's connection table is full, which tells nothing of the uplink. */
	int (*send)(struct probe *probe, unsigned target, uint16_t sequence);
	/*
	 * The interface came (back), perhaps with another index: binds again, and probes get an identifier that no router on
	 * the way has seen. Call it whenever the link returns, and when no answer comes for long. Answers under way are lost.
	 */
	int (*rebind)(struct probe *probe, struct err *err);
	void (*destroy)(struct probe *probe); /* NULL is fine */
};

extern const struct probe_ops probe_icmp;

#endif
