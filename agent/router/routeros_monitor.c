/*
 * routeros_monitor: what happens on the router, beside its uplinks. Of each kind that the configuration wants:
 *
 *   listen (at once) -> rows -> ros_watch -> on_watch
 *   print (now and every so often) ---^        finds what listen did not tell, or what a lost session missed
 *
 * In a session: begin() listens, then reads every menu once, one print at a time, then each when it is due. A menu that the
 * router has not (no BGP on smips, no package) is left alone until the next session. One that does not tell changes
 * is read more often. A reading tells only the difference to what was known, so a new session repeats nothing.
 * Modems are asked when their menu was read, one by one (routeros_modem.h), before the next menu's turn.
 *
 * Called by routeros.c and routeros_live.c; all memory is allocated at creation.
 */
#include "agent/router/routeros_monitor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/routeros.h"
#include "agent/router/routeros_modem.h"
#include "common/clock.h"
#include "common/log.h"

struct menu {
	const char *paths[2]; /* of version 6, of version 7 and later */
	const char *proplist;
	const char *query[2]; /* words; none: all rows */
	enum router_watch watch;
	bool can_listen;
};

/* In the order of enum config_monitor. Dynamic interfaces are users', of whom /ppp/active tells; a port of the board has no `dynamic`. */
static const struct menu menus[CONFIG_MONITORS] = {
	[CONFIG_MONITOR_RESOURCES] = { { "/system/resource", "/system/resource" },
				       "version,uptime,cpu-load,free-memory,total-memory,free-hdd-space,total-hdd-space",
				       { NULL }, ROUTER_WATCH_NONE, false },
	[CONFIG_MONITOR_PPP] = { { "/ppp/active", "/ppp/active" },
				 ".id,name,service,caller-id,address,uptime", { NULL }, ROUTER_WATCH_PPP, true },
	[CONFIG_MONITOR_HOTSPOT] = { { "/ip/hotspot/active", "/ip/hotspot/active" },
				     ".id,user,address,mac-address,login-by,uptime", { NULL }, ROUTER_WATCH_HOTSPOT, true },
	[CONFIG_MONITOR_OSPF] = { { "/routing/ospf/neighbor", "/routing/ospf/neighbor" },
				  ".id,router-id,address,state,adjacency", { NULL }, ROUTER_WATCH_OSPF, true },
	[CONFIG_MONITOR_BGP] = { { "/routing/bgp/peer", "/routing/bgp/session" },
				 ".id,name,disabled,state,established,remote-address,remote-as,remote.address,remote.as,"
				 "prefix-count,uptime",
				 { NULL }, ROUTER_WATCH_BGP, true },
	[CONFIG_MONITOR_L2TP] = { { "/interface/l2tp-client", "/interface/l2tp-client" },
				  ".id,name,running,disabled,connect-to", { NULL }, ROUTER_WATCH_L2TP, true },
	[CONFIG_MONITOR_INTERFACES] = { { "/interface", "/interface" },
					".id,name,running,disabled,link-downs,rx-byte,tx-byte", { "?dynamic=true", "?#!" },
					ROUTER_WATCH_INTERFACE, false }, /* routeros_live.c listens */
	[CONFIG_MONITOR_NETWATCH] = { { "/tool/netwatch", "/tool/netwatch" },
				      ".id,host,comment,status,disabled", { NULL }, ROUTER_WATCH_NETWATCH, true },
	[CONFIG_MONITOR_LTE] = { { "/interface/lte", "/interface/lte" }, ".id,name,disabled", { NULL }, ROUTER_WATCH_LTE, false },
};

struct menu_state {
	struct router *router;
	const struct menu *menu;
	int64_t every_ms; /* 0: off */
	int64_t due_ms;
	bool is_missing, is_deaf;
	bool is_told; /* an error of its own, once for ever */
};

