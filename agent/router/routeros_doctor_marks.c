/*
 * routeros_doctor_marks: the doctor's look at rules of others in mangle, and at what bypasses it. Of a set-up that somebody
 * made by hand it tells what it recognised, and finds what does not fit together: marks that nobody sets or routes,
 * networks that are not let by, classes of PCC that leave something out. Names that differ by a letter or two are
 * taken for one that was mistyped. Pure: facts in, traps out. See routeros_doctor.h.
 */
#include "agent/router/routeros_doctor.h"

#include <stdio.h>
#include <string.h>

static bool balances_by_hand(const struct ros_facts *facts)
{
	for (unsigned i = 0; i < facts->n_rules; i++)
		if (facts->rules[i].marks_routing)
			return true;
	return false;
}

static enum router_trap_level level_for_plan(const struct ros_facts *facts)
{
	return ros_facts_wants_plan(facts) ? ROUTER_TRAP_FATAL : ROUTER_TRAP_WARNING;
}

void ros_check_fasttrack(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	if (!ros_facts_wants_plan(facts) && !balances_by_hand(facts))
		return;
	for (unsigned i = 0; i < facts->n_fasttracks; i++) {
		struct ros_fix fix;

		ros_fix_init(&fix);
		ros_fix_add(&fix, "/ip firewall filter set %s connection-mark=no-mark", facts->fasttracks[i].id);
		ros_trap(doctor, level_for_plan(facts), "fasttrack", fix.text,
			 "FastTrack (%s) takes connections past mangle, whatever line they were marked for",
			 facts->fasttracks[i].label);
	}
}

/*
 * A mark that is set on packets to the router itself sends them out: with 7 also those of a LAN, with both what comes back
 * over a line. Who lets the networks by beforehand is safe (ros_check_bypass looks whether all are named).
 */
void ros_check_local(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	if (facts->n_bypasses > 0 || facts->lets_lists_by)
		return;
	for (unsigned i = 0; i < facts->n_rules; i++) {
		const struct ros_fact_rule *rule = &facts->rules[i];
		bool reaches_local = rule->matches == ROS_NONE || facts->marks[rule->matches].reaches_local;
		struct ros_fix fix;

		if (!rule->marks_routing || !rule->is_prerouting || rule->is_not_local ||
		    (rule->is_lan_side && (facts->major < 7 || !reaches_local)))
			continue;
		ros_fix_init(&fix);
		ros_fix_add(&fix, "/ip firewall mangle set %s dst-address-type=!local", rule->item.id);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "local", fix.text,
			 "%s routes also what is meant for this router%s: its own addresses cannot be reached", rule->item.label,
			 rule->is_lan_side ? "" : ", and what comes back over the lines");
	}
}

static bool meets_hotspot(const struct ros_facts *facts, const struct ros_fact_rule *rule)
{
	for (unsigned i = 0; i < facts->n_interfaces; i++)
		if (facts->interfaces[i].is & ROS_HAS_HOTSPOT && (rule->interface == i || rule->interface == ROS_NONE))
			return true;
	return false;
}

void ros_check_hotspot(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_rules; i++) {
		const struct ros_fact_rule *rule = &facts->rules[i];
		struct ros_fix fix;

		if (!rule->has_pcc || rule->asks_hotspot || !meets_hotspot(facts, rule))
			continue;
		ros_fix_init(&fix);
		ros_fix_add(&fix, "/ip firewall mangle set %s hotspot=auth", rule->item.id);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "hotspot", fix.text,
			 "%s deals out connections of a hotspot before its users have logged in: their login page does not come",
			 rule->item.label);
	}
}

/* --- marks ------------------------------------------------------------------------------------------- */

/* A mark of the same kind that lacks what this one has, with nearly the same name. */
static const struct ros_fact_mark *meant(const struct ros_facts *facts, const struct ros_fact_mark *mark)
{
	const struct ros_fact_mark *best = NULL;
	unsigned best_distance = LIMIT_ROS_TYPO + 1;

	for (unsigned i = 0; i < facts->n_marks; i++) {
		const struct ros_fact_mark *other = &facts->marks[i];
		bool is_counterpart = mark->n_set == 0 ? other->n_set > 0 : other->n_set == 0 && !other->is_looked_up;
		unsigned distance;

		if (other == mark || other->is_routing != mark->is_routing || !is_counterpart)
			continue;
		if (mark->is_routing && (other->n_used == 0) == (mark->n_used == 0))
			continue;
		distance = ros_text_distance(mark->name, other->name);
		if (distance < best_distance) {
			best = other;
			best_distance = distance;
		}
	}
	return best;
}

