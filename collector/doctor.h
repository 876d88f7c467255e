/*
 * doctor: asks an agent to look for traps on its router, and takes the report. One question to a device at a time; the
 * report is in memory from its arrival until who asked has taken it, and nowhere else. Loop thread only.
 */
#ifndef JAGA_COLLECTOR_DOCTOR_H
#define JAGA_COLLECTOR_DOCTOR_H

#include "collector/fleet.h"
#include "collector/ports.h"

/*
 * Wakes the device; PORT_CHANGE_DOCTOR follows when it has answered. asker: a client of the control socket, not 0; one that
 * asked before gets nothing any more. -ENOTCONN: offline.
 */
int doctor_ask(const struct ports *ports, struct fleet_device *device, uint64_t asker);
/* PUT /doctor: a report that was checked and whose number is `run`. -ENOENT: nobody waits for it, -ENOMEM. */
int doctor_take_report(const struct ports *ports, struct fleet_device *device, uint64_t run, const void *report,
		       size_t length);
/* Nobody waits any more; the report, if one came, goes. */
void doctor_forget(struct fleet_device *device);

#endif
