/*
 * push: what `jaga push` to one device (cmd_push.c) and to all (push_all.c) share.
 */
#ifndef JAGA_COLLECTOR_CLI_PUSH_H
#define JAGA_COLLECTOR_CLI_PUSH_H

#include "collector/cli/command.h"

/* The file, or standard input when path is "-", without a byte order mark. *ret_script is a JSON string, the caller's. */
int push_read_script(const char *path, json_t **ret_script, struct failure *failure);

/* The request that queues the file for the device, with the command's options, but for the "script". */
int push_make_request(const struct invocation *invocation, const char *device, const char *path, json_t **ret_request,
		      struct failure *failure);

/*
 * To every device: the file at `path`, or of a directory to each the file that has its name. Prints a row for each; -EIO, told,
 * when one of them failed.
 */
int push_all(const struct invocation *invocation, const char *path, struct failure *failure);

#endif
