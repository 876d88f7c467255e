/*
 * ros_ftp against routers that are broken or hostile: a child process plays each, from one row of a table. A reply's '@' stands
 * for the port of the data connection, as PASV writes it.
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

#include "agent/router/ros_ftp.h"
#include "common/clock.h"

#define FILE_TEXT "/ip address\nadd address=10.0.0.1/24\n"
#define FILE_SIZE (sizeof(FILE_TEXT) - 1)
#define TEN_KB	  10240
#define LONG_MS	  20000
#define SHORT_MS  300

/* What else a router does in a reply's place. */
#define HANGS_UP "hangs up"
#define RESETS	 "resets"
#define SILENT	 "silent"
#define FOR_EVER "for ever" /* "230-more" */
#define NO_LINE	 "no line"  /* one that does not end */

/* How the file's connection goes. LEAVES: with the control connection; EARLY: it has ended at both ends before 150. */
enum data { CLOSES, STAYS, BREAKS, DRIPS, LEAVES, EARLY, ABSENT };

struct row {
	const char *name;
	const char *greeting, *user, *pass, *type, *passive, *retr, *end; /* NULL: as it should be */
	enum data how;
	const char *text; /* NULL: FILE_TEXT */
	int64_t timeout_ms; /* 0: LONG_MS */
	const char *why;  /* begins so; NULL: the file came */
};

/* --- the router's side ------------------------------------------------------------------------------- */

/* Exit codes of a router that did not get what it should. */
enum { EXIT_COMMAND = 2, EXIT_ELSEWHERE };

static int listen_at(const char *address, uint16_t port, uint16_t *ret_port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
	socklen_t length = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &name.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&name, &length) < 0)
		abort();
	if (ret_port)
		*ret_port = ntohs(name.sin_port);
	return fd;
}

static void reset(int fd)
{
	static const struct linger at_once = { .l_onoff = 1 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) < 0)
		abort();
	close(fd);
}

/* The agent has gone: whether that is right it says itself. */
static void put(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t sent = write(fd, text, length);

		if (sent <= 0)
			_exit(0);
		text += sent;
		length -= (size_t)sent;
	}
}

static void wait_for_the_end(int fd)
{
	char byte;

	while (read(fd, &byte, 1) == 1)
		;
	_exit(0);
}

static void say(int fd, const char *reply, const char *fallback, uint16_t data_port)
{
	char out[2 * TEN_KB + 100];
	size_t length = 0;

	if (!reply)
		reply = fallback;
	if (strcmp(reply, HANGS_UP) == 0)
		_exit(0);
	if (strcmp(reply, RESETS) == 0) {
		reset(fd);
		_exit(0);
	}
	if (strcmp(reply, SILENT) == 0)
		wait_for_the_end(fd);
	while (strcmp(reply, FOR_EVER) == 0)
		put(fd, "230-more\r\n", 10);
	while (strcmp(reply, NO_LINE) == 0)
		put(fd, "230", 3);
	for (; *reply; reply++) {
		if (*reply == '@')
			length += (size_t)snprintf(out + length, sizeof(out) - length, "%d,%d", data_port / 256, data_port % 256);
		else
			out[length++] = *reply;
	}
	put(fd, out, length);
}

/* One line, which must be this. */
static void want(int fd, const char *wanted)
{
	char line[512];
	size_t length = 0;

	do {
		if (read(fd, line + length, 1) != 1)
			_exit(0);
	} while (line[length++] != '\n' && length < sizeof(line) - 1);
	line[length] = '\0';
	if (strncmp(line, wanted, strlen(wanted)) != 0 || strcmp(line + strlen(wanted), "\r\n") != 0) {
		fprintf(stderr, "router got: %s, wanted: %s\n", line, wanted);
		_exit(EXIT_COMMAND);
	}
}

/* A byte a second, where a second is 20 ms and the deadline as much shorter. */
static void drip(int fd, const char *text)
{
	for (; *text; text++) {
		put(fd, text, 1);
		usleep(20000); /* what this router does, not what the test waits for */
	}
}

static void give(int listener, const struct row *row)
{
	const char *text = row->text ? row->text : FILE_TEXT;
	char byte;
	int fd;

	if (row->how == ABSENT)
		return;
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		abort();
	if (row->how == DRIPS)
		drip(fd, text);
	else
		put(fd, text, strlen(text));
	if (row->how == BREAKS)
		reset(fd);
	else if (row->how == CLOSES || row->how == DRIPS)
		close(fd);
	else if (row->how == EARLY && (shutdown(fd, SHUT_WR) < 0 || read(fd, &byte, 1) != 0))
		abort();
	/* The rest leave it open until they end. */
}

