/*
 * fleet: every device in memory: its key (asked for in the middle of handshakes), whether it is
 * online, and the last thing it said of itself. What must survive a restart is in the store; this is
 * what the control socket shows and handshakes need. Loop thread only.
 *
 * Devices are found by name (hash) or number (array) and are never freed before the fleet: a removed
 * device loses its key and stays, because its history stays. Keys are zeroised at the end.
 */
#ifndef JAGA_COLLECTOR_FLEET_H
#define JAGA_COLLECTOR_FLEET_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "collector/fleet_watch.h"
#include "collector/store.h"
#include "common/limits.h"

struct fleet;

enum fleet_state { /* UplinkState of proto/jaga.proto */
	FLEET_STATE_UNKNOWN,
	FLEET_STATE_UP,
	FLEET_STATE_SUSPECT,
	FLEET_STATE_DOWN,
};

struct fleet_uplink {
	char name[LIMIT_NAME];
	char interface[LIMIT_INTERFACE];
	uint32_t weight, tier;
	int state;	  /* enum fleet_state */
	int64_t since_ms; /* when the collector first heard of this state */
	uint32_t rtt_us, loss_permille;
	uint64_t rx_bytes, tx_bytes;
};

struct fleet_trouble { /* what the device says does not work there, until it says that it does */
	char subsystem[LIMIT_NAME];
	char text[LIMIT_NOTICE + 1];
	int64_t since_ms;
};

/* Subsystems of troubles: the last snapshot failed; the agent does not reach its RouterOS router. */
#define FLEET_SNAPSHOT "snapshot"
#define FLEET_ROUTER "router"

struct fleet_sample {
	int64_t at_ms; /* wall time; 0: none came yet */
	uint32_t conntrack_count, conntrack_max, mem_available_kb, load_permille;
};

struct fleet_device {
	char name[LIMIT_NAME];
	uint32_t number;
	bool has_key; /* false: removed */
	uint8_t key[LIMIT_PSK_BYTES];
	int64_t enrolled_ms;

	bool is_online;
	char address[LIMIT_HOST]; /* of the last session */
	int64_t session_since_ms; /* of the session; or since when it is gone */
	int64_t last_seen_ms;	  /* last message; 0: never */

	/* From hello. */
	bool has_hello;
	bool watches; /* its agent steers nothing */
	uint32_t rtt_ms; /* 0: not told */
	uint8_t boot_id[LIMIT_BOOT_ID_BYTES];
	char version[LIMIT_TEXT], driver[LIMIT_NAME], hostname[LIMIT_TEXT], model[LIMIT_TEXT], system[LIMIT_TEXT];
	unsigned n_uplinks;
	struct fleet_uplink *uplinks;

	/* From telemetry: what was applied here last; the store decides for itself what is new to it. */
	uint8_t telemetry_boot_id[LIMIT_BOOT_ID_BYTES];
	uint64_t telemetry_seq;
	uint64_t dropped_events, dropped_samples;
	int64_t dropped_since_ms; /* when these numbers last grew */
	struct fleet_sample sample;
	unsigned n_troubles;
	struct fleet_trouble *troubles; /* LIMIT_TROUBLES; NULL until the first */

	struct fleet_doctor { /* doctor.h */
		uint64_t run;	  /* the last that was asked for */
		uint64_t asker;	  /* client of the control socket; 0: nobody waits */
		uint8_t *report;  /* its answer, until it is taken; NULL: none came yet */
		size_t length;
	} doctor;
	struct fleet_watched *watched; /* NULL: it watches nothing beside its uplinks */

	struct store_snapshot snapshot; /* newest; n 0: none */
	uint64_t snapshot_reports;	/* times that it said which one it has, since the collector's start */
	uint64_t snapshot_failures;	/* times that it said why it has none; the last reason is its trouble FLEET_SNAPSHOT */
	unsigned jobs_waiting;
	bool can_confirm;     /* it can go back from a script */
	struct fleet_confirming { /* a script after which it has to come back in a new session */
		uint64_t job;	  /* started, and neither confirmed nor undone; 0: none */
		int64_t until_ms; /* wall time by which it has to; 0: the script still runs, as far as is known */
		bool is_away;	  /* presence.h: it closed its session meanwhile, and nobody was told */
		char reason[LIMIT_TEXT]; /* what is told when it does not come back */
	} confirming;
	bool has_script_session;
	uint64_t script_session; /* coap_ticket.session in which it was last known to have a script ahead or to run it */
	uint64_t job_hiwater; /* highest job number that it knows of; it runs none up to it */
};

int fleet_create(struct fleet **ret_fleet);
void fleet_destroy(struct fleet *fleet);

struct fleet_device *fleet_find(const struct fleet *fleet, const char *name); /* NULL: no such device */
struct fleet_device *fleet_get(const struct fleet *fleet, uint32_t number);   /* NULL: no such device */
/* Numbers run from 1 to this. */
uint32_t fleet_count(const struct fleet *fleet);
uint32_t fleet_count_online(const struct fleet *fleet);

/* Adds the device or gives it another key. -ENOMEM */
int fleet_put(struct fleet *fleet, const struct store_device *device, struct fleet_device **ret_device);
void fleet_remove_key(struct fleet_device *device);

void fleet_set_online(struct fleet *fleet, struct fleet_device *device, const char *address, int64_t now_ms);
void fleet_set_offline(struct fleet *fleet, struct fleet_device *device, int64_t now_ms);

/* It has ended its script and has time left to come back in a new session. */
bool fleet_is_confirming(const struct fleet_device *device, int64_t now_ms);

/* Replaces the device's list of uplinks; states keep their `since_ms` where name and state are the same. -ENOMEM */
int fleet_set_uplinks(struct fleet_device *device, const struct fleet_uplink *uplinks, unsigned n_uplinks,
		      int64_t now_ms);
struct fleet_uplink *fleet_find_uplink(const struct fleet_device *device, const char *name); /* or NULL */
void fleet_set_uplink_state(struct fleet_uplink *uplink, int state, int64_t now_ms);
const struct fleet_trouble *fleet_find_trouble(const struct fleet_device *device, const char *subsystem); /* or NULL */
/* text NULL: it is over. More than LIMIT_TROUBLES are not kept, nor is what memory is short for: they are in the events. */
void fleet_set_trouble(struct fleet_device *device, const char *subsystem, const char *text, int64_t now_ms);
/* The wall clock was set by so much: what is noted here moves along, so that ages stay what they are. */
void fleet_shift_times(struct fleet *fleet, int64_t step_ms);

#endif
