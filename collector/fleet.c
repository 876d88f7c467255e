/*
 * fleet: see fleet.h. Names hash (FNV-1a) into an open-addressing table of device numbers, at most
 * half full; devices are never taken out, so probing needs no tombstones.
 */
#include "collector/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fleet {
	struct fleet_device **devices; /* [number - 1] */
	uint32_t count, size;
	uint32_t n_online;
	uint32_t *slots; /* numbers, 0: free */
	uint32_t n_slots;
};

static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash;
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t *find_slot(const struct fleet *fleet, const char *name)
{
	uint32_t mask = fleet->n_slots - 1;

	for (uint32_t i = hash_name(name) & mask;; i = (i + 1) & mask)
		if (fleet->slots[i] == 0 || strcmp(fleet->devices[fleet->slots[i] - 1]->name, name) == 0)
			return &fleet->slots[i];
}

int fleet_create(struct fleet **ret_fleet)
{
	struct fleet *fleet = calloc(1, sizeof(*fleet));

	if (!fleet)
		return -ENOMEM;
	fleet->n_slots = 64;
	fleet->slots = calloc(fleet->n_slots, sizeof(*fleet->slots));
	if (!fleet->slots) {
		free(fleet);
		return -ENOMEM;
	}
	*ret_fleet = fleet;
	return 0;
}

void fleet_destroy(struct fleet *fleet)
{
	if (!fleet)
		return;
	for (uint32_t i = 0; i < fleet->count; i++) {
		struct fleet_device *device = fleet->devices[i];

		if (!device)
			continue;
		explicit_bzero(device->key, sizeof(device->key));
		free(device->uplinks);
		free(device->troubles);
		free(device->doctor.report);
		fleet_watch_free(device->watched);
		free(device);
	}
	free(fleet->devices);
	free(fleet->slots);
	free(fleet);
}

struct fleet_device *fleet_find(const struct fleet *fleet, const char *name)
{
	uint32_t number = *find_slot(fleet, name);

	return number == 0 ? NULL : fleet->devices[number - 1];
}

struct fleet_device *fleet_get(const struct fleet *fleet, uint32_t number)
{
	return number == 0 || number > fleet->count ? NULL : fleet->devices[number - 1];
}

uint32_t fleet_count(const struct fleet *fleet)
{
	return fleet->count;
}

uint32_t fleet_count_online(const struct fleet *fleet)
{
	return fleet->n_online;
}

static int grow(struct fleet *fleet, uint32_t number)
{
	uint32_t size = fleet->size ? fleet->size : 32, n_slots = fleet->n_slots;
	struct fleet_device **devices;
	uint32_t *slots, *old = fleet->slots;

	while (size < number)
		size *= 2;
	if (size != fleet->size) {
		devices = reallocarray(fleet->devices, size, sizeof(struct fleet_device *));
		if (!devices)
			return -ENOMEM;
		memset(devices + fleet->size, 0, (size - fleet->size) * sizeof(struct fleet_device *));
		fleet->devices = devices;
		fleet->size = size;
	}
	while (n_slots < 2 * size)
		n_slots *= 2;
	if (n_slots == fleet->n_slots)
		return 0;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	fleet->slots = slots;
	fleet->n_slots = n_slots;
	for (uint32_t i = 0; i < fleet->count; i++)
		if (fleet->devices[i])
			*find_slot(fleet, fleet->devices[i]->name) = i + 1;
	free(old);
	return 0;
}

int fleet_put(struct fleet *fleet, const struct store_device *device, struct fleet_device **ret_device)
{
	struct fleet_device *known = fleet_find(fleet, device->name);

	if (!known) {
		if (grow(fleet, device->number) < 0)
			return -ENOMEM;
		known = calloc(1, sizeof(*known));
		if (!known)
			return -ENOMEM;
		memcpy(known->name, device->name, sizeof(known->name));
		known->number = device->number;
		fleet->devices[device->number - 1] = known;
		if (device->number > fleet->count)
			fleet->count = device->number;
		*find_slot(fleet, known->name) = known->number;
	}
	known->has_key = device->has_key;
	memcpy(known->key, device->key, sizeof(known->key));
	known->enrolled_ms = device->enrolled_ms;
	*ret_device = known;
	return 0;
}

void fleet_remove_key(struct fleet_device *device)
{
	device->has_key = false;
	explicit_bzero(device->key, sizeof(device->key));
}

void fleet_set_online(struct fleet *fleet, struct fleet_device *device, const char *address, int64_t now_ms)
{
	if (!device->is_online)
		fleet->n_online++;
	device->is_online = true;
	device->session_since_ms = now_ms;
	device->last_seen_ms = now_ms;
	strncpy(device->address, address, sizeof(device->address) - 1);
}

