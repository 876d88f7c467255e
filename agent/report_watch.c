/*
 * report_watch: what a driver watches beside the uplinks, as records of proto/jaga.proto. See report.h; called by agent.c.
 *
 * Names are bytes that users and neighbours chose: they travel as bytes, and the collector makes text of them. Of a
 * moment's things a record takes as many as fit beside its head; the first has the device's own numbers and by that
 * says where the moment begins.
 */
#include "agent/report.h"

#include <errno.h>
#include <string.h>

#include "agent/report_record.h"
#include "common/wire.h"

#define THINGS_A_RECORD 8 /* names of 39 bytes and all numbers large: 8 x 90 bytes */

_Static_assert((int)ROUTER_WATCH_NETWATCH == JAGA__V1__WATCH__WATCH_NETWATCH, "numbers are those on the wire");
_Static_assert((int)ROUTER_STATE_DOWN == JAGA__V1__WATCH_STATE__WATCH_STATE_DOWN, "");

static ProtobufCBinaryData bytes_of(const char *text)
{
	return (ProtobufCBinaryData){ strnlen(text, LIMIT_WATCH_NAME), (uint8_t *)(uintptr_t)text };
}

void report_watch(struct report *report, const struct router_change *change, int64_t now_ms)
{
	Jaga__V1__Event event = JAGA__V1__EVENT__INIT;
	Jaga__V1__WatchChange out = JAGA__V1__WATCH_CHANGE__INIT;
	ProtobufCBinaryData names[LIMIT_WATCH_NAMES];

	for (unsigned i = 0; i < change->n_names; i++)
		names[i] = bytes_of(change->names[i]);
	out.watch = (Jaga__V1__Watch)change->watch;
	out.to = (Jaga__V1__WatchState)change->to;
	out.n_names = change->n_names;
	out.names = names;
	out.count = change->count > 1 ? change->count : 0;
	out.flaps = change->flaps;
	out.lasted_ms = change->lasted_ms;
	out.address = bytes_of(change->address);
	out.caller = bytes_of(change->caller);
	out.detail = bytes_of(change->detail);
	event.seq = spool_next_seq(report->spool);
	event.at_ms = now_ms;
	event.kind_case = JAGA__V1__EVENT__KIND_WATCH;
	event.watch = &out;
	report_add_record(report, SPOOL_EVENT, &event.base, true);
}

void report_restart(struct report *report, const struct router_restart *restart, int64_t now_ms)
{
	Jaga__V1__Event event = JAGA__V1__EVENT__INIT;
	Jaga__V1__RouterRestart out = JAGA__V1__ROUTER_RESTART__INIT;

	out.uptime_s = restart->uptime_s;
	out.version = (char *)(uintptr_t)restart->version;
	out.previous_version = (char *)(uintptr_t)restart->previous_version;
	event.seq = spool_next_seq(report->spool);
	event.at_ms = now_ms;
	event.kind_case = JAGA__V1__EVENT__KIND_RESTART;
	event.restart = &out;
	report_add_record(report, SPOOL_EVENT, &event.base, true);
}

/* --- samples ------------------------------------------------------------------------------------------ */

struct page { /* a record under construction; its pointers go into itself */
	struct report *report;
	const struct report_sample *sample;
	int64_t now_ms;
	struct router_health health;
	bool is_first;
	unsigned n, n_watches, n_interfaces, n_modems;
	char names[THINGS_A_RECORD][LIMIT_WATCH_NAME], carriers[THINGS_A_RECORD][LIMIT_WATCH_NAME];
	Jaga__V1__WatchSample watches[THINGS_A_RECORD], *watch_list[THINGS_A_RECORD];
	Jaga__V1__InterfaceSample interfaces[THINGS_A_RECORD], *interface_list[THINGS_A_RECORD];
	Jaga__V1__ModemSample modems[THINGS_A_RECORD], *modem_list[THINGS_A_RECORD];
};

static void fill_router(Jaga__V1__RouterSample *out, const struct router_health *health)
{
	out->version = (char *)(uintptr_t)health->version;
	out->uptime_s = health->uptime_s;
	out->cpu_percent = health->cpu_percent;
	out->memory_free_bytes = health->memory_free_bytes;
	out->memory_bytes = health->memory_bytes;
	out->disk_free_bytes = health->disk_free_bytes;
	out->disk_bytes = health->disk_bytes;
	out->ppp_users = health->ppp_users;
	out->hotspot_users = health->hotspot_users;
	out->unwatched = health->unwatched;
}

