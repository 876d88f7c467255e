/*
 * render: rows with typed columns, printed in one of the formats. A command describes its rows once
 * (struct render_shape) and hands them over; a renderer is one row of functions and one file:
 *
 *   human  LAYOUT_TABLE   render_table.c   aligned columns under a heading (libsmartcols)
 *          LAYOUT_LINES   render_lines.c   one line a row, at once: logs
 *          LAYOUT_RECORD  render_lines.c   one "title  value" line a column, empty ones left out
 *   --json                render_json.c    the whole row as it came: an array, or a line each when streaming
 *   --kv                  render_kv.c      shape.row.path=value, one line a value
 *
 * Columns matter to the human layouts only; --json and --kv print whole rows, so that nothing that
 * the collector knows is out of a script's reach.
 */
#ifndef JAGA_COLLECTOR_CLI_RENDER_H
#define JAGA_COLLECTOR_CLI_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "common/buf.h"

enum render_format { RENDER_HUMAN, RENDER_JSON, RENDER_KV };
enum render_layout { LAYOUT_TABLE, LAYOUT_LINES, LAYOUT_RECORD };
enum paint { PAINT_NONE, PAINT_GOOD, PAINT_WARNING, PAINT_BAD, PAINT_LESS, PAINT_DIM, PAINT_HEAD };

/* Where the output goes, and what may be assumed of it. */
struct render_target {
	FILE *out;
	bool is_terminal; /* text of routers is made safe for it */
	bool colour;
	int width; /* columns of the terminal; 0: no limit */
	int64_t now_ms;
};

enum column_type {
	COLUMN_TEXT,
	COLUMN_NUMBER,
	COLUMN_AGE,	 /* milliseconds since 1970: "3m ago" */
	COLUMN_TIME,	 /* the same: "2025-11-20 14:03:22" */
	COLUMN_DURATION, /* milliseconds: "12 min" */
	COLUMN_BYTES,	 /* "1.5 kB" */
};

struct column {
	const char *path;  /* into the row; may be NULL with a format of its own */
	const char *title;
	enum column_type type;
	int width;	   /* LAYOUT_LINES: padded to this */
	bool gives_way;	   /* LAYOUT_TABLE: cut when the terminal is too narrow; LAYOUT_LINES: on a line of its own */
	/* Instead of the type's way of printing. Its text is sanitised like any other. */
	void (*format)(const json_t *row, int64_t now_ms, struct buf *buf);
	enum paint (*paint)(const json_t *row);
};

struct render_shape {
	const char *name;  /* first word of --kv keys: "devices" */
	bool one_row;	   /* there is never a second: --kv keys carry no number */
	enum render_layout layout;
	const struct column *columns;
	size_t n_columns;
	const char *empty; /* printed for people when there was no row; may be NULL */
};

struct render;

/*
 * streaming: rows are printed and flushed one by one, for ever (--follow). shape must outlive the
 * renderer; target is copied. -ENOMEM.
 */
int render_create(enum render_format format, const struct render_shape *shape, const struct render_target *target,
		  bool streaming, struct render **ret_render);
/* -ENOMEM, or -EIO when the output cannot be written. Keeps nothing of the row after render_finish(). */
int render_row(struct render *render, json_t *row);
/* Prints what waited for the end: the table, "]", the word for nothing. */
int render_finish(struct render *render);
void render_destroy(struct render *render);

/* For the renderers and for commands that print sentences of their own. */
void render_cell(const struct column *column, const json_t *row, int64_t now_ms, struct buf *buf);
const char *paint_begin(enum paint paint); /* escape sequence, "" for PAINT_NONE */
const char *paint_end(enum paint paint);
enum paint paint_uplink_state(const char *state); /* of a word of jaga.proto's UplinkState */

/* The port between render.c and a renderer. */
struct render {
	const struct render_ops *ops;
	const struct render_shape *shape;
	struct render_target target;
	bool streaming;
	size_t n_rows;
	json_t *rows; /* table only: what waits for the end */
};
struct render_ops {
	int (*row)(struct render *render, json_t *row);
	int (*finish)(struct render *render); /* may be NULL */
};
extern const struct render_ops render_table, render_lines, render_record, render_json, render_kv;

#endif
