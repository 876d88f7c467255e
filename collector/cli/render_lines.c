/*
 * render_lines: the two layouts that need no look at other rows. Lines are for logs: each row is one
 * line, printed at once, columns padded to a width known beforehand (one may continue below,
 * indented), so that --follow and a finished list look the same and grep works. Records are for one
 * thing seen closely: a line for each column that has a value, titles aligned.
 */
#include <string.h>

#include "collector/cli/render.h"
#include "common/limits.h"

/* Of sanitised UTF-8; letters of double width come out a little crooked here, never in tables. */
static size_t count_letters(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Failures of the stream are found by render.c after each row. */
static void print_cell(const struct render *render, const struct column *column, const json_t *row, const char *text,
		       size_t width)
{
	enum paint paint = column->paint && render->target.colour ? column->paint(row) : PAINT_NONE;

	(void)fprintf(render->target.out, "%s%s%s", paint_begin(paint), text, paint_end(paint));
	for (size_t i = count_letters(text); i < width; i++)
		(void)fputc(' ', render->target.out);
}

static int print_line(struct render *render, json_t *row)
{
	for (size_t i = 0; i < render->shape->n_columns; i++) {
		const struct column *column = &render->shape->columns[i];
		char memory[LIMIT_CLI_CELL];
		struct buf cell;

		buf_init(&cell, memory, sizeof(memory));
		render_cell(column, row, render->target.now_ms, &cell);
		if (cell.length == 0 && column->gives_way)
			continue;
		if (i > 0)
			(void)fputs(column->gives_way ? "\n  " : "  ", render->target.out);
		print_cell(render, column, row, cell.data, (size_t)column->width);
	}
	(void)fputc('\n', render->target.out);
	return 0;
}

static int print_record(struct render *render, json_t *row)
{
	size_t width = 0;

	for (size_t i = 0; i < render->shape->n_columns; i++)
		if (strlen(render->shape->columns[i].title) > width)
			width = strlen(render->shape->columns[i].title);
	for (size_t i = 0; i < render->shape->n_columns; i++) {
		const struct column *column = &render->shape->columns[i];
		char memory[LIMIT_CLI_CELL];
		struct buf cell;

		buf_init(&cell, memory, sizeof(memory));
		render_cell(column, row, render->target.now_ms, &cell);
		if (cell.length == 0)
			continue;
		(void)fprintf(render->target.out, "%-*s  ", (int)width, column->title);
		print_cell(render, column, row, cell.data, 0);
		(void)fputc('\n', render->target.out);
	}
	return 0;
}

const struct render_ops render_lines = { .row = print_line };
const struct render_ops render_record = { .row = print_record };
