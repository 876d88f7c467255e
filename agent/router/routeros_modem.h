/*
 * routeros_modem: the LTE modems of a router, asked one by one (MikroTik's manual, "LTE": /interface/lte/monitor, in
 * version 6 /interface/lte/info).
 *
 *   begin -> take (a row of /interface/lte) ... -> ask -> an answer after the other -> ros_watch -> on_asked
 *
 * Asking a modem takes it a while, since it asks its firmware; an answer that does not come is given up after
 * LIMIT_WATCH_MODEM_MS, and the next one's turn comes. Part of the monitor, which says when; loop thread only.
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_MODEM_H
#define JAGA_AGENT_ROUTER_ROUTEROS_MODEM_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/router/ros_codec.h"
#include "agent/router/ros_watch.h"

struct router;

struct routeros_modem {
	uint32_t id;
	char name[LIMIT_WATCH_NAME];
	char carrier[LIMIT_WATCH_NAME];
	enum router_state state;
	uint32_t told; /* as in struct router_thing */
	int32_t rssi_dbm, rsrp_dbm, rsrq_db, sinr_db;
};

/* is_whole: each of them has answered, so that those that are not among them are gone. */
typedef void routeros_asked_fn(void *arg, bool is_whole);

struct routeros_modems {
	struct router *router;
	struct ros_watch *watch;
	routeros_asked_fn *on_asked;
	void *arg;
	unsigned count, asked; /* asked: whose answer is awaited */
	bool has_silent;       /* one of them has not answered: what it is like is not known */
	bool is_told;	       /* that one refuses, once for ever */
	uint32_t tag;	       /* of the question under way */
	ev_timer patience;     /* with it */
	struct routeros_modem list[LIMIT_WATCH_MODEMS];
};

/* router, watch: borrowed. Its end is that of the session: nothing is under way then. */
void routeros_modems_init(struct routeros_modems *modems, struct router *router, struct ros_watch *watch,
			  routeros_asked_fn *on_asked, void *arg);
void routeros_modems_begin(struct routeros_modems *modems);
void routeros_modems_take(struct routeros_modems *modems, const struct ros_sentence *row);
/* The rows are whole. on_asked follows, inside the call when there is none to ask; not when the session is lost meanwhile. */
void routeros_modems_ask(struct routeros_modems *modems);

/* ros_watch knows of a modem what it knows of all things; its signal and operator are added here. */
void routeros_modems_add_signal(const struct routeros_modems *modems, struct router_thing *thing);

#endif
