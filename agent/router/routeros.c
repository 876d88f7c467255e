/*
 * routeros: the driver for a RouterOS router beside us, spoken to over its API: the session and the table of operations.
 *
 *   open -> session -> read -> on_ready -> take_over: is it ours? -> change what differs, steer -> kept
 *                 ^                                                                           |
 *                 `----------- session lost; some minutes; a change of addresses -------------'
 *
 * Two kinds of influence, see ros_plan.h. The native plan is configuration: written once, by take_over, and again only
 * where somebody has changed it. Steering writes none: a fail-over is entries of address-lists that end by themselves.
 * When the session is lost the router goes on by itself; when it comes back everything is read and put right.
 *
 * All questions are answered from the model, which routeros_read.c keeps. Callers: agent/agent.c through router.h.
 */
#include "agent/router/routeros.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

void routeros_copy(char *ret_text, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size)
		length = 0;
	memcpy(ret_text, text, length);
	ret_text[length] = '\0';
}

void routeros_trouble(struct router *router, enum log_level level, const char *format, ...)
{
	char text[LIMIT_ERR_TEXT];
	va_list args;
	int head = snprintf(text, sizeof(text), "router %s ", router->config->router_name);

	va_start(args, format);
	vsnprintf(text + head, sizeof(text) - (size_t)head, format, args);
	va_end(args);
	if (router->events.on_trouble)
		router->events.on_trouble(router->events_arg, level, text);
	else
		log_write(level, "router", "%s", text);
}

/* --- the course of things ---------------------------------------------------------------------------- */

void routeros_verify_in(struct router *router, int64_t wait_ms)
{
	ev_timer_stop(router->loop, &router->verify);
	ev_timer_set(&router->verify, (ev_tstamp)wait_ms / 1000, 0);
	ev_timer_start(router->loop, &router->verify);
}

static void on_verify(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct router *router = timer->data;

	(void)loop;
	(void)revents;
	if (ros_api_is_open(router->api))
		routeros_read(router);
}

static void on_round(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct router *router = timer->data;

	(void)loop;
	(void)revents;
	if (!ros_api_is_open(router->api))
		return;
	routeros_lease_next_round(router);
	routeros_next_round(router);
	routeros_poll(router);
}

void routeros_on_read(struct router *router)
{
	bool is_first = !router->is_ready;

	router->steering.is_known |= router->steering.is_reading;
	router->steering.is_reading = false;
	router->keeper.unread.text[0] = '\0';
	routeros_report_uplinks(router);
	if (router->claim.is_held) {
		routeros_change(router);
	} else {
		router->keeper.state = ROS_KEPT;
		routeros_on_kept(router);
	}
	routeros_steer(router);
	router->is_ready = true;
	routeros_monitor_begin(router);
	if (is_first && router->events.on_ready)
		router->events.on_ready(router->events_arg);
}

void routeros_on_held(struct router *router, bool has_yielded)
{
	if (has_yielded)
		routeros_forget_entries(router); /* they were another's to change */
	if (has_yielded || router->is_removed)
		routeros_read(router);
	else if (router->keeper.state == ROS_KEPT)
		routeros_change(router);
	routeros_steer(router);
}

void routeros_on_kept(struct router *router)
{
	bool is_due = router->keeper.is_due;

	router->keeper.is_due = false;
	routeros_verify_in(router, LIMIT_ROS_VERIFY_MS);
	if (is_due)
		routeros_read(router);
	else
		routeros_settle(router);
}

static bool is_settled(const struct router *router)
{
	const struct ros_steering *steering = &router->steering;

	if (!steering->is_told)
		return false;
	if (!router->claim.is_held) /* another steers, as was told; the removal has ended with that */
		return router->is_installed && router->claim.lease.state == ROS_LEASE_OTHERS;
	return (routeros_is_steered(router) || steering->is_stuck) && (!steering->is_plan_told || routeros_is_kept(router));
}

void routeros_settle(struct router *router)
{
	if (is_settled(router))
		ev_timer_start(router->loop, &router->applied);
}

