/*
 * ctl_request: see ctl_request.h. One table says which fields an operation takes and which it needs;
 * everything else is refused by name, so that a misspelt field is never silently ignored.
 */
#include "collector/ctl_request.h"

#include <errno.h>
#include <string.h>

#include "common/parse.h"

enum field_bit {
	DEVICE = 1,
	LIMIT = 2,
	FOLLOW = 4,
	N = 8,
	NAME = 16,
	SCRIPT = 32,
	INTERPRETER = 64,
	NOT_AFTER = 128,
	JOB = 256,
	REPLACE = 512,
	CONFIRM = 1024,
	ROLLBACK = 2048,
	KINDS = 4096,
};

static const struct {
	const char *name;
	unsigned needs, takes;
} ops[CTL_N_OPS] = {
	[CTL_DEVICES] = { "devices", 0, 0 },
	[CTL_SHOW] = { "show", DEVICE, 0 },
	[CTL_EVENTS] = { "events", 0, DEVICE | LIMIT | FOLLOW | KINDS },
	[CTL_SNAPSHOTS] = { "snapshots", DEVICE, 0 },
	[CTL_CAT] = { "cat", DEVICE, N },
	[CTL_SNAPSHOT_TAKE] = { "snapshot-take", 0, DEVICE },
	[CTL_PUSH] = { "push", DEVICE | NAME | SCRIPT, INTERPRETER | NOT_AFTER | CONFIRM | ROLLBACK },
	[CTL_JOBS] = { "jobs", 0, DEVICE },
	[CTL_JOB] = { "job", JOB, FOLLOW },
	[CTL_STATUS] = { "status", 0, DEVICE },
	[CTL_ENROLL] = { "enroll", DEVICE, REPLACE },
	[CTL_REMOVE] = { "remove", DEVICE, 0 },
	[CTL_DOCTOR] = { "doctor", 0, DEVICE },
};

static int set_device(struct ctl_request *request, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || !parse_is_name(text))
		return -EINVAL;
	strcpy(request->device, text);
	return 0;
}

static int set_number(const json_t *value, int64_t min, int64_t max, int64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
		return -EINVAL;
	*ret = json_integer_value(value);
	return 0;
}

static int set_limit(struct ctl_request *request, const json_t *value)
{
	return set_number(value, 0, LIMIT_CTL_EVENTS, &request->limit);
}

/* "ppp,hotspot"; which kinds there are is ctl_events.c's to know */
static int set_kinds(struct ctl_request *request, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || text[0] == '\0' || strlen(text) >= sizeof(request->kinds))
		return -EINVAL;
	strcpy(request->kinds, text);
	return 0;
}

static int set_n(struct ctl_request *request, const json_t *value)
{
	return set_number(value, 1, UINT32_MAX, &request->n);
}

static int set_not_after(struct ctl_request *request, const json_t *value)
{
	return set_number(value, 1, 366 * 86400, &request->not_after_s);
}

static int set_bool(const json_t *value, bool *ret)
{
	if (!json_is_boolean(value))
		return -EINVAL;
	*ret = json_is_true(value);
	return 0;
}

static int set_follow(struct ctl_request *request, const json_t *value)
{
	return set_bool(value, &request->follow);
}

static int set_replace(struct ctl_request *request, const json_t *value)
{
	return set_bool(value, &request->replace);
}

/* A file name as it is shown in tables: no path, nothing that moves a terminal's cursor. */
static int set_name(struct ctl_request *request, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || text[0] == '\0' || strlen(text) >= sizeof(request->name))
		return -EINVAL;
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f || *at == '/')
			return -EINVAL;
	strcpy(request->name, text);
	return 0;
}

static int set_script(struct ctl_request *request, const json_t *value)
{
	request->script = json_string_value(value);
	request->script_length = request->script ? json_string_length(value) : 0;
	return request->script_length == 0 || request->script_length > LIMIT_JOB_BYTES ? -EINVAL : 0;
}

static int set_rollback(struct ctl_request *request, const json_t *value)
{
	request->rollback = json_string_value(value);
	request->rollback_length = request->rollback ? json_string_length(value) : 0;
	return request->rollback_length == 0 || request->rollback_length > LIMIT_JOB_BYTES ? -EINVAL : 0;
}

