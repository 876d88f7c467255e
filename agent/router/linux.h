/*
 * linux: what the files of the Linux driver share. Private to agent/router/.
 *
 *   linux.c            the table of operations; take-over and removal as a whole
 *   linux_dump.c       lists of rtnetlink
 *   linux_link.c       interfaces, addresses, counters (rtnetlink)
 *   linux_event.c      what the kernel tells unasked, and what is done about it
 *   linux_gateway.c    the gateway of each uplink, learnt from whatever default route exists
 *   linux_route.c      one routing table per uplink
 *   linux_rule.c       ip rules
 *   linux_nft_rules.c  the forwarding plan as nf_tables rules; linux_nft_maps.c its sets and maps
 *   linux_nft.c        installs, changes and removes it; linux_nft_read.c reads it back
 *   linux_conntrack.c  forgetting flows
 *   linux_sysctl.c     kernel settings, saved before they are changed
 *   linux_doctor*.c    the doctor
 *   linux_snapshot.c, linux_script.c  reading the configuration in a child, running scripts
 *   linux_save.c       the way back of a script (linux_save.sh)
 */
#ifndef JAGA_AGENT_ROUTER_LINUX_H
#define JAGA_AGENT_ROUTER_LINUX_H

#include <ev.h>

#include "agent/router/nft.h"
#include "agent/router/nl_socket.h"
#include "agent/router/router.h"

/* Origin of our routes and rules (RTA_PROTOCOL, FRA_PROTOCOL): how they are found again after a crash. */
#define LINUX_PROTOCOL 74
#define LINUX_TABLE "jaga" /* nf_tables: of families inet, ip and ip6 */
/* Router-originated traffic that main has no route for: rules behind main (32766). */
#define LINUX_FALLBACK_RULE_OFFSET 33000

enum { LINUX_V4, LINUX_V6, LINUX_FAMILIES }; /* index of gateway_kind[] in the configuration, too */

enum linux_gateway_kind {
	LINUX_GATEWAY_UNKNOWN,
	LINUX_GATEWAY_DEVICE, /* point-to-point: no address needed */
	LINUX_GATEWAY_ADDRESS,
};
struct linux_gateway {
	enum linux_gateway_kind kind;
	uint8_t address[16]; /* 4 bytes of it for IPv4 */
};

struct linux_uplink {
	unsigned ifindex; /* 0: there is no such interface now */
	unsigned flags;	  /* IFF_* */
	bool has_carrier;
	bool has_address[LINUX_FAMILIES]; /* of global scope */
	bool has_default[LINUX_FAMILIES]; /* somebody's default route leads through it */
	struct linux_gateway gateway[LINUX_FAMILIES];
	struct router_uplink_state reported; /* last told to events->on_uplink */
};

struct linux_rule { /* an ip rule, anybody's */
	uint8_t family, protocol, action;
	bool has_input;	   /* iif; ours name lo alone: only what the router itself sends */
	bool is_narrow;	   /* it names interfaces (iif, too), addresses, users or ports */
	bool is_inverted;
	bool suppresses;   /* suppress_prefixlength; ours say 0 */
	uint32_t preference, table, mark, mask; /* mask 0: whatever the mark is */
};
#define LINUX_MAX_RULES (LINUX_FAMILIES * (1 + 2 * LIMIT_UPLINKS))
struct linux_rules {
	unsigned n;
	struct linux_rule list[LINUX_MAX_RULES];
};

struct linux_route { /* anybody's; ours are default routes */
	uint8_t family, protocol, type, prefix;
	uint32_t table, metric;
	unsigned ifindex;
	struct linux_gateway gateway;
};
#define LINUX_MAX_ROUTES (LINUX_FAMILIES * LIMIT_UPLINKS * LIMIT_UPLINKS)
struct linux_routes {
	unsigned n;
	struct linux_route list[LINUX_MAX_ROUTES];
};

struct linux_snapshot_job; /* linux_snapshot.c */
struct linux_script_job;   /* linux_script.c */

struct linux_save { /* who waits for a save point, a commit, a roll-back; nobody: NULL */
	router_done_fn *on_done;
	void *arg;
};

struct router {
	struct ev_loop *loop;
	const struct agent_config *config;
	struct router_events events;
	void *events_arg;
	bool has_ipv6, has_ipsec;

