/*
 * ctl_jobs: push, jobs, job. A pushed job is answered when it is durable; `job` with follow sends a row
 * at each change of state until the last.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/jobs.h"
#include "common/clock.h"
#include "common/log.h"

/* --- push ------------------------------------------------------------------------------------- */

struct push {
	struct ctl *ctl;
	uint64_t client;
	unsigned uid;
	char device[LIMIT_NAME];
};

void ctl_set_job(json_t *row, const char *key, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	json_row_set_text(row, key, text);
}

static enum ctl_next answer_push(struct ctl_client *client, int result, const struct store_job *job)
{
	enum ctl_next next;
	json_t *row;

	if (result < 0)
		return ctl_fail_store(client, result);
	row = json_object();
	ctl_set_job(row, "job", job->number);
	json_row_set_text(row, "device", client->request.device);
	json_row_set_text(row, "state", jobs_phase_name(job->phase));
	next = ctl_put_row(client, row);
	return next == CTL_MORE ? CTL_DONE : next;
}

static void finish_push(void *arg, int result, const struct store_job *job)
{
	struct push *push = arg;
	struct ctl_client *client = ctl_find_client(push->ctl, push->client);

	if (result == 0)
		log_info("ctl", "script was pushed device=%s job=%llu name=\"%s\" uid=%u", push->device,
			 (unsigned long long)job->number, job->name, push->uid);
	if (client)
		ctl_resume(client, answer_push(client, result, job));
	free(push);
}

/* NULL, or what is wrong with the order; what the device is not known for is left to its agent to refuse. */
static const char *find_obstacle(const struct fleet_device *device, const struct ctl_request *request, const char **ret_hint)
{
	bool is_routeros = strcmp(device->driver, "routeros") == 0;

	*ret_hint = "push it with --no-confirm, or give it an agent that can";
	if (device->has_hello && request->confirm_s > 0 && !device->can_confirm)
		return "the device's agent cannot go back from a script";
	*ret_hint = "name the time to confirm, too (confirm_s, 30 to 600)";
	if (request->rollback && request->confirm_s == 0)
		return "a rollback script is of use only when the script has to be confirmed";
	*ret_hint = "name the file *.sh, or choose another device";
	if (device->has_hello && !is_routeros && strcmp(request->interpreter, "routeros") == 0)
		return "this is a script for RouterOS, and the device's agent runs shell scripts";
	*ret_hint = "name the file *.rsc, or choose another device";
	if (is_routeros && strcmp(request->interpreter, "sh") == 0)
		return "this is a shell script, and the device is a RouterOS router";
	*ret_hint = "let the script fetch what is big";
	if (request->rollback_length > LIMIT_JOB_BYTES - request->script_length)
		return "script and rollback together are longer than 256 KiB";
	return NULL;
}

static enum ctl_next begin_push(struct ctl_client *client)
{
	const struct ctl_request *request = &client->request;
	struct jobs_order order = {
		.device = ctl_find_device(client),
		.name = request->name,
		.interpreter = request->interpreter,
		.script = request->script,
		.length = request->script_length,
		.rollback = request->rollback,
		.rollback_length = request->rollback_length,
		.confirm_s = (uint32_t)request->confirm_s,
		.not_after_ms = request->not_after_s < 0 ? 0 : clock_wall_ms() + 1000 * request->not_after_s,
		.done = finish_push,
	};
	const char *obstacle, *hint;
	struct push *push;
	int r;

	if (!order.device)
		return CTL_FAILED;
	if (!order.device->has_key)
		return ctl_fail(client, "not-found", "jaga enroll gives it a key again", "%s was removed", order.device->name);
	obstacle = find_obstacle(order.device, request, &hint);
	if (obstacle)
		return ctl_fail(client, "bad-request", hint, "%s: %s", order.device->name, obstacle);
	push = malloc(sizeof(*push));
	if (!push)
		return ctl_fail_store(client, -ENOMEM);
	*push = (struct push){ .ctl = client->ctl, .client = client->serial, .uid = client->uid };
	strcpy(push->device, order.device->name);
	order.arg = push;
	r = jobs_push(client->collector->jobs, &order);
	if (r == 0)
		return CTL_WAIT;
	free(push);
	return ctl_fail_store(client, r);
}

/* --- jobs ------------------------------------------------------------------------------------- */