static void play(int listener, const struct row *row)
{
	uint16_t port;
	int data = listen_at("127.0.0.1", 0, &port), elsewhere = listen_at("127.0.0.2", port, NULL);
	int fd = accept(listener, NULL, NULL);

	signal(SIGPIPE, SIG_IGN);
	if (fd < 0 || fcntl(elsewhere, F_SETFL, O_NONBLOCK) < 0)
		abort();
	if (row->how == ABSENT)
		close(data);
	say(fd, row->greeting, "220 MikroTik FTP server (MikroTik 6.49.10) ready\r\n", 0);
	want(fd, "USER ja ga");
	say(fd, row->user, "331 Password required for jaga\r\n", 0);
	if (!row->user || row->user[0] != '2') {
		want(fd, "PASS se cret");
		say(fd, row->pass, "230 User jaga logged in\r\n", 0);
	}
	want(fd, "TYPE I");
	say(fd, row->type, "200 Type set to I\r\n", 0);
	want(fd, "PASV");
	say(fd, row->passive, "227 Entering Passive Mode (127,0,0,1,@)\r\n", port);
	want(fd, "RETR jaga-snapshot.rsc");
	if (accept(elsewhere, NULL, NULL) >= 0)
		_exit(EXIT_ELSEWHERE);
	if (row->how == EARLY)
		give(data, row);
	say(fd, row->retr, "150 Opening BINARY mode data connection\r\n", 0);
	if (row->how != EARLY)
		give(data, row);
	if (row->how == LEAVES)
		_exit(0);
	say(fd, row->end, "226 BINARY transfer complete\r\n", 0);
	wait_for_the_end(fd);
}

/* --- our side ------------------------------------------------------------------------------------------ */

struct rig {
	struct ev_loop *loop;
	struct ros_ftp *ftp;
	char text[1024];
	size_t length;
	unsigned ended;
	bool is_whole;
	struct err why;
};

static void on_bytes(void *arg, const void *bytes, size_t length)
{
	struct rig *rig = arg;

	assert_true(length < sizeof(rig->text) - rig->length);
	assert_int_equal(rig->ended, 0);
	memcpy(rig->text + rig->length, bytes, length);
	rig->length += length;
}

static void on_end(void *arg, const struct err *why)
{
	struct rig *rig = arg;

	rig->ended++;
	rig->is_whole = !why;
	if (why)
		rig->why = *why;
	ros_ftp_destroy(rig->ftp);
	rig->ftp = NULL;
}

static const struct ros_ftp_events events = { .on_bytes = on_bytes, .on_end = on_end };

static struct ros_ftp_request request_of(uint16_t port, int64_t timeout_ms)
{
	struct ros_ftp_request request = { .user = "ja ga", .password = "se cret", .path = "jaga-snapshot.rsc",
					   .size = FILE_SIZE, .timeout_ms = timeout_ms };

	assert_int_equal(parse_address("127.0.0.1", port, &request.address), 0);
	return request;
}