struct routeros_monitor {
	struct ros_watch *watch;
	ev_timer timer;
	bool is_running;
	struct menu_state menus[CONFIG_MONITORS];
	struct menu_state *reading; /* NULL: none */
	struct routeros_modems modems; /* being asked, while `reading` is that of LTE */
	bool has_uptime; /* it was told once */
	int64_t booted_ms; /* on our clock */
	struct router_health health;
	char version[LIMIT_WATCH_NAME];
};

static void pump(struct router *router);

static unsigned generation(const struct router *router)
{
	return router->model.major >= 7;
}

static bool is_missing_command(const struct ros_result *result)
{
	return result->status == -EREMOTEIO && strstr(result->err.text, "no such command");
}

/* --- rows --------------------------------------------------------------------------------------------- */

static void on_change(void *arg, const struct router_change *change)
{
	struct router *router = arg;

	if (router->events.on_watch)
		router->events.on_watch(router->events_arg, change);
}

static void take_resource(struct router *router, const struct ros_sentence *row)
{
	struct routeros_monitor *monitor = router->monitor;
	char previous[sizeof(monitor->version)];
	struct router_health health;
	int64_t booted_ms;

	memcpy(previous, monitor->version, sizeof(previous));
	routeros_read_resource(row, &health, monitor->version, sizeof(monitor->version));
	if (health.uptime_s < 0) { /* not told this time: it runs on */
		health.uptime_s = monitor->health.uptime_s;
		monitor->health = health;
		return;
	}
	booted_ms = clock_mono_ms() - health.uptime_s * 1000;
	if (monitor->has_uptime &&
	    (health.uptime_s < monitor->health.uptime_s || booted_ms > monitor->booted_ms + LIMIT_WATCH_SLACK_MS)) {
		struct router_restart restart = { health.uptime_s, monitor->version, previous };

		if (router->events.on_restart)
			router->events.on_restart(router->events_arg, &restart);
	}
	monitor->has_uptime = true;
	monitor->health = health;
	monitor->booted_ms = booted_ms;
}

static void take_row(struct menu_state *state, const struct ros_sentence *row, bool is_reading)
{
	struct routeros_monitor *monitor = state->router->monitor;
	struct ros_seen seen;

	if (state == &monitor->menus[CONFIG_MONITOR_RESOURCES])
		take_resource(state->router, row);
	else if (state == &monitor->menus[CONFIG_MONITOR_LTE])
		routeros_modems_take(&monitor->modems, row);
	else if (routeros_read_row(state->menu->watch, row, is_reading, &seen) == 0)
		ros_watch_take(monitor->watch, &seen, clock_mono_ms());
}

static int on_read_row(void *arg, const struct ros_sentence *row)
{
	take_row(arg, row, true);
	return 0;
}

static int on_heard_row(void *arg, const struct ros_sentence *row)
{
	struct menu_state *state = arg;

	take_row(state, row, false);
	pump(state->router); /* something may have been held back: sets the timer */
	return 0;
}

void routeros_monitor_take_interface(struct router *router, const struct ros_sentence *row)
{
	struct menu_state *state = &router->monitor->menus[CONFIG_MONITOR_INTERFACES];
	struct ros_seen seen;

	/* Those that are new may be users': which ones, only a reading tells. */
	if (!router->monitor->is_running || state->every_ms == 0 ||
	    routeros_read_row(ROUTER_WATCH_INTERFACE, row, false, &seen) < 0)
		return;
	seen.name = NULL;
	ros_watch_take(router->monitor->watch, &seen, clock_mono_ms());
	pump(router);
}

/* --- readings ----------------------------------------------------------------------------------------- */

static void end_reading(struct menu_state *state, const struct ros_result *result)
{
	struct routeros_monitor *monitor = state->router->monitor;
	int64_t now_ms = clock_mono_ms();
	int64_t every_ms = state->is_deaf && state->every_ms > LIMIT_WATCH_DEAF_MS ? LIMIT_WATCH_DEAF_MS : state->every_ms;

	monitor->reading = NULL;
	state->due_ms = now_ms + every_ms;
	if (result->status == 0 && state->menu->watch != ROUTER_WATCH_NONE) {
		ros_watch_end(monitor->watch, state->menu->watch, now_ms);
	} else if (is_missing_command(result)) {
		state->is_missing = true;
	} else if (result->status == -EREMOTEIO && !state->is_told) {
		state->is_told = true;
		routeros_trouble(state->router, LOG_LEVEL_WARNING, "does not let itself be watched: %s", result->err.text);
	}
	pump(state->router);
}

