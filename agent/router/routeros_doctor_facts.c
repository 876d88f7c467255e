/*
 * routeros_doctor_facts: rows of the router's menus -> what the doctor has to know. A row is looked at once; what is kept
 * is bounded, and what finds no room is counted. Rows come in the order of the prints of routeros_doctor.c: interfaces
 * before what names them, addresses before gateways. Everything in a row is hostile text. Pure.
 */
#include "agent/router/routeros_doctor.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"

/* --- reading a row ------------------------------------------------------------------------------- */

bool ros_row_is_idle(const struct ros_sentence *row)
{
	return strncmp(ros_row_text(row, "comment"), ROS_TAG, sizeof(ROS_TAG) - 1) == 0 || ros_row_is(row, "disabled") ||
	       ros_row_is(row, "invalid");
}

void ros_row_show(const struct ros_sentence *row, const char *key, char *ret_text, size_t size)
{
	const char *value = ros_row_text(row, key);
	size_t i;

	for (i = 0; value[i] != '\0' && i < size - 1; i++)
		ret_text[i] = (unsigned char)value[i] < ' ' || value[i] == 0x7f ? '?' : value[i];
	ret_text[i] = '\0';
}

/* Whole, or "": a name that was cut would be another name. */
void ros_row_name(const struct ros_sentence *row, const char *key, char ret_name[static LIMIT_ROS_NAME])
{
	ret_name[0] = '\0';
	if (strlen(ros_row_text(row, key)) < LIMIT_ROS_NAME)
		ros_row_show(row, key, ret_name, LIMIT_ROS_NAME);
}

void ros_row_id(const struct ros_sentence *row, char ret_id[static LIMIT_ROS_ID])
{
	const char *id = ros_row_text(row, ".id");

	ret_id[0] = '\0';
	if (id[0] == '*' && id[1 + strspn(id + 1, "0123456789ABCDEFabcdef")] == '\0')
		routeros_copy(ret_id, LIMIT_ROS_ID, id);
}

uint32_t ros_row_distance(const struct ros_sentence *row, const char *key)
{
	uint32_t distance = 1; /* what RouterOS takes when none is written */

	(void)parse_u32(ros_row_text(row, key), 0, UINT32_MAX, &distance);
	return distance;
}

bool ros_parse_network(const char *text, uint32_t *ret_network, uint32_t *ret_mask)
{
	char address[INET_ADDRSTRLEN];
	size_t length = strcspn(text, "/");
	struct in_addr parsed;
	uint32_t prefix = 32;

	if (length >= sizeof(address) || (text[length] == '/' && parse_u32(text + length + 1, 0, 32, &prefix) < 0))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(AF_INET, address, &parsed) != 1)
		return false;
	*ret_mask = prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
	*ret_network = ntohl(parsed.s_addr) & *ret_mask;
	return true;
}

static void show_network(uint32_t network, uint32_t mask, char ret_text[static INET_ADDRSTRLEN + 3])
{
	snprintf(ret_text, INET_ADDRSTRLEN + 3, "%u.%u.%u.%u/%d", network >> 24, network >> 16 & 255, network >> 8 & 255,
		 network & 255, __builtin_popcount(mask));
}

void ros_item_set(const struct ros_sentence *row, const char *label, struct ros_fact_item *ret_item)
{
	ros_row_id(row, ret_item->id);
	routeros_copy(ret_item->label, sizeof(ret_item->label), label);
}

void ros_count(uint8_t *n)
{
	if (*n < UINT8_MAX)
		(*n)++;
}

/* --- finding things again ------------------------------------------------------------------------ */

void *ros_facts_add(struct ros_facts *facts, void *list, unsigned *n, size_t size, unsigned limit)
{
	void *item = (char *)list + *n * size;

	if (*n == limit) {
		facts->n_left_out++;
		return NULL;
	}
	memset(item, 0, size);
	(*n)++;
	return item;
}

uint8_t ros_facts_interface(const struct ros_facts *facts, const char *name)
{
	for (unsigned i = 0; name[0] != '\0' && i < facts->n_interfaces; i++)
		if (strcmp(facts->interfaces[i].name, name) == 0)
			return (uint8_t)i;
	return ROS_NONE;
}

