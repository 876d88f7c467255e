/*
 * client: see client.h.
 *
 * One connection, one request, then lines of JSON until one says done or error. The answer is cut
 * into lines in a buffer that grows up to LIMIT_CLI_ANSWER_LINE, so that nothing on the other end
 * of the socket can use up the memory of the technician's machine.
 *
 *   connect -> send request -> { receive -> line -> row }* -> done | error | gone | silent
 */
#include "collector/cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "collector/cli/row.h"
#include "common/limits.h"

#define READ_BYTES 65536

struct client {
	int fd;
	char *data; /* data[from..to) is received and not yet read */
	size_t from, to, size;
	const char *socket_path;
	struct failure *failure;
};

static int unreachable(struct client *client, const char *why)
{
	int r = failure_set(client->failure, -ECONNREFUSED, NULL, "the collector is not reachable: %s", why);

	failure_set_next(client->failure,
			 "is jaga-collector running? systemctl status jaga-collector; socket %s (another: --socket PATH)",
			 client->socket_path);
	return r;
}

static int client_connect(struct client *client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(client->socket_path);

	if (length >= sizeof(address.sun_path))
		return failure_set(client->failure, -EINVAL, "name the socket by a shorter path",
				   "the socket path is longer than %zu bytes", sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, client->socket_path, length);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return failure_set(client->failure, -errno, NULL, "no socket: %s", strerror(errno));
	if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	if (errno == EACCES) {
		int r = failure_set(client->failure, -ECONNREFUSED, NULL, "the collector is not reachable: %s",
				    strerror(errno));

		failure_set_next(client->failure, "run it as root, or join the group that owns %s (ls -l shows it)",
				 client->socket_path);
		return r;
	}
	return unreachable(client, strerror(errno));
}

static int client_send(struct client *client, const json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	size_t length, at = 0;

	if (!line)
		return failure_set(client->failure, -EINVAL, NULL, "the request cannot be written as JSON");
	length = strlen(line);
	line[length++] = '\n'; /* in place of the NUL */
	while (at < length) {
		ssize_t n = send(client->fd, line + at, length - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* refused early: the reason stands in the answer */
		at += (size_t)n;
	}
	free(line);
	return 0;
}

/* Waits for more bytes; 0, -ETIMEDOUT, or -ECONNREFUSED when the collector has gone. */
static int client_receive(struct client *client, int silence_ms)
{
	struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
	ssize_t n;
	int r;

	if (client->from > 0) {
		memmove(client->data, client->data + client->from, client->to - client->from);
		client->to -= client->from;
		client->from = 0;
	}
	if (client->size - client->to < READ_BYTES) {
		char *grown;

		if (client->size >= LIMIT_CLI_ANSWER_LINE)
			return failure_set(client->failure, -EPROTO, NULL, "the collector's answer has a line over %d bytes",
					   LIMIT_CLI_ANSWER_LINE);
		grown = realloc(client->data, client->size * 2 + READ_BYTES);
		if (!grown)
			return failure_set(client->failure, -ENOMEM, NULL, "out of memory");
		client->data = grown;
		client->size = client->size * 2 + READ_BYTES;
	}
	do
		r = poll(&poll_fd, 1, silence_ms);
	while (r < 0 && errno == EINTR);
	if (r == 0) {
		r = failure_set(client->failure, -ETIMEDOUT, NULL, "no answer from the collector within %d s",
				silence_ms / 1000);
		failure_set_next(client->failure, "what does it say? journalctl -u jaga-collector -n 20");
		return r;
	}
	n = recv(client->fd, client->data + client->to, client->size - client->to, 0);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return unreachable(client, n == 0 ? "it closed the connection in the middle of an answer" : strerror(errno));
	client->to += (size_t)n;
	return 0;
}

/* *ret_line is one whole line without its end, inside the buffer. */
static int client_read_line(struct client *client, int silence_ms, const char **ret_line, size_t *ret_length)
{
	size_t searched = 0;

	for (;;) {
		size_t have = client->to - client->from;
		const char *line = client->data + client->from;
		const char *end = have > searched ? memchr(line + searched, '\n', have - searched) : NULL;
		int r;

		if (end) {
			*ret_line = line;
			*ret_length = (size_t)(end - line);
			client->from += *ret_length + 1;
			return 0;
		}
		searched = have;
		r = client_receive(client, silence_ms);
		if (r < 0)
			return r;
	}
}

static int collectors_error(struct client *client, const json_t *answer)
{
	static const struct {
		const char *code;
		int error;
	} codes[] = {
		{ "not-found", -ENOENT }, { "bad-request", -EINVAL }, { "busy", -EBUSY }, { "exists", -EEXIST },
	};
	const char *code = row_text_or(answer, "code", "");
	int error = -EIO;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(code, codes[i].code) == 0)
			error = codes[i].error;
	return failure_set(client->failure, error, row_text(answer, "hint"), "%s", row_text_or(answer, "error", "it failed"));
}

static int client_read_rows(struct client *client, int silence_ms, client_row_fn on_row, void *arg)
{
	for (;;) {
		const char *line = NULL;
		json_t *answer;
		size_t length;
		int r;

		r = client_read_line(client, silence_ms, &line, &length);
		if (r < 0)
			return r;
		answer = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
		if (!json_is_object(answer))
			r = failure_set(client->failure, -EPROTO, "is --socket the collector's control socket?",
					"the collector's answer makes no sense");
		else if (row_is_true(answer, "done"))
			r = CLIENT_STOP;
		else if (row_text(answer, "error"))
			r = collectors_error(client, answer);
		else
			r = on_row(arg, answer);
		json_decref(answer);
		if (r != 0)
			return r == CLIENT_STOP ? 0 : r;
	}
}

int client_call(const char *socket_path, const json_t *request, int silence_ms, client_row_fn on_row, void *arg,
		struct failure *ret_failure)
{
	struct client client = { .fd = -1, .socket_path = socket_path, .failure = ret_failure };
	int r;

	r = client_connect(&client);
	if (r == 0)
		r = client_send(&client, request);
	if (r == 0)
		r = client_read_rows(&client, silence_ms, on_row, arg);
	if (client.fd >= 0)
		(void)close(client.fd); /* nothing buffered: cannot lose anything */
	if (client.data)
		explicit_bzero(client.data, client.size); /* an answer to "enroll" holds a key */
	free(client.data);
	return r;
}

static int append_row(void *arg, json_t *row)
{
	return json_array_append(arg, row) < 0 ? -ENOMEM : 0;
}

int client_call_all(const char *socket_path, const json_t *request, int silence_ms, json_t **ret_rows,
		    struct failure *ret_failure)
{
	json_t *rows = json_array();
	int r;

	if (!rows)
		return failure_set(ret_failure, -ENOMEM, NULL, "out of memory");
	r = client_call(socket_path, request, silence_ms, append_row, rows, ret_failure);
	if (r < 0) {
		json_decref(rows);
		return r;
	}
	*ret_rows = rows;
	return 0;
}

int client_call_one(const char *socket_path, const json_t *request, int silence_ms, json_t **ret_row,
		    struct failure *ret_failure)
{
	json_t *rows = NULL;
	int r;

	r = client_call_all(socket_path, request, silence_ms, &rows, ret_failure);
	if (r < 0)
		return r;
	if (json_array_size(rows) == 1)
		*ret_row = json_incref(json_array_get(rows, 0));
	else
		r = failure_set(ret_failure, -EPROTO, "do `jaga` and jaga-collector have the same version? --version tells",
				"the collector sent %zu rows where one was due", json_array_size(rows));
	json_decref(rows);
	return r;
}
