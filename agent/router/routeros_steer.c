/*
 * routeros_steer: which address-lists hold an entry, see ros_plan.h. Entries have a time-out, so they are in the
 * router's memory only, and what a dead agent wanted ends with it.
 *
 * An entry with a time-out cannot be edited. So each round renews a list in the other of two forms, and takes the old
 * one away when the new one stands; at no moment is the list empty:
 *
 *	0.0.0.0/0   ->   0.0.0.0/1, 128.0.0.0/1   ->   0.0.0.0/0   ...
 *
 * Lists that are wanted no more lose their entries at once. Connections are forgotten behind the entries: what starts anew
 * must find them. Called by routeros.c; every answer calls routeros_steer() again, until nothing is left to send.
 */
#include <stdio.h>
#include <string.h>

#include "agent/router/routeros.h"

#define N_PARTS 3
static const char *const parts[N_PARTS] = { "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1" };

enum form { WHOLE, HALVES };

static enum form form_of(const struct ros_entry *entry)
{
	return entry->part == 0 ? WHOLE : HALVES;
}

/* --- what there is ------------------------------------------------------------------------------- */

void routeros_forget_entries(struct router *router)
{
	memset(router->steering.entries, 0, sizeof(router->steering.entries));
	router->steering.is_known = router->steering.is_reading = false;
	router->steering.n_under_way = 0;
	router->steering.is_stuck = false;
}

static struct ros_entry *new_entry(struct ros_steering *steering)
{
	for (unsigned i = 0; i < LIMIT_ROS_ENTRIES; i++)
		if (steering->entries[i].state == ROS_ENTRY_FREE)
			return &steering->entries[i];
	return NULL;
}

void routeros_take_entry(struct router *router, const struct ros_sentence *row)
{
	const char *id = ros_find(row, ".id"), *list = ros_find(row, "list"), *address = ros_find(row, "address");
	struct ros_entry *entry = new_entry(&router->steering);

	if (!entry || !id || !list || !address || strlen(list) >= sizeof(entry->list))
		return;
	for (uint8_t part = 0; part < N_PARTS; part++) {
		if (strcmp(address, parts[part]) != 0)
			continue;
		*entry = (struct ros_entry){ .part = part, .state = ROS_ENTRY_STANDING, .router = router,
					     .round = router->steering.round - 1 };
		routeros_copy(entry->id, sizeof(entry->id), id);
		routeros_copy(entry->list, sizeof(entry->list), list);
	}
}

void routeros_read_plan(struct router *router, struct forwarding_plan *ret_plan)
{
	struct ros_site site;

	routeros_site(router, &site);
	ros_steer_native(&site, ret_plan);
	for (unsigned i = 0; i < LIMIT_ROS_ENTRIES; i++)
		if (router->steering.entries[i].state == ROS_ENTRY_STANDING)
			ros_steer_take(&site, router->steering.entries[i].list, ret_plan);
}

/* Does the form of the list stand, each part in `state` or standing, added in this round (or in any)? */
static bool has_form(const struct ros_steering *steering, const char *list, enum form form, bool is_of_this_round,
		     bool is_answered)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LIMIT_ROS_ENTRIES; i++) {
		const struct ros_entry *entry = &steering->entries[i];

		if (entry->state == ROS_ENTRY_FREE || entry->state == ROS_ENTRY_REMOVING || form_of(entry) != form ||
		    (is_of_this_round && entry->round != steering->round) ||
		    (is_answered && entry->state != ROS_ENTRY_STANDING) || strcmp(entry->list, list) != 0)
			continue;
		n++;
	}
	return n == (form == WHOLE ? 1 : 2);
}

static bool is_fresh(const struct ros_steering *steering, const char *list, bool is_answered)
{
	return has_form(steering, list, WHOLE, true, is_answered) || has_form(steering, list, HALVES, true, is_answered);
}

static bool is_wanted(const struct ros_steering *steering, const char *list)
{
	for (unsigned i = 0; i < steering->n_lists; i++)
		if (strcmp(steering->lists[i], list) == 0)
			return true;
	return false;
}

/* --- commands -------------------------------------------------------------------------------------- */

static void refused(struct router *router, const char *what, const struct err *why)
{
	if (!router->steering.is_stuck)
		routeros_trouble(router, LOG_LEVEL_ERROR, "%s, trying again in %d s: %s", what, LIMIT_ROS_REFRESH_MS / 1000,
				 why->text);
	router->steering.is_stuck = true;
}

