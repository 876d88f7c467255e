/*
 * routeros_doctor_mangle: rows of /ip/firewall/mangle -> facts. Of a rule only what it does with marks is kept: who sets
 * a mark, who goes by it, for which side, and which classes of PCC there are; besides, networks that are let by before
 * marks are set, and segment sizes that are changed. Rules of the native plan count for their position only. Pure.
 */
#include "agent/router/routeros_doctor.h"

#include <stdio.h>
#include <string.h>

#include "common/parse.h"

/* --- names ---------------------------------------------------------------------------------------------- */

uint8_t ros_facts_find_mark(const struct ros_facts *facts, bool is_routing, const char *name)
{
	for (unsigned i = 0; i < facts->n_marks; i++)
		if (facts->marks[i].is_routing == is_routing && strcmp(facts->marks[i].name, name) == 0)
			return (uint8_t)i;
	return ROS_NONE;
}

uint8_t ros_facts_mark(struct ros_facts *facts, bool is_routing, const char *name)
{
	uint8_t found = ros_facts_find_mark(facts, is_routing, name);
	struct ros_fact_mark *mark;

	if (found != ROS_NONE || name[0] == '\0' || strlen(name) >= LIMIT_ROS_NAME)
		return found;
	mark = ROS_ADD(facts, marks, n_marks);
	if (!mark)
		return ROS_NONE;
	routeros_copy(mark->name, sizeof(mark->name), name);
	mark->is_routing = is_routing;
	mark->interface = mark->from = ROS_NONE;
	return (uint8_t)(facts->n_marks - 1);
}

static void label_rule(const struct ros_facts *facts, const struct ros_sentence *row, struct ros_fact_item *ret_item)
{
	char comment[LIMIT_ROS_NAME];

	ros_row_show(row, "comment", comment, sizeof(comment));
	ros_row_id(row, ret_item->id);
	snprintf(ret_item->label, sizeof(ret_item->label), "rule %u of chain %.20s%s%s%s", facts->position - 1,
		 ros_row_text(row, "chain"), comment[0] != '\0' ? " (" : "", comment, comment[0] != '\0' ? ")" : "");
}

/* Names a matcher by its value; one that begins with "!" is for all others. */
static bool matches_one(const struct ros_sentence *row, const char *key)
{
	const char *value = ros_row_text(row, key);

	return value[0] != '\0' && value[0] != '!';
}

static bool is_no_mark(const char *name)
{
	return strcmp(name, "no-mark") == 0;
}

/* --- one rule ----------------------------------------------------------------------------------------------- */

/* "both-addresses:2/0" */
static void take_classifier(const struct ros_sentence *row, struct ros_fact_rule *rule)
{
	const char *text = ros_row_text(row, "per-connection-classifier"), *colon = strchr(text, ':'), *at;

	if (!colon || (size_t)(colon - text) >= sizeof(rule->hash) ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyz-") != (size_t)(colon - text))
		return;
	at = colon + 1;
	if (parse_leading_u32(&at, &rule->denominator) < 0 || *at++ != '/' || parse_leading_u32(&at, &rule->remainder) < 0)
		return;
	memcpy(rule->hash, text, (size_t)(colon - text));
	rule->has_pcc = true;
}

static void take_side(struct ros_facts *facts, const struct ros_sentence *row, struct ros_fact_rule *rule)
{
	static const char *const sides[] = { "in-interface", "in-interface-list", "src-address", "src-address-list" };

	rule->interface = matches_one(row, "in-interface") ? ros_facts_interface(facts, ros_row_text(row, "in-interface"))
							    : ROS_NONE;
	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
		const char *value = ros_row_text(row, sides[i]);

		if (value[0] == '\0')
			continue;
		rule->is_lan_side = true;
		if (rule->source[0] == '\0' && strlen(value) < sizeof(rule->source))
			ros_row_show(row, sides[i], rule->source, sizeof(rule->source));
	}
}

/* More than which side and which mark: such a rule stands for a part of the class. */
static bool is_narrow(const struct ros_sentence *row)
{
	static const char *const narrow[] = { "protocol", "dst-address", "dst-address-list", "dst-port", "src-port", "limit" };

	for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++)
		if (ros_row_text(row, narrow[i])[0] != '\0')
			return true;
	return false;
}

static void use_mark(struct ros_facts *facts, const struct ros_sentence *row, struct ros_fact_rule *rule)
{
	const char *name = ros_row_text(row, "connection-mark");
	struct ros_fact_mark *mark;

	rule->matches = ROS_NONE;
	if (name[0] == '\0' || name[0] == '!' || is_no_mark(name))
		return;
	rule->matches = ros_facts_mark(facts, false, name);
	if (rule->matches == ROS_NONE)
		return;
	mark = &facts->marks[rule->matches];
	if (mark->n_used == 0)
		mark->first_used = rule->item;
	ros_count(&mark->n_used);
}

