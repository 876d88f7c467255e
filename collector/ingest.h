/*
 * ingest: a request of an agent, decoded and checked, becomes changes in the fleet and writes to the
 * store; the answer leaves when they are durable. Everything in a request is hostile: it is bounded,
 * checked field by field, and refused with the name of the field (4.00) before anything is kept.
 * Loop thread only.
 */
#ifndef JAGA_COLLECTOR_INGEST_H
#define JAGA_COLLECTOR_INGEST_H

#include "collector/fleet.h"
#include "collector/ports.h"
#include "collector/store.h"

struct ingest;
struct jobs;
struct snapshots;

struct ingest_counters {
	uint64_t hellos;
	uint64_t batches, records; /* stored */
	uint64_t duplicates;	   /* batches that were known already */
	uint64_t refused;	   /* malformed requests */
	uint64_t unavailable;	   /* answered 5.03: queue full or store faulty */
};

/* jobs and snapshots handle the paths of theirs. */
int ingest_create(const struct ports *ports, struct jobs *jobs, struct snapshots *snapshots,
		  struct ingest **ret_ingest);
void ingest_destroy(struct ingest *ingest);

/* Reads the devices, and what each said last, from the store into the fleet. */
int ingest_restore(struct ingest *ingest, struct err *err);

/* coap_events.on_request */
void ingest_request(struct ingest *ingest, const struct coap_incoming *incoming);
/* An event of the collector's own goes into the log; when that is full or faulty, it is only counted. at_ms: wall time. */
void ingest_note(struct ingest *ingest, const struct fleet_device *device, enum store_batch_kind kind, int64_t at_ms,
		 const char *text);
void ingest_read_counters(const struct ingest *ingest, struct ingest_counters *ret_counters);

#endif
