/*
 * journal_writer: see journal_writer.h. Called by runner.c.
 *
 *   save -> child: journal_save() -> its exit status, and on its standard output why not -> on_written
 */
#include "agent/job/journal_writer.h"

#include <stdio.h>

#define WRITER_MS 60000 /* flash that takes longer than this is broken */

/* In the child. */
static int write_journal(void *arg)
{
	const struct journal_writer *writer = arg;
	struct err err = { "" };
	int r = journal_save(writer->dir, writer->record, writer->output, &err);

	if (r < 0)
		dprintf(1, "%s", err.text);
	return r < 0 ? 1 : 0;
}

static void on_child_done(void *arg, const struct child_result *result)
{
	struct journal_writer *writer = arg;
	const char *problem = NULL;

	if (result->exit_status != 0) {
		writer->complaint[result->output_length] = '\0';
		problem = result->reason[0] ? result->reason : writer->complaint;
	}
	writer->on_written(writer->arg, problem);
}

void journal_writer_save(struct journal_writer *writer, const char *dir, const struct journal_record *record, const char *output)
{
	const struct child_spec spec = { .function = write_journal, .function_arg = writer, .extra_fd = -1,
					 .output = writer->complaint, .output_size = sizeof(writer->complaint) - 1,
					 .timeout_ms = WRITER_MS };
	struct err err = { "" };

	writer->dir = dir;
	writer->record = record;
	writer->output = output;
	if (child_start(&writer->child, writer->loop, &spec, on_child_done, writer, &err) < 0)
		writer->on_written(writer->arg, err.text);
}

void journal_writer_init(struct journal_writer *writer, struct ev_loop *loop, journal_written_fn *on_written, void *arg)
{
	writer->loop = loop;
	writer->on_written = on_written;
	writer->arg = arg;
	child_init(&writer->child);
}

void journal_writer_stop(struct journal_writer *writer)
{
	child_finish(&writer->child, LIMIT_JOURNAL_STOP_MS);
}
