/* config: the collector's file: defaults, every field, every error with its line and remedy. */
#include "tests/unit/collector/rig.h"

#include <arpa/inet.h>

#include "collector/config.h"

static char errors[8192];

static int load(const char *text, struct collector_config *ret)
{
	char path[] = "/tmp/jaga-config-XXXXXX";
	int fd = mkstemp(path), r;
	FILE *out = fmemopen(errors, sizeof(errors), "w");

	assert_true(fd >= 0);
	assert_non_null(out);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	errors[0] = '\0';
	r = config_load(path, out, ret);
	fclose(out);
	unlink(path);
	return r;
}

static void test_defaults(void **state)
{
	struct collector_config config;

	(void)state;
	assert_int_equal(load("", &config), 0);
	assert_int_equal(config.listen.family, AF_INET);
	assert_int_equal(config.listen.port, 5684);
	assert_int_equal(config.keepalive_ms, 25000);
	assert_false(config.has_advertise); /* it listens everywhere: nobody knows where that is */
	assert_string_equal(config.store_path, "/var/lib/jaga/collector");
	assert_true(config.store_bytes == 4ull << 30);
	assert_string_equal(config.socket_path, "/run/jaga/collector.sock");
	assert_string_equal(config.socket_group, "");
}

static void test_every_field(void **state)
{
	struct collector_config config;

	(void)state;
	assert_int_equal(load("# comment\n; another\n[collector]\nlisten = 192.0.2.1\n advertise=[2001:db8::1]:99 \r\n"
			      "keepalive = 1m\n[store]\npath = /x\nsize = 16M\n\n[control]\nsocket = /y\ngroup = ops",
			      &config), 0);
	assert_int_equal(config.listen.v4.s_addr, inet_addr("192.0.2.1"));
	assert_int_equal(config.advertise.port, 99);
	assert_int_equal(config.advertise.family, AF_INET6);
	assert_int_equal(config.keepalive_ms, 60000);
	assert_string_equal(config.store_path, "/x");
	assert_int_equal(config.store_bytes, 16 << 20);
	assert_string_equal(config.socket_path, "/y");
	assert_string_equal(config.socket_group, "ops");
	assert_int_equal(load("[collector]\nlisten = 192.0.2.1:7\n", &config), 0);
	assert_true(config.has_advertise);
	assert_int_equal(config.advertise.port, 7);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *wanted;
	} cases[] = {
		{ "listen = 1.2.3.4\n", ":1: listen: stands before any section" },
		{ "nonsense\n", ":1: 'nonsense' is not understood" },
		{ "[collector\n", ":1: '[collector' has no closing ]" },
		{ "[\n", ":1: '[' has no closing ]" },
		{ "[]\n", ":1: []: no such section" },
		{ "\n[nowhere]\nlisten = 1.2.3.4\n", ":2: [nowhere]: no such section; there are" },
		{ "[collector]\nlisten = host.example\n", ":2: [collector] listen: 'host.example' is not understood; use" },
		{ "[collector]\nlisten = 1.2.3.4:70000\n", ":2: [collector] listen: '1.2.3.4:70000' is out of range" },
		{ "[collector]\nlisten = 1.2.3.4\nlisten = 1.2.3.4\n", ":3: [collector] listen: is on line 2 already" },
		{ "[collector]\nkeepalive = 1s\n", ":2: [collector] keepalive: '1s' is out of range" },
		{ "[collector]\nkeepalive = 25\n", "is not understood; use 5s to 5m" },
		{ "[collector]\npath = /x\n", ":2: [collector] path: no such field here; see" },
		{ "[store]\nsize = 4\n", "size: '4' is not understood" },
		{ "[store]\nsize = xG\n", "size: 'xG' is not understood" },
		{ "[store]\nsize = 1M\n", "size: '1M' is out of range" },
		{ "[store]\nsize = 99999999999999G\n", "is out of range" },
		{ "[store]\npath = relative\n", "path: 'relative' is not understood; use an absolute" },
		{ "[store]\npath =\n", "path: '' is not understood" },
		{ "[control]\ngroup = no such\n", "group: 'no such' is not understood" },
	};
	struct collector_config config = { .keepalive_ms = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(load(cases[i].text, &config), -EINVAL);
		if (!strstr(errors, cases[i].wanted))
			fail_msg("case %zu: wanted '%s' in '%s'", i, cases[i].wanted, errors);
		assert_int_equal(config.keepalive_ms, 1); /* untouched */
	}
}

static void test_all_errors_are_told(void **state)
{
	struct collector_config config;
	char text[4096] = "[store]\n", line[300];
	unsigned lines = 0;

	(void)state;
	memset(line, 'x', sizeof(line) - 2);
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	strcat(text, line);
	for (unsigned i = 0; i < 30; i++)
		strcat(text, "bad = 1\n");
	assert_int_equal(load(text, &config), -EINVAL);
	for (const char *at = errors; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, LIMIT_INI_ERRORS + 1);
	assert_non_null(strstr(errors, ":2: the line is longer than"));
	assert_non_null(strstr(errors, ":3: [store] bad")); /* the count of lines went on */
	assert_non_null(strstr(errors, "and 11 more errors"));
}

static void test_missing_file(void **state)
{
	struct collector_config config;

	(void)state;
	assert_int_equal(config_load("/nowhere/at/all", stderr, &config), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_every_field), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_all_errors_are_told), cmocka_unit_test(test_missing_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