/* From the loop, so that nobody is told within the call by which they tell. */
static void on_settled(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct router *router = timer->data;
	uint32_t flows_moved;

	(void)loop;
	(void)revents;
	if (!is_settled(router))
		return;
	flows_moved = router->steering.flows_moved;
	router->steering.is_told = router->steering.is_plan_told = false;
	router->steering.flows_moved = 0;
	if (router->events.on_applied)
		router->events.on_applied(router->events_arg, flows_moved);
}

static void on_open(void *arg)
{
	struct router *router = arg;
	struct err err = { "" };

	router->sessions++;
	if (router->events.on_reach)
		router->events.on_reach(router->events_arg, NULL);
	router->keeper.state = ROS_UNREAD;
	router->keeper.is_due = false;
	routeros_forget_entries(router);
	routeros_lease_look(router);
	if (routeros_listen(router, &err) < 0)
		routeros_trouble(router, LOG_LEVEL_WARNING, "does not tell changes: %s", err.text);
	routeros_read(router);
	routeros_doctor_begin(router);
}

/* `why` names the router. */
static void on_lost(void *arg, int64_t retry_ms, const struct err *why)
{
	struct router *router = arg;

	router->keeper.state = ROS_UNREAD;
	routeros_forget_entries(router);
	routeros_lease_forget(router);
	routeros_monitor_lost(router);
	log_debug("router", "trying again in_ms=%lld", (long long)retry_ms);
	if (router->events.on_reach)
		router->events.on_reach(router->events_arg, why);
	else
		log_write(LOG_LEVEL_ERROR, "router", "%s", why->text);
}

/* --- operations ---------------------------------------------------------------------------------------- */

bool routeros_is_from(const struct router *router, unsigned major, unsigned minor)
{
	return router->model.major > major || (router->model.major == major && router->model.minor >= minor);
}

int routeros_read_password(const struct agent_config *config, char ret_password[static LIMIT_ROS_PASSWORD], struct err *err)
{
	int fd;
	ssize_t length;

	ret_password[0] = '\0';
	if (config->password_file[0] == '\0')
		return 0;
	/* Not by stdio, whose buffer would keep it. */
	fd = open(config->password_file, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, ret_password, LIMIT_ROS_PASSWORD - 1);
	if (length < 0)
		err_sys(err, -errno, "password of the router: %s", config->password_file);
	if (fd >= 0)
		close(fd);
	if (length < 0)
		return -EIO;
	ret_password[length] = '\0';
	ret_password[strcspn(ret_password, "\r\n")] = '\0';
	if (strlen(ret_password) == LIMIT_ROS_PASSWORD - 1)
		return err_set(err, -EMSGSIZE, "%s: the first line is longer than %d characters", config->password_file,
			       LIMIT_ROS_PASSWORD - 2);
	return 0;
}

static void routeros_close(struct router *router)
{
	if (!router)
		return;
	ev_timer_stop(router->loop, &router->verify);
	ev_timer_stop(router->loop, &router->round);
	ev_timer_stop(router->loop, &router->applied);
	router->is_installed = router->is_removed = router->claim.is_held = false; /* commands that end now send nothing */
	routeros_snapshot_close(router);
	routeros_script_close(router);
	routeros_save_close(router);
	ros_api_destroy(router->api);
	routeros_monitor_destroy(router);
	routeros_doctor_close(router);
	routeros_script_free(router);
	routeros_save_free(router);
	free(router->keeper.wanted);
	free(router);
}

int routeros_settings(const struct agent_config *config, struct ros_api_settings *ret_settings, struct err *err)
{
	*ret_settings = (struct ros_api_settings){ .address = config->router, .tls = { .mode = config->tls, .address = config->router } };
	routeros_copy(ret_settings->name, sizeof(ret_settings->name), config->router_name);
	memcpy(ret_settings->tls.pin, config->pin, sizeof(ret_settings->tls.pin));
	memcpy(ret_settings->tls.ca_file, config->ca_file, sizeof(ret_settings->tls.ca_file));
	routeros_copy(ret_settings->user, sizeof(ret_settings->user), config->router_user);
	return routeros_read_password(config, ret_settings->password, err);
}

