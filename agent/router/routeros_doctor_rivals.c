/*
 * routeros_doctor_rivals: the doctor's look at what cannot stand beside the plan: another agent that steers, rules of others that
 * balance, and marks of connections for another purpose, since a connection has one mark only. Pure: facts in, traps out. See
 * routeros_doctor.h.
 */
#include "agent/router/routeros_doctor.h"

#include <stdio.h>
#include <string.h>

/* --- two agents -------------------------------------------------------------------------------------- */

void ros_take_lease(struct ros_facts *facts, const struct ros_sentence *row)
{
	struct ros_lease_holder holder;

	if (!ros_lease_parse(row, &holder) || strcmp(holder.id, facts->agent->id) == 0)
		return;
	if (holder.address[0] != '\0' && strcmp(holder.address, facts->agent->address) == 0) {
		facts->is_unknown_here = true;
	} else if (!facts->has_other_agent || strcmp(holder.id, facts->other_agent.id) < 0) {
		facts->has_other_agent = true;
		facts->other_agent = holder;
	}
}

/* It steers from our own address: the agent that is looked at here, whose id could not be kept or may not be read. */
static void tell_unknown_self(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;
	struct ros_fix fix;

	ros_fix_init(&fix);
	ros_fix_add(&fix, "see that the agent can write into %.200s, and whoever runs this can read there", facts->config->state_dir);
	ros_trap(doctor, ROUTER_TRAP_WARNING, ROUTER_TRAP_OTHER_AGENT, fix.text,
		 "an agent at %s steers this router, which is this machine's address, but its id is not here: restarted, it waits %d s for itself",
		 facts->agent->address, LIMIT_ROS_LEASE_S);
}

/* Beside one that steers others may watch. */
void ros_check_other_agent(struct ros_doctor *doctor)
{
	const struct ros_lease_holder *other = &doctor->facts->other_agent;
	bool is_trap = doctor->facts->has_other_agent && ros_facts_wants_plan(doctor->facts);
	struct ros_fix fix;

	ros_fix_init(&fix);
	if (is_trap)
		ros_fix_add(&fix, "systemctl disable --now jaga-agent, at %s, or stop its container; or write take_over = no in [agent] "
			    "of one of the two", other->address);
	if (doctor->facts->has_other_agent)
		ros_trap(doctor, is_trap ? ROUTER_TRAP_FATAL : ROUTER_TRAP_OK, ROUTER_TRAP_OTHER_AGENT, fix.text,
			 "another agent steers this router: %s (%.8s) at %s", other->name, other->id, other->address);
	else if (doctor->facts->is_unknown_here && ros_facts_wants_plan(doctor->facts))
		tell_unknown_self(doctor);
	else
		ros_trap(doctor, ROUTER_TRAP_OK, ROUTER_TRAP_OTHER_AGENT, "", "no other agent steers this router");
}

/* --- two balancers ---------------------------------------------------------------------------------- */

/* Marks routing, or marks connections whose mark becomes one. */
static bool is_of_a_balancer(const struct ros_facts *facts, const struct ros_fact_rule *rule)
{
	if (rule->marks_routing || rule->has_pcc)
		return true;
	for (unsigned i = 0; rule->sets != ROS_NONE && i < facts->n_marks; i++)
		if (facts->marks[i].is_routing && facts->marks[i].from == rule->sets)
			return true;
	return false;
}

void ros_check_balancer(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;
	bool has_pcc = false;
	unsigned n = 0;
	struct buf ids;
	char space[LIMIT_ERR_TEXT - sizeof("/ip firewall mangle disable ")];
	struct ros_fix fix;

	buf_init(&ids, space, sizeof(space));
	for (unsigned i = 0; i < facts->n_rules; i++) {
		const struct ros_fact_rule *rule = &facts->rules[i];

		if (!is_of_a_balancer(facts, rule))
			continue;
		has_pcc |= rule->has_pcc;
		buf_printf(&ids, "%s%s", n++ > 0 ? "," : "", rule->item.id); /* what does not fit, when somebody looks again */
	}
	if (n == 0 || !ros_facts_wants_plan(facts))
		return;
	ros_fix_init(&fix);
	ros_fix_add(&fix, "/ip firewall mangle disable %s", ids.data);
	ros_trap(doctor, has_pcc ? ROUTER_TRAP_FATAL : ROUTER_TRAP_WARNING, "balancer", fix.text,
		 "%u rules of another %s: two balancers fight over every connection", n,
		 has_pcc ? "balance the lines already (PCC)" : "choose lines by marks");
}

/* --- marks for another purpose ------------------------------------------------------------------------- */

/* Connections between LANs and lines are among those that it marks. */
static bool marks_ours(const struct ros_facts *facts, const struct ros_fact_rule *rule)
{
	if (rule->marks_routing || rule->sets == ROS_NONE || rule->matches != ROS_NONE || rule->is_own || is_of_a_balancer(facts, rule))
		return false;
	return rule->interface == ROS_NONE || facts->interfaces[rule->interface].is & (ROS_IS_UPLINK | ROS_IS_LAN);
}

/* All of a kind in one: the first is named, and mended with as many others as fit. */
static void tell_shared_marks(struct ros_doctor *doctor, bool is_for_unmarked, enum router_trap_level level, const char *why)
{
	const struct ros_facts *facts = doctor->facts;
	const char *first = NULL;
	char others[sizeof(" and 4294967295 others")] = "";
	struct ros_quoted quoted;
	struct ros_fix fix;
	unsigned n = 0;

	ros_fix_init(&fix);
	for (unsigned i = 0; i < facts->n_rules; i++) {
		const struct ros_fact_rule *rule = &facts->rules[i];

		if (rule->is_for_unmarked != is_for_unmarked || !marks_ours(facts, rule))
			continue;
		if (n++ == 0)
			first = rule->item.label;
		ros_fix_add(&fix, "/ip firewall mangle set %s action=mark-packet new-packet-mark=%s%s", rule->item.id,
			    ros_quote(&quoted, facts->marks[rule->sets].name), is_for_unmarked ? " !connection-mark" : "");
	}
	if (n == 2)
		snprintf(others, sizeof(others), " and another");
	else if (n > 2)
		snprintf(others, sizeof(others), " and %u others", n - 1);
	if (n > 0)
		ros_trap(doctor, level, "connection-mark", fix.text, "%s%s: %s", first, others, why);
}

/* The plan's rules stand first. What changes its marks takes connections from their lines; what waits for unmarked ones waits for ever. */
void ros_check_shared_marks(struct ros_doctor *doctor)
{
	if (!ros_facts_wants_plan(doctor->facts))
		return;
	tell_shared_marks(doctor, false, ROUTER_TRAP_FATAL, "marks connections, which have one mark only: they lose that of their line, and break");
	tell_shared_marks(doctor, true, ROUTER_TRAP_WARNING,
			  "is for connections without a mark, and those between LANs and lines have that of their line then");
}
