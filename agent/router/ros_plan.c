/*
 * ros_plan: see ros_plan.h. The packets' way through the rules of the native plan:
 *
 *	prerouting  from a line, not marked -> mark of that line          answers leave where questions came in
 *	            from a LAN              -> chain jaga, but not: to the router itself, to a network inside, a probe of the
 *	                                       agent (a routing rule knows its table)
 *	jaga        of a hotspot, before the login -> back: the router answers with the page
 *	            not marked, bucket B    -> mark of jaga-new-B-*'s uplink if that list holds an entry, else of B's home
 *	            mark of U               -> table of U, or of jaga-live-U-*'s uplink if that list holds an entry
 *	output      mark of U               -> table of U
 *
 * No rule keeps a packet from those of others behind them: a router's own marks of packets (queues) and routing marks (this
 * host always over that line) hold, and the latter win.
 *
 * Table of U: default over U's target, then over the other lines in the order of their tiers, each found dead by the
 * router's own pings. Probes of the agent leave by their source address, through tables that hold one line each and
 * never fall through to another: a dead line must look dead. Called by routeros.c.
 */
#include "agent/router/ros_plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *ros_menu_path(enum ros_menu menu, unsigned major)
{
	static const char *const paths[ROS_MENUS] = {
		[ROS_LISTS] = "/interface/list",
		[ROS_MEMBERS] = "/interface/list/member",
		[ROS_NETWORKS] = "/ip/firewall/address-list",
		[ROS_TABLES] = "/routing/table",
		[ROS_ROUTES] = "/ip/route",
		[ROS_RULES] = "/routing/rule",
		[ROS_MANGLE] = "/ip/firewall/mangle",
		[ROS_NAT] = "/ip/firewall/nat",
	};

	if (major < 7 && menu == ROS_TABLES)
		return NULL; /* a table is there when a route names it */
	if (major < 7 && menu == ROS_RULES)
		return "/ip/route/rule";
	return paths[menu];
}

/* --- items -------------------------------------------------------------------------------------- */

struct build {
	const struct ros_site *site;
	ros_item_fn *on_item;
	void *arg;
	struct ros_item item;
};

