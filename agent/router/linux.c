/*
 * linux: the driver for a router that runs Linux: the table of operations, and the order in which its
 * parts are put in force and taken away.
 *
 *   take_over   sysctls, routing tables, ip rules, then the nf_tables transaction. Until the last step no
 *               packet carries our mark, so nothing before it changes what the router does; when a step
 *               fails, the earlier ones are undone.
 *   apply       elements of two maps (linux_nft.c), nothing else
 *   remove      the reverse order; finds everything by table name and protocol number, so it works after
 *               a crash, under another configuration, and twice
 *   close       leaves all of it in force: a router without an agent goes on forwarding
 *
 * Failures are told to the caller in words; what a kernel lacks is named with its option or package.
 * The floor is kernel 5.2 (type route chains in family inet); 5.15 forgets unreplied flows faster.
 *
 * Callers: agent/agent.c through router.h.
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/log.h"
#include "common/parse.h"

/* First kernel with CTA_STATUS_MASK. */
static bool kernel_flushes_by_status(void)
{
	struct utsname name;
	const char *at = name.release;
	uint32_t major, minor;

	if (uname(&name) < 0 || parse_leading_u32(&at, &major) < 0 || *at++ != '.' || parse_leading_u32(&at, &minor) < 0)
		return false;
	return major > 5 || (major == 5 && minor >= 15);
}

static void linux_close(struct router *router)
{
	if (!router)
		return;
	ev_timer_stop(router->loop, &router->ready);
	linux_snapshot_close(router);
	linux_script_close(router);
	linux_events_close(router);
	nl_socket_close(&router->route);
	nl_socket_close(&router->netfilter);
	free(router);
}

static void on_ready(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct router *router = timer->data;

	(void)loop;
	(void)revents;
	if (router->events.on_ready)
		router->events.on_ready(router->events_arg);
}

static int linux_open(struct ev_loop *loop, const struct agent_config *config, const struct router_events *events,
		      void *events_arg, struct router **ret_router, struct err *err)
{
	struct router *router = NULL;
	int ret;

	/* A mark of 0 is nobody's, so a field of n values holds n - 1 uplinks. */
	if (router_uplink_mark(config, config->n_uplinks - 1) > config->mark_field)
		return err_set(err, -EINVAL, "mark field 0x%x is too narrow for %u uplinks", config->mark_field,
			       config->n_uplinks);
	router = calloc(1, sizeof(*router));
	if (!router)
		return err_sys(err, -ENOMEM, "cannot open the router");
	router->loop = loop;
	router->config = config;
	router->events = *events;
	router->events_arg = events_arg;
	router->route.fd = router->netfilter.fd = -1;
	router->route_io.fd = router->nft_io.fd = -1;
	ev_timer_init(&router->ready, on_ready, 0, 0);
	router->ready.data = router;
	router->has_ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	router->ct_flushes_one_by_one = !kernel_flushes_by_status();

	ret = nl_socket_open(&router->route, NETLINK_ROUTE, router->receive, err);
	if (ret == 0)
		ret = nl_socket_open(&router->netfilter, NETLINK_NETFILTER, router->receive, err);
	if (ret == 0) {
		router->has_ipsec = linux_nft_has_ipsec(router);
		ret = linux_events_open(router, err);
	}
	if (ret == 0)
		ret = linux_links_read(router, err);
	if (ret == 0)
		ret = linux_gateways_read(router, err);
	if (ret < 0) {
		linux_close(router);
		return ret;
	}
	for (unsigned i = 0; i < config->n_uplinks; i++)
		linux_uplink_state(router, i, &router->uplinks[i].reported);
	ev_timer_start(loop, &router->ready);
	*ret_router = router;
	return 0;
}

/*
 * A setting that cannot be saved or written is no reason to give up forwarding; told once, not at each event: a
 * line that is dialled anew has its defaults again.
 */
static void keep_sysctls(struct router *router)
{
	struct err err = {0};
	int ret = linux_sysctls_set(router, &err);

	if (ret >= 0 || ret == router->sysctl_error)
		return;
	router->sysctl_error = ret;
	if (router->events.on_trouble)
		router->events.on_trouble(router->events_arg, LOG_LEVEL_WARNING, err.text);
	else
		log_warning("router", "%s", err.text);
}

static int keep_routes(struct router *router, struct err *err)
{
	int ret = linux_routes_read(router, &router->own_routes, err);

	if (ret < 0)
		return ret;
	linux_routes_want(router, &router->wanted_routes);
	return linux_routes_change(router, &router->own_routes, &router->wanted_routes, err);
}

static int keep_rules(struct router *router, struct err *err)
{
	int ret = linux_rules_read(router, &router->own_rules, err);

	if (ret < 0)
		return ret;
	linux_rules_want(router, &router->wanted_rules);
	return linux_rules_change(router, &router->own_rules, &router->wanted_rules, err);
}

/* A route that cannot be does not keep the rules from being; the first failure is told. */
int linux_keep(struct router *router, struct err *err)
{
	struct err second = {0};
	int routes, rules;

	keep_sysctls(router);
	routes = keep_routes(router, err);
	rules = keep_rules(router, routes < 0 ? &second : err);
	return routes < 0 ? routes : rules;
}

