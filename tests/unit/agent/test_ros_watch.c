/* ros_watch and routeros_monitor_row: rows of both generations of RouterOS -> what is told, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/routeros_monitor.h"
#include "common/buf.h"

#define MINUTE_MS 60000

static struct ros_watch *watch;
static char memory[16384];
static struct buf told;
static unsigned n_told;
static int64_t now_ms;

/* A line a change: kind, state, names, and what else is said. */
static void on_change(void *arg, const struct router_change *change)
{
	(void)arg;
	n_told++;
	buf_printf(&told, "%d %s", (int)change->watch, change->to == ROUTER_STATE_UP ? "up" : "down");
	for (unsigned i = 0; i < change->n_names; i++)
		buf_printf(&told, " %s", change->names[i]);
	if (change->count > 1)
		buf_printf(&told, " count=%u", change->count);
	if (change->flaps > 0)
		buf_printf(&told, " flaps=%u", change->flaps);
	if (change->lasted_ms > 0)
		buf_printf(&told, " lasted=%lld", (long long)change->lasted_ms);
	if (change->address[0] != '\0' || change->detail[0] != '\0')
		buf_printf(&told, " (%s %s %s)", change->address, change->caller, change->detail);
	buf_puts(&told, "\n");
}

static void expect(const char *text)
{
	assert_false(told.failed);
	assert_string_equal(told.data, text);
	buf_clear(&told);
}

static int setup(void **state)
{
	(void)state;
	buf_init(&told, memory, sizeof(memory));
	n_told = 0;
	now_ms = 1000 * MINUTE_MS;
	return ros_watch_create(on_change, NULL, &watch);
}

static int teardown(void **state)
{
	(void)state;
	ros_watch_destroy(watch);
	return 0;
}

/* "a=b c=d" as a row; words without "=" belong to the value before them, "_" is a blank. */
static void parse(const char *text, struct ros_sentence *ret_row)
{
	static char words[2048];

	ret_row->count = 0;
	snprintf(words, sizeof(words), "%s", text);
	for (char *at = strtok(words, " "); at; at = strtok(NULL, " ")) {
		char *equals = strchr(at, '=');

		assert_non_null(equals);
		*equals = '\0';
		ret_row->attributes[ret_row->count++] = (struct ros_attribute){ at, equals + 1, strlen(equals + 1) };
	}
}

static void row(enum router_watch kind, bool is_reading, const char *text)
{
	static struct ros_sentence sentence;
	struct ros_seen seen;

	parse(text, &sentence);
	if (routeros_read_row(kind, &sentence, is_reading, &seen) == 0)
		ros_watch_take(watch, &seen, now_ms);
}

/* A whole reading; NULL ends the rows. */
static void reading(enum router_watch kind, ...)
{
	const char *text;
	va_list rows;

	ros_watch_begin(watch, kind);
	va_start(rows, kind);
	while ((text = va_arg(rows, const char *)) != NULL)
		row(kind, true, text);
	va_end(rows);
	ros_watch_end(watch, kind, now_ms);
}

static void test_users(void **state)
{
	(void)state;
	reading(ROUTER_WATCH_PPP, ".id=*1 name=ana uptime=1h", NULL);
	expect("");
	row(ROUTER_WATCH_PPP, false, ".id=*2 name=bo service=pppoe address=10.0.0.9 caller-id=02:00 uptime=0s");
	expect("1 up bo (10.0.0.9 02:00 pppoe)\n");
	now_ms += 5000;
	row(ROUTER_WATCH_PPP, false, ".id=*2 name=bo address=10.0.0.10 uptime=5s"); /* listen tells changes of a session, too */
	row(ROUTER_WATCH_PPP, false, ".id=*2 address=10.0.0.11");
	row(ROUTER_WATCH_PPP, false, ".id=*77 .dead=yes"); /* of whom nobody has heard */
	row(ROUTER_WATCH_PPP, false, ".id=77 name=x");
	row(ROUTER_WATCH_PPP, false, "name=x");
	expect("");
	row(ROUTER_WATCH_PPP, false, ".id=*2 .dead=yes");
	expect("1 down bo lasted=5000\n");
	row(ROUTER_WATCH_PPP, false, ".id=*1 .dead=true");
	expect("1 down ana lasted=3605000\n");
	assert_int_equal(ros_watch_count(watch, ROUTER_WATCH_PPP), 0);
	row(ROUTER_WATCH_HOTSPOT, false, ".id=*1 user= mac-address=02:01 address=10.0.0.3 login-by=trial");
	expect("2 up 02:01 (10.0.0.3 02:01 trial)\n");
}

