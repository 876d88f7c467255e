/*
 * routeros_modem: modems are asked one after the other, and one that does not answer keeps nobody waiting for long. The
 * session with the router is a fake that remembers the question.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/routeros.h"
#include "agent/router/routeros_modem.h"
#include "common/buf.h"

/* --- fakes: the session, and what the driver does for its files ---------------------------------------- */

static struct {
	char words[512]; /* of the last question, as the codec writes them */
	struct buf out;
	const struct ros_answer *answer; /* NULL: nothing is asked */
	void *arg;
	int send_result;
	unsigned sent, cancelled, troubles;
} api;

struct buf *ros_api_begin(struct ros_api *unused, const char *path)
{
	(void)unused;
	buf_init(&api.out, api.words, sizeof(api.words));
	ros_put_word(&api.out, path);
	return &api.out;
}

int ros_api_send(struct ros_api *unused, int64_t timeout_ms, const struct ros_answer *answer, void *arg, uint32_t *ret_tag,
		 struct err *err)
{
	(void)unused;
	assert_null(api.answer); /* one at a time */
	assert_int_equal(timeout_ms, 0);
	if (api.send_result < 0)
		return err_set(err, api.send_result, "no session");
	api.answer = answer;
	api.arg = arg;
	*ret_tag = 40 + ++api.sent;
	return 0;
}

void ros_api_cancel(struct ros_api *unused, uint32_t tag)
{
	(void)unused;
	assert_int_equal(tag, 40 + api.sent);
	api.cancelled++;
}

void routeros_trouble(struct router *router, enum log_level level, const char *format, ...)
{
	(void)router;
	(void)format;
	assert_int_equal(level, LOG_LEVEL_WARNING);
	api.troubles++;
}

void routeros_copy(char *ret_text, size_t size, const char *text)
{
	snprintf(ret_text, size, "%s", text);
}

/* --- helpers ----------------------------------------------------------------------------------------- */

static struct router router;
static struct ros_watch *watch;
static struct routeros_modems modems;
static unsigned n_asked, n_whole;

static void on_change(void *arg, const struct router_change *change)
{
	(void)arg;
	(void)change;
}

static void on_asked(void *arg, bool is_whole)
{
	assert_ptr_equal(arg, &modems);
	n_asked++;
	n_whole += is_whole;
}

static int set_up(void **state)
{
	(void)state;
	memset(&api, 0, sizeof(api));
	n_asked = n_whole = 0;
	router.loop = ev_default_loop(0);
	router.model.major = 7;
	assert_int_equal(ros_watch_create(on_change, NULL, &watch), 0);
	routeros_modems_init(&modems, &router, watch, on_asked, &modems);
	routeros_modems_begin(&modems);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ev_timer_stop(router.loop, &modems.patience);
	ros_watch_destroy(watch);
	return 0;
}

static void take(const char *id, const char *name, const char *disabled)
{
	const struct ros_sentence row = { .reply = ROS_RE,
					  .count = 3,
					  .attributes = { { ".id", id, strlen(id) },
							  { "name", name, strlen(name) },
							  { "disabled", disabled, strlen(disabled) } } };

	routeros_modems_take(&modems, &row);
}

static void end(int status)
{
	const struct ros_answer *answer = api.answer;
	struct ros_result result = { .status = status, .err = { "input does not match any value" } };

	assert_non_null(answer);
	api.answer = NULL;
	answer->on_end(api.arg, &result);
}

static void answer(const char *carrier, const char *rsrp)
{
	const struct ros_sentence row = { .reply = ROS_RE,
					  .count = 3,
					  .attributes = { { "registration-status", "registered", 10 },
							  { "current-operator", carrier, strlen(carrier) },
							  { "rsrp", rsrp, strlen(rsrp) } } };

	assert_int_equal(api.answer->on_re(api.arg, &row), 0);
	end(0);
}

/* Is the modem of this name the one that is asked now? */
static bool is_asked(const char *path, const char *word)
{
	return api.answer && memcmp(api.words + 1, path, strlen(path)) == 0 &&
	       memmem(api.words, api.out.length, word, strlen(word)) != NULL;
}

