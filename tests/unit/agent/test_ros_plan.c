/* ros_plan: the native plan of both versions, word for word, and steering there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/router/ros_plan.h"
#include "common/buf.h"

static const struct ros_site two_lines = {
	.major = 7,
	.n_uplinks = 2,
	.n_lans = 1,
	.n_networks = 1,
	.n_buckets = 3,
	.lans = { "bridge1" },
	.networks = { "192.168.88.0/24" },
	.hash = "both-addresses",
	.home = { 0, 1, 0 }, /* 2 : 1 */
	.uplinks = { { "isp1", "ether1", "10.0.1.1", "203.0.113.1", "192.168.88.11", 1, true },
		     { "isp2", "pppoe-out1", "pppoe-out1", "203.0.113.2", "192.168.88.12", 2, true } },
};

struct text {
	struct buf buf;
	char space[16384];
	unsigned major;
};

static void write_item(void *arg, const struct ros_item *item)
{
	struct text *text = arg;

	assert_non_null(ros_menu_path(item->menu, text->major));
	assert_true(item->count <= LIMIT_ROS_ITEM_ATTRIBUTES);
	buf_printf(&text->buf, "%s", ros_menu_path(item->menu, text->major));
	for (size_t i = 0; i < item->count; i++)
		buf_printf(&text->buf, " %s=%s", item->attributes[i].name, item->attributes[i].value);
	buf_printf(&text->buf, " ; %s\n", item->key);
}

static void write_list(void *arg, const char *list)
{
	struct text *text = arg;

	buf_printf(&text->buf, "%s\n", list);
}

static void write_plan(struct text *text, const struct ros_site *site)
{
	buf_init(&text->buf, text->space, sizeof(text->space));
	text->major = site->major;
	ros_plan_each(site, write_item, text);
	assert_false(text->buf.failed);
}