bool ros_facts_is_member(const struct ros_facts *facts, uint8_t interface, const char *list)
{
	for (unsigned i = 0; i < facts->n_members; i++)
		if (facts->members[i].interface == interface && strcmp(facts->members[i].list, list) == 0)
			return true;
	return false;
}

static uint8_t direct_interface(const struct ros_facts *facts, const char *gateway)
{
	const char *percent = strchr(gateway, '%');
	uint32_t address, mask, best = 0;
	uint8_t found = ros_facts_interface(facts, percent ? percent + 1 : gateway);

	if (percent || found != ROS_NONE || !ros_parse_network(gateway, &address, &mask))
		return found;
	for (unsigned i = 0; i < facts->n_addresses; i++) {
		const struct ros_fact_address *own = &facts->addresses[i];

		if ((address & own->mask) == own->network && (found == ROS_NONE || own->mask > best)) {
			found = own->interface;
			best = own->mask;
		}
	}
	return found;
}

uint8_t ros_facts_gateway_interface(const struct ros_facts *facts, const char *gateway)
{
	uint8_t found = direct_interface(facts, gateway);
	uint32_t address, mask;

	if (found != ROS_NONE || !ros_parse_network(gateway, &address, &mask))
		return found;
	for (unsigned i = 0; i < facts->n_hosts && found == ROS_NONE; i++)
		if (facts->hosts[i].target == address)
			found = direct_interface(facts, facts->hosts[i].gateway);
	return found;
}

bool ros_facts_wants_plan(const struct ros_facts *facts)
{
	return facts->config->take_over && facts->config->n_uplinks > 0;
}

/* --- the device ------------------------------------------------------------------------------------ */

void ros_take_resource(struct ros_facts *facts, const struct ros_sentence *row)
{
	(void)ros_row_version(row, &facts->major, &facts->minor); /* not told: taken for an old one */
	facts->free_bytes = ros_row_number(row, "free-hdd-space");
	facts->total_bytes = ros_row_number(row, "total-hdd-space");
	facts->is_x86 = strncmp(ros_row_text(row, "architecture-name"), "x86", 3) == 0;
}

void ros_take_device_mode(struct ros_facts *facts, const struct ros_sentence *row)
{
	facts->forbids_scheduler = ros_row_is_not(row, "scheduler");
	facts->forbids_fetch = ros_row_is_not(row, "fetch");
	facts->forbids_container = ros_row_is_not(row, "container");
}

void ros_take_file(struct ros_facts *facts, const struct ros_sentence *row)
{
	uint64_t bytes = ros_row_number(row, "size");

	if (bytes <= facts->largest_bytes || strlen(ros_row_text(row, "name")) >= sizeof(facts->largest))
		return;
	facts->largest_bytes = bytes;
	ros_row_show(row, "name", facts->largest, sizeof(facts->largest));
}

void ros_take_tracking(struct ros_facts *facts, const struct ros_sentence *row)
{
	facts->connections = ros_row_number(row, "total-entries");
	facts->max_connections = ros_row_number(row, "max-entries");
}

void ros_take_settings(struct ros_facts *facts, const struct ros_sentence *row)
{
	facts->is_rp_strict = strcmp(ros_row_text(row, "rp-filter"), "strict") == 0;
}

/* --- interfaces ------------------------------------------------------------------------------------ */

static uint32_t configured_as(const struct agent_config *config, const char *name)
{
	for (unsigned i = 0; i < config->n_uplinks; i++)
		if (strcmp(config->uplinks[i].interface, name) == 0)
			return ROS_IS_UPLINK;
	for (unsigned i = 0; i < config->n_lans; i++)
		if (strcmp(config->lans[i], name) == 0)
			return ROS_IS_LAN;
	return 0;
}

/* A server has a thousand dynamic ones, one for each user: these are not looked at. */
void ros_take_interface(struct ros_facts *facts, const struct ros_sentence *row)
{
	uint32_t is = configured_as(facts->config, ros_row_text(row, "name"));
	uint64_t mtu = ros_row_number(row, ros_find(row, "actual-mtu") ? "actual-mtu" : "mtu");
	struct ros_fact_interface *interface;

	if (is == 0 && (ros_row_is(row, "dynamic") || strlen(ros_row_text(row, "name")) >= LIMIT_ROS_NAME))
		return;
	if (is == 0 && facts->n_interfaces >= LIMIT_ROS_FACTS - LIMIT_UPLINKS - LIMIT_LANS) {
		facts->n_left_out++; /* room is kept for those of the configuration */
		return;
	}
	interface = ROS_ADD(facts, interfaces, n_interfaces);
	if (!interface)
		return;
	ros_row_name(row, "name", interface->name);
	routeros_copy(interface->kind, sizeof(interface->kind), ros_row_text(row, "type"));
	interface->mtu = mtu <= UINT32_MAX ? (uint32_t)mtu : 0;
	interface->is = is;
	interface->bridge = ROS_NONE;
}

