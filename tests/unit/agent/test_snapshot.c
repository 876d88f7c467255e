/* snapshot: when it is taken, what becomes of it, and that a wish during one is never lost. Driver and link are fakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/snapshot.h"

static struct ev_loop *loop;
static struct snapshot snapshot;
static struct {
	unsigned taken, read, offered, finished, troubles;
	bool is_unsettled, begins_when_read;
	int take_result, offer_result;
	router_snapshot_fn *on_done;
	void *done_arg;
	struct snapshot_result result;
	char text[64], trouble[LIMIT_ERR_TEXT];
} fake;

static int take(void *arg, router_snapshot_fn *on_done, void *done_arg, struct err *err)
{
	assert_ptr_equal(arg, &fake);
	fake.taken++;
	fake.on_done = on_done;
	fake.done_arg = done_arg;
	return fake.take_result < 0 ? err_set(err, fake.take_result, "cannot fork") : 0;
}

static int offer(void *arg, const char *text, size_t length)
{
	assert_ptr_equal(arg, &fake);
	fake.offered++;
	snprintf(fake.text, sizeof(fake.text), "%.*s", (int)length, text);
	return fake.offer_result;
}

static void on_finished(void *arg, const struct snapshot_result *result)
{
	assert_ptr_equal(arg, &fake);
	fake.finished++;
	fake.result = *result;
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	assert_ptr_equal(arg, &fake);
	assert_true(level == LOG_LEVEL_ERROR || level == LOG_LEVEL_WARNING);
	fake.troubles++;
	snprintf(fake.trouble, sizeof(fake.trouble), "%s", text);
}

static bool is_unsettled(void *arg)
{
	(void)arg;
	return fake.is_unsettled;
}

static void on_read(void *arg)
{
	assert_ptr_equal(arg, &fake);
	assert_false(snapshot_is_taking(&snapshot));
	fake.read++;
	if (fake.begins_when_read)
		fake.is_unsettled = true;
}

static const struct snapshot_ops ops = { take, offer, on_finished, on_trouble, is_unsettled, on_read };

static int set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	snapshot_init(&snapshot, loop, 3600 * 1000, &ops, &fake);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	snapshot_stop(&snapshot);
	return 0;
}

static void deliver(const char *text)
{
	fake.on_done(fake.done_arg, text, strlen(text), NULL);
}

static void test_a_session_begins_with_one(void **state)
{
	/* SHA-256 of "abc", FIPS 180-4 */
	static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea };

	(void)state;
	assert_int_equal(fake.taken, 0);
	snapshot_on_open(&snapshot);
	assert_int_equal(fake.taken, 1);
	deliver("abc");
	assert_string_equal(fake.text, "abc");
	assert_int_equal(fake.finished, 0);
	snapshot_on_offered(&snapshot, 0, true);
	assert_int_equal(fake.finished, 1);
	assert_int_equal(fake.result.outcome, SNAPSHOT_STORED);
	assert_true(fake.result.has_hash && fake.result.bytes == 3);
	assert_memory_equal(fake.result.hash, abc, sizeof(abc));
	snapshot_request(&snapshot);
	deliver("abc");
	snapshot_on_offered(&snapshot, 0, false);
	assert_int_equal(fake.result.outcome, SNAPSHOT_UNCHANGED);
	snapshot_on_offered(&snapshot, 0, true); /* answers nothing */
	assert_int_equal(fake.finished, 2);
	assert_int_equal(fake.troubles, 0);
}

static void test_a_wish_during_one_makes_another(void **state)
{
	(void)state;
	snapshot_on_open(&snapshot);
	snapshot_request(&snapshot);
	snapshot_request(&snapshot);
	assert_int_equal(fake.taken, 1);
	deliver("old");
	snapshot_request(&snapshot); /* also while it is on its way */
	snapshot_on_offered(&snapshot, 0, true);
	assert_int_equal(fake.finished, 0); /* who asked meanwhile is told of the second one */
	assert_int_equal(fake.taken, 2);
	deliver("new");
	assert_string_equal(fake.text, "new");
	snapshot_on_offered(&snapshot, 0, true);
	assert_int_equal(fake.finished, 1);
	assert_int_equal(fake.taken, 2);
}

