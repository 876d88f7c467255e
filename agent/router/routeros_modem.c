/*
 * routeros_modem: see routeros_modem.h. Called by routeros_monitor.c; what an answer says is read by
 * routeros_monitor_row.c.
 */
#include "agent/router/routeros_modem.h"

#include <errno.h>
#include <string.h>

#include "agent/router/routeros.h"
#include "agent/router/routeros_monitor.h"
#include "common/clock.h"
#include "common/log.h"

/* Its silence. on_end() follows, when the router has taken the question back. */
static void on_patience(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct routeros_modems *modems = timer->data;

	(void)loop;
	(void)revents;
	ros_api_cancel(modems->router->api, modems->tag);
}

void routeros_modems_init(struct routeros_modems *modems, struct router *router, struct ros_watch *watch,
			  routeros_asked_fn *on_asked, void *arg)
{
	*modems = (struct routeros_modems){ .router = router, .watch = watch, .on_asked = on_asked, .arg = arg };
	ev_init(&modems->patience, on_patience);
	modems->patience.data = modems;
}

void routeros_modems_begin(struct routeros_modems *modems)
{
	modems->count = modems->asked = 0;
	modems->has_silent = false;
}

void routeros_modems_take(struct routeros_modems *modems, const struct ros_sentence *row)
{
	const char *name = ros_find(row, "name");
	struct routeros_modem *modem;
	uint32_t id;

	if (!name || routeros_read_id(row, &id) < 0 || modems->count == LIMIT_WATCH_MODEMS || ros_row_is(row, "disabled"))
		return;
	modem = &modems->list[modems->count++];
	routeros_copy(modem->name, sizeof(modem->name), name);
	modem->id = id;
}

/* --- one after the other ------------------------------------------------------------------------------ */

static int on_row(void *arg, const struct ros_sentence *row)
{
	struct routeros_modems *modems = arg;
	struct routeros_modem *modem = &modems->list[modems->asked];
	struct ros_seen seen = { .watch = ROUTER_WATCH_LTE, .is_reading = true, .lasted_s = -1, .caller = "" };

	routeros_read_modem(row, modem);
	seen.id = modem->id;
	seen.name = modem->name;
	seen.state = modem->state;
	seen.address = seen.caller;
	seen.detail = modem->carrier;
	ros_watch_take(modems->watch, &seen, clock_mono_ms());
	return 0;
}

static void on_end(void *arg, const struct ros_result *result)
{
	struct routeros_modems *modems = arg;

	ev_timer_stop(modems->router->loop, &modems->patience);
	if (result->status == -ECONNRESET)
		return;
	if (result->status < 0 && !modems->is_told && result->status != -ECANCELED) {
		modems->is_told = true;
		routeros_trouble(modems->router, LOG_LEVEL_WARNING, "does not tell of its modem: %s", result->err.text);
	}
	modems->has_silent = modems->has_silent || result->status < 0;
	modems->asked++;
	routeros_modems_ask(modems);
}

void routeros_modems_ask(struct routeros_modems *modems)
{
	static const struct ros_answer answer = { .on_re = on_row, .on_end = on_end };
	bool is_seven = modems->router->model.major >= 7;
	struct err err = { "" };
	const char *name;
	struct buf *out;

	if (modems->asked >= modems->count) {
		modems->on_asked(modems->arg, !modems->has_silent);
		return;
	}
	name = modems->list[modems->asked].name;
	out = ros_api_begin(modems->router->api, is_seven ? "/interface/lte/monitor" : "/interface/lte/info");
	ros_put_text(out, is_seven ? "numbers" : "number", name);
	ros_put_attribute(out, "once", "", 0);
	if (ros_api_send(modems->router->api, 0, &answer, modems, &modems->tag, &err) < 0) {
		log_debug("router", "modem not asked: %s", err.text);
		modems->on_asked(modems->arg, false);
		return;
	}
	ev_now_update(modems->router->loop);
	ev_timer_set(&modems->patience, LIMIT_WATCH_MODEM_MS / 1000, 0);
	ev_timer_start(modems->router->loop, &modems->patience);
}

/* --- what is known of them ---------------------------------------------------------------------------- */

void routeros_modems_add_signal(const struct routeros_modems *modems, struct router_thing *thing)
{
	for (unsigned i = 0; thing->watch == ROUTER_WATCH_LTE && i < LIMIT_WATCH_MODEMS; i++) {
		const struct routeros_modem *modem = &modems->list[i];

		if (strcmp(modem->name, thing->name) != 0)
			continue;
		thing->carrier = modem->carrier;
		thing->told = modem->told;
		thing->rssi_dbm = modem->rssi_dbm;
		thing->rsrp_dbm = modem->rsrp_dbm;
		thing->rsrq_db = modem->rsrq_db;
		thing->sinr_db = modem->sinr_db;
	}
}