static void test_the_difference(void **state)
{
	(void)state;
	reading(ROUTER_WATCH_PPP, ".id=*1 name=ana uptime=1h", ".id=*2 name=bo uptime=2m", ".id=*3 name=cy uptime=2m", NULL);
	now_ms += 2 * MINUTE_MS;
	/* bo has gone, dee has come; the router gave bo's id to eve; cy has a new session under the old id */
	reading(ROUTER_WATCH_PPP, ".id=*1 name=ana uptime=1h2m3s", ".id=*2 name=eve uptime=10s", ".id=*3 name=cy uptime=20s",
		".id=*4 name=dee uptime=1m", NULL);
	expect("1 down bo lasted=240000\n1 up eve\n1 down cy lasted=240000\n1 up cy\n1 up dee\n");
	reading(ROUTER_WATCH_PPP, ".id=*1 name=ana uptime=1h2m", ".id=*4 name=dee uptime=1m", ".id=*3 name=cy uptime=20s", NULL);
	expect("1 down eve lasted=10000\n");
	/* A reading that was cut short says nothing of those that it has not reached. */
	ros_watch_begin(watch, ROUTER_WATCH_PPP);
	row(ROUTER_WATCH_PPP, true, ".id=*1 name=ana uptime=1h2m");
	reading(ROUTER_WATCH_HOTSPOT, NULL);
	expect("");
}

static void test_neighbours_and_peers(void **state)
{
	(void)state;
	reading(ROUTER_WATCH_OSPF, ".id=*1 router-id=1.1.1.1 address=10.0.0.1 state=Full adjacency=1d2h",
		".id=*2 router-id=2.2.2.2 state=2-Way", NULL);
	row(ROUTER_WATCH_OSPF, false, ".id=*1 router-id=1.1.1.1 address=10.0.0.1 state=Init");
	expect("3 down 1.1.1.1 lasted=93600000 (10.0.0.1  Init)\n");
	row(ROUTER_WATCH_OSPF, false, ".id=*1 router-id=1.1.1.1 state=Exchange");
	row(ROUTER_WATCH_OSPF, false, ".id=*2 .dead=true");
	row(ROUTER_WATCH_OSPF, false, ".id=*3 router-id=3.3.3.3 state=Init");
	expect("");
	row(ROUTER_WATCH_OSPF, false, ".id=*3 router-id=3.3.3.3 state=Full/DR adjacency=0s");
	expect("3 up 3.3.3.3 (  Full/DR)\n");
	now_ms += 10 * MINUTE_MS;
	row(ROUTER_WATCH_OSPF, true, ".id=*3 router-id=3.3.3.3 state=Full adjacency=1m"); /* lost and found between two looks */
	expect("3 up 3.3.3.3 flaps=1 (  Full)\n");

	reading(ROUTER_WATCH_BGP, ".id=*1 name=six state=established remote-address=10.0.0.1 remote-as=46047 prefix-count=7 uptime=1h",
		".id=*2 name=seven established=true remote.address=10.0.0.2 remote.as=46048 uptime=1h", NULL);
	row(ROUTER_WATCH_BGP, false, ".id=*1 name=six state=idle remote-address=10.0.0.1");
	row(ROUTER_WATCH_BGP, false, ".id=*2 name=seven remote.address=10.0.0.2");
	expect("4 down six lasted=3600000 (10.0.0.1  idle)\n4 down seven lasted=3600000 (10.0.0.2  )\n");
}

static void test_interfaces(void **state)
{
	(void)state;
	reading(ROUTER_WATCH_INTERFACE, ".id=*1 name=ether1 running=true link-downs=57 rx-byte=5 tx-byte=6",
		".id=*2 name=ether2 running=false link-downs=0 rx-byte=0 tx-byte=0", ".id=*3 name=off running=false disabled=true", NULL);
	row(ROUTER_WATCH_INTERFACE, true, ".id=*1 name=ether1 running=true link-downs=59");
	expect("7 up ether1 flaps=2\n");
	row(ROUTER_WATCH_INTERFACE, false, ".id=*1 name=ether1 running=false");
	expect("7 down ether1\n");
	row(ROUTER_WATCH_INTERFACE, true, ".id=*1 name=ether1 running=false link-downs=60");
	expect(""); /* that one was told */
	row(ROUTER_WATCH_INTERFACE, true, ".id=*1 name=ether1 running=true link-downs=62");
	expect("7 up ether1\n7 up ether1 flaps=2\n");
	row(ROUTER_WATCH_INTERFACE, true, ".id=*1 name=ether1 running=true link-downs=1"); /* the router began anew */
	expect("");
	row(ROUTER_WATCH_INTERFACE, false, ".id=*4 name=late running=true"); /* told without a count: 80 is no news then */
	row(ROUTER_WATCH_INTERFACE, true, ".id=*4 name=late running=true link-downs=80");
	expect("7 up late\n");
	row(ROUTER_WATCH_INTERFACE, false, ".id=*4 disabled=yes");
	expect("7 down late\n");
}

