/*
 * ctl_request: one line of JSON from a client -> a checked request. Pure; fuzzed (tests/fuzz/fuzz_ctl.c).
 */
#ifndef JAGA_COLLECTOR_CTL_REQUEST_H
#define JAGA_COLLECTOR_CTL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/limits.h"

enum ctl_op {
	CTL_DEVICES,
	CTL_SHOW,
	CTL_EVENTS,
	CTL_SNAPSHOTS,
	CTL_CAT,
	CTL_SNAPSHOT_TAKE,
	CTL_PUSH,
	CTL_JOBS,
	CTL_JOB,
	CTL_STATUS,
	CTL_ENROLL,
	CTL_REMOVE,
	CTL_DOCTOR,
	CTL_N_OPS,
};

struct ctl_request {
	enum ctl_op op;
	char device[LIMIT_NAME]; /* "": not given */
	char kinds[LIMIT_CTL_KINDS]; /* "": all */
	char name[LIMIT_JOB_NAME];
	char interpreter[16];
	const char *script, *rollback; /* in json; rollback NULL: not given */
	size_t script_length, rollback_length;
	int64_t confirm_s; /* 0: nothing to confirm */
	int64_t limit, n, not_after_s; /* -1: not given */
	uint64_t job;
	bool follow, replace;
	json_t *json;
};

/* Parses and checks. -EINVAL: err says which field and why. On success the caller finishes the request. */
int ctl_request_parse(const char *line, size_t length, struct ctl_request *ret_request, struct err *err);
void ctl_request_finish(struct ctl_request *request); /* an all-zero one is fine */

#endif
