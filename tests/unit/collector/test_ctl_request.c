/* ctl_request: what the control socket takes, and what it refuses with the field's name. */
#include "tests/unit/collector/rig.h"

#include "collector/ctl_request.h"

static int parse(const char *line, struct ctl_request *ret, struct err *err)
{
	err->text[0] = '\0';
	return ctl_request_parse(line, strlen(line), ret, err);
}

static void test_accepted(void **state)
{
	struct ctl_request request;
	struct err err;

	(void)state;
	assert_int_equal(parse("{\"op\":\"devices\"}", &request, &err), 0);
	assert_int_equal(request.op, CTL_DEVICES);
	ctl_request_finish(&request);
	assert_int_equal(parse("{\"op\":\"events\",\"limit\":0,\"follow\":true,\"device\":\"r1\"}\r", &request, &err), 0);
	assert_int_equal(request.limit, 0);
	assert_true(request.follow);
	assert_string_equal(request.device, "r1");
	ctl_request_finish(&request);
	assert_int_equal(parse("{\"op\":\"events\"}", &request, &err), 0);
	assert_int_equal(request.limit, -1);
	ctl_request_finish(&request);
	assert_int_equal(parse("{\"op\":\"push\",\"device\":\"r1\",\"name\":\"a b.sh\",\"script\":\"echo \\u00e4\\n\"}", &request,
			       &err), 0);
	assert_string_equal(request.script, "echo \xc3\xa4\n");
	assert_int_equal(request.script_length, 8);
	assert_string_equal(request.interpreter, ""); /* the device's own */
	assert_true(request.confirm_s == 0 && !request.rollback);
	ctl_request_finish(&request);
	assert_int_equal(parse("{\"op\":\"push\",\"device\":\"r1\",\"name\":\"a.rsc\",\"script\":\"x\",\"confirm_s\":600,"
			       "\"rollback\":\"undo\",\"interpreter\":\"routeros\"}", &request, &err), 0);
	assert_int_equal(request.confirm_s, 600);
	assert_int_equal(request.rollback_length, 4);
	assert_string_equal(request.rollback, "undo");
	assert_string_equal(request.interpreter, "routeros");
	ctl_request_finish(&request);
	assert_int_equal(parse("{\"op\":\"job\",\"job\":\"17\"}", &request, &err), 0);
	assert_int_equal(request.job, 17);
	ctl_request_finish(&request);
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *wanted;
	} cases[] = {
		{ "", "not a JSON object" },
		{ "[]", "not a JSON object" },
		{ "\"devices\"", "not a JSON object" },
		{ "{\"op\":\"devices\"} x", "not a JSON object" },
		{ "{\"op\":\"devices\",\"op\":\"status\"}", "not a JSON object" }, /* twice the same */
		{ "{}", "op: missing" },
		{ "{\"op\":1}", "op: missing" },
		{ "{\"op\":\"explode\"}", "op: 'explode'" },
		{ "{\"op\":\"devices\",\"limit\":1}", "limit: devices takes no" },
		{ "{\"op\":\"show\"}", "device: missing" },
		{ "{\"op\":\"show\",\"device\":7}", "device: wanted" },
		{ "{\"op\":\"show\",\"device\":\"../etc\"}", "device: wanted" },
		{ "{\"op\":\"show\",\"device\":\"a23456789012345678901234567890123\"}", "device: wanted" },
		{ "{\"op\":\"events\",\"limit\":-1}", "limit: wanted" },
		{ "{\"op\":\"events\",\"limit\":10001}", "limit: wanted" },
		{ "{\"op\":\"events\",\"limit\":1.5}", "limit: wanted" },
		{ "{\"op\":\"events\",\"follow\":1}", "follow: wanted" },
		{ "{\"op\":\"cat\",\"device\":\"r\",\"n\":0}", "n: wanted" },
		{ "{\"op\":\"job\",\"job\":\"x\"}", "job: wanted" },
		{ "{\"op\":\"job\",\"job\":17}", "job: wanted" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\"}", "script: missing" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"\"}", "script: wanted" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a/b\",\"script\":\"x\"}", "name: wanted" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\\u001b\",\"script\":\"x\"}", "name: wanted" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"a\\u0000b\"}", "not a JSON object" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"x\",\"confirm_s\":29}", "confirm_s: wanted" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"x\",\"confirm_s\":601}", "confirm_s: wanted" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"x\",\"rollback\":\"\"}", "rollback: wanted" },
		{ "{\"op\":\"jobs\",\"confirm_s\":90}", "confirm_s: jobs takes no" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"x\",\"interpreter\":\"perl\"}", "interpreter: wanted" },
		{ "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"x\",\"not_after_s\":0}", "not_after_s: wanted" },
	};
	struct ctl_request request = { .limit = 77 };
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].line, &request, &err), -EINVAL);
		if (strncmp(err.text, cases[i].wanted, strlen(cases[i].wanted)) != 0)
			fail_msg("%s: wanted '%s', got '%s'", cases[i].line, cases[i].wanted, err.text);
		assert_int_equal(request.limit, 77); /* untouched */
	}
}

static void test_script_of_the_greatest_size(void **state)
{
	size_t size = LIMIT_JOB_BYTES + 200;
	char *line = malloc(size);
	struct ctl_request request;
	struct err err;
	int used;

	(void)state;
	assert_non_null(line);
	used = snprintf(line, size, "{\"op\":\"push\",\"device\":\"r\",\"name\":\"a\",\"script\":\"");
	memset(line + used, 'x', LIMIT_JOB_BYTES + 1);
	strcpy(line + used + LIMIT_JOB_BYTES, "\"}");
	assert_int_equal(parse(line, &request, &err), 0);
	ctl_request_finish(&request);
	strcpy(line + used + LIMIT_JOB_BYTES, "x\"}");
	assert_int_equal(parse(line, &request, &err), -EINVAL);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_script_of_the_greatest_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
