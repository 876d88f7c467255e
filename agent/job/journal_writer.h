/*
 * journal_writer: puts the journal on the disk while the loop goes on: flash can take a second for an fsync, and the
 * probes do not wait. A child process writes; what has to be durable before the next step is told by a callback.
 * A writer ends with its agent, however that ends: it would take the place of what the next one writes. One record at
 * a time. Loop thread only.
 */
#ifndef JAGA_AGENT_JOB_JOURNAL_WRITER_H
#define JAGA_AGENT_JOB_JOURNAL_WRITER_H

#include <ev.h>

#include "agent/child.h"
#include "agent/job/journal.h"

/* problem: NULL: the record is on the disk; else why it is not, valid during the call. */
typedef void journal_written_fn(void *arg, const char *problem);

struct journal_writer {
	struct ev_loop *loop;
	journal_written_fn *on_written;
	void *arg;
	const char *dir; /* with the next two what the child writes */
	const struct journal_record *record;
	const char *output;
	struct child child;
	char complaint[160]; /* the child says here why it could not */
};

void journal_writer_init(struct journal_writer *writer, struct ev_loop *loop, journal_written_fn *on_written, void *arg);
/*
 * As journal_save(), whose arguments are the caller's again when this returns: the child has its copy. on_written
 * follows, once; inside the call when no child can be had.
 */
void journal_writer_save(struct journal_writer *writer, const char *dir, const struct journal_record *record, const char *output);
/* Waits for a child that writes, LIMIT_JOURNAL_STOP_MS at most, and ends it then; on_written is not called. */
void journal_writer_stop(struct journal_writer *writer);

#endif
