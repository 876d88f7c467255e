/*
 * ros_row: what a row of a menu says, whichever version of RouterOS says it: flags come as true and false, from versions
 * before 7 as yes and no, too; what was never set is often left out. Pure. Values point into the row.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_ROW_H
#define JAGA_AGENT_ROUTER_ROS_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/router/ros_codec.h"

/* The value of a key; "" when there is none. ros_find() tells the two apart. */
const char *ros_row_text(const struct ros_sentence *row, const char *key);
/* Said to be on. */
bool ros_row_is(const struct ros_sentence *row, const char *key);
/* Said to be off, rather than not said at all. */
bool ros_row_is_not(const struct ros_sentence *row, const char *key);
/* 0: none, or no number ("auto"). */
uint64_t ros_row_number(const struct ros_sentence *row, const char *key);
/* Of "version", as in "7.20.4 (stable)": 7 and 20. False, and nothing is changed: it does not say. */
bool ros_row_version(const struct ros_sentence *row, unsigned *ret_major, unsigned *ret_minor);

#endif