static void on_print_end(void *arg, const struct ros_result *result)
{
	struct menu_state *state = arg;

	if (ros_result_is_lost(result))
		return; /* the next session begins anew */
	if (result->status == 0 && state->menu->watch == ROUTER_WATCH_LTE)
		routeros_modems_ask(&state->router->monitor->modems);
	else
		end_reading(state, result);
}

static void on_modems_asked(void *arg, bool is_whole)
{
	const struct ros_result result = { .status = is_whole ? 0 : -ECANCELED };

	end_reading(arg, &result);
}

static void send_print(struct menu_state *state)
{
	static const struct ros_answer answer = { .on_re = on_read_row, .on_end = on_print_end };
	struct router *router = state->router;
	struct routeros_monitor *monitor = router->monitor;
	char path[LIMIT_ROS_PATH];
	struct err err = { "" };
	struct buf *out;

	snprintf(path, sizeof(path), "%s/print", state->menu->paths[generation(router)]);
	out = ros_api_begin(router->api, path);
	ros_put_text(out, ".proplist", state->menu->proplist);
	for (size_t i = 0; i < 2 && state->menu->query[i]; i++)
		ros_put_word(out, state->menu->query[i]);
	if (ros_api_send(router->api, LIMIT_ROS_PRINT_MS, &answer, state, NULL, &err) < 0) {
		log_debug("router", "not read: %s", err.text);
		state->due_ms = clock_mono_ms() + LIMIT_WATCH_AGAIN_MS;
		return;
	}
	monitor->reading = state;
	if (state->menu->watch != ROUTER_WATCH_NONE)
		ros_watch_begin(monitor->watch, state->menu->watch);
	if (state->menu->watch == ROUTER_WATCH_LTE)
		routeros_modems_begin(&monitor->modems);
}

static void on_listen_end(void *arg, const struct ros_result *result)
{
	struct menu_state *state = arg;

	if (is_missing_command(result))
		state->is_missing = true;
	else if (!ros_result_is_lost(result))
		state->is_deaf = true;
}

static void listen_to(struct menu_state *state)
{
	static const struct ros_answer answer = { .on_re = on_heard_row, .on_end = on_listen_end };
	struct router *router = state->router;
	char path[LIMIT_ROS_PATH], proplist[LIMIT_ROS_WORD_BYTES / 4];
	struct err err = { "" };
	struct buf *out;

	snprintf(path, sizeof(path), "%s/listen", state->menu->paths[generation(router)]);
	snprintf(proplist, sizeof(proplist), ".dead,%s", state->menu->proplist);
	out = ros_api_begin(router->api, path);
	ros_put_text(out, ".proplist", proplist);
	state->is_deaf = ros_api_send(router->api, 0, &answer, state, NULL, &err) < 0;
	if (state->is_deaf)
		log_debug("router", "not listened to: %s", err.text);
}

/* --- what is due -------------------------------------------------------------------------------------- */

static struct menu_state *next_due(struct routeros_monitor *monitor)
{
	struct menu_state *next = NULL;

	for (unsigned i = 0; i < CONFIG_MONITORS; i++) {
		struct menu_state *state = &monitor->menus[i];

		if (state->every_ms > 0 && !state->is_missing && (!next || state->due_ms < next->due_ms))
			next = state;
	}
	return next;
}

