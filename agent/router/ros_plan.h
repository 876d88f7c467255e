/*
 * ros_plan: what Jaga wants to stand in a RouterOS router, as items of its menus (MikroTik's manual, "Per connection classifier",
 * "Policy routing", "Failover (WAN backup)"). Pure.
 *
 * Two parts. The native plan is configuration, written once: connections are dealt out by PCC, marks choose routing
 * tables, and each table fails over by recursive routes with check-gateway. With it the router stays online when no agent is
 * there. Steering is what the agent adds: entries of address-lists with a time-out, which are in memory only (no flash, no
 * line in /export) and end by themselves when the agent does. The rules that look at them stand in the native plan:
 *
 *	list jaga-new-3-isp2     holds 0.0.0.0/0: new connections of bucket 3 go to isp2 instead of to their home
 *	list jaga-live-isp1-isp2 holds 0.0.0.0/0: connections that were bound to isp1 are routed over isp2
 *
 * so a forwarding_plan that equals the native one needs no entry at all. Every item carries its key as comment, by which it is
 * found again; what has another comment is never touched.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_PLAN_H
#define JAGA_AGENT_ROUTER_ROS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/uplink/plan.h"
#include "common/limits.h"

/* In the order in which they are installed: what others name comes first. */
enum ros_menu {
	ROS_LISTS,
	ROS_MEMBERS,
	ROS_NETWORKS,
	ROS_TABLES,
	ROS_ROUTES,
	ROS_RULES,
	ROS_MANGLE,
	ROS_NAT,
	ROS_MENUS
};

/* The path of a menu ("/ip/route/rule" in 6, "/routing/rule" in 7), or NULL: this version has none, and needs none. */
const char *ros_menu_path(enum ros_menu menu, unsigned major);

struct ros_item {
	enum ros_menu menu;
	char key[LIMIT_ROS_KEY]; /* its comment: "jaga: ..." */
	size_t count;
	struct {
		const char *name;
		char value[LIMIT_ROS_VALUE];
	} attributes[LIMIT_ROS_ITEM_ATTRIBUTES]; /* without the comment; "" as value: a flag */
};

struct ros_site { /* what the plan is made of; names are those of the router */
	unsigned major; /* 6 or 7 */
	unsigned n_uplinks, n_lans, n_networks, n_buckets;
	const char *lans[LIMIT_LANS];		       /* interfaces */
	bool has_hotspot[LIMIT_LANS];		       /* whose users log in before they go anywhere */
	const char *networks[LIMIT_ROS_PRIVATE + LIMIT_ROS_NETWORKS]; /* behind them and elsewhere inside: never sent out over a line */
	const char *hash; /* of PCC: "both-addresses", ... */
	uint8_t home[LIMIT_BUCKETS]; /* uplink of each bucket while all are up */
	struct ros_uplink {
		const char *name;
		const char *interface;
		const char *gateway; /* an address, or the interface of a point-to-point line; "": not known now */
		const char *target;  /* a host in the internet by which the router itself checks this line; of no other uplink */
		const char *source;  /* address from which the agent probes this line */
		uint32_t tier;
		bool has_nat; /* masquerade what leaves here */
	} uplinks[LIMIT_UPLINKS];
};

typedef void ros_item_fn(void *arg, const struct ros_item *item);

/* Every item of the native plan, in the order in which they must stand. */
void ros_plan_each(const struct ros_site *site, ros_item_fn *on_item, void *arg);

/* The names of the address-lists that must hold an entry for `plan` to be in force. */
typedef void ros_list_fn(void *arg, const char *list);
void ros_steer_each(const struct ros_site *site, const struct forwarding_plan *plan, ros_list_fn *on_list, void *arg);

/*
 * The other way round: begins with the native plan, then takes the lists that hold an entry, one by one. Lists that are
 * not ours change nothing.
 */
void ros_steer_native(const struct ros_site *site, struct forwarding_plan *ret_plan);
void ros_steer_take(const struct ros_site *site, const char *list, struct forwarding_plan *plan);

#endif
