/*
 * ros_api against routers that a test scripts: a child process waits for each command in turn and answers with given
 * bytes. A script's '#' stands for the tag of the command that it answers, '~' for a text too long to keep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/router/ros_api.h"
#include "common/clock.h"

/* An errno as text: processors number them differently. */
#define NUMBER(n)  NUMBER_(n)
#define NUMBER_(n) #n

/* --- the router's side ----------------------------------------------------------------------------- */

struct step {
	const char *wants; /* somewhere in the next command; NULL: the end of the connection */
	const char *says;  /* words, each ended by '|'; "" nothing; NULL: it hangs up */
};

static int read_all(int fd, void *bytes, size_t length)
{
	for (size_t at = 0; at < length;) {
		ssize_t got = read(fd, (char *)bytes + at, length - at);

		if (got <= 0)
			return -1;
		at += (size_t)got;
	}
	return 0;
}

/* One command as "word|word|"; words of this test are shorter than 128 bytes. */
static int read_command(int fd, char *text, size_t size, char *tag)
{
	uint8_t length;

	for (size_t at = 0;; at += length + 1u) {
		if (read_all(fd, &length, 1) < 0)
			return -1;
		if (length == 0)
			return 0;
		if (length >= 128 || at + length + 2u > size || read_all(fd, text + at, length) < 0)
			abort();
		memcpy(text + at + length, "|", 2);
		if (strncmp(text + at, ".tag=", 5) == 0)
			snprintf(tag, 16, "%.*s", length - 5, text + at + 5);
	}
}

static void say(int fd, const char *words, const char *tag)
{
	char out[8192];
	size_t length = 0;

	for (const char *end; *words; words = end + 1) {
		char word[4 * LIMIT_ROS_WORD_BYTES] = "";
		size_t at = 0;

		end = strchr(words, '|');
		for (const char *p = words; p < end; p++)
			if (*p == '~')
				at += (size_t)snprintf(word + at, sizeof(word) - at, "%0*d", 2 * LIMIT_ROS_WORD_BYTES, 0);
			else
				at += (size_t)snprintf(word + at, sizeof(word) - at, *p == '#' ? "%s" : "%.1s", *p == '#' ? tag : p);
		length += ros_encode_length((uint32_t)at, (uint8_t *)out + length);
		memcpy(out + length, word, at);
		length += at;
	}
	if (write(fd, out, length) != (ssize_t)length)
		abort();
}

static void play(int listener, const struct step *steps)
{
	char command[1024], tag[16] = "0";

	for (int fd = -1; steps->wants || steps->says; steps++) {
		if (fd < 0)
			fd = accept(listener, NULL, NULL);
		if (read_command(fd, command, sizeof(command), tag) < 0) {
			if (steps->wants)
				_exit(1);
			close(fd);
			fd = -1;
			continue;
		}
		if (!steps->wants || !strstr(command, steps->wants)) {
			fprintf(stderr, "router got: %s, wanted: %s\n", command, steps->wants);
			_exit(1);
		}
		if (steps->says) {
			say(fd, steps->says, tag);
		} else {
			close(fd);
			fd = -1;
		}
	}
	/* Stays, silently, until it is ended. */
	for (;;)
		pause();
}

/* --- our side -------------------------------------------------------------------------------------- */

struct rig {
	struct ev_loop *loop;
	struct ros_api *api;
	pid_t router;
	unsigned opened, lost;
	int64_t retry_ms;
	struct err why;
	char heard[1024]; /* what answers said, in order */
	uint32_t tag;
};