/* Reads what is due, unless something is being read; sets the timer for what comes next. */
static void pump(struct router *router)
{
	struct routeros_monitor *monitor = router->monitor;
	int64_t now_ms = clock_mono_ms(), at_ms;
	struct menu_state *next;

	if (monitor->is_running && !monitor->reading) {
		next = next_due(monitor);
		if (next && next->due_ms <= now_ms)
			send_print(next);
	}
	at_ms = ros_watch_deadline(monitor->watch);
	next = next_due(monitor);
	if (monitor->is_running && !monitor->reading && next && next->due_ms < at_ms)
		at_ms = next->due_ms;
	ev_timer_stop(router->loop, &monitor->timer);
	if (at_ms == INT64_MAX)
		return;
	ev_timer_set(&monitor->timer, at_ms > now_ms ? (ev_tstamp)(at_ms - now_ms) / 1000 : 0, 0);
	ev_timer_start(router->loop, &monitor->timer);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct router *router = timer->data;

	(void)loop;
	(void)revents;
	ros_watch_on_time(router->monitor->watch, clock_mono_ms());
	pump(router);
}

/* --- life --------------------------------------------------------------------------------------------- */

int routeros_monitor_create(struct router *router, struct err *err)
{
	struct routeros_monitor *monitor = calloc(1, sizeof(*monitor));

	if (!monitor || ros_watch_create(on_change, router, &monitor->watch) < 0) {
		free(monitor);
		return err_sys(err, -ENOMEM, "the monitor of the router");
	}
	for (unsigned i = 0; i < CONFIG_MONITORS; i++)
		monitor->menus[i] = (struct menu_state){
			.router = router, .menu = &menus[i], .every_ms = router->config->monitor_ms[i]
		};
	routeros_modems_init(&monitor->modems, router, monitor->watch, on_modems_asked, &monitor->menus[CONFIG_MONITOR_LTE]);
	ev_init(&monitor->timer, on_time);
	monitor->timer.data = router;
	router->monitor = monitor;
	return 0;
}

void routeros_monitor_destroy(struct router *router)
{
	if (!router->monitor)
		return;
	ev_timer_stop(router->loop, &router->monitor->timer);
	ros_watch_destroy(router->monitor->watch);
	free(router->monitor);
	router->monitor = NULL;
}

void routeros_monitor_begin(struct router *router)
{
	struct routeros_monitor *monitor = router->monitor;
	int64_t now_ms = clock_mono_ms();

	if (monitor->is_running)
		return;
	monitor->is_running = true;
	for (unsigned i = 0; i < CONFIG_MONITORS; i++) {
		struct menu_state *state = &monitor->menus[i];

		state->due_ms = now_ms;
		state->is_missing = state->is_deaf = false;
		if (state->every_ms > 0 && state->menu->can_listen)
			listen_to(state);
	}
	pump(router);
}

void routeros_monitor_lost(struct router *router)
{
	router->monitor->is_running = false;
	router->monitor->reading = NULL;
	pump(router);
}

/* --- what it is like now -------------------------------------------------------------------------------- */

struct each {
	const struct routeros_modems *modems;
	router_thing_fn *on_thing;
	void *arg;
};

static void take_thing(void *arg, const struct router_thing *thing)
{
	const struct each *each = arg;
	struct router_thing whole = *thing;

	routeros_modems_add_signal(each->modems, &whole);
	each->on_thing(each->arg, &whole);
}

int routeros_read_watched(struct router *router, struct router_health *ret_health, router_thing_fn *on_thing, void *arg)
{
	struct routeros_monitor *monitor = router->monitor;
	struct each each = { &monitor->modems, on_thing, arg };
	int64_t now_ms = clock_mono_ms();

	if (!monitor->is_running)
		return -ENODATA; /* what was read before the session was lost may be long ago */
	*ret_health = monitor->health;
	ret_health->version = monitor->version;
	ret_health->uptime_s = monitor->has_uptime ? (now_ms - monitor->booted_ms) / 1000 : 0;
	ret_health->ppp_users = ros_watch_count(monitor->watch, ROUTER_WATCH_PPP);
	ret_health->hotspot_users = ros_watch_count(monitor->watch, ROUTER_WATCH_HOTSPOT);
	ret_health->unwatched = ros_watch_unwatched(monitor->watch);
	ros_watch_each(monitor->watch, now_ms, take_thing, &each);
	return 0;
}
