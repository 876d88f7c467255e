/* ros_actions: scripts whose actions can be counted, and all that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/ros_actions.h"
#include "common/limits.h"

struct row {
	const char *text;
	int actions;
};

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int actions = ros_count_actions(rows[i].text, strlen(rows[i].text));

		if (actions != rows[i].actions)
			fail_msg("%s: %d", rows[i].text, actions);
	}
}

static void test_counted(void **state)
{
	static const struct row rows[] = {
		{ "", 0 },
		{ "# only :foreach in a comment {\n\n;;", 0 },
		{ "/system identity set name=x", 1 },
		{ "/system/identity/set name=x; :put \"done [ {\"", 2 },
		{ "/ip address\r\nadd address=192.0.2.1/24 interface=ether1\r\nremove 0", 3 },
		{ "/ip address remove 0,1,2", 3 },
		{ "/ip address remove numbers=\"0,1,2\"", 3 },
		{ "/interface ethernet set [ find default-name=ether1 ] \\\n    name=wan", 1 },
		{ "/ip firewall filter add chain=input comment=\"costs \\$5 :delay\" action=drop", 1 },
		{ "/ip firewall nat", 1 },
	};

	(void)state;
	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_uncertain(void **state)
{
	static const char *const texts[] = {
		":foreach i in=[/ip address find] do={ /ip address remove $i }", ":for i from=1 to=200 do={ /queue simple add name=$i }",
		":while (true) do={ }", ":do { /ip address remove 0 } while=(true)", ":if (true) do={ /ip address remove 0 }", "{ /ip address remove 0 }",
		"/ip address remove [find]", "/ip address remove [find interface=ether1]", "/ip dns static remove [find name=x]",
		"/interface ethernet set [find default-name=ether1 or name~\"\"] mtu=1500", "/interface ethernet set [find default-name~\"ether\"] mtu=1500",
		"/interface ethernet set [find default-name=] mtu=1500", "/interface ethernet set [finddefault-name=ether1] mtu=1500",
		"/ip address remove $all", "/ip address remove 0-9", "/ip address remove \"$all\"", "/ip address remove (0,1)", "/ip address set 0 comment=\"$[/import x]\"",
		"/ip address\nremove [/ip address find]", "$change", "change", ":change", ":execute \"/x\"", "/execute x", ":parse x", "/import x.rsc",
		"import file-name=x", ":import x", "/system script run x", "/sys scr ru x", "/system script run add", "/system reboot", "/sys reb",
		"/undo", "/redo", "/safe-mode release", "/safe-mode/take", "/system backup load name=x", "/system reset-configuration", ":delay 60s",
		"delay 60s", "/tool fetch url=x", "/ip address rem 0", "/ip address set0", "/ip address setup", "/ip address ..", "..", "\\", "/ip \\address add",
		"\"/ip address add\"", "/ip address add comment=\"", "/ip address add }", "/ip address add comment=\"a\\", ":", ": put x; :putx", "[", ")",
		"/ip address remove 0 ;{", "/IP address remove 0", "/ip address \x01 remove 0", "/ip address ? remove",
	};
	char text[LIMIT_JOB_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (ros_count_actions(texts[i], strlen(texts[i])) != -E2BIG)
			fail_msg("%s", texts[i]);
	memset(text, ',', sizeof(text));
	memcpy(text, "/ip address remove 0", 20);
	assert_int_equal(ros_count_actions(text, sizeof(text)), -E2BIG);
	assert_int_equal(ros_count_actions(text, LIMIT_JOB_BYTES), LIMIT_JOB_BYTES - 20 + 1);
}

/* Cut anywhere it says something, and looks at no byte behind (with the address sanitizer). */
static void test_cut(void **state)
{
	static const char text[] = "/interface ethernet set [ find default-name=ether1 ] \\\n  comment=\"a \\\" $b\" ; :put 1,2";

	(void)state;
	for (size_t length = 0; length < sizeof(text); length++) {
		char exact[sizeof(text)];

		memcpy(exact + sizeof(exact) - length, text, length);
		assert_true(ros_count_actions(exact + sizeof(exact) - length, length) <= 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_counted), cmocka_unit_test(test_uncertain), cmocka_unit_test(test_cut) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
