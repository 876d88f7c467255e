/*
 * watched_view: see watched_view.h. Called by cmd_status.c with a device, and by cmd_show.c. Names are of users, neighbours
 * and routers: the renderer keeps them from the terminal.
 */
#include "collector/cli/watched_view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/cli/human.h"
#include "collector/cli/row.h"

static void format_seen(const json_t *row, int64_t now_ms, struct buf *buf)
{
	if (!row_has_number(row, "at_ms"))
		return;
	human_age(buf, row_number(row, "at_ms"), now_ms);
	if (row_is_true(row, "stale"))
		buf_puts(buf, ": all of this is as it was then");
}

/* Ages end when it was last seen. */
static int64_t known_until(const json_t *router, int64_t now_ms)
{
	return row_is_true(router, "stale") ? row_number(router, "at_ms") : now_ms;
}

static void format_version(const json_t *row, int64_t now_ms, struct buf *buf)
{
	if (row_text(row, "version"))
		buf_printf(buf, "RouterOS %s", row_text(row, "version"));
	if (row_has_number(row, "booted_ms")) {
		buf_puts(buf, ", up ");
		human_seconds(buf, known_until(row, now_ms) - row_number(row, "booted_ms"));
	}
}

static void format_load(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_number(row, "memory_bytes") == 0)
		return;
	buf_printf(buf, "%" PRId64 " %%, memory free ", row_number(row, "cpu_percent"));
	human_bytes(buf, row_number(row, "memory_free_bytes"));
	buf_puts(buf, " of ");
	human_bytes(buf, row_number(row, "memory_bytes"));
	buf_puts(buf, ", disk free ");
	human_bytes(buf, row_number(row, "disk_free_bytes"));
}

static void format_users(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_printf(buf, "%" PRId64 " PPP, %" PRId64 " Hotspot", row_number(row, "ppp_users"), row_number(row, "hotspot_users"));
	if (row_number(row, "unwatched") > 0)
		buf_printf(buf, "; %" PRId64 " more have no names here", row_number(row, "unwatched"));
}

static const struct column columns[] = {
	{ .title = "router", .format = format_version },
	{ .title = "load", .format = format_load },
	{ .title = "users", .format = format_users },
	{ .title = "watched", .format = format_seen },
};

static const struct render_shape shape = {
	.name = "router",
	.one_row = true,
	.layout = LAYOUT_RECORD,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
};

static enum paint paint_state(const json_t *row)
{
	return row_equals(row, "state", "up") ? PAINT_GOOD : row_equals(row, "state", "down") ? PAINT_BAD : PAINT_NONE;
}

static void format_state(const json_t *row, int64_t now_ms, struct buf *buf)
{
	buf_puts(buf, row_text_or(row, "state", "unknown"));
	if (row_has_number(row, "since_ms")) {
		buf_puts(buf, " ");
		human_seconds(buf, now_ms - row_number(row, "since_ms"));
	}
}

static void put_rate(struct buf *buf, const char *name, int64_t bits_per_s)
{
	buf_printf(buf, "%s %" PRId64 ".%" PRId64 " Mbit/s", name, bits_per_s / 1000000, bits_per_s / 100000 % 10);
}

static void put_signal(const json_t *row, struct buf *buf)
{
	static const struct {
		const char *path, *name, *unit;
	} signals[] = {
		{ "rssi_dbm", "RSSI", "dBm" }, { "rsrp_dbm", "RSRP", "dBm" }, { "rsrq_db", "RSRQ", "dB" }, { "sinr_db", "SINR", "dB" },
	};

	buf_puts(buf, row_text_or(row, "operator", "no operator"));
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (row_has_number(row, signals[i].path))
			buf_printf(buf, ", %s %" PRId64 " %s", signals[i].name, row_number(row, signals[i].path), signals[i].unit);
}

static void format_detail(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_equals(row, "watch", "lte")) {
		put_signal(row, buf);
	} else if (row_equals(row, "watch", "bgp")) {
		buf_printf(buf, "AS %" PRId64 ", %" PRId64 " prefixes", row_number(row, "remote_as"), row_number(row, "prefixes"));
	} else if (row_equals(row, "watch", "interface")) {
		put_rate(buf, "in", row_number(row, "rx_bits_per_s"));
		put_rate(buf, ", out", row_number(row, "tx_bits_per_s"));
		if (row_number(row, "link_downs") > 0)
			buf_printf(buf, ", %" PRId64 " link downs", row_number(row, "link_downs"));
	}
}

static const struct column thing_columns[] = {
	{ .path = "watch", .title = "KIND" },
	{ .path = "name", .title = "NAME" },
	{ .title = "STATE", .format = format_state, .paint = paint_state },
	{ .title = "DETAIL", .format = format_detail },
};

static const struct render_shape thing_shape = {
	.name = "things",
	.layout = LAYOUT_TABLE,
	.columns = thing_columns,
	.n_columns = sizeof(thing_columns) / sizeof(thing_columns[0]),
};

/* By kind, and by name as people count: ether2 before ether10. */
static int compare_things(const json_t *a, const json_t *b)
{
	int order = strcmp(row_text_or(a, "watch", ""), row_text_or(b, "watch", ""));

	return order != 0 ? order : strverscmp(row_text_or(a, "name", ""), row_text_or(b, "name", ""));
}

static int print_things(const json_t *things, const struct render_target *target)
{
	struct render *render = NULL;
	json_t *sorted = row_sort(things, compare_things);
	json_t *thing;
	size_t index;
	int r = sorted ? render_create(RENDER_HUMAN, &thing_shape, target, false, &render) : -ENOMEM;

	json_array_foreach(sorted, index, thing)
		if (r == 0)
			r = render_row(render, thing);
	if (r == 0)
		r = render_finish(render);
	render_destroy(render);
	json_decref(sorted);
	return r;
}

int watched_view_print(const json_t *router, const struct render_target *target)
{
	const json_t *things = row_get(router, "things");
	struct render_target then = *target;
	struct render *render = NULL;
	int r = render_create(RENDER_HUMAN, &shape, target, false, &render);

	(void)fputc('\n', target->out); /* the renderer checks the stream */
	if (r == 0)
		r = render_row(render, (json_t *)(uintptr_t)router);
	if (r == 0)
		r = render_finish(render);
	render_destroy(render);
	if (r == 0 && json_array_size(things) > 0) {
		(void)fputc('\n', target->out);
		then.now_ms = known_until(router, target->now_ms);
		r = print_things(things, &then);
	}
	return r;
}
