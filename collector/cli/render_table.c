/*
 * render_table: rows under headings, aligned by libsmartcols, which knows the width of letters. All
 * rows are kept to the end, because the widest cell decides. On a narrow terminal the columns that may
 * give way are cut; in a pipe nothing is.
 */
#include <errno.h>
#include <stdbool.h>

#include <libsmartcols/libsmartcols.h>

#include "collector/cli/render.h"
#include "common/limits.h"

static bool is_right_aligned(enum column_type type)
{
	return type == COLUMN_NUMBER || type == COLUMN_BYTES || type == COLUMN_DURATION;
}

static int add_columns(struct libscols_table *table, const struct render *render)
{
	for (size_t i = 0; i < render->shape->n_columns; i++) {
		const struct column *column = &render->shape->columns[i];
		int flags = is_right_aligned(column->type) ? SCOLS_FL_RIGHT : 0;

		if (column->gives_way && render->target.is_terminal)
			flags |= SCOLS_FL_TRUNC;
		if (!scols_table_new_column(table, column->title, 0, flags))
			return -ENOMEM;
	}
	return 0;
}

static int add_line(struct libscols_table *table, const struct render *render, const json_t *row)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	int r = line ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < render->shape->n_columns; i++) {
		const struct column *column = &render->shape->columns[i];
		enum paint paint = column->paint && render->target.colour ? column->paint(row) : PAINT_NONE;
		char memory[LIMIT_CLI_CELL];
		struct buf cell;

		buf_init(&cell, memory, sizeof(memory));
		render_cell(column, row, render->target.now_ms, &cell);
		r = scols_line_set_data(line, i, cell.length > 0 ? cell.data : "-");
		if (r == 0 && paint != PAINT_NONE)
			r = scols_cell_set_color(scols_line_get_cell(line, i), paint_begin(paint));
	}
	return r;
}

static int keep_row(struct render *render, json_t *row)
{
	if (!render->rows)
		render->rows = json_array();
	return json_array_append(render->rows, row) < 0 ? -ENOMEM : 0;
}

static int print_table(struct render *render)
{
	struct libscols_table *table;
	size_t index;
	json_t *row;
	int r;

	if (render->n_rows == 0)
		return 0;
	table = scols_new_table();
	if (!table)
		return -ENOMEM;
	r = scols_table_set_stream(table, render->target.out);
	if (r == 0)
		r = scols_table_enable_colors(table, render->target.colour);
	if (r == 0)
		r = scols_table_enable_noencoding(table, 1); /* cells are sanitised: \x1b must not become \x5cx1b */
	if (r == 0)
		r = scols_table_set_termforce(table, render->target.is_terminal ? SCOLS_TERMFORCE_ALWAYS :
									       SCOLS_TERMFORCE_NEVER);
	if (r == 0 && render->target.width > 0)
		r = scols_table_set_termwidth(table, (size_t)render->target.width);
	if (r == 0)
		r = scols_table_set_column_separator(table, "  ");
	if (r == 0)
		r = add_columns(table, render);
	json_array_foreach(render->rows, index, row)
		if (r == 0)
			r = add_line(table, render, row);
	if (r == 0)
		r = scols_print_table(table);
	scols_unref_table(table);
	return r;
}

const struct render_ops render_table = { .row = keep_row, .finish = print_table };
