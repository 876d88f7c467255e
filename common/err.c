/*
 * err: see err.h. Formatting only; no allocation, no I/O, safe on every thread.
 */
#include "common/err.h"

#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

int err_sys(struct err *err, int code, const char *format, ...)
{
	va_list args;
	size_t used;

	if (!err)
		return code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(-code));
	return code;
}

void err_prefix(struct err *err, const char *format, ...)
{
	char head[LIMIT_ERR_TEXT];
	size_t head_length, rest;
	va_list args;

	if (!err)
		return;
	va_start(args, format);
	vsnprintf(head, sizeof(head), format, args);
	va_end(args);
	head_length = strlen(head);
	rest = strlen(err->text);
	if (head_length + rest >= sizeof(err->text))
		rest = sizeof(err->text) - 1 - head_length;
	memmove(err->text + head_length, err->text, rest);
	memcpy(err->text, head, head_length);
	err->text[head_length + rest] = '\0';
}

void err_make_printable(struct err *err)
{
	if (!err)
		return;
	for (char *p = err->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
}
