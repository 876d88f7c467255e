/* The control socket's request parser: any line is a checked request or a refusal that names a field. */
#include <stdlib.h>
#include <string.h>

#include "collector/ctl_request.h"
#include "common/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct ctl_request request;
	struct err err = { "" };

	if (ctl_request_parse((const char *)bytes, length, &request, &err) < 0) {
		if (err.text[0] == '\0')
			abort();
		return 0;
	}
	/* What later steps rely on. */
	if (request.op >= CTL_N_OPS || (request.device[0] != '\0' && !parse_is_name(request.device)) ||
	    request.limit > LIMIT_CTL_EVENTS || request.script_length > LIMIT_JOB_BYTES || strchr(request.name, '/'))
		abort();
	ctl_request_finish(&request);
	return 0;
}
