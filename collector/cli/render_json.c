/*
 * render_json: --json. One document, an array with a row on each line; with --follow a document on
 * each line (NDJSON). Rows are printed as the collector sent them: times are milliseconds since 1970
 * UTC. jansson escapes control characters, so hostile text stays data; what is above ASCII stays UTF-8.
 */
#include <errno.h>

#include "collector/cli/render.h"

static int print_row(struct render *render, json_t *row)
{
	if (!render->streaming)
		(void)fputs(render->n_rows == 0 ? "[\n" : ",\n", render->target.out); /* render.c checks the stream */
	if (json_dumpf(row, render->target.out, JSON_COMPACT) < 0)
		return -EIO;
	if (render->streaming)
		(void)fputc('\n', render->target.out);
	return 0;
}

static int print_end(struct render *render)
{
	if (!render->streaming)
		(void)fputs(render->n_rows == 0 ? "[]\n" : "\n]\n", render->target.out);
	return 0;
}

const struct render_ops render_json = { .row = print_row, .finish = print_end };
