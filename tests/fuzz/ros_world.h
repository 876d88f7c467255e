/*
 * ros_world: what is around a session with a RouterOS router, played for a fuzzer: connections that do as they are told, and time
 * that passes when it is told to. It stands in for ros_stream, common/clock and libev's timers; all the rest is the product.
 */
#ifndef JAGA_TESTS_FUZZ_ROS_WORLD_H
#define JAGA_TESTS_FUZZ_ROS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/router/ros_stream.h"

/* Bytes that somebody committed, in whole commands. */
typedef void world_sent_fn(void *arg, const struct ros_stream *stream, const char *bytes, size_t length);

/* Forgets everything of the input before. */
void world_begin(world_sent_fn *on_sent, void *arg);
/* The connection that was opened first, second, ... of those that there are; NULL: none. */
struct ros_stream *world_stream(size_t number);
const struct parse_address *world_peer(const struct ros_stream *stream);

/* Each does nothing when it cannot happen: a connection that is NULL, or open already, or not yet. */
void world_open(struct ros_stream *stream);
void world_say(struct ros_stream *stream, const uint8_t *bytes, size_t length);
void world_end(struct ros_stream *stream, const char *why);

void world_refuse_next(void);	  /* the next ros_stream_open() fails */
void world_take_bytes(bool does); /* false: connections take nothing, what is committed waits */
void world_pass(int64_t ms);	  /* fires the timers that are due, in order */

#endif
