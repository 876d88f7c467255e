/*
 * presence: see presence.h.
 *
 *   online ─▶ offline, told at once
 *      └─▶ away to confirm ─▶ online: nothing is told
 *                └─▶ its time is over, or the job has ended: offline, told with the time of its going
 *
 * Called by collector.c with what coap says. Of a device that went while a script was only known to run, nobody knows why: that
 * is told at once.
 */
#include "collector/presence.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/ingest.h"
#include "common/clock.h"

#define CHECK_S 1.0

struct presence {
	struct ports ports;
	struct ingest *ingest;
	ev_timer check;
	unsigned n_away;
};

static void set_away(struct presence *presence, struct fleet_device *device, bool is_away)
{
	if (device->confirming.is_away == is_away)
		return;
	device->confirming.is_away = is_away;
	presence->n_away += is_away ? 1 : -1u;
	if (presence->n_away == 0)
		ev_timer_stop(presence->ports.loop, &presence->check);
	else if (!ev_is_active(&presence->check))
		ev_timer_again(presence->ports.loop, &presence->check);
}

void presence_come(struct presence *presence, struct fleet_device *device, const char *peer)
{
	bool is_expected = device->is_online || device->confirming.is_away;
	int64_t now_ms = clock_wall_ms();

	fleet_set_online(presence->ports.fleet, device, peer, now_ms);
	set_away(presence, device, false);
	if (!is_expected)
		ingest_note(presence->ingest, device, STORE_BATCH_ONLINE, now_ms, peer);
}

static void expect_back(struct presence *presence, struct fleet_device *device, const char *reason)
{
	snprintf(device->confirming.reason, sizeof(device->confirming.reason), "%s, and did not come back to confirm job %llu", reason,
		 (unsigned long long)device->confirming.job);
	set_away(presence, device, true);
}

void presence_go(struct presence *presence, struct fleet_device *device, const char *reason)
{
	int64_t now_ms = clock_wall_ms();

	if (!device->is_online)
		return;
	fleet_set_offline(presence->ports.fleet, device, now_ms);
	if (device->has_key && fleet_is_confirming(device, now_ms)) {
		expect_back(presence, device, reason);
		return;
	}
	ingest_note(presence->ingest, device, STORE_BATCH_OFFLINE, now_ms, reason);
}

void presence_check(struct presence *presence, int64_t now_ms)
{
	const struct fleet *fleet = presence->ports.fleet;

	for (uint32_t number = 1; number <= fleet_count(fleet) && presence->n_away > 0; number++) {
		struct fleet_device *device = fleet_get(fleet, number);

		if (!device || !device->confirming.is_away || (device->has_key && fleet_is_confirming(device, now_ms)))
			continue;
		set_away(presence, device, false);
		ingest_note(presence->ingest, device, STORE_BATCH_OFFLINE, device->session_since_ms, device->confirming.reason);
	}
}

void presence_restore(struct presence *presence)
{
	const struct fleet *fleet = presence->ports.fleet;

	for (uint32_t number = 1; number <= fleet_count(fleet); number++) {
		struct fleet_device *device = fleet_get(fleet, number);

		if (device && device->has_key && fleet_is_confirming(device, clock_wall_ms()))
			expect_back(presence, device, "the collector was restarted");
	}
}

static void on_check(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	presence_check(timer->data, clock_wall_ms());
}

int presence_create(const struct ports *ports, struct ingest *ingest, struct presence **ret_presence)
{
	struct presence *presence = calloc(1, sizeof(*presence));

	if (!presence)
		return -ENOMEM;
	presence->ports = *ports;
	presence->ingest = ingest;
	ev_timer_init(&presence->check, on_check, 0.0, CHECK_S);
	presence->check.data = presence;
	*ret_presence = presence;
	return 0;
}

void presence_destroy(struct presence *presence)
{
	if (!presence)
		return;
	ev_timer_stop(presence->ports.loop, &presence->check);
	free(presence);
}
