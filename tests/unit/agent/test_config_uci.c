/* config, OpenWrt's syntax: the same structure as from INI, and a table of wrong files with what they must get. */
#include "tests/unit/agent/config_lab.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/uci.h"

static char directory[] = "/tmp/test_config_uci.XXXXXX";
static char path[64], ini_path[64], in_config_path[64];
static struct agent_config other;

static int load(const char *text)
{
	return load_from(path, text, strlen(text), &config);
}

#define LAN "config lan\n\toption interfaces lan0\n"
#define ISP1 "config uplink isp1\n\toption interface wan1\n\toption targets 192.0.2.1\n"

/* What a default left behind the end of a shorter value. */
static void forget_defaults(struct agent_config *of)
{
	memset(of->state_dir + strlen(of->state_dir), 0, sizeof(of->state_dir) - strlen(of->state_dir));
	memset(of->socket_path + strlen(of->socket_path), 0, sizeof(of->socket_path) - strlen(of->socket_path));
}

static void test_same_as_ini(void **state)
{
	static const char uci[] = "package jaga\n"
				  "# a comment\r\n"
				  "config agent 'agent'   # its name means nothing\n"
				  "\toption identity 'nairobi-7'\n"
				  "\toption collector \"[2001:db8::1]:6000\"\n"
				  "  option scripts unsigned\n"
				  "\toption enabled '0'\n"
				  "\toption spool 1'6'\"K\"\n"
				  "\toption state_dir /s\n"
				  "\toption socket '/x.sock'\n"
				  "\n"
				  "config lan 'lan'\n"
				  "\tlist interfaces 'br-lan'\n"
				  "\tlist interfaces 'eth0.12, wg0'\n"
				  "config uplink 'isp1'\n"
				  "\toption interface 'wan1'\n"
				  "\toption targets '192.0.2.1, 2001:db8::53'\n"
				  "\tlist targets '198.51.100.1'\n"
				  "\toption gateway6 'auto'\n"
				  "config uplink lte\n"
				  "\toption interface 'wwan0'\n"
				  "\tlist targets '198.51.100.1'\n"
				  "config monitor 'monitor'\n"
				  "\toption bgp 'off'\n"
				  "\toption netwatch '5s'\n"
				  "config snapshot\n"
				  "\tlist file '/etc/config/*'\n"
				  "\tlist file /etc/firewall.user\n"
				  "\toption command 'echo '\\''a b'\\'' \"c\"'\n"
				  "\tlist command \"echo \\\"d\\\" \\\\n\"\n"
				  "\toption interval 2h\n";
	static const char ini[] = "[agent]\nidentity = nairobi-7\ncollector = [2001:db8::1]:6000\nscripts = unsigned\n"
				  "enabled = no\nspool = 16K\nstate_dir = /s\nsocket = /x.sock\n"
				  "[lan]\ninterfaces = br-lan, eth0.12, wg0\n"
				  "[uplink isp1]\ninterface = wan1\ntargets = 192.0.2.1, 2001:db8::53, 198.51.100.1\n"
				  "gateway6 = auto\n"
				  "[uplink lte]\ninterface = wwan0\ntargets = 198.51.100.1\n"
				  "[monitor]\nbgp = off\nnetwatch = 5s\n"
				  "[snapshot]\nfile = /etc/config/*\nfile = /etc/firewall.user\n"
				  "command = echo 'a b' \"c\"\ncommand = echo \"d\" \\n\ninterval = 2h\n";

	(void)state;
	assert_int_equal(load(uci), 0);
	assert_string_equal(errors_text, "");
	assert_int_equal(load_from(ini_path, ini, strlen(ini), &other), 0);
	assert_false(config.is_enabled);
	assert_int_equal(config.uplinks[0].n_targets, 3);
	assert_string_equal(config.snapshot_commands[0], "echo 'a b' \"c\"");
	forget_defaults(&config);
	forget_defaults(&other);
	assert_memory_equal(&config, &other, sizeof(config));
}

/* Of a companion that runs OpenWrt. */
static void test_routeros_tls(void **state)
{
	static const char router[] = "config agent\n\toption collector 192.0.2.1\n\toption identity a\n"
				     "config router\n\toption driver routeros\n\toption address 10.0.0.9\n\toption user jaga\n"
				     "\toption tls 'pinned'\n"
				     "\toption pin '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff'\n";
	char text[512];

	(void)state;
	assert_int_equal(load(router), 0);
	assert_int_equal(config.tls, CONFIG_TLS_PINNED);
	assert_int_equal(config.pin[31], 0xff);
	assert_int_equal(config.router.port, 8729);
	snprintf(text, sizeof(text), "%s\toption ca_file /ca\n", router);
	assert_int_equal(load(text), -EINVAL);
	assert_string_equal(errors_text, "10: [router] ca_file: counts with tls = verified only; write that or take it out\n");
}

