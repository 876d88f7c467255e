/* snapshot_text: see snapshot_text.h. */
#include "collector/cli/snapshot_text.h"

#include <errno.h>
#include <inttypes.h>

#include "collector/cli/row.h"
#include "common/parse.h"

int snapshot_parse_number(const char *text, int64_t *ret_n, struct failure *failure)
{
	uint64_t n;

	if (parse_u64(text, 1, UINT32_MAX, &n) < 0)
		return failure_set(failure, -EINVAL, "`jaga snapshots DEVICE` numbers them from 1",
				   "\"%s\" is no number of a snapshot", text);
	*ret_n = (int64_t)n;
	return 0;
}

int snapshot_fetch(const struct invocation *invocation, const char *device, int64_t n, json_t **ret_snapshot,
		   struct failure *failure)
{
	json_t *request = invocation_request("cat", device);
	json_t *snapshot = NULL;
	int r;

	if (request && n > 0 && json_object_set_new(request, "n", json_integer(n)) < 0) {
		json_decref(request);
		request = NULL;
	}
	r = invocation_ask(invocation, request, &snapshot, failure);
	if (r < 0)
		return r;
	if (!row_text(snapshot, "text")) {
		json_decref(snapshot);
		return failure_set(failure, -EPROTO, "do `jaga` and jaga-collector have the same version?",
				   "the collector sent snapshot %" PRId64 " of %s without its text", n, device);
	}
	*ret_snapshot = snapshot;
	return 0;
}
