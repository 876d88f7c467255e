/*
 * routeros_keep: the native plan as it should be, against our items as the router has them. Commands go one by one,
 * each the answer to the last, so that what others name is there before and an id can be a place to put the next:
 *
 *	surplus items away, last first -> by menu: what is missing added, what differs set, what stands in a wrong place moved
 *
 * In mangle and among the routing rules ours stand first and in order; elsewhere their place does not matter. An ordered
 * menu is gone through backwards, each item before the one that was looked at last. What the router refuses is told
 * once and left alone until the next reading. Others' items are never touched. Called by routeros_read.c and routeros.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/routeros.h"

static bool is_ordered(enum ros_menu menu)
{
	return menu == ROS_MANGLE || menu == ROS_RULES;
}

/* --- desired ---------------------------------------------------------------------------------------- */

static void count_item(void *arg, const struct ros_item *item)
{
	unsigned *n = arg;

	(void)item;
	(*n)++;
}

static void put_item(void *arg, const struct ros_item *item)
{
	struct ros_keeper *keeper = arg;

	keeper->wanted[keeper->n_wanted++] = (struct ros_wanted){ .item = *item };
}

int routeros_want(struct router *router, struct err *err)
{
	struct ros_keeper *keeper = &router->keeper;
	struct ros_site site;
	unsigned n = 0;

	keeper->n_wanted = keeper->n_surplus = 0;
	for (unsigned i = 0; i < ROS_MENUS; i++)
		keeper->foreign[i].id[0] = '\0';
	if (router->is_removed || router->config->n_uplinks == 0)
		return 0;
	routeros_site(router, &site);
	ros_plan_each(&site, count_item, &n);
	if (n > keeper->n_room) { /* the first time, and when a network or gateway has come */
		free(keeper->wanted);
		keeper->wanted = calloc(n, sizeof(*keeper->wanted));
		keeper->n_room = keeper->wanted ? n : 0;
	}
	if (!keeper->wanted)
		return err_sys(err, -ENOMEM, "a plan of %u items", n);
	ros_plan_each(&site, put_item, keeper);
	return 0;
}

/* --- observed --------------------------------------------------------------------------------------- */

/* RouterOS writes yes as true over the API, and a host without its /32. */
static bool is_same_value(const char *wanted, const char *observed)
{
	size_t length = strlen(wanted);

	if (!observed)
		return false;
	if (wanted[0] == '\0') /* a flag */
		return strcmp(observed, "false") != 0 && strcmp(observed, "no") != 0;
	if (strcmp(wanted, "yes") == 0 || strcmp(wanted, "no") == 0)
		return strcmp(observed, wanted) == 0 || strcmp(observed, wanted[0] == 'y' ? "true" : "false") == 0;
	if (length > 3 && strcmp(wanted + length - 3, "/32") == 0 && strlen(observed) == length - 3)
		return strncmp(wanted, observed, length - 3) == 0;
	return strcmp(wanted, observed) == 0;
}

static bool is_as_wanted(const struct ros_item *item, const struct ros_sentence *row)
{
	if (ros_row_is(row, "disabled"))
		return false;
	for (size_t i = 0; i < item->count; i++)
		if (!is_same_value(item->attributes[i].value, ros_find(row, item->attributes[i].name)))
			return false;
	return true;
}

static struct ros_wanted *find_wanted(struct ros_keeper *keeper, enum ros_menu menu, const char *key)
{
	for (unsigned i = 0; i < keeper->n_wanted; i++)
		if (keeper->wanted[i].item.menu == menu && strcmp(keeper->wanted[i].item.key, key) == 0)
			return &keeper->wanted[i];
	return NULL;
}

