/*
 * ctl_doctor: the doctor of one device, asked now: a row for each finding. The agent reads its router, over the network
 * where that is RouterOS, so the answer takes a while; it is handed on and kept nowhere.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <string.h>

#include "collector/doctor.h"
#include "collector/ingest_rows.h"

static enum ctl_next begin_doctor(struct ctl_client *client)
{
	struct fleet_device *device = ctl_find_device(client);
	int r;

	if (!device)
		return CTL_FAILED;
	if (ctl_find_client(client->ctl, device->doctor.asker))
		return ctl_fail(client, "busy", "wait for that answer", "somebody asks the doctor of %s already", device->name);
	r = doctor_ask(&client->collector->ports, device, client->serial);
	if (r < 0)
		return ctl_fail(client, "busy", "see `jaga devices`; on the router itself: jaga-agent --check", "%s is offline",
				device->name);
	client->cursor.device = device;
	ctl_limit_wait(client, LIMIT_CTL_ANSWER_MS);
	return CTL_WAIT;
}

static bool doctor_wants(const struct ctl_client *client, enum port_change what, uint64_t subject)
{
	return what == PORT_CHANGE_DOCTOR && subject == client->cursor.device->number &&
	       client->serial == client->cursor.device->doctor.asker;
}

static enum ctl_next step_doctor(struct ctl_client *client)
{
	struct fleet_device *device = client->cursor.device;
	json_t *error = NULL, *rows = ingest_make_findings(device->doctor.report, device->doctor.length, &error), *row;
	enum ctl_next next = rows ? CTL_MORE : ctl_fail_store(client, -ENOMEM);
	size_t index;

	doctor_forget(device);
	json_array_foreach(rows, index, row)
		if (next == CTL_MORE)
			next = ctl_put_row(client, json_incref(row));
	if (next == CTL_MORE && error)
		next = ctl_fail(client, "failed", "", "%s: %s", device->name, json_string_value(error));
	json_decref(rows);
	json_decref(error);
	return next == CTL_MORE ? CTL_DONE : next;
}

const struct ctl_operation ctl_doctor = { .begin = begin_doctor, .step = step_doctor, .wants = doctor_wants };