static const char wanted[] =
	"/interface/list name=jaga-lan ; jaga: LANs\n"
	"/interface/list/member list=jaga-lan interface=bridge1 ; jaga: LAN bridge1\n"
	"/ip/firewall/address-list list=jaga-inside address=192.168.88.0/24 ; jaga: inside 192.168.88.0/24\n"
	"/ip/firewall/address-list list=jaga-probe address=192.168.88.11 ; jaga: probes over isp1\n"
	"/ip/firewall/address-list list=jaga-probe address=192.168.88.12 ; jaga: probes over isp2\n"
	"/routing/table name=jaga-isp1 fib= ; jaga: isp1\n"
	"/routing/table name=jaga-probe-isp1 fib= ; jaga: probe-isp1\n"
	"/routing/table name=jaga-isp2 fib= ; jaga: isp2\n"
	"/routing/table name=jaga-probe-isp2 fib= ; jaga: probe-isp2\n"
	"/ip/route dst-address=203.0.113.1/32 gateway=10.0.1.1 scope=10 ; jaga: target of isp1\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=10.0.1.1 routing-table=jaga-probe-isp1 ; jaga: probes over isp1\n"
	"/ip/route dst-address=203.0.113.2/32 gateway=pppoe-out1 scope=10 ; jaga: target of isp2\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=pppoe-out1 routing-table=jaga-probe-isp2 ; jaga: probes over isp2\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=203.0.113.1 check-gateway=ping target-scope=11 distance=1 ; jaga: main over isp1\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=203.0.113.1 check-gateway=ping target-scope=11 distance=1 routing-table=jaga-isp1 ; jaga: isp1 over isp1\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=203.0.113.1 check-gateway=ping target-scope=11 distance=2 routing-table=jaga-isp2 ; jaga: isp2 over isp1\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=203.0.113.2 check-gateway=ping target-scope=11 distance=2 ; jaga: main over isp2\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=203.0.113.2 check-gateway=ping target-scope=11 distance=3 routing-table=jaga-isp1 ; jaga: isp1 over isp2\n"
	"/ip/route dst-address=0.0.0.0/0 gateway=203.0.113.2 check-gateway=ping target-scope=11 distance=1 routing-table=jaga-isp2 ; jaga: isp2 over isp2\n"
	"/routing/rule src-address=192.168.88.11/32 action=lookup-only-in-table table=jaga-probe-isp1 ; jaga: probes over isp1\n"
	"/routing/rule src-address=192.168.88.12/32 action=lookup-only-in-table table=jaga-probe-isp2 ; jaga: probes over isp2\n"
	"/ip/firewall/mangle chain=prerouting action=mark-connection new-connection-mark=jaga-isp1 passthrough=yes connection-mark=no-mark in-interface=ether1 ; jaga: in from isp1\n"
	"/ip/firewall/mangle chain=prerouting action=mark-connection new-connection-mark=jaga-isp2 passthrough=yes connection-mark=no-mark in-interface=pppoe-out1 ; jaga: in from isp2\n"
	"/ip/firewall/mangle chain=prerouting action=jump jump-target=jaga in-interface-list=jaga-lan dst-address-type=!local dst-address-list=!jaga-inside src-address-list=!jaga-probe ; jaga: from LANs\n"
	"/ip/firewall/mangle chain=jaga action=mark-connection new-connection-mark=jaga-isp2 passthrough=yes connection-mark=no-mark per-connection-classifier=both-addresses:3/0 dst-address-list=jaga-new-0-isp2 ; jaga: bucket 0 to isp2\n"
	"/ip/firewall/mangle chain=jaga action=mark-connection new-connection-mark=jaga-isp1 passthrough=yes connection-mark=no-mark per-connection-classifier=both-addresses:3/0 ; jaga: bucket 0\n"
	"/ip/firewall/mangle chain=jaga action=mark-connection new-connection-mark=jaga-isp1 passthrough=yes connection-mark=no-mark per-connection-classifier=both-addresses:3/1 dst-address-list=jaga-new-1-isp1 ; jaga: bucket 1 to isp1\n"
	"/ip/firewall/mangle chain=jaga action=mark-connection new-connection-mark=jaga-isp2 passthrough=yes connection-mark=no-mark per-connection-classifier=both-addresses:3/1 ; jaga: bucket 1\n"
	"/ip/firewall/mangle chain=jaga action=mark-connection new-connection-mark=jaga-isp2 passthrough=yes connection-mark=no-mark per-connection-classifier=both-addresses:3/2 dst-address-list=jaga-new-2-isp2 ; jaga: bucket 2 to isp2\n"
	"/ip/firewall/mangle chain=jaga action=mark-connection new-connection-mark=jaga-isp1 passthrough=yes connection-mark=no-mark per-connection-classifier=both-addresses:3/2 ; jaga: bucket 2\n"
	"/ip/firewall/mangle chain=jaga action=mark-routing connection-mark=jaga-isp1 new-routing-mark=jaga-isp1 passthrough=yes ; jaga: route isp1\n"
	"/ip/firewall/mangle chain=jaga action=mark-routing connection-mark=jaga-isp1 new-routing-mark=jaga-isp2 passthrough=yes dst-address-list=jaga-live-isp1-isp2 ; jaga: route isp1 over isp2\n"
	"/ip/firewall/mangle chain=jaga action=mark-routing connection-mark=jaga-isp2 new-routing-mark=jaga-isp2 passthrough=yes ; jaga: route isp2\n"
	"/ip/firewall/mangle chain=jaga action=mark-routing connection-mark=jaga-isp2 new-routing-mark=jaga-isp1 passthrough=yes dst-address-list=jaga-live-isp2-isp1 ; jaga: route isp2 over isp1\n"
	"/ip/firewall/mangle chain=output action=mark-routing connection-mark=jaga-isp1 new-routing-mark=jaga-isp1 passthrough=yes ; jaga: own to isp1\n"
	"/ip/firewall/mangle chain=output action=mark-routing connection-mark=jaga-isp2 new-routing-mark=jaga-isp2 passthrough=yes ; jaga: own to isp2\n"
	"/ip/firewall/nat chain=srcnat action=masquerade out-interface=ether1 ipsec-policy=out,none ; jaga: out to isp1\n"
	"/ip/firewall/nat chain=srcnat action=masquerade out-interface=pppoe-out1 ipsec-policy=out,none ; jaga: out to isp2\n";

static void test_version_7(void **state)
{
	static struct text text;

	(void)state;
	write_plan(&text, &two_lines);
	assert_string_equal(text.space, wanted);
}

/* Who has not logged in yet is let by, on that LAN alone, before a connection is dealt out. */
static void test_hotspot(void **state)
{
	struct ros_site site = two_lines;
	static struct text text;
	const char *rule;

	(void)state;
	site.n_lans = 2;
	site.lans[1] = "guests";
	site.has_hotspot[1] = true;
	write_plan(&text, &site);
	rule = strstr(text.space, "/ip/firewall/mangle chain=jaga action=return in-interface=guests hotspot=!auth ; jaga: before the login on guests\n");
	assert_non_null(rule);
	assert_null(strstr(strchr(rule, '\n'), "hotspot"));
	assert_true(rule > strstr(text.space, "jump-target=jaga") && rule < strstr(text.space, "per-connection-classifier"));
}

/* The same, but tables are named by routes and rules stand elsewhere. */
static void test_version_6(void **state)
{
	struct ros_site six = two_lines;
	static struct text text;

	(void)state;
	six.major = 6;
	write_plan(&text, &six);
	assert_null(strstr(text.space, "/routing/"));
	assert_null(strstr(text.space, "routing-table"));
	assert_non_null(strstr(text.space, "gateway=203.0.113.1 check-gateway=ping target-scope=11 distance=1 routing-mark=jaga-isp1 ;"));
	assert_non_null(strstr(text.space, "/ip/route/rule src-address=192.168.88.11/32 action=lookup-only-in-table table=jaga-probe-isp1 ;"));
}