static void hear(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void hear(struct rig *rig, const char *format, ...)
{
	size_t at = strlen(rig->heard);
	va_list args;

	va_start(args, format);
	vsnprintf(rig->heard + at, sizeof(rig->heard) - at, format, args);
	va_end(args);
}

static void on_open(void *arg)
{
	((struct rig *)arg)->opened++;
}

static void on_lost(void *arg, int64_t retry_ms, const struct err *why)
{
	struct rig *rig = arg;

	rig->lost++;
	rig->retry_ms = retry_ms;
	rig->why = *why;
}

static int on_re(void *arg, const struct ros_sentence *sentence)
{
	const char *name = ros_find(sentence, "name");

	hear(arg, "re %s;", name ? name : "?");
	return name && strcmp(name, "enough") == 0 ? -ENOSPC : 0;
}

static int on_bulk(void *arg, const uint8_t *piece, size_t length, bool is_last)
{
	(void)piece;
	(void)length;
	if (is_last)
		hear(arg, "bulk;");
	return 0;
}

static void on_end(void *arg, const struct ros_result *result)
{
	const char *ret = result->done ? ros_find(result->done, "ret") : NULL;

	hear(arg, "end %d/%d %s%s;", result->status, result->category, result->status < 0 ? result->err.text : "",
	     ret ? ret : "");
}

static const struct ros_answer answer = { .on_re = on_re, .on_end = on_end };
static const struct ros_answer long_answer = { on_re, "ret", on_bulk, on_end };

static void start(struct rig *rig, const struct step *steps)
{
	static const struct ros_api_events events = { on_open, on_lost };
	struct ros_api_settings settings = { .name = "r1", .user = "jaga", .password = "secret" };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct err err;

	memset(rig, 0, sizeof(*rig));
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	rig->router = fork();
	assert_true(rig->router >= 0);
	if (rig->router == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		play(listener, steps);
	close(listener);
	assert_int_equal(parse_address("127.0.0.1", ntohs(address.sin_port), &settings.address), 0);
	rig->loop = ev_loop_new(EVFLAG_AUTO);
	assert_non_null(rig->loop);
	assert_int_equal(ros_api_create(rig->loop, &settings, &events, rig, &rig->api, &err), 0);
}

static void stop(struct rig *rig)
{
	int status;

	ros_api_destroy(rig->api);
	ev_loop_destroy(rig->loop);
	kill(rig->router, SIGTERM);
	assert_int_equal(waitpid(rig->router, &status, 0), rig->router);
	assert_true(WIFSIGNALED(status)); /* it got what its script wanted */
}

/* Turns the loop until the condition holds, 20 s at most. */
#define WAIT_FOR(rig, condition)                                             \
	do {                                                                 \
		int64_t end_ms = clock_mono_ms() + 20000;                    \
		ev_timer tick;                                               \
		ev_timer_init(&tick, on_tick, 0.01, 0.01);                   \
		ev_timer_start((rig)->loop, &tick);                          \
		while (!(condition) && clock_mono_ms() < end_ms)             \
			ev_run((rig)->loop, EVRUN_ONCE);                     \
		ev_timer_stop((rig)->loop, &tick);                           \
		if (!(condition))                                            \
			fail_msg("never: %s; heard: %s, why: %s", #condition, \
				 (rig)->heard, (rig)->why.text);             \
	} while (0)

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	(void)loop;
	(void)watcher;
	(void)revents;
}

static int ask_for_much(struct rig *rig, const char *path)
{
	struct err err;

	ros_api_begin(rig->api, path);
	return ros_api_send(rig->api, 5000, &long_answer, rig, NULL, &err);
}

static void ask(struct rig *rig, const char *path, int64_t timeout_ms)
{
	struct err err = { "" };

	ros_put_word(ros_api_begin(rig->api, path), "=.proplist=name");
	assert_int_equal(ros_api_send(rig->api, timeout_ms, &answer, rig, &rig->tag, &err), 0);
}

#define LOGIN { "/login|=name=jaga|=password=secret|", "!done|.tag=#||" }

static void test_login_and_commands(void **state)
{
	static const struct step steps[] = {
		LOGIN,
		{ "/interface/print|=.proplist=name|", "!re|.tag=#|=name=ether1||!re|.tag=#|=name=ether2||!done|.tag=#||" },
		{ "/interface/set|", "!trap|.tag=#|=category=0|=message=no such item||!done|.tag=#||" },
		{ "/execute|", "!done|.tag=#|=ret=*7||" },
		{ "/ip/print|", "!empty|.tag=#||!done|.tag=#||" },
		{ NULL, NULL },
	};
	struct rig rig;

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.opened == 1);
	assert_true(ros_api_is_open(rig.api));
	ask(&rig, "/interface/print", 5000);
	ask(&rig, "/interface/set", 5000);
	ask(&rig, "/execute", 5000);
	ask(&rig, "/ip/print", 5000);
	WAIT_FOR(&rig, strstr(rig.heard, "*7;end 0"));
	assert_string_equal(rig.heard, "re ether1;re ether2;end 0/-1 ;"
				       "end -" NUMBER(EREMOTEIO) "/0 /interface/set: no such item;end 0/-1 *7;end 0/-1 ;");
	assert_int_equal(rig.lost, 0);
	stop(&rig);
}

/* MD5 of a zero byte, the password and the challenge, as versions before 6.43 want it. */
static void test_old_login(void **state)
{
	static const struct step steps[] = {
		{ "/login|=name=jaga|=password=secret|", "!done|.tag=#|=ret=00112233445566778899aabbccddeeff||" },
		{ "/login|=name=jaga|=response=00c17511d224a5e93170632807d36388aa|", "!done|.tag=#||" },
		{ NULL, NULL },
	};
	struct rig rig;

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.opened == 1);
	stop(&rig);
}