void fleet_set_offline(struct fleet *fleet, struct fleet_device *device, int64_t now_ms)
{
	if (device->is_online)
		fleet->n_online--;
	device->is_online = false;
	device->session_since_ms = now_ms;
}

bool fleet_is_confirming(const struct fleet_device *device, int64_t now_ms)
{
	return device->confirming.job != 0 && now_ms < device->confirming.until_ms;
}

int fleet_set_uplinks(struct fleet_device *device, const struct fleet_uplink *uplinks, unsigned n_uplinks,
		      int64_t now_ms)
{
	struct fleet_uplink *copy = NULL;

	if (n_uplinks > 0) {
		copy = calloc(n_uplinks, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, uplinks, n_uplinks * sizeof(*copy));
	}
	for (unsigned i = 0; i < n_uplinks; i++) {
		const struct fleet_uplink *old = fleet_find_uplink(device, copy[i].name);

		copy[i].since_ms = old && old->state == copy[i].state ? old->since_ms : now_ms;
		if (!old)
			continue;
		copy[i].rtt_us = old->rtt_us;
		copy[i].loss_permille = old->loss_permille;
		copy[i].rx_bytes = old->rx_bytes;
		copy[i].tx_bytes = old->tx_bytes;
	}
	free(device->uplinks);
	device->uplinks = copy;
	device->n_uplinks = n_uplinks;
	return 0;
}

struct fleet_uplink *fleet_find_uplink(const struct fleet_device *device, const char *name)
{
	for (unsigned i = 0; i < device->n_uplinks; i++)
		if (strcmp(device->uplinks[i].name, name) == 0)
			return &device->uplinks[i];
	return NULL;
}

void fleet_set_uplink_state(struct fleet_uplink *uplink, int state, int64_t now_ms)
{
	if (uplink->state == state)
		return;
	uplink->state = state;
	uplink->since_ms = now_ms;
}

/* Its place among the troubles, or n_troubles. A trouble keeps as much of the subsystem's name as fits. */
static unsigned trouble_index(const struct fleet_device *device, const char *subsystem)
{
	unsigned i = 0;

	while (i < device->n_troubles &&
	       strncmp(device->troubles[i].subsystem, subsystem, sizeof(device->troubles[i].subsystem) - 1) != 0)
		i++;
	return i;
}

const struct fleet_trouble *fleet_find_trouble(const struct fleet_device *device, const char *subsystem)
{
	unsigned i = trouble_index(device, subsystem);

	return i < device->n_troubles ? &device->troubles[i] : NULL;
}

static void clear_trouble(struct fleet_device *device, unsigned i)
{
	if (i == device->n_troubles)
		return;
	device->n_troubles--;
	memmove(&device->troubles[i], &device->troubles[i + 1], (device->n_troubles - i) * sizeof(*device->troubles));
}

void fleet_set_trouble(struct fleet_device *device, const char *subsystem, const char *text, int64_t now_ms)
{
	unsigned i = trouble_index(device, subsystem);
	struct fleet_trouble *trouble;

	if (!text) {
		clear_trouble(device, i);
		return;
	}
	if (i == LIMIT_TROUBLES)
		return;
	if (!device->troubles)
		device->troubles = calloc(LIMIT_TROUBLES, sizeof(*device->troubles));
	if (!device->troubles)
		return;
	trouble = &device->troubles[i];
	if (i == device->n_troubles) {
		device->n_troubles++;
		snprintf(trouble->subsystem, sizeof(trouble->subsystem), "%s", subsystem);
		trouble->since_ms = now_ms;
	}
	snprintf(trouble->text, sizeof(trouble->text), "%s", text);
}

static void shift(int64_t *time_ms, int64_t step_ms)
{
	if (*time_ms != 0) /* 0: never */
		*time_ms += step_ms;
}

void fleet_shift_times(struct fleet *fleet, int64_t step_ms)
{
	for (uint32_t n = 0; n < fleet->count; n++) {
		struct fleet_device *device = fleet->devices[n];

		if (!device)
			continue;
		shift(&device->session_since_ms, step_ms);
		shift(&device->last_seen_ms, step_ms);
		shift(&device->dropped_since_ms, step_ms);
		shift(&device->sample.at_ms, step_ms);
		shift(&device->confirming.until_ms, step_ms);
		for (unsigned i = 0; i < device->n_uplinks; i++)
			shift(&device->uplinks[i].since_ms, step_ms);
		for (unsigned i = 0; i < device->n_troubles; i++)
			shift(&device->troubles[i].since_ms, step_ms);
		fleet_watch_shift(device->watched, step_ms);
	}
}
