/*
 * ros_ftp: see ros_ftp.h.
 *
 *   greeting -> user -> pass -> type -> passive -> retr -> receiving
 *
 * Each state but the last is left by one reply on the control connection (three digits; of a reply of many lines the last
 * counts: RFC 959 section 4.2), and by none that does not belong there. The file has come when both the data connection has ended
 * and the control connection has said 226; either may be first. One deadline stands over all of it, because bytes that come one
 * by one would put any other off for ever. Called by routeros_snapshot.c.
 */
#include "agent/router/ros_ftp.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/router/ros_stream.h"
#include "common/buf.h"

#define LINE_BYTES 256 /* of a reply: what is longer is cut, its code and port stand in front */

enum state { GREETING, USER, PASS, TYPE, PASSIVE, RETR, RECEIVING };

struct ros_ftp {
	struct ros_ftp_request request;
	const struct ros_ftp_events *events;
	void *arg;
	struct ev_loop *loop;
	enum state state;
	struct ros_stream control, data;
	ev_timer timer; /* the deadline; once it has ended, to tell so */
	char line[LINE_BYTES];
	size_t line_length;
	char code[3];	/* of the reply of many lines that is under way; code[0] 0: none is */
	size_t replied; /* bytes of replies */
	uint64_t received;
	bool is_data_open, is_data_over, is_acknowledged;
	bool has_ended, is_whole;
	struct err why;
};

int ros_ftp_parse_port(const char *text, uint16_t *ret_port)
{
	const char *at = strchr(text, '(');
	unsigned long numbers[6] = { 0 };
	unsigned n = 0;
	char *end;

	if (!at)
		return -EBADMSG;
	if (strncmp(at, "(|||", 4) == 0) {
		at += 3;
		numbers[0] = strtoul(at + 1, &end, 10);
		if (!isdigit((unsigned char)at[1]) || numbers[0] == 0 || numbers[0] > UINT16_MAX || strncmp(end, "|)", 2) != 0)
			return -EBADMSG;
		*ret_port = (uint16_t)numbers[0];
		return 0;
	}
	do {
		if (n == 6 || !isdigit((unsigned char)at[1]))
			return -EBADMSG;
		numbers[n] = strtoul(at + 1, &end, 10);
		if (numbers[n++] > 255)
			return -EBADMSG;
		at = end;
	} while (*at == ',');
	if (n != 6 || *at != ')' || numbers[4] * 256 + numbers[5] == 0)
		return -EBADMSG;
	*ret_port = (uint16_t)(numbers[4] * 256 + numbers[5]);
	return 0;
}

/* --- end ------------------------------------------------------------------------------------------ */

/* why: NULL, and the file is whole. Told from the loop: what called this still looks at ftp. */
static void end(struct ros_ftp *ftp, const struct err *why)
{
	if (ftp->has_ended)
		return;
	ftp->has_ended = true;
	ftp->is_whole = !why;
	if (why)
		ftp->why = *why;
	ros_stream_close(&ftp->control);
	ros_stream_close(&ftp->data);
	ev_timer_stop(ftp->loop, &ftp->timer);
	ev_timer_set(&ftp->timer, 0, 0);
	ev_timer_start(ftp->loop, &ftp->timer);
}

