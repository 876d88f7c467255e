/*
 * routeros_doctor_routes: rows of routing tables, routes and routing rules -> facts, and those of IPv6. Of routes only
 * defaults are kept, the hosts on which recursive ones lean, and which tables have any. Pure. See routeros_doctor_facts.c.
 */
#include "agent/router/routeros_doctor.h"

#include <stdio.h>
#include <string.h>

/* --- routing --------------------------------------------------------------------------------------- */

void ros_take_table(struct ros_facts *facts, const struct ros_sentence *row)
{
	struct ros_fact_table *table;

	if (ros_row_is_idle(row) || ros_row_is(row, "dynamic") || strcmp(ros_row_text(row, "name"), "main") == 0)
		return;
	table = ROS_ADD(facts, tables, n_tables);
	if (!table)
		return;
	ros_row_id(row, table->id);
	ros_row_name(row, "name", table->name);
	table->has_fib = ros_find(row, "fib") && strcmp(ros_row_text(row, "fib"), "false") != 0 &&
			 strcmp(ros_row_text(row, "fib"), "no") != 0;
}

static void use_table(struct ros_facts *facts, const struct ros_sentence *row, const char *table)
{
	char label[2 * LIMIT_ROS_NAME];
	uint8_t index = strcmp(table, "main") == 0 ? ROS_NONE : ros_facts_mark(facts, true, table);

	if (index == ROS_NONE)
		return;
	snprintf(label, sizeof(label), "the route over %.47s", ros_row_text(row, "gateway"));
	if (facts->marks[index].n_used == 0)
		ros_item_set(row, label, &facts->marks[index].first_used);
	ros_count(&facts->marks[index].n_used);
}

static void take_default(struct ros_facts *facts, const struct ros_sentence *row, const char *table)
{
	struct ros_fact_route *route = ROS_ADD(facts, defaults, n_defaults);

	if (!route)
		return;
	if (!ros_row_is(row, "dynamic"))
		ros_row_id(row, route->id);
	ros_row_name(row, "gateway", route->gateway);
	routeros_copy(route->table, sizeof(route->table), table);
	route->distance = ros_row_distance(row, "distance");
}

void ros_take_route(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *mark = ros_row_text(row, facts->major < 7 ? "routing-mark" : "routing-table");
	const char *table = mark[0] != '\0' ? mark : "main";
	uint32_t network, mask;

	if (ros_row_is_idle(row) || !ros_parse_network(ros_row_text(row, "dst-address"), &network, &mask))
		return;
	use_table(facts, row, table);
	if (mask == 0) {
		take_default(facts, row, table);
		return;
	}
	for (unsigned i = 0; i < facts->n_bypasses; i++)
		if (facts->bypasses[i].network == network && facts->bypasses[i].mask == mask)
			facts->bypasses[i].is_routed = true;
	if (mask != UINT32_MAX || ros_row_is(row, "dynamic") || !ROS_ADD(facts, hosts, n_hosts))
		return;
	facts->hosts[facts->n_hosts - 1].target = network;
	ros_row_name(row, "gateway", facts->hosts[facts->n_hosts - 1].gateway);
}

static void take_lookup(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *table = ros_row_text(row, "table"), *mark = ros_row_text(row, "routing-mark");
	uint8_t index = table[0] == '\0' || strcmp(table, "main") == 0 ? ROS_NONE : ros_facts_mark(facts, true, table);

	if (mark[0] != '\0' && strcmp(mark, table) != 0) {
		uint8_t used = ros_facts_mark(facts, true, mark);

		if (used != ROS_NONE)
			ros_count(&facts->marks[used].n_used);
	}
	if (index != ROS_NONE && strcmp(mark, table) != 0)
		facts->marks[index].is_looked_up = true;
}

/* One that sends a single source or a mark to a table, and goes on to main when that table is empty. */
void ros_take_rule(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *source = ros_row_text(row, "src-address"), *mark = ros_row_text(row, "routing-mark");
	const char *table = ros_row_text(row, "table");
	char label[2 * LIMIT_ROS_NAME];
	struct ros_fact_item *item;
	uint32_t network, mask = 0;

	if (ros_row_is_idle(row))
		return;
	take_lookup(facts, row);
	snprintf(label, sizeof(label), "%s%.40s -> table %.40s", mark[0] != '\0' ? "mark " : "from ",
		 mark[0] != '\0' ? mark : source, table);
	if (strcmp(ros_row_text(row, "action"), "lookup") != 0 || table[0] == '\0' || strcmp(table, "main") == 0 ||
	    (mark[0] == '\0' && !(ros_parse_network(source, &network, &mask) && mask == UINT32_MAX)))
		return;
	item = ROS_ADD(facts, lookups, n_lookups);
	if (item)
		ros_item_set(row, label, item);
}

/* --- IPv6 -------------------------------------------------------------------------------------------- */

void ros_take_settings6(struct ros_facts *facts, const struct ros_sentence *row)
{
	facts->has_ipv6 = !ros_row_is(row, "disable-ipv6") && !ros_row_is_not(row, "forward");
}

void ros_take_address6(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *address = ros_row_text(row, "address");

	/* 2000::/3 */
	if (!ros_row_is_idle(row) && (address[0] == '2' || address[0] == '3') && strcspn(address, ":") == 4)
		ros_facts_tag(facts, ros_row_text(row, "interface"), ROS_HAS_GLOBAL6);
}

void ros_take_route6(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *gateway = ros_row_text(row, "gateway"), *percent = strchr(gateway, '%');

	if (!ros_row_is_idle(row) && strcmp(ros_row_text(row, "dst-address"), "::/0") == 0)
		ros_facts_tag(facts, percent ? percent + 1 : gateway, ROS_HAS_DEFAULT6);
}