/* Back to the routes and rules that were ours before; errors here must not hide the first one. */
static void undo(struct router *router, bool had_rules)
{
	struct err err = {0};

	if (linux_rules_read(router, &router->own_rules, &err) < 0 ||
	    linux_rules_change(router, &router->own_rules, &router->former_rules, &err) < 0 ||
	    linux_routes_read(router, &router->own_routes, &err) < 0 ||
	    linux_routes_change(router, &router->own_routes, &router->former_routes, &err) < 0 ||
	    (!had_rules && linux_sysctls_restore(router, &err) < 0))
		log_error("router", "undoing a take-over: %s; jaga-agent --remove takes the rest away", err.text);
}

struct first_trap {
	struct err *err;
	bool is_found;
};

static void keep_first_fatal(void *arg, const struct router_trap *trap)
{
	struct first_trap *first = arg;

	if (trap->level != ROUTER_TRAP_FATAL || first->is_found)
		return;
	first->is_found = true;
	err_set(first->err, 0, "%s: %s. %s", trap->id, trap->what, trap->fix);
}

static void on_checked(void *arg, enum router_trap_level worst, const struct err *error)
{
	(void)arg; /* the first fatal trap says it all */
	(void)worst;
	(void)error;
}

static int refuse_when_trapped(struct router *router, struct err *err)
{
	struct first_trap first = {.err = err};
	int ret = linux_check(router, keep_first_fatal, on_checked, &first, err);

	return ret < 0 ? ret : first.is_found ? -EPERM : 0;
}

/*
 * A mark means a number of the configuration. Flows whose mark meant another interface to the agent before us
 * would change lines with the wrong address: they are forgotten. All others keep their line.
 */
static void forget_moved_marks(struct router *router, char names[static LIMIT_UPLINKS][IFNAMSIZ])
{
	struct err err = {0};
	uint32_t flows = 0;

	for (unsigned i = 0; i < LIMIT_UPLINKS; i++) {
		bool is_ours = i < router->config->n_uplinks;

		if (!names[i][0] || !is_ours || strcmp(names[i], router->config->uplinks[i].interface) == 0)
			continue;
		if (linux_conntrack_flush(router, i, ROUTER_FLUSH_ALL, &flows, &err) < 0)
			log_warning("router", "%s; they leave by %s with the address of %s until they end", err.text,
				    router->config->uplinks[i].interface, names[i]);
		else
			log_info("router", "uplink=%s was %s to the agent before, forgot its flows=%u",
				 router->config->uplinks[i].name, names[i], flows);
	}
}

/* The last step: until now nothing has changed what the router does. */
static int put_in_force(struct router *router, const struct forwarding_plan *plan,
			const struct forwarding_plan *observed, struct err *err)
{
	char owners[LIMIT_UPLINKS][IFNAMSIZ];
	int ret;

	if (observed) {
		router->plan = *observed;
		return linux_nft_apply(router, plan, err);
	}
	ret = linux_nft_read_owners(router, owners, err);
	if (ret == 0)
		ret = linux_nft_install(router, plan, err);
	if (ret == 0)
		forget_moved_marks(router, owners);
	return ret;
}

static int linux_take_over(struct router *router, const struct forwarding_plan *plan, bool *ret_adopted,
			   struct err *err)
{
	struct forwarding_plan observed;
	bool is_adopted;
	int ret;

	ret = linux_nft_read(router, &observed, err);
	if (ret < 0 && ret != -ENOENT)
		return ret;
	is_adopted = ret == 0;
	ret = is_adopted ? 0 : refuse_when_trapped(router, err);
	if (ret == 0)
		ret = linux_resync(router, false, err);
	if (ret == 0)
		ret = linux_routes_read(router, &router->former_routes, err);
	if (ret == 0)
		ret = linux_rules_read(router, &router->former_rules, err);
	if (ret < 0)
		return ret;

	ret = linux_keep(router, err);
	if (ret == 0)
		ret = put_in_force(router, plan, is_adopted ? &observed : NULL, err);
	if (ret < 0) {
		undo(router, router->former_rules.n > 0);
		return ret;
	}
	router->is_installed = true;
	*ret_adopted = is_adopted;
	return 0;
}

static int linux_apply(struct router *router, const struct forwarding_plan *plan, struct err *err)
{
	if (!router->is_installed)
		return err_set(err, -EINVAL, "no take-over has happened");
	return linux_nft_apply(router, plan, err);
}

static int linux_remove(struct router *router, struct err *err)
{
	const struct linux_routes no_routes = {0};
	const struct linux_rules no_rules = {0};
	int ret;

	router->is_installed = false;
	ret = linux_nft_remove(router, err);
	if (ret == 0)
		ret = linux_rules_read(router, &router->own_rules, err);
	if (ret == 0)
		ret = linux_rules_change(router, &router->own_rules, &no_rules, err);
	if (ret == 0)
		ret = linux_routes_read(router, &router->own_routes, err);
	if (ret == 0)
		ret = linux_routes_change(router, &router->own_routes, &no_routes, err);
	if (ret == 0)
		ret = linux_sysctls_restore(router, err);
	return ret;
}

static int linux_read_uplink(struct router *router, unsigned uplink, struct router_uplink_state *ret_state)
{
	linux_uplink_state(router, uplink, ret_state);
	return 0;
}

const struct router_ops router_linux = {
	.name = "linux",
	.open = linux_open,
	.check = linux_check,
	.read_plan = linux_nft_read,
	.take_over = linux_take_over,
	.apply = linux_apply,
	.flush = linux_conntrack_flush,
	.read_uplink = linux_read_uplink,
	.read_counters = linux_link_counters,
	.remove = linux_remove,
	.snapshot = linux_snapshot,
	.run_script = linux_run_script,
	.save_point = linux_save_point,
	.commit = linux_commit,
	.roll_back = linux_roll_back,
	.close = linux_close,
};
