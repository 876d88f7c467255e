/* config: a whole file, the defaults, and a table of wrong files with every line that they must get. */
#include "tests/unit/agent/config_lab.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/test_config.XXXXXX";

static int load(const char *text, size_t length)
{
	return load_from(path, text, length, &config);
}

#define LAN "[lan]\ninterfaces = lan0\n"
#define WATCHER "[agent]\nidentity = a\ncollector = 192.0.2.9\n"
#define ROUTEROS "[router]\ndriver = routeros\naddress = 10.0.0.9\nuser = jaga\n"
#define PIN  "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
#define ISP1 "[uplink isp1]\ninterface = wan1\ntargets = 192.0.2.1\n"

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(load(LAN ISP1, strlen(LAN ISP1)), 0);
	assert_string_equal(errors_text, "");
	assert_false(config.has_collector);
	assert_false(config.scripts_unsigned);
	assert_string_equal(config.key_file, "/etc/jaga/agent.key");
	assert_string_equal(config.state_dir, "/var/lib/jaga-agent");
	assert_string_equal(config.socket_path, "/run/jaga-agent/agent.sock");
	assert_int_equal(config.mark_field, 0xff);
	assert_int_equal(config.hash, CONFIG_HASH_BOTH_ADDRESSES);
	assert_int_equal(config.spool_bytes, 128 * 1024);
	assert_int_equal(config.n_uplinks, 1);
	assert_string_equal(config.uplinks[0].name, "isp1");
	assert_int_equal(config.uplinks[0].gateway_kind[0], CONFIG_GATEWAY_AUTO);
	assert_int_equal(config.uplinks[0].gateway_kind[1], CONFIG_GATEWAY_NONE);
	assert_true(config.uplinks[0].nat);
	assert_false(config.uplinks[0].nat6);
	assert_int_equal(config.uplinks[0].weight, 1);
	assert_int_equal(config.uplinks[0].probe_interval_us, 100000);
	assert_int_equal(config.n_snapshot_files + config.n_snapshot_commands > 0, 1);
}