void routeros_compare(struct router *router, enum ros_menu menu, const struct ros_sentence *row, unsigned position)
{
	struct ros_keeper *keeper = &router->keeper;
	const char *id = ros_find(row, ".id"), *comment = ros_find(row, "comment");
	struct ros_wanted *wanted;

	if (!id || id[0] == '\0' || strlen(id) >= LIMIT_ROS_ID)
		return;
	if (!comment || strncmp(comment, ROS_TAG, sizeof(ROS_TAG) - 1) != 0) {
		if (keeper->foreign[menu].id[0] == '\0') {
			routeros_copy(keeper->foreign[menu].id, LIMIT_ROS_ID, id);
			keeper->foreign[menu].position = position;
		}
		return;
	}
	wanted = find_wanted(keeper, menu, comment);
	if (!wanted || wanted->id[0] != '\0') { /* not of this plan, or there is one like it already */
		if (keeper->n_surplus == LIMIT_ROS_SURPLUS) {
			keeper->is_due = true;
			return;
		}
		keeper->surplus[keeper->n_surplus].menu = menu;
		routeros_copy(keeper->surplus[keeper->n_surplus++].id, LIMIT_ROS_ID, id);
		return;
	}
	routeros_copy(wanted->id, LIMIT_ROS_ID, id);
	wanted->position = position;
	wanted->differs = !is_as_wanted(&wanted->item, row);
}

bool routeros_is_whole(const struct router *router)
{
	for (unsigned i = 0; i < router->keeper.n_wanted; i++)
		if (router->keeper.wanted[i].id[0] == '\0')
			return false;
	return router->keeper.n_wanted > 0;
}

bool routeros_is_kept(const struct router *router)
{
	return router->keeper.state == ROS_KEPT && !router->keeper.is_due;
}

/* --- changes ---------------------------------------------------------------------------------------- */

static void step(struct router *router);
static void on_change_end(void *arg, const struct ros_result *result);
static void on_add_end(void *arg, const struct ros_result *result);

static const struct ros_answer change_answer = { .on_end = on_change_end };
static const struct ros_answer add_answer = { .on_end = on_add_end };

static struct buf *begin(struct router *router, enum ros_menu menu, const char *verb)
{
	char path[LIMIT_ROS_PATH];

	snprintf(path, sizeof(path), "%s/%s", ros_menu_path(menu, router->model.major), verb);
	return ros_api_begin(router->api, path);
}

static void put_attributes(struct buf *out, const struct ros_item *item)
{
	for (size_t i = 0; i < item->count; i++)
		ros_put_text(out, item->attributes[i].name, item->attributes[i].value);
	ros_put_text(out, "comment", item->key);
}

/* A session that was lost begins anew with a reading. */
static void send_change(struct router *router, const struct ros_answer *answer)
{
	struct err err = { "" };

	if (ros_api_send(router->api, LIMIT_ROS_ANSWER_MS, answer, router, NULL, &err) == 0)
		return;
	router->keeper.state = ROS_UNREAD;
	routeros_trouble(router, LOG_LEVEL_WARNING, "the plan waits: %s", err.text);
	routeros_verify_in(router, LIMIT_ROS_SETTLE_MS);
}

static void finish(struct router *router)
{
	struct ros_keeper *keeper = &router->keeper;

	if (keeper->n_refused == 0)
		keeper->told.text[0] = '\0';
	else if (strcmp(keeper->refused.text, keeper->told.text) != 0)
		routeros_trouble(router, LOG_LEVEL_ERROR, "refuses %u item%s of the plan: %s", keeper->n_refused,
				 keeper->n_refused == 1 ? "" : "s", keeper->refused.text);
	keeper->told = keeper->refused;
	keeper->state = ROS_KEPT;
	routeros_on_kept(router);
}

/* The item of keeper->menu to be looked at next: those of ordered menus from the last to the first. */
static struct ros_wanted *current(struct ros_keeper *keeper)
{
	unsigned at = 0, n = 0;

	while (keeper->wanted[at].item.menu != keeper->menu)
		at++;
	while (at + n < keeper->n_wanted && keeper->wanted[at + n].item.menu == keeper->menu)
		n++;
	return &keeper->wanted[is_ordered(keeper->menu) ? at + keeper->left - 1 : at + n - keeper->left];
}

static void enter_menu(struct ros_keeper *keeper, enum ros_menu menu)
{
	keeper->menu = menu;
	keeper->left = 0;
	for (unsigned i = 0; i < keeper->n_wanted; i++)
		keeper->left += keeper->wanted[i].item.menu == menu;
	memcpy(keeper->before, keeper->foreign[menu].id, sizeof(keeper->before));
	keeper->limit = keeper->before[0] ? keeper->foreign[menu].position : UINT32_MAX;
}

