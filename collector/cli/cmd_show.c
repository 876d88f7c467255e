/*
 * cmd_show: `jaga show DEVICE`, all that is known of one router: who it is, its session, its uplinks
 * with the last measurements, its newest snapshot, and what is watched on it. The collector's row holds uplinks twice, as
 * configured and as sampled; here they become one table. Of a RouterOS router the machine that the agent runs on is another
 * one: what is known of that is one line, so that nobody takes its load for the router's.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "collector/cli/client.h"
#include "collector/cli/command.h"
#include "collector/cli/human.h"
#include "collector/cli/row.h"
#include "collector/cli/sentence.h"
#include "collector/cli/watched_view.h"

static void format_state(const json_t *row, int64_t now_ms, struct buf *buf)
{
	const char *address = row_text(row, "address");

	if (row_is_true(row, "online")) {
		buf_puts(buf, "online");
		if (row_has_number(row, "session_since_ms")) {
			buf_puts(buf, " ");
			human_since(buf, row_number(row, "session_since_ms"), now_ms);
		}
		if (address)
			buf_printf(buf, " from %s", address);
	} else if (row_has_number(row, "last_seen_ms")) {
		if (row_text(row, "confirming"))
			buf_printf(buf, "confirming job %s, last seen ", row_text(row, "confirming"));
		else
			buf_puts(buf, "offline, last seen ");
		human_age(buf, row_number(row, "last_seen_ms"), now_ms);
	} else {
		buf_puts(buf, "never seen: copy agent.conf and agent.key to it and start jaga-agent");
	}
}

static enum paint paint_state(const json_t *row)
{
	if (row_is_true(row, "online"))
		return PAINT_GOOD;
	return row_text(row, "confirming") ? PAINT_WARNING : PAINT_BAD;
}

static void format_agent(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_text(row, "version"))
		buf_printf(buf, "%s, driver %s%s", row_text(row, "version"), row_text_or(row, "driver", "?"),
			   row_is_true(row, "watches") ? ", watches" : "");
}

static void format_snapshot(const json_t *row, int64_t now_ms, struct buf *buf)
{
	if (!row_has_number(row, "snapshot.n"))
		return;
	buf_printf(buf, "%" PRId64 " of ", row_number(row, "snapshot.n"));
	human_time(buf, row_number(row, "snapshot.taken_ms"));
	buf_puts(buf, ", ");
	human_bytes(buf, row_number(row, "snapshot.bytes"));
	if (row_has_number(row, "snapshot.checked_ms")) {
		buf_puts(buf, ", found unchanged ");
		human_age(buf, row_number(row, "snapshot.checked_ms"), now_ms);
	}
}

/* The agent is on a machine beside the router. */
static bool is_beside(const json_t *row)
{
	return row_equals(row, "driver", "routeros");
}

static void put_own(const json_t *row, const char *path, struct buf *buf)
{
	if (!is_beside(row))
		buf_puts(buf, row_text_or(row, path, ""));
}

static void format_hostname(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	put_own(row, "hostname", buf);
}

static void format_model(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	put_own(row, "model", buf);
}

static void format_system(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	put_own(row, "system", buf);
}

static void format_connections(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_has_number(row, "sample.conntrack_count") && !is_beside(row))
		buf_printf(buf, "%" PRId64 " of %" PRId64, row_number(row, "sample.conntrack_count"),
			   row_number(row, "sample.conntrack_max"));
}

static void put_load(const json_t *row, struct buf *buf)
{
	if (!row_has_number(row, "sample.load_permille"))
		return;
	buf_printf(buf, "%.2f, memory free ", (double)row_number(row, "sample.load_permille") / 1000);
	human_bytes(buf, row_number(row, "sample.mem_available_kb") * 1024);
}

static void format_load(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (!is_beside(row))
		put_load(row, buf);
}

static void format_beside(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (!is_beside(row) || !row_text(row, "hostname"))
		return;
	buf_printf(buf, "%s: %s", row_text(row, "hostname"), row_text_or(row, "system", "?"));
	if (row_has_number(row, "sample.load_permille"))
		buf_puts(buf, ", load ");
	put_load(row, buf);
}

static void format_waiting(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_number(row, "jobs_waiting") > 0)
		buf_printf(buf, "%" PRId64, row_number(row, "jobs_waiting"));
}

static void format_dropped(const json_t *row, int64_t now_ms, struct buf *buf)
{
	int64_t events = row_number(row, "dropped_events"), samples = row_number(row, "dropped_samples");

	(void)now_ms;
	if (events > 0 || samples > 0)
		buf_printf(buf, "%" PRId64 " events, %" PRId64 " samples: cut off for too long", events, samples);
}

static enum paint paint_dropped(const json_t *row)
{
	(void)row;
	return PAINT_WARNING;
}

