/*
 * routeros_monitor: what rows of watched menus say (routeros_monitor_row.c), for routeros_monitor.c, routeros_modem.c and
 * unit tests. Pure. Menus and attributes are those of MikroTik's manual ("PPP AAA", "Hotspot", "OSPF", "BGP", "Netwatch",
 * "LTE", "Resource"). What a row does not say, or says in a way that is not understood, is 0, "" or unknown.
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_MONITOR_H
#define JAGA_AGENT_ROUTER_ROUTEROS_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/router/ros_codec.h"
#include "agent/router/ros_watch.h"
#include "agent/router/routeros_modem.h"

/* "1w2d3h4m5s", "1d02:03:04", "10s840ms" in seconds; -1: no such text, or longer than anything runs. */
int64_t routeros_uptime_s(const char *text);
/* Of ".id", "*1A". -1: there is none. */
int routeros_read_id(const struct ros_sentence *row, uint32_t *ret_id);
/* A row of the menu of `watch` (not LTE), of a reading or as listen tells it. -1: it names no item. Points into the row. */
int routeros_read_row(enum router_watch watch, const struct ros_sentence *row, bool is_reading, struct ros_seen *ret_seen);
/* The answer of a modem; name and id stay. */
void routeros_read_modem(const struct ros_sentence *row, struct routeros_modem *modem);
/* /system/resource; uptime_s is -1 when it is not told. */
void routeros_read_resource(const struct ros_sentence *row, struct router_health *ret_health, char *ret_version, size_t size);

#endif