static void test_openwrt_defaults(void **state)
{
	(void)state;
	assert_int_equal(load(LAN ISP1), 0);
	assert_true(config.is_enabled);
	assert_string_equal(config.state_dir, "/etc/jaga/state"); /* /var is memory on OpenWrt */
	assert_string_equal(config.socket_path, "/var/run/jaga-agent/agent.sock");
	assert_string_equal(config.key_file, "/etc/jaga/agent.key");
	assert_int_equal(config.n_snapshot_files, 1);
	assert_string_equal(config.snapshot_files[0], "/etc/config/*");
	assert_int_equal(config.n_snapshot_commands, 0);
}

static void test_watching(void **state)
{
	static const char agent[] = "config agent\n\toption identity a\n\toption collector 192.0.2.9\n";
	char text[512];

	(void)state;
	assert_int_equal(load(agent), 0);
	assert_false(config.take_over);
	snprintf(text, sizeof(text), "%s\toption take_over 0\n%s", agent, LAN ISP1);
	assert_int_equal(load(text), 0);
	assert_false(config.take_over);
	assert_int_equal(config.n_uplinks, 1);
}

static const struct wrong_file wrong[] = {
	{ "config lan\n",
	  "1: no uplink is configured, and no collector to watch for; add a section [uplink NAME] for each line\n" },
	{ LAN ISP1 "option weight 0\n", "6: [uplink isp1] weight: '0' is out of range; give a number from 1 to 100\n" },
	{ LAN ISP1 "option weight ''\n", "6: [uplink isp1] weight: is empty; give a number from 1 to 100\n" },
	{ LAN ISP1 "option weight\n", "6: [uplink isp1] weight: is empty; give a number from 1 to 100\n" },
	{ LAN ISP1 "option weight 3\noption weight 3\n", "7: [uplink isp1] weight: is on line 6 already; keep one\n" },
	{ LAN ISP1 "list weight 3\n", "6: [uplink isp1] weight: is one value; write option, not list\n" },
	{ LAN ISP1 "option targets 192.0.2.2\n", "6: [uplink isp1] targets: is on line 5 already; keep one\n" },
	{ LAN ISP1 "list targets 192.0.2.1\n",
	  "6: [uplink isp1] targets: '192.0.2.1' is named twice; list one to eight addresses beyond the provider, as in "
	  "1.1.1.1, 9.9.9.9\n" },
	{ LAN ISP1 "option color red\n", "6: [uplink isp1] color: no such field here; see jaga-agent.conf(5)\n" },
	{ LAN ISP1 "option weight 3 4\n", "6: there are words behind the value; put the value into quotes\n" },
	{ LAN ISP1 "option weight '3\n", "6: a quote is not closed on this line; close it, values are of one line\n" },
	{ LAN ISP1 "option weight \"3\\\"\n", "6: a quote is not closed on this line; close it, values are of one line\n" },
	{ LAN ISP1 "option weight 3\\\n", "6: the value goes on in the next line; write it in one\n" },
	{ LAN ISP1 "option weight 3; option tier 2\n", "6: ';' separates commands; put the value into quotes\n" },
	{ LAN ISP1 "option\n", "6: option has no name; write option NAME 'VALUE'\n" },
	{ LAN ISP1 "optoin weight 3\n", "6: 'optoin' is not understood; write config, option or list\n" },
	{ LAN ISP1 "[lan]\n", "6: '[lan]' is not understood; write config, option or list\n" },
	{ LAN ISP1 "package\n", "6: 'package' is not understood; write config, option or list\n" },
	{ "option weight 3\n" LAN ISP1, "1: weight: stands before any section; begin with config agent\n" },
	{ LAN ISP1 "config\n\toption a b\n", "6: config has no type; write config agent\n" },
	{ LAN ISP1 "config uplink\n\toption a b\n", "6: config uplink has no name; write config uplink 'NAME'\n" },
	{ LAN ISP1 "config uplink 'isp-2'\n\toption a b\n",
	  "6: 'isp-2' is not a name in this file; use letters, digits and _\n" },
	{ LAN ISP1 "config uplink isp1\n",
	  "6: [uplink isp1]: is on line 3 already; give each uplink a name of its own\n" },
	{ LAN ISP1 "config uplink none\n",
	  "6: [uplink none]: 'none' is what ends a force (jaga-agent force none); use another name\n" },
	{ LAN ISP1 "config lan other\n", "6: [lan]: is on line 1 already; put its fields together\n" },
	{ LAN ISP1 "config wan\n\toption a b\n",
	  "6: [wan]: no such section; there are [agent], [lan], [router], [uplink NAME], [monitor], "
	  "[scripts] and [snapshot]\n" },
	{ LAN ISP1 "option weight 2\001\n",
	  "6: the line is longer than 198 characters or holds control characters; split or retype it\n" },
	/* Every error of a file, in the order of its lines. */
	{ "config agent\noption scripts yes\n" LAN "config uplink a\noption weight 0\nfoo\n",
	  "2: [agent] scripts: 'yes' is not understood; write off or unsigned\n"
	  "6: [uplink a] weight: '0' is out of range; give a number from 1 to 100\n"
	  "7: 'foo' is not understood; write config, option or list\n"
	  "5: [uplink a] interface: is missing; name the interface of this line, as `ip link` shows it\n"
	  "5: [uplink a] targets: is missing; list one to eight addresses beyond the provider, as in 1.1.1.1, 9.9.9.9\n" },
};

