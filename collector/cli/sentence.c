/*
 * sentence: see sentence.h.
 *
 * The evidence that an agent sends with a change of an uplink has a dozen fields; a person on the
 * phone needs them in the order in which things happened: what, why, how fast, what it did to users.
 * A field that is absent leaves its clause out. Events of other kinds carry their text.
 */
#include "collector/cli/sentence.h"

#include <inttypes.h>
#include <string.h>

#include "collector/cli/human.h"
#include "collector/cli/row.h"

static const char *state_word(const char *state)
{
	if (strcmp(state, "down") == 0)
		return "DOWN"; /* the one that must be seen in a long list */
	return strcmp(state, "up") == 0 ? "UP" : state;
}

/* " 5/5 (203.0.113.1 5/5, 203.0.113.2 5/5)" */
static void put_probes(const json_t *event, struct buf *buf)
{
	const json_t *probes = row_get(event, "probes");
	const char *separator = " (";
	const json_t *probe;
	size_t index;

	if (row_number(event, "misses_needed") > 0)
		buf_printf(buf, " %" PRId64 "/%" PRId64, row_number(event, "misses"), row_number(event, "misses_needed"));
	json_array_foreach(probes, index, probe) {
		buf_printf(buf, "%s%s %" PRId64 "/%" PRId64, separator, row_text_or(probe, "target", "?"),
			   row_number(probe, "lost"), row_number(probe, "sent"));
		separator = ", ";
	}
	if (json_array_size(probes) > 0)
		buf_puts(buf, ")");
}

static void put_cause(const json_t *event, struct buf *buf)
{
	static const struct {
		const char *cause, *bad, *good;
	} words[] = {
		{ "probes", "probes lost", "probes answered" },
		{ "carrier", "carrier lost", "carrier is back" },
		{ "address", "no address or gateway", "address and gateway are back" },
		{ "forced", "forced by an operator", "forced by an operator" },
		{ "force-ended", "the operator's order ended", "the operator's order ended" },
		{ "recovered", "replies lost again", "replies came back" },
		{ "start", "first verdict after the start", "first verdict after the start" },
	};
	const char *cause = row_text_or(event, "cause", "unknown");
	bool is_good = row_equals(event, "to", "up");

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(cause, words[i].cause) == 0)
			buf_printf(buf, ": %s", is_good ? words[i].good : words[i].bad);
	if (strcmp(cause, "probes") == 0)
		put_probes(event, buf);
}

static void put_effect(const json_t *event, struct buf *buf)
{
	int64_t flows = row_number(event, "flows_moved");
	const char *carried_by = row_text(event, "carried_by");

	if (row_number(event, "detect_us") > 0) {
		buf_puts(buf, ", detected in ");
		human_duration_us(buf, row_number(event, "detect_us"));
	}
	if (row_number(event, "switch_us") > 0) {
		buf_puts(buf, ", switched in ");
		human_duration_us(buf, row_number(event, "switch_us"));
	}
	if (row_equals(event, "to", "suspect") && flows > 0)
		buf_printf(buf, ", %" PRId64 " unanswered flow%s to start anew", flows, flows == 1 ? "" : "s");
	else if (carried_by && carried_by[0] != '\0' && flows > 0)
		buf_printf(buf, ", %" PRId64 " flow%s moved to %s", flows, flows == 1 ? "" : "s", carried_by);
	else if (carried_by && carried_by[0] != '\0' && !row_equals(event, "uplink", carried_by))
		buf_printf(buf, ", %s carries its traffic", carried_by);
}

static bool is_of_user(const json_t *event)
{
	return row_equals(event, "kind", "ppp") || row_equals(event, "kind", "hotspot");
}

/* ", after 3 h", ", after 2 d up": of what is watched on a router. */
static void put_lasted(const json_t *event, struct buf *buf)
{
	if (row_number(event, "lasted_ms") <= 0)
		return;
	buf_puts(buf, ", after ");
	human_seconds(buf, row_number(event, "lasted_ms"));
	if (!is_of_user(event))
		buf_puts(buf, row_equals(event, "to", "up") ? " down" : " up");
}

void sentence_of_event(const json_t *event, int64_t now_ms, struct buf *buf)
{
	const char *from = row_text_or(event, "from", "");
	const char *text = row_text_or(event, "text", "");

	(void)now_ms;
	if (row_equals(event, "kind", "online") || row_equals(event, "kind", "offline")) {
		bool is_online = row_equals(event, "kind", "online");

		buf_puts(buf, is_online ? "online" : "OFFLINE");
		if (text[0] != '\0') /* the router's address; or why */
			buf_printf(buf, "%s%s", is_online ? " from " : ": ", text);
		return;
	}
	if (!row_equals(event, "kind", "uplink") || !row_text(event, "to")) {
		if (row_equals(event, "subsystem", "snapshot"))
			buf_puts(buf, "snapshot: "); /* whose words do not say so */
		buf_puts(buf, text[0] != '\0' ? text : row_text_or(event, "kind", "?"));
		put_lasted(event, buf);
		return;
	}
	buf_printf(buf, "%s %s", row_text_or(event, "uplink", "?"), state_word(row_text(event, "to")));
	put_cause(event, buf);
	if (row_number(event, "lasted_ms") > 0 && (strcmp(from, "down") == 0 || strcmp(from, "suspect") == 0)) {
		buf_puts(buf, " after ");
		human_duration_ms(buf, row_number(event, "lasted_ms"));
		buf_printf(buf, " %s", from);
	}
	put_effect(event, buf);
}

enum paint sentence_paint(const json_t *event)
{
	if (row_equals(event, "kind", "offline"))
		return PAINT_WARNING;
	if (row_equals(event, "kind", "online"))
		return PAINT_GOOD;
	if (is_of_user(event))
		return PAINT_NONE; /* users come and go */
	return paint_uplink_state(row_text_or(event, "to", ""));
}

void sentence_of_uplinks(const json_t *device, int64_t now_ms, struct buf *buf)
{
	const char *separator = "";
	const json_t *uplink;
	size_t index;

	(void)now_ms;
	if (row_is_true(device, "watches")) {
		buf_puts(buf, "watches"); /* nobody knows how its uplinks are */
		return;
	}
	json_array_foreach(row_get(device, "uplinks"), index, uplink) {
		buf_printf(buf, "%s%s %s", separator, row_text_or(uplink, "name", "?"),
			   strcmp(row_text_or(uplink, "state", "?"), "up") == 0 ?
				   "up" :
				   state_word(row_text_or(uplink, "state", "?")));
		separator = ", ";
	}
}

enum paint sentence_paint_uplinks(const json_t *device)
{
	enum paint worst = PAINT_NONE;
	const json_t *uplink;
	size_t index;

	json_array_foreach(row_get(device, "uplinks"), index, uplink) {
		enum paint paint = paint_uplink_state(row_text_or(uplink, "state", ""));

		if (paint > worst)
			worst = paint; /* enum paint: good < warning < bad */
	}
	return worst;
}