static void send_page(struct page *page)
{
	Jaga__V1__Sample out = JAGA__V1__SAMPLE__INIT;
	Jaga__V1__RouterSample router = JAGA__V1__ROUTER_SAMPLE__INIT;

	fill_router(&router, &page->health);

	out.seq = spool_next_seq(page->report->spool);
	out.at_ms = page->now_ms;
	report_fill_load(&out, page->sample);
	out.router = page->is_first ? &router : NULL;
	out.n_watches = page->n_watches;
	out.watches = page->watch_list;
	out.n_interfaces = page->n_interfaces;
	out.interfaces = page->interface_list;
	out.n_modems = page->n_modems;
	out.modems = page->modem_list;
	report_add_record(page->report, SPOOL_SAMPLE, &out.base, false);
	page->is_first = false;
	page->n = page->n_watches = page->n_interfaces = page->n_modems = 0;
}

static void put_interface(struct page *page, const struct router_thing *thing, ProtobufCBinaryData name)
{
	Jaga__V1__InterfaceSample *out = &page->interfaces[page->n_interfaces];

	jaga__v1__interface_sample__init(out);
	out->name = name;
	out->state = (Jaga__V1__WatchState)thing->state;
	out->rx_bytes = thing->rx_bytes;
	out->tx_bytes = thing->tx_bytes;
	out->link_downs = thing->link_downs;
	page->interface_list[page->n_interfaces++] = out;
}

static void put_modem(struct page *page, const struct router_thing *thing, ProtobufCBinaryData name)
{
	Jaga__V1__ModemSample *out = &page->modems[page->n_modems];

	jaga__v1__modem_sample__init(out);
	out->name = name;
	out->state = (Jaga__V1__WatchState)thing->state;
	memcpy(page->carriers[page->n], thing->carrier, strlen(thing->carrier) + 1);
	out->operator_ = bytes_of(page->carriers[page->n]);
	out->told = thing->told;
	out->rssi_dbm = thing->rssi_dbm;
	out->rsrp_dbm = thing->rsrp_dbm;
	out->rsrq_db = thing->rsrq_db;
	out->sinr_db = thing->sinr_db;
	page->modem_list[page->n_modems++] = out;
}

static void put_watch(struct page *page, const struct router_thing *thing, ProtobufCBinaryData name)
{
	Jaga__V1__WatchSample *out = &page->watches[page->n_watches];

	jaga__v1__watch_sample__init(out);
	out->watch = (Jaga__V1__Watch)thing->watch;
	out->state = (Jaga__V1__WatchState)thing->state;
	out->name = name;
	out->lasted_s = thing->lasted_s;
	out->remote_as = thing->remote_as;
	out->prefixes = thing->prefixes;
	page->watch_list[page->n_watches++] = out;
}

static void on_thing(void *arg, const struct router_thing *thing)
{
	struct page *page = arg;
	ProtobufCBinaryData name;

	/* The first has the device's own numbers, as large as two things. */
	if (page->n + (page->is_first ? 2 : 0) >= THINGS_A_RECORD)
		send_page(page);
	memcpy(page->names[page->n], thing->name, strlen(thing->name) + 1);
	name = bytes_of(page->names[page->n]);
	if (thing->watch == ROUTER_WATCH_INTERFACE)
		put_interface(page, thing, name);
	else if (thing->watch == ROUTER_WATCH_LTE)
		put_modem(page, thing, name);
	else
		put_watch(page, thing, name);
	page->n++;
}

void report_watched(struct report *report, const struct router_ops *ops, struct router *router,
		    const struct report_sample *sample, int64_t now_ms)
{
	struct page page = { .report = report, .sample = sample, .now_ms = now_ms, .is_first = true };

	if (!ops->read_watched || !report->config->has_collector ||
	    ops->read_watched(router, &page.health, on_thing, &page) < 0)
		return;
	if (page.is_first || page.n > 0)
		send_page(&page);
}
