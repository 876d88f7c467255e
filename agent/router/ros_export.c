/*
 * ros_export: see ros_export.h. One pass, byte by byte, because pieces end anywhere:
 *
 *   text -> out ── "\n" ─┬─ after "\" that is not escaped: fold, skip the indentation, same line
 *                        └─ else: the line is whole; one that begins with "#" is taken back
 */
#include "agent/router/ros_export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char failure[] = "#error exporting";

void ros_export_init(struct ros_export *export, struct buf *out)
{
	*export = (struct ros_export){ .out = out };
	buf_clear(out);
}

static void cut(struct buf *out, size_t length)
{
	out->length = length;
	out->data[length] = '\0';
}

static void end_line(struct ros_export *export)
{
	struct buf *out = export->out;
	const char *line = out->data + export->line;

	if (*line == '#' && strncmp(line, failure, strlen(failure)) == 0 && !export->has_failed) {
		export->has_failed = true;
		snprintf(export->part, sizeof(export->part), "%s", line + strlen(failure));
	}
	if (*line == '#' && strstr(line, " by RouterOS "))
		export->has_head = true;
	if (*line == '#' || *line == '\0')
		cut(out, export->line);
	else
		buf_put(out, "\n", 1);
	export->line = out->length;
	export->backslashes = 0;
}

static void add_byte(struct ros_export *export, char byte)
{
	if (byte == '\r' || byte == '\0') /* escaped where they are part of a value */
		return;
	if (byte == '\n' && export->backslashes % 2 == 1) {
		cut(export->out, export->out->length - 1);
		export->backslashes = 0;
		export->is_folded = true;
	} else if (byte == '\n') {
		export->is_folded = false;
		end_line(export);
	} else if (!export->is_folded || byte != ' ') {
		export->is_folded = false;
		export->backslashes = byte == '\\' ? export->backslashes + 1 : 0;
		buf_put(export->out, &byte, 1);
	}
}

void ros_export_add(struct ros_export *export, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length && !export->out->failed; i++)
		add_byte(export, ((const char *)bytes)[i]);
}

int ros_export_finish(struct ros_export *export, struct err *err)
{
	if (export->out->failed)
		return err_set(err, -EMSGSIZE, "the export is larger than %zu bytes", export->out->size);
	if (export->has_failed) {
		err_set(err, 0, "the router could not export all of its configuration:%s", export->part);
		err_make_printable(err);
		return -EIO;
	}
	if (export->out->length != export->line || export->is_folded || (export->line == 0 && !export->has_head))
		return err_set(err, -ENODATA, "the export is cut off, or empty");
	if (export->line > 0 && export->out->data[0] != '/') {
		err_set(err, 0, "the router answers no export: %.*s", (int)strcspn(export->out->data, "\n"), export->out->data);
		err_make_printable(err);
		return -ENODATA;
	}
	return 0;
}