static void on_added(void *arg, const struct ros_result *result)
{
	struct ros_entry *entry = arg;
	struct router *router = entry->router;
	const char *id = result->done ? ros_find(result->done, "ret") : NULL;

	router->steering.n_under_way--;
	entry->state = ROS_ENTRY_FREE;
	if (ros_result_is_lost(result))
		return;
	if (result->status < 0) {
		refused(router, "does not steer", &result->err);
	} else if (id) {
		routeros_copy(entry->id, sizeof(entry->id), id);
		entry->state = ROS_ENTRY_STANDING;
	}
	routeros_steer(router);
}

/* One that is gone already has done what was wanted of it. */
static void on_removed(void *arg, const struct ros_result *result)
{
	struct ros_entry *entry = arg;

	entry->router->steering.n_under_way--;
	entry->state = ROS_ENTRY_FREE;
	if (!ros_result_is_lost(result))
		routeros_steer(entry->router);
}

static const struct ros_answer added = { .on_end = on_added }, removed = { .on_end = on_removed };

/* False: not now; the answer to a command under way comes back here. */
static bool add(struct router *router, const char *list, uint8_t part)
{
	struct ros_steering *steering = &router->steering;
	struct ros_entry *entry = new_entry(steering);
	char timeout[16];
	struct buf *out;

	if (!entry)
		return false;
	*entry = (struct ros_entry){ .part = part, .round = steering->round, .router = router };
	routeros_copy(entry->list, sizeof(entry->list), list);
	snprintf(timeout, sizeof(timeout), "%ds", LIMIT_ROS_STEER_S);
	out = ros_api_begin(router->api, "/ip/firewall/address-list/add");
	ros_put_text(out, "list", list);
	ros_put_text(out, "address", parts[part]);
	ros_put_text(out, "timeout", timeout);
	ros_put_text(out, "comment", ROS_TAG "steering");
	if (ros_api_send(router->api, LIMIT_ROS_ANSWER_MS, &added, entry, NULL, NULL) < 0)
		return false;
	entry->state = ROS_ENTRY_ADDING;
	steering->n_under_way++;
	return true;
}

static bool take_away(struct router *router, struct ros_entry *entry)
{
	ros_put_text(ros_api_begin(router->api, "/ip/firewall/address-list/remove"), ".id", entry->id);
	if (ros_api_send(router->api, LIMIT_ROS_ANSWER_MS, &removed, entry, NULL, NULL) < 0)
		return false;
	entry->state = ROS_ENTRY_REMOVING;
	router->steering.n_under_way++;
	return true;
}

/* Is a part of the form there that is not of this round, or on its way out? */
static bool has_old_part(const struct ros_steering *steering, const char *list, enum form form)
{
	for (unsigned i = 0; i < LIMIT_ROS_ENTRIES; i++) {
		const struct ros_entry *entry = &steering->entries[i];

		if (entry->state != ROS_ENTRY_FREE && form_of(entry) == form && strcmp(entry->list, list) == 0 &&
		    (entry->round != steering->round || entry->state == ROS_ENTRY_REMOVING))
			return true;
	}
	return false;
}

static bool has_part(const struct ros_steering *steering, const char *list, uint8_t part)
{
	for (unsigned i = 0; i < LIMIT_ROS_ENTRIES; i++)
		if (steering->entries[i].state != ROS_ENTRY_FREE && steering->entries[i].part == part &&
		    strcmp(steering->entries[i].list, list) == 0)
			return true;
	return false;
}

/* In the form in which the list does not stand. */
static void renew(struct router *router, const char *list)
{
	struct ros_steering *steering = &router->steering;
	enum form form = has_form(steering, list, WHOLE, false, true) ? HALVES : WHOLE;

	if (has_old_part(steering, list, form))
		return; /* sweep() takes it away first; the other form holds */
	for (uint8_t part = form == WHOLE ? 0 : 1; part < (form == WHOLE ? 1 : N_PARTS); part++)
		if (!has_part(steering, list, part) && !add(router, list, part))
			return;
}

/* Has the list been renewed, or does this entry stand in the way of that? */
static bool is_in_the_way(const struct ros_steering *steering, const struct ros_entry *entry)
{
	if (entry->round == steering->round)
		return false;
	return is_fresh(steering, entry->list, true) ||
	       (form_of(entry) == HALVES && has_form(steering, entry->list, WHOLE, false, true));
}

static void sweep(struct router *router)
{
	struct ros_steering *steering = &router->steering;

	for (unsigned i = 0; i < LIMIT_ROS_ENTRIES; i++) {
		struct ros_entry *entry = &steering->entries[i];

		if (entry->state != ROS_ENTRY_STANDING)
			continue;
		if (is_wanted(steering, entry->list) && !is_in_the_way(steering, entry))
			continue;
		if (!take_away(router, entry))
			return;
	}
}