static void test_whole_file(void **state)
{
	static const char text[] = "# a comment\r\n"
				   "\n"
				   "[agent]\r\n"
				   "\tidentity = nairobi-7\n"
				   "   collector = [2001:db8::1]:6000   ; over there\n"
				   "key_file = /k\n"
				   "state_dir = /s\n"
				   "socket = /x.sock\n"
				   "scripts = unsigned\n"
				   "mark_field = 0x3f00\n"
				   "hash = source\n"
				   "buckets = 10\n"
				   "table_base = 300\n"
				   "rule_base = 1000\n"
				   "sample_interval = 5s\n"
				   "spool = 16K\n"
				   "[lan]\n"
				   "interfaces = br-lan, eth0.12 ,wg0\n"
				   "[uplink isp1]\n"
				   "interface = wan1\n"
				   "gateway = 192.0.2.254\n"
				   "gateway6 = fe80::1\n"
				   "weight = 60\n"
				   "tier = 2\n"
				   "nat = no\n"
				   "nat6 = yes\n"
				   "metered = on\n"
				   "targets = 192.0.2.1 , 2001:db8::53,198.51.100.1\n"
				   "quorum = 2\n"
				   "probe_interval = 50ms\n"
				   "timeout_min = 100ms\n"
				   "timeout_max = 1s\n"
				   "[uplink lte]\n"
				   "interface = wwan0\n"
				   "gateway = none\n"
				   "gateway6 = auto\n"
				   "targets = 198.51.100.1\n"
				   "[monitor]\n"
				   "ppp = 90s\n"
				   "lte = off\n"
				   "[snapshot]\n"
				   "file = /etc/network/interfaces\n"
				   "file = /etc/nftables.conf\n"
				   "command = ip -4 rule show | sort\n"
				   "interval = 2h";
	char host[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(load(text, strlen(text)), 0);
	assert_string_equal(errors_text, "");
	assert_string_equal(config.identity, "nairobi-7");
	assert_true(config.has_collector);
	assert_string_equal(inet_ntop(AF_INET6, &config.collector.v6, host, sizeof(host)), "2001:db8::1");
	assert_int_equal(config.collector.port, 6000);
	assert_true(config.scripts_unsigned);
	assert_int_equal(config.mark_field, 0x3f00);
	assert_int_equal(config.hash, CONFIG_HASH_SOURCE);
	assert_int_equal(config.n_buckets, 10);
	assert_int_equal(config.table_base, 300);
	assert_int_equal(config.rule_base, 1000);
	assert_int_equal(config.sample_interval_ms, 5000);
	assert_int_equal(config.spool_bytes, 16384);
	assert_int_equal(config.monitor_ms[CONFIG_MONITOR_PPP], 90000);
	assert_int_equal(config.monitor_ms[CONFIG_MONITOR_LTE], 0);
	assert_int_equal(config.monitor_ms[CONFIG_MONITOR_OSPF], 10000);
	assert_int_equal(config.n_lans, 3);
	assert_string_equal(config.lans[1], "eth0.12");
	assert_int_equal(config.n_uplinks, 2);
	assert_int_equal(config.uplinks[0].gateway_kind[0], CONFIG_GATEWAY_ADDRESS);
	assert_string_equal(inet_ntop(AF_INET, &config.uplinks[0].gateway4, host, sizeof(host)), "192.0.2.254");
	assert_string_equal(inet_ntop(AF_INET6, &config.uplinks[0].gateway6, host, sizeof(host)), "fe80::1");
	assert_int_equal(config.uplinks[0].weight, 60);
	assert_int_equal(config.uplinks[0].tier, 2);
	assert_false(config.uplinks[0].nat);
	assert_true(config.uplinks[0].nat6);
	assert_true(config.uplinks[0].metered);
	assert_int_equal(config.uplinks[0].n_targets, 3);
	assert_int_equal(config.uplinks[0].targets[1].family, AF_INET6);
	assert_int_equal(config.uplinks[0].quorum, 2);
	assert_int_equal(config.uplinks[0].probe_interval_us, 50000);
	assert_int_equal(config.uplinks[0].timeout_min_us, 100000);
	assert_int_equal(config.uplinks[0].timeout_max_us, 1000000);
	assert_int_equal(config.uplinks[1].gateway_kind[0], CONFIG_GATEWAY_NONE);
	assert_int_equal(config.n_snapshot_files, 2);
	assert_int_equal(config.n_snapshot_commands, 1);
	assert_string_equal(config.snapshot_commands[0], "ip -4 rule show | sort");
	assert_int_equal(config.snapshot_interval_ms, 7200000);
	assert_int_equal(config_find_uplink(&config, "lte"), 1);
	assert_int_equal(config_find_uplink(&config, "dsl"), -ENOENT);
}

/* What steers nothing needs neither uplinks nor LANs; uplinks that are named must be whole all the same. */
static void test_watching(void **state)
{
	static const char *const whole[] = { WATCHER, WATCHER "take_over = no\n", WATCHER ROUTEROS, WATCHER "take_over = no\n" LAN ISP1,
					     WATCHER "table_base = 253\nmark_field = 1\nbuckets = 1\n" };

	(void)state;
	assert_int_equal(load(LAN ISP1, strlen(LAN ISP1)), 0);
	assert_true(config.take_over);
	for (unsigned i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		assert_int_equal(load(whole[i], strlen(whole[i])), 0);
		assert_false(config.take_over);
	}
	assert_int_equal(load(WATCHER ISP1, strlen(WATCHER ISP1)), -EINVAL);
	assert_non_null(strstr(errors_text, "[lan] interfaces: is missing"));
}

static const struct wrong_file wrong[] = {
	{ "", "1: no uplink is configured, and no collector to watch for; add a section [uplink NAME] for each line\n" },
	{ LAN, "2: no uplink is configured, and no collector to watch for; add a section [uplink NAME] for each line\n" },
	{ WATCHER "take_over = yes\n",
	  "4: [agent] take_over: is yes but no uplink is configured; add a section [uplink NAME] for each line\n" },
	{ "[agent]\ntake_over = perhaps\n" LAN ISP1,
	  "2: [agent] take_over: 'perhaps' is not understood; write yes, or no for an agent that only watches\n" },
	{ WATCHER "take_over = no\n[router]\ndriver = routeros\n",
	  "5: [router] address: is missing; write the router's numeric address\n"
	  "5: [router] user: is missing; name a user of the router\n" },
	{ ISP1, "3: [lan] interfaces: is missing; list the interfaces of your users, as in br-lan, eth3\n" },
	{ LAN "[uplink isp1]\nweight = 3\n",
	  "3: [uplink isp1] interface: is missing; name the interface of this line, as `ip link` shows it\n"
	  "3: [uplink isp1] targets: is missing; list one to eight addresses beyond the provider, as in 1.1.1.1, 9.9.9.9\n" },
	{ "weight = 3\n" LAN ISP1, "1: weight: stands before any section; begin with [agent]\n" },
	{ LAN ISP1 "nonsense\n", "6: 'nonsense' is not understood; write field = value\n" },
	{ "[agent\nidentity = a\n" LAN ISP1, "1: '[agent' has no closing ]; write it as [agent]\n" },
	{ "[wan]\nidentity = a\n" LAN ISP1,
	  "1: [wan]: no such section; there are [agent], [lan], [router], [uplink NAME], [monitor], "
	  "[scripts] and [snapshot]\n" },
	{ "[agent]\n" LAN ISP1 "[agent]\nidentity = a\n", "7: [agent]: is on line 1 already; put its fields together\n" },
	{ LAN ISP1 "[uplink isp1]\ninterface = wan2\ntargets = 192.0.2.1\n",
	  "6: [uplink isp1]: is on line 3 already; give each uplink a name of its own\n" },
	{ LAN ISP1 "[uplink none]\ninterface = wan2\ntargets = 8.8.8.8\n",
	  "6: [uplink none]: 'none' is what ends a force (jaga-agent force none); use another name\n" },
	{ LAN ISP1 "[uplink]\n", "6: [uplink]: '' is not a name; use letters, digits, . _ - and at most 31 of them\n" },
	{ LAN ISP1 "[uplink a b]\n",
	  "6: [uplink a b]: 'a b' is not a name; use letters, digits, . _ - and at most 31 of them\n" },
	{ LAN ISP1 "[uplink abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz]\n",
	  "6: [uplink abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz]: "
	  "'abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz' is not a name; use letters, digits, . _ - and at most "
	  "31 of them\n" },
	{ LAN ISP1 "color = red\n", "6: [uplink isp1] color: no such field here; see jaga-agent.conf(5)\n" },
	{ LAN ISP1 "weight = 3\nweight = 3\n", "7: [uplink isp1] weight: is on line 6 already; keep one\n" },
	{ LAN ISP1 "weight = 0\n", "6: [uplink isp1] weight: '0' is out of range; give a number from 1 to 100\n" },
	{ LAN ISP1 "weight = heavy\n",
	  "6: [uplink isp1] weight: 'heavy' is not understood; give a number from 1 to 100\n" },
	{ LAN ISP1 "weight =\n", "6: [uplink isp1] weight: is empty; give a number from 1 to 100\n" },
	{ LAN ISP1 "tier = 17\n", "6: [uplink isp1] tier: '17' is out of range; give a number from 1 to 16\n" },
	{ LAN ISP1 "nat = maybe\n", "6: [uplink isp1] nat: 'maybe' is not understood; write yes or no\n" },
	{ LAN ISP1 "gateway = fe80::1\n",
	  "6: [uplink isp1] gateway: 'fe80::1' is not an IPv4 address; write auto, an IPv4 address, or none for a "
	  "point-to-point line\n" },
	{ LAN ISP1 "gateway6 = 192.0.2.1\n",
	  "6: [uplink isp1] gateway6: '192.0.2.1' is not an IPv6 address; write auto, an IPv6 address, or none when there "
	  "is no IPv6 on this line\n" },
	{ LAN ISP1 "probe_interval = 100\n",
	  "6: [uplink isp1] probe_interval: '100' is not understood; give 20ms to 1m, as in 100ms\n" },
	{ LAN ISP1 "probe_interval = 1ms\n",
	  "6: [uplink isp1] probe_interval: '1ms' is out of range; give 20ms to 1m, as in 100ms\n" },
	{ LAN ISP1 "timeout_min = 5s\n",
	  "6: [uplink isp1] timeout_min: is above timeout_max (3000 ms); make it smaller\n" },
	{ LAN ISP1 "quorum = 2\n",
	  "6: [uplink isp1] quorum: 2 targets must answer but only 1 are named; add targets or lower it\n" },
	{ LAN "[uplink a]\ninterface = wan1\ntargets = dns.example\n",
	  "5: [uplink a] targets: 'dns.example' is not a numeric IPv4 or IPv6 address; list one to eight addresses beyond "
	  "the provider, as in 1.1.1.1, 9.9.9.9\n" },
	{ LAN "[uplink a]\ninterface = wan1\ntargets = 1.1.1.1, 1.1.1.1\n",
	  "5: [uplink a] targets: '1.1.1.1' is named twice; list one to eight addresses beyond the provider, as in "
	  "1.1.1.1, 9.9.9.9\n" },
	{ LAN "[uplink a]\ninterface = wan1\ntargets = 1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5, 1.1.1.6, 1.1.1.7, 1.1.1.8,1.1.1.9\n",
	  "5: [uplink a] targets: more than 8 targets; list one to eight addresses beyond the provider, as in 1.1.1.1, "
	  "9.9.9.9\n" },
	{ LAN "[uplink a]\ninterface = wan1\ntargets = 2001:db8::1\n",
	  "5: [uplink a] targets: holds an IPv6 address but gateway6 is none; write gateway6 = auto or take it out\n" },
	{ LAN "[uplink a]\ninterface = wan1\ntargets = 1.1.1.1\nnat6 = yes\n",
	  "6: [uplink a] nat6: is yes but gateway6 is none; write gateway6 = auto or nat6 = no\n" },
	{ LAN "[uplink a]\ninterface = interface-too-long\ntargets = 1.1.1.1\n",
	  "4: [uplink a] interface: 'interface-too-long' is not an interface name; name the interface of this line, as "
	  "`ip link` shows it\n" },
	{ "[lan]\ninterfaces = lan0, lan-with-a-long-name\n" ISP1,
	  "2: [lan] interfaces: 'lan-with-a-long-name' is not an interface name; list the interfaces of your users, as in "
	  "br-lan, eth3\n" },
	{ LAN ISP1 "[agent x]\n",
	  "6: [agent x]: no such section; there are [agent], [lan], [router], [uplink NAME], [monitor], [scripts] and [snapshot]\n" },
	{ LAN ISP1 "[uplink b]\ninterface = wan1\ntargets = 1.1.1.1\n",
	  "7: [uplink b] interface: wan1 belongs to uplink isp1 already; give each uplink an interface of its own\n" },
	{ LAN "[uplink b]\ninterface = lan0\ntargets = 1.1.1.1\n",
	  "4: [uplink b] interface: lan0 is a LAN interface too; take it out of [lan] interfaces or out of this uplink\n" },
	{ "[lan]\ninterfaces = a, a\n" ISP1,
	  "2: [lan] interfaces: 'a' is named twice; list the interfaces of your users, as in br-lan, eth3\n" },
	{ "[lan]\ninterfaces = ,\n" ISP1,
	  "2: [lan] interfaces: '' is not an interface name; list the interfaces of your users, as in br-lan, eth3\n" },
	{ "[agent]\ncollector = jaga.example.net\nidentity = a\n" LAN ISP1,
	  "2: [agent] collector: 'jaga.example.net' is not a numeric address (names are not looked up: with the uplinks "
	  "down there is no DNS); write its address, as in 192.0.2.1 or [2001:db8::1]:5684\n" },
	{ "[agent]\ncollector = 192.0.2.1\n" LAN ISP1,
	  "2: [agent] collector: needs identity beside it; add the name that `jaga enroll` gave to this router\n" },
	{ "[agent]\nidentity = a b\n" LAN ISP1,
	  "2: [agent] identity: 'a b' is not a name; use the name given by `jaga enroll`: letters, digits, . _ -, at most "
	  "31\n" },
	{ "[router]\ndriver = routeros\n" LAN ISP1 "source = 10.0.0.1\n",
	  "1: [router] address: is missing; write the router's numeric address\n"
	  "1: [router] user: is missing; name a user of the router\n" },
	{ ROUTEROS LAN ISP1,
	  "7: [uplink isp1] source: is missing; give an address of this machine from which only this line is probed\n" },
	{ ROUTEROS LAN ISP1 "source = 10.0.0.1\n[uplink b]\ninterface = wan2\ntargets = 192.0.2.1\nsource = 10.0.0.1\n",
	  "7: [uplink isp1] check_host: is missing, since every target is one of another uplink too; name a host that only this "
	  "line has\n"
	  "11: [uplink b] check_host: is missing, since every target is one of another uplink too; name a host that only this "
	  "line has\n"
	  "14: [uplink b] source: is that of uplink isp1 already; give each its own\n" },
	{ ROUTEROS "tls = pinned\n" LAN ISP1 "source = 10.0.0.1\n",
	  "1: [router] pin: is missing; jaga-agent --pin ADDRESS shows what the router presents\n" },
	{ ROUTEROS "tls = verified\n" LAN ISP1 "source = 10.0.0.1\n",
	  "1: [router] ca_file: is missing; name the file of the authority that signs for the router\n" },
	{ ROUTEROS "pin = " PIN "\nca_file = /ca\n" LAN ISP1 "source = 10.0.0.1\n",
	  "5: [router] pin: counts with tls = pinned only; write that or take it out\n"
	  "6: [router] ca_file: counts with tls = verified only; write that or take it out\n" },
	{ ROUTEROS "tls = yes\npin = 12\nca_file = ca\n" LAN ISP1,
	  "5: [router] tls: 'yes' is not understood; write off, pinned or verified\n"
	  "6: [router] pin: '12' is not the SHA-256 of a certificate; give the 64 hexadecimal digits that jaga-agent --pin prints\n"
	  "7: [router] ca_file: 'ca' is not an absolute path; give an absolute path\n" },
	{ ROUTEROS "tls = anonymous\n" LAN ISP1,
	  "5: [router] tls: 'anonymous' proves nothing: whoever is in between reads the password; give api-ssl a certificate (/ip "
	  "service set api-ssl certificate=NAME) and take its pin (jaga-agent --pin); write off, pinned or verified\n" },
	{ "[router]\ndriver = ios\naddress = gw\n" LAN ISP1 "source = fe80::1\n",
	  "2: [router] driver: 'ios' is not understood; write linux or routeros\n"
	  "3: [router] address: 'gw' is not a numeric address; write the router's address, as in 192.168.88.1 or "
	  "192.168.88.1:8728\n"
	  "9: [uplink isp1] source: 'fe80::1' is not an IPv4 address; give an IPv4 address of this machine that only this line "
	  "has\n" },
	{ "[agent]\nscripts = yes\n" LAN ISP1,
	  "2: [agent] scripts: 'yes' is not understood; write off or unsigned\n" },
	{ "[agent]\nhash = random\n" LAN ISP1,
	  "2: [agent] hash: 'random' is not understood; write both-addresses, source or both-addresses-and-ports\n" },
	{ "[agent]\nmark_field = 0x5\n" LAN ISP1,
	  "2: [agent] mark_field: 0x5 has a gap; its bits must be neighbours, as in 0xff or 0x3f00\n" },
	{ "[agent]\nmark_field = 0x80000000\n" LAN ISP1 "[uplink b]\ninterface = b\ntargets = 1.1.1.1\n",
	  "2: [agent] mark_field: 0x80000000 counts only to 1 and there are 2 uplinks; give it more bits\n" },
	{ "[agent]\nmark_field = 0\n" LAN ISP1,
	  "2: [agent] mark_field: '0' is out of range; give neighbouring bits that nothing else on this router uses, as in "
	  "0xff or 0x3f00\n" },
	{ "[agent]\nbuckets = 1\n" LAN ISP1 "[uplink b]\ninterface = b\ntargets = 1.1.1.1\n",
	  "2: [agent] buckets: 1 are fewer than the 2 uplinks; give at least one each\n" },
	{ "[agent]\ntable_base = 252\n" LAN ISP1 "[uplink b]\ninterface = b\ntargets = 1.1.1.1\n",
	  "2: [agent] table_base: tables 252 to 253 hold the kernel's own (253 to 255); choose another base\n" },
	{ "[agent]\nstate_dir = var/lib\n" LAN ISP1,
	  "2: [agent] state_dir: 'var/lib' is not an absolute path; give an absolute path on storage that survives a "
	  "reboot\n" },
	{ "[agent]\nspool = 1K\n" LAN ISP1, "2: [agent] spool: '1K' is out of range; give 8K to 8M, as in 128K\n" },
	{ "[agent]\nspool = K\n" LAN ISP1, "2: [agent] spool: 'K' is not understood; give 8K to 8M, as in 128K\n" },
	{ "[agent]\nspool = 9M\n" LAN ISP1, "2: [agent] spool: '9M' is out of range; give 8K to 8M, as in 128K\n" },
	{ LAN ISP1 "[snapshot]\nfile = etc\n",
	  "7: [snapshot] file: 'etc' is not an absolute path; give a path or pattern a line, at most 16, as in "
	  "/etc/config/*\n" },
	{ LAN ISP1 "[snapshot]\nfile = /etc/*/x\n",
	  "7: [snapshot] file: '/etc/*/x' has a wildcard in its folder; give a path or pattern a line, at most 16, as in "
	  "/etc/config/*\n" },
	{ LAN ISP1 "[snapshot]\ncommand = ip rule ; ip route\n",
	  "7: [snapshot] command: ' ;' begins a comment; use && or put it into a script\n" },
	/* An indented line stands for itself: it is not the rest of the line before. */
	{ LAN ISP1 "weight = 2\n  weight = 3\n", "7: [uplink isp1] weight: is on line 6 already; keep one\n" },
	/* Every error of a file, in the order of its lines. */
	{ "[agent]\nscripts = yes\n[lan]\ninterfaces = lan0\n[uplink a]\nweight = 0\nfoo = 1\n",
	  "2: [agent] scripts: 'yes' is not understood; write off or unsigned\n"
	  "6: [uplink a] weight: '0' is out of range; give a number from 1 to 100\n"
	  "7: [uplink a] foo: no such field here; see jaga-agent.conf(5)\n"
	  "5: [uplink a] interface: is missing; name the interface of this line, as `ip link` shows it\n"
	  "5: [uplink a] targets: is missing; list one to eight addresses beyond the provider, as in 1.1.1.1, 9.9.9.9\n" },
};

static void test_wrong_files(void **state)
{
	(void)state;
	expect_wrong(path, wrong, sizeof(wrong) / sizeof(wrong[0]));
}

/* Weights 60 and 40 are three parts and two; each line has a host that only it has. */
static void test_routeros(void **state)
{
	static const char text[] = ROUTEROS "password_file = /etc/pw\n" LAN
		"[uplink isp1]\ninterface = ether1\nweight = 60\nsource = 10.0.0.1\ntargets = 9.9.9.9, 192.0.2.1\n"
		"[uplink isp2]\ninterface = pppoe-out1\nweight = 40\nsource = 10.0.0.2\ntargets = 9.9.9.9\ncheck_host = 192.0.2.2\n"
		"[uplink lte]\ninterface = lte1\ntier = 2\nweight = 7\nsource = 10.0.0.3\ntargets = 192.0.2.3\n";
	struct parse_address expected;

	(void)state;
	assert_int_equal(load(text, strlen(text)), 0);
	assert_int_equal(config.driver, CONFIG_DRIVER_ROUTEROS);
	assert_string_equal(config.router_name, "10.0.0.9");
	assert_int_equal(config.router.port, 8728);
	assert_string_equal(config.router_user, "jaga");
	assert_string_equal(config.password_file, "/etc/pw");
	assert_int_equal(config.n_buckets, 5);
	for (unsigned i = 0; i < 3; i++) {
		char host[] = "192.0.2.1";

		host[sizeof(host) - 2] = (char)('1' + i);
		assert_int_equal(parse_address(host, 0, &expected), 0);
		assert_memory_equal(&config.uplinks[i].check_host, &expected, sizeof(expected));
	}
}

static void test_routeros_tls(void **state)
{
	static const char pinned[] = ROUTEROS "tls = pinned\npin = " PIN "\n" LAN ISP1 "source = 10.0.0.1\n";
	static const char verified[] = ROUTEROS "tls = verified\nca_file = /etc/ca.pem\n" LAN ISP1 "source = 10.0.0.1\n";
	static const char port[] = "[agent]\ncollector = 192.0.2.1\nidentity = a\n[router]\ndriver = routeros\naddress = 10.0.0.9:443\n"
				   "user = jaga\ntls = verified\nca_file = /etc/ca.pem\n";

	(void)state;
	assert_int_equal(load(pinned, strlen(pinned)), 0);
	assert_int_equal(config.tls, CONFIG_TLS_PINNED);
	for (unsigned i = 0; i < LIMIT_ROS_PIN_BYTES; i++)
		assert_int_equal(config.pin[i], i % 16 * 0x11);
	assert_int_equal(config.router.port, 8729);
	assert_int_equal(load(verified, strlen(verified)), 0);
	assert_int_equal(config.tls, CONFIG_TLS_VERIFIED);
	assert_string_equal(config.ca_file, "/etc/ca.pem");
	assert_int_equal(config.router.port, 8729);
	assert_int_equal(load(port, strlen(port)), 0); /* one that only watches */
	assert_int_equal(config.router.port, 443);
}

static void test_long_and_binary_lines(void **state)
{
	static const char expected[] =
		"6: the line is longer than 198 characters or holds control characters; split or retype it\n";
	char text[1024], line[400];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "# ", 2);
	snprintf(text, sizeof(text), LAN ISP1 "%.198s\n", line);
	assert_int_equal(load(text, strlen(text)), 0); /* the longest line that may be */
	snprintf(text, sizeof(text), LAN ISP1 "%.199s\nweight = 2\n", line);
	assert_int_equal(load(text, strlen(text)), -EINVAL);
	assert_string_equal(errors_text, expected); /* the next line is still line 7 and right */
	snprintf(text, sizeof(text), LAN ISP1 "weight = 2\x01\n");
	assert_int_equal(load(text, strlen(text)), -EINVAL);
	assert_string_equal(errors_text, expected);
	assert_int_equal(load(LAN ISP1 "wei\0ght\n", sizeof(LAN ISP1 "wei\0ght\n") - 1), -EINVAL);
	assert_string_equal(errors_text, expected);
}