/* The largest site: every key and value fits, and no key comes twice. */
struct keys {
	char seen[4096][LIMIT_ROS_KEY + 4];
	unsigned n;
};

static void note_key(void *arg, const struct ros_item *item)
{
	struct keys *keys = arg;
	char key[LIMIT_ROS_KEY + 4];

	assert_true(strlen(item->key) < sizeof(item->key) - 1);
	for (size_t i = 0; i < item->count; i++)
		assert_true(strlen(item->attributes[i].value) < LIMIT_ROS_VALUE - 1);
	snprintf(key, sizeof(key), "%d %s", (int)item->menu, item->key);
	for (unsigned i = 0; i < keys->n; i++)
		assert_string_not_equal(keys->seen[i], key);
	assert_true(keys->n < sizeof(keys->seen) / sizeof(keys->seen[0]));
	strcpy(keys->seen[keys->n++], key);
}

static void test_the_largest_site(void **state)
{
	static char names[LIMIT_UPLINKS][LIMIT_NAME];
	struct ros_site site = { .major = 7, .n_uplinks = LIMIT_UPLINKS, .n_buckets = LIMIT_BUCKETS,
				 .hash = "both-addresses-and-ports" };
	static struct keys keys;

	(void)state;
	for (unsigned i = 0; i < LIMIT_UPLINKS; i++) {
		memset(names[i], 'a' + (int)i, LIMIT_NAME - 1);
		site.uplinks[i] = (struct ros_uplink){ names[i], names[i], names[i], "203.0.113.200", "192.168.188.111", i, true };
	}
	for (unsigned i = 0; i < LIMIT_BUCKETS; i++)
		site.home[i] = i % LIMIT_UPLINKS;
	ros_plan_each(&site, note_key, &keys);
	assert_int_equal(keys.n, 1 + 2 * 16 + 2 * 16 + 17 * 16 + 16 + 16 + 1 + 16 + 64 * 16 + 16 * 16 + 16 + 16);
}

static void test_steering(void **state)
{
	struct forwarding_plan plan, back;
	static struct text text;

	(void)state;
	ros_steer_native(&two_lines, &plan);
	buf_init(&text.buf, text.space, sizeof(text.space));
	ros_steer_each(&two_lines, &plan, write_list, &text);
	assert_string_equal(text.space, "");

	memset(plan.bucket, 1, 3); /* isp1 is down */
	plan.live[0] = 1;
	ros_steer_each(&two_lines, &plan, write_list, &text);
	assert_string_equal(text.space, "jaga-new-0-isp2\njaga-new-2-isp2\njaga-live-isp1-isp2\n");

	ros_steer_native(&two_lines, &back);
	for (char *list = strtok(text.space, "\n"); list; list = strtok(NULL, "\n"))
		ros_steer_take(&two_lines, list, &back);
	assert_memory_equal(&back, &plan, sizeof(plan));
	ros_steer_take(&two_lines, "jaga-new-7-isp2", &back);
	ros_steer_take(&two_lines, "somebody-elses", &back);
	ros_steer_take(&two_lines, "", &back);
	assert_memory_equal(&back, &plan, sizeof(plan));
}

/* Three lines, the last one spare: whatever is wanted of buckets and connections is what the lists say, and nothing more than differs. */
static void test_every_plan_of_three_lines(void **state)
{
	struct ros_site site = two_lines;
	static struct text text;

	(void)state;
	site.n_uplinks = 3;
	site.uplinks[2] = (struct ros_uplink){ "spare", "lte1", "lte1", "203.0.113.3", "192.168.88.13", 2, true };
	for (unsigned number = 0; number < 729; number++) {
		struct forwarding_plan plan, back;
		unsigned rest = number, n_differ = 0, n_lists = 0;

		ros_steer_native(&site, &plan);
		for (unsigned i = 0; i < 3; i++, rest /= 9) {
			n_differ += rest % 3 != site.home[i];
			n_differ += rest / 3 % 3 != i;
			plan.bucket[i] = (uint8_t)(rest % 3);
			plan.live[i] = (uint8_t)(rest / 3 % 3);
		}
		buf_init(&text.buf, text.space, sizeof(text.space));
		ros_steer_each(&site, &plan, write_list, &text);
		ros_steer_native(&site, &back);
		for (char *list = strtok(text.space, "\n"); list; list = strtok(NULL, "\n"), n_lists++)
			ros_steer_take(&site, list, &back);
		assert_memory_equal(&back, &plan, sizeof(plan));
		assert_int_equal(n_lists, n_differ);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_7),
		cmocka_unit_test(test_hotspot),
		cmocka_unit_test(test_version_6),
		cmocka_unit_test(test_the_largest_site),
		cmocka_unit_test(test_steering),
		cmocka_unit_test(test_every_plan_of_three_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
