/*
 * routeros_read: the router as it is -> the model. One print after the other, since what comes later needs what came
 * before: which gateway a line has (auto) is seen by its address, and our items are compared with a plan that names
 * it. Every print has a .proplist, and answers stream: nothing is kept but what the driver needs.
 *
 *   read() -> version, interfaces, addresses, DHCP clients, default routes -> want() -> the menus of the plan -> on_read()
 *
 * What is read becomes the model when all of it is known; what is told meanwhile is routeros_live.c's. Called by routeros.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/routeros.h"

/* --- what a row says ----------------------------------------------------------------------------- */

static void take_resource(struct router *router, const struct ros_sentence *row)
{
	(void)ros_row_version(row, &router->next.major, &router->next.minor); /* not told: 0, which is too old */
}

static void take_interface(struct router *router, const struct ros_sentence *row)
{
	for (unsigned i = 0; i < router->config->n_lans; i++)
		if (strcmp(router->config->lans[i], ros_row_text(row, "name")) == 0)
			router->next.has_lan[i] = true;
	router->printed |= routeros_take_running(router, row);
}

static uint32_t mask_of(uint32_t prefix)
{
	return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

static void take_network(struct router *router, uint32_t network, uint32_t prefix)
{
	struct ros_model *model = &router->next;
	struct in_addr address = { htonl(network) };
	char text[INET_ADDRSTRLEN], whole[sizeof(model->networks[0])];

	if (routeros_is_private(router->config, network, mask_of(prefix)))
		return;
	inet_ntop(AF_INET, &address, text, sizeof(text));
	if (snprintf(whole, sizeof(whole), "%s/%u", text, prefix) >= (int)sizeof(whole))
		return;
	for (unsigned i = 0; i < model->n_networks; i++)
		if (strcmp(model->networks[i], whole) == 0)
			return;
	if (model->n_networks == LIMIT_ROS_NETWORKS)
		model->n_more_networks++;
	else
		memcpy(model->networks[model->n_networks++], whole, sizeof(whole));
}

/* "192.168.88.1/24" */
static bool parse_network(const char *whole, uint32_t *ret_network, uint32_t *ret_prefix)
{
	const char *slash = strchr(whole, '/');
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	if (!slash || parse_u32(slash + 1, 0, 32, ret_prefix) < 0)
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)(slash - whole), whole);
	if (inet_pton(AF_INET, text, &address) != 1)
		return false;
	*ret_network = ntohl(address.s_addr) & mask_of(*ret_prefix);
	return true;
}

/* Networks of interfaces that are no uplinks are inside. */
static void take_address(struct router *router, const struct ros_sentence *row)
{
	struct ros_model_uplink *uplink = routeros_uplink_by_interface(router, &router->next, ros_row_text(row, "interface"));
	uint32_t network, prefix;

	if (ros_row_is(row, "disabled") || ros_row_is(row, "invalid") || !parse_network(ros_row_text(row, "address"), &network, &prefix))
		return;
	if (!uplink) {
		take_network(router, network, prefix);
		return;
	}
	uplink->has_address = true;
	uplink->network = network;
	uplink->mask = mask_of(prefix);
}

/* "10.0.1.1", "10.0.1.1%ether1", "ether1" */
static bool is_over_uplink(const struct router *router, const char *gateway)
{
	const char *percent = strchr(gateway, '%'), *interface = percent ? percent + 1 : gateway;
	struct in_addr address;
	bool is_address = inet_pton(AF_INET, gateway, &address) == 1;

	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		const struct ros_model_uplink *uplink = &router->next.uplinks[i];

		/* Also while it has no address: the plan does not change with a lease. */
		if (is_address ? uplink->mask != 0 && (ntohl(address.s_addr) & uplink->mask) == uplink->network
			       : strcmp(interface, router->config->uplinks[i].interface) == 0)
			return true;
	}
	return false;
}

/* Where somebody's own route leads by no uplink is inside, too: behind another router, in a tunnel, nowhere. */
static void take_static_route(struct router *router, const struct ros_sentence *row)
{
	const char *table = ros_row_text(row, "routing-table");
	uint32_t network, prefix;

	if (strncmp(ros_row_text(row, "comment"), ROS_TAG, sizeof(ROS_TAG) - 1) == 0 || ros_row_is(row, "disabled") ||
	    ros_row_text(row, "routing-mark")[0] != '\0' || (table[0] != '\0' && strcmp(table, "main") != 0) ||
	    !parse_network(ros_row_text(row, "dst-address"), &network, &prefix) || prefix == 0 ||
	    is_over_uplink(router, ros_row_text(row, "gateway")))
		return;
	take_network(router, network, prefix);
}

static void take_hotspot(struct router *router, const struct ros_sentence *row)
{
	for (unsigned i = 0; !ros_row_is(row, "disabled") && i < router->config->n_lans; i++)
		if (strcmp(router->config->lans[i], ros_row_text(row, "interface")) == 0)
			router->next.has_hotspot[i] = true;
}

