/*
 * routeros_doctor: what the files of the RouterOS doctor share. Private to agent/router/.
 *
 *   routeros_doctor.c          one print after the other, then every check
 *   routeros_doctor_facts.c    rows -> facts: the device, interfaces, addresses
 *   routeros_doctor_routes.c   rows -> facts: routes, tables, routing rules
 *   routeros_doctor_mangle.c   rows -> facts: rules that mark, let by or clamp, and the names that they use
 *   routeros_doctor_device.c   checks: the device itself
 *   routeros_doctor_lines.c    checks: uplinks, routes and what fights about them
 *   routeros_doctor_marks.c    checks: rules of others in mangle, and set-ups made by hand
 *   routeros_doctor_rivals.c   checks: rules of others that cannot stand beside the plan
 *
 * Facts are what the checks need, in bounded memory, whatever the router holds: a row is looked at and forgotten. The
 * checks are pure: facts in, traps out. Rows of the native plan (their comments say so) are no facts.
 *
 * A fix is text for the router's terminal, of 6 and 7 alike unless the menus differ. Items are named by their ids, which
 * mean the same item whatever was inserted meanwhile.
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_DOCTOR_H
#define JAGA_AGENT_ROUTER_ROUTEROS_DOCTOR_H

#include <netinet/in.h>

#include "agent/router/routeros.h"

#define ROS_NONE UINT8_MAX /* as an index: none */

/* What an interface is there for. */
enum {
	ROS_IS_UPLINK = 1 << 0, /* by the configuration, or recognised */
	ROS_IS_LAN = 1 << 1,
	ROS_HAS_DEFAULT = 1 << 2,
	ROS_HAS_DEFAULT6 = 1 << 3,
	ROS_HAS_NAT = 1 << 4, /* source NAT of what leaves here */
	ROS_SERVES = 1 << 5,  /* DHCP server or hotspot */
	ROS_HAS_HOTSPOT = 1 << 6,
	ROS_IS_DEALT = 1 << 7,	 /* a rule with PCC is for what comes in here */
	ROS_IS_MARKED = 1 << 8, /* a rule marks connections that come in here, without PCC */
	ROS_IS_CLAMPED = 1 << 9, /* segment sizes of what leaves here are changed */
	ROS_HAS_GLOBAL6 = 1 << 10,
};

struct ros_fact_interface {
	char name[LIMIT_ROS_NAME], kind[LIMIT_ROS_ID]; /* "ether", "bridge", "pppoe-out", "veth" */
	uint32_t mtu;				       /* 0: not told */
	uint32_t is;				       /* bits above */
	uint8_t bridge;				       /* whose port it is */
	bool filters_vlans;			       /* a bridge */
	uint8_t n_offloadable, n_offloaded;	       /* its ports */
};

struct ros_fact_address {
	uint32_t network, mask; /* host order */
	char text[INET_ADDRSTRLEN + 3]; /* of the network */
	uint8_t interface;
};

struct ros_fact_route {
	char id[LIMIT_ROS_ID]; /* "": dynamic */
	char gateway[LIMIT_ROS_NAME], table[LIMIT_ROS_NAME];
	uint32_t distance;
};

struct ros_fact_client { /* that adds a default route of its own */
	enum { ROS_CLIENT_DHCP, ROS_CLIENT_PPPOE, ROS_CLIENT_L2TP } kind;
	char id[LIMIT_ROS_ID];
	uint8_t interface;
	uint32_t distance;
};

struct ros_fact_item { /* to be named and changed */
	char id[LIMIT_ROS_ID];
	char label[2 * LIMIT_ROS_NAME]; /* "rule 3 of chain forward (defconf: fasttrack)" */
};

struct ros_fact_mark { /* a connection mark, or a routing mark: with 7 the name of a table */
	char name[LIMIT_ROS_NAME];
	bool is_routing;
	uint8_t n_set, n_used; /* rules of mangle that set it; matchers (connection) or routes and rules (routing) that go by it */
	bool is_looked_up;     /* a routing rule sends packets there, whatever their mark */
	bool reaches_local;    /* set on connections of a LAN to the router itself, too */
	uint8_t interface;     /* of a connection mark: set on what comes in from here */
	uint8_t from;	       /* of a routing mark: connections of this mark get it */
	struct ros_fact_item first_set, first_used;
};