	struct nl_socket route;	    /* requests: links, addresses, routes, rules */
	struct nl_socket netfilter; /* requests: nf_tables, connection tracking */
	ev_io route_io, nft_io;	    /* notifications */
	ev_timer ready;		    /* on_ready comes from the loop */
	ev_timer reinstall_timer;
	int64_t reinstalled_ms;
	unsigned n_reinstalls; /* in a row */
	bool is_ours_deleted;  /* by the transaction that is being read */
	char culprit[48];      /* who deleted something of ours last, " (nft, pid 4711)"; "" when the kernel does not tell */
	ev_timer resync_timer;
	int resync_error;	/* of the last attempt */
	bool is_resync_forced;	/* messages were lost: report every uplink */

	struct linux_uplink uplinks[LIMIT_UPLINKS];
	bool is_installed;		/* our plan is in force: keep it so */
	int sysctl_error;		/* the last that was told */
	struct forwarding_plan plan;	/* what the maps hold */
	bool ct_flushes_one_by_one;	/* kernels before 5.15: no CTA_STATUS_MASK */

	struct nft_batch batch;
	struct linux_routes own_routes, wanted_routes, former_routes;
	struct linux_rules own_rules, wanted_rules, former_rules;
	_Alignas(8) uint8_t memory[LIMIT_NETLINK_BATCH_BYTES]; /* requests are written here */
	_Alignas(8) uint8_t receive[LIMIT_NETLINK_RECEIVE_BYTES];

	struct linux_snapshot_job *snapshot_job;
	struct linux_script_job *script_job;
	struct linux_save save;
};

static inline uint8_t linux_address_family(unsigned family)
{
	return family == LINUX_V4 ? 2 /* AF_INET */ : 10 /* AF_INET6 */;
}
static inline unsigned linux_family(uint8_t address_family)
{
	return address_family == linux_address_family(LINUX_V4) ? LINUX_V4 : LINUX_V6;
}
static inline size_t linux_address_length(unsigned family)
{
	return family == LINUX_V4 ? 4 : 16;
}
/* The families that this router has are those below. */
static inline unsigned linux_families(const struct router *router)
{
	return router->has_ipv6 ? LINUX_FAMILIES : LINUX_V6;
}

/*
 * linux_dump.c: all of one kind, of every family. type: RTM_GET*; header: its family header, the family itself is
 * filled in. -EAGAIN: the list changed while it was read; LIMIT_DUMP_TRIES are enough for those who need it whole.
 */
int linux_dump(struct router *router, uint16_t type, const void *header, size_t length, nl_message_fn *on_message,
	       void *arg);

/* linux_link.c */
struct linux_link {
	unsigned ifindex, flags;
	uint8_t operstate;
	uint32_t mtu, master; /* master: the bridge or bond that it belongs to, 0 when to none */
	struct router_counters counters;
};
int linux_link_ask(struct router *router, const char *name, struct linux_link *ret_link); /* -ENODEV: there is none */
/* Fills ifindex, flags, has_carrier, has_address of every uplink. */
int linux_links_read(struct router *router, struct err *err);
int linux_link_counters(struct router *router, unsigned uplink, struct router_counters *ret_counters);
void linux_uplink_state(const struct router *router, unsigned uplink, struct router_uplink_state *ret_state);

/* linux_gateway.c: fills gateway[]; what was learnt stays while the uplink keeps an address. After linux_links_read(). */
int linux_gateways_read(struct router *router, struct err *err);

/*
 * linux_route.c, linux_rule.c: one answer of a dump; -EBADMSG when it is cut or something else. *ret_nexthops is
 * empty (data NULL) where the route has no list of them.
 */
int linux_route_decode(const struct nl_message *message, struct linux_route *ret_route, struct nl_attr *ret_nexthops);
/* Takes RTA_GATEWAY and what excludes one from the attributes of a route or a nexthop. */
void linux_gateway_decode(struct nl_reader *reader, const struct nl_attr *attr, unsigned family,
			  struct linux_gateway *gateway);
int linux_rule_decode(const struct nl_message *message, struct linux_rule *ret_rule);