static void take_dhcp_client(struct router *router, const struct ros_sentence *row)
{
	struct ros_model_uplink *uplink = routeros_uplink_by_interface(router, &router->next, ros_row_text(row, "interface"));

	if (uplink && uplink->gateway[0] == '\0')
		routeros_copy(uplink->gateway, sizeof(uplink->gateway), ros_row_text(row, "gateway"));
}

/* Of an uplink whose gateway is `auto`: a default route through its interface, or to a neighbour in its network. */
static void take_default_route(struct router *router, const struct ros_sentence *row)
{
	static const char head[] = ROS_TAG "probes over ";
	const char *gateway = ros_row_text(row, "gateway"), *comment = ros_row_text(row, "comment");
	struct in_addr address;
	bool is_address = inet_pton(AF_INET, gateway, &address) == 1;

	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		struct ros_model_uplink *uplink = &router->next.uplinks[i];
		const struct config_uplink *config = &router->config->uplinks[i];

		if (strncmp(comment, head, sizeof(head) - 1) == 0 && strcmp(comment + sizeof(head) - 1, config->name) == 0)
			routeros_copy(uplink->last_gateway, sizeof(uplink->last_gateway), gateway);
		if (strncmp(comment, ROS_TAG, sizeof(ROS_TAG) - 1) == 0 || uplink->gateway[0] != '\0' ||
		    ros_row_is(row, "disabled"))
			continue;
		if (is_address ? uplink->has_address && (ntohl(address.s_addr) & uplink->mask) == uplink->network
			       : strcmp(gateway, config->interface) == 0)
			routeros_copy(uplink->gateway, sizeof(uplink->gateway), gateway);
	}
}

static void take_item(struct router *router, enum ros_menu menu, const struct ros_sentence *row)
{
	bool is_dynamic = ros_row_is(row, "dynamic") || ros_row_is(row, "default"); /* the router's own: no place before them */
	unsigned position = ++router->keeper.n_rows;

	if (menu == ROS_NETWORKS && is_dynamic && strcmp(ros_row_text(row, "comment"), ROS_TAG "steering") == 0) {
		if (router->steering.is_reading)
			routeros_take_entry(router, row);
		return;
	}
	if (!is_dynamic)
		routeros_compare(router, menu, row, position);
}

/* --- one print after the other ---------------------------------------------------------------------- */

struct print {
	const char *path, *proplist, *query;
	void (*take)(struct router *router, const struct ros_sentence *row);
};

static const struct print prints[] = {
	{ "/system/resource", "version", NULL, take_resource },
	{ "/interface", ".id,name,running,disabled,rx-byte,tx-byte", NULL, take_interface },
	{ "/ip/address", "address,interface,disabled,invalid", NULL, take_address },
	{ "/ip/hotspot", "interface,disabled", NULL, take_hotspot },
	{ "/ip/dhcp-client", "interface,gateway", NULL, take_dhcp_client },
	{ "/ip/route", "gateway,comment,disabled", "?dst-address=0.0.0.0/0", take_default_route },
	{ "/ip/route", "dst-address,gateway,routing-mark,routing-table,comment,disabled", "?static=true", take_static_route },
};
#define N_PRINTS (sizeof(prints) / sizeof(prints[0]))

/* What the plan compares; a menu whose order does not matter is asked only for what has a comment. */
static const struct print menus[ROS_MENUS] = {
	[ROS_LISTS] = { NULL, ".id,comment,name,dynamic", "?comment", NULL },
	[ROS_MEMBERS] = { NULL, ".id,comment,list,interface,disabled,dynamic", "?comment", NULL },
	[ROS_NETWORKS] = { NULL, ".id,comment,list,address,disabled,dynamic", "?comment", NULL },
	[ROS_TABLES] = { NULL, ".id,comment,name,fib,disabled,dynamic", "?comment", NULL },
	[ROS_ROUTES] = { NULL,
			 ".id,comment,dst-address,gateway,check-gateway,scope,target-scope,distance,routing-mark,routing-table,"
			 "disabled,dynamic",
			 "?comment", NULL },
	[ROS_RULES] = { NULL, ".id,comment,src-address,action,table,disabled,dynamic,default", NULL, NULL },
	[ROS_MANGLE] = { NULL,
			 ".id,comment,chain,action,jump-target,in-interface,in-interface-list,src-address-list,dst-address-list,"
			 "dst-address-type,hotspot,connection-mark,new-connection-mark,new-routing-mark,passthrough,"
			 "per-connection-classifier,disabled,dynamic",
			 NULL, NULL },
	[ROS_NAT] = { NULL, ".id,comment,chain,action,out-interface,ipsec-policy,disabled,dynamic", "?comment", NULL },
};

static int on_row(void *arg, const struct ros_sentence *row)
{
	struct router *router = arg;
	unsigned reading = router->keeper.reading;

	if (reading < N_PRINTS)
		prints[reading].take(router, row);
	else
		take_item(router, (enum ros_menu)(reading - N_PRINTS), row);
	return 0;
}

static void read_next(struct router *router);

