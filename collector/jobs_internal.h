/*
 * jobs_internal: what jobs.c (handing jobs out) and jobs_step.c (their changes of state) share.
 */
#ifndef JAGA_COLLECTOR_JOBS_INTERNAL_H
#define JAGA_COLLECTOR_JOBS_INTERNAL_H

#include <ev.h>

#include "collector/jobs.h"
#include "common/wire.h"

enum jobs_phase {
	JOBS_QUEUED = JAGA__V1__JOB_PHASE__JOB_PHASE_QUEUED,
	JOBS_RECEIVED = JAGA__V1__JOB_PHASE__JOB_PHASE_RECEIVED,
	JOBS_STARTED = JAGA__V1__JOB_PHASE__JOB_PHASE_STARTED,
	JOBS_APPLIED = JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED,
	JOBS_CONFIRMED = JAGA__V1__JOB_PHASE__JOB_PHASE_CONFIRMED,
	JOBS_EXPIRED = JAGA__V1__JOB_PHASE__JOB_PHASE_EXPIRED,
	JOBS_INTERRUPTED = JAGA__V1__JOB_PHASE__JOB_PHASE_INTERRUPTED,
};

struct jobs {
	struct ports ports;
	ev_timer expiry;
	struct wire_arena arena;
	_Alignas(16) uint8_t memory[LIMIT_INGEST_ARENA];
};

/*
 * A step that the collector takes by itself. only_queued: not when the device has taken the job. What
 * does not fit the queue of writes now is found again at the next occasion.
 */
void jobs_take_step(struct jobs *jobs, const struct store_job *job, uint32_t phase, const char *reason,
		    bool only_queued);
/* The script is ahead of the device, or just behind it: a confirmation in this session would prove nothing. */
void jobs_note_session(struct fleet_device *device, const struct coap_incoming *incoming);
/* Whether, and until when, the device has to come back after this job: as it is in the store now. */
void jobs_note_phase(struct fleet_device *device, const struct store_job *job);
/* Cuts to fit and fills with NULs, so that records in the store hold no stale bytes. */
void jobs_copy_text(char *to, size_t size, const char *from);

#endif