/* --- tests ------------------------------------------------------------------------------------------- */

static void test_one_after_the_other(void **state)
{
	struct router_thing thing = { .watch = ROUTER_WATCH_LTE, .name = "lte2" };

	(void)state;
	take("*1", "lte1", "false");
	take("*2", "off", "true");
	take("*3", "off6", "yes");
	take("*4", "lte2", "no");
	routeros_modems_ask(&modems);
	assert_true(is_asked("/interface/lte/monitor", "=numbers=lte1"));
	answer("Op", "-95dBm");
	assert_true(is_asked("/interface/lte/monitor", "=numbers=lte2"));
	assert_int_equal(n_asked, 0);
	answer("Other", "-101");
	assert_true(n_asked == 1 && n_whole == 1);
	assert_int_equal(api.sent, 2);
	assert_int_equal(ros_watch_count(watch, ROUTER_WATCH_LTE), 2);
	routeros_modems_add_signal(&modems, &thing);
	assert_string_equal(thing.carrier, "Other");
	assert_int_equal(thing.rsrp_dbm, -101);
}

static void test_version_6_asks_otherwise(void **state)
{
	(void)state;
	router.model.major = 6;
	take("*1", "lte1", "false");
	routeros_modems_ask(&modems);
	assert_true(is_asked("/interface/lte/info", "=number=lte1"));
}

static void test_none(void **state)
{
	(void)state;
	routeros_modems_ask(&modems);
	assert_true(n_asked == 1 && n_whole == 1 && api.sent == 0);
}

/* A reading in which one was silent is not whole: what is not in it is not gone. */
static void test_one_is_silent(void **state)
{
	(void)state;
	take("*1", "lte1", "false");
	take("*2", "lte2", "false");
	routeros_modems_ask(&modems);
	assert_true(ev_timer_remaining(router.loop, &modems.patience) > LIMIT_WATCH_MODEM_MS / 1000 - 1);
	ev_feed_event(router.loop, &modems.patience, EV_TIMER); /* the time has passed */
	ev_run(router.loop, EVRUN_NOWAIT);
	assert_int_equal(api.cancelled, 1);
	end(-ECANCELED);
	assert_true(is_asked("/interface/lte/monitor", "=numbers=lte2"));
	answer("Op", "-95");
	assert_true(n_asked == 1 && n_whole == 0 && api.troubles == 0);
	assert_false(ev_is_active(&modems.patience));
}

static void test_one_refuses(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		routeros_modems_begin(&modems);
		take("*1", "lte1", "false");
		routeros_modems_ask(&modems);
		end(-EREMOTEIO);
	}
	assert_true(n_asked == 2 && n_whole == 0);
	assert_int_equal(api.troubles, 1); /* once for ever */
}

/* The next session begins anew: nobody is told. */
static void test_the_session_is_lost(void **state)
{
	(void)state;
	take("*1", "lte1", "false");
	routeros_modems_ask(&modems);
	end(-ECONNRESET);
	assert_int_equal(n_asked, 0);
	assert_false(ev_is_active(&modems.patience));
	api.send_result = -ENOTCONN;
	routeros_modems_begin(&modems);
	take("*1", "lte1", "false");
	routeros_modems_ask(&modems);
	assert_true(n_asked == 1 && n_whole == 0);
}

static void test_no_more_than_there_is_room_for(void **state)
{
	char id[8], name[8];

	(void)state;
	for (unsigned i = 0; i < LIMIT_WATCH_MODEMS + 1; i++) {
		snprintf(id, sizeof(id), "*%u", i + 1);
		snprintf(name, sizeof(name), "lte%u", i + 1);
		take(id, name, "false");
	}
	routeros_modems_ask(&modems);
	for (unsigned i = 0; i < LIMIT_WATCH_MODEMS; i++)
		answer("Op", "-95");
	assert_int_equal(api.sent, LIMIT_WATCH_MODEMS);
	assert_int_equal(n_asked, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_one_after_the_other),
		TEST(test_version_6_asks_otherwise),
		TEST(test_none),
		TEST(test_one_is_silent),
		TEST(test_one_refuses),
		TEST(test_the_session_is_lost),
		TEST(test_no_more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