static void test_without_a_session(void **state)
{
	(void)state;
	snapshot_request(&snapshot);
	assert_int_equal(fake.taken, 0); /* nobody would look at it */
	snapshot_await(&snapshot);
	deliver("abc");
	assert_int_equal(fake.offered, 0);
	assert_int_equal(fake.result.outcome, SNAPSHOT_NOT_OFFERED);
	snapshot_on_open(&snapshot);
	snapshot_on_closed(&snapshot); /* lost while it is read */
	deliver("abc");
	assert_int_equal(fake.offered, 0);
	assert_int_equal(fake.result.outcome, SNAPSHOT_NOT_OFFERED);
	snapshot_on_open(&snapshot);
	deliver("abc");
	snapshot_on_offered(&snapshot, -ENOTCONN, false); /* lost while it is sent */
	assert_int_equal(fake.result.outcome, SNAPSHOT_NOT_OFFERED);
	assert_int_equal(fake.troubles, 0);
}

/* Read for nobody, and on old RouterOS a file written on the router for each session that is lost at once. */
static void test_a_session_that_is_lost_leaves_nothing_to_read(void **state)
{
	(void)state;
	fake.is_unsettled = true; /* it asks for a job first */
	snapshot_on_open(&snapshot);
	snapshot_on_closed(&snapshot);
	fake.is_unsettled = false;
	snapshot_on_settled(&snapshot);
	assert_int_equal(fake.taken, 0);
	snapshot_await(&snapshot);
	snapshot_on_open(&snapshot); /* wants what is read from now on, and is lost */
	snapshot_on_closed(&snapshot);
	snapshot_await(&snapshot); /* and so does another person */
	deliver("abc");
	assert_true(fake.taken == 2 && fake.finished == 0);
	snapshot_on_open(&snapshot);
	snapshot_on_closed(&snapshot);
	fake.begins_when_read = true;
	deliver("abc");
	assert_true(fake.taken == 2 && fake.finished == 1);
	fake.is_unsettled = false;
	snapshot_on_settled(&snapshot); /* they have been answered */
	assert_int_equal(fake.taken, 2);
	snapshot_on_open(&snapshot);
	assert_int_equal(fake.taken, 3);
}

static void test_failures(void **state)
{
	const struct err error = { "it is larger than 1 MiB" };

	(void)state;
	snapshot_on_open(&snapshot);
	fake.on_done(fake.done_arg, NULL, 0, &error);
	assert_int_equal(fake.result.outcome, SNAPSHOT_FAILED);
	assert_false(fake.result.has_hash);
	assert_string_equal(fake.result.reason, "it is larger than 1 MiB");
	assert_int_equal(fake.troubles, 1);
	snapshot_request(&snapshot);
	fake.on_done(fake.done_arg, NULL, 0, &error);
	assert_int_equal(fake.troubles, 1); /* the same again is not news */
	snapshot_ask(&snapshot);
	fake.on_done(fake.done_arg, NULL, 0, &error);
	assert_int_equal(fake.troubles, 2); /* but an answer to who asks */
	snapshot_request(&snapshot);
	fake.on_done(fake.done_arg, NULL, 0, &error);
	assert_int_equal(fake.troubles, 2);
	fake.take_result = -EAGAIN;
	snapshot_request(&snapshot);
	assert_string_equal(fake.trouble, "cannot fork");
	assert_int_equal(fake.troubles, 3);
	fake.take_result = 0;
	for (unsigned i = 0; i < 2; i++) {
		snapshot_request(&snapshot);
		deliver("abc");
		snapshot_on_offered(&snapshot, -EMSGSIZE, false);
		assert_int_equal(fake.result.outcome, SNAPSHOT_FAILED);
		assert_string_equal(fake.trouble, "the collector refused it: too large");
		assert_int_equal(fake.troubles, 4);
	}
	fake.offer_result = -ENOMEM;
	snapshot_request(&snapshot);
	deliver("abc");
	assert_int_equal(fake.result.outcome, SNAPSHOT_FAILED);
	assert_int_equal(fake.finished, 8);
}

/* There may be a session with the collector and none with the router yet. */
static void test_asked_before_the_router_is_known(void **state)
{
	(void)state;
	fake.take_result = -EAGAIN;
	snapshot_ask(&snapshot);
	assert_int_equal(fake.result.outcome, SNAPSHOT_FAILED);
	assert_string_equal(fake.trouble, "cannot fork");
}