/* "no-mark" takes a mark away. */
static void set_mark(struct ros_facts *facts, const char *name, struct ros_fact_rule *rule)
{
	struct ros_fact_mark *mark;

	rule->sets = is_no_mark(name) || strcmp(name, "main") == 0 ? ROS_NONE : ros_facts_mark(facts, rule->marks_routing, name);
	if (rule->sets == ROS_NONE)
		return;
	mark = &facts->marks[rule->sets];
	if (mark->n_set == 0)
		mark->first_set = rule->item;
	ros_count(&mark->n_set);
	mark->reaches_local |= rule->has_pcc && !rule->is_not_local;
	if (rule->marks_routing && mark->from == ROS_NONE)
		mark->from = rule->matches;
	else if (!rule->marks_routing && !rule->has_pcc && mark->interface == ROS_NONE)
		mark->interface = rule->interface;
	if (!rule->marks_routing && rule->interface != ROS_NONE)
		facts->interfaces[rule->interface].is |= rule->has_pcc ? ROS_IS_DEALT : ROS_IS_MARKED;
}

static void take_marking(struct ros_facts *facts, const struct ros_sentence *row, const struct ros_fact_item *item)
{
	struct ros_fact_rule *rule = ROS_ADD(facts, rules, n_rules);

	if (!rule)
		return;
	rule->item = *item;
	rule->is_prerouting = strcmp(ros_row_text(row, "chain"), "prerouting") == 0;
	rule->marks_routing = strcmp(ros_row_text(row, "action"), "mark-routing") == 0;
	rule->is_not_local = strcmp(ros_row_text(row, "dst-address-type"), "!local") == 0;
	rule->is_for_unmarked = is_no_mark(ros_row_text(row, "connection-mark"));
	rule->is_own = strcmp(ros_row_text(row, "chain"), "input") == 0 || strcmp(ros_row_text(row, "chain"), "output") == 0;
	rule->asks_hotspot = ros_row_text(row, "hotspot")[0] != '\0';
	rule->is_narrow = is_narrow(row);
	take_classifier(row, rule);
	take_side(facts, row, rule);
	use_mark(facts, row, rule);
	set_mark(facts, ros_row_text(row, rule->marks_routing ? "new-routing-mark" : "new-connection-mark"), rule);
}

/* Whoever accepts by a list may let anything by: what is in lists is not read. */
static void take_bypass(struct ros_facts *facts, const struct ros_sentence *row, const struct ros_fact_item *item)
{
	const char *text = ros_row_text(row, "dst-address");
	struct ros_fact_bypass *bypass;
	uint32_t network, mask;

	facts->lets_lists_by |= matches_one(row, "dst-address-list");
	if (ros_row_text(row, "protocol")[0] != '\0' || !ros_parse_network(text, &network, &mask) || strlen(text) >= sizeof(bypass->text))
		return;
	bypass = ROS_ADD(facts, bypasses, n_bypasses);
	if (bypass) {
		*bypass = (struct ros_fact_bypass){ .item = *item, .network = network, .mask = mask };
		ros_row_show(row, "dst-address", bypass->text, sizeof(bypass->text));
	}
}

static void take_clamp(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *list = ros_row_text(row, "out-interface-list");
	uint8_t interface = ros_facts_interface(facts, ros_row_text(row, "out-interface"));

	if (ros_row_text(row, "out-interface")[0] == '\0' && list[0] == '\0' && ros_row_text(row, "in-interface")[0] == '\0')
		facts->clamps_all = true;
	if (interface != ROS_NONE)
		facts->interfaces[interface].is |= ROS_IS_CLAMPED;
	for (unsigned i = 0; i < facts->n_members; i++)
		if (strcmp(facts->members[i].list, list) == 0)
			facts->interfaces[facts->members[i].interface].is |= ROS_IS_CLAMPED;
}

void ros_take_mangle(struct ros_facts *facts, const struct ros_sentence *row)
{
	const char *action = ros_row_text(row, "action");
	struct ros_fact_item item;

	facts->position++;
	if (ros_row_is_idle(row))
		return;
	if (strcmp(action, "change-mss") == 0) { /* also what RouterOS adds itself, for a profile */
		take_clamp(facts, row);
		return;
	}
	if (ros_row_is(row, "dynamic"))
		return;
	label_rule(facts, row, &item);
	if (strcmp(action, "mark-connection") == 0 || strcmp(action, "mark-routing") == 0)
		take_marking(facts, row, &item);
	else if (strcmp(action, "accept") == 0 && strcmp(ros_row_text(row, "chain"), "prerouting") == 0)
		take_bypass(facts, row, &item);
}
