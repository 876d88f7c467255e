/*
 * reason: in words, why a job is not run and why it failed. Pure.
 */
#ifndef JAGA_AGENT_JOB_REASON_H
#define JAGA_AGENT_JOB_REASON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/job/journal.h"
#include "agent/link.h"
#include "agent/router/router.h"

struct reason_facts { /* of this router */
	bool scripts_unsigned, can_confirm;
	size_t script_bytes;	  /* room for a script with its rollback */
	size_t interpreter_bytes; /* room for a name, its end included */
	int64_t now_ms;		  /* wall time by the session */
	int64_t journal_now_ms;	  /* wall time that is certain to have passed */
};

/* NULL, or why the job must not run and the phase that says so. */
const char *reason_refuse(const struct reason_facts *facts, const struct link_job *job, enum job_phase *ret_phase);

/* Why the script failed: what the driver says; else its status and the last line of its output. "" when it did not. */
void reason_explain(const struct router_script_result *result, char *ret_reason, size_t size);

/* "started", "rolled-back", ... */
const char *reason_phase_name(enum job_phase phase);

#endif
