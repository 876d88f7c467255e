/* agent_conf: what `jaga enroll` writes is read by the agent's own parser, with name and address in it. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "collector/cli/agent_conf.h"

static struct agent_config config;

static void load(const char *collector)
{
	char path[] = "/tmp/jaga-test-conf-XXXXXX";
	char *errors = NULL;
	size_t length = 0;
	FILE *error_stream = open_memstream(&errors, &length);
	FILE *out = fdopen(mkstemp(path), "w");
	int r;

	assert_non_null(out);
	assert_non_null(error_stream);
	assert_int_equal(agent_conf_write("berlin-1", collector, out), 0);
	assert_int_equal(fclose(out), 0);
	r = config_load(path, error_stream, &config);
	assert_int_equal(fclose(error_stream), 0);
	unlink(path);
	if (r != 0)
		fail_msg("%s", errors);
	free(errors);
}

static void test_agent_accepts_it(void **state)
{
	(void)state;
	load("[2001:db8::1]:7000");
	assert_string_equal(config.identity, "berlin-1");
	assert_true(config.has_collector);
	assert_int_equal(config.collector.family, AF_INET6);
	assert_int_equal(config.collector.port, 7000);
	assert_true(config.n_uplinks >= 2); /* as an example to fill in */
	assert_false(config.scripts_unsigned); /* never by default */
}

static void test_without_collector(void **state)
{
	(void)state;
	load(NULL);
	assert_string_equal(config.identity, "berlin-1");
	assert_false(config.has_collector);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agent_accepts_it),
		cmocka_unit_test(test_without_collector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