static bool has_table(const struct ros_facts *facts, const char *name)
{
	for (unsigned i = 0; i < facts->n_tables; i++)
		if (strcmp(facts->tables[i].name, name) == 0)
			return true;
	return facts->major < 7;
}

static void add_table(const struct ros_facts *facts, const char *name, struct ros_fix *fix)
{
	struct ros_quoted quoted;

	if (!has_table(facts, name))
		ros_fix_add(fix, "/routing table add name=%s fib", ros_quote(&quoted, name));
}

static const char *table_key(const struct ros_facts *facts)
{
	return facts->major < 7 ? "routing-mark" : "routing-table";
}

static void rename_table(const struct ros_facts *facts, const char *from, const char *to, struct ros_fix *fix)
{
	struct ros_quoted before, after;

	add_table(facts, to, fix);
	ros_fix_add(fix, "/ip route set [find %s=%s] %s=%s", table_key(facts), ros_quote(&before, from), table_key(facts),
		    ros_quote(&after, to));
}

static void tell_unset_route(struct ros_doctor *doctor, const struct ros_fact_mark *mark)
{
	const struct ros_facts *facts = doctor->facts;
	const struct ros_fact_mark *other = meant(facts, mark);
	struct ros_quoted quoted;
	struct ros_fix fix;

	ros_fix_init(&fix);
	if (other)
		rename_table(facts, mark->name, other->name, &fix);
	else
		ros_fix_add(&fix, "/ip route disable [find %s=%s]", table_key(facts), ros_quote(&quoted, mark->name));
	ros_trap(doctor, ROUTER_TRAP_WARNING, "route-mark", fix.text, "%s is for %s %s, which no rule sets%s%s%s",
		 mark->first_used.label, facts->major < 7 ? "routing mark" : "table", mark->name, other ? " (" : "",
		 other ? other->name : "", other ? " is meant?)" : "");
}

/* The gateway of the line whose connections get this mark. */
static const char *gateway_for(const struct ros_facts *facts, const struct ros_fact_mark *mark)
{
	uint8_t line = mark->from != ROS_NONE ? facts->marks[mark->from].interface : ROS_NONE;

	for (unsigned i = 0; line != ROS_NONE && i < facts->n_defaults; i++)
		if (ros_facts_gateway_interface(facts, facts->defaults[i].gateway) == line)
			return facts->defaults[i].gateway;
	return NULL;
}

static void tell_unrouted(struct ros_doctor *doctor, const struct ros_fact_mark *mark)
{
	const struct ros_facts *facts = doctor->facts;
	const struct ros_fact_mark *other = meant(facts, mark);
	const char *gateway = gateway_for(facts, mark);
	struct ros_quoted name, quoted;
	struct ros_fix fix;

	ros_fix_init(&fix);
	if (other) {
		rename_table(facts, other->name, mark->name, &fix);
	} else if (gateway) {
		add_table(facts, mark->name, &fix);
		ros_fix_add(&fix, "/ip route add gateway=%s %s=%s check-gateway=ping", ros_quote(&quoted, gateway), table_key(facts),
			    ros_quote(&name, mark->name));
	} else {
		ros_fix_add(&fix, "/ip firewall mangle disable [find new-routing-mark=%s]", ros_quote(&name, mark->name));
	}
	ros_trap(doctor, ROUTER_TRAP_WARNING, "mark-route", fix.text,
		 "%s sets routing mark %s, which no route has: what is marked goes by main%s%s%s", mark->first_set.label, mark->name,
		 other ? " (the route has " : "", other ? other->name : "", other ? "?)" : "");
}

static void tell_unset_mark(struct ros_doctor *doctor, const struct ros_fact_mark *mark)
{
	const struct ros_fact_mark *other = meant(doctor->facts, mark);
	struct ros_quoted before, after;
	struct ros_fix fix;

	ros_fix_init(&fix);
	if (other)
		ros_fix_add(&fix, "/ip firewall mangle set [find connection-mark=%s] connection-mark=%s", ros_quote(&before, mark->name),
			    ros_quote(&after, other->name));
	else
		ros_fix_add(&fix, "/ip firewall mangle disable [find connection-mark=%s]", ros_quote(&before, mark->name));
	ros_trap(doctor, ROUTER_TRAP_WARNING, "mark-unset", fix.text, "%s goes by connection mark %s, which no rule sets%s%s%s",
		 mark->first_used.label, mark->name, other ? " (" : "", other ? other->name : "", other ? " is meant?)" : "");
}