static void test_too_much(void **state)
{
	char text[8192] = LAN ISP1;
	size_t used = strlen(text);

	(void)state;
	for (unsigned i = 0; i < 30; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "foo%u = 1\n", i);
	assert_int_equal(load(text, used), -EINVAL);
	assert_non_null(strstr(errors_text, "25: [uplink isp1] foo19"));
	assert_null(strstr(errors_text, "foo20"));
	assert_non_null(strstr(errors_text, "and 10 more errors\n"));

	used = (size_t)snprintf(text, sizeof(text), LAN);
	for (unsigned i = 0; i < LIMIT_UPLINKS + 1; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "[uplink u%u]\ninterface=w%u\ntargets=1.1.1.1\n",
					 i, i);
	assert_int_equal(load(text, used), -EINVAL);
	assert_string_equal(errors_text, "51: [uplink u16]: more than 16 uplinks; Jaga takes no more\n");

	used = (size_t)snprintf(text, sizeof(text), LAN ISP1 "[snapshot]\n");
	for (unsigned i = 0; i < LIMIT_SNAPSHOT_SOURCES + 1; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "command=true\n");
	assert_int_equal(load(text, used), -EINVAL);
	assert_string_equal(errors_text, "23: [snapshot] command: more than 16 commands; give a command a line, at most "
					 "16, as in ip -4 rule show\n");
}

