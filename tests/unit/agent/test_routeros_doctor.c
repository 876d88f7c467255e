/*
 * routeros_doctor: rows of a router -> facts -> traps. What each trap says and what mends it is tested with a router
 * (tests/e2e/test_routeros_doctor.py); here are the borders between a trap and none, and rows that no router should send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/routeros_doctor.h"

static struct agent_config config = {
	.take_over = true,
	.n_lans = 1,
	.lans = { "lan" },
	.n_uplinks = 2,
	.uplinks = { { .name = "isp1", .interface = "wan1" }, { .name = "isp2", .interface = "wan2" } },
};
static struct ros_facts facts;

/* "key=value;key=value" */
static void take(ros_take_fn *take_row, const char *text)
{
	static char memory[LIMIT_ROS_SENTENCE_BYTES];
	struct ros_sentence row = { .reply = ROS_RE };
	char *rest = memory, *word;

	assert_true(strlen(text) < sizeof(memory));
	strcpy(memory, text);
	while ((word = strtok_r(rest, ";", &rest))) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		row.attributes[row.count++] = (struct ros_attribute){ word, value, strlen(value) };
	}
	take_row(&facts, &row);
}

static const struct ros_lease_holder self = { .id = "5c0c2d55fbd4bd4a", .address = "192.168.88.11" };

static int begin(void **state)
{
	(void)state;
	memset(&facts, 0, sizeof(facts));
	facts.config = &config;
	facts.agent = &self;
	config.take_over = true;
	take(ros_take_resource, "version=7.20.4 (stable);free-hdd-space=8388608;total-hdd-space=16777216;architecture-name=arm");
	take(ros_take_interface, "name=wan1;type=ether;actual-mtu=1500");
	take(ros_take_interface, "name=wan2;type=ether;actual-mtu=1500");
	take(ros_take_interface, "name=lan;type=bridge;actual-mtu=1500");
	take(ros_take_interface, "name=dmz;type=ether;actual-mtu=1500");
	return 0;
}

struct told {
	unsigned n;
	char id[LIMIT_NAME], what[LIMIT_ERR_TEXT], fix[LIMIT_ERR_TEXT]; /* the last */
	enum router_trap_level level;
};

static void on_trap(void *arg, const struct router_trap *trap)
{
	struct told *told = arg;

	assert_true(strlen(trap->what) < LIMIT_ERR_TEXT && strlen(trap->fix) < LIMIT_ERR_TEXT);
	for (const char *at = trap->what; *at != '\0'; at++)
		assert_true((unsigned char)*at >= ' ');
	for (const char *at = trap->fix; *at != '\0'; at++)
		assert_true((unsigned char)*at >= ' ');
	if (trap->level == ROUTER_TRAP_OK)
		return;
	told->n++;
	told->level = trap->level;
	snprintf(told->id, sizeof(told->id), "%s", trap->id);
	snprintf(told->what, sizeof(told->what), "%s", trap->what);
	snprintf(told->fix, sizeof(told->fix), "%s", trap->fix);
}

static struct told examine(void)
{
	struct told told = { .n = 0 };
	enum router_trap_level worst;

	ros_facts_settle(&facts);
	worst = ros_examine(&facts, on_trap, &told);
	assert_int_equal(worst == ROUTER_TRAP_OK, told.n == 0);
	return told;
}

static void test_nothing(void **state)
{
	(void)state;
	assert_int_equal(examine().n, 0);
}