static void test_hosts_and_tunnels(void **state)
{
	(void)state;
	reading(ROUTER_WATCH_NETWATCH, ".id=*1 host=10.0.0.1 status=unknown", ".id=*2 host=10.0.0.2 comment=mail status=up", NULL);
	row(ROUTER_WATCH_NETWATCH, false, ".id=*1 host=10.0.0.1 status=up"); /* it had to be one of the two */
	row(ROUTER_WATCH_NETWATCH, false, ".id=*2 host=10.0.0.2 comment=mail status=down");
	expect("8 down mail (10.0.0.2  )\n");
	row(ROUTER_WATCH_NETWATCH, false, ".id=*1 host=10.0.0.1 status=down");
	expect("8 down 10.0.0.1 (10.0.0.1  )\n");
	reading(ROUTER_WATCH_L2TP, ".id=*9 name=l2tp-out1 running=true connect-to=192.0.2.1", NULL);
	row(ROUTER_WATCH_L2TP, false, ".id=*9 name=l2tp-out1 running=false connect-to=192.0.2.1");
	expect("5 down l2tp-out1 (192.0.2.1  )\n");
}

static void test_bursts(void **state)
{
	char text[64];

	(void)state;
	ros_watch_begin(watch, ROUTER_WATCH_PPP);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), ".id=*%X name=u%u uptime=1m", i + 1, i);
		row(ROUTER_WATCH_PPP, true, text);
	}
	ros_watch_end(watch, ROUTER_WATCH_PPP, now_ms);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), ".id=*%X .dead=yes", i + 1);
		row(ROUTER_WATCH_PPP, false, text);
	}
	assert_int_equal(n_told, LIMIT_WATCH_RATE);
	buf_clear(&told);
	row(ROUTER_WATCH_HOTSPOT, false, ".id=*1 user=guest"); /* another kind is told meanwhile */
	expect("2 up guest\n");
	assert_int_equal(ros_watch_deadline(watch), now_ms + 1000);
	ros_watch_on_time(watch, now_ms + 999);
	expect("");
	now_ms += 1000;
	ros_watch_on_time(watch, now_ms);
	expect("1 down u5 u6 u7 u8 u9 u10 u11 u12 u13 u14 u15 u16 u17 u18 u19 u20 count=495\n");
	assert_int_equal(ros_watch_deadline(watch), INT64_MAX);
	/* It goes on: told together, once a second. */
	row(ROUTER_WATCH_PPP, false, ".id=*901 name=a uptime=0s");
	row(ROUTER_WATCH_PPP, false, ".id=*901 .dead=yes");
	expect("1 up a\n");
	now_ms += 1000;
	ros_watch_on_time(watch, now_ms);
	expect("1 down a\n");
	now_ms += 3000; /* a calm second later they are told one by one again */
	row(ROUTER_WATCH_PPP, false, ".id=*902 name=b uptime=0s");
	row(ROUTER_WATCH_PPP, false, ".id=*902 .dead=yes");
	expect("1 up b\n1 down b\n");
}

static void test_a_full_table(void **state)
{
	unsigned room = LIMIT_WATCH_USERS / 4 * 3;
	char text[64];

	(void)state;
	for (unsigned round = 0; round < 2; round++) { /* the second finds nothing new */
		ros_watch_begin(watch, ROUTER_WATCH_PPP);
		for (unsigned i = 0; i < room + 3; i++) {
			snprintf(text, sizeof(text), ".id=*%X name=u%u uptime=1h", i * 4096 + 1, i);
			row(ROUTER_WATCH_PPP, true, text);
		}
		ros_watch_end(watch, ROUTER_WATCH_PPP, now_ms);
		assert_int_equal(ros_watch_count(watch, ROUTER_WATCH_PPP), room);
		assert_int_equal(ros_watch_unwatched(watch), 3);
	}
	expect("");
	row(ROUTER_WATCH_PPP, false, ".id=*FFFFFFFE name=new uptime=1s");
	row(ROUTER_WATCH_PPP, false, ".id=*FFFFFFFF name=old uptime=1h");
	row(ROUTER_WATCH_PPP, false, ".id=*FFFFFFFE .dead=true");
	expect("1 up *FFFFFFFE\n1 down *FFFFFFFE\n");
	reading(ROUTER_WATCH_OSPF, ".id=*1 router-id=1.1.1.1 state=Full", NULL); /* users crowd out nobody else */
	row(ROUTER_WATCH_OSPF, false, ".id=*1 .dead=true");
	expect("3 down 1.1.1.1\n");
	/* Deletions in any order keep the rest findable. */
	for (unsigned i = 0; i < room; i++) {
		snprintf(text, sizeof(text), ".id=*%X .dead=yes", (i * 1021 % room) * 4096 + 1);
		row(ROUTER_WATCH_PPP, false, text);
		assert_int_equal(ros_watch_count(watch, ROUTER_WATCH_PPP), room - i - 1);
		now_ms += 1000;
		ros_watch_on_time(watch, now_ms);
		buf_clear(&told);
	}
}

