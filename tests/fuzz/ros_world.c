/* ros_world: see ros_world.h. Called by fuzz_ros_session.c, fuzz_ros_ftp.c, fuzz_routeros.c and ros_menus.c, into which it brings what it stands in for. */
#include "tests/fuzz/ros_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define STREAMS 4
#define TIMERS	16
#define FD	1000 /* of all: nobody may use it */

static struct {
	int64_t now_ms;
	struct ros_stream *streams[STREAMS];
	struct parse_address peers[STREAMS];
	ev_timer *timers[TIMERS];
	int64_t due_ms[TIMERS];
	bool refuses_next, takes_nothing;
	world_sent_fn *on_sent;
	void *arg;
} world;

void world_begin(world_sent_fn *on_sent, void *arg)
{
	for (size_t i = 0; i < TIMERS; i++)
		if (world.timers[i])
			abort(); /* a timer of what was destroyed */
	for (size_t i = 0; i < STREAMS; i++)
		if (world.streams[i])
			abort();
	memset(&world, 0, sizeof(world));
	world.now_ms = 1000;
	world.on_sent = on_sent;
	world.arg = arg;
}

/* --- time ------------------------------------------------------------------------------------------------ */

int64_t clock_mono_ms(void)
{
	return world.now_ms;
}

void ev_now_update(struct ev_loop *loop)
{
	(void)loop;
}

void ev_timer_start(struct ev_loop *loop, ev_timer *timer)
{
	size_t i = 0;

	(void)loop;
	if (timer->active)
		return;
	while (world.timers[i])
		if (++i == TIMERS)
			abort();
	timer->active = 1;
	world.timers[i] = timer;
	world.due_ms[i] = world.now_ms + (int64_t)(timer->at * 1000 + 0.5);
}

void ev_timer_stop(struct ev_loop *loop, ev_timer *timer)
{
	(void)loop;
	timer->active = 0;
	for (size_t i = 0; i < TIMERS; i++)
		if (world.timers[i] == timer)
			world.timers[i] = NULL;
}

/* The one that is due first, if one is. */
static ev_timer *find_due(void)
{
	size_t first = TIMERS;

	for (size_t i = 0; i < TIMERS; i++)
		if (world.timers[i] && (first == TIMERS || world.due_ms[i] < world.due_ms[first]))
			first = i;
	return first < TIMERS && world.due_ms[first] <= world.now_ms ? world.timers[first] : NULL;
}

void world_pass(int64_t ms)
{
	ev_timer *timer;
	unsigned fired = 0;

	world.now_ms += ms;
	while ((timer = find_due())) {
		if (++fired > 100)
			abort(); /* it turns without end */
		ev_timer_stop(NULL, timer);
		if (timer->repeat > 0) {
			timer->at = timer->repeat;
			ev_timer_start(NULL, timer);
		}
		timer->cb(NULL, timer, EV_TIMER);
	}
}

/* --- connections ----------------------------------------------------------------------------------------- */

void ros_stream_init(struct ros_stream *stream, struct ev_loop *loop, const struct ros_stream_events *events, void *arg)
{
	*stream = (struct ros_stream){ .loop = loop, .events = events, .arg = arg, .fd = -1 };
	buf_init(&stream->out, stream->space, sizeof(stream->space));
}

int ros_stream_open(struct ros_stream *stream, const struct parse_address *address, const struct ros_tls_settings *tls,
		    struct err *err)
{
	size_t i = 0;

	(void)tls;
	if (stream->fd != -1)
		abort(); /* open already */
	if (world.refuses_next) {
		world.refuses_next = false;
		return err_sys(err, -ENETUNREACH, "connect");
	}
	while (world.streams[i])
		if (++i == STREAMS)
			abort();
	world.streams[i] = stream;
	world.peers[i] = *address;
	stream->fd = FD;
	stream->phase = ROS_CONNECTING;
	buf_clear(&stream->out);
	return 0;
}

void ros_stream_close(struct ros_stream *stream)
{
	for (size_t i = 0; i < STREAMS; i++)
		if (world.streams[i] == stream)
			world.streams[i] = NULL;
	stream->fd = -1;
}

struct buf *ros_stream_begin(struct ros_stream *stream)
{
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
	world.on_sent(world.arg, stream, stream->out.data + stream->committed, stream->out.length - stream->committed);
	if (!world.takes_nothing)
		buf_clear(&stream->out);
	return 0;
}

struct ros_stream *world_stream(size_t number)
{
	for (size_t i = 0; i < STREAMS; i++)
		if (world.streams[i] && number-- == 0)
			return world.streams[i];
	return NULL;
}

const struct parse_address *world_peer(const struct ros_stream *stream)
{
	for (size_t i = 0; i < STREAMS; i++)
		if (world.streams[i] == stream)
			return &world.peers[i];
	abort();
}

void world_open(struct ros_stream *stream)
{
	if (!stream || stream->phase == ROS_OPEN)
		return;
	stream->phase = ROS_OPEN;
	stream->events->on_open(stream->arg);
}

void world_say(struct ros_stream *stream, const uint8_t *bytes, size_t length)
{
	if (stream && stream->phase == ROS_OPEN && length > 0)
		stream->events->on_bytes(stream->arg, bytes, length);
}

void world_end(struct ros_stream *stream, const char *why)
{
	struct err err;

	if (!stream)
		return;
	err_set(&err, 0, "%s", why);
	ros_stream_close(stream);
	stream->events->on_end(stream->arg, &err);
}

void world_refuse_next(void)
{
	world.refuses_next = true;
}

void world_take_bytes(bool does)
{
	world.takes_nothing = !does;
}
