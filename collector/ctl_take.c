/*
 * ctl_take: snapshot-take, of one device or of all (ctl_ask.c). Wakes the agents and waits until the answer of each, whichever
 * of "still the same" and "a new one" it is, has become durable.
 */
#include "collector/ctl_internal.h"

#include "collector/jobs.h"

static const char *ask(struct ctl_client *client, struct ctl_asked *asked, const char **ret_hint)
{
	asked->reports = asked->device->snapshot_reports;
	asked->failures = asked->device->snapshot_failures;
	asked->snapshot_n = asked->device->snapshot.n;
	*ret_hint = "it is taken when the device is back; see `jaga devices`";
	return jobs_wake_for_snapshot(client->collector->jobs, asked->device) < 0 ? ctl_explain_away(asked->device) : NULL;
}

static bool has_answered(const struct ctl_client *client, const struct ctl_asked *asked)
{
	(void)client;
	return asked->device->snapshot_reports != asked->reports || asked->device->snapshot_failures != asked->failures;
}

static enum ctl_next put_failed(struct ctl_client *client, const struct fleet_device *device)
{
	const struct fleet_trouble *trouble = fleet_find_trouble(device, FLEET_SNAPSHOT);
	const char *why = trouble ? trouble->text : "the agent does not say why"; /* more troubles than are kept */

	if (ctl_asks_all(client))
		return ctl_put_missing(client, device, why);
	return ctl_fail(client, "failed", "see `jaga status`, and jaga-agent's log there", "%s can take none: %s", device->name, why);
}

static enum ctl_next put_taken(struct ctl_client *client, const struct ctl_asked *asked)
{
	const struct store_snapshot *snapshot = &asked->device->snapshot;
	json_t *row;

	if (asked->device->snapshot_reports == asked->reports)
		return put_failed(client, asked->device);
	row = json_object();
	json_row_set_text(row, "device", asked->device->name);
	json_row_set_number(row, "n", snapshot->n);
	json_object_set_new(row, "hash", json_row_hex(snapshot->hash, sizeof(snapshot->hash)));
	json_object_set_new(row, "changed", json_boolean(snapshot->n != asked->snapshot_n));
	return ctl_put_row(client, row);
}

static const struct ctl_question question = {
	.change = PORT_CHANGE_SNAPSHOT, .ask = ask, .has_answered = has_answered, .put = put_taken,
};

static enum ctl_next begin_take(struct ctl_client *client)
{
	return ctl_ask_begin(client, &question);
}

const struct ctl_operation ctl_snapshot_take = {
	.begin = begin_take, .step = ctl_ask_step, .wants = ctl_ask_wants, .late = ctl_ask_late,
};
