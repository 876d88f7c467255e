/*
 * table: small results for people and scripts, in three formats, without allocating.
 *
 *   TABLE_TEXT   aligned columns under a heading; a record: one "name  value" line a column
 *   TABLE_JSON   an array of objects; a record: one object
 *   TABLE_KV     name.row.column=value, one line a value; a record: name.column=value  (as `jaga --kv`)
 *
 * Cells are added row by row in the order of the columns. What does not fit makes the table fail as a
 * whole: half an answer would mislead.
 */
#ifndef JAGA_AGENT_TABLE_H
#define JAGA_AGENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/limits.h"

enum table_format { TABLE_TEXT, TABLE_JSON, TABLE_KV };

struct table_cell {
	uint16_t at;	  /* of its text in `text` */
	bool is_literal;  /* JSON writes it without quotes: a number, true, false */
};

struct table {
	const char *name;
	const char *const *columns;
	unsigned n_columns;
	bool is_record; /* exactly one row */
	unsigned n_cells;
	struct table_cell cells[LIMIT_TABLE_CELLS];
	struct buf buf;
	char text[LIMIT_TABLE_BYTES];
};

/* name and columns are borrowed. */
void table_init(struct table *table, const char *name, const char *const *columns, unsigned n_columns, bool is_record);
void table_put_text(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_put_number(struct table *table, int64_t value);
void table_put_bool(struct table *table, bool value); /* "yes" and "no" in text */
/* Appends the rendered table to out; -EMSGSIZE when something did not fit, here or there. */
int table_render(const struct table *table, enum table_format format, struct buf *out);
/* "table" "json" "kv"; -EINVAL */
int table_format_parse(const char *text, enum table_format *ret_format);

#endif