/* One fetch from the router that `row` is; ends by itself, or the test does not. */
static void fetch(struct rig *rig, const struct row *row)
{
	struct ros_ftp_request request;
	struct err err = { "" };
	uint16_t port;
	int listener = listen_at("127.0.0.1", 0, &port), status;
	pid_t router = fork();

	assert_true(router >= 0);
	if (router == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		play(listener, row);
	close(listener);
	memset(rig, 0, sizeof(*rig));
	rig->loop = ev_loop_new(EVFLAG_AUTO);
	assert_non_null(rig->loop);
	request = request_of(port, row->timeout_ms ? row->timeout_ms : LONG_MS);
	assert_int_equal(ros_ftp_fetch(rig->loop, &request, &events, rig, &rig->ftp, &err), 0);
	ev_run(rig->loop, 0); /* until nothing is watched any more */
	ev_loop_destroy(rig->loop);
	assert_int_equal(waitpid(router, &status, 0), router);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void check(const struct row *row)
{
	int64_t began_ms = clock_mono_ms();
	struct rig rig;

	fetch(&rig, row);
	if (rig.ended != 1 || rig.is_whole != !row->why)
		fail_msg("%s: ended %u times, %s", row->name, rig.ended, rig.is_whole ? "whole" : rig.why.text);
	if (row->why && strncmp(rig.why.text, row->why, strlen(row->why)) != 0)
		fail_msg("%s: %s", row->name, rig.why.text);
	if (!row->why && strcmp(rig.text, FILE_TEXT) != 0)
		fail_msg("%s: %s", row->name, rig.text);
	if (row->timeout_ms)
		assert_true(clock_mono_ms() - began_ms >= row->timeout_ms);
}

/* --- tests ----------------------------------------------------------------------------------------------- */

static void test_routers(void **state)
{
	static const struct row rows[] = {
		{ .name = "as it should be" },
		{ .name = "no password wanted", .user = "230 welcome\r\n" },
		{ .name = "many lines", .greeting = "220-hello\r\n 220 indented\r\n230 no\r\n220 now\r\n", .pass = "230-a\r\n230-b\r\n230 c\r\n" },
		{ .name = "line ends of Unix", .greeting = "220 x\n", .passive = "227 (127,0,0,1,@)\n" },
		{ .name = "not at once", .greeting = "120 in two minutes\r\n220 now\r\n" },
		{ .name = "bare codes", .greeting = "220\r\n", .end = "226\r\n" },
		{ .name = "what is no reply", .greeting = "\r\n\r\n22\r\nwelcome\r\n999 x\r\n220x\r\n220 x\r\n" },
		{ .name = "no 150", .retr = "", .end = "226 done\r\n" },
		{ .name = "all of it before 150", .how = EARLY },
		{ .name = "nothing before 150", .text = "", .how = EARLY, .why = "FTP: 0 of 36 bytes came" },
		{ .name = "said twice", .end = "226 done\r\n226 done\r\n" },
		{ .name = "somebody else's address", .passive = "227 Entering Passive Mode (127,0,0,2,@)\r\n" },
		{ .name = "truncated greeting", .greeting = "22", .timeout_ms = SHORT_MS, .why = "FTP: no greeting in 1 s, 0 of 36 bytes came" },
		{ .name = "no greeting", .greeting = SILENT, .timeout_ms = SHORT_MS, .why = "FTP: no greeting in 1 s" },
		{ .name = "goes at once", .greeting = HANGS_UP, .why = "FTP: the router closed the connection" },
		{ .name = "resets", .user = RESETS, .why = "FTP: receive: Connection reset by peer" },
		{ .name = "goes within a line", .user = "33", .pass = HANGS_UP, .timeout_ms = SHORT_MS, .why = "FTP: no answer to USER in 1 s" },
		{ .name = "refuses us", .greeting = "421 too many\r\n", .why = "FTP: 421 too many" },
		{ .name = "wrong password", .pass = "530 Login incorrect\r\n", .why = "FTP: 530 Login incorrect" },
		{ .name = "a terminal's commands", .pass = "530 \033[2J\007no\177\r\n", .why = "FTP: 530 ?[2J?no?" },
		{ .name = "wants an account", .pass = "332 which?\r\n", .why = "FTP: an answer out of turn: 332 which?" },
		{ .name = "a greeting that asks", .greeting = "331 password?\r\n", .why = "FTP: an answer out of turn: 331 password?" },
		{ .name = "lines without end", .pass = FOR_EVER, .why = "FTP: the router talks without end: more than 65536 bytes of answers" },
		{ .name = "a line without end", .pass = NO_LINE, .why = "FTP: the router talks without end: more than 65536 bytes of answers" },
		{ .name = "no port", .passive = "227 ok\r\n", .why = "FTP: the router names no port for the file: 227 ok" },
		{ .name = "port 0", .passive = "227 (127,0,0,1,0,0)\r\n", .why = "FTP: the router names no port for the file" },
		{ .name = "nobody there", .how = ABSENT, .end = SILENT, .why = "FTP: the file: connect: Connection refused" },
		{ .name = "no such file", .retr = "550 jaga-snapshot.rsc: no such file\r\n", .why = "FTP: 550 jaga-snapshot.rsc: no such file" },
		{ .name = "silent after RETR", .retr = SILENT, .timeout_ms = SHORT_MS, .why = "FTP: no answer to RETR in 1 s" },
		{ .name = "no 226", .end = SILENT, .timeout_ms = SHORT_MS, .why = "FTP: no end of the file in 1 s, 36 of 36 bytes came" },
		{ .name = "goes without 226", .how = LEAVES, .why = "FTP: the router closed the connection" },
		{ .name = "never closes", .how = STAYS, .timeout_ms = SHORT_MS, .why = "FTP: no end of the file in 1 s, 36 of 36 bytes came" },
		{ .name = "too short", .text = "/ip", .why = "FTP: 3 of 36 bytes came" },
		{ .name = "empty", .text = "", .why = "FTP: 0 of 36 bytes came" },
		{ .name = "too long", .text = FILE_TEXT "x", .why = "FTP: the router sends more than the 36 bytes of the file" },
		{ .name = "gives up", .text = "/ip", .end = "426 Connection closed; transfer aborted\r\n", .why = "FTP: 426 Connection closed" },
		{ .name = "breaks off", .text = "/ip", .how = BREAKS, .why = "FTP: " },
		{ .name = "a byte a second", .how = DRIPS, .timeout_ms = SHORT_MS, .why = "FTP: no end of the file in 1 s, " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

/* Lines of 10 KB: what stands behind the first 255 bytes says nothing, and is kept nowhere. */
static void test_long_lines(void **state)
{
	static char greeting[2 * TEN_KB + 50], refusal[TEN_KB + 50];
	static char x[TEN_KB + 1];
	struct row row = { .name = "10 KB", .greeting = greeting };
	struct rig rig;

	(void)state;
	memset(x, 'x', TEN_KB);
	snprintf(greeting, sizeof(greeting), "220-%s\r\n220 %s\r\n", x, x);
	check(&row);
	snprintf(refusal, sizeof(refusal), "530 %s\r\n", x);
	row = (struct row){ .name = "10 KB of refusal", .pass = refusal, .why = "FTP: 530 xxx" };
	fetch(&rig, &row);
	assert_int_equal(rig.ended, 1);
	assert_int_equal(strlen(rig.why.text), strlen("FTP: ") + 255);
}

/* Who calls may have had enough at any time. */
static void test_destroyed_on_the_way(void **state)
{
	struct ros_ftp_request request;
	struct rig rig = { 0 };
	uint16_t port;
	int listener = listen_at("127.0.0.1", 0, &port);
	struct err err;

	(void)state;
	request = request_of(port, LONG_MS);
	rig.loop = ev_loop_new(EVFLAG_AUTO);
	assert_non_null(rig.loop);
	assert_int_equal(ros_ftp_fetch(rig.loop, &request, &events, &rig, &rig.ftp, &err), 0);
	ros_ftp_destroy(rig.ftp);
	ros_ftp_destroy(NULL);
	ev_run(rig.loop, 0);
	assert_int_equal(rig.ended, 0);
	ev_loop_destroy(rig.loop);
	close(listener);
}

static void test_what_cannot_be_sent(void **state)
{
	static const char *const words[] = { "se\r\ncret", "secret\r\nDELE x", "\n", "se\tcret", "secret\177" };
	struct rig rig = { 0 };

	(void)state;
	rig.loop = ev_loop_new(EVFLAG_AUTO);
	assert_non_null(rig.loop);
	for (size_t i = 0; i < 2 * sizeof(words) / sizeof(words[0]); i++) {
		struct ros_ftp_request request = request_of(21, LONG_MS);
		struct err err = { "" };

		snprintf(i % 2 ? request.user : request.password, LIMIT_NAME, "%s", words[i / 2]);
		assert_int_equal(ros_ftp_fetch(rig.loop, &request, &events, &rig, &rig.ftp, &err), -EINVAL);
		assert_string_equal(err.text, "FTP: the user's name or password has control characters, which FTP cannot carry");
	}
	assert_null(rig.ftp);
	ev_loop_destroy(rig.loop);
}

static void test_ports(void **state)
{
	static const struct {
		const char *text;
		uint16_t port; /* 0: refused */
	} rows[] = {
		{ "227 Entering Passive Mode (10,0,0,1,4,1)", 1025 },
		{ "227 (255,255,255,255,255,255).", 65535 },
		{ "229 Entering Extended Passive Mode (|||2121|)", 2121 },
		{ "229 (|||65535|)", 65535 },
		{ "", 0 }, { "227", 0 }, { "227 (", 0 }, { "227 ()", 0 }, { "227 (,,,,,)", 0 },
		{ "227 10,0,0,1,4,1", 0 }, { "227 (10,0,0,1,4)", 0 }, { "227 (10,0,0,1,4,1", 0 }, { "227 (10,0,0,1,4,1,)", 0 },
		{ "227 (10,0,0,1,4,1,1)", 0 }, { "227 (10,0,0,1,4,256)", 0 }, { "227 (10,0,0,1,-4,1)", 0 }, { "227 (10,0,0,1,+4,1)", 0 },
		{ "227 (10,0,0,1, 4,1)", 0 }, { "227 (10,0,0,1,0,0)", 0 }, { "227 (10,0,0,1,4,99999999999999999999999)", 0 },
		{ "229 (|||", 0 }, { "229 (||||)", 0 }, { "229 (|||0|)", 0 }, { "229 (|||65536|)", 0 }, { "229 (|||-1|)", 0 },
		{ "229 (|||2121)", 0 }, { "229 (|||2121|", 0 }, { "229 (|||2121x|)", 0 }, { "229 (|1|10.0.0.1|2121|)", 0 },
		{ "229 (|||99999999999999999999999|)", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t port = 7;
		int r = ros_ftp_parse_port(rows[i].text, &port);

		if (r != (rows[i].port ? 0 : -EBADMSG) || port != (rows[i].port ? rows[i].port : 7))
			fail_msg("%s: %d, port %d", rows[i].text, r, port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routers),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_destroyed_on_the_way),
		cmocka_unit_test(test_what_cannot_be_sent),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