static void test_wrong_files(void **state)
{
	(void)state;
	expect_wrong(path, wrong, sizeof(wrong) / sizeof(wrong[0]));
}

static void test_long_words(void **state)
{
	char text[1024], word[400];

	(void)state;
	memset(word, 'x', sizeof(word));
	/* The longest line that may be: as a type, as a value. */
	snprintf(text, sizeof(text), LAN ISP1 "config %.191s\n", word);
	assert_int_equal(load(text), -EINVAL);
	assert_non_null(strstr(errors_text, "x]: no such section; "));
	snprintf(text, sizeof(text), LAN ISP1 "option weight '%.182s'\n", word);
	assert_int_equal(load(text), -EINVAL);
	assert_non_null(strstr(errors_text, "xxx' is not understood; give a number"));
	snprintf(text, sizeof(text), LAN ISP1 "option weight '%.183s'\n", word);
	assert_int_equal(load(text), -EINVAL);
	assert_non_null(strstr(errors_text, "6: the line is longer than 198 characters"));
}

static void test_recognises(void **state)
{
	static const struct {
		const char *text;
		bool is_uci;
	} files[] = {
		{ "config agent\n", true },	    { "\n# x\n  \n\tconfig\tagent\n", true },
		{ "package jaga\n", true },	    { "[agent]\nconfig = x\n", false },
		{ "configuration = x\n", false },   { "", false },
		{ "# config\n[agent]\n", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		write_text(path, files[i].text, strlen(files[i].text));
		assert_int_equal(uci_recognises(path), files[i].is_uci);
	}
	assert_true(uci_recognises("/etc/config/jaga")); /* by its place */
	assert_false(uci_recognises("/etc/myconfig/jaga"));
	/* There nothing else is expected: its errors are told in UCI's words. */
	assert_int_equal(load_from(in_config_path, "confg agent\n", 12, &config), -EINVAL);
	assert_memory_equal(errors_text, "1: 'confg' is not understood; write config, option or list\n", 59);
	assert_int_equal(load_from(in_config_path, "", 0, &config), -EINVAL);
	assert_memory_equal(errors_text, "1: no uplink is configured", 26);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_ini), cmocka_unit_test(test_openwrt_defaults),
		cmocka_unit_test(test_routeros_tls),
		cmocka_unit_test(test_wrong_files), cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_recognises),  cmocka_unit_test(test_watching),
	};
	char config_directory[48];
	int r;

	if (!mkdtemp(directory))
		return 1;
	snprintf(config_directory, sizeof(config_directory), "%s/config", directory);
	snprintf(path, sizeof(path), "%s/uci", directory);
	snprintf(ini_path, sizeof(ini_path), "%s/ini", directory);
	snprintf(in_config_path, sizeof(in_config_path), "%s/jaga", config_directory);
	if (mkdir(config_directory, 0700) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	unlink(ini_path);
	unlink(in_config_path);
	rmdir(config_directory);
	rmdir(directory);
	return r;
}
