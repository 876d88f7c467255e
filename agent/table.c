/*
 * table: see table.h. Cells are kept as text in one block and rendered in a second pass, because
 * aligned columns need every width first. Used by the local socket (status, uplinks) and the doctor.
 */
#include "agent/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void table_init(struct table *table, const char *name, const char *const *columns, unsigned n_columns, bool is_record)
{
	table->name = name;
	table->columns = columns;
	table->n_columns = n_columns;
	table->is_record = is_record;
	table->n_cells = 0;
	buf_init(&table->buf, table->text, sizeof(table->text));
}

static void begin_cell(struct table *table, bool is_literal)
{
	if (table->n_cells == LIMIT_TABLE_CELLS) {
		table->buf.failed = true;
		return;
	}
	table->cells[table->n_cells++] = (struct table_cell){ (uint16_t)table->buf.length, is_literal };
}

void table_put_text(struct table *table, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	begin_cell(table, false);
	buf_put(&table->buf, text, strlen(text) + 1); /* with its NUL */
}

void table_put_number(struct table *table, int64_t value)
{
	begin_cell(table, true);
	buf_printf(&table->buf, "%" PRId64, value);
	buf_put(&table->buf, "", 1);
}

void table_put_bool(struct table *table, bool value)
{
	begin_cell(table, true);
	buf_put(&table->buf, value ? "true" : "false", value ? 5 : 6);
}

static const char *cell_text(const struct table *table, unsigned cell)
{
	return table->text + table->cells[cell].at;
}

/* What a person reads: a yes for true, a dash for nothing. */
static const char *cell_words(const struct table *table, unsigned cell)
{
	const char *text = cell_text(table, cell);

	if (table->cells[cell].is_literal && strcmp(text, "true") == 0)
		return "yes";
	if (table->cells[cell].is_literal && strcmp(text, "false") == 0)
		return "no";
	return text[0] == '\0' ? "-" : text;
}

/* --- formats ------------------------------------------------------------------------------- */

static void put_padded(struct buf *out, const char *text, size_t width, bool is_last)
{
	buf_puts(out, text);
	for (size_t i = strlen(text); i < width + 2 && !is_last; i++)
		buf_put(out, " ", 1);
}

static void render_record_text(const struct table *table, struct buf *out)
{
	size_t width = 0;

	for (unsigned c = 0; c < table->n_columns; c++)
		if (strlen(table->columns[c]) > width)
			width = strlen(table->columns[c]);
	for (unsigned c = 0; c < table->n_cells; c++) {
		put_padded(out, table->columns[c], width, false);
		buf_puts(out, cell_words(table, c));
		buf_put(out, "\n", 1);
	}
}

static size_t column_width(const struct table *table, unsigned column)
{
	size_t width = strlen(table->columns[column]);

	for (unsigned cell = column; cell < table->n_cells; cell += table->n_columns) {
		size_t length = strlen(cell_words(table, cell));

		if (length > width)
			width = length;
	}
	return width;
}

static void render_text(const struct table *table, struct buf *out)
{
	for (unsigned c = 0; c < table->n_columns; c++)
		put_padded(out, table->columns[c], column_width(table, c), c + 1 == table->n_columns);
	buf_put(out, "\n", 1);
	for (unsigned cell = 0; cell < table->n_cells; cell++) {
		unsigned c = cell % table->n_columns;

		put_padded(out, cell_words(table, cell), column_width(table, c), c + 1 == table->n_columns);
		if (c + 1 == table->n_columns)
			buf_put(out, "\n", 1);
	}
}

static void put_json_string(struct buf *out, const char *text)
{
	buf_put(out, "\"", 1);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f) /* what is not ASCII came from outside: keep the JSON valid whatever it is */
			buf_printf(out, "\\u%04x", c);
		else
			buf_put(out, text, 1);
	}
	buf_put(out, "\"", 1);
}

static void render_json(const struct table *table, struct buf *out)
{
	if (!table->is_record)
		buf_puts(out, "[");
	for (unsigned cell = 0; cell < table->n_cells; cell++) {
		unsigned c = cell % table->n_columns;

		buf_puts(out, c > 0 ? "," : cell > 0 ? ",\n{" : "{");
		put_json_string(out, table->columns[c]);
		buf_puts(out, ":");
		if (table->cells[cell].is_literal)
			buf_puts(out, cell_text(table, cell));
		else
			put_json_string(out, cell_text(table, cell));
		if (c + 1 == table->n_columns)
			buf_puts(out, "}");
	}
	buf_puts(out, table->is_record ? "\n" : "]\n");
}

static void put_kv_value(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\\')
			buf_puts(out, "\\\\");
		else if (c == '\n')
			buf_puts(out, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else
			buf_put(out, text, 1);
	}
}

static void render_kv(const struct table *table, struct buf *out)
{
	for (unsigned cell = 0; cell < table->n_cells; cell++) {
		if (table->is_record)
			buf_printf(out, "%s.%s=", table->name, table->columns[cell % table->n_columns]);
		else
			buf_printf(out, "%s.%u.%s=", table->name, cell / table->n_columns,
				   table->columns[cell % table->n_columns]);
		put_kv_value(out, cell_text(table, cell));
		buf_put(out, "\n", 1);
	}
}

int table_render(const struct table *table, enum table_format format, struct buf *out)
{
	if (format == TABLE_JSON)
		render_json(table, out);
	else if (format == TABLE_KV)
		render_kv(table, out);
	else if (table->is_record)
		render_record_text(table, out);
	else
		render_text(table, out);
	return table->buf.failed || out->failed ? -EMSGSIZE : 0;
}

int table_format_parse(const char *text, enum table_format *ret_format)
{
	static const char *const names[] = { "table", "json", "kv" };

	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_format = (enum table_format)i;
			return 0;
		}
	}
	return -EINVAL;
}