void ros_facts_tag(struct ros_facts *facts, const char *name, uint32_t is)
{
	uint8_t index = ros_facts_interface(facts, name);

	if (index != ROS_NONE)
		facts->interfaces[index].is |= is;
}

void ros_take_bridge(struct ros_facts *facts, const struct ros_sentence *row)
{
	uint8_t index = ros_facts_interface(facts, ros_row_text(row, "name"));

	if (index != ROS_NONE && !ros_row_is_idle(row))
		facts->interfaces[index].filters_vlans = ros_row_is(row, "vlan-filtering");
}

void ros_take_port(struct ros_facts *facts, const struct ros_sentence *row)
{
	uint8_t port = ros_facts_interface(facts, ros_row_text(row, "interface"));
	uint8_t bridge = ros_facts_interface(facts, ros_row_text(row, "bridge"));

	if (port == ROS_NONE || bridge == ROS_NONE || ros_row_is_idle(row))
		return;
	facts->interfaces[port].bridge = bridge;
	if (strcmp(facts->interfaces[port].kind, "ether") != 0 || !ros_row_is(row, "hw") || !ros_find(row, "hw-offload"))
		return;
	ros_count(&facts->interfaces[bridge].n_offloadable);
	if (ros_row_is(row, "hw-offload"))
		ros_count(&facts->interfaces[bridge].n_offloaded);
}

void ros_take_member(struct ros_facts *facts, const struct ros_sentence *row)
{
	uint8_t interface = ros_facts_interface(facts, ros_row_text(row, "interface"));
	char list[LIMIT_ROS_NAME];

	ros_row_name(row, "list", list);
	if (interface == ROS_NONE || list[0] == '\0' || ros_row_is_idle(row) || !ROS_ADD(facts, members, n_members))
		return;
	facts->members[facts->n_members - 1].interface = interface;
	routeros_copy(facts->members[facts->n_members - 1].list, LIMIT_ROS_NAME, list);
}

void ros_take_address(struct ros_facts *facts, const struct ros_sentence *row)
{
	uint8_t interface = ros_facts_interface(facts, ros_row_text(row, "interface"));
	struct ros_fact_address *address;
	uint32_t network, mask;

	if (interface == ROS_NONE || ros_row_is_idle(row) || !ros_parse_network(ros_row_text(row, "address"), &network, &mask))
		return;
	address = ROS_ADD(facts, addresses, n_addresses);
	if (!address)
		return;
	*address = (struct ros_fact_address){ .network = network, .mask = mask, .interface = interface };
	show_network(network, mask, address->text);
}

void ros_take_server(struct ros_facts *facts, const struct ros_sentence *row)
{
	if (!ros_row_is_idle(row))
		ros_facts_tag(facts, ros_row_text(row, "interface"), ROS_SERVES);
}

void ros_take_hotspot(struct ros_facts *facts, const struct ros_sentence *row)
{
	if (!ros_row_is_idle(row))
		ros_facts_tag(facts, ros_row_text(row, "interface"), ROS_SERVES | ROS_HAS_HOTSPOT);
}

static void take_client(struct ros_facts *facts, const struct ros_sentence *row, int kind, const char *interface)
{
	struct ros_fact_client *client;
	const char *adds = ros_row_text(row, "add-default-route"); /* of DHCP also "special-classless" */

	if (ros_row_is_idle(row) || adds[0] == '\0' || strcmp(adds, "no") == 0 || strcmp(adds, "false") == 0)
		return;
	client = ROS_ADD(facts, clients, n_clients);
	if (!client)
		return;
	client->kind = kind;
	ros_row_id(row, client->id);
	client->interface = ros_facts_interface(facts, interface);
	client->distance = ros_row_distance(row, "default-route-distance");
	if (client->interface != ROS_NONE)
		facts->interfaces[client->interface].is |= ROS_HAS_DEFAULT;
}