static const struct column columns[] = {
	{ .path = "name", .title = "device" },
	{ .title = "state", .format = format_state, .paint = paint_state },
	{ .title = "hostname", .format = format_hostname },
	{ .title = "model", .format = format_model },
	{ .title = "system", .format = format_system },
	{ .title = "agent", .format = format_agent },
	{ .title = "runs on", .format = format_beside },
	{ .title = "connections", .format = format_connections },
	{ .title = "load", .format = format_load },
	{ .path = "sample.at_ms", .title = "measured", .type = COLUMN_AGE },
	{ .title = "snapshot", .format = format_snapshot },
	{ .title = "jobs waiting", .format = format_waiting },
	{ .title = "dropped", .format = format_dropped, .paint = paint_dropped },
	{ .path = "enrolled_ms", .title = "enrolled", .type = COLUMN_TIME },
};

static const struct render_shape shape = {
	.name = "device",
	.one_row = true,
	.layout = LAYOUT_RECORD,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
};

static enum paint paint_uplink(const json_t *row)
{
	return paint_uplink_state(row_text_or(row, "state", ""));
}

static void format_uplink_state(const json_t *row, int64_t now_ms, struct buf *buf)
{
	buf_puts(buf, row_text_or(row, "state", "unknown"));
	if (row_has_number(row, "since_ms")) {
		buf_puts(buf, " ");
		human_seconds(buf, now_ms - row_number(row, "since_ms"));
	}
}

static void format_rtt(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_number(row, "sample.rtt_us") > 0)
		human_duration_us(buf, row_number(row, "sample.rtt_us"));
}

static void format_loss(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	if (row_has_number(row, "sample.loss_permille"))
		buf_printf(buf, "%.1f %%", (double)row_number(row, "sample.loss_permille") / 10);
}

static const struct column uplink_columns[] = {
	{ .path = "name", .title = "UPLINK" },
	{ .path = "interface", .title = "IFACE" },
	{ .title = "STATE", .format = format_uplink_state, .paint = paint_uplink },
	{ .path = "tier", .title = "TIER", .type = COLUMN_NUMBER },
	{ .path = "weight", .title = "WEIGHT", .type = COLUMN_NUMBER },
	{ .title = "RTT", .type = COLUMN_DURATION, .format = format_rtt },
	{ .title = "LOSS", .type = COLUMN_NUMBER, .format = format_loss },
	{ .path = "sample.rx_bytes", .title = "RX", .type = COLUMN_BYTES },
	{ .path = "sample.tx_bytes", .title = "TX", .type = COLUMN_BYTES },
};

static const struct render_shape uplink_shape = {
	.name = "uplinks",
	.layout = LAYOUT_TABLE,
	.columns = uplink_columns,
	.n_columns = sizeof(uplink_columns) / sizeof(uplink_columns[0]),
};

static json_t *find_sample(const json_t *device, const char *uplink)
{
	json_t *sample;
	size_t index;

	json_array_foreach(row_get(device, "sample.uplinks"), index, sample)
		if (row_equals(sample, "uplink", uplink))
			return sample;
	return NULL;
}

static int print_uplinks(const json_t *device, struct render *render)
{
	const json_t *uplink;
	size_t index;
	int r = 0;

	json_array_foreach(row_get(device, "uplinks"), index, uplink) {
		json_t *sample = find_sample(device, row_text_or(uplink, "name", ""));
		json_t *row = json_copy((json_t *)(uintptr_t)uplink); /* shallow: the device's row stays as it came */

		if (!row || (sample && json_object_set(row, "sample", sample) < 0))
			r = -ENOMEM;
		if (r == 0)
			r = render_row(render, row);
		json_decref(row);
		if (r < 0)
			return r;
	}
	return 0;
}

static int print_device(const struct invocation *invocation, json_t *device)
{
	struct render *record = NULL, *uplinks = NULL;
	struct render_target target;
	int r;

	invocation_target(invocation, &target);
	r = render_create(invocation->format, &shape, &target, false, &record);
	if (r == 0)
		r = render_row(record, device);
	if (r == 0)
		r = render_finish(record);
	if (r == 0 && invocation->format == RENDER_HUMAN && json_array_size(row_get(device, "uplinks")) > 0) {
		(void)fputc('\n', target.out); /* the renderer checks the stream */
		r = render_create(RENDER_HUMAN, &uplink_shape, &target, false, &uplinks);
		if (r == 0)
			r = print_uplinks(device, uplinks);
		if (r == 0)
			r = render_finish(uplinks);
	}
	render_destroy(uplinks);
	render_destroy(record);
	if (r == 0 && invocation->format == RENDER_HUMAN && row_get(device, "router"))
		r = watched_view_print(row_get(device, "router"), &target);
	return r;
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	json_t *device = NULL;
	int r;

	r = invocation_ask(invocation, invocation_request("show", invocation->operands[0]), &device,
			   failure);
	if (r < 0)
		return r;
	r = print_device(invocation, device);
	json_decref(device);
	return r < 0 ? invocation_output_failed(failure, r) : 0;
}

const struct command command_show = {
	.name = "show",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "one router closely: uplinks, measurements, snapshot",
	.example = "jaga show rtr1",
	.run = run,
};
