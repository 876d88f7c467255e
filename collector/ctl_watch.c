/*
 * ctl_watch: what is watched on a router, as rows of the control socket (ctl.h describes them). Read by ctl_fleet.c and
 * ctl_status.c.
 */
#include "collector/ctl_internal.h"

#include <string.h>

#include "collector/fleet_watch.h"
#include "collector/ingest_watch.h"
#include "collector/json_row.h"

static void set(json_t *row, const char *key, uint64_t value)
{
	json_object_set_new(row, key, json_integer((json_int_t)(value & INT64_MAX)));
}

static void set_signal(json_t *row, const struct fleet_thing *thing)
{
	static const char *const keys[] = { "rssi_dbm", "rsrp_dbm", "rsrq_db", "sinr_db" };
	const int32_t values[] = { thing->rssi_dbm, thing->rsrp_dbm, thing->rsrq_db, thing->sinr_db };

	json_row_set_text(row, "operator", thing->carrier);
	for (unsigned i = 0; i < 4; i++)
		if (thing->told & 1u << i)
			json_object_set_new(row, keys[i], json_integer(values[i]));
}

static json_t *make_thing(const struct fleet_thing *thing)
{
	json_t *row = json_object();

	json_object_set_new(row, "watch", json_string(ingest_watch_name(thing->watch)));
	json_row_set_text(row, "name", thing->name);
	json_object_set_new(row, "state", json_string(ingest_watch_state_name(thing->state)));
	json_row_set_number(row, "since_ms", thing->since_ms);
	json_row_set_number(row, "remote_as", thing->remote_as);
	json_row_set_number(row, "prefixes", thing->prefixes);
	if (thing->at_ms != 0) {
		set(row, "rx_bytes", thing->rx_bytes);
		set(row, "tx_bytes", thing->tx_bytes);
		set(row, "rx_bits_per_s", thing->rx_bits_per_s);
		set(row, "tx_bits_per_s", thing->tx_bits_per_s);
		set(row, "link_downs", thing->link_downs);
	}
	set_signal(row, thing);
	return row;
}

json_t *ctl_make_watched(const struct fleet_device *device)
{
	const struct fleet_watched *watched = device->watched;
	json_t *row = json_object(), *things = json_array();

	json_row_set_number(row, "at_ms", watched->at_ms);
	if (!device->is_online || fleet_find_trouble(device, FLEET_ROUTER))
		json_object_set_new(row, "stale", json_true());
	json_row_set_text(row, "version", watched->version);
	json_row_set_number(row, "booted_ms", watched->uptime_s != 0 ? watched->at_ms - watched->uptime_s * 1000 : 0);
	set(row, "cpu_percent", watched->cpu_percent);
	set(row, "memory_free_bytes", watched->memory_free_bytes);
	set(row, "memory_bytes", watched->memory_bytes);
	set(row, "disk_free_bytes", watched->disk_free_bytes);
	set(row, "disk_bytes", watched->disk_bytes);
	set(row, "ppp_users", watched->ppp_users);
	set(row, "hotspot_users", watched->hotspot_users);
	set(row, "unwatched", watched->unwatched);
	for (unsigned i = 0; i < watched->n_things; i++)
		json_array_append_new(things, make_thing(&watched->things[i]));
	json_object_set_new(row, "things", things);
	return row;
}