/* Rows that look like a trap, and are none. */
static void test_no_traps(void **state)
{
	static const struct {
		ros_take_fn *take;
		const char *row;
	} rows[] = {
		{ ros_take_filter, ".id=*1;chain=forward;action=fasttrack-connection;connection-mark=no-mark" },
		{ ros_take_filter, ".id=*1;chain=forward;action=fasttrack-connection;disabled=true" },
		{ ros_take_filter, ".id=*1;chain=forward;action=passthrough;dynamic=true" },
		{ ros_take_dhcp_client, ".id=*1;interface=wan1;add-default-route=no" },
		{ ros_take_dhcp_client, ".id=*1;interface=wan1;add-default-route=yes;default-route-distance=3" },
		{ ros_take_dhcp_client, ".id=*1;interface=wan1;add-default-route=yes;disabled=true" },
		{ ros_take_pppoe_client, ".id=*1;name=wan1;add-default-route=false;default-route-distance=1" },
		{ ros_take_settings, "rp-filter=loose" },
		{ ros_take_tracking, "total-entries=79;max-entries=100" },
		{ ros_take_device_mode, "scheduler=yes;fetch=true;container=no" }, /* no container is meant */
		{ ros_take_rule, ".id=*1;src-address=192.168.1.5/32;action=lookup-only-in-table;table=t" },
		{ ros_take_rule, ".id=*1;src-address=192.168.1.0/24;action=lookup;table=main" },
		{ ros_take_table, ".id=*1;name=ours;comment=jaga: isp1" },
		{ ros_take_table, ".id=*1;name=vrf;dynamic=true" },
		{ ros_take_address, "address=10.0.0.2/24;interface=wan1" },
		{ ros_take_address, "address=10.0.1.2/24;interface=wan2" },
		{ ros_take_address, "address=10.0.1.3/24;interface=lan;disabled=true" },
		{ ros_take_mangle, ".id=*2;chain=prerouting;action=mark-routing;new-routing-mark=jaga-isp1;comment=jaga: route isp1" },
		{ ros_take_mangle, ".id=*3;chain=forward;action=mark-packet;new-packet-mark=voice" },
		{ ros_take_mangle, ".id=*4;chain=input;action=mark-connection;new-connection-mark=voice" },
		{ ros_take_mangle, ".id=*5;chain=prerouting;action=mark-connection;new-connection-mark=voice;in-interface=dmz" },
		{ ros_take_route, ".id=*7;dst-address=0.0.0.0/0;gateway=10.0.1.1;distance=3" },
		{ ros_take_route, ".id=*7;dst-address=0.0.0.0/0;gateway=10.0.1.1;distance=1;comment=jaga: main over isp1" },
		{ ros_take_route, "dst-address=0.0.0.0/0;gateway=10.0.1.1;distance=1;dynamic=true" },
		{ ros_take_mangle, ".id=*6;chain=prerouting;action=accept;dst-address=198.51.100.0/24" },
		{ ros_take_lease, "list=jaga-agent;dynamic=true;comment=jaga: agent 5c0c2d55fbd4bd4a at 192.168.88.11: ours" },
		{ ros_take_lease, "list=jaga-agent;dynamic=false;comment=jaga: agent 0c0c2d55fbd4bd4a at 192.168.88.12: left over" },
		{ ros_take_lease, "list=agents;dynamic=true;comment=jaga: agent 0c0c2d55fbd4bd4a at 192.168.88.12: other" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct told told;

		begin(state);
		take(rows[i].take, rows[i].row);
		told = examine();
		if (told.n > 0)
			fail_msg("%s: %s: %s", rows[i].row, told.id, told.what);
	}
}

static void test_traps(void **state)
{
	static const struct {
		ros_take_fn *take;
		const char *row, *id;
		enum router_trap_level level;
	} rows[] = {
		{ ros_take_filter, ".id=*1;chain=forward;action=fasttrack-connection", "fasttrack", ROUTER_TRAP_FATAL },
		{ ros_take_dhcp_client, ".id=*1;interface=wan1;add-default-route=yes;default-route-distance=2", "default-route",
		  ROUTER_TRAP_WARNING },
		{ ros_take_dhcp_client, ".id=*1;interface=wan1;add-default-route=special-classless", "default-route", ROUTER_TRAP_WARNING },
		{ ros_take_route, ".id=*1;dst-address=0.0.0.0/0;gateway=10.0.1.1;distance=2", "default-route", ROUTER_TRAP_WARNING },
		{ ros_take_mangle, ".id=*1;chain=prerouting;action=mark-connection;new-connection-mark=voice", "connection-mark",
		  ROUTER_TRAP_FATAL },
		{ ros_take_mangle, ".id=*1;chain=forward;action=mark-connection;new-connection-mark=bulk;connection-mark=!voice",
		  "connection-mark", ROUTER_TRAP_FATAL },
		{ ros_take_mangle, ".id=*1;chain=forward;action=mark-connection;new-connection-mark=bulk;connection-mark=no-mark",
		  "connection-mark", ROUTER_TRAP_WARNING },
		{ ros_take_settings, "rp-filter=strict", "rp-filter", ROUTER_TRAP_FATAL },
		{ ros_take_tracking, "total-entries=80;max-entries=100", "connections", ROUTER_TRAP_WARNING },
		{ ros_take_device_mode, "scheduler=no", "device-mode", ROUTER_TRAP_WARNING },
		{ ros_take_rule, ".id=*1;src-address=192.168.1.5/32;action=lookup;table=t", "lookup", ROUTER_TRAP_WARNING },
		{ ros_take_rule, ".id=*1;routing-mark=m;action=lookup;table=m", "lookup", ROUTER_TRAP_WARNING },
		{ ros_take_table, ".id=*1;name=t", "fib", ROUTER_TRAP_WARNING },
		{ ros_take_resource, "version=7.20;free-hdd-space=1048575;total-hdd-space=16777216", "flash", ROUTER_TRAP_WARNING },
		{ ros_take_mangle, ".id=*1;chain=prerouting;action=mark-connection;new-connection-mark=a;per-connection-classifier=src-address:1/0",
		  "balancer", ROUTER_TRAP_FATAL },
		{ ros_take_lease, "list=jaga-agent;dynamic=true;comment=jaga: agent 0c0c2d55fbd4bd4a at 192.168.88.12: other", "other-agent",
		  ROUTER_TRAP_FATAL },
		{ ros_take_lease, "list=jaga-agent;dynamic=true;comment=jaga: agent 0c0c2d55fbd4bd4a at 192.168.88.11: ours", "other-agent",
		  ROUTER_TRAP_WARNING },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct told told;

		begin(state);
		take(rows[i].take, rows[i].row);
		told = examine();
		if (told.n != 1 && strcmp(rows[i].id, "lookup") != 0) /* whose table is nobody's, besides */
			fail_msg("%s: %u traps", rows[i].row, told.n);
		if (strcmp(rows[i].id, "lookup") != 0) {
			assert_string_equal(told.id, rows[i].id);
			assert_int_equal(told.level, rows[i].level);
		} else {
			assert_int_equal(facts.n_lookups, 1);
		}
	}
}

/* Ours is none of them, whatever its id, and of the others the one counts for which the rest wait. */
static void test_several_agents(void **state)
{
	static const char *const comments[] = { "2c0c2d55fbd4bd4a at 192.168.88.12: second", "1c0c2d55fbd4bd4a at 192.168.88.13: first",
						"3c0c2d55fbd4bd4a at 192.168.88.14: third", "0c0c2d55fbd4bd4a at 192.168.88.11: ours" };
	char row[128];
	struct told told;

	(void)state;
	for (size_t i = 0; i < sizeof(comments) / sizeof(comments[0]); i++) {
		snprintf(row, sizeof(row), "list=jaga-agent;dynamic=true;comment=jaga: agent %s", comments[i]);
		take(ros_take_lease, row);
	}
	told = examine();
	assert_int_equal(told.n, 1);
	assert_int_equal(told.level, ROUTER_TRAP_FATAL);
	assert_non_null(strstr(told.what, "first (1c0c2d55) at 192.168.88.13"));
}

/* The longest name that a configuration may hold is a name, not a missing interface. */
static void test_longest_interface(void **state)
{
	static struct agent_config longest = { .take_over = true, .n_uplinks = 1 };
	char row[LIMIT_INTERFACE + 32];

	(void)state;
	memset(longest.uplinks[0].interface, 'i', LIMIT_INTERFACE - 1);
	facts.config = &longest;
	facts.n_interfaces = 0;
	assert_int_equal(examine().level, ROUTER_TRAP_FATAL);
	snprintf(row, sizeof(row), "name=%s;type=ether", longest.uplinks[0].interface);
	take(ros_take_interface, row);
	assert_int_equal(examine().n, 0);
}

/* What is fatal for a take-over hurts nobody else, or not as much. */
static void test_who_only_watches(void **state)
{
	(void)state;
	config.take_over = false;
	take(ros_take_filter, ".id=*1;chain=forward;action=fasttrack-connection");
	assert_int_equal(examine().n, 0);
	take(ros_take_settings, "rp-filter=strict");
	assert_int_equal(examine().level, ROUTER_TRAP_WARNING);
}

static void test_gateways(void **state)
{
	(void)state;
	take(ros_take_address, "address=10.0.1.2/24;interface=wan1");
	take(ros_take_address, "address=10.0.0.2/8;interface=wan2");
	take(ros_take_route, ".id=*1;dst-address=203.0.113.1/32;gateway=10.0.1.1");
	assert_int_equal(ros_facts_gateway_interface(&facts, "10.0.1.1"), 0); /* the longer prefix */
	assert_int_equal(ros_facts_gateway_interface(&facts, "10.0.2.1"), 1);
	assert_int_equal(ros_facts_gateway_interface(&facts, "203.0.113.1"), 0); /* recursive */
	assert_int_equal(ros_facts_gateway_interface(&facts, "10.0.1.1%wan2"), 1);
	assert_int_equal(ros_facts_gateway_interface(&facts, "lan"), 2);
	assert_int_equal(ros_facts_gateway_interface(&facts, "203.0.113.2"), ROS_NONE);
	assert_int_equal(ros_facts_gateway_interface(&facts, "10.0.1.1%nowhere"), ROS_NONE);
	assert_int_equal(ros_facts_gateway_interface(&facts, ""), ROS_NONE);
}

/* By what an interface is known for an uplink or a LAN when nobody has named it. */
static void test_recognised(void **state)
{
	static struct agent_config nobody;

	begin(state);
	facts.config = &nobody;
	take(ros_take_interface, "name=vpn;type=wg");
	for (unsigned i = 0; i < facts.n_interfaces; i++)
		facts.interfaces[i].is = 0;
	take(ros_take_address, "address=192.168.88.1/24;interface=lan");
	take(ros_take_nat, "chain=srcnat;action=masquerade;out-interface=wan1");
	take(ros_take_nat, "chain=srcnat;action=masquerade;out-interface=vpn");
	take(ros_take_mangle, ".id=*1;chain=prerouting;action=mark-connection;new-connection-mark=a;in-interface=wan1");
	take(ros_take_dhcp_client, ".id=*2;interface=wan2;add-default-route=yes");
	take(ros_take_server, "interface=lan");
	ros_facts_settle(&facts);
	assert_true(facts.interfaces[0].is & ROS_IS_UPLINK); /* NAT, and what comes in is marked */
	assert_true(facts.interfaces[1].is & ROS_IS_UPLINK); /* a client's default route */
	assert_true(facts.interfaces[2].is & ROS_IS_LAN);
	assert_false(facts.interfaces[3].is & (ROS_IS_UPLINK | ROS_IS_LAN));
}

static void test_distances(void **state)
{
	char longer[LIMIT_ROS_NAME + 2];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ros_text_distance("to-ISP1", "to-ISPI"), 1);
	assert_int_equal(ros_text_distance("192.168.40.0/24", "192.168.49.0/24"), 1);
	assert_int_equal(ros_text_distance("", "abc"), 3);
	assert_int_equal(ros_text_distance("kitten", "sitting"), 3);
	assert_int_equal(ros_text_distance("same", "same"), 0);
	assert_true(ros_text_distance(longer, longer) > LIMIT_ROS_TYPO);
}