/* Ours as the kernel has them, as they should be, and the way from one to the other. */
int linux_routes_read(struct router *router, struct linux_routes *ret_routes, struct err *err);
void linux_routes_want(const struct router *router, struct linux_routes *ret_routes);
int linux_routes_change(struct router *router, const struct linux_routes *have, const struct linux_routes *want,
			struct err *err);
int linux_rules_read(struct router *router, struct linux_rules *ret_rules, struct err *err);
void linux_rules_want(const struct router *router, struct linux_rules *ret_rules);
int linux_rules_change(struct router *router, const struct linux_rules *have, const struct linux_rules *want,
		       struct err *err);

/* linux_nft.c */
int linux_nft_install(struct router *router, const struct forwarding_plan *plan, struct err *err);
int linux_nft_apply(struct router *router, const struct forwarding_plan *plan, struct err *err);
int linux_nft_remove(struct router *router, struct err *err);

/* linux_nft_rules.c: writes the whole plan into router->batch, unsent. */
void linux_nft_write(struct router *router, const struct forwarding_plan *plan);
bool linux_nft_has_ipsec(struct router *router);
/* Leaves no table, or an empty one. */
void linux_nft_replace_table(struct nft_batch *batch, uint8_t family, bool is_wanted);

/* linux_nft_maps.c */
void linux_nft_add_maps(struct nft_batch *batch, const struct agent_config *config, const struct forwarding_plan *plan);
void linux_nft_add_uplink_chains(struct nft_batch *batch, const struct agent_config *config);
void linux_nft_add_mark_rules(struct nft_batch *batch, const struct agent_config *config);
/* Elements of the maps `bucket` and `live`. */
void linux_nft_put_bucket(struct nft_batch *batch, uint32_t bucket, unsigned uplink);
void linux_nft_put_mark(struct nft_batch *batch, uint32_t mark, unsigned uplink);
/* Name of the empty chain that says which structure the tables have. */
#define LINUX_MARKER_BYTES 24
void linux_nft_marker(const struct agent_config *config, char ret_name[static LINUX_MARKER_BYTES]);

/* linux_nft_read.c: -ENOENT: no plan of this structure is in force. */
int linux_nft_read(struct router *router, struct forwarding_plan *ret_plan, struct err *err);
/* The interface that each mark meant to an earlier agent, of whatever configuration; "" where none. */
int linux_nft_read_owners(struct router *router, char ret_names[static LIMIT_UPLINKS][IFNAMSIZ], struct err *err);

/* linux_conntrack.c */
int linux_conntrack_flush(struct router *router, unsigned uplink, enum router_flush what, uint32_t *ret_flows,
			  struct err *err);

/* linux_sysctl.c; path below /proc/sys */
int linux_sysctl_read(const char *path, uint32_t *ret_value);
int linux_sysctls_set(struct router *router, struct err *err);
int linux_sysctls_restore(struct router *router, struct err *err);

/* linux_event.c: listens; reads everything anew, reports uplinks that changed (is_forced: all) and calls linux_keep(). */
int linux_events_open(struct router *router, struct err *err);
void linux_events_close(struct router *router);
int linux_resync(struct router *router, bool is_forced, struct err *err);

/* linux.c: puts back routes, rules and sysctls of ours that are missing. */
int linux_keep(struct router *router, struct err *err);

/* linux_doctor.c, linux_snapshot.c, linux_script.c: as in struct router_ops. */
int linux_check(struct router *router, router_trap_fn *on_trap, router_check_fn *on_done, void *arg, struct err *err);
int linux_snapshot(struct router *router, router_snapshot_fn *on_done, void *arg, struct err *err);
int linux_run_script(struct router *router, const char *job_id, const char *interpreter, const void *script,
		     size_t length, int64_t timeout_ms, router_script_fn *on_done, void *arg, struct err *err);
/* linux_save.c: as in struct router_ops. */
int linux_save_point(struct router *router, const struct router_save_spec *spec, router_done_fn *on_done, void *arg,
		     struct err *err);
int linux_commit(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err);
int linux_roll_back(struct router *router, const char *job_id, router_done_fn *on_done, void *arg, struct err *err);
/* Let go of running children and free their jobs; called by close. */
void linux_snapshot_close(struct router *router);
void linux_script_close(struct router *router);

#endif