struct ros_fact_rule { /* of mangle, that marks */
	struct ros_fact_item item;
	bool is_prerouting, marks_routing, has_pcc, is_narrow, is_lan_side, is_not_local, asks_hotspot;
	bool is_for_unmarked, is_own; /* matches connection-mark=no-mark; chains of the router's own packets */
	char hash[LIMIT_ROS_NAME], source[LIMIT_ROS_NAME]; /* with PCC; "ether6", "list LAN": what it is for */
	uint32_t denominator, remainder;
	uint8_t interface;    /* that it matches; ROS_NONE: none alone */
	uint8_t matches, sets; /* marks; matches is a connection mark */
};

struct ros_fact_bypass { /* what is let by before marks are set */
	struct ros_fact_item item;
	uint32_t network, mask;
	char text[INET_ADDRSTRLEN + 3];
	bool is_routed; /* a route leads there */
};

struct ros_fact_table {
	char id[LIMIT_ROS_ID], name[LIMIT_ROS_NAME];
	bool has_fib;
};

struct ros_facts {
	const struct agent_config *config;
	const struct ros_lease_holder *agent; /* ours; id "": none yet, or it cannot be read */
	uint32_t without_gateway; /* bit per uplink of the configuration: none is known */
	uint32_t without_source;  /* the same: the agent's machine lacks that address */
	unsigned major, minor;
	bool is_x86;
	uint64_t free_bytes, total_bytes, largest_bytes; /* of flash; total 0: not told */
	char largest[LIMIT_ROS_VALUE];			 /* file, "": none */
	bool forbids_scheduler, forbids_fetch, forbids_container;
	uint64_t connections, max_connections; /* max 0: not told */
	bool is_rp_strict, has_ipv6;
	unsigned n_left_out;	/* rows for which there was no room */
	unsigned n_unread;	/* menus that the router refused to show */
	char unread[LIMIT_ERR_TEXT]; /* the first of them, and why */

	bool is_unknown_here; /* an agent at this address steers, with another id */
	bool has_other_agent; /* that steers, at another */
	struct ros_lease_holder other_agent; /* that of the lowest id, as in ros_lease.h */
	unsigned n_interfaces;
	struct ros_fact_interface interfaces[LIMIT_ROS_FACTS];
	unsigned n_members; /* of interface lists */
	struct {
		char list[LIMIT_ROS_NAME];
		uint8_t interface;
	} members[LIMIT_ROS_FACTS];
	unsigned n_addresses;
	struct ros_fact_address addresses[LIMIT_DOCTOR_ADDRESSES];
	unsigned n_defaults, n_hosts;
	struct ros_fact_route defaults[LIMIT_ROS_FEW_FACTS]; /* of any table */
	struct {
		uint32_t target;
		char gateway[LIMIT_ROS_NAME];
	} hosts[LIMIT_ROS_FEW_FACTS]; /* routes on which recursive ones may lean */
	unsigned n_clients;
	struct ros_fact_client clients[LIMIT_ROS_FEW_FACTS];
	unsigned n_tables;
	struct ros_fact_table tables[LIMIT_ROS_FEW_FACTS];
	unsigned n_lookups; /* routing rules that fall through to main */
	struct ros_fact_item lookups[LIMIT_ROS_FEW_FACTS];
	unsigned n_fasttracks; /* without a mark */
	struct ros_fact_item fasttracks[LIMIT_ROS_FEW_FACTS];
	unsigned n_guards; /* lists whose others may not talk to the router */
	char guards[4][LIMIT_ROS_NAME];

	/* mangle */
	unsigned position;
	bool clamps_all, lets_lists_by;
	unsigned n_marks;
	struct ros_fact_mark marks[LIMIT_ROS_FACTS];
	unsigned n_rules;
	struct ros_fact_rule rules[LIMIT_ROS_FACTS];
	unsigned n_bypasses;
	struct ros_fact_bypass bypasses[LIMIT_ROS_FEW_FACTS];
};

/* --- rows to facts; each ignores rows of the native plan and disabled ones --- */

typedef void ros_take_fn(struct ros_facts *facts, const struct ros_sentence *row);
ros_take_fn ros_take_resource, ros_take_device_mode, ros_take_file, ros_take_interface, ros_take_bridge, ros_take_port,
	ros_take_member, ros_take_address, ros_take_server, ros_take_hotspot, ros_take_dhcp_client, ros_take_pppoe_client,
	ros_take_l2tp_client, ros_take_settings, ros_take_tracking, ros_take_settings6, ros_take_address6, ros_take_route6,
	ros_take_table, ros_take_route, ros_take_rule, ros_take_filter, ros_take_nat, ros_take_mangle,
	ros_take_lease;
/* When all rows were taken: which interfaces are uplinks and LANs. */
void ros_facts_settle(struct ros_facts *facts);

