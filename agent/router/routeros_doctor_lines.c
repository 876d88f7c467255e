/*
 * routeros_doctor_lines: the doctor's look at uplinks, LANs and routes, and at what fights about them. Also tells what it
 * recognised, of a set-up that somebody made by hand. Pure: facts in, traps out. See routeros_doctor.h.
 */
#include "agent/router/routeros_doctor.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ETHERNET_MTU 1500
#define FAR_DISTANCE 100 /* of a default route that is to be asked last */

static unsigned count_uplinks(const struct ros_facts *facts)
{
	unsigned n = 0;

	for (unsigned i = 0; i < facts->n_interfaces; i++)
		n += (facts->interfaces[i].is & ROS_IS_UPLINK) != 0;
	return n;
}

/* --- interfaces ------------------------------------------------------------------------------------ */

static const char *network_of(const struct ros_facts *facts, unsigned interface)
{
	for (unsigned i = 0; i < facts->n_addresses; i++)
		if (facts->addresses[i].interface == interface)
			return facts->addresses[i].text;
	return "no address";
}

static const char *gateway_of(const struct ros_facts *facts, unsigned interface)
{
	for (unsigned i = 0; i < facts->n_defaults; i++)
		if (ros_facts_gateway_interface(facts, facts->defaults[i].gateway) == interface)
			return facts->defaults[i].gateway;
	return "none";
}

static void check_configured(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;
	const struct agent_config *config = facts->config;

	for (unsigned i = 0; i < config->n_uplinks; i++) {
		if (ros_facts_interface(facts, config->uplinks[i].interface) == ROS_NONE)
			ros_trap(doctor, ROUTER_TRAP_FATAL, "interface", "in agent.conf, name it as /interface print shows it",
				 "uplink %s: the router has no interface %s", config->uplinks[i].name,
				 config->uplinks[i].interface);
		else if (facts->without_gateway & 1u << i)
			ros_trap(doctor, ROUTER_TRAP_WARNING, "gateway", "wait for its lease, or write gateway = ADDRESS in agent.conf",
				 "uplink %s: no gateway of %s is known, so the router has no route over it", config->uplinks[i].name,
				 config->uplinks[i].interface);
	}
	for (unsigned i = 0; i < config->n_lans; i++) {
		if (ros_facts_interface(facts, config->lans[i]) == ROS_NONE)
			ros_trap(doctor, ROUTER_TRAP_FATAL, "interface", "in agent.conf, name it as /interface print shows it",
				 "LAN: the router has no interface %s", config->lans[i]);
	}
}

void ros_check_interfaces(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	check_configured(doctor);
	for (unsigned i = 0; i < facts->n_interfaces; i++) {
		const struct ros_fact_interface *interface = &facts->interfaces[i];

		if (interface->is & ROS_IS_UPLINK)
			ros_trap(doctor, ROUTER_TRAP_OK, "uplink", "", "%s: %s, gateway %s", interface->name, network_of(facts, i),
				 gateway_of(facts, i));
		else if (interface->is & ROS_IS_LAN)
			ros_trap(doctor, ROUTER_TRAP_OK, "lan", "", "%s: %s", interface->name, network_of(facts, i));
	}
}

/* A warning: at the start of its machine an agent may be there before the addresses are. */
void ros_check_sources(struct ros_doctor *doctor)
{
	const struct agent_config *config = doctor->facts->config;
	char address[INET_ADDRSTRLEN];

	for (unsigned i = 0; i < config->n_uplinks; i++) {
		if (!(doctor->facts->without_source & 1u << i))
			continue;
		inet_ntop(AF_INET, &config->uplinks[i].source.v4, address, sizeof(address));
		ros_trap(doctor, ROUTER_TRAP_WARNING, "source",
			 "give the machine on which the agent runs that address too (in a container: its veth), or correct source in agent.conf",
			 "uplink %s: the agent's machine has no address %s, so no probe leaves and the line looks dead",
			 config->uplinks[i].name, address);
	}
}

/* --- default routes ---------------------------------------------------------------------------------- */

/* The plan's own defaults in main have the distances 1 to n; without a plan it is about what others wrote. */
static bool fights(const struct ros_facts *facts, const struct ros_fact_client *client)
{
	if (ros_facts_wants_plan(facts))
		return client->distance <= facts->config->n_uplinks;
	for (unsigned i = 0; i < facts->n_defaults; i++) {
		const struct ros_fact_route *route = &facts->defaults[i];

		if (route->id[0] != '\0' && strcmp(route->table, "main") == 0 && route->distance == client->distance)
			return true;
	}
	for (unsigned i = 0; i < facts->n_clients; i++)
		if (&facts->clients[i] != client && facts->clients[i].distance == client->distance)
			return true;
	return false;
}

