/*
 * render_kv: --kv, one line a value, for shells and tests:
 *
 *   devices.0.name=rtr1
 *   devices.0.uplinks.1.state=down
 *   job.exit_status=0          (where there is one row only)
 *
 * Order is the collector's. In values a backslash is \\, a line feed \n, a carriage return \r, a tab
 * \t, other control characters \xNN: a value never leaves its line. Rows are three levels deep; what
 * is nested deeper than DEPTH is printed as JSON, so the recursion below is bounded.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "collector/cli/render.h"

#define DEPTH 6
#define KEY_BYTES 512

/* Failures of the stream are found by render.c after each row. */
static void print_text(FILE *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\\')
			(void)fputs("\\\\", out);
		else if (c == '\n')
			(void)fputs("\\n", out);
		else if (c == '\r')
			(void)fputs("\\r", out);
		else if (c == '\t')
			(void)fputs("\\t", out);
		else if (c < 0x20 || c == 0x7f)
			(void)fprintf(out, "\\x%02x", c);
		else
			(void)fputc(c, out);
	}
}

static int print_scalar(FILE *out, const char *key, const json_t *value)
{
	char *text;

	(void)fprintf(out, "%s=", key);
	if (json_is_string(value)) {
		print_text(out, json_string_value(value), json_string_length(value));
	} else {
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!text)
			return -ENOMEM;
		(void)fputs(text, out);
		free(text);
	}
	(void)fputc('\n', out);
	return 0;
}

static int print_value(FILE *out, struct buf *key, json_t *value, unsigned depth)
{
	size_t length = key->length;
	const char *name;
	json_t *inner;
	size_t index;
	int r = 0;

	if (key->failed)
		return -EMSGSIZE;
	if (depth == DEPTH || (!json_is_object(value) && !json_is_array(value)))
		return print_scalar(out, key->data, value);
	if (json_is_object(value)) {
		json_object_foreach(value, name, inner) {
			if (r == 0) {
				buf_printf(key, ".%s", name);
				r = print_value(out, key, inner, depth + 1);
			}
			key->data[key->length = length] = '\0';
		}
	} else {
		json_array_foreach(value, index, inner) {
			if (r == 0) {
				buf_printf(key, ".%zu", index);
				r = print_value(out, key, inner, depth + 1);
			}
			key->data[key->length = length] = '\0';
		}
	}
	return r;
}

static int print_row(struct render *render, json_t *row)
{
	char memory[KEY_BYTES];
	struct buf key;

	buf_init(&key, memory, sizeof(memory));
	buf_puts(&key, render->shape->name);
	if (!render->shape->one_row)
		buf_printf(&key, ".%zu", render->n_rows);
	return print_value(render->target.out, &key, row, 0);
}

const struct render_ops render_kv = { .row = print_row };