static void tell_mark(struct ros_doctor *doctor, const struct ros_fact_mark *mark)
{
	const struct ros_facts *facts = doctor->facts;
	const struct ros_fact_mark *from = mark->from != ROS_NONE ? &facts->marks[mark->from] : NULL;
	const char *line = from && from->interface != ROS_NONE ? facts->interfaces[from->interface].name : NULL;

	ros_trap(doctor, ROUTER_TRAP_OK, "marks", "", "routing mark %s%s%s%s%s", mark->name, from ? ": connections marked " : "",
		 from ? from->name : "", line ? ", as what comes in from " : "", line ? line : "");
}

void ros_check_marks(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_marks; i++) {
		const struct ros_fact_mark *mark = &facts->marks[i];

		if (mark->is_routing && mark->n_set > 0 && mark->n_used > 0)
			tell_mark(doctor, mark);
		else if (mark->is_routing && mark->n_set > 0)
			tell_unrouted(doctor, mark);
		else if (mark->is_routing && mark->n_used > 0 && !mark->is_looked_up)
			tell_unset_route(doctor, mark);
		else if (!mark->is_routing && mark->n_set == 0)
			tell_unset_mark(doctor, mark);
	}
}

/* --- classes of PCC --------------------------------------------------------------------------------------- */

struct classes { /* rules for one side */
	unsigned n;
	const struct ros_fact_rule *rules[LIMIT_ROS_FACTS];
};

static bool is_class(const struct ros_fact_rule *rule)
{
	return rule->has_pcc && !rule->marks_routing && !rule->is_narrow;
}

static void gather(const struct ros_facts *facts, unsigned first, struct classes *ret_classes)
{
	const struct ros_fact_rule *model = &facts->rules[first];

	ret_classes->n = 1;
	ret_classes->rules[0] = model;
	for (unsigned i = first + 1; i < facts->n_rules; i++) {
		const struct ros_fact_rule *rule = &facts->rules[i];

		if (is_class(rule) && strcmp(rule->source, model->source) == 0 && rule->is_prerouting == model->is_prerouting)
			ret_classes->rules[ret_classes->n++] = rule;
	}
}

static bool is_first_of_its_side(const struct ros_facts *facts, unsigned index)
{
	for (unsigned i = 0; i < index; i++)
		if (is_class(&facts->rules[i]) && strcmp(facts->rules[i].source, facts->rules[index].source) == 0 &&
		    facts->rules[i].is_prerouting == facts->rules[index].is_prerouting)
			return false;
	return true;
}

/* What is wrong with them, or NULL. */
static const char *fault_of(const struct classes *classes, char *space, size_t size)
{
	const struct ros_fact_rule *model = classes->rules[0];
	bool is_covered[LIMIT_ROS_FACTS] = { false };

	for (unsigned i = 1; i < classes->n; i++) {
		if (strcmp(classes->rules[i]->hash, model->hash) != 0)
			return "they go by different addresses and ports";
		if (classes->rules[i]->denominator != model->denominator)
			return "their denominators differ";
	}
	for (unsigned i = 0; i < classes->n; i++)
		if (classes->rules[i]->remainder < LIMIT_ROS_FACTS)
			is_covered[classes->rules[i]->remainder] = true;
	for (uint32_t class = 0; class < model->denominator; class++) {
		if (class < LIMIT_ROS_FACTS && is_covered[class])
			continue;
		snprintf(space, size, "no rule has class %u of %u", class, model->denominator);
		return space;
	}
	return NULL;
}

/* Numbered anew: as many classes as there are rules. */
static void renumber(const struct classes *classes, struct ros_fix *fix)
{
	const char *hash = classes->rules[0]->hash;

	for (unsigned i = 0; i < classes->n; i++) {
		const struct ros_fact_rule *rule = classes->rules[i];

		if (rule->denominator == classes->n && rule->remainder == i && strcmp(rule->hash, hash) == 0)
			continue;
		if (!ros_fix_add(fix, "/ip firewall mangle set %s per-connection-classifier=%s:%u/%u", rule->item.id, hash, classes->n, i))
			return; /* the rest when somebody looks again */
	}
}

void ros_check_pcc(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_rules; i++) {
		struct classes classes;
		struct ros_fix fix;
		const char *fault;
		char space[80];

		if (!is_class(&facts->rules[i]) || !is_first_of_its_side(facts, i))
			continue;
		gather(facts, i, &classes);
		fault = fault_of(&classes, space, sizeof(space));
		if (!fault) {
			ros_trap(doctor, ROUTER_TRAP_OK, "pcc", "", "%s: %u classes by %s",
				 facts->rules[i].source[0] != '\0' ? facts->rules[i].source : "everybody", classes.n, facts->rules[i].hash);
			continue;
		}
		ros_fix_init(&fix);
		renumber(&classes, &fix);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "pcc", fix.text,
			 "the classes for %s do not make a whole (from %s on): %s, so some connections stay unmarked",
			 facts->rules[i].source[0] != '\0' ? facts->rules[i].source : "everybody", facts->rules[i].item.label, fault);
	}
}

