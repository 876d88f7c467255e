/* ros_way_back: what the router is given before, and to keep or take away a save point. That it works is tests/e2e's to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/router/ros_way_back.h"
#include "common/limits.h"

static char space[LIMIT_ROS_EXECUTE_BYTES];

static const char *prepare(const struct ros_way_back *way)
{
	struct buf out;

	buf_init(&out, space, sizeof(space));
	ros_put_prepare(&out, way);
	assert_false(out.failed);
	return space;
}

static void expect(const char *text, const char *part, bool is_there)
{
	if ((strstr(text, part) != NULL) != is_there)
		fail_msg("%s: \"%s\" in\n%s", is_there ? "missing" : "not wanted", part, text);
}

static void test_prepare(void **state)
{
	static const struct {
		bool is_small, has_device_mode;
		const char *rollback;
		const char *comment;
		bool has_backup, is_refused, may_be_alone;
	} rows[] = {
		{ false, false, NULL, ROS_WAY_BACK, true, false, false },
		{ false, true, NULL, ROS_WAY_BACK, true, true, false },
		{ true, true, NULL, ROS_UNCHANGED, true, false, true },
		{ false, false, "/x", ROS_ROLLBACK, false, false, false },
		{ false, true, "/x", ROS_ROLLBACK, false, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = prepare(&(struct ros_way_back){ .name = "jaga-7", .password = rows[i].rollback ? NULL : "secret",
			.rollback = rows[i].rollback, .rollback_length = rows[i].rollback ? 2 : 0, .wait_s = 77,
			.is_small = rows[i].is_small, .has_device_mode = rows[i].has_device_mode });
		char added[128] = "/system scheduler add name=\"jaga-7\" comment=\"";

		strcat(added, rows[i].comment);
		expect(text, added, true);
		expect(text, "jagaNow [:totime \\\"\" . $now . \"\\\"]", true); /* as the router writes it: 1w2d03:04:05 */
		expect(text, "jagaEnd [:totime \\\"\" . ($now + 77s) . \"\\\"]", true);
		expect(text, "/system backup save name=$file password=secret\n", rows[i].has_backup);
		expect(text, "/system backup load password=secret name=", rows[i].has_backup);
		expect(text, ":error \"device-mode", rows[i].is_refused);
		expect(text, ":set alone true", rows[i].may_be_alone);
		expect(text, "device-mode get", rows[i].has_device_mode); /* older versions would not read the rest either */
	}
}

/* What the author wrote is one string, whatever is in it; and what follows it is not part of a comment at its end. */
static void test_rollback(void **state)
{
	static const char rollback[] = "/a set b=\"$c\"\n# the end";
	const char *text;

	(void)state;
	text = prepare(&(struct ros_way_back){ .name = "jaga-7", .rollback = rollback, .rollback_length = strlen(rollback) });
	expect(text, "(\"/a set b=\\\"\\$c\\\"\\n# the end\" . \"\\r\\n/system scheduler set [find name=\\\"jaga-7\\\"] disabled=yes", true);
}

static void test_length(void **state)
{
	static char rollback[LIMIT_ROS_EXECUTE_BYTES], name[LIMIT_NAME + 8];
	struct ros_way_back way = { .name = name, .rollback = rollback, .wait_s = UINT32_MAX };
	struct buf out;

	(void)state;
	memset(rollback, 'x', sizeof(rollback));
	memset(name, 'n', sizeof(name) - 1);
	way.rollback_length = sizeof(rollback) - 4000;
	prepare(&way);
	way.rollback_length = sizeof(rollback) - 100;
	buf_init(&out, space, sizeof(space));
	ros_put_prepare(&out, &way);
	assert_true(out.failed);
}

/* A power cut between the two must leave what says the truth: an item without its file was being taken away. */
static void test_remove_and_keep(void **state)
{
	struct buf out;
	const char *check;

	(void)state;
	buf_init(&out, space, sizeof(space));
	ros_put_remove(&out, "jaga-7");
	assert_string_equal(space, "/file remove [find name=\"jaga-7.backup\"]\n"
				   "/file remove [find name=\"flash/jaga-7.backup\"]\n"
				   "/system scheduler remove [find name=\"jaga-7\"]\n"
				   "/system script remove [find name=\"jaga-7\"]\n");
	buf_init(&out, space, sizeof(space));
	ros_put_keep(&out, "jaga-7");
	check = strstr(space, ":error");
	assert_non_null(check);
	assert_true(check < strstr(space, "/file remove"));
	expect(space, ROS_UNCHANGED, false);
	expect(space, ROS_GO_BACK, false);
	expect(space, ROS_WAY_BACK, true);
	expect(space, ROS_ROLLBACK, true);
}

static void test_mark(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, space, sizeof(space));
	ros_put_mark(&out, "jaga-7");
	expect(space, "[/system scheduler find name=\"jaga-7\"] do={ /system scheduler set $i comment=\"" ROS_WAY_BACK "\" }", true);
	expect(space, "[/system script find name=\"jaga-7\"] do={ /system script set $i comment=\"" ROS_WAY_BACK "\" }", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_remove_and_keep),
		cmocka_unit_test(test_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