static void test_wrong_password(void **state)
{
	static const struct step steps[] = {
		{ "/login|", "!trap|.tag=#|=message=invalid user name or password (6)||!done|.tag=#||" },
		{ NULL, "" },
		LOGIN,
		{ NULL, NULL },
	};
	struct rig rig;

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.lost == 1);
	assert_string_equal(rig.why.text, "router r1: /login: invalid user name or password (6)");
	WAIT_FOR(&rig, rig.opened == 1); /* somebody has mended it */
	stop(&rig);
}

static void test_lost_and_back(void **state)
{
	static const struct step steps[] = {
		LOGIN,
		{ "/slow|", "" },
		{ "/last|", NULL },
		LOGIN,
		{ NULL, NULL },
	};
	struct err err;
	struct rig rig;

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.opened == 1);
	ask(&rig, "/slow", 0);
	ask(&rig, "/last", 5000);
	WAIT_FOR(&rig, rig.lost == 1);
	assert_string_equal(rig.heard, "end -" NUMBER(ECONNRESET) "/-1 /slow: the router closed the connection;"
				       "end -" NUMBER(ECONNRESET) "/-1 /last: the router closed the connection;");
	assert_int_equal(rig.retry_ms, LIMIT_ROS_RETRY_MIN_MS);
	ros_api_begin(rig.api, "/early");
	assert_int_equal(ros_api_send(rig.api, 0, &answer, &rig, NULL, &err), -ENOTCONN);
	assert_string_equal(err.text, "/early: not connected to the router");
	WAIT_FOR(&rig, rig.opened == 2);
	stop(&rig);
}

static void test_cancel(void **state)
{
	static const struct step steps[] = {
		LOGIN,
		{ "/listen|", "!re|.tag=#|=name=a||" },
		{ "/cancel|=tag=2|", "!done|.tag=#||!trap|.tag=2|=category=2|=message=interrupted||!done|.tag=2||" },
		{ "/many|", "!re|.tag=#|=name=enough||!re|.tag=#|=name=more||" },
		{ "/cancel|=tag=3|", "!trap|.tag=3|=category=2||!done|.tag=3||" },
		{ NULL, NULL },
	};
	struct rig rig;

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.opened == 1);
	ask(&rig, "/listen", 0);
	WAIT_FOR(&rig, strstr(rig.heard, "re a;"));
	ros_api_cancel(rig.api, rig.tag);
	ros_api_cancel(rig.api, rig.tag);
	ros_api_cancel(rig.api, 12345);
	WAIT_FOR(&rig, strstr(rig.heard, "end"));
	ask(&rig, "/many", 5000);
	WAIT_FOR(&rig, strstr(rig.heard, "end -28"));
	assert_string_equal(rig.heard, "re a;end -" NUMBER(ECANCELED) "/-1 ;re enough;end -28/-1 ;");
	stop(&rig);
}

/* Each loses the session and nothing else; the next one is opened. */
static void test_routers_that_lie(void **state)
{
	static const struct {
		const char *says, *why, *heard;
	} rows[] = {
		{ "!done|.tag=99||", "router r1: the router answers a command that was not sent", "end -" NUMBER(ECONNRESET) },
		{ "!done|.tag=#||!done|.tag=#||", "router r1: the router answers a command that was not sent", "end 0" },
		{ "!re||", "router r1: the router answers a command that was not sent", "end -" NUMBER(ECONNRESET) },
		{ "!fatal|too many sessions||", "router r1: the router ended the session: too many sessions", "end -" NUMBER(ECONNRESET) },
		{ "nonsense|", "router r1: the API answers with a word that is no reply; is that port the API's?", "end -" NUMBER(ECONNRESET) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct step steps[] = { LOGIN, { "/x|", rows[i].says }, { NULL, "" }, LOGIN, { NULL, NULL } };
		struct rig rig;

		start(&rig, steps);
		WAIT_FOR(&rig, rig.opened == 1);
		ask(&rig, "/x", 5000);
		WAIT_FOR(&rig, rig.lost == 1);
		assert_string_equal(rig.why.text, rows[i].why);
		assert_non_null(strstr(rig.heard, rows[i].heard));
		WAIT_FOR(&rig, rig.opened == 2);
		stop(&rig);
	}
}

/* First, as routers are known to, or last, as the manual prints it. */
static void test_where_the_tag_stands(void **state)
{
	static const struct step steps[] = {
		LOGIN,
		{ "/first|", "!done|.tag=#|=ret=~||" },
		{ "/last|", "!done|=ret=~|.tag=#||" },
		{ "/print|", "!re|=name=a|=comment=~|.tag=#||!done|.tag=#||" },
		{ "/one|", "" },
		{ "/two|", "" },
		{ NULL, NULL },
	};
	struct rig rig;

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.opened == 1);
	assert_int_equal(ask_for_much(&rig, "/first"), 0);
	WAIT_FOR(&rig, strstr(rig.heard, "end"));
	assert_int_equal(ask_for_much(&rig, "/last"), 0);
	ask(&rig, "/print", 5000);
	WAIT_FOR(&rig, strstr(rig.heard, "re a;end"));
	assert_string_equal(rig.heard, "bulk;end 0/-1 ;bulk;end 0/-1 ;re a;end 0/-1 ;");
	assert_int_equal(ask_for_much(&rig, "/one"), 0);
	assert_int_equal(ask_for_much(&rig, "/one"), -EBUSY); /* whose would it be? */
	ask(&rig, "/two", 5000);
	assert_int_equal(rig.lost, 0);
	stop(&rig);
}

