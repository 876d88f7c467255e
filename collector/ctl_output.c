/*
 * ctl_output: rows and errors into a client's bounded buffer. Called from the steps of ctl_*.c;
 * sending is ctl.c's.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int reserve(struct ctl_client *client, size_t bytes)
{
	size_t used = client->out_end - client->out_begin, size = client->out_size ? client->out_size : 4096;
	char *out;

	if (client->out_size - client->out_end >= bytes)
		return 0;
	while (size - used < bytes)
		size *= 2;
	if (size > LIMIT_CTL_OUTPUT)
		return -EMSGSIZE;
	out = malloc(size);
	if (!out)
		return -ENOMEM;
	if (used > 0)
		memcpy(out, client->out + client->out_begin, used);
	if (client->out)
		explicit_bzero(client->out, client->out_size);
	free(client->out);
	client->out = out;
	client->out_size = size;
	client->out_begin = 0;
	client->out_end = used;
	return 0;
}

int ctl_put_json(struct ctl_client *client, const json_t *json)
{
	size_t length = json_dumpb(json, NULL, 0, JSON_COMPACT);
	int r;

	if (length == 0)
		return -ENOMEM;
	r = reserve(client, length + 1);
	if (r < 0)
		return r;
	(void)json_dumpb(json, client->out + client->out_end, length, JSON_COMPACT); /* measured above */
	client->out_end += length;
	client->out[client->out_end++] = '\n';
	return 0;
}

bool ctl_is_behind(const struct ctl_client *client)
{
	return client->out_end - client->out_begin >= LIMIT_CTL_PAUSE;
}

enum ctl_next ctl_put_row(struct ctl_client *client, json_t *row)
{
	int r = row ? ctl_put_json(client, row) : -ENOMEM;

	json_decref(row);
	if (r == -EMSGSIZE)
		return ctl_fail(client, "failed", "", "a row is longer than %d MiB", LIMIT_CTL_OUTPUT >> 20);
	return r < 0 ? ctl_fail_store(client, r) : CTL_MORE;
}

enum ctl_next ctl_fail(struct ctl_client *client, const char *code, const char *hint, const char *format, ...)
{
	char text[LIMIT_ERR_TEXT];
	va_list args;
	json_t *row;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	row = json_object();
	json_object_set_new(row, "error", json_row_text(text, strlen(text)));
	json_object_set_new(row, "code", json_string(code));
	json_object_set_new(row, "hint", json_string(hint));
	/* Without the memory for an error the closed connection is the answer. */
	(void)ctl_put_json(client, row);
	json_decref(row);
	return CTL_FAILED;
}

enum ctl_next ctl_fail_store(struct ctl_client *client, int error)
{
	switch (error) {
	case -ENOENT:
		return ctl_fail(client, "not-found", "", "there is none");
	case -EAGAIN:
		return ctl_fail(client, "busy", "try again in a few seconds", "the collector has too much to write");
	case -ENOSPC:
		return ctl_fail(client, "failed", "make room on the collector's file system, or raise [store] size",
				"the collector's store is full");
	case -EDQUOT:
		return ctl_fail(client, "failed", "see `jaga jobs`, `jaga devices`", "there are too many of these already");
	default:
		return ctl_fail(client, "failed", "see the collector's log", "%s", strerror(-error));
	}
}
