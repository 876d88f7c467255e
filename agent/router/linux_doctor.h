/* linux_doctor: what the files of the doctor share. Private to agent/router/. */
#ifndef JAGA_AGENT_ROUTER_LINUX_DOCTOR_H
#define JAGA_AGENT_ROUTER_LINUX_DOCTOR_H

#include "agent/router/linux.h"

struct linux_doctor {
	struct router *router;
	const struct agent_config *config;
	router_trap_fn *on_trap;
	void *arg;
	enum router_trap_level worst;
	unsigned n_found; /* traps above ROUTER_TRAP_OK */
};

/* Tells the caller of check about one finding. id and fix have static storage, or live until this returns. */
void linux_trap(struct linux_doctor *doctor, enum router_trap_level level, const char *id, const char *fix,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