/* Names are others' bytes: cut where a character ends, and never trusted to be text. */
static void test_names(void **state)
{
	char text[256];

	(void)state;
	snprintf(text, sizeof(text), ".id=*1 name=%038d\xc3\xa9 uptime=0s", 0);
	row(ROUTER_WATCH_PPP, false, text);
	expect("1 up 00000000000000000000000000000000000000\n");
	snprintf(text, sizeof(text), ".id=*2 name=%0200d uptime=0s", 0);
	row(ROUTER_WATCH_PPP, false, text);
	expect("1 up 000000000000000000000000000000000000000\n");
	memset(text, 0x80, 100);
	memcpy(text, ".id=*3 name=", 12);
	text[100] = '\0';
	row(ROUTER_WATCH_PPP, false, text);
	assert_int_equal(told.length, strlen("1 up ") + LIMIT_WATCH_NAME - 4 + 1);
}

static void test_uptimes(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} rows[] = {
		{ "1w2d3h4m5s", 788645 }, { "00:01:02", 62 }, { "3d02:03:04", 266584 }, { "5s", 5 }, { "10s840ms", 10 },
		{ "840ms", 0 }, { "0s", 0 }, { "", -1 }, { "never", -1 }, { "5x", -1 }, { "s", -1 }, { "99999999999s", -1 },
		{ "1:2:3:4:5:6:7:8:9:10:11:12", -1 }, { "1h ", -1 }, { "8000w", 4838400000 },
		/* whose milliseconds would overflow, and what collectors take for no duration */
		{ "4294967295w4294967295w4294967295w4294967295w", -1 }, { "9000w", -1 }, { "0s9000w", -1 }, { "1000000:00:00:00", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(routeros_uptime_s(rows[i].text), rows[i].seconds);
}

static void test_modems_and_resources(void **state)
{
	static struct ros_sentence sentence;
	struct routeros_modem modem = { .name = "lte1" };
	struct router_health health;
	char version[LIMIT_WATCH_NAME];

	(void)state;
	parse("registration-status=registered current-operator=Op rssi=-60dBm rsrp=-95 sinr=0 rsrq=?", &sentence);
	routeros_read_modem(&sentence, &modem);
	assert_int_equal(modem.state, ROUTER_STATE_UP);
	assert_string_equal(modem.carrier, "Op");
	assert_int_equal(modem.told, 1 | 2 | 8);
	assert_true(modem.rssi_dbm == -60 && modem.rsrp_dbm == -95 && modem.sinr_db == 0);
	parse("registration-status=searching rssi=-99999999999", &sentence);
	routeros_read_modem(&sentence, &modem);
	assert_true(modem.state == ROUTER_STATE_DOWN && modem.told == 0 && modem.carrier[0] == '\0');
	parse("current-operator=Op", &sentence); /* version 6 tells no more than that */
	routeros_read_modem(&sentence, &modem);
	assert_int_equal(modem.state, ROUTER_STATE_UP);

	parse("version=7.20.4 uptime=1d cpu-load=93 free-memory=33554432 total-memory=67108864 free-hdd-space=x", &sentence);
	routeros_read_resource(&sentence, &health, version, sizeof(version));
	assert_string_equal(health.version, "7.20.4");
	assert_true(health.uptime_s == 86400 && health.cpu_percent == 93 && health.memory_free_bytes == 33554432 &&
		    health.memory_bytes == 67108864 && health.disk_free_bytes == 0);
}

static void count_things(void *arg, const struct router_thing *thing)
{
	assert_string_equal(thing->name, "seven");
	assert_true(thing->remote_as == 46048 && thing->prefixes == 7 && thing->lasted_s == 3660);
	++*(unsigned *)arg;
}

static void test_what_is_there(void **state)
{
	unsigned n = 0;

	(void)state;
	reading(ROUTER_WATCH_BGP, ".id=*2 name=seven established=true remote.address=10.0.0.2 remote.as=46048 prefix-count=7 uptime=1h",
		NULL);
	reading(ROUTER_WATCH_PPP, ".id=*1 name=ana", NULL);
	ros_watch_each(watch, now_ms + MINUTE_MS, count_things, &n);
	assert_int_equal(n, 1); /* users are counted, not listed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_users, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_difference, setup, teardown),
		cmocka_unit_test_setup_teardown(test_neighbours_and_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interfaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts_and_tunnels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bursts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test(test_uptimes),
		cmocka_unit_test(test_modems_and_resources),
		cmocka_unit_test_setup_teardown(test_what_is_there, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
