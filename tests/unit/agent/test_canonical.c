/* canonical: what moves by itself is left out, what is configured stays; both orders of the same thing give one text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/router/canonical.h"
#include "common/limits.h"

static char out_memory[8192];
static struct buf out;

static const char *make_canonical(enum canonical_kind kind, const char *text)
{
	size_t length = strlen(text);
	char *copy = malloc(length + 1); /* exact, so that a byte too far is found by the sanitizer */

	assert_non_null(copy);
	memcpy(copy, text, length);
	buf_init(&out, out_memory, sizeof(out_memory));
	canonical_put(kind, copy, length, &out);
	free(copy);
	assert_false(out.failed);
	return out.data;
}

static void test_kinds(void **state)
{
	static const struct {
		const char *command;
		enum canonical_kind kind;
	} table[] = {
		{ "nft -s list ruleset", CANONICAL_NFT },	{ "nftables", CANONICAL_PLAIN },
		{ "ip route show table all", CANONICAL_ROUTE }, { "ip -4 route", CANONICAL_ROUTE },
		{ "ip -6 r", CANONICAL_ROUTE },		{ "ip -o -4 address show", CANONICAL_ADDRESS },
		{ "ip addr", CANONICAL_ADDRESS },		{ "  ip  -4  rule show", CANONICAL_RULE },
		{ "ip -s", CANONICAL_PLAIN },			{ "ip", CANONICAL_PLAIN },
		{ "ip link", CANONICAL_PLAIN },		{ "ip routes", CANONICAL_PLAIN },
		{ "cat /etc/passwd", CANONICAL_PLAIN },	{ "", CANONICAL_PLAIN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(canonical_kind_of(table[i].command), table[i].kind);
}

static void test_plain(void **state)
{
	(void)state;
	assert_string_equal(make_canonical(CANONICAL_PLAIN, ""), "");
	assert_string_equal(make_canonical(CANONICAL_PLAIN, "a\r\nb \t\n\n  c"), "a\nb\n\n  c\n");
	assert_string_equal(make_canonical(CANONICAL_PLAIN, "counter packets 1 bytes 2\n"), "counter packets 1 bytes 2\n");
}

static void test_nft(void **state)
{
	static const char before[] = "table inet jaga { # handle 1\n"
				     "\tmap live {\n"
				     "\t\ttype mark : verdict\n"
				     "\t\telements = { 0x1 : goto u1 }\n"
				     "\t}\n"
				     "}\n"
				     "table inet fw { # handle 2\n"
				     "\tquota monthly { over 5 gbytes used 17 mbytes }\n"
				     "\tset admins {\n"
				     "\t\ttype ipv4_addr\n"
				     "\t\telements = { 10.0.0.1, 10.0.0.2,\n"
				     "\t\t\t     10.0.0.3 }\n"
				     "\t}\n"
				     "\tset blocked { # handle 7\n"
				     "\t\ttype ipv4_addr\n"
				     "\t\tflags dynamic,timeout\n"
				     "\t\ttimeout 1m\n"
				     "\t\telements = { 192.0.2.1 timeout 1m expires 12s,\n"
				     "\t\t\t     192.0.2.2 timeout 1m expires 13s }\n"
				     "\t}\n"
				     "\tchain input {\n"
				     "\t\ttype filter hook input priority filter; policy accept;\n"
				     "\t\ttcp dport 22 counter packets 12 bytes 840 accept # handle 9\n"
				     "\t\tct state new counter packets 1 bytes 2 drop\n"
				     "\t}\n"
				     "}\n";
	static const char after[] = "table inet fw {\n"
				    "\tquota monthly { over 5 gbytes }\n"
				    "\tset admins {\n"
				    "\t\ttype ipv4_addr\n"
				    "\t\telements = { 10.0.0.1, 10.0.0.2,\n"
				    "\t\t\t     10.0.0.3 }\n"
				    "\t}\n"
				    "\tset blocked {\n"
				    "\t\ttype ipv4_addr\n"
				    "\t\tflags dynamic,timeout\n"
				    "\t\ttimeout 1m\n"
				    "\t}\n"
				    "\tchain input {\n"
				    "\t\ttype filter hook input priority filter; policy accept;\n"
				    "\t\ttcp dport 22 counter accept\n"
				    "\t\tct state new counter drop\n"
				    "\t}\n"
				    "}\n";

	(void)state;
	assert_string_equal(make_canonical(CANONICAL_NFT, before), after);
	assert_string_equal(make_canonical(CANONICAL_NFT, "table ip6 jaga {\n}\ntable ip jaga2 {\n}\n"), "table ip jaga2 {\n}\n");
}

static void test_routes(void **state)
{
	static const char before[] =
		"default via 192.0.2.1 dev wan1 proto dhcp src 192.0.2.9 metric 100\n"
		"default via 192.0.2.1 dev wan1 table 7100 proto 74\n"
		"default via 198.51.100.1 dev wan2 linkdown\n"
		"10.9.0.0/16 via 10.0.0.2 dev lan0 proto static dead linkdown\n"
		"10.0.0.0/24 dev lan0 proto kernel scope link src 10.0.0.1\n"
		"local 10.0.0.1 dev lan0 table local proto kernel scope host src 10.0.0.1\n"
		"2001:db8:1::/48 via fe80::1 dev wan1 proto ra metric 1024 expires 1763sec hoplimit 64 pref medium\n"
		"2001:db8:2::/48 via fe80::1 dev wan1 metric 1024 expires 12sec pref medium\n"
		"unreachable 10.8.0.0/16 proto static metric 9 error -113\n"
		"203.0.113.0/24 proto bird metric 32 \n";
	static const char after[] = "10.9.0.0/16 via 10.0.0.2 dev lan0 proto static\n"
				    "2001:db8:2::/48 via fe80::1 dev wan1 metric 1024 pref medium\n"
				    "default via 198.51.100.1 dev wan2\n"
				    "unreachable 10.8.0.0/16 proto static metric 9\n";

	(void)state;
	assert_string_equal(make_canonical(CANONICAL_ROUTE, before), after);
	assert_string_equal(make_canonical(CANONICAL_ROUTE, "b dev x\na dev x"), "a dev x\nb dev x\n");
	assert_string_equal(make_canonical(CANONICAL_ROUTE, ""), "");
}

static void test_addresses(void **state)
{
	static const char before[] =
		"3: wan1    inet 192.0.2.2/24 brd 192.0.2.255 scope global wan1\\       valid_lft forever preferred_lft forever\n"
		"12: 4g0    inet 10.9.9.9/30 scope global dynamic 4g0\\       valid_lft 3599sec preferred_lft 3599sec\n"
		"5: 4g1    inet 10.9.8.1/30 scope global 4g1\\       valid_lft forever preferred_lft forever\n"
		"2: lan0    inet6 2001:db8::1/64 scope global tentative \\       valid_lft forever preferred_lft forever\n"
		"2: lan0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever\n"
		"7: ppp0    inet 100.64.0.9 peer 100.64.0.1/32 scope global ppp0\\       valid_lft forever preferred_lft forever\n";
	static const char after[] = "4g1 inet 10.9.8.1/30 scope global 4g1\n"
				    "lan0 inet6 2001:db8::1/64 scope global\n"
				    "wan1 inet 192.0.2.2/24 brd 192.0.2.255 scope global wan1\n";

	(void)state;
	assert_string_equal(make_canonical(CANONICAL_ADDRESS, before), after);
}

static void test_rules(void **state)
{
	(void)state;
	assert_string_equal(make_canonical(CANONICAL_RULE, "0:\tfrom all lookup local\n7101:\tfrom all fwmark 0x1/0xff lookup 7100\n"),
			    "0: from all lookup local\n7101: from all fwmark 0x1/0xff lookup 7100\n");
}

static void test_what_does_not_fit(void **state)
{
	static char many[2 * (LIMIT_SNAPSHOT_LINES + 1) + 1];
	char small[8], text[] = "a line that is longer\n";

	(void)state;
	buf_init(&out, small, sizeof(small));
	canonical_put(CANONICAL_ROUTE, text, strlen(text), &out);
	assert_true(out.failed);

	for (size_t i = 0; i < LIMIT_SNAPSHOT_LINES + 1; i++)
		memcpy(many + 2 * i, "x\n", 2);
	buf_init(&out, malloc(sizeof(many)), sizeof(many));
	canonical_put(CANONICAL_ROUTE, many, sizeof(many) - 1, &out);
	assert_true(out.failed); /* more lines than can be sorted */
	free(out.data);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	  cmocka_unit_test(test_plain), cmocka_unit_test(test_nft),
		cmocka_unit_test(test_routes),	  cmocka_unit_test(test_addresses), cmocka_unit_test(test_rules),
		cmocka_unit_test(test_what_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
