/*
 * journal: what the agent has promised about jobs, in one small file of the state directory.
 *
 * It holds the highest sequence number ever taken on (older jobs are refused for ever), the latest
 * wall time known, and the last job with its result. It is replaced as a whole (write, fsync, rename,
 * fsync of the directory), so that a power cut leaves the old or the new one; a checksum tells flash
 * that forgets. Two writes a job: before its script starts, and with its result; for a job that has to be confirmed two
 * more between them: when its script has ended well, and before its save point goes. An older agent's journal is read as it is.
 */
#ifndef JAGA_AGENT_JOB_JOURNAL_H
#define JAGA_AGENT_JOB_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/limits.h"

enum job_phase { /* the numbers of JobPhase in proto/jaga.proto */
	JOB_NONE = 0,
	JOB_STARTED = 3,
	JOB_APPLIED = 4, /* with a way back, not confirmed yet */
	JOB_CONFIRMED = 5,
	JOB_ROLLED_BACK = 6,
	JOB_FAILED = 7,
	JOB_EXPIRED = 8,
	JOB_INTERRUPTED = 9,
	JOB_KEEPING = 10, /* confirmed, its save point may be gone; of the journal alone: nobody is told of it */
};

struct journal_record {
	uint64_t hiwater;
	int64_t wall_ms; /* the collector's authenticated time when this was written */

	enum job_phase phase; /* of the last job; JOB_NONE: there was none */
	char job_id[LIMIT_NAME];
	uint64_t seq;
	int exit_status;
	uint32_t attempt; /* how often it was started: 0 or 1 */
	uint32_t confirm_s; /* 0: it has no way back */
	int64_t duration_ms;
	bool output_truncated;
	char reason[LIMIT_JOB_REASON];
	size_t output_length; /* at most LIMIT_OUTPUT_BYTES */
};

/*
 * 0; -ENOENT: there is none yet (*ret_record is zero); -EBADMSG: it is damaged, err says what to do;
 * else the errno of reading. output: LIMIT_OUTPUT_BYTES.
 */
int journal_load(const char *dir, struct journal_record *ret_record, char *ret_output, struct err *err);
/*
 * 0, or the negative errno of what failed, which err says. Blocks until the file is on the disk: call it in a child
 * (journal_writer.h).
 */
int journal_save(const char *dir, const struct journal_record *record, const char *output, struct err *err);

#endif
