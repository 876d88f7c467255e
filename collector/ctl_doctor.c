/*
 * ctl_doctor: the doctor of one device, asked now: a row for each finding; or of all: a row for each device, with its findings
 * in it (ctl_ask.c). The agents read their routers, over the network where that is RouterOS, so the answers take a while; they
 * are handed on and kept nowhere.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <string.h>

#include "collector/doctor.h"
#include "collector/ingest_rows.h"

static const char *ask(struct ctl_client *client, struct ctl_asked *asked, const char **ret_hint)
{
	struct fleet_device *device = asked->device;

	*ret_hint = "wait for that answer";
	if (ctl_find_client(client->ctl, device->doctor.asker))
		return "asked by somebody else just now";
	*ret_hint = "see `jaga devices`; on the router itself: jaga-agent --check";
	return doctor_ask(&client->collector->ports, device, client->serial) < 0 ? ctl_explain_away(device) : NULL;
}

static bool has_answered(const struct ctl_client *client, const struct ctl_asked *asked)
{
	return asked->device->doctor.report && asked->device->doctor.asker == client->serial;
}

/* --- of one ------------------------------------------------------------------------------------- */

static enum ctl_next put_findings(struct ctl_client *client, const struct fleet_device *device, const json_t *findings,
				  const char *error)
{
	enum ctl_next next = CTL_MORE;
	json_t *finding;
	size_t index;

	json_array_foreach(findings, index, finding)
		if (next == CTL_MORE)
			next = ctl_put_row(client, json_incref(finding));
	return next == CTL_MORE && error ? ctl_fail(client, "failed", "`jaga status` and `jaga events` tell since when, and more", "%s: %s", device->name,
						  error) : next;
}

/* --- of all ------------------------------------------------------------------------------------- */

static bool is_of_level(const json_t *finding, const char *level)
{
	return strcmp(json_string_value(json_object_get(finding, "level")), level) == 0;
}

/* Counts the findings of a level; *worst becomes the first of them, when there is none worse. */
static json_int_t count(const json_t *findings, const char *level, const json_t **worst)
{
	const json_t *finding;
	json_int_t n = 0;
	size_t index;

	json_array_foreach(findings, index, finding) {
		if (!is_of_level(finding, level))
			continue;
		n++;
		if (!*worst)
			*worst = finding;
	}
	return n;
}

static enum ctl_next put_verdict(struct ctl_client *client, const struct fleet_device *device, json_t *findings,
				 const char *error)
{
	const json_t *worst = NULL;
	json_int_t n_fatal = count(findings, "fatal", &worst), n_warnings = count(findings, "warning", &worst);
	json_t *row = json_object();

	json_row_set_text(row, "device", device->name);
	if (error)
		json_row_set_text(row, "missing", error);
	if (!error || n_fatal > 0) /* what was not looked at may be worse than a warning, but not than that */
		json_row_set_text(row, "level", n_fatal > 0 ? "fatal" : n_warnings > 0 ? "warning" : "ok");
	json_object_set_new(row, "fatal", json_integer(n_fatal));
	json_object_set_new(row, "warnings", json_integer(n_warnings));
	if (worst)
		json_object_set(row, "worst", (json_t *)(uintptr_t)worst); /* a reference; rows are not changed any more */
	json_object_set(row, "findings", findings);
	return ctl_put_row(client, row);
}

static enum ctl_next put_report(struct ctl_client *client, const struct ctl_asked *asked)
{
	struct fleet_device *device = asked->device;
	json_t *error = NULL, *findings = ingest_make_findings(device->doctor.report, device->doctor.length, &error);
	enum ctl_next next;

	doctor_forget(device);
	if (!findings)
		next = ctl_fail_store(client, -ENOMEM);
	else if (ctl_asks_all(client))
		next = put_verdict(client, device, findings, json_string_value(error));
	else
		next = put_findings(client, device, findings, json_string_value(error));
	json_decref(findings);
	json_decref(error);
	return next;
}

static void leave(struct ctl_client *client, const struct ctl_asked *asked)
{
	if (asked->device->doctor.asker == client->serial)
		doctor_forget(asked->device);
}

static const struct ctl_question question = {
	.change = PORT_CHANGE_DOCTOR, .ask = ask, .has_answered = has_answered, .put = put_report, .leave = leave,
};

static enum ctl_next begin_doctor(struct ctl_client *client)
{
	return ctl_ask_begin(client, &question);
}

const struct ctl_operation ctl_doctor = {
	.begin = begin_doctor, .step = ctl_ask_step, .wants = ctl_ask_wants, .late = ctl_ask_late,
};
