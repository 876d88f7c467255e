/*
 * ros_actions: see ros_actions.h. Called by routeros_save.c.
 *
 * Everything is on a list, because commands may be shortened ("/sys reb") and a list of what is bad would have holes: a
 * statement is words of menus, then a verb that takes one action for each item it names, then plain arguments. Nothing that
 * is computed ($, parentheses, braces, brackets but "[find default-name=ether1]", which finds one) is certain. What waits
 * (:delay, /tool fetch) is not on the list either: a script must not outlive the session that holds safe mode.
 */
#include "agent/router/ros_actions.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "agent/router/ros_scan.h"

#define BLANKS " \t\r\n"

struct words { /* of a statement; sticky: once `is_odd`, nothing is certain */
	const char *at, *end;
	bool is_odd;
};

/* Blanks, and the backslash that folds a line. */
static void skip_blanks(struct words *words)
{
	while (words->at < words->end && (memchr(BLANKS, *words->at, sizeof(BLANKS) - 1) || *words->at == '\\')) {
		const char *next = words->at + 1;

		if (*words->at == '\\' && !(next < words->end && (*next == '\n' || *next == '\r')))
			words->is_odd = true;
		words->at = next;
	}
}

static bool is_one_of(const char *const *list, size_t n, const char *word, size_t length)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == length && memcmp(list[i], word, length) == 0)
			return true;
	return false;
}

#define IS_ONE_OF(list, word, length) is_one_of(list, sizeof(list) / sizeof((list)[0]), word, length)

static size_t word_length(const struct words *words)
{
	size_t n = 0;

	while (words->at + n < words->end && ((words->at[n] >= 'a' && words->at[n] <= 'z') || (words->at[n] >= '0' && words->at[n] <= '9') ||
					      words->at[n] == '-'))
		n++;
	return n;
}

static bool take(struct words *words, const char *text)
{
	size_t length = strlen(text);

	skip_blanks(words);
	if ((size_t)(words->end - words->at) < length || memcmp(words->at, text, length) != 0)
		return false;
	words->at += length;
	return true;
}

/* "[find default-name=ether1]" */
static void take_find(struct words *words)
{
	bool is_one = take(words, "[") && take(words, "find") && words->at < words->end && *words->at == ' ' &&
		      take(words, "default-name=");
	size_t n = is_one ? word_length(words) : 0;

	words->at += n;
	if (n == 0 || !take(words, "]"))
		words->is_odd = true;
}

/* To the closing quote. What is computed within a string is as uncertain as outside. */
static void take_string(struct words *words, unsigned *commas)
{
	for (words->at++; words->at < words->end && *words->at != '"'; words->at++) {
		if (*words->at == '\\')
			words->at++;
		else if (*words->at == '$')
			words->is_odd = true;
		else
			*commas += *words->at == ',';
	}
	if (words->at >= words->end)
		words->is_odd = true;
	else
		words->at++;
}

static bool is_digit(const struct words *words, const char *at)
{
	return at < words->end && *at >= '0' && *at <= '9';
}

/* The rest of the statement. Commas separate items: "remove 1,2,3"; and what may be a range of them is uncertain. */
static unsigned take_arguments(struct words *words)
{
	unsigned commas = 0;

	for (;;) {
		skip_blanks(words);
		if (words->at >= words->end || words->is_odd)
			return commas;
		if (*words->at == '[') {
			take_find(words);
		} else if (*words->at == '"') {
			take_string(words, &commas);
		} else if (memchr("$(){}]`;", *words->at, 8) || (*words->at == '-' && is_digit(words, words->at - 1) && is_digit(words, words->at + 1))) {
			words->is_odd = true;
		} else {
			commas += *words->at++ == ',';
		}
	}
}

static bool is_menu(const char *word, size_t length)
{
	static const char *const menus[] = {
		"action", "address", "address-list", "area", "arp", "bgp", "bonding", "bridge", "client", "clock", "community", "dhcp-client",
		"dhcp-server", "dns", "eoip", "ethernet", "filter", "firewall", "gre", "group", "hotspot", "identity", "instance", "interface",
		"interface-template", "ip", "ip-binding", "ipip", "ipv6", "l2tp-client", "lease", "list", "logging", "lte", "mangle", "member",
		"nat", "nd", "neighbor", "netwatch", "network", "note", "ntp", "ospf", "peers", "pool", "port", "ppp", "pppoe-client",
		"pppoe-server", "prefix", "profile", "queue", "radius", "raw", "route", "routing", "rule", "secret", "server", "servers",
		"service", "settings", "simple", "snmp", "static", "system", "table", "template", "tool", "tree", "type", "user", "veth",
		"vlan", "vlans", "vrrp", "wireguard",
	};

	return IS_ONE_OF(menus, word, length);
}

static int count_statement(const char *text, size_t length)
{
	static const char *const verbs[] = { "add", "set", "remove", "enable", "disable" };
	static const char *const silent[] = { "put", "error" };
	struct words words = { .at = text, .end = text + length };
	bool is_silent = take(&words, ":"), has_verb = false;
	unsigned commas = 0;

	do {
		size_t n;

		skip_blanks(&words);
		while (!is_silent && words.at < words.end && *words.at == '/')
			words.at++;
		n = word_length(&words);
		has_verb = is_silent ? IS_ONE_OF(silent, words.at, n) : IS_ONE_OF(verbs, words.at, n);
		if (!has_verb && (is_silent || (n > 0 && !is_menu(words.at, n))))
			return -E2BIG;
		if (n == 0 && words.at < words.end)
			return -E2BIG;
		words.at += n;
		if (has_verb)
			commas = take_arguments(&words);
	} while (!has_verb && words.at < words.end && !words.is_odd);
	return words.is_odd ? -E2BIG : 1 + (int)commas;
}

int ros_count_actions(const char *text, size_t length)
{
	struct ros_statement statement;
	struct ros_scan scan;
	int sum = 0, r;

	if (length > LIMIT_JOB_BYTES)
		return -E2BIG;
	ros_scan_init(&scan, text, length);
	while ((r = ros_scan_next(&scan, &statement, NULL)) > 0) {
		r = count_statement(text + statement.start, statement.end - statement.start);
		if (r < 0)
			return r;
		sum += r;
	}
	return r < 0 ? -E2BIG : sum;
}
