/*
 * What the RouterOS driver does when it cannot go on in the middle: a script that cannot be sent, a clean-up that the router
 * refuses to tell of, a snapshot whose session is closed by the agent's own end. The last has a router that the test plays:
 * a child process that answers the commands of a large export on version 6, in the order in which they come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/router/routeros_save.h"

#define PATIENCE_S 30

static struct ev_loop *loop;
static struct agent_config config;
static struct router router;
static struct {
	unsigned opened, done, troubles;
	int result;
	bool is_late;
	char trouble[LIMIT_ERR_TEXT];
} seen;

/* --- the driver's events -------------------------------------------------------------------------- */

static void on_open(void *arg)
{
	(void)arg;
	seen.opened++;
}

static void on_lost(void *arg, int64_t retry_ms, const struct err *why)
{
	(void)arg;
	(void)retry_ms;
	(void)why;
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	(void)arg;
	assert_int_equal(level, LOG_LEVEL_WARNING);
	seen.troubles++;
	snprintf(seen.trouble, sizeof(seen.trouble), "%s", text);
}

static void on_done(void *arg, int result, const char *reason)
{
	(void)arg;
	(void)reason;
	seen.done++;
	seen.result = result;
}

static void on_script(void *arg, const struct router_script_result *result)
{
	(void)arg;
	(void)result;
	fail_msg("a script that cannot be sent has ended");
}

static void on_snapshot(void *arg, const char *text, size_t length, const struct err *error)
{
	(void)arg;
	(void)text;
	(void)length;
	(void)error;
	fail_msg("told of a snapshot after it was closed");
}

static void on_late(struct ev_loop *l, ev_timer *timer, int revents)
{
	(void)l;
	(void)timer;
	(void)revents;
	seen.is_late = true;
}

static void run_until(const unsigned *count)
{
	ev_timer late;

	ev_now_update(loop);
	ev_timer_init(&late, on_late, PATIENCE_S, 0);
	ev_timer_start(loop, &late);
	while (*count == 0 && !seen.is_late)
		ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &late);
	assert_false(seen.is_late);
}

/* --- set up --------------------------------------------------------------------------------------- */

static int listen_at(uint16_t *ret_port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
	*ret_port = ntohs(name.sin_port);
	return fd;
}

/* A driver whose session is not open before the loop runs. */
static void open_driver(unsigned major, uint16_t port)
{
	static const struct ros_api_events events = { .on_open = on_open, .on_lost = on_lost };
	char address[32];

	memset(&seen, 0, sizeof(seen));
	snprintf(config.router_name, sizeof(config.router_name), "r1");
	snprintf(config.router_user, sizeof(config.router_user), "jaga");
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(parse_address(address, 0, &config.router), 0);
	router = (struct router){ .loop = loop, .config = &config, .events.on_trouble = on_trouble, .is_ready = true };
	config.tls = CONFIG_TLS_OFF;
	router.model.major = major;
	router.model.minor = 49;
	assert_int_equal(ros_api_create(loop, &(struct ros_api_settings){ .name = "r1", .user = "jaga", .address = config.router },
					&events, &router, &router.api, NULL), 0);
}

static void close_driver(void)
{
	routeros_save_close(&router);
	routeros_script_close(&router);
	routeros_snapshot_close(&router);
	ros_api_destroy(router.api);
	routeros_save_free(&router);
	routeros_script_free(&router);
}

/* --- scripts -------------------------------------------------------------------------------------- */

/* The save point stands, and nothing was done since: taking it away is enough, and the router does not reboot for it. */
static void test_a_script_that_never_left_is_not_undone(void **state)
{
	static const char script[] = "/system identity set name=x";
	struct err err = { "" };

	(void)state;
	open_driver(7, 9);
	router.saved.script_ms = 1000;
	assert_int_equal(routeros_run_script(&router, "j-7", "routeros", script, sizeof(script) - 1, 1000, on_script, NULL, &err), -ENOTCONN);
	assert_null(router.script_job);
	assert_false(router.saved.is_touched);
	assert_int_equal(routeros_roll_back(&router, "j-7", on_done, NULL, &err), 0);
	assert_int_equal(router.save_job->step, SAVE_REMOVE);
	close_driver();

	open_driver(7, 9);
	router.saved.script_ms = 1000;
	router.saved.is_touched = true; /* one that did */
	assert_int_equal(routeros_roll_back(&router, "j-7", on_done, NULL, &err), 0);
	assert_int_equal(router.save_job->step, SAVE_LOOK);
	close_driver();
}