/* --- flushes ----------------------------------------------------------------------------------------- */

static void on_flushed(void *arg, const struct ros_result *result)
{
	struct router *router = arg;
	const char *ret = result->done ? ros_find(result->done, "ret") : NULL;
	uint32_t flows;

	router->steering.n_under_way--;
	if (ros_result_is_lost(result))
		return;
	if (ret && parse_u32(ret, 0, UINT32_MAX, &flows) == 0) /* versions without as-string tell the number of a job, "*1" */
		router->steering.flows_moved += flows;
	if (result->status < 0)
		routeros_trouble(router, LOG_LEVEL_WARNING, "connections are not forgotten, they wait for their own time-outs: %s",
				 result->err.text);
	routeros_steer(router);
}

/*
 * One command, whatever the number of connections. One that ends meanwhile must not keep the others; TCP that has ended is left
 * out: there may be thousands of it, and it moves nowhere. From 7.8 on the router says how many there were.
 */
static bool flush(struct router *router, unsigned uplink, bool is_all)
{
	static const struct ros_answer answer = { .on_end = on_flushed };
	bool is_counted = routeros_is_from(router, 7, 8);
	char script[320];
	struct buf text, *out;

	buf_init(&text, script, sizeof(script));
	buf_printf(&text, ":local n 0; :foreach c in=[/ip firewall connection find where connection-mark=\"jaga-%s\"%s] "
		   "do={ :do { /ip firewall connection remove $c; :set n ($n + 1) } on-error={} }; :put $n", router->config->uplinks[uplink].name,
		   is_all ? " tcp-state!=\"close\" tcp-state!=\"time-wait\"" : " seen-reply=no");
	out = ros_api_begin(router->api, "/execute");
	ros_put_attribute(out, "script", script, text.length);
	if (is_counted)
		ros_put_word(out, "=as-string=");
	if (ros_api_send(router->api, LIMIT_ROS_PRINT_MS, &answer, router, NULL, NULL) < 0)
		return false;
	router->steering.n_under_way++;
	return true;
}

static void send_flushes(struct router *router)
{
	struct ros_steering *steering = &router->steering;

	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		uint32_t bit = 1u << i;

		if (((steering->flush_all | steering->flush_unreplied) & bit) == 0)
			continue;
		if (!flush(router, i, (steering->flush_all & bit) != 0))
			return;
		steering->flush_all &= ~bit;
		steering->flush_unreplied &= ~bit;
	}
}

/* --- all of it ----------------------------------------------------------------------------------------- */

static void put_list(void *arg, const char *list)
{
	struct ros_steering *steering = arg;

	routeros_copy(steering->lists[steering->n_lists++], sizeof(steering->lists[0]), list);
}

static bool are_lists_standing(const struct ros_steering *steering)
{
	for (unsigned i = 0; i < steering->n_lists; i++)
		if (!has_form(steering, steering->lists[i], WHOLE, false, true) &&
		    !has_form(steering, steering->lists[i], HALVES, false, true))
			return false;
	return true;
}

static bool are_others_gone(const struct ros_steering *steering)
{
	for (unsigned i = 0; i < LIMIT_ROS_ENTRIES; i++)
		if (steering->entries[i].state != ROS_ENTRY_FREE && !is_wanted(steering, steering->entries[i].list))
			return false;
	return true;
}

bool routeros_is_steered(const struct router *router)
{
	const struct ros_steering *steering = &router->steering;

	return steering->is_known && are_lists_standing(steering) && are_others_gone(steering) &&
	       (steering->flush_all | steering->flush_unreplied) == 0 && steering->n_under_way == 0;
}

void routeros_steer(struct router *router)
{
	struct ros_steering *steering = &router->steering;
	struct ros_site site;

	if (!router->claim.is_held) {
		routeros_settle(router);
		return;
	}
	if (!steering->is_known || !ros_api_is_open(router->api))
		return;
	steering->n_lists = 0;
	routeros_site(router, &site);
	if (!router->is_removed)
		ros_steer_each(&site, &steering->plan, put_list, steering);
	for (unsigned i = 0; !steering->is_stuck && i < steering->n_lists; i++)
		if (!is_fresh(steering, steering->lists[i], false))
			renew(router, steering->lists[i]);
	sweep(router);
	if (are_lists_standing(steering))
		send_flushes(router);
	routeros_settle(router);
}

void routeros_next_round(struct router *router)
{
	router->steering.round++;
	router->steering.is_stuck = false;
	routeros_steer(router);
}