static int set_confirm(struct ctl_request *request, const json_t *value)
{
	if (json_is_integer(value) && json_integer_value(value) == 0)
		return 0;
	return set_number(value, LIMIT_CONFIRM_MIN_S, LIMIT_CONFIRM_MAX_S, &request->confirm_s);
}

static int set_interpreter(struct ctl_request *request, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || (strcmp(text, "sh") != 0 && strcmp(text, "routeros") != 0))
		return -EINVAL;
	strcpy(request->interpreter, text);
	return 0;
}

static int set_job(struct ctl_request *request, const json_t *value)
{
	const char *text = json_string_value(value);

	return text ? parse_u64(text, 1, UINT64_MAX - 1, &request->job) : -EINVAL;
}

static const struct field {
	const char *name;
	unsigned bit;
	int (*set)(struct ctl_request *request, const json_t *value);
	const char *wanted;
} fields[] = {
	{ "device", DEVICE, set_device, "a name: letters, digits, . _ - and at most 31 of them" },
	{ "limit", LIMIT, set_limit, "a number from 0 to 10000" },
	{ "follow", FOLLOW, set_follow, "true or false" },
	{ "kinds", KINDS, set_kinds, "kinds of events with commas between, as in ppp,hotspot" },
	{ "n", N, set_n, "a number from 1" },
	{ "name", NAME, set_name, "a file name of at most 63 bytes, without its path" },
	{ "script", SCRIPT, set_script, "a text of 1 byte to 256 KiB" },
	{ "interpreter", INTERPRETER, set_interpreter, "\"sh\" or \"routeros\"" },
	{ "confirm_s", CONFIRM, set_confirm, "seconds from 30 to 600, or 0" },
	{ "rollback", ROLLBACK, set_rollback, "a text of 1 byte to 256 KiB" },
	{ "not_after_s", NOT_AFTER, set_not_after, "seconds, at most a year" },
	{ "job", JOB, set_job, "a job's number as a text" },
	{ "replace", REPLACE, set_replace, "true or false" },
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static int read_op(const json_t *json, struct ctl_request *request, struct err *err)
{
	const char *name = json_string_value(json_object_get(json, "op"));

	if (!name)
		return err_set(err, -EINVAL, "op: missing, or not a text");
	for (unsigned i = 0; i < CTL_N_OPS; i++) {
		if (strcmp(ops[i].name, name) == 0) {
			request->op = i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "op: '%s' is no operation", name);
}

static int read_fields(json_t *json, struct ctl_request *request, struct err *err)
{
	unsigned needs = ops[request->op].needs, takes = needs | ops[request->op].takes, seen = 0;
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
	{
		const struct field *field = NULL;

		if (strcmp(key, "op") == 0)
			continue;
		for (size_t i = 0; i < N_FIELDS; i++)
			if (strcmp(fields[i].name, key) == 0)
				field = &fields[i];
		if (!field || !(field->bit & takes))
			return err_set(err, -EINVAL, "%s: %s takes no such field", key, ops[request->op].name);
		if (field->set(request, value) < 0)
			return err_set(err, -EINVAL, "%s: wanted is %s", key, field->wanted);
		seen |= field->bit;
	}
	for (size_t i = 0; i < N_FIELDS; i++)
		if (fields[i].bit & needs & ~seen)
			return err_set(err, -EINVAL, "%s: missing; wanted is %s", fields[i].name, fields[i].wanted);
	return 0;
}

int ctl_request_parse(const char *line, size_t length, struct ctl_request *ret_request, struct err *err)
{
	struct ctl_request request = { .limit = -1, .n = -1, .not_after_s = -1 };
	json_error_t error;
	int r;

	request.json = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	if (!request.json || !json_is_object(request.json)) {
		r = err_set(err, -EINVAL, "not a JSON object: %s", request.json ? "another value" : error.text);
		goto out;
	}
	r = read_op(request.json, &request, err);
	if (r == 0)
		r = read_fields(request.json, &request, err);
	if (r < 0)
		goto out;
	*ret_request = request;
	request.json = NULL;
out:
	json_decref(request.json);
	return r;
}

void ctl_request_finish(struct ctl_request *request)
{
	json_decref(request->json);
	*request = (struct ctl_request){ 0 };
}
