/*
 * doctor: prints what the router driver's check() finds, for `jaga-agent --check`. Text: one finding
 * a paragraph, with what to do; JSON and kv: every finding, also what was looked at and is fine.
 */
#ifndef JAGA_AGENT_DOCTOR_H
#define JAGA_AGENT_DOCTOR_H

#include <stdio.h>

#include "agent/router/router.h"
#include "agent/table.h"
#include "common/err.h"

struct doctor {
	enum table_format format;
	FILE *out;
	unsigned found[ROUTER_TRAP_FATAL + 1];
	struct table table;
};

void doctor_begin(struct doctor *doctor, enum table_format format, FILE *out);
void doctor_on_trap(void *doctor, const struct router_trap *trap); /* a router_trap_fn */
int doctor_finish(struct doctor *doctor, struct err *err);

#endif