static void fail(struct router *router, const struct err *err)
{
	router->keeper.state = ROS_UNREAD;
	if (strcmp(router->keeper.unread.text, err->text) != 0)
		routeros_trouble(router, LOG_LEVEL_ERROR, "cannot be read, trying again every %d s: %s",
				 LIMIT_ROS_RETRY_MAX_MS / 1000, err->text);
	router->keeper.unread = *err;
	routeros_verify_in(router, LIMIT_ROS_RETRY_MAX_MS);
}

/* Hotspots are a package of their own, which a router may not have. */
static bool is_missing(const struct router *router, const struct ros_result *result)
{
	return router->keeper.reading < N_PRINTS && prints[router->keeper.reading].take == take_hotspot &&
	       result->status == -EREMOTEIO && strstr(result->err.text, "no such command");
}

static void on_print_end(void *arg, const struct ros_result *result)
{
	struct router *router = arg;

	if (ros_result_is_lost(result))
		return; /* the next session begins anew */
	if (result->status < 0 && !is_missing(router, result)) {
		fail(router, &result->err);
		return;
	}
	if (router->keeper.reading < N_PRINTS && prints[router->keeper.reading].take == take_interface)
		routeros_lose_others(router, router->printed);
	router->keeper.reading++;
	read_next(router);
}

static int send_print(struct router *router, const char *path, const struct print *print, struct err *err)
{
	static const struct ros_answer answer = { .on_re = on_row, .on_end = on_print_end };
	char whole[LIMIT_ROS_VALUE];
	struct buf *out;

	snprintf(whole, sizeof(whole), "%s/print", path);
	out = ros_api_begin(router->api, whole);
	ros_put_text(out, ".proplist", print->proplist);
	if (print->query)
		ros_put_word(out, print->query);
	return ros_api_send(router->api, LIMIT_ROS_PRINT_MS, &answer, router, NULL, err);
}

/* Before the items: gateways that are written in the configuration, and what must be there. */
static int settle_model(struct router *router, struct err *err)
{
	struct ros_model *next = &router->next;

	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		const struct config_uplink *config = &router->config->uplinks[i];
		struct ros_model_uplink *uplink = &next->uplinks[i], *live = &router->model.uplinks[i];

		memcpy(uplink->id, live->id, sizeof(uplink->id));
		uplink->is_running = live->is_running;
		uplink->counters = live->counters;
		uplink->reported = live->reported;
		if (config->gateway_kind[0] == CONFIG_GATEWAY_ADDRESS)
			inet_ntop(AF_INET, &config->gateway4, uplink->gateway, sizeof(uplink->gateway));
		else if (config->gateway_kind[0] == CONFIG_GATEWAY_NONE)
			routeros_copy(uplink->gateway, sizeof(uplink->gateway), config->interface);
	}
	if (router->config->take_over && next->n_more_networks > 0 && next->n_more_networks != router->model.n_more_networks)
		routeros_trouble(router, LOG_LEVEL_WARNING, "has more than %d networks inside; %u of them are treated as the internet",
				 LIMIT_ROS_NETWORKS, next->n_more_networks);
	router->model = *next;
	routeros_report_uplinks(router);
	if (!routeros_is_from(router, 6, 43))
		return err_set(err, -ENOTSUP, "its version is %u.%u; Jaga needs 6.43 or newer", router->model.major,
			       router->model.minor);
	return routeros_want(router, err);
}

static void read_next(struct router *router)
{
	struct ros_keeper *keeper = &router->keeper;
	const char *path = NULL;
	struct err err = { "" };
	int r = keeper->reading == N_PRINTS ? settle_model(router, &err) : 0;

	keeper->n_rows = 0;
	if (r == 0 && keeper->reading < N_PRINTS) {
		r = send_print(router, prints[keeper->reading].path, &prints[keeper->reading], &err);
	} else if (r == 0) {
		while (keeper->reading < N_PRINTS + ROS_MENUS && !path) {
			path = ros_menu_path((enum ros_menu)(keeper->reading - N_PRINTS), router->model.major);
			keeper->reading += path ? 0 : 1;
		}
		if (!path) {
			routeros_on_read(router);
			return;
		}
		r = send_print(router, path, &menus[keeper->reading - N_PRINTS], &err);
	}
	if (r < 0)
		fail(router, &err);
}

void routeros_read(struct router *router)
{
	struct ros_model *next = &router->next;

	if (router->keeper.state == ROS_READING || router->keeper.state == ROS_CHANGING) {
		router->keeper.is_due = true;
		return;
	}
	router->keeper.state = ROS_READING;
	router->keeper.reading = 0;
	router->printed = 0;
	if (!router->steering.is_known) {
		routeros_forget_entries(router); /* that a reading without end may have taken */
		router->steering.is_reading = true;
	}
	*next = router->model;
	next->n_networks = next->n_more_networks = 0;
	memset(next->has_lan, 0, sizeof(next->has_lan));
	memset(next->has_hotspot, 0, sizeof(next->has_hotspot));
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		next->uplinks[i].gateway[0] = '\0';
		next->uplinks[i].has_address = false;
	}
	read_next(router);
}