/* Beside the plan's own in main; what a client adds is told by its client. */
static void check_others_defaults(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; ros_facts_wants_plan(facts) && i < facts->n_defaults; i++) {
		const struct ros_fact_route *route = &facts->defaults[i];
		struct ros_fix fix;

		if (route->id[0] == '\0' || strcmp(route->table, "main") != 0 || route->distance > facts->config->n_uplinks)
			continue;
		ros_fix_init(&fix);
		ros_fix_add(&fix, "/ip route set %s distance=%u", route->id, FAR_DISTANCE + i);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "default-route", fix.text,
			 "the default route over %s has distance %u, which fights with those of the plan: what the router sends itself "
			 "may stay on a dead line",
			 route->gateway, route->distance);
	}
}

void ros_check_defaults(struct ros_doctor *doctor)
{
	static const struct {
		const char *path, *name;
	} kinds[] = {
		[ROS_CLIENT_DHCP] = { "/ip dhcp-client", "DHCP" },
		[ROS_CLIENT_PPPOE] = { "/interface pppoe-client", "PPPoE" },
		[ROS_CLIENT_L2TP] = { "/interface l2tp-client", "L2TP" },
	};
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_clients; i++) {
		const struct ros_fact_client *client = &facts->clients[i];
		struct ros_fix fix;

		if (!fights(facts, client))
			continue;
		ros_fix_init(&fix); /* not add-default-route=no: until the take-over it may be the only one */
		ros_fix_add(&fix, "%s set %s default-route-distance=%u", kinds[client->kind].path, client->id, FAR_DISTANCE + i);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "default-route", fix.text,
			 "the %s client on %s adds a default route of distance %u, which fights with %s", kinds[client->kind].name,
			 client->interface != ROS_NONE ? facts->interfaces[client->interface].name : "?", client->distance,
			 ros_facts_wants_plan(facts) ? "those of the plan" : "another one");
	}
	check_others_defaults(doctor);
}

/* --- one network on two lines ------------------------------------------------------------------------- */

static bool overlap(const struct ros_fact_address *a, const struct ros_fact_address *b)
{
	uint32_t mask = a->mask & b->mask;

	return mask != 0 && (a->network & mask) == (b->network & mask);
}

static bool is_uplinks(const struct ros_facts *facts, const struct ros_fact_address *address)
{
	return facts->interfaces[address->interface].is & ROS_IS_UPLINK;
}

/* The line that a table is for, by the marks of the rules that lead there. */
static uint8_t interface_of_table(const struct ros_facts *facts, const char *table)
{
	uint8_t routing = ros_facts_find_mark(facts, true, table);
	uint8_t connection = routing != ROS_NONE ? facts->marks[routing].from : ROS_NONE;

	return connection != ROS_NONE ? facts->marks[connection].interface : ROS_NONE;
}

/* Routes whose gateway may be on either side: both lines' in turn, unless the table tells. */
static unsigned tell_routes(struct ros_doctor *doctor, const struct ros_fact_address *a, const struct ros_fact_address *b)
{
	const struct ros_facts *facts = doctor->facts;
	unsigned n = 0;

	for (unsigned i = 0; i < facts->n_defaults; i++) {
		const struct ros_fact_route *route = &facts->defaults[i];
		uint8_t interface = interface_of_table(facts, route->table);
		char through[2 * LIMIT_ROS_NAME];
		struct ros_quoted quoted;
		uint32_t gateway, mask;
		struct ros_fix fix;

		if (route->id[0] == '\0' || !ros_parse_network(route->gateway, &gateway, &mask) ||
		    (gateway & a->mask & b->mask) != (a->network & a->mask & b->mask))
			continue;
		if (interface != a->interface && interface != b->interface)
			interface = n % 2 == 0 ? a->interface : b->interface;
		n++;
		ros_fix_init(&fix);
		snprintf(through, sizeof(through), "%s%%%s", route->gateway, facts->interfaces[interface].name);
		ros_fix_add(&fix, "/ip route set %s gateway=%s", route->id, ros_quote(&quoted, through));
		ros_trap(doctor, ROUTER_TRAP_WARNING, "subnet", fix.text,
			 "%s and %s have one network, %s: the default route of table %s goes to %s, which may be on either",
			 facts->interfaces[a->interface].name, facts->interfaces[b->interface].name, a->text, route->table,
			 route->gateway);
	}
	return n;
}

