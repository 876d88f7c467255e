/*
 * ros_menus: what a RouterOS router answers, from a text that a fuzzer makes up, over ros_world's connections.
 *
 *	/interface/print	the first time asked the first such section, then the second, ..., then the last again
 *	.id=*1			an attribute, in which a tab stands for a line feed; sentences end with an empty line
 *	!trap			at their beginning: another reply than !re
 *	!nothing		no answer, or none any more; else a !done is added where none stands, but to a listen
 *
 * Commands without a section are unknown, but for /login. /ftp holds the lines of a server, one for each command, /file the bytes
 * of its file.
 */
#ifndef JAGA_TESTS_FUZZ_ROS_MENUS_H
#define JAGA_TESTS_FUZZ_ROS_MENUS_H

#include "tests/fuzz/ros_world.h"

#define ROS_MENUS_BYTES 16384 /* of a text */

/* Forgets everything of the text before. This one must stay where it is; lines before the first section are nobody's. */
void ros_menus_begin(const char *text, const char *end);
/* For world_begin(): takes whole sentences, each of which begins with a command. */
void ros_menus_on_sent(void *arg, const struct ros_stream *stream, const char *bytes, size_t length);
/* Opens the connections that were asked for and answers the commands that came, also those that come by that. */
void ros_menus_answer(void);
/* Says what the sections of listens hold once more. */
void ros_menus_tell_listens(void);

#endif