/* --- networks that are let by ------------------------------------------------------------------------------ */

static bool covers(const struct ros_fact_bypass *bypass, const struct ros_fact_address *address)
{
	return (address->mask & bypass->mask) == bypass->mask && (address->network & bypass->mask) == bypass->network;
}

static bool is_let_by(const struct ros_facts *facts, const struct ros_fact_address *address)
{
	for (unsigned i = 0; i < facts->n_bypasses; i++)
		if (covers(&facts->bypasses[i], address))
			return true;
	return address->mask == UINT32_MAX; /* the end of a point-to-point line */
}

/* A private network: others may be exempt from balancing on purpose, and so may single hosts. */
static bool is_inside(const struct ros_fact_bypass *bypass)
{
	uint32_t network = bypass->network;

	return bypass->mask != UINT32_MAX && (network >> 24 == 10 || network >> 20 == 0xac1 || network >> 16 == 0xc0a8);
}

static bool is_somewhere(const struct ros_facts *facts, const struct ros_fact_bypass *bypass)
{
	if (!is_inside(bypass))
		return true;
	for (unsigned i = 0; i < facts->n_addresses; i++) {
		uint32_t mask = bypass->mask & facts->addresses[i].mask;

		if ((bypass->network & mask) == (facts->addresses[i].network & mask))
			return true;
	}
	return bypass->is_routed;
}

/* The network that is not let by and has nearly this name; NULL: none. */
static const struct ros_fact_address *network_meant(const struct ros_facts *facts, const struct ros_fact_bypass *bypass)
{
	for (unsigned i = 0; i < facts->n_addresses; i++)
		if (!is_let_by(facts, &facts->addresses[i]) &&
		    ros_text_distance(bypass->text, facts->addresses[i].text) <= LIMIT_ROS_TYPO)
			return &facts->addresses[i];
	return NULL;
}

static const struct ros_fact_bypass *bypass_meant(const struct ros_facts *facts, const struct ros_fact_address *address)
{
	for (unsigned i = 0; i < facts->n_bypasses; i++)
		if (!is_somewhere(facts, &facts->bypasses[i]) && network_meant(facts, &facts->bypasses[i]) == address)
			return &facts->bypasses[i];
	return NULL;
}

static void put_bypass_right(const struct ros_fact_bypass *bypass, const struct ros_fact_address *address, struct ros_fix *fix)
{
	ros_fix_init(fix);
	if (bypass && address)
		ros_fix_add(fix, "/ip firewall mangle set %s dst-address=%s", bypass->item.id, address->text);
	else if (bypass)
		ros_fix_add(fix, "/ip firewall mangle disable %s", bypass->item.id);
}

static void tell_missing(struct ros_doctor *doctor, const struct ros_fact_address *address)
{
	const struct ros_facts *facts = doctor->facts;
	const struct ros_fact_bypass *other = bypass_meant(facts, address);
	struct ros_fix fix;

	put_bypass_right(other, address, &fix);
	if (!other)
		ros_fix_add(&fix, "/ip firewall mangle add chain=prerouting action=accept dst-address=%s place-before=%s", address->text,
			    facts->bypasses[0].item.id);
	ros_trap(doctor, ROUTER_TRAP_WARNING, "bypass", fix.text,
		 "network %s of %s is not let by before marks are set: what goes there is sent out over the lines", address->text,
		 facts->interfaces[address->interface].name);
}

void ros_check_bypass(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	if (!balances_by_hand(facts) || facts->n_bypasses == 0)
		return;
	for (unsigned i = 0; !facts->lets_lists_by && i < facts->n_addresses; i++)
		if (!is_let_by(facts, &facts->addresses[i]))
			tell_missing(doctor, &facts->addresses[i]);
	for (unsigned i = 0; i < facts->n_bypasses; i++) {
		const struct ros_fact_bypass *bypass = &facts->bypasses[i];
		const struct ros_fact_address *address = network_meant(facts, bypass);
		struct ros_fix fix;

		if (is_somewhere(facts, bypass))
			continue;
		put_bypass_right(bypass, address, &fix);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "bypass", fix.text, "%s lets %s by, which is no network of this router%s%s%s",
			 bypass->item.label, bypass->text, address ? " (" : "", address ? address->text : "", address ? " is meant?)" : "");
	}
}