void ros_take_dhcp_client(struct ros_facts *facts, const struct ros_sentence *row)
{
	take_client(facts, row, ROS_CLIENT_DHCP, ros_row_text(row, "interface"));
}

void ros_take_pppoe_client(struct ros_facts *facts, const struct ros_sentence *row)
{
	take_client(facts, row, ROS_CLIENT_PPPOE, ros_row_text(row, "name"));
}

void ros_take_l2tp_client(struct ros_facts *facts, const struct ros_sentence *row)
{
	take_client(facts, row, ROS_CLIENT_L2TP, ros_row_text(row, "name"));
}

/* --- the firewall, but for mangle --------------------------------------------------------------------- */

static void add_guard(struct ros_facts *facts, const char *list)
{
	for (unsigned i = 0; i < facts->n_guards; i++)
		if (strcmp(facts->guards[i], list) == 0)
			return;
	if (ROS_ADD(facts, guards, n_guards))
		routeros_copy(facts->guards[facts->n_guards - 1], LIMIT_ROS_NAME, list);
}

void ros_take_filter(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *action = ros_row_text(row, "action"), *list = ros_row_text(row, "in-interface-list");
	char comment[LIMIT_ROS_NAME], label[2 * LIMIT_ROS_NAME];
	struct ros_fact_item *item;

	if (ros_row_is_idle(row) || ros_row_is(row, "dynamic"))
		return;
	ros_row_show(row, "comment", comment, sizeof(comment));
	if (strcmp(action, "fasttrack-connection") == 0 && ros_row_text(row, "connection-mark")[0] == '\0') {
		snprintf(label, sizeof(label), "chain %.20s: %s", ros_row_text(row, "chain"),
			 comment[0] != '\0' ? comment : ros_row_text(row, ".id"));
		item = ROS_ADD(facts, fasttracks, n_fasttracks);
		if (item)
			ros_item_set(row, label, item);
	}
	if (strcmp(ros_row_text(row, "chain"), "input") == 0 && list[0] == '!' && strlen(list) <= LIMIT_ROS_NAME &&
	    (strcmp(action, "drop") == 0 || strcmp(action, "reject") == 0))
		add_guard(facts, list + 1);
}

void ros_take_nat(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *action = ros_row_text(row, "action"), *list = ros_row_text(row, "out-interface-list");

	if (ros_row_is_idle(row) || (strcmp(action, "masquerade") != 0 && strcmp(action, "src-nat") != 0))
		return;
	ros_facts_tag(facts, ros_row_text(row, "out-interface"), ROS_HAS_NAT);
	for (unsigned i = 0; i < facts->n_members; i++)
		if (strcmp(facts->members[i].list, list) == 0)
			facts->interfaces[facts->members[i].interface].is |= ROS_HAS_NAT;
}

/* --- all together --------------------------------------------------------------------------------------- */

static bool has_address(const struct ros_facts *facts, unsigned interface)
{
	for (unsigned i = 0; i < facts->n_addresses; i++)
		if (facts->addresses[i].interface == interface)
			return true;
	return false;
}

void ros_facts_settle(struct ros_facts *facts)
{
	for (unsigned i = 0; i < facts->n_defaults; i++) {
		uint8_t interface = ros_facts_gateway_interface(facts, facts->defaults[i].gateway);

		if (interface != ROS_NONE)
			facts->interfaces[interface].is |= ROS_HAS_DEFAULT;
	}
	for (unsigned i = 0; i < facts->n_interfaces; i++) {
		struct ros_fact_interface *interface = &facts->interfaces[i];
		uint32_t is = interface->is;

		if (is & (ROS_IS_UPLINK | ROS_IS_LAN))
			continue;
		if (!(is & (ROS_SERVES | ROS_IS_DEALT)) && (is & ROS_HAS_DEFAULT || (is & ROS_HAS_NAT && is & ROS_IS_MARKED)))
			interface->is |= ROS_IS_UPLINK;
		else if (is & (ROS_SERVES | ROS_IS_DEALT) && has_address(facts, i))
			interface->is |= ROS_IS_LAN;
	}
}