static void pass(struct ros_keeper *keeper, const struct ros_wanted *wanted)
{
	if (wanted->id[0] != '\0')
		memcpy(keeper->before, wanted->id, sizeof(keeper->before));
	keeper->left--;
}

static void refuse(struct router *router, const struct ros_result *result, const char *what)
{
	struct ros_keeper *keeper = &router->keeper;

	if (keeper->n_refused++ == 0)
		err_set(&keeper->refused, 0, "%s (%s)", result->err.text, what);
}

/* Removes the last of the surplus. */
static void take_away(struct router *router)
{
	const struct ros_surplus *surplus = &router->keeper.surplus[--router->keeper.n_surplus];

	ros_put_text(begin(router, surplus->menu, "remove"), ".id", surplus->id);
	send_change(router, &change_answer);
}

/* False: the item is as it should be. */
static bool change(struct router *router, struct ros_wanted *wanted)
{
	struct ros_keeper *keeper = &router->keeper;
	bool has_place = is_ordered(keeper->menu) && keeper->before[0] != '\0';
	struct buf *out;

	if (wanted->is_refused)
		return false;
	if (wanted->id[0] == '\0') {
		out = begin(router, keeper->menu, "add");
		put_attributes(out, &wanted->item);
		if (has_place)
			ros_put_text(out, "place-before", keeper->before);
		send_change(router, &add_answer);
		return true;
	}
	if (wanted->differs) {
		out = begin(router, keeper->menu, "set");
		ros_put_text(out, ".id", wanted->id);
		put_attributes(out, &wanted->item);
		if (keeper->menu != ROS_LISTS)
			ros_put_text(out, "disabled", "no");
		wanted->differs = false;
		send_change(router, &change_answer);
		return true;
	}
	if (has_place && wanted->position > keeper->limit) {
		out = begin(router, keeper->menu, "move");
		ros_put_text(out, "numbers", wanted->id);
		ros_put_text(out, "destination", keeper->before);
		wanted->position = 0;
		send_change(router, &change_answer);
		return true;
	}
	if (wanted->position != 0)
		keeper->limit = wanted->position;
	return false;
}

static void step(struct router *router)
{
	struct ros_keeper *keeper = &router->keeper;

	if (!router->claim.is_held) { /* any more: it is another's to change */
		finish(router);
		return;
	}
	if (keeper->n_surplus > 0) {
		take_away(router);
		return;
	}
	for (;;) {
		while (keeper->left == 0 && keeper->menu + 1 < ROS_MENUS)
			enter_menu(keeper, keeper->menu + 1);
		if (keeper->left == 0) {
			finish(router);
			return;
		}
		if (change(router, current(keeper)))
			return;
		pass(keeper, current(keeper));
	}
}

static bool is_over(struct router *router, const struct ros_result *result)
{
	if (!ros_result_is_lost(result))
		return false;
	router->keeper.state = ROS_UNREAD;
	return true;
}

static void on_change_end(void *arg, const struct ros_result *result)
{
	struct router *router = arg;

	if (is_over(router, result))
		return;
	if (result->status < 0)
		refuse(router, result, "to change or remove one");
	step(router);
}

static void on_add_end(void *arg, const struct ros_result *result)
{
	struct router *router = arg;
	struct ros_wanted *wanted = current(&router->keeper);
	const char *id = result->done ? ros_find(result->done, "ret") : NULL;

	if (is_over(router, result))
		return;
	if (result->status < 0) {
		refuse(router, result, wanted->item.key);
		wanted->is_refused = true;
	} else if (id) {
		routeros_copy(wanted->id, LIMIT_ROS_ID, id);
	} else {
		wanted->is_refused = true; /* the next reading finds it */
	}
	pass(&router->keeper, wanted);
	step(router);
}

void routeros_change(struct router *router)
{
	struct ros_keeper *keeper = &router->keeper;

	keeper->state = ROS_CHANGING;
	keeper->n_refused = 0;
	keeper->refused.text[0] = '\0';
	enter_menu(keeper, 0);
	step(router);
}