static void test_missing_file(void **state)
{
	char text[512] = "";
	FILE *errors = fmemopen(text, sizeof(text) - 1, "w");

	(void)state;
	assert_int_equal(config_load("/nonexistent/agent.conf", errors, &config), -ENOENT);
	fclose(errors);
	assert_non_null(strstr(text, "/nonexistent/agent.conf: No such file or directory; "));
}

/* As the unit's user meets a file that was copied with root's mode 0600. */
static void test_unreadable_file(void **state)
{
	char text[512] = "";
	FILE *errors = fmemopen(text, sizeof(text) - 1, "w");
	int r;

	(void)state;
	assert_non_null(errors);
	assert_int_equal(chmod(path, 0), 0);
	if (seteuid(65534) < 0) { /* not root: the file is this user's own */
		fclose(errors);
		skip();
	}
	r = config_load(path, errors, &config);
	fclose(errors);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(r, -EACCES);
	assert_non_null(strstr(text, ": Permission denied; "));
	assert_non_null(strstr(text, "chgrp jaga-agent FILE; chmod 640 FILE\n"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),	      cmocka_unit_test(test_whole_file),
		cmocka_unit_test(test_wrong_files),	      cmocka_unit_test(test_long_and_binary_lines),
		cmocka_unit_test(test_too_much),	      cmocka_unit_test(test_missing_file),
		cmocka_unit_test(test_unreadable_file),
		cmocka_unit_test(test_routeros),
		cmocka_unit_test(test_routeros_tls), cmocka_unit_test(test_watching),
	};
	int fd = mkstemp(path), r;

	if (fd < 0)
		return 1;
	close(fd);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return r;
}
