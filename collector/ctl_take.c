/*
 * ctl_take: snapshot-take, of one device or of all. Wakes the agents and waits until the answer of each, whichever of "still
 * the same" and "a new one" it is, has become durable; a row for each as it comes. Asked for all, a device that is away or does
 * not answer in time is a row too, which says so; asked for one, that is the error of the request.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/jobs.h"
#include "common/clock.h"

struct ctl_take { /* a device whose answer is waited for */
	struct fleet_device *device;
	uint64_t reports; /* that it had made before */
	uint32_t n;	  /* its newest snapshot then */
};

static struct ctl_take make_take(struct fleet_device *device)
{
	return (struct ctl_take){ .device = device, .reports = device->snapshot_reports, .n = device->snapshot.n };
}

static enum ctl_next put_taken(struct ctl_client *client, const struct ctl_take *take)
{
	const struct store_snapshot *snapshot = &take->device->snapshot;
	json_t *row = json_object();

	json_row_set_text(row, "device", take->device->name);
	json_row_set_number(row, "n", snapshot->n);
	json_object_set_new(row, "hash", json_row_hex(snapshot->hash, sizeof(snapshot->hash)));
	json_object_set_new(row, "changed", json_boolean(snapshot->n != take->n));
	return ctl_put_row(client, row);
}

static enum ctl_next put_missing(struct ctl_client *client, const struct fleet_device *device, const char *why)
{
	json_t *row = json_object();

	json_row_set_text(row, "device", device->name);
	json_row_set_text(row, "missing", why);
	return ctl_put_row(client, row);
}

/* --- beginning ---------------------------------------------------------------------------------- */

static enum ctl_next begin_one(struct ctl_client *client)
{
	struct fleet_device *device = ctl_find_device(client);

	if (!device)
		return CTL_FAILED;
	client->cursor.takes = malloc(sizeof(*client->cursor.takes));
	if (!client->cursor.takes)
		return ctl_fail_store(client, -ENOMEM);
	client->cursor.takes[client->cursor.n_takes++] = make_take(device);
	client->cursor.at = 1;
	if (jobs_wake_for_snapshot(client->collector->jobs, device) < 0)
		return ctl_fail(client, "busy", "it is taken when the device is back; see `jaga devices`", "%s is offline",
				device->name);
	return CTL_WAIT;
}

static enum ctl_next begin_all(struct ctl_client *client)
{
	const struct fleet *fleet = client->collector->ports.fleet;
	uint32_t count = fleet_count(fleet);

	client->cursor.takes = malloc((count + 1) * sizeof(*client->cursor.takes));
	if (!client->cursor.takes)
		return ctl_fail_store(client, -ENOMEM);
	for (uint32_t number = 1; number <= count; number++) {
		struct fleet_device *device = fleet_get(fleet, number);

		if (device && device->has_key)
			client->cursor.takes[client->cursor.n_takes++] = make_take(device);
	}
	return CTL_MORE;
}

/* Wakes some of those from cursor.at on, which have not been woken. */
static enum ctl_next wake_some(struct ctl_client *client)
{
	struct ctl_cursor *cursor = &client->cursor;
	enum ctl_next next = CTL_MORE;

	for (unsigned woken = 0; woken < LIMIT_CTL_ROWS && cursor->at < cursor->n_takes && next == CTL_MORE; woken++) {
		struct fleet_device *device = cursor->takes[cursor->at].device;

		if (jobs_wake_for_snapshot(client->collector->jobs, device) == 0) {
			cursor->at++;
			continue;
		}
		cursor->takes[cursor->at] = cursor->takes[--cursor->n_takes];
		next = put_missing(client, device, "offline");
	}
	return next;
}

static enum ctl_next begin_take(struct ctl_client *client)
{
	client->cursor.since_ms = clock_mono_ms();
	ctl_limit_wait(client, LIMIT_CTL_ANSWER_MS);
	return client->request.device[0] != '\0' ? begin_one(client) : begin_all(client);
}

/* --- waiting ------------------------------------------------------------------------------------ */

static bool take_wants(const struct ctl_client *client, enum port_change what, uint64_t subject)
{
	if (what != PORT_CHANGE_SNAPSHOT)
		return false;
	for (unsigned i = 0; i < client->cursor.n_takes; i++)
		if (client->cursor.takes[i].device->number == subject)
			return true;
	return false;
}

static enum ctl_next step_take(struct ctl_client *client)
{
	struct ctl_cursor *cursor = &client->cursor;
	bool is_late = clock_mono_ms() - cursor->since_ms >= LIMIT_CTL_ANSWER_MS;
	enum ctl_next next = CTL_MORE;

	if (cursor->at < cursor->n_takes)
		return wake_some(client);
	for (unsigned i = 0, made = 0; i < cursor->n_takes && next == CTL_MORE;) {
		struct ctl_take take = cursor->takes[i];

		if (take.device->snapshot_reports == take.reports && !is_late) {
			i++;
			continue;
		}
		if (made++ == LIMIT_CTL_ROWS)
			return CTL_MORE;
		cursor->takes[i] = cursor->takes[--cursor->n_takes];
		cursor->at = cursor->n_takes;
		next = take.device->snapshot_reports != take.reports ? put_taken(client, &take)
								     : put_missing(client, take.device, "no answer in time");
	}
	if (next != CTL_MORE)
		return next;
	return cursor->n_takes > 0 ? CTL_WAIT : CTL_DONE;
}

/* Of all: rows say which are missing. */
static enum ctl_next late_take(struct ctl_client *client)
{
	return client->request.device[0] != '\0' ? CTL_FAILED : CTL_MORE;
}

const struct ctl_operation ctl_snapshot_take = {
	.begin = begin_take, .step = step_take, .wants = take_wants, .late = late_take,
};