static int routeros_open(struct ev_loop *loop, const struct agent_config *config, const struct router_events *events,
			 void *events_arg, struct router **ret_router, struct err *err)
{
	static const struct ros_api_events api_events = { .on_open = on_open, .on_lost = on_lost };
	struct ros_api_settings settings;
	struct router *router;
	int r = routeros_settings(config, &settings, err);

	if (r < 0)
		goto out;
	router = calloc(1, sizeof(*router));
	if (!router) {
		r = err_sys(err, -ENOMEM, "cannot open the router");
		goto out;
	}
	router->loop = loop;
	router->config = config;
	router->events = *events;
	router->events_arg = events_arg;
	routeros_lease_init(router);
	ev_init(&router->verify, on_verify);
	router->verify.data = router;
	ev_timer_init(&router->applied, on_settled, 0, 0);
	router->applied.data = router;
	ev_timer_init(&router->round, on_round, LIMIT_ROS_REFRESH_MS / 1000.0, LIMIT_ROS_REFRESH_MS / 1000.0);
	router->round.data = router;
	ev_timer_start(loop, &router->round);
	r = routeros_monitor_create(router, err);
	if (r == 0)
		r = ros_api_create(loop, &settings, &api_events, router, &router->api, err);
	if (r < 0) {
		routeros_close(router);
		goto out;
	}
	*ret_router = router;
out:
	explicit_bzero(settings.password, sizeof(settings.password));
	return r;
}

static int routeros_read_plan_op(struct router *router, struct forwarding_plan *ret_plan, struct err *err)
{
	if (!routeros_is_whole(router))
		return err_set(err, -ENOENT, "no plan of this configuration is in force");
	routeros_read_plan(router, ret_plan);
	return 0;
}

static int routeros_take_over(struct router *router, const struct forwarding_plan *plan, bool *ret_adopted, struct err *err)
{
	(void)err;
	*ret_adopted = routeros_is_whole(router);
	router->is_installed = true;
	router->steering.plan = *plan;
	router->steering.is_told = router->steering.is_plan_told = true;
	routeros_lease_want(router);
	return ROUTER_TOLD;
}

static int routeros_apply(struct router *router, const struct forwarding_plan *plan, struct err *err)
{
	if (!router->is_installed)
		return err_set(err, -EINVAL, "no take-over has happened");
	router->steering.plan = *plan; /* also what it is told when it comes back */
	if (!ros_api_is_open(router->api))
		return err_set(err, -ENOTCONN, "the router cannot be reached, it goes by its own plan");
	router->steering.is_told = true;
	routeros_steer(router);
	return ROUTER_TOLD;
}

static int routeros_flush(struct router *router, unsigned uplink, enum router_flush what, uint32_t *ret_flows,
			  struct err *err)
{
	(void)err;
	*ret_flows = 0;
	if (router->claim.lease.state == ROS_LEASE_OTHERS)
		return 0;
	if (what == ROUTER_FLUSH_ALL)
		router->steering.flush_all |= 1u << uplink;
	else
		router->steering.flush_unreplied |= 1u << uplink;
	routeros_steer(router);
	return 0;
}

static int routeros_read_uplink(struct router *router, unsigned uplink, struct router_uplink_state *ret_state)
{
	routeros_state(router, uplink, ret_state);
	return 0;
}

static int routeros_read_counters(struct router *router, unsigned uplink, struct router_counters *ret_counters)
{
	*ret_counters = router->model.uplinks[uplink].counters;
	return 0;
}

static int routeros_remove(struct router *router, struct err *err)
{
	(void)err;
	router->is_removed = true;
	router->is_installed = false;
	router->steering.is_told = router->steering.is_plan_told = true;
	router->claim.is_held = false;
	routeros_lease_want(router);
	return ROUTER_TOLD;
}

const struct router_ops router_routeros = {
	.name = "routeros",
	.open = routeros_open,
	.check = routeros_check,
	.read_plan = routeros_read_plan_op,
	.take_over = routeros_take_over,
	.apply = routeros_apply,
	.flush = routeros_flush,
	.read_uplink = routeros_read_uplink,
	.read_counters = routeros_read_counters,
	.remove = routeros_remove,
	.read_watched = routeros_read_watched,
	.snapshot = routeros_snapshot,
	.run_script = routeros_run_script,
	.save_point = routeros_save_point,
	.commit = routeros_commit,
	.roll_back = routeros_roll_back,
	.close = routeros_close,
};
