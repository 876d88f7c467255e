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

/* One errand on the router: opened, read, done with. */
struct errand {
	struct ev_loop *loop;
	const struct router_ops *ops;
	struct router *router;
	bool is_awaited; /* the loop runs until the router answers */
	int result;
	struct err err;
	struct doctor doctor;
	enum router_trap_level worst;
};

static void end(struct errand *errand, int result)
{
	errand->result = result;
	errand->is_awaited = false;
	ev_break(errand->loop, EVBREAK_ALL);
}

static void on_answer(void *arg)
{
	end(arg, 0);
}

static void on_reach(void *arg, const struct err *why)
{
	struct errand *errand = arg;

	if (!why)
		return;
	if (errand->is_awaited)
		end(errand, err_set(&errand->err, -EIO, "%s", why->text));
	else
		log_error("router", "%s", why->text);
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	struct errand *errand = arg;

	if (level == LOG_LEVEL_ERROR && errand->is_awaited)
		end(errand, err_set(&errand->err, -EIO, "%s", text));
	else
		log_write(level, "router", "%s", text);
}

static void on_applied(void *arg, uint32_t flows_moved)
{
	(void)flows_moved;
	on_answer(arg);
}

static const struct router_events events = { .on_ready = on_answer, .on_applied = on_applied, .on_reach = on_reach,
					     .on_trouble = on_trouble };

static int await(struct errand *errand)
{
	errand->is_awaited = true;
	ev_run(errand->loop, 0);
	return errand->result;
}

static int open_router(struct errand *errand, const struct agent_config *config)
{
	int r;

	*errand = (struct errand){ .loop = ev_default_loop(EVFLAG_NOENV), .ops = router_driver(config) };
	r = errand->ops->open(errand->loop, config, &events, errand, &errand->router, &errand->err);
	return r < 0 ? r : await(errand);
}

static void on_trap(void *arg, const struct router_trap *trap)
{
	struct errand *errand = arg;

	doctor_on_trap(&errand->doctor, trap);
}

static void on_checked(void *arg, enum router_trap_level worst, const struct err *error)
{
	struct errand *errand = arg;

	errand->worst = worst;
	end(errand, error ? err_set(&errand->err, -EIO, "%s", error->text) : 0);
}

static int look(struct errand *errand)
{
	int r;

	errand->is_awaited = true;
	r = errand->ops->check(errand->router, on_trap, on_checked, errand, &errand->err);
	if (r == 0 && errand->is_awaited)
		r = await(errand);
	return r < 0 ? r : errand->result;
}

int maintenance_check(const struct agent_config *config, enum table_format format, FILE *out)
{
	struct errand errand;
	int r = open_router(&errand, config);

	doctor_begin(&errand.doctor, format, out);
	if (r == 0)
		r = look(&errand);
	if (r == 0)
		r = doctor_finish(&errand.doctor, &errand.err);
	if (r < 0)
		fprintf(stderr, "jaga-agent: the router cannot be checked: %s\n", errand.err.text);
	errand.ops->close(errand.router);
	if (r < 0)
		return EXIT_FAILED;
	return errand.worst == ROUTER_TRAP_FATAL ? EXIT_REFUSED : EXIT_OK;
}

int maintenance_remove(const struct agent_config *config)
{
	struct errand errand = { .ops = router_driver(config) };
	int claim_fd = -1, r;

	/* A claim that fails for another reason than an agent is no reason to leave the plan in force. */
	r = system_claim(config->has_router ? &config->router : NULL, &claim_fd, &errand.err);
	r = r == -EBUSY ? r : 0;
	if (r == 0)
		r = open_router(&errand, config);
	if (r == 0)
		r = errand.ops->remove(errand.router, &errand.err);
	if (r == ROUTER_TOLD)
		r = await(&errand);
	if (r < 0)
		fprintf(stderr, "jaga-agent: not removed: %s\n", errand.err.text);
	errand.ops->close(errand.router);
	if (claim_fd >= 0)
		close(claim_fd);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
