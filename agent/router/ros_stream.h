/*
 * ros_stream: the bytes under RouterOS's API (ros_api.h): one TCP connection, with TLS or without, never waited for, with a bounded
 * queue to send.
 *
 * The owner opens it, is told how it went, and closes it; it never opens by itself again. Everything runs on the loop's
 * thread, and no callback is called from within ros_stream_open() or ros_stream_close().
 */
#ifndef JAGA_AGENT_ROUTER_ROS_STREAM_H
#define JAGA_AGENT_ROUTER_ROS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "agent/router/ros_tls.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/limits.h"
#include "common/parse.h"

struct ros_stream_events {
	void (*on_open)(void *arg); /* with TLS: the router's certificate has been accepted */
	/* May close the stream: then nothing else is said. */
	void (*on_bytes)(void *arg, const uint8_t *bytes, size_t length);
	/* It could not be opened, or it ended; the stream is closed already. Says why, without naming the router. */
	void (*on_end)(void *arg, const struct err *why);
};

struct ros_stream { /* contents are private */
	struct ev_loop *loop;
	const struct ros_stream_events *events;
	void *arg;
	int fd; /* -1: closed */
	enum { ROS_CONNECTING, ROS_SHAKING_HANDS, ROS_OPEN } phase;
	const struct ros_tls_settings *tls_settings; /* NULL: no TLS */
	struct ros_tls *tls; /* NULL: none, or not yet */
	ev_io readable, writable;
	ev_timer deadline; /* until it is open */
	size_t sent;	   /* bytes of `out` that are gone */
	size_t committed;  /* bytes of `out` before the sentence under construction */
	struct buf out;
	char space[LIMIT_ROS_SEND_BYTES];
};

void ros_stream_init(struct ros_stream *stream, struct ev_loop *loop, const struct ros_stream_events *events, void *arg);
/* Starts to connect, with the handshake LIMIT_ROS_CONNECT_MS at most. tls: NULL for none; must outlive the connection. */
int ros_stream_open(struct ros_stream *stream, const struct parse_address *address, const struct ros_tls_settings *tls,
		    struct err *err);
void ros_stream_close(struct ros_stream *stream); /* also one that is not open */

/*
 * A sentence is written in three steps, all of it or nothing: begin, ros_put_...() into what that returned, commit.
 * commit: -ENOBUFS, and nothing is sent, when the sentence does not fit behind what waits already.
 */
struct buf *ros_stream_begin(struct ros_stream *stream);
int ros_stream_commit(struct ros_stream *stream);

#endif