static void test_networks(void **state)
{
	static const char *const wrong[] = { "", "!10.0.0.0/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.1-10.0.0.9", "fe80::1/64", "300.1.1.1/8" };
	uint32_t network, mask;

	(void)state;
	assert_true(ros_parse_network("10.1.2.3/8", &network, &mask));
	assert_int_equal(network, 0x0a000000);
	assert_int_equal(mask, 0xff000000);
	assert_true(ros_parse_network("10.1.2.3", &network, &mask));
	assert_int_equal(mask, UINT32_MAX);
	assert_true(ros_parse_network("0.0.0.0/0", &network, &mask));
	assert_int_equal(mask, 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(ros_parse_network(wrong[i], &network, &mask));
}

/* Names for a terminal: what would be something else there is quoted. */
static void test_quotes(void **state)
{
	struct ros_quoted quoted;
	struct ros_fix fix;

	(void)state;
	assert_string_equal(ros_quote(&quoted, "LAN-Lt.1"), "LAN-Lt.1");
	assert_string_equal(ros_quote(&quoted, "my lan"), "\"my lan\"");
	assert_string_equal(ros_quote(&quoted, "a\"$b"), "\"a\\\"\\$b\"");
	assert_string_equal(ros_quote(&quoted, ""), "\"\"");
	ros_fix_init(&fix);
	assert_true(ros_fix_add(&fix, "one"));
	assert_true(ros_fix_add(&fix, "two"));
	assert_false(ros_fix_add(&fix, "%400d", 1)); /* all or nothing */
	assert_string_equal(fix.text, "one; two");
}

/* More of everything than there is room for. */
static void test_too_much(void **state)
{
	static ros_take_fn *const takes[] = { ros_take_interface, ros_take_member,	 ros_take_address, ros_take_dhcp_client, ros_take_table,
					      ros_take_route,	  ros_take_rule,	 ros_take_filter,  ros_take_mangle,	 ros_take_nat };
	struct told told;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		char row[512];

		snprintf(row, sizeof(row),
			 ".id=*%x;name=n%u;interface=lan;list=l%u;address=10.%u.%u.1/24;add-default-route=yes;dst-address=0.0.0.0/0;gateway=g%u;"
			 "routing-table=t%u;src-address=10.1.1.1/32;table=t%u;chain=prerouting;action=mark-connection;new-connection-mark=c%u;"
			 "connection-mark=d%u;per-connection-classifier=both-addresses:4294967295/4294967294",
			 i, i, i, i / 256, i % 256, i, i, i, i, i);
		for (size_t t = 0; t < sizeof(takes) / sizeof(takes[0]); t++)
			take(takes[t], row);
	}
	for (unsigned i = 0; i < 400; i++) {
		char row[256];

		snprintf(row, sizeof(row), ".id=*%x;chain=prerouting;action=accept;dst-address=172.16.%u.%u/32", i, i / 256, i % 256);
		take(ros_take_mangle, row);
		snprintf(row, sizeof(row), ".id=*%x;chain=input;action=fasttrack-connection;in-interface-list=!l%u", i, i);
		take(ros_take_filter, row);
	}
	assert_true(facts.n_left_out > 1000);
	assert_int_equal(facts.n_interfaces, LIMIT_ROS_FACTS - LIMIT_UPLINKS - LIMIT_LANS); /* room for the configuration's is kept */
	told = examine();
	assert_true(told.n > 10);
}

