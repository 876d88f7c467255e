/*
 * render: see render.h. Chooses the renderer, turns a typed column into text for people, and checks
 * the output after each row: a full disk behind `jaga events > file` is an error, not a shorter file.
 */
#include "collector/cli/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/human.h"
#include "collector/cli/row.h"
#include "collector/cli/sanitise.h"
#include "common/limits.h"

static const struct render_ops *choose(enum render_format format, const struct render_shape *shape)
{
	if (format == RENDER_JSON)
		return &render_json;
	if (format == RENDER_KV)
		return &render_kv;
	if (shape->layout == LAYOUT_TABLE)
		return &render_table;
	return shape->layout == LAYOUT_LINES ? &render_lines : &render_record;
}

int render_create(enum render_format format, const struct render_shape *shape, const struct render_target *target,
		  bool streaming, struct render **ret_render)
{
	struct render *render = calloc(1, sizeof(*render));

	if (!render)
		return -ENOMEM;
	render->ops = choose(format, shape);
	render->shape = shape;
	render->target = *target;
	render->streaming = streaming;
	*ret_render = render;
	return 0;
}

static int check_output(struct render *render, int r)
{
	if (r == 0 && render->streaming && fflush(render->target.out) != 0)
		r = -EIO;
	return r == 0 && ferror(render->target.out) ? -EIO : r;
}

int render_row(struct render *render, json_t *row)
{
	int r = render->ops->row(render, row);

	render->n_rows++;
	return check_output(render, r);
}

int render_finish(struct render *render)
{
	int r = render->ops->finish ? render->ops->finish(render) : 0;
	bool for_people = render->ops != &render_json && render->ops != &render_kv;

	if (for_people && render->n_rows == 0 && render->shape->empty)
		(void)fprintf(render->target.out, "%s\n", render->shape->empty); /* checked below */
	return check_output(render, r);
}

void render_destroy(struct render *render)
{
	if (!render)
		return;
	json_decref(render->rows);
	free(render);
}

static void format_number(enum column_type type, int64_t value, int64_t now_ms, struct buf *buf)
{
	switch (type) {
	case COLUMN_AGE:
		human_age(buf, value, now_ms);
		break;
	case COLUMN_TIME:
		human_time(buf, value);
		break;
	case COLUMN_DURATION:
		human_duration_ms(buf, value);
		break;
	case COLUMN_BYTES:
		human_bytes(buf, value);
		break;
	default:
		buf_printf(buf, "%" PRId64, value);
	}
}

void render_cell(const struct column *column, const json_t *row, int64_t now_ms, struct buf *buf)
{
	const json_t *value;

	if (column->format) {
		char memory[LIMIT_CLI_CELL];
		struct buf raw;

		buf_init(&raw, memory, sizeof(memory));
		column->format(row, now_ms, &raw);
		sanitise_line(buf, raw.data, raw.length);
		return;
	}
	value = row_get(row, column->path);
	if (json_is_string(value))
		sanitise_line(buf, json_string_value(value), json_string_length(value));
	else if (json_is_integer(value))
		format_number(column->type, json_integer_value(value), now_ms, buf);
	else if (json_is_boolean(value))
		buf_puts(buf, json_is_true(value) ? "yes" : "no");
}

const char *paint_begin(enum paint paint)
{
	static const char *const sequences[] = {
		[PAINT_NONE] = "",	    [PAINT_GOOD] = "\033[32m", [PAINT_WARNING] = "\033[33m", [PAINT_BAD] = "\033[1;31m",
		[PAINT_LESS] = "\033[31m", [PAINT_DIM] = "\033[2m",   [PAINT_HEAD] = "\033[1m",
	};

	return sequences[paint];
}

const char *paint_end(enum paint paint)
{
	return paint == PAINT_NONE ? "" : "\033[0m";
}

enum paint paint_uplink_state(const char *state)
{
	if (strcmp(state, "up") == 0)
		return PAINT_GOOD;
	if (strcmp(state, "suspect") == 0)
		return PAINT_WARNING;
	return strcmp(state, "down") == 0 ? PAINT_BAD : PAINT_NONE;
}
