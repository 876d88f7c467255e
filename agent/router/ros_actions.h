/*
 * ros_actions: how many actions of RouterOS's history a script takes at most, told from its text alone. Pure: memory only.
 *
 * Safe mode undoes 100 actions; one more, and it ends without a word and undoes nothing (MikroTik's manual, "Configuration
 * Management"). So this knows only what is certain: everything else may be any number.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_ACTIONS_H
#define JAGA_AGENT_ROUTER_ROS_ACTIONS_H

#include <stddef.h>

/* Not more than this many, each statement being one at least. -E2BIG: cannot be told, so there may be any number. */
int ros_count_actions(const char *text, size_t length);

#endif