static json_t *make_row(const struct ctl_client *client, const struct store_job *job)
{
	const struct fleet_device *device = fleet_get(client->collector->ports.fleet, job->device_number);
	json_t *row = json_object();

	ctl_set_job(row, "job", job->number);
	json_row_set_text(row, "device", device ? device->name : "?");
	json_object_set_new(row, "seq", json_integer((json_int_t)job->number));
	json_row_set_text(row, "name", job->name);
	json_row_set_text(row, "state", jobs_phase_name(job->phase));
	json_row_set_number(row, "queued_ms", job->queued_ms);
	json_row_set_number(row, "changed_ms", job->changed_ms);
	json_row_set_number(row, "not_after_ms", job->not_after_ms);
	json_row_set_number(row, "confirm_s", job->confirm_s);
	if (job->attempt != 0 && job->exit_status >= 0) /* a script that never ran has none */
		json_object_set_new(row, "exit_status", json_integer(job->exit_status));
	json_row_set_text(row, "reason", job->reason);
	json_object_set_new(row, "output_bytes", json_integer(job->output_bytes));
	return row;
}

static enum ctl_next begin_jobs(struct ctl_client *client)
{
	client->cursor.next = UINT64_MAX;
	if (client->request.device[0] == '\0')
		return CTL_MORE;
	client->cursor.device = ctl_find_device(client);
	return client->cursor.device ? CTL_MORE : CTL_FAILED;
}

enum ctl_next ctl_walk_jobs(struct ctl_client *client, ctl_job_fn *visit)
{
	struct ctl_cursor *cursor = &client->cursor;
	enum ctl_next next = CTL_MORE;
	struct store_job job;
	struct store_txn *txn;
	int r = store_read_begin(client->collector->ports.store, &txn);

	if (r < 0)
		return ctl_fail_store(client, r);
	for (unsigned passed = 0; passed < LIMIT_CTL_ROWS && next == CTL_MORE; passed++) {
		r = store_find_job_before(txn, cursor->next, &job);
		if (r < 0) {
			next = r == -ENOENT ? CTL_DONE : ctl_fail_store(client, r);
			break;
		}
		cursor->next = job.number;
		next = visit(client, &job);
	}
	store_read_end(txn);
	return next;
}

static enum ctl_next put_job(struct ctl_client *client, const struct store_job *job)
{
	const struct fleet_device *device = client->cursor.device;

	return !device || device->number == job->device_number ? ctl_put_row(client, make_row(client, job)) : CTL_MORE;
}

static enum ctl_next step_jobs(struct ctl_client *client)
{
	return ctl_walk_jobs(client, put_job);
}

/* --- job -------------------------------------------------------------------------------------- */

static enum ctl_next begin_job(struct ctl_client *client)
{
	(void)client;
	return CTL_MORE;
}

static json_t *make_detail(const struct ctl_client *client, struct store_txn *txn, const struct store_job *job)
{
	json_t *row = make_row(client, job);
	const void *bytes;
	size_t length;

	json_row_set_text(row, "interpreter", job->interpreter);
	if (store_get_script(txn, job->number, &bytes, &length) == 0 && length >= job->script_bytes) {
		json_object_set_new(row, "script", json_row_text(bytes, job->script_bytes));
		if (length > job->script_bytes)
			json_object_set_new(row, "rollback",
					    json_row_text((const char *)bytes + job->script_bytes, length - job->script_bytes));
	}
	if (job->output_bytes > 0 && store_get_output(txn, job->number, &bytes, &length) == 0)
		json_object_set_new(row, "output", json_row_text(bytes, length));
	json_object_set_new(row, "output_truncated", json_boolean(job->output_truncated));
	json_row_set_number(row, "duration_ms", job->duration_ms);
	json_row_set_number(row, "attempt", job->attempt);
	return row;
}

static enum ctl_next step_job(struct ctl_client *client)
{
	struct ctl_cursor *cursor = &client->cursor;
	enum ctl_next next = CTL_MORE;
	struct store_job job;
	struct store_txn *txn;
	int r = store_read_begin(client->collector->ports.store, &txn);

	if (r < 0)
		return ctl_fail_store(client, r);
	r = store_get_job(txn, client->request.job, &job);
	if (r == 0 && cursor->phase != job.phase) {
		cursor->phase = job.phase;
		next = ctl_put_row(client, make_detail(client, txn, &job));
	}
	store_read_end(txn);
	if (r == -ENOENT)
		return ctl_fail(client, "not-found", "see `jaga jobs`", "there is no job %llu",
				(unsigned long long)client->request.job);
	if (r < 0)
		return ctl_fail_store(client, r);
	if (next != CTL_MORE)
		return next;
	return client->request.follow && !job.is_final ? CTL_WAIT : CTL_DONE;
}

static bool job_wants(const struct ctl_client *client, enum port_change what, uint64_t subject)
{
	return what == PORT_CHANGE_JOB && subject == client->request.job;
}

const struct ctl_operation ctl_push = { .begin = begin_push };
const struct ctl_operation ctl_jobs = { .begin = begin_jobs, .step = step_jobs };
const struct ctl_operation ctl_job = { .begin = begin_job, .step = step_job, .wants = job_wants };