/* Two commands wait for a long value before it is known that the router says only behind it whose it is; or it was another's. */
static void test_a_tag_that_comes_too_late(void **state)
{
	static const char *const says[] = { "!done|=ret=~|.tag=#||", "!re|=name=a|=ret=~|.tag=2||!done|.tag=#||" };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const struct step steps[] = { LOGIN, { "/one|", "" }, { "/two|", says[i] }, { NULL, "" }, LOGIN, { NULL, NULL } };
		struct rig rig;

		start(&rig, steps);
		WAIT_FOR(&rig, rig.opened == 1);
		if (i == 0)
			assert_int_equal(ask_for_much(&rig, "/one"), 0);
		else
			ask(&rig, "/one", 5000);
		assert_int_equal(ask_for_much(&rig, "/two"), 0);
		WAIT_FOR(&rig, rig.lost == 1);
		assert_string_equal(rig.why.text, "router r1: the router says too late whose a long value is");
		WAIT_FOR(&rig, rig.opened == 2);
		stop(&rig);
	}
}

/* A part of an answer is no answer. */
static void test_deadline(void **state)
{
	static const struct step steps[] = {
		LOGIN,
		{ "/slow|", "!re|.tag=#|=name=a||!done|.tag=#|" }, /* the empty word never comes */
		{ NULL, "" },
		LOGIN,
		{ NULL, NULL },
	};
	int64_t start_ms;
	struct rig rig;

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.opened == 1);
	start_ms = clock_mono_ms();
	ask(&rig, "/slow", 300);
	WAIT_FOR(&rig, rig.lost == 1);
	assert_true(clock_mono_ms() - start_ms >= 300);
	assert_string_equal(rig.why.text, "router r1: no whole answer to /slow in time");
	assert_string_equal(rig.heard, "re a;end -" NUMBER(ECONNRESET) "/-1 /slow: no whole answer to /slow in time;");
	WAIT_FOR(&rig, rig.opened == 2);
	stop(&rig);
}

static void test_too_much_at_once(void **state)
{
	static const struct step steps[] = { LOGIN, { "/x|", "" }, { NULL, NULL } };
	struct err err;
	struct rig rig;
	char large[LIMIT_ROS_SEND_BYTES];

	(void)state;
	start(&rig, steps);
	WAIT_FOR(&rig, rig.opened == 1);
	ros_put_attribute(ros_api_begin(rig.api, "/big"), "x", large, sizeof(large));
	assert_int_equal(ros_api_send(rig.api, 0, &answer, &rig, NULL, &err), -ENOBUFS);
	for (unsigned i = 0; i < LIMIT_ROS_COMMANDS; i++)
		ask(&rig, "/x", 0);
	ros_api_begin(rig.api, "/x");
	assert_int_equal(ros_api_send(rig.api, 0, &answer, &rig, NULL, &err), -EBUSY);
	stop(&rig);
	assert_non_null(strstr(rig.heard, "end -" NUMBER(ECANCELED))); /* those under way were ended */
}

static void test_nobody_listens(void **state)
{
	static const struct step steps[] = { { NULL, NULL } };
	struct rig rig;

	(void)state;
	start(&rig, steps);
	kill(rig.router, SIGKILL);
	waitpid(rig.router, NULL, 0);
	WAIT_FOR(&rig, rig.lost == 1);
	if (ECONNREFUSED != 111 && strstr(rig.why.text, strerror(111)))
		skip(); /* qemu-user hands out SO_ERROR as this machine numbers it; tests/skips allows that there alone */
	assert_string_equal(rig.why.text, "router r1: connect: Connection refused");
	WAIT_FOR(&rig, rig.lost == 2);
	assert_int_equal(rig.retry_ms, 2 * LIMIT_ROS_RETRY_MIN_MS);
	ros_api_destroy(rig.api);
	ev_loop_destroy(rig.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_login_and_commands),
		cmocka_unit_test(test_old_login),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_lost_and_back),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_routers_that_lie),
		cmocka_unit_test(test_where_the_tag_stands),
		cmocka_unit_test(test_a_tag_that_comes_too_late),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_too_much_at_once),
		cmocka_unit_test(test_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
