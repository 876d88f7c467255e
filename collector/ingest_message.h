/*
 * ingest_message: checks of decoded messages and their effect on the fleet. Pure but for the fleet;
 * shared by ingest.c (what arrives now) and ingest_restore (what was stored).
 */
#ifndef JAGA_COLLECTOR_INGEST_MESSAGE_H
#define JAGA_COLLECTOR_INGEST_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/fleet.h"
#include "common/wire.h"

/* NULL when the message is acceptable, else what is wrong with which field. */
const char *ingest_check_hello(const Jaga__V1__Hello *hello);
const char *ingest_check_doctor(const Jaga__V1__DoctorReport *report);
const char *ingest_check_batch(const Jaga__V1__TelemetryBatch *batch);

/* Only for messages that passed their check. */
int ingest_apply_hello(struct fleet_device *device, const Jaga__V1__Hello *hello, int64_t now_ms);
/* Applies the records that are newer than what this device's telemetry_seq says. */
void ingest_apply_batch(struct fleet_device *device, const Jaga__V1__TelemetryBatch *batch, int64_t received_ms);
/* When a record happened: an agent may not know the time of day, so its own clock is only subtracted. */
int64_t ingest_record_time(int64_t received_ms, int64_t sent_at_ms, int64_t at_ms);

#endif
