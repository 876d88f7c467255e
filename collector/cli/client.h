/*
 * client: one request to the collector over its control socket (collector/ctl.h), rows to a callback.
 */
#ifndef JAGA_COLLECTOR_CLI_CLIENT_H
#define JAGA_COLLECTOR_CLI_CLIENT_H

#include <jansson.h>

#include "collector/cli/failure.h"

#define CLIENT_DEFAULT_SOCKET "/run/jaga/collector.sock"
#define CLIENT_FOREVER (-1)
#define CLIENT_STOP 1

/* Gets each row, borrowed. Returns 0 to go on, CLIENT_STOP when it has seen enough, or a negative errno. */
typedef int (*client_row_fn)(void *arg, json_t *row);

/*
 * Sends request and calls on_row for every row of the answer. silence_ms: how long the collector may
 * say nothing before this gives up with -ETIMEDOUT, or CLIENT_FOREVER (follow).
 * Returns 0 after {"done":true} or CLIENT_STOP; else a negative errno with *ret_failure filled, apart
 * from errors of on_row, which fills its own: -ECONNREFUSED collector not reachable or gone, -ENOENT
 * -EINVAL -EBUSY -EEXIST -EIO as the collector's code says, -ETIMEDOUT, -EPROTO not a collector.
 */
int client_call(const char *socket_path, const json_t *request, int silence_ms, client_row_fn on_row, void *arg,
		struct failure *ret_failure);

/* The same for answers of exactly one row; *ret_row belongs to the caller (json_decref). */
int client_call_one(const char *socket_path, const json_t *request, int silence_ms, json_t **ret_row,
		    struct failure *ret_failure);

/* The same for all rows as one array. */
int client_call_all(const char *socket_path, const json_t *request, int silence_ms, json_t **ret_rows,
		    struct failure *ret_failure);

#endif
