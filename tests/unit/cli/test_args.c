/* args: command lines that people type, right and wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/args.h"
#include "collector/cli/client.h"

static const struct command *const commands[] = {
	&command_events, &command_diff, &command_push, &command_devices, &command_show, NULL,
};

static struct invocation invocation;
static struct failure failure;

static int parse(const char *line)
{
	static char copy[256];
	char *argv[16]; /* '' is a word of its own, and empty */
	int argc = 0;

	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word && argc < 15; word = strtok(NULL, " "))
		argv[argc++] = strcmp(word, "''") == 0 ? (char *)"" : word;
	argv[argc] = NULL;
	memset(&failure, 0, sizeof(failure));
	return args_parse(commands, argc, argv, &invocation, &failure);
}

static void test_commands_and_operands(void **state)
{
	(void)state;
	assert_int_equal(parse("jaga devices"), ARGS_RUN);
	assert_ptr_equal(invocation.command, &command_devices);
	assert_int_equal(invocation.n_operands, 0);
	assert_string_equal(invocation.socket_path, CLIENT_DEFAULT_SOCKET);
	assert_int_equal(parse("jaga diff rtr1 3 5"), ARGS_RUN);
	assert_int_equal(invocation.n_operands, 3);
	assert_string_equal(invocation.operands[0], "rtr1");
	assert_string_equal(invocation.operands[2], "5");
}

static void test_options_anywhere(void **state)
{
	(void)state;
	assert_int_equal(parse("jaga --json --socket /tmp/s events --limit 7 -d rtr1 -f"), ARGS_RUN);
	assert_int_equal(invocation.format, RENDER_JSON);
	assert_string_equal(invocation.socket_path, "/tmp/s");
	assert_string_equal(invocation_value(&invocation, "limit"), "7");
	assert_string_equal(invocation_value(&invocation, "device"), "rtr1");
	assert_non_null(invocation_value(&invocation, "follow"));
	assert_int_equal(parse("jaga push rtr1 --wait file --kv --expires=2h --no-color"), ARGS_RUN);
	assert_int_equal(invocation.format, RENDER_KV);
	assert_true(invocation.no_colour);
	assert_string_equal(invocation.operands[1], "file");
	assert_string_equal(invocation_value(&invocation, "expires"), "2h");
	assert_int_equal(parse("jaga push -- rtr1 --odd-file"), ARGS_RUN);
	assert_string_equal(invocation.operands[1], "--odd-file");
	assert_null(invocation_value(&invocation, "wait"));
}

static void test_help_and_version(void **state)
{
	(void)state;
	assert_int_equal(parse("jaga --help"), ARGS_HELP);
	assert_null(invocation.command);
	assert_int_equal(parse("jaga help"), ARGS_HELP);
	assert_int_equal(parse("jaga help diff"), ARGS_HELP);
	assert_ptr_equal(invocation.command, &command_diff);
	assert_int_equal(parse("jaga diff -h"), ARGS_HELP); /* although DEVICE is missing */
	assert_ptr_equal(invocation.command, &command_diff);
	assert_int_equal(parse("jaga -V"), ARGS_VERSION);
	assert_int_equal(parse("jaga diff --version"), ARGS_VERSION);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *line, *what, *next;
	} cases[] = {
		{ "jaga", "no command", "`jaga --help`" },
		{ "jaga devcies", "unknown command devcies", "did you mean `jaga devices`?" },
		{ "jaga frobnicate", "unknown command frobnicate", "`jaga --help`" },
		{ "jaga help devcies", "unknown command devcies", "`jaga devices`" },
		{ "jaga devices --jsno", "unknown option --jsno", "did you mean --json?" },
		{ "jaga --jsno devices", "unknown option --jsno", "did you mean --json?" },
		{ "jaga events --flow=3", "unknown option --flow=3", "`jaga events --help`" },
		{ "jaga events --folow", "unknown option --folow", "did you mean --follow?" },
		{ "jaga events -x", "unknown option -x", "`jaga events --help`" },
		{ "jaga events --limit", "no value after --limit", "`jaga events --help`" },
		{ "jaga --socket", "no value after --socket", "`jaga --help`" },
		{ "jaga show", "too few arguments to show", "`jaga show DEVICE`" },
		{ "jaga show a b", "\"b\"", "`jaga show DEVICE`" },
		{ "jaga diff a 1 2 3 4 5 6", "\"3\"", "`jaga diff DEVICE [A [B]]`" },
		{ "jaga show ''", "argument 1 of show is empty", "`jaga show DEVICE`" },
		{ "jaga push rtr1 ''", "argument 2 of push is empty", "`jaga push" },
		{ "jaga events --kind ''", "the value is empty of --kind", "`jaga events --help`" },
		{ "jaga --socket '' devices", "the value is empty of --socket", "`jaga --help`" },
		{ "jaga devices --json --kv", "--json and --kv", "`jaga devices --help`" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].line), -EINVAL);
		if (!strstr(failure.what, cases[i].what) || !strstr(failure.next, cases[i].next))
			fail_msg("%s: \"%s\" / \"%s\"", cases[i].line, failure.what, failure.next);
	}
}

static void test_environment(void **state)
{
	(void)state;
	setenv("JAGA_SOCKET", "/tmp/other", 1);
	assert_int_equal(parse("jaga devices"), ARGS_RUN);
	assert_string_equal(invocation.socket_path, "/tmp/other");
	assert_int_equal(parse("jaga devices --socket /tmp/first"), ARGS_RUN);
	assert_string_equal(invocation.socket_path, "/tmp/first");
	setenv("JAGA_SOCKET", "", 1);
	assert_int_equal(parse("jaga devices"), ARGS_RUN);
	assert_string_equal(invocation.socket_path, CLIENT_DEFAULT_SOCKET);
	unsetenv("JAGA_SOCKET");
}

static void test_statuses(void **state)
{
	(void)state;
	assert_int_equal(failure_status(0), EXIT_STATUS_OK);
	assert_int_equal(failure_status(-EIO), EXIT_STATUS_FAILED);
	assert_int_equal(failure_status(-EEXIST), EXIT_STATUS_FAILED);
	assert_int_equal(failure_status(-EINVAL), EXIT_STATUS_USAGE);
	assert_int_equal(failure_status(-ENOENT), EXIT_STATUS_NOT_FOUND);
	assert_int_equal(failure_status(-ECONNREFUSED), EXIT_STATUS_UNREACHABLE);
	assert_int_equal(failure_status(-EBUSY), EXIT_STATUS_OFFLINE);
	assert_int_equal(failure_status(-ETIMEDOUT), EXIT_STATUS_OFFLINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands_and_operands),
		cmocka_unit_test(test_options_anywhere),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_statuses),
	};

	unsetenv("JAGA_SOCKET");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