/* Words as long as a sentence may hold, letters that move a terminal's cursor, and nothing at all. */
static void test_hostile_rows(void **state)
{
	static const char *const keys[] = { ".id", "name", "type", "list", "interface", "address", "gateway", "dst-address", "routing-table",
					    "routing-mark", "table", "chain", "action", "comment", "new-connection-mark", "connection-mark",
					    "new-routing-mark", "per-connection-classifier", "in-interface", "version", "size", "hw", "mtu" };
	static ros_take_fn *const takes[] = {
		ros_take_resource,	ros_take_device_mode,	ros_take_file,	  ros_take_interface, ros_take_bridge,	ros_take_port,
		ros_take_member,	ros_take_address,	ros_take_server,  ros_take_hotspot,   ros_take_dhcp_client, ros_take_pppoe_client,
		ros_take_l2tp_client,	ros_take_settings,	ros_take_tracking, ros_take_settings6, ros_take_address6,	ros_take_route6,
		ros_take_table,		ros_take_route,		ros_take_rule,	  ros_take_filter,    ros_take_nat,	ros_take_mangle,
	};
	static const char *const values[] = { "", "!", "%", "\x1b[2J\r\n", "mark-routing", "mark-connection", "accept", "prerouting",
					      "both-addresses:", "both-addresses:0/0", ":1/", "true", "0.0.0.0/0", "*", "lan", "no-mark" };
	static char huge[LIMIT_ROS_WORD_BYTES];

	memset(huge, 'A', sizeof(huge) - 1);
	srandom(1);
	for (unsigned round = 0; round < 2000; round++) {
		struct ros_sentence row = { .reply = ROS_RE };

		if (round % 50 == 0)
			begin(state);
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			unsigned which = (unsigned)random() % (sizeof(values) / sizeof(values[0]) + 2);
			const char *value = which < sizeof(values) / sizeof(values[0]) ? values[which] : huge;

			if (random() % 2)
				row.attributes[row.count++] = (struct ros_attribute){ keys[k], value, strlen(value) };
		}
		for (size_t t = 0; t < sizeof(takes) / sizeof(takes[0]); t++)
			takes[t](&facts, &row);
		examine();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nothing, begin),	  cmocka_unit_test_setup(test_no_traps, begin),
		cmocka_unit_test_setup(test_traps, begin),	  cmocka_unit_test_setup(test_who_only_watches, begin),
		cmocka_unit_test_setup(test_several_agents, begin), cmocka_unit_test_setup(test_longest_interface, begin),
		cmocka_unit_test_setup(test_gateways, begin),	  cmocka_unit_test(test_recognised),
		cmocka_unit_test_setup(test_distances, begin),
		cmocka_unit_test_setup(test_networks, begin),	  cmocka_unit_test_setup(test_quotes, begin),
		cmocka_unit_test_setup(test_too_much, begin),	  cmocka_unit_test_setup(test_hostile_rows, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