static void begin(struct build *build, enum ros_menu menu, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void put(struct build *build, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void begin(struct build *build, enum ros_menu menu, const char *format, ...)
{
	size_t head;
	va_list args;

	build->item.menu = menu;
	build->item.count = 0;
	head = (size_t)snprintf(build->item.key, sizeof(build->item.key), "jaga: ");
	va_start(args, format);
	vsnprintf(build->item.key + head, sizeof(build->item.key) - head, format, args);
	va_end(args);
}

/* Names are LIMIT_NAME at most and an item has a fixed set of attributes, so both fit (LIMIT_ROS_VALUE, ..._ATTRIBUTES). */
static void put(struct build *build, const char *name, const char *format, ...)
{
	struct ros_item *item = &build->item;
	va_list args;

	item->attributes[item->count].name = name;
	va_start(args, format);
	vsnprintf(item->attributes[item->count].value, sizeof(item->attributes[0].value), format, args);
	va_end(args);
	item->count++;
}

static void end(struct build *build)
{
	build->on_item(build->arg, &build->item);
}

static const struct ros_uplink *uplink_of(const struct build *build, unsigned uplink)
{
	return &build->site->uplinks[uplink];
}

/* --- interfaces, tables, routes ------------------------------------------------------------------- */

static void put_lans(struct build *build)
{
	begin(build, ROS_LISTS, "LANs");
	put(build, "name", "jaga-lan");
	end(build);
	for (unsigned i = 0; i < build->site->n_lans; i++) {
		begin(build, ROS_MEMBERS, "LAN %s", build->site->lans[i]);
		put(build, "list", "jaga-lan");
		put(build, "interface", "%s", build->site->lans[i]);
		end(build);
	}
}

static void put_networks(struct build *build)
{
	for (unsigned i = 0; i < build->site->n_networks; i++) {
		begin(build, ROS_NETWORKS, "inside %s", build->site->networks[i]);
		put(build, "list", "jaga-inside");
		put(build, "address", "%s", build->site->networks[i]);
		end(build);
	}
	for (unsigned i = 0; i < build->site->n_uplinks; i++) {
		begin(build, ROS_NETWORKS, "probes over %s", uplink_of(build, i)->name);
		put(build, "list", "jaga-probe");
		put(build, "address", "%s", uplink_of(build, i)->source);
		end(build);
	}
}

static void put_tables(struct build *build)
{
	if (build->site->major < 7)
		return;
	for (unsigned i = 0; i < build->site->n_uplinks; i++) {
		static const char *const kinds[] = { "", "probe-" };

		for (unsigned k = 0; k < 2; k++) {
			begin(build, ROS_TABLES, "%s%s", kinds[k], uplink_of(build, i)->name);
			put(build, "name", "jaga-%s%s", kinds[k], uplink_of(build, i)->name);
			put(build, "fib", "%s", "");
			end(build);
		}
	}
}

static void put_table(struct build *build, const char *kind, const char *name)
{
	put(build, build->site->major < 7 ? "routing-mark" : "routing-table", "jaga-%s%s", kind, name);
}

/* The host by which a line is checked, through that line alone; a default over it leans on this route (scope). */
static void put_target_routes(struct build *build)
{
	for (unsigned i = 0; i < build->site->n_uplinks; i++) {
		const struct ros_uplink *uplink = uplink_of(build, i);

		if (uplink->gateway[0] == '\0')
			continue; /* a line that never was up; the defaults over its target wait */
		begin(build, ROS_ROUTES, "target of %s", uplink->name);
		put(build, "dst-address", "%s/32", uplink->target);
		put(build, "gateway", "%s", uplink->gateway);
		put(build, "scope", "10");
		end(build);

		begin(build, ROS_ROUTES, "probes over %s", uplink->name);
		put(build, "dst-address", "0.0.0.0/0");
		put(build, "gateway", "%s", uplink->gateway);
		put_table(build, "probe-", uplink->name);
		end(build);
	}
}

/* By tier, then as configured: how often another line comes before this one. */
static unsigned rank(const struct ros_site *site, unsigned uplink)
{
	unsigned before = 0;

	for (unsigned i = 0; i < site->n_uplinks; i++)
		before += site->uplinks[i].tier < site->uplinks[uplink].tier ||
			  (site->uplinks[i].tier == site->uplinks[uplink].tier && i < uplink);
	return before;
}

static void put_default(struct build *build, const char *table, unsigned over, unsigned distance)
{
	const struct ros_uplink *uplink = uplink_of(build, over);

	begin(build, ROS_ROUTES, "%s over %s", table ? table : "main", uplink->name);
	put(build, "dst-address", "0.0.0.0/0");
	put(build, "gateway", "%s", uplink->target);
	put(build, "check-gateway", "ping");
	put(build, "target-scope", "11");
	put(build, "distance", "%u", distance);
	if (table)
		put_table(build, "", table);
	end(build);
}

static void put_routes(struct build *build)
{
	const struct ros_site *site = build->site;

	put_target_routes(build);
	for (unsigned over = 0; over < site->n_uplinks; over++) {
		put_default(build, NULL, over, rank(site, over) + 1);
		for (unsigned table = 0; table < site->n_uplinks; table++)
			put_default(build, site->uplinks[table].name, over, over == table ? 1 : rank(site, over) + 2);
	}
}

static void put_rules(struct build *build)
{
	for (unsigned i = 0; i < build->site->n_uplinks; i++) {
		begin(build, ROS_RULES, "probes over %s", uplink_of(build, i)->name);
		put(build, "src-address", "%s/32", uplink_of(build, i)->source);
		put(build, "action", "lookup-only-in-table");
		put(build, "table", "jaga-probe-%s", uplink_of(build, i)->name);
		end(build);
	}
}

/* --- mangle, NAT ---------------------------------------------------------------------------------- */

static void put_mark_connection(struct build *build, const char *mark)
{
	put(build, "action", "mark-connection");
	put(build, "new-connection-mark", "jaga-%s", mark);
	put(build, "passthrough", "yes");
	put(build, "connection-mark", "no-mark");
}

/* The way into chain jaga, and out of it before the login. */
static void put_jump(struct build *build)
{
	begin(build, ROS_MANGLE, "from LANs");
	put(build, "chain", "prerouting");
	put(build, "action", "jump");
	put(build, "jump-target", "jaga");
	put(build, "in-interface-list", "jaga-lan");
	put(build, "dst-address-type", "!local");
	put(build, "dst-address-list", "!jaga-inside");
	put(build, "src-address-list", "!jaga-probe");
	end(build);

	for (unsigned i = 0; i < build->site->n_lans; i++) {
		if (!build->site->has_hotspot[i])
			continue;
		begin(build, ROS_MANGLE, "before the login on %s", build->site->lans[i]);
		put(build, "chain", "jaga");
		put(build, "action", "return");
		put(build, "in-interface", "%s", build->site->lans[i]);
		put(build, "hotspot", "!auth");
		end(build);
	}
}

static void put_inbound(struct build *build)
{
	for (unsigned i = 0; i < build->site->n_uplinks; i++) {
		begin(build, ROS_MANGLE, "in from %s", uplink_of(build, i)->name);
		put(build, "chain", "prerouting");
		put_mark_connection(build, uplink_of(build, i)->name);
		put(build, "in-interface", "%s", uplink_of(build, i)->interface);
		end(build);
	}
}

static void put_bucket(struct build *build, unsigned bucket, unsigned uplink)
{
	const struct ros_site *site = build->site;
	const char *name = uplink_of(build, uplink)->name;
	bool is_home = site->home[bucket] == uplink;

	if (is_home)
		begin(build, ROS_MANGLE, "bucket %u", bucket);
	else
		begin(build, ROS_MANGLE, "bucket %u to %s", bucket, name);
	put(build, "chain", "jaga");
	put_mark_connection(build, name);
	put(build, "per-connection-classifier", "%s:%u/%u", site->hash, site->n_buckets, bucket);
	if (!is_home)
		put(build, "dst-address-list", "jaga-new-%u-%s", bucket, name);
	end(build);
}

static void put_buckets(struct build *build)
{
	const struct ros_site *site = build->site;

	for (unsigned bucket = 0; bucket < site->n_buckets; bucket++) {
		for (unsigned uplink = 0; uplink < site->n_uplinks; uplink++)
			if (uplink != site->home[bucket])
				put_bucket(build, bucket, uplink);
		put_bucket(build, bucket, site->home[bucket]);
	}
}

static void put_mark_routing(struct build *build, const char *chain, unsigned bound_to, unsigned over)
{
	put(build, "chain", "%s", chain);
	put(build, "action", "mark-routing");
	put(build, "connection-mark", "jaga-%s", uplink_of(build, bound_to)->name);
	put(build, "new-routing-mark", "jaga-%s", uplink_of(build, over)->name);
	put(build, "passthrough", "yes");
}

/* The last one that matches holds. */
static void put_routing(struct build *build)
{
	unsigned n = build->site->n_uplinks;

	for (unsigned bound_to = 0; bound_to < n; bound_to++) {
		const char *name = uplink_of(build, bound_to)->name;

		begin(build, ROS_MANGLE, "route %s", name);
		put_mark_routing(build, "jaga", bound_to, bound_to);
		end(build);
		for (unsigned over = 0; over < n; over++) {
			if (over == bound_to)
				continue;
			begin(build, ROS_MANGLE, "route %s over %s", name, uplink_of(build, over)->name);
			put_mark_routing(build, "jaga", bound_to, over);
			put(build, "dst-address-list", "jaga-live-%s-%s", name, uplink_of(build, over)->name);
			end(build);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		begin(build, ROS_MANGLE, "own to %s", uplink_of(build, i)->name);
		put_mark_routing(build, "output", i, i);
		end(build);
	}
}

/* What an IPsec policy takes must keep its source, or the policy would not take it. */
static void put_nat(struct build *build)
{
	for (unsigned i = 0; i < build->site->n_uplinks; i++) {
		if (!uplink_of(build, i)->has_nat)
			continue;
		begin(build, ROS_NAT, "out to %s", uplink_of(build, i)->name);
		put(build, "chain", "srcnat");
		put(build, "action", "masquerade");
		put(build, "out-interface", "%s", uplink_of(build, i)->interface);
		put(build, "ipsec-policy", "out,none");
		end(build);
	}
}

void ros_plan_each(const struct ros_site *site, ros_item_fn *on_item, void *arg)
{
	struct build build = { .site = site, .on_item = on_item, .arg = arg };

	put_lans(&build);
	put_networks(&build);
	put_tables(&build);
	put_routes(&build);
	put_rules(&build);
	put_inbound(&build);
	put_jump(&build);
	put_buckets(&build);
	put_routing(&build);
	put_nat(&build);
}

/* --- steering ------------------------------------------------------------------------------------- */

/* Every list that the rules look at, with what it stands for. */
typedef void choice_fn(void *arg, const char *list, uint8_t *ret_choice, uint8_t uplink);

static void each_choice(const struct ros_site *site, struct forwarding_plan *plan, choice_fn *on_choice, void *arg)
{
	char list[LIMIT_ROS_VALUE];

	for (unsigned to = 0; to < site->n_uplinks; to++) {
		for (unsigned bucket = 0; bucket < site->n_buckets; bucket++) {
			if (site->home[bucket] == to)
				continue;
			snprintf(list, sizeof(list), "jaga-new-%u-%s", bucket, site->uplinks[to].name);
			on_choice(arg, list, &plan->bucket[bucket], (uint8_t)to);
		}
		for (unsigned from = 0; from < site->n_uplinks; from++) {
			if (from == to)
				continue;
			snprintf(list, sizeof(list), "jaga-live-%s-%s", site->uplinks[from].name, site->uplinks[to].name);
			on_choice(arg, list, &plan->live[from], (uint8_t)to);
		}
	}
}

struct tell {
	ros_list_fn *on_list;
	void *arg;
};

static void tell_if_chosen(void *arg, const char *list, uint8_t *ret_choice, uint8_t uplink)
{
	const struct tell *tell = arg;

	if (*ret_choice == uplink)
		tell->on_list(tell->arg, list);
}

void ros_steer_each(const struct ros_site *site, const struct forwarding_plan *plan, ros_list_fn *on_list, void *arg)
{
	struct forwarding_plan copy = *plan;

	each_choice(site, &copy, tell_if_chosen, &(struct tell){ on_list, arg });
}

static void choose_if_named(void *arg, const char *list, uint8_t *ret_choice, uint8_t uplink)
{
	if (strcmp(arg, list) == 0)
		*ret_choice = uplink;
}

void ros_steer_native(const struct ros_site *site, struct forwarding_plan *ret_plan)
{
	*ret_plan = (struct forwarding_plan){ .n_buckets = (uint8_t)site->n_buckets, .n_uplinks = (uint8_t)site->n_uplinks };
	memcpy(ret_plan->bucket, site->home, site->n_buckets);
	for (unsigned i = 0; i < site->n_uplinks; i++)
		ret_plan->live[i] = (uint8_t)i;
}

void ros_steer_take(const struct ros_site *site, const char *list, struct forwarding_plan *plan)
{
	char name[LIMIT_ROS_VALUE];

	snprintf(name, sizeof(name), "%s", list);
	each_choice(site, plan, choose_if_named, name);
}