static void test_gaps_are_told_once_for_each_text(void **state)
{
	static const char gap[] = "# --- file /a\nx\n# --- failed: command nft: exit status 1\n# --- failed: file /b: y\n";

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		snapshot_await(&snapshot);
		deliver(gap);
		assert_int_equal(fake.troubles, 1);
		assert_string_equal(fake.trouble, "not in the snapshot: command nft: exit status 1");
	}
	snapshot_await(&snapshot);
	deliver("# --- failed: file /c: no such file\n");
	assert_int_equal(fake.troubles, 2);
	assert_string_equal(fake.trouble, "not in the snapshot: file /c: no such file");
	snapshot_await(&snapshot);
	deliver("a # --- failed: in the middle of a line\n");
	assert_int_equal(fake.troubles, 2);
}

static void on_late(struct ev_loop *l, ev_timer *timer, int revents)
{
	(void)timer;
	(void)revents;
	ev_break(l, EVBREAK_ALL);
}

static void test_interval(void **state)
{
	ev_timer late;

	(void)state;
	snapshot_stop(&snapshot);
	snapshot_init(&snapshot, loop, 10, &ops, &fake);
	ev_timer_init(&late, on_late, 0.1, 0);
	ev_timer_start(loop, &late);
	ev_run(loop, 0);
	assert_int_equal(fake.taken, 0); /* nobody to offer it to */
	snapshot_on_open(&snapshot);
	deliver("abc");
	snapshot_on_offered(&snapshot, 0, true);
	ev_timer_init(&late, on_late, 30, 0);
	ev_timer_start(loop, &late);
	while (fake.taken < 2 && ev_is_active(&late))
		ev_run(loop, EVRUN_ONCE);
	assert_int_equal(fake.taken, 2);
	ev_timer_stop(loop, &late);
}

/* While a script's way back is open, the router's configuration holds it. */
static void test_none_while_a_script_may_be_undone(void **state)
{
	(void)state;
	fake.is_unsettled = true;
	snapshot_on_open(&snapshot);
	assert_int_equal(fake.taken, 0);
	fake.is_unsettled = false;
	snapshot_on_settled(&snapshot);
	assert_int_equal(fake.taken, 1);
	snapshot_on_settled(&snapshot); /* nobody has asked for more */
	fake.is_unsettled = true; /* the next script begins while it is sent */
	snapshot_request(&snapshot);
	deliver("abc");
	snapshot_on_offered(&snapshot, 0, true);
	assert_int_equal(fake.taken, 1);
	assert_true(fake.finished == 1 && fake.result.outcome == SNAPSHOT_STORED); /* not told when the script is done: it is stored */
	fake.is_unsettled = false;
	snapshot_on_settled(&snapshot);
	assert_int_equal(fake.taken, 2);
	deliver("abc");
	snapshot_on_offered(&snapshot, 0, false);
	assert_true(fake.finished == 2 && fake.result.outcome == SNAPSHOT_UNCHANGED);
	snapshot_on_settled(&snapshot);
	assert_int_equal(fake.taken, 2);
}

/* What waits until the router has been read is let go at that moment, and before a snapshot that was asked for since. */
static void test_a_script_goes_before_the_next_one(void **state)
{
	const struct err error = { "the session is lost" };

	(void)state;
	assert_false(snapshot_is_taking(&snapshot));
	snapshot_on_open(&snapshot);
	assert_true(snapshot_is_taking(&snapshot) && fake.read == 0);
	deliver("abc");
	assert_int_equal(fake.read, 1); /* sending it is no matter of the router's */
	snapshot_on_offered(&snapshot, 0, true);
	fake.begins_when_read = true;
	for (unsigned i = 0; i < 2; i++) {
		snapshot_request(&snapshot);
		snapshot_request(&snapshot);
		if (i == 0)
			deliver("abc");
		else
			fake.on_done(fake.done_arg, NULL, 0, &error); /* a router that could not be read is read no more */
		snapshot_on_offered(&snapshot, 0, false);
		assert_true(fake.read == 2 + 2 * i && fake.taken == 2 + 2 * i);
		fake.is_unsettled = false;
		snapshot_on_settled(&snapshot);
		assert_int_equal(fake.taken, 3 + 2 * i);
		deliver("abc");
		snapshot_on_offered(&snapshot, 0, false);
		fake.is_unsettled = false;
	}
	assert_int_equal(fake.finished, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_none_while_a_script_may_be_undone),
		TEST(test_a_script_goes_before_the_next_one),
		TEST(test_a_session_begins_with_one), TEST(test_a_wish_during_one_makes_another),
		TEST(test_without_a_session),	      TEST(test_failures),
		TEST(test_a_session_that_is_lost_leaves_nothing_to_read),
		TEST(test_asked_before_the_router_is_known),
		TEST(test_gaps_are_told_once_for_each_text), TEST(test_interval),
	};

	loop = ev_default_loop(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
