/*
 * ros_stream: see ros_stream.h.
 *
 *   closed -> connecting -> (TLS: shaking hands ->) open -> closed
 *
 * Where a byte goes through TLS or not is decided in receive_bytes() and send_bytes() alone.
 * `out` holds what the socket has not taken: [sent | waits | sentence under construction]. It moves to the front
 * when all is gone, or when a sentence begins and half of it is gone. Called by ros_api.c.
 */
#include "agent/router/ros_stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- end ---------------------------------------------------------------------------------------- */

void ros_stream_close(struct ros_stream *stream)
{
	if (stream->fd < 0)
		return;
	ev_io_stop(stream->loop, &stream->readable);
	ev_io_stop(stream->loop, &stream->writable);
	ev_timer_stop(stream->loop, &stream->deadline);
	ros_tls_destroy(stream->tls);
	stream->tls = NULL;
	close(stream->fd);
	stream->fd = -1;
	explicit_bzero(stream->space, sizeof(stream->space)); /* the password went this way */
}

static void end(struct ros_stream *stream, const struct err *why)
{
	ros_stream_close(stream);
	stream->events->on_end(stream->arg, why);
}

static void end_sys(struct ros_stream *stream, int error, const char *what)
{
	struct err why;

	err_sys(&why, -error, "%s", what);
	end(stream, &why);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct ros_stream *stream = watcher->data;

	(void)loop;
	(void)revents;
	end_sys(stream, ETIMEDOUT, stream->phase == ROS_CONNECTING ? "connect" :
		"the TLS handshake does not end (is that port api-ssl's, 8729?)");
}

/* --- through TLS or not ------------------------------------------------------------------------- */

/* Bytes; -EAGAIN: none now; else why there will be none any more. */
static ssize_t receive_bytes(struct ros_stream *stream, uint8_t *bytes, size_t size, struct err *why)
{
	ssize_t got;

	if (stream->tls)
		return ros_tls_receive(stream->tls, bytes, size, why);
	got = recv(stream->fd, bytes, size, 0);
	if (got > 0)
		return got;
	if (got == 0)
		return err_set(why, -ECONNRESET, "the router closed the connection");
	return errno == EAGAIN || errno == EINTR ? -EAGAIN : err_sys(why, -errno, "receive");
}

static ssize_t send_bytes(struct ros_stream *stream, const char *bytes, size_t length, struct err *why)
{
	ssize_t sent;

	if (stream->tls)
		return ros_tls_send(stream->tls, bytes, length, why);
	do
		sent = send(stream->fd, bytes, length, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN ? -EAGAIN : err_sys(why, -errno, "send");
}

/* --- sending ------------------------------------------------------------------------------------ */

static void send_what_waits(struct ros_stream *stream)
{
	struct err why; /* the reader learns it too, and says it: here somebody may be in the middle of a command */

	while (stream->sent < stream->out.length) {
		ssize_t sent = send_bytes(stream, stream->out.data + stream->sent, stream->out.length - stream->sent, &why);

		if (sent == -EAGAIN) {
			ev_io_start(stream->loop, &stream->writable);
			return;
		}
		if (sent < 0)
			break;
		stream->sent += (size_t)sent;
	}
	stream->sent = 0;
	buf_clear(&stream->out);
	ev_io_stop(stream->loop, &stream->writable);
}

struct buf *ros_stream_begin(struct ros_stream *stream)
{
	size_t waits = stream->out.length - stream->sent;

	if (stream->sent > stream->out.length / 2) {
		memmove(stream->out.data, stream->out.data + stream->sent, waits);
		stream->out.length = waits;
		stream->sent = 0;
	}
	stream->committed = stream->out.length;
	return &stream->out;
}

int ros_stream_commit(struct ros_stream *stream)
{
	if (stream->out.failed) {
		stream->out.failed = false;
		stream->out.length = stream->committed;
		return -ENOBUFS;
	}
	if (stream->phase == ROS_OPEN && !ev_is_active(&stream->writable))
		send_what_waits(stream);
	return 0;
}

/* --- connecting --------------------------------------------------------------------------------- */

static void become_open(struct ros_stream *stream)
{
	ev_timer_stop(stream->loop, &stream->deadline);
	ev_io_stop(stream->loop, &stream->writable);
	stream->phase = ROS_OPEN;
	send_what_waits(stream);
	stream->events->on_open(stream->arg);
}

static void shake_hands(struct ros_stream *stream)
{
	struct err why;
	int r = ros_tls_handshake(stream->tls, &why);

	if (r == 0)
		become_open(stream);
	else if (r != -EAGAIN)
		end(stream, &why);
	else if (ros_tls_is_blocked(stream->tls))
		ev_io_start(stream->loop, &stream->writable);
	else
		ev_io_stop(stream->loop, &stream->writable);
}

static void on_connected(struct ros_stream *stream)
{
	socklen_t length = sizeof(int);
	struct err why;
	int error = 0;

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error != 0) {
		end_sys(stream, error, "connect");
		return;
	}
	ev_io_start(stream->loop, &stream->readable);
	if (!stream->tls_settings) {
		become_open(stream);
		return;
	}
	stream->phase = ROS_SHAKING_HANDS;
	if (ros_tls_create(stream->tls_settings, stream->fd, &stream->tls, &why) < 0)
		end(stream, &why);
	else
		shake_hands(stream);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct ros_stream *stream = watcher->data;

	(void)loop;
	(void)revents;
	if (stream->phase == ROS_CONNECTING)
		on_connected(stream);
	else if (stream->phase == ROS_SHAKING_HANDS)
		shake_hands(stream);
	else
		send_what_waits(stream);
}

