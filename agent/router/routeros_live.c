/*
 * routeros_live: what the driver knows of its uplinks while nothing is being read, and meanwhile.
 *
 *	/interface, /ip/address listened to     a port without carrier is an uplink without carrier, at once; a change of
 *	                                        addresses asks for another reading
 *	every 10 s: interfaces, leases printed  counters, and what a listen should have told and did not
 *
 * Called by routeros.c, and for its rows by routeros_read.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/routeros.h"

struct ros_model_uplink *routeros_uplink_by_interface(struct router *router, struct ros_model *model, const char *name)
{
	for (unsigned i = 0; i < router->config->n_uplinks; i++)
		if (strcmp(router->config->uplinks[i].interface, name) == 0)
			return &model->uplinks[i];
	return NULL;
}

/* --- interfaces ------------------------------------------------------------------------------------- */

static void take_counter(const struct ros_sentence *row, const char *key, uint64_t *ret_bytes)
{
	if (ros_find(row, key))
		*ret_bytes = ros_row_number(row, key);
}

static void lose_interface(struct router *router, struct ros_model_uplink *uplink)
{
	const struct config_uplink *config = &router->config->uplinks[uplink - router->model.uplinks];

	if (uplink->id[0] != '\0')
		routeros_trouble(router, LOG_LEVEL_WARNING, "has no interface %s any more (uplink %s)", config->interface, config->name);
	uplink->id[0] = '\0';
	uplink->is_running = false;
}

/*
 * The uplink that an interface is. Of what listen tells only what changed may be there, and always the id; an interface that was
 * given another name is that uplink no more. NULL: of none.
 */
static struct ros_model_uplink *uplink_of_interface(struct router *router, const struct ros_sentence *row)
{
	const char *id = ros_row_text(row, ".id"), *name = ros_find(row, "name");
	struct ros_model_uplink *uplink = NULL;

	for (unsigned i = 0; i < router->config->n_uplinks; i++)
		if (strcmp(router->model.uplinks[i].id, id) == 0)
			uplink = &router->model.uplinks[i];
	if (!name)
		return uplink;
	if (uplink && uplink != routeros_uplink_by_interface(router, &router->model, name))
		lose_interface(router, uplink);
	return routeros_uplink_by_interface(router, &router->model, name);
}

uint32_t routeros_take_running(struct router *router, const struct ros_sentence *row)
{
	struct ros_model_uplink *uplink = uplink_of_interface(router, row);

	if (!uplink)
		return 0;
	if (ros_find(row, ".dead")) {
		lose_interface(router, uplink);
		return 0;
	}
	routeros_copy(uplink->id, sizeof(uplink->id), ros_row_text(row, ".id"));
	if (ros_find(row, "running"))
		uplink->is_running = ros_row_is(row, "running");
	if (ros_row_is(row, "disabled"))
		uplink->is_running = false;
	take_counter(row, "rx-byte", &uplink->counters.rx_bytes);
	take_counter(row, "tx-byte", &uplink->counters.tx_bytes);
	return 1u << (uplink - router->model.uplinks);
}

void routeros_lose_others(struct router *router, uint32_t seen)
{
	for (unsigned i = 0; i < router->config->n_uplinks; i++)
		if (!(seen & 1u << i))
			lose_interface(router, &router->model.uplinks[i]);
	routeros_report_uplinks(router);
}

/* --- what changes meanwhile ------------------------------------------------------------------------------ */

void routeros_state(const struct router *router, unsigned uplink, struct router_uplink_state *ret_state)
{
	const struct ros_model_uplink *model = &router->model.uplinks[uplink];

	*ret_state = (struct router_uplink_state){
		.has_carrier = model->id[0] != '\0' && model->is_running,
		.has_address = model->has_address && model->gateway[0] != '\0',
	};
}

void routeros_report_uplinks(struct router *router)
{
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		struct router_uplink_state *reported = &router->model.uplinks[i].reported, now;

		routeros_state(router, i, &now);
		if (now.has_carrier == reported->has_carrier && now.has_address == reported->has_address)
			continue;
		*reported = now;
		if (router->is_ready && router->events.on_uplink)
			router->events.on_uplink(router->events_arg, i, &now);
	}
}

