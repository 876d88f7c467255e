/*
 * ingest_watch: see ingest_watch.h. Called by ingest_message.c (checks) and ingest_rows.c (rows).
 */
#include "collector/ingest_watch.h"

#include <inttypes.h>
#include <string.h>

#include "collector/json_row.h"
#include "common/buf.h"
#include "common/limits.h"

#define SECONDS_MAX (2 * LIMIT_WATCH_UPTIME_S) /* agents count on from what routers tell */
#define TEXT_BYTES 512

static const struct {
	const char *name, *what, *up, *down;
} kinds[] = {
	[JAGA__V1__WATCH__WATCH_UNKNOWN] = { "watch", "something", "is up", "is down" },
	[JAGA__V1__WATCH__WATCH_PPP] = { "ppp", "PPP user", "logged in", "logged out" },
	[JAGA__V1__WATCH__WATCH_HOTSPOT] = { "hotspot", "Hotspot user", "logged in", "logged out" },
	[JAGA__V1__WATCH__WATCH_OSPF] = { "ospf", "OSPF neighbour", "is full", "is lost" },
	[JAGA__V1__WATCH__WATCH_BGP] = { "bgp", "BGP peer", "is established", "is lost" },
	[JAGA__V1__WATCH__WATCH_L2TP] = { "l2tp", "L2TP tunnel", "is up", "is down" },
	[JAGA__V1__WATCH__WATCH_LTE] = { "lte", "LTE modem", "is registered", "lost its registration" },
	[JAGA__V1__WATCH__WATCH_INTERFACE] = { "interface", "interface", "is up", "is down" },
	[JAGA__V1__WATCH__WATCH_NETWATCH] = { "netwatch", "Netwatch host", "is up", "is down" },
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* What a newer agent knows and this collector does not. */
static unsigned kind_of(int watch)
{
	return watch < 0 || (size_t)watch >= N_KINDS ? 0 : (unsigned)watch;
}

const char *ingest_watch_name(int watch)
{
	return kinds[kind_of(watch)].name;
}

const char *ingest_watch_state_name(int state)
{
	static const char *const names[] = { "unknown", "up", "down" };

	return state < 0 || state > 2 ? names[0] : names[state];
}

/* --- checks ------------------------------------------------------------------------------------------- */

static bool is_name(const ProtobufCBinaryData *bytes)
{
	return bytes->len > 0 && bytes->len <= LIMIT_WATCH_NAME;
}

static bool is_short(const ProtobufCBinaryData *bytes)
{
	return bytes->len <= LIMIT_WATCH_NAME;
}

static bool is_duration(int64_t seconds)
{
	return seconds >= 0 && seconds <= SECONDS_MAX;
}

const char *ingest_check_watch(const Jaga__V1__WatchChange *change)
{
	if (change->n_names == 0 || change->n_names > LIMIT_WATCH_NAMES)
		return "events.watch.names: not 1 to 16";
	for (size_t i = 0; i < change->n_names; i++)
		if (!is_name(&change->names[i]))
			return "events.watch.names: not 1 to 40 bytes";
	if (!is_short(&change->address) || !is_short(&change->caller) || !is_short(&change->detail))
		return "events.watch: a text longer than 40 bytes";
	return is_duration(change->lasted_ms / 1000) ? NULL : "events.watch.lasted_ms: not a duration";
}

const char *ingest_check_restart(const Jaga__V1__RouterRestart *restart)
{
	if (strlen(restart->version) >= LIMIT_TEXT || strlen(restart->previous_version) >= LIMIT_TEXT)
		return "events.restart: a version longer than 95 bytes";
	return is_duration(restart->uptime_s) ? NULL : "events.restart.uptime_s: not a duration";
}

const char *ingest_check_watched(const Jaga__V1__Sample *sample)
{
	if (sample->router && (strlen(sample->router->version) >= LIMIT_TEXT || !is_duration(sample->router->uptime_s)))
		return "samples.router: version or uptime_s";
	for (size_t i = 0; i < sample->n_watches; i++)
		if (!is_name(&sample->watches[i]->name) || !is_duration(sample->watches[i]->lasted_s))
			return "samples.watches: name or lasted_s";
	for (size_t i = 0; i < sample->n_interfaces; i++)
		if (!is_name(&sample->interfaces[i]->name))
			return "samples.interfaces.name: not 1 to 40 bytes";
	for (size_t i = 0; i < sample->n_modems; i++)
		if (!is_name(&sample->modems[i]->name) || !is_short(&sample->modems[i]->operator_))
			return "samples.modems: name or operator";
	return NULL;
}

/* --- the fleet ---------------------------------------------------------------------------------------- */

static void count_users(struct fleet_watched *watched, const Jaga__V1__WatchChange *change)
{
	uint32_t *users = change->watch == JAGA__V1__WATCH__WATCH_PPP ? &watched->ppp_users : &watched->hotspot_users;
	uint32_t n = change->count > 1 ? change->count : 1;

	if (change->to == JAGA__V1__WATCH_STATE__WATCH_STATE_UP)
		*users += n;
	else
		*users -= n < *users ? n : *users;
}

/* Between two samples; the next one tells the whole. */
void ingest_apply_watch(struct fleet_device *device, const Jaga__V1__WatchChange *change, int64_t time_ms)
{
	if (!device->watched)
		return;
	if (change->watch == JAGA__V1__WATCH__WATCH_PPP || change->watch == JAGA__V1__WATCH__WATCH_HOTSPOT) {
		count_users(device->watched, change);
		return;
	}
	for (size_t i = 0; i < change->n_names; i++) {
		struct fleet_thing *thing = fleet_watch_find(device->watched, (int)change->watch, change->names[i].data,
							     change->names[i].len);

		if (thing)
			fleet_thing_set_state(thing, (int)change->to, time_ms);
	}
}

static void copy_bytes(char ret_text[static LIMIT_WATCH_NAME + 1], const ProtobufCBinaryData *bytes)
{
	if (bytes->len > 0)
		memcpy(ret_text, bytes->data, bytes->len);
	ret_text[bytes->len] = '\0';
}

static void apply_router(struct fleet_watched *watched, const Jaga__V1__RouterSample *router, int64_t time_ms)
{
	fleet_watch_begin(watched, time_ms);
	memcpy(watched->version, router->version, strlen(router->version) + 1);
	watched->uptime_s = router->uptime_s;
	watched->cpu_percent = router->cpu_percent;
	watched->memory_free_bytes = router->memory_free_bytes;
	watched->memory_bytes = router->memory_bytes;
	watched->disk_free_bytes = router->disk_free_bytes;
	watched->disk_bytes = router->disk_bytes;
	watched->ppp_users = router->ppp_users;
	watched->hotspot_users = router->hotspot_users;
	watched->unwatched = router->unwatched;
}

static void apply_modem(struct fleet_watched *watched, const Jaga__V1__ModemSample *modem, int64_t time_ms)
{
	struct fleet_thing *thing = fleet_watch_put(watched, JAGA__V1__WATCH__WATCH_LTE, modem->name.data, modem->name.len);

	if (!thing)
		return;
	fleet_thing_set_state(thing, (int)modem->state, time_ms);
	copy_bytes(thing->carrier, &modem->operator_);
	thing->told = modem->told;
	thing->rssi_dbm = modem->rssi_dbm;
	thing->rsrp_dbm = modem->rsrp_dbm;
	thing->rsrq_db = modem->rsrq_db;
	thing->sinr_db = modem->sinr_db;
}

void ingest_apply_watched(struct fleet_device *device, const Jaga__V1__Sample *sample, int64_t time_ms)
{
	bool is_watched = sample->router || sample->n_watches + sample->n_interfaces + sample->n_modems > 0;
	struct fleet_watched *watched = is_watched ? fleet_watch_get(&device->watched) : NULL;
	struct fleet_thing *thing;

	if (!watched)
		return;
	if (sample->router)
		apply_router(watched, sample->router, time_ms);
	for (size_t i = 0; i < sample->n_watches; i++) {
		const Jaga__V1__WatchSample *at = sample->watches[i];

		thing = fleet_watch_put(watched, (int)at->watch, at->name.data, at->name.len);
		if (!thing)
			continue;
		fleet_thing_set_state(thing, (int)at->state, at->lasted_s > 0 ? time_ms - at->lasted_s * 1000 : time_ms);
		thing->remote_as = at->remote_as;
		thing->prefixes = at->prefixes;
	}
	for (size_t i = 0; i < sample->n_interfaces; i++) {
		const Jaga__V1__InterfaceSample *at = sample->interfaces[i];

		thing = fleet_watch_put(watched, JAGA__V1__WATCH__WATCH_INTERFACE, at->name.data, at->name.len);
		if (!thing)
			continue;
		fleet_thing_set_state(thing, (int)at->state, time_ms);
		fleet_thing_count(thing, at->rx_bytes, at->tx_bytes, time_ms);
		thing->link_downs = at->link_downs;
	}
	for (size_t i = 0; i < sample->n_modems; i++)
		apply_modem(watched, sample->modems[i], time_ms);
}

/* --- rows --------------------------------------------------------------------------------------------- */

static void set_bytes(json_t *row, const char *key, const ProtobufCBinaryData *bytes)
{
	if (bytes->len > 0)
		json_object_set_new(row, key, json_row_text((const char *)bytes->data, bytes->len));
}

static void put_bytes(struct buf *text, const char *before, const ProtobufCBinaryData *bytes)
{
	if (bytes->len == 0)
		return;
	buf_puts(text, before);
	buf_put(text, bytes->data, bytes->len);
}

/* What an older collector let in may name nobody. */
static const ProtobufCBinaryData *first_name(const Jaga__V1__WatchChange *change)
{
	static const ProtobufCBinaryData nobody = { 0, NULL };

	return change->n_names > 0 ? &change->names[0] : &nobody;
}

/* "12 PPP users logged out: ana, bo and 10 more" */
static void put_many(struct buf *text, const Jaga__V1__WatchChange *change)
{
	unsigned kind = kind_of((int)change->watch);
	const char *verb = change->to == JAGA__V1__WATCH_STATE__WATCH_STATE_UP ? kinds[kind].up : kinds[kind].down;

	/* "is up" of many is "up" */
	buf_printf(text, "%" PRIu32 " %ss %s", change->count, kinds[kind].what,
		   change->flaps > 0 ? "flapped" : strncmp(verb, "is ", 3) == 0 ? verb + 3 : verb);
	for (size_t i = 0; i < change->n_names; i++)
		put_bytes(text, i == 0 ? ": " : ", ", &change->names[i]);
	if (change->count > change->n_names)
		buf_printf(text, " and %" PRIu32 " more", change->count - (uint32_t)change->n_names);
}

static void put_one(struct buf *text, const Jaga__V1__WatchChange *change)
{
	bool is_up = change->to == JAGA__V1__WATCH_STATE__WATCH_STATE_UP;
	unsigned kind = kind_of((int)change->watch);

	buf_puts(text, kinds[kind].what);
	put_bytes(text, " ", first_name(change));
	if (change->flaps > 0)
		buf_printf(text, is_up ? " went down and came back" : " came back and went down");
	else
		buf_printf(text, " %s", is_up ? kinds[kind].up : kinds[kind].down);
	if (change->flaps > 1)
		buf_printf(text, " %" PRIu32 " times", change->flaps);
	put_bytes(text, ", ", &change->detail);
	put_bytes(text, ", ", &change->address);
	put_bytes(text, ", ", &change->caller);
}

void ingest_fill_watch(json_t *row, const Jaga__V1__WatchChange *change)
{
	char memory[TEXT_BYTES + LIMIT_WATCH_NAMES * (LIMIT_WATCH_NAME + 2)];
	json_t *names = json_array();
	struct buf text;

	buf_init(&text, memory, sizeof(memory));
	if (change->count > 1)
		put_many(&text, change);
	else
		put_one(&text, change);
	json_object_set_new(row, "kind", json_string(ingest_watch_name((int)change->watch)));
	json_object_set_new(row, "text", json_row_text(text.data, text.length));
	json_object_set_new(row, "to", json_string(ingest_watch_state_name((int)change->to)));
	set_bytes(row, "name", first_name(change));
	for (size_t i = 0; i < change->n_names; i++)
		json_array_append_new(names, json_row_text((const char *)change->names[i].data, change->names[i].len));
	if (change->count > 1) {
		json_object_set(row, "names", names);
		json_row_set_number(row, "count", change->count);
	}
	json_decref(names);
	json_row_set_number(row, "flaps", change->flaps);
	json_row_set_number(row, "lasted_ms", change->lasted_ms);
	set_bytes(row, "address", &change->address);
	set_bytes(row, "caller", &change->caller);
	set_bytes(row, "detail", &change->detail);
}

void ingest_fill_restart(json_t *row, const Jaga__V1__RouterRestart *restart, int64_t time_ms)
{
	char memory[TEXT_BYTES];
	struct buf text;

	buf_init(&text, memory, sizeof(memory));
	buf_puts(&text, "the router has restarted");
	if (strcmp(restart->version, restart->previous_version) != 0)
		buf_printf(&text, ", its version is %s, it was %s", restart->version, restart->previous_version);
	json_object_set_new(row, "kind", json_string("restart"));
	json_row_set_text(row, "text", text.data);
	if (is_duration(restart->uptime_s)) /* an older collector let in what is none */
		json_row_set_number(row, "booted_ms", time_ms - restart->uptime_s * 1000);
	json_row_set_text(row, "version", restart->version);
	json_row_set_text(row, "previous_version", restart->previous_version);
}
