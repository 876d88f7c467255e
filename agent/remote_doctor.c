/*
 * remote_doctor: `jaga doctor DEVICE`. The collector asks by a Wake, the driver looks, each finding is packed into one
 * DoctorReport as it comes, and the report goes up when the driver is done. Called by remote.c; one at a time: who asks
 * again meanwhile gets what is being found. Memory is there while it works.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "common/log.h"
#include "common/wire.h"

#define TRAP_BYTES (3 * LIMIT_ERR_TEXT) /* packed; no driver writes longer ones */
#define NOTE_BYTES 160			/* kept free for the head, the note of what was left out, or an error */

struct remote_doctor {
	struct agent *agent;
	uint64_t run;
	unsigned n_left_out;
	struct buf findings; /* packed, as fields of DoctorReport */
	char memory[LIMIT_DOCTOR_BYTES - NOTE_BYTES - LIMIT_ERR_TEXT];
};

static void put_text(struct buf *out, uint32_t number, const char *text)
{
	wire_put_bytes(out, number, text, strlen(text));
}

static void put_trap(struct buf *out, uint32_t level, const char *id, const char *what, const char *fix)
{
	char memory[TRAP_BYTES];
	struct buf trap;

	buf_init(&trap, memory, sizeof(memory));
	wire_put_u64(&trap, 1, level); /* DoctorTrap */
	put_text(&trap, 2, id);
	put_text(&trap, 3, what);
	put_text(&trap, 4, fix);
	if (trap.failed)
		out->failed = true;
	else
		wire_put_bytes(out, 2, trap.data, trap.length); /* DoctorReport.traps */
}

static void on_trap(void *arg, const struct router_trap *trap)
{
	struct remote_doctor *doctor = arg;
	size_t length = doctor->findings.length;

	put_trap(&doctor->findings, (uint32_t)trap->level, trap->id, trap->what, trap->fix);
	if (!doctor->findings.failed)
		return;
	doctor->findings.failed = false;
	doctor->findings.length = length;
	doctor->n_left_out++;
}

/* Sends what was found, or why nothing could be. */
static void finish(struct remote_doctor *doctor, const struct err *error)
{
	struct agent *agent = doctor->agent;
	char *report = malloc(LIMIT_DOCTOR_BYTES);
	char text[64];
	struct buf out;
	int r = -ENOMEM;

	if (report) {
		buf_init(&out, report, LIMIT_DOCTOR_BYTES);
		wire_put_u64(&out, 1, doctor->run);
		buf_put(&out, doctor->findings.data, doctor->findings.length);
		if (doctor->n_left_out > 0) {
			snprintf(text, sizeof(text), "%u more findings than the report holds", doctor->n_left_out);
			put_trap(&out, ROUTER_TRAP_WARNING, "report", text, "mend these, then look again");
		}
		if (error)
			put_text(&out, 3, error->text);
		r = agent->link ? link_send_doctor_report(agent->link, (uint8_t *)report, out.length) : -ENOTCONN;
	}
	if (r < 0) {
		log_warning("doctor", "what was found cannot be sent error=%s", strerror(-r));
		free(report);
	}
	agent->doctor = NULL;
	free(doctor);
}

static void on_done(void *arg, enum router_trap_level worst, const struct err *error)
{
	(void)worst; /* each finding says its own */
	finish(arg, error);
}

void remote_run_doctor(void *arg, uint64_t run)
{
	struct agent *agent = arg;
	struct remote_doctor *doctor = agent->doctor;
	struct err err = { "" };
	int r;

	if (doctor) {
		doctor->run = run;
		return;
	}
	doctor = calloc(1, sizeof(*doctor));
	if (!doctor) {
		log_error("doctor", "no memory to look for traps");
		return;
	}
	doctor->agent = agent;
	doctor->run = run;
	buf_init(&doctor->findings, doctor->memory, sizeof(doctor->memory));
	agent->doctor = doctor;
	log_info("doctor", "looking for traps, the collector asks");
	if (agent->is_router_known)
		r = agent->router_ops->check(agent->router, on_trap, on_done, doctor, &err);
	else
		r = err_set(&err, -ENOTCONN, "the router has not been reached yet; jaga status says why");
	if (r < 0)
		finish(doctor, &err);
}

void remote_doctor_stop(struct agent *agent)
{
	free(agent->doctor);
	agent->doctor = NULL;
}