void ros_check_subnets(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_addresses; i++) {
		for (unsigned j = i + 1; j < facts->n_addresses; j++) {
			const struct ros_fact_address *a = &facts->addresses[i], *b = &facts->addresses[j];

			if (a->interface == b->interface || !overlap(a, b) || !(is_uplinks(facts, a) || is_uplinks(facts, b)))
				continue;
			if (is_uplinks(facts, a) && is_uplinks(facts, b))
				tell_routes(doctor, a, b);
			else
				ros_trap(doctor, ROUTER_TRAP_WARNING, "subnet",
					 "give the LAN another network, or the modem of that line",
					 "%s (%s) and %s (%s) overlap: one is an uplink, the other is inside",
					 facts->interfaces[a->interface].name, a->text, facts->interfaces[b->interface].name,
					 b->text);
		}
	}
}

/* --- tables and rules ------------------------------------------------------------------------------------ */

void ros_check_fib(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_tables; i++) {
		const struct ros_fact_table *table = &facts->tables[i];
		struct ros_fix fix;

		if (table->has_fib)
			continue;
		ros_fix_init(&fix);
		ros_fix_add(&fix, "/routing table set %s fib", table->id);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "fib", fix.text,
			 "routing table %s has no fib: its routes move no packet, and what is marked for it goes by main", table->name);
	}
}

void ros_check_lookup(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_lookups; i++) {
		struct ros_fix fix;

		ros_fix_init(&fix);
		ros_fix_add(&fix, "%s set %s action=lookup-only-in-table", facts->major < 7 ? "/ip route rule" : "/routing rule",
			    facts->lookups[i].id);
		ros_trap(doctor, ROUTER_TRAP_WARNING, "lookup", fix.text,
			 "routing rule %s is a plain lookup: when that line is dead, what it sends goes by main, and a probe sees a "
			 "dead line alive",
			 facts->lookups[i].label);
	}
}

/* --- settings -------------------------------------------------------------------------------------------- */

void ros_check_rp_filter(struct ros_doctor *doctor)
{
	if (doctor->facts->is_rp_strict && count_uplinks(doctor->facts) > 1)
		ros_trap(doctor, ros_facts_wants_plan(doctor->facts) ? ROUTER_TRAP_FATAL : ROUTER_TRAP_WARNING, "rp-filter",
			 "/ip settings set rp-filter=loose",
			 "rp-filter is strict: answers that come in over a line which main would not use are dropped");
}

void ros_check_mss(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_interfaces; i++) {
		const struct ros_fact_interface *line = &facts->interfaces[i];
		struct ros_quoted quoted;
		struct ros_fix fix;

		if (!(line->is & ROS_IS_UPLINK) || line->mtu == 0 || line->mtu >= ETHERNET_MTU || facts->clamps_all ||
		    line->is & ROS_IS_CLAMPED)
			continue;
		ros_fix_init(&fix);
		ros_fix_add(&fix,
			    "/ip firewall mangle add chain=forward action=change-mss new-mss=clamp-to-pmtu protocol=tcp tcp-flags=syn "
			    "out-interface=%s",
			    ros_quote(&quoted, line->name));
		ros_trap(doctor, ROUTER_TRAP_WARNING, "mss", fix.text,
			 "%s has MTU %u and no rule clamps TCP's segment size: some sites will hang", line->name, line->mtu);
	}
}

/* Only IPv4 is balanced here. What has IPv6, too, takes that, and stays offline when its line is. */
void ros_check_ipv6(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;
	const char *inside = NULL, *leaves = NULL;
	unsigned n_defaults = 0;

	for (unsigned i = 0; i < facts->n_interfaces; i++) {
		const struct ros_fact_interface *interface = &facts->interfaces[i];

		if (interface->is & ROS_HAS_DEFAULT6) {
			leaves = interface->name;
			n_defaults++;
		}
		if (interface->is & ROS_HAS_GLOBAL6 && !(interface->is & ROS_IS_UPLINK))
			inside = interface->name;
	}
	if (!facts->has_ipv6 || count_uplinks(facts) < 2 || (!inside && (n_defaults == 0 || n_defaults == count_uplinks(facts))))
		return;
	ros_trap(doctor, ROUTER_TRAP_WARNING, "ipv6",
		 facts->major < 7 ? "/ipv6 settings set forward=no" : "/ipv6 settings set disable-ipv6=yes",
		 "IPv6 is not balanced: %s%s%s%s; who has it does not fail over", inside ? inside : "", inside ? " has global addresses" : "",
		 inside && leaves ? ", and " : "", leaves ? "its default route leaves by one line only" : "");
}
