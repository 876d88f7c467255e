/*
 * doctor: see doctor.h. Numbers of questions never repeat within a start of the collector, and no session outlives it: an
 * answer that is late fits none. Called by ctl_doctor.c and ingest.c.
 */
#include "collector/doctor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/wire.h"

void doctor_forget(struct fleet_device *device)
{
	free(device->doctor.report);
	device->doctor.report = NULL;
	device->doctor.length = 0;
	device->doctor.asker = 0;
}

int doctor_ask(const struct ports *ports, struct fleet_device *device, uint64_t asker)
{
	char bytes[LIMIT_WAKE_BYTES];
	struct buf buf;
	int r;

	doctor_forget(device);
	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_u64(&buf, 4, ++device->doctor.run); /* Wake.run_doctor */
	r = ports->wake(ports->arg, device->name, bytes, buf.length);
	if (r == 0)
		device->doctor.asker = asker;
	return r;
}

int doctor_take_report(const struct ports *ports, struct fleet_device *device, uint64_t run, const void *report,
		       size_t length)
{
	struct fleet_doctor *doctor = &device->doctor;

	if (doctor->asker == 0 || doctor->report || run != doctor->run)
		return -ENOENT;
	doctor->report = malloc(length);
	if (!doctor->report)
		return -ENOMEM;
	memcpy(doctor->report, report, length);
	doctor->length = length;
	ports->changed(ports->arg, PORT_CHANGE_DOCTOR, device->number);
	return 0;
}
