/*
 * doctor: see doctor.h. A technician reads the text at the router, so it goes from the finding to the
 * remedy and ends with one line that says whether a take-over would be refused. Called by maintenance.c.
 */
#include "agent/doctor.h"

#include <errno.h>
#include <string.h>

static const char *const columns[] = { "level", "id", "what", "fix" };
static const char *const levels[] = { "ok", "warning", "fatal" };

void doctor_begin(struct doctor *doctor, enum table_format format, FILE *out)
{
	doctor->format = format;
	doctor->out = out;
	memset(doctor->found, 0, sizeof(doctor->found));
	table_init(&doctor->table, "findings", columns, 4, false);
}

void doctor_on_trap(void *arg, const struct router_trap *trap)
{
	struct doctor *doctor = arg;

	doctor->found[trap->level]++;
	if (doctor->format != TABLE_TEXT) {
		table_put_text(&doctor->table, "%s", levels[trap->level]);
		table_put_text(&doctor->table, "%s", trap->id);
		table_put_text(&doctor->table, "%s", trap->what);
		table_put_text(&doctor->table, "%s", trap->fix);
		return;
	}
	fprintf(doctor->out, "%-8s %s: %s\n", levels[trap->level], trap->id, trap->what);
	if (trap->level != ROUTER_TRAP_OK)
		fprintf(doctor->out, "%-8s to mend it: %s\n", "", trap->fix);
}

static void print_verdict(const struct doctor *doctor)
{
	unsigned fatal = doctor->found[ROUTER_TRAP_FATAL], warnings = doctor->found[ROUTER_TRAP_WARNING];

	if (fatal > 0)
		fprintf(doctor->out, "\n%u fatal, %u warning%s: the agent will not take over before the fatal ones are mended.\n",
			fatal, warnings, warnings == 1 ? "" : "s");
	else if (warnings > 0)
		fprintf(doctor->out, "\n%u warning%s: the agent takes over, but they will hurt.\n", warnings,
			warnings == 1 ? "" : "s");
	else
		fprintf(doctor->out, "\nNothing stands in the way.\n");
}

int doctor_finish(struct doctor *doctor, struct err *err)
{
	char memory[LIMIT_LOCAL_ANSWER_BYTES];
	struct buf buf;
	int r;

	if (doctor->format == TABLE_TEXT) {
		print_verdict(doctor);
	} else {
		buf_init(&buf, memory, sizeof(memory));
		r = table_render(&doctor->table, doctor->format, &buf);
		if (r < 0)
			return err_set(err, r, "there are more findings than fit; ask without --json or --kv");
		fwrite(buf.data, 1, buf.length, doctor->out);
	}
	return fflush(doctor->out) == 0 ? 0 : err_sys(err, -errno, "output");
}
