/*
 * jobs: scripts on their way down and results on their way up.
 *
 *   queued ─▶ received ─▶ started ─▶ applied ─▶ confirmed | rolled-back      also final: failed, expired, interrupted
 *
 * A job with confirm_s is applied when its script has ended, and confirmed when its device has come back in a session
 * that is newer than that; without it confirmed says that the script has ended well.
 *
 * A job's number is its sequence number for the device: numbers of one device rise, with gaps. States
 * only move forward; a report that would not is acknowledged and changes nothing, so that agents may
 * repeat themselves. A queued job that its device has not taken by not_after_ms expires. At most
 * once: only a queued job is ever handed out; a job that the device had and no longer knows of
 * (its journal is gone) becomes interrupted, never runs again. Loop thread only.
 */
#ifndef JAGA_COLLECTOR_JOBS_H
#define JAGA_COLLECTOR_JOBS_H

#include "collector/fleet.h"
#include "collector/ports.h"
#include "collector/store.h"

struct jobs;

int jobs_create(const struct ports *ports, struct jobs **ret_jobs);
void jobs_destroy(struct jobs *jobs);
/* Counts what waits for each device, and finds what each has to confirm, after the fleet was read. */
int jobs_restore(struct jobs *jobs, struct err *err);

struct jobs_order {
	struct fleet_device *device;
	const char *name, *interpreter;
	const void *script;
	size_t length;
	const void *rollback; /* may be NULL: the agent's own way back */
	size_t rollback_length;
	uint32_t confirm_s;   /* 0: nothing to confirm */
	int64_t not_after_ms; /* wall time; 0: never */
	/* Called once, when the job is durable (0) or was not stored (negative errno; -EDQUOT: too many wait). */
	void (*done)(void *arg, int result, const struct store_job *job);
	void *arg;
};
/* Copies everything. -EDQUOT, -EAGAIN, -EMSGSIZE: refused at once, done is not called. */
int jobs_push(struct jobs *jobs, const struct jobs_order *order);

/* GET /job?after=N, PUT /job/{id}/state, POST /job/{id}/confirm */
void jobs_answer_get(struct jobs *jobs, struct fleet_device *device, const struct coap_incoming *incoming);
void jobs_answer_state(struct jobs *jobs, struct fleet_device *device, const struct coap_incoming *incoming);
/*
 * Acknowledges that the device is back after the script. Refused in the session in which the device was last known to have
 * the script ahead of it (it was handed out there, or reported started or applied): that proves nothing. A session
 * that began before a restart of ours is gone with it.
 */
void jobs_answer_confirm(struct jobs *jobs, struct fleet_device *device, const struct coap_incoming *incoming);
/* The device said hello with the highest job number that its journal knows. */
void jobs_greet(struct jobs *jobs, struct fleet_device *device, uint64_t hiwater);
/* Tells the agent to take a snapshot now. -ENOTCONN */
int jobs_wake_for_snapshot(struct jobs *jobs, struct fleet_device *device);

/* "queued", "rolled-back", ...; "unknown" */
const char *jobs_phase_name(uint32_t phase);
/* Ended otherwise than its author wished: failed, expired, interrupted, rolled back. */
bool jobs_is_bad_end(uint32_t phase);

#endif
