/*
 * reason: see reason.h. Called by runner.c. People read these words far from the router: each says what to do, or
 * where to look.
 */
#include "agent/job/reason.h"

#include <stdio.h>
#include <string.h>

const char *reason_refuse(const struct reason_facts *facts, const struct link_job *job, enum job_phase *ret_phase)
{
	*ret_phase = JOB_FAILED;
	if (!facts->scripts_unsigned)
		return "refused: this router takes no scripts (scripts = off in its agent.conf)";
	if (job->script_length == 0)
		return "refused: the script is empty";
	if (job->script_length > facts->script_bytes ||
	    job->rollback_length > facts->script_bytes - job->script_length)
		return "refused: the script is larger than this router takes";
	if (job->confirm_s > 0 && !facts->can_confirm)
		return "refused: this router has no way back; push it with --no-confirm";
	if (job->confirm_s != 0 && (job->confirm_s < LIMIT_CONFIRM_MIN_S || job->confirm_s > LIMIT_CONFIRM_MAX_S))
		return "refused: the time to confirm is not 30 to 600 s";
	if (job->confirm_s == 0 && job->rollback_length > 0)
		return "refused: a rollback script without a time to confirm";
	if (strlen(job->interpreter) >= facts->interpreter_bytes)
		return "refused: no such interpreter on this router";
	*ret_phase = JOB_EXPIRED;
	if (job->not_after_ms != 0 && facts->now_ms > job->not_after_ms)
		return "the job came after its time";
	/* One of the two has or had a clock that was wrong. */
	if (job->not_after_ms != 0 && facts->journal_now_ms > job->not_after_ms)
		return "by this router's journal it is later than by the collector; push it without --expires";
	return NULL;
}

void reason_explain(const struct router_script_result *result, char *ret_reason, size_t size)
{
	char line[LIMIT_JOB_REASON];

	snprintf(ret_reason, size, "%s", result->reason);
	if (result->exit_status == 0 || ret_reason[0] != '\0')
		return;
	router_last_line(result->output, result->output_length, line, sizeof(line));
	if (line[0] != '\0')
		snprintf(ret_reason, size, "exit status %d: %s", result->exit_status, line);
	else
		snprintf(ret_reason, size, "exit status %d", result->exit_status);
}

const char *reason_phase_name(enum job_phase phase)
{
	switch (phase) {
	case JOB_NONE: return "none";
	case JOB_STARTED: return "started";
	case JOB_APPLIED: return "applied";
	case JOB_CONFIRMED: return "confirmed";
	case JOB_ROLLED_BACK: return "rolled-back";
	case JOB_FAILED: return "failed";
	case JOB_EXPIRED: return "expired";
	case JOB_INTERRUPTED: return "interrupted";
	case JOB_KEEPING: return "keeping";
	}
	return "unknown";
}