static int on_interface(void *arg, const struct ros_sentence *row)
{
	struct router *router = arg;

	routeros_take_running(router, row);
	routeros_monitor_take_interface(router, row);
	routeros_report_uplinks(router);
	return 0;
}

static int on_address(void *arg, const struct ros_sentence *row)
{
	(void)row;
	routeros_verify_in(arg, LIMIT_ROS_SETTLE_MS);
	return 0;
}

/* Without it the next reading tells; a router that ends a listen has lost the session, or is about to. */
static void on_listen_end(void *arg, const struct ros_result *result)
{
	if (result->status == -EREMOTEIO)
		routeros_trouble(arg, LOG_LEVEL_WARNING, "does not tell changes, they are seen within %d s: %s",
				 LIMIT_ROS_VERIFY_MS / 1000, result->err.text);
}

int routeros_listen(struct router *router, struct err *err)
{
	static const struct ros_answer interfaces = { .on_re = on_interface, .on_end = on_listen_end };
	static const struct ros_answer addresses = { .on_re = on_address, .on_end = on_listen_end };
	int r;

	ros_put_word(ros_api_begin(router->api, "/interface/listen"), "=.proplist=.id,.dead,name,running,disabled");
	r = ros_api_send(router->api, 0, &interfaces, router, NULL, err);
	if (r < 0)
		return r;
	ros_put_word(ros_api_begin(router->api, "/ip/address/listen"), "=.proplist=.id");
	return ros_api_send(router->api, 0, &addresses, router, NULL, err);
}

/* --- counters, and what listen missed ---------------------------------------------------------------- */

static int on_counters(void *arg, const struct ros_sentence *row)
{
	struct router *router = arg;

	router->polled |= routeros_take_running(router, row);
	return 0;
}

/* Counters that are not told stand still; a session that is lost is told by others. */
static void on_counters_end(void *arg, const struct ros_result *result)
{
	struct router *router = arg;

	if (result->status == 0)
		routeros_lose_others(router, router->polled);
}

static void poll_interfaces(struct router *router)
{
	static const struct ros_answer answer = { .on_re = on_counters, .on_end = on_counters_end };
	struct buf *out = ros_api_begin(router->api, "/interface/print");

	ros_put_word(out, "=.proplist=.id,name,running,disabled,rx-byte,tx-byte");
	router->polled = 0;
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		ros_put_query(out, "name", router->config->uplinks[i].interface);
		if (i > 0)
			ros_put_word(out, "?#|");
	}
	/* When there is no room now, the next poll asks. */
	(void)ros_api_send(router->api, LIMIT_ROS_ANSWER_MS, &answer, router, NULL, NULL);
}

/* A lease may bring another gateway with the same address: nobody is told then. */
static int on_lease(void *arg, const struct ros_sentence *row)
{
	struct router *router = arg;
	const struct ros_model_uplink *uplink = routeros_uplink_by_interface(router, &router->model, ros_row_text(row, "interface"));
	const char *gateway = ros_row_text(row, "gateway");

	if (uplink && gateway[0] != '\0' && strcmp(gateway, uplink->gateway) != 0 &&
	    router->config->uplinks[uplink - router->model.uplinks].gateway_kind[0] == CONFIG_GATEWAY_AUTO)
		routeros_verify_in(router, LIMIT_ROS_SETTLE_MS);
	return 0;
}

static void on_leases_end(void *arg, const struct ros_result *result)
{
	(void)arg;
	(void)result; /* the next poll asks again */
}

static void poll_leases(struct router *router)
{
	static const struct ros_answer answer = { .on_re = on_lease, .on_end = on_leases_end };
	bool is_wanted = false;

	for (unsigned i = 0; i < router->config->n_uplinks; i++)
		is_wanted = is_wanted || router->config->uplinks[i].gateway_kind[0] == CONFIG_GATEWAY_AUTO;
	if (!is_wanted)
		return;
	ros_put_word(ros_api_begin(router->api, "/ip/dhcp-client/print"), "=.proplist=interface,gateway");
	/* As above. */
	(void)ros_api_send(router->api, LIMIT_ROS_ANSWER_MS, &answer, router, NULL, NULL);
}

void routeros_poll(struct router *router)
{
	if (router->config->n_uplinks == 0)
		return;
	poll_interfaces(router);
	poll_leases(router);
}