/* Not there for us: ours, disabled or invalid. */
bool ros_row_is_idle(const struct ros_sentence *row);
/* Whole, or "": a name that was cut would be another name. */
void ros_row_name(const struct ros_sentence *row, const char *key, char ret_name[static LIMIT_ROS_NAME]);
/* "" unless it is one: "*1A". */
void ros_row_id(const struct ros_sentence *row, char ret_id[static LIMIT_ROS_ID]);
uint32_t ros_row_distance(const struct ros_sentence *row, const char *key);
/* Cut where it does not fit, control characters replaced: it is going to be shown. */
void ros_row_show(const struct ros_sentence *row, const char *key, char *ret_text, size_t size);
void ros_item_set(const struct ros_sentence *row, const char *label, struct ros_fact_item *ret_item);
/* One more, as far as can be counted. */
void ros_count(uint8_t *n);
/* *ret_network in host order. False: it is no IPv4 network ("!...", a range). */
bool ros_parse_network(const char *text, uint32_t *ret_network, uint32_t *ret_mask);
/* The next free element, or NULL: it is left out. */
void *ros_facts_add(struct ros_facts *facts, void *list, unsigned *n, size_t size, unsigned limit);
#define ROS_ADD(facts, list, n)                                                                                                 \
	ros_facts_add(facts, (facts)->list, &(facts)->n, sizeof((facts)->list[0]),                                            \
		      sizeof((facts)->list) / sizeof((facts)->list[0]))

uint8_t ros_facts_interface(const struct ros_facts *facts, const char *name);
/* `is`: bits of what it is there for. A name that is not known is left. */
void ros_facts_tag(struct ros_facts *facts, const char *name, uint32_t is);
bool ros_facts_is_member(const struct ros_facts *facts, uint8_t interface, const char *list);
/* Where a gateway is: "ether1", "10.0.1.1", "10.0.1.1%ether1", or a host reached over another gateway. */
uint8_t ros_facts_gateway_interface(const struct ros_facts *facts, const char *gateway);
uint8_t ros_facts_find_mark(const struct ros_facts *facts, bool is_routing, const char *name);
/* Finds or adds it. ROS_NONE: there is no room. */
uint8_t ros_facts_mark(struct ros_facts *facts, bool is_routing, const char *name);
/* Is Jaga going to balance here? */
bool ros_facts_wants_plan(const struct ros_facts *facts);

/* --- checks --- */

struct ros_doctor {
	const struct ros_facts *facts;
	router_trap_fn *on_trap;
	void *arg;
	enum router_trap_level worst;
	unsigned n_found; /* traps above ROUTER_TRAP_OK */
};

typedef void ros_check_fn(struct ros_doctor *doctor);
/* routeros_doctor_device.c */
ros_check_fn ros_check_version, ros_check_device_mode, ros_check_flash, ros_check_connections, ros_check_offload,
	ros_check_veth;
/* routeros_doctor_lines.c */
ros_check_fn ros_check_interfaces, ros_check_sources, ros_check_defaults, ros_check_subnets, ros_check_fib, ros_check_lookup, ros_check_rp_filter,
	ros_check_mss, ros_check_ipv6;
/* routeros_doctor_marks.c */
ros_check_fn ros_check_fasttrack, ros_check_local, ros_check_hotspot, ros_check_marks, ros_check_pcc, ros_check_bypass;
/* routeros_doctor_rivals.c */
ros_check_fn ros_check_other_agent, ros_check_balancer, ros_check_shared_marks;

/* All of them; the worst level found. */
enum router_trap_level ros_examine(const struct ros_facts *facts, router_trap_fn *on_trap, void *arg);

/* One finding; fix is what ros_fix_add() made, or fixed text. What a terminal would obey is replaced. */
void ros_trap(struct ros_doctor *doctor, enum router_trap_level level, const char *id, const char *fix, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

struct ros_fix {
	struct buf buf;
	char text[LIMIT_ERR_TEXT];
};
/* Adds a command; several are joined by "; ". False: it does not fit, and nothing was added. */
bool ros_fix_add(struct ros_fix *fix, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ros_fix_init(struct ros_fix *fix);

/* A name as a command needs it: as it is, or in quotes. Points into `quoted`. */
struct ros_quoted {
	char text[4 * LIMIT_ROS_VALUE];
};
const char *ros_quote(struct ros_quoted *quoted, const char *name);

/* How many letters must be changed, added or left out to make one of the other. */
unsigned ros_text_distance(const char *a, const char *b);

#endif