static void fail(struct ros_ftp *ftp, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Of what is told the router's own words may be a part. */
static void fail(struct ros_ftp *ftp, const char *format, ...)
{
	char what[LINE_BYTES + 64];
	struct err why;
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	err_set(&why, 0, "FTP: %s", what);
	err_make_printable(&why);
	end(ftp, &why);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
	static const char *const missing[] = {
		[GREETING] = "no greeting", [USER] = "no answer to USER", [PASS] = "no answer to PASS", [TYPE] = "no answer to TYPE",
		[PASSIVE] = "no port for the file", [RETR] = "no answer to RETR", [RECEIVING] = "no end of the file",
	};
	struct ros_ftp *ftp = timer->data;

	(void)loop;
	(void)revents;
	if (ftp->has_ended)
		ftp->events->on_end(ftp->arg, ftp->is_whole ? NULL : &ftp->why);
	else
		fail(ftp, "%s in %lld s, %llu of %llu bytes came", missing[ftp->state],
		     (long long)(ftp->request.timeout_ms + 999) / 1000, (unsigned long long)ftp->received,
		     (unsigned long long)ftp->request.size);
}

static void end_when_complete(struct ros_ftp *ftp)
{
	if (!ftp->is_data_over || !ftp->is_acknowledged)
		return;
	if (ftp->received == ftp->request.size)
		end(ftp, NULL);
	else
		fail(ftp, "%llu of %llu bytes came", (unsigned long long)ftp->received, (unsigned long long)ftp->request.size);
}

/* --- the file ------------------------------------------------------------------------------------- */

static void on_data_open(void *arg)
{
	struct ros_ftp *ftp = arg;

	ftp->is_data_open = true;
}

static void on_data(void *arg, const uint8_t *bytes, size_t length)
{
	struct ros_ftp *ftp = arg;

	ftp->received += length;
	if (ftp->received > ftp->request.size)
		fail(ftp, "the router sends more than the %llu bytes of the file", (unsigned long long)ftp->request.size);
	else
		ftp->events->on_bytes(ftp->arg, bytes, length);
}

/* Its end is the end of the file; whether it came too soon the count says. */
static void on_data_end(void *arg, const struct err *why)
{
	struct ros_ftp *ftp = arg;

	if (!ftp->is_data_open) {
		fail(ftp, "the file: %s", why->text);
		return;
	}
	ftp->is_data_over = true;
	end_when_complete(ftp);
}

static const struct ros_stream_events data_events = { .on_open = on_data_open, .on_bytes = on_data, .on_end = on_data_end };

/* --- replies -------------------------------------------------------------------------------------- */

static void command(struct ros_ftp *ftp, enum state next, const char *word, const char *argument)
{
	struct buf *out = ros_stream_begin(&ftp->control);

	buf_printf(out, "%s%s%s\r\n", word, argument[0] ? " " : "", argument);
	ftp->state = next;
	(void)ros_stream_commit(&ftp->control); /* there is room: one command at a time, each shorter than the queue */
}

static void ask_passive(struct ros_ftp *ftp)
{
	command(ftp, PASSIVE, ftp->request.address.family == AF_INET6 ? "EPSV" : "PASV", "");
}

static void open_data(struct ros_ftp *ftp)
{
	struct parse_address address = ftp->request.address;
	struct err err;

	if (ros_ftp_parse_port(ftp->line, &address.port) < 0)
		fail(ftp, "the router names no port for the file: %s", ftp->line);
	else if (ros_stream_open(&ftp->data, &address, NULL, &err) < 0)
		fail(ftp, "the file: %s", err.text);
	else
		command(ftp, RETR, "RETR", ftp->request.path);
}

/* A whole reply has come. */
static void take_reply(struct ros_ftp *ftp)
{
	/* The digits that a reply may begin with (RFC 959 section 4.2.1): "120" promises a greeting, "230" wants no password. */
	static const char *const belongs[] = {
		[GREETING] = "12", [USER] = "23", [PASS] = "2", [TYPE] = "2", [PASSIVE] = "2", [RETR] = "12", [RECEIVING] = "12",
	};
	char kind = ftp->line[0];

	if (!strchr(belongs[ftp->state], kind)) {
		fail(ftp, kind >= '4' ? "%s" : "an answer out of turn: %s", ftp->line);
		return;
	}
	switch (ftp->state) {
	case GREETING:
		if (kind == '2')
			command(ftp, USER, "USER", ftp->request.user);
		break;
	case USER:
		command(ftp, kind == '3' ? PASS : TYPE, kind == '3' ? "PASS" : "TYPE", kind == '3' ? ftp->request.password : "I");
		explicit_bzero(ftp->request.password, sizeof(ftp->request.password));
		break;
	case PASS:
		command(ftp, TYPE, "TYPE", "I");
		break;
	case TYPE:
		ask_passive(ftp);
		break;
	case PASSIVE:
		open_data(ftp);
		break;
	case RETR:
	case RECEIVING:
		ftp->state = RECEIVING;
		ftp->is_acknowledged |= kind == '2';
		end_when_complete(ftp);
		break;
	}
}

/* "226 text" is a reply; "226-text" begins one, which "226 text" ends. What else stands between says nothing. */
static void take_line(struct ros_ftp *ftp)
{
	const char *line = ftp->line;
	size_t length = ftp->line_length;

	ftp->line[length] = '\0';
	ftp->line_length = 0;
	if (length < 3 || line[0] < '1' || line[0] > '5' || !isdigit((unsigned char)line[1]) || !isdigit((unsigned char)line[2]))
		return;
	if (ftp->code[0] && memcmp(line, ftp->code, sizeof(ftp->code)) != 0)
		return;
	if (length > 3 && line[3] == '-') {
		memcpy(ftp->code, line, sizeof(ftp->code));
	} else if (length == 3 || line[3] == ' ') {
		ftp->code[0] = '\0';
		take_reply(ftp);
	}
}

static void on_control(void *arg, const uint8_t *bytes, size_t length)
{
	struct ros_ftp *ftp = arg;

	ftp->replied += length;
	if (ftp->replied > LIMIT_ROS_FTP_REPLIES) {
		fail(ftp, "the router talks without end: more than %d bytes of answers", LIMIT_ROS_FTP_REPLIES);
		return;
	}
	for (size_t i = 0; i < length && !ftp->has_ended; i++) {
		if (bytes[i] == '\n')
			take_line(ftp);
		else if (bytes[i] != '\r' && ftp->line_length < LINE_BYTES - 1)
			ftp->line[ftp->line_length++] = (char)bytes[i];
	}
}

static void on_control_open(void *arg)
{
	(void)arg; /* the router greets first */
}

static void on_control_end(void *arg, const struct err *why)
{
	fail(arg, "%s", why->text);
}

static const struct ros_stream_events control_events = {
	.on_open = on_control_open, .on_bytes = on_control, .on_end = on_control_end,
};

/* --- life ----------------------------------------------------------------------------------------- */

/* A line end in a name or password would be a command of its own. */
static bool is_one_line(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

int ros_ftp_fetch(struct ev_loop *loop, const struct ros_ftp_request *request, const struct ros_ftp_events *events, void *arg,
		  struct ros_ftp **ret_ftp, struct err *err)
{
	struct ros_ftp *ftp;
	int r;

	if (!is_one_line(request->user) || !is_one_line(request->password) || !is_one_line(request->path))
		return err_set(err, -EINVAL, "FTP: the user's name or password has control characters, which FTP cannot carry");
	/* Mapped: two streams with their queues, which the heap would keep. */
	ftp = mmap(NULL, sizeof(*ftp), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ftp == MAP_FAILED)
		return err_sys(err, -ENOMEM, "FTP");
	ftp->request = *request;
	ftp->events = events;
	ftp->arg = arg;
	ftp->loop = loop;
	ros_stream_init(&ftp->control, loop, &control_events, ftp);
	ros_stream_init(&ftp->data, loop, &data_events, ftp);
	ev_timer_init(&ftp->timer, on_time, (ev_tstamp)request->timeout_ms / 1000, 0);
	ftp->timer.data = ftp;
	r = ros_stream_open(&ftp->control, &request->address, NULL, err);
	if (r < 0) {
		err_prefix(err, "FTP: ");
		ftp->has_ended = true;
		ros_ftp_destroy(ftp);
		return r;
	}
	ev_timer_start(loop, &ftp->timer);
	*ret_ftp = ftp;
	return 0;
}

void ros_ftp_destroy(struct ros_ftp *ftp)
{
	if (!ftp)
		return;
	ev_timer_stop(ftp->loop, &ftp->timer);
	ros_stream_close(&ftp->control);
	ros_stream_close(&ftp->data);
	explicit_bzero(&ftp->request, sizeof(ftp->request));
	munmap(ftp, sizeof(*ftp));
}
