/*
 * routeros_doctor: what would keep the plan from working on this router, as far as the model tells. Called through
 * router.h, before a take-over and by `jaga-agent --check`. Changes nothing.
 */
#include <stdarg.h>
#include <stdio.h>

#include "agent/router/routeros.h"

struct doctor {
	router_trap_fn *on_trap;
	void *arg;
	enum router_trap_level worst;
};

static void tell(struct doctor *doctor, enum router_trap_level level, const char *id, const char *fix, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void tell(struct doctor *doctor, enum router_trap_level level, const char *id, const char *fix, const char *format, ...)
{
	char what[LIMIT_ERR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (level > doctor->worst)
		doctor->worst = level;
	doctor->on_trap(doctor->arg, &(struct router_trap){ level, id, what, fix });
}

static void check_uplink(struct doctor *doctor, const struct router *router, unsigned i)
{
	const struct config_uplink *config = &router->config->uplinks[i];
	const struct ros_model_uplink *model = &router->model.uplinks[i];

	if (model->id[0] == '\0')
		tell(doctor, ROUTER_TRAP_FATAL, "interface", "name it as /interface/print shows it",
		     "uplink %s: the router has no interface %s", config->name, config->interface);
	else if (model->gateway[0] == '\0' && model->last_gateway[0] == '\0')
		tell(doctor, ROUTER_TRAP_WARNING, "gateway",
		     "wait for its lease, or write gateway = ADDRESS; until then the router has no route over it",
		     "uplink %s: no gateway of %s is known", config->name, config->interface);
	else
		tell(doctor, ROUTER_TRAP_OK, "interface", "", "uplink %s: %s", config->name, config->interface);
}

int routeros_check(struct router *router, router_trap_fn *on_trap, router_check_fn *on_done, void *arg, struct err *err)
{
	struct doctor doctor = { .on_trap = on_trap, .arg = arg, .worst = ROUTER_TRAP_OK };

	(void)err;
	tell(&doctor, ROUTER_TRAP_OK, "version", "", "RouterOS %u.%u", router->model.major, router->model.minor);
	for (unsigned i = 0; i < router->config->n_uplinks; i++)
		check_uplink(&doctor, router, i);
	for (unsigned i = 0; i < router->config->n_lans; i++)
		if (!router->model.has_lan[i])
			tell(&doctor, ROUTER_TRAP_FATAL, "interface", "name it as /interface/print shows it",
			     "LAN: the router has no interface %s", router->config->lans[i]);
	on_done(arg, doctor.worst, NULL);
	return 0;
}
