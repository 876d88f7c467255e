/*
 * maintenance: jaga-agent --check and --remove, which run beside or instead of the agent and end.
 *
 * --check needs no lock and changes nothing, not even the state directory. --remove claims the
 * router as an agent does: one that still ran would put back what it takes away. Called by main.c.
 */
#include "agent/maintenance.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/doctor.h"
#include "agent/local.h"
#include "agent/router/router.h"
#include "agent/system.h"

static void ignore_uplink(void *arg, unsigned uplink, const struct router_uplink_state *state)
{
	(void)arg;
	(void)uplink;
	(void)state;
}

static const struct router_events no_events = { .on_uplink = ignore_uplink };

int maintenance_check(const struct agent_config *config, enum table_format format, FILE *out)
{
	const struct router_ops *ops = &router_linux;
	enum router_trap_level worst = ROUTER_TRAP_OK;
	struct router *router = NULL;
	struct doctor doctor;
	struct err err = { "" };
	int r;

	doctor_begin(&doctor, format, out);
	r = ops->open(ev_default_loop(EVFLAG_NOENV), config, &no_events, NULL, &router, &err);
	if (r == 0)
		r = ops->check(router, doctor_on_trap, &doctor, &worst, &err);
	if (r == 0)
		r = doctor_finish(&doctor, &err);
	if (r < 0)
		fprintf(stderr, "jaga-agent: the router cannot be checked: %s\n", err.text);
	ops->close(router);
	if (r < 0)
		return EXIT_FAILED;
	return worst == ROUTER_TRAP_FATAL ? EXIT_REFUSED : EXIT_OK;
}

int maintenance_remove(const struct agent_config *config)
{
	const struct router_ops *ops = &router_linux;
	struct router *router = NULL;
	struct err err = { "" };
	int claim_fd = -1, r;

	/* A claim that fails for another reason than an agent is no reason to leave the plan in force. */
	r = system_claim(&claim_fd, &err);
	r = r == -EBUSY ? r : 0;
	if (r == 0)
		r = ops->open(ev_default_loop(EVFLAG_NOENV), config, &no_events, NULL, &router, &err);
	if (r == 0)
		r = ops->remove(router, &err);
	if (r < 0)
		fprintf(stderr, "jaga-agent: not removed: %s\n", err.text);
	ops->close(router);
	if (claim_fd >= 0)
		close(claim_fd);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