/* --- receiving --------------------------------------------------------------------------------- */

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct ros_stream *stream = watcher->data;
	uint8_t bytes[LIMIT_ROS_SENTENCE_BYTES];
	struct err why;
	ssize_t got;

	(void)loop;
	(void)revents;
	if (stream->phase == ROS_SHAKING_HANDS) {
		shake_hands(stream);
		return;
	}
	/* More than once only for the rest of a TLS record, 16 KB at most: others have their turn too. */
	do {
		got = receive_bytes(stream, bytes, sizeof(bytes), &why);
		if (got > 0)
			stream->events->on_bytes(stream->arg, bytes, (size_t)got);
		else if (got != -EAGAIN)
			end(stream, &why);
	} while (got > 0 && stream->tls && ros_tls_has_more(stream->tls));
}

/* --- life --------------------------------------------------------------------------------------- */

void ros_stream_init(struct ros_stream *stream, struct ev_loop *loop, const struct ros_stream_events *events, void *arg)
{
	*stream = (struct ros_stream){ .loop = loop, .events = events, .arg = arg, .fd = -1 };
	ev_init(&stream->readable, on_readable);
	ev_init(&stream->writable, on_writable);
	ev_init(&stream->deadline, on_deadline);
	stream->readable.data = stream->writable.data = stream->deadline.data = stream;
	buf_init(&stream->out, stream->space, sizeof(stream->space));
}

int ros_stream_open(struct ros_stream *stream, const struct parse_address *address, const struct ros_tls_settings *tls,
		    struct err *err)
{
	static const int yes = 1;
	struct sockaddr_storage peer;
	socklen_t length = parse_address_to_sockaddr(address, &peer);
	int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(err, -errno, "socket");
	/* Commands are small and each is waited for. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) < 0 ||
	    (connect(fd, (struct sockaddr *)&peer, length) < 0 && errno != EINPROGRESS)) {
		int rc = err_sys(err, -errno, "connect");

		close(fd);
		return rc;
	}
	stream->fd = fd;
	stream->phase = ROS_CONNECTING;
	stream->tls_settings = tls;
	stream->sent = 0;
	buf_clear(&stream->out);
	ev_io_set(&stream->readable, fd, EV_READ);
	ev_io_set(&stream->writable, fd, EV_WRITE);
	ev_io_start(stream->loop, &stream->writable);
	ev_timer_set(&stream->deadline, (ev_tstamp)LIMIT_ROS_CONNECT_MS / 1000, 0);
	ev_timer_start(stream->loop, &stream->deadline);
	return 0;
}
