/*
 * ros_stream: see ros_stream.h.
 *
 *   closed -> connecting -> open -> closed
 *
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
	close(stream->fd);
	stream->fd = -1;
	stream->is_open = false;
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
	(void)loop;
	(void)revents;
	end_sys(watcher->data, ETIMEDOUT, "connect");
}

/* --- receiving --------------------------------------------------------------------------------- */

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct ros_stream *stream = watcher->data;
	uint8_t bytes[LIMIT_ROS_SENTENCE_BYTES];
	struct err why;
	ssize_t got = recv(stream->fd, bytes, sizeof(bytes), 0);

	(void)loop;
	(void)revents;
	if (got > 0) {
		stream->events->on_bytes(stream->arg, bytes, (size_t)got);
	} else if (got == 0) {
		err_set(&why, -ECONNRESET, "the router closed the connection");
		end(stream, &why);
	} else if (errno != EAGAIN && errno != EINTR) {
		end_sys(stream, errno, "receive");
	}
}

/* --- sending ------------------------------------------------------------------------------------ */

static void send_what_waits(struct ros_stream *stream)
{
	while (stream->sent < stream->out.length) {
		ssize_t sent = send(stream->fd, stream->out.data + stream->sent, stream->out.length - stream->sent,
				    MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			break; /* the reader learns it too, and says it */
		if (sent < 0) {
			ev_io_start(stream->loop, &stream->writable);
			return;
		}
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
	if (stream->is_open && !ev_is_active(&stream->writable))
		send_what_waits(stream);
	return 0;
}

/* --- connecting --------------------------------------------------------------------------------- */

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct ros_stream *stream = watcher->data;
	socklen_t length = sizeof(int);
	int error = 0;

	(void)revents;
	if (stream->is_open) {
		send_what_waits(stream);
		return;
	}
	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error != 0) {
		end_sys(stream, error, "connect");
		return;
	}
	ev_timer_stop(loop, &stream->deadline);
	ev_io_start(loop, &stream->readable);
	stream->is_open = true;
	send_what_waits(stream);
	stream->events->on_open(stream->arg);
}

void ros_stream_init(struct ros_stream *stream, struct ev_loop *loop, const struct ros_stream_events *events, void *arg)
{
	*stream = (struct ros_stream){ .loop = loop, .events = events, .arg = arg, .fd = -1 };
	ev_init(&stream->readable, on_readable);
	ev_init(&stream->writable, on_writable);
	ev_init(&stream->deadline, on_deadline);
	stream->readable.data = stream->writable.data = stream->deadline.data = stream;
	buf_init(&stream->out, stream->space, sizeof(stream->space));
}

int ros_stream_open(struct ros_stream *stream, const struct parse_address *address, struct err *err)
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
	stream->sent = 0;
	buf_clear(&stream->out);
	ev_io_set(&stream->readable, fd, EV_READ);
	ev_io_set(&stream->writable, fd, EV_WRITE);
	ev_io_start(stream->loop, &stream->writable);
	ev_timer_set(&stream->deadline, (ev_tstamp)LIMIT_ROS_CONNECT_MS / 1000, 0);
	ev_timer_start(stream->loop, &stream->deadline);
	return 0;
}