/* -EPROTO: it was carried out, and the router does not say how it ended (its user may not read variables): nor would it next time. */
static void test_a_clean_up_that_the_router_refuses_is_told(void **state)
{
	static const struct {
		int status;
		bool has_ended, is_told;
	} rows[] = {
		{ 0, true, false }, { -EREMOTEIO, true, true }, { -EPROTO, true, true },
		{ -ECONNRESET, false, false }, /* it is not known, and tried again */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ros_outcome outcome = { .status = rows[i].status, .why = { "not enough permissions (9)" } };
		struct err err = { "" };

		open_driver(7, 9);
		assert_int_equal(routeros_roll_back(&router, "j-7", on_done, NULL, &err), 0);
		router.save_job->step = SAVE_REMOVE;
		router.save_job->result = -EIO;
		routeros_undo_on_removed(router.save_job, &outcome);
		assert_int_equal(seen.done, rows[i].has_ended);
		assert_int_equal(seen.result, rows[i].has_ended ? -EIO : 0);
		assert_int_equal(seen.troubles, rows[i].is_told);
		if (rows[i].is_told)
			assert_string_equal(seen.trouble, "router r1 keeps jaga-j-7, which is of no use any more: not enough permissions (9)");
		assert_int_equal(router.save_job != NULL, !rows[i].has_ended);
		close_driver();
	}
}

/* --- a snapshot ----------------------------------------------------------------------------------- */

/* One command, whose words are shorter than 128 bytes. */
static void hear(int fd)
{
	uint8_t length;
	char byte;

	while (read(fd, &length, 1) == 1) {
		if (length == 0)
			return;
		while (length-- > 0 && read(fd, &byte, 1) == 1)
			;
	}
	_exit(1);
}

static void say(int fd, const char *const words[])
{
	for (; *words; words++) {
		uint8_t length = (uint8_t)strlen(*words);

		if (write(fd, &length, 1) != 1 || write(fd, *words, length) != length)
			_exit(1);
	}
	if (write(fd, "", 1) != 1)
		_exit(1);
}

/* Nothing follows the row of its FTP service; `told` closes when that is on its way. */
static void play(int listener, int told, const char *port)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		_exit(1);
	hear(fd); /* /login */
	say(fd, (const char *const[]){ "!done", ".tag=1", NULL });
	hear(fd); /* /export file= */
	say(fd, (const char *const[]){ "!done", ".tag=2", NULL });
	hear(fd); /* /file/print */
	say(fd, (const char *const[]){ "!re", ".tag=3", "=.id=*1", "=size=5000", NULL });
	say(fd, (const char *const[]){ "!done", ".tag=3", NULL });
	hear(fd); /* /ip/service/print */
	say(fd, (const char *const[]){ "!re", ".tag=4", port, "=disabled=false", NULL });
	close(told);
	for (;;)
		pause();
}

static void on_told(struct ev_loop *l, ev_io *watcher, int revents)
{
	(void)revents;
	ev_io_stop(l, watcher);
	*(unsigned *)watcher->data = 1;
}

static void test_no_file_is_fetched_over_a_session_that_is_closed(void **state)
{
	uint16_t api_port, ftp_port;
	int api = listen_at(&api_port), ftp = listen_at(&ftp_port), told[2], status;
	unsigned is_told = 0;
	char row[32];
	ev_io watcher;
	pid_t peer;

	(void)state;
	assert_int_equal(pipe(told), 0);
	snprintf(row, sizeof(row), "=port=%u", ftp_port);
	peer = fork();
	if (peer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(told[0]);
		if (fcntl(api, F_SETFL, 0) < 0)
			_exit(1);
		play(api, told[1], row);
	}
	close(told[1]);
	open_driver(6, api_port);
	run_until(&seen.opened);
	assert_int_equal(routeros_snapshot(&router, on_snapshot, NULL, NULL), 0);
	ev_io_init(&watcher, on_told, told[0], EV_READ);
	watcher.data = &is_told;
	ev_io_start(loop, &watcher);
	run_until(&is_told);
	for (unsigned i = 0; i < 10; i++) /* the row is there, and is read */
		ev_run(loop, EVRUN_NOWAIT);
	assert_non_null(router.snapshot_job);
	close_driver();
	assert_null(router.snapshot_job);
	assert_int_equal(accept(ftp, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(kill(peer, SIGKILL), 0);
	assert_true(waitpid(peer, &status, 0) == peer && WIFSIGNALED(status));
	close(told[0]);
	close(ftp);
	close(api);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_script_that_never_left_is_not_undone),
		cmocka_unit_test(test_a_clean_up_that_the_router_refuses_is_told),
		cmocka_unit_test(test_no_file_is_fetched_over_a_session_that_is_closed),
	};

	loop = ev_default_loop(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
