/*
 * local: see local.h. Server of the local socket; local_client.c is its other side.
 *
 *   free -> asking -> (answered) -> free
 *               `---> waiting (for a snapshot) -> free
 *
 * The handler is agent/commands.c.
 */
#include "agent/local.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/system.h"
#include "common/clock.h"
#include "common/file.h"

int local_parse(char *line, struct local_request *ret_request)
{
	struct local_request request = { .n_words = 0 };
	char *format, *rest = line, *word;

	for (const char *at = line; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			return -EINVAL;
	format = strsep(&rest, " ");
	if (table_format_parse(format, &request.format) < 0)
		return -EINVAL;
	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0' || request.n_words == LOCAL_WORDS)
			return -EINVAL;
		request.words[request.n_words++] = word;
	}
	if (request.n_words == 0)
		return -EINVAL;
	*ret_request = request;
	return 0;
}

static void close_client(struct local_client *client)
{
	struct local *local = client->local;

	ev_io_stop(local->loop, &client->io);
	ev_timer_stop(local->loop, &client->deadline);
	close(client->fd);
	client->fd = -1;
	if (local->fd >= 0)
		ev_io_start(local->loop, &local->io); /* there is room for the next */
}

void local_answer(struct local_client *client, enum local_exit exit_status, const char *text, size_t length)
{
	char head[8];
	struct iovec parts[2] = { { head, (size_t)snprintf(head, sizeof(head), "%d\n", (int)exit_status) },
				  { (void *)text, length } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	if (sendmsg(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EPIPE)
		log_debug("local", "answer not delivered error=%s", strerror(errno));
	close_client(client);
}

void local_wait(struct local_client *client, int64_t timeout_ms)
{
	client->is_waiting = true;
	ev_timer_stop(client->local->loop, &client->deadline);
	ev_timer_set(&client->deadline, (ev_tstamp)timeout_ms / 1000, 0);
	ev_timer_start(client->local->loop, &client->deadline);
}

void local_answer_waiting(struct local *local, enum local_exit exit_status, const char *text, size_t length)
{
	for (unsigned i = 0; i < LIMIT_LOCAL_CLIENTS; i++)
		if (local->clients[i].fd >= 0 && local->clients[i].is_waiting)
			local_answer(&local->clients[i], exit_status, text, length);
}

static void handle(struct local_client *client)
{
	static const char malformed[] = "the request is not understood; client and agent may differ in version\n";
	struct local *local = client->local;
	struct local_request request;

	if (local_parse(client->request, &request) < 0) {
		local_answer(client, EXIT_USAGE, malformed, sizeof(malformed) - 1);
		return;
	}
	buf_clear(&local->answer);
	local->handler(local->arg, client, &request, &local->answer);
}

static void on_client(struct ev_loop *loop, ev_io *io, int revents)
{
	struct local_client *client = io->data;
	ssize_t n = read(client->fd, client->request + client->length, sizeof(client->request) - 1 - client->length);
	char *end;

	(void)loop;
	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || client->is_waiting) { /* gone, full, or talking out of turn */
		close_client(client);
		return;
	}
	client->length += (size_t)n;
	client->request[client->length] = '\0';
	end = memchr(client->request, '\n', client->length);
	if (!end)
		return;
	*end = '\0';
	if (end + 1 != client->request + client->length) {
		close_client(client); /* more than one line */
		return;
	}
	handle(client);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	close_client(timer->data);
}

static void on_accept_retry(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct local *local = timer->data;

	(void)revents;
	ev_io_start(loop, &local->io);
}

/* Who cannot be let in waits in the listen queue, which would wake us without end: until a client leaves, or a while. */
static void pause_accepting(struct local *local, int error)
{
	unsigned suppressed;

	ev_io_stop(local->loop, &local->io);
	ev_timer_stop(local->loop, &local->accept_retry);
	ev_timer_set(&local->accept_retry, LIMIT_ACCEPT_MS / 1000.0, 0.0);
	ev_timer_start(local->loop, &local->accept_retry);
	if (log_limit_allows(&local->accept_failures, clock_mono_ms(), &suppressed))
		log_warning("local", "a client has to wait: %s more=%u", strerror(error), suppressed);
}

static void on_connection(struct ev_loop *loop, ev_io *io, int revents)
{
	struct local *local = io->data;
	struct local_client *client = NULL;
	int fd, size = 2 * LIMIT_LOCAL_ANSWER_BYTES;

	(void)revents;
	for (unsigned i = 0; i < LIMIT_LOCAL_CLIENTS; i++)
		if (local->clients[i].fd < 0)
			client = &local->clients[i];
	if (!client) {
		ev_io_stop(loop, io);
		return;
	}
	fd = accept4(local->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(local, errno);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* else the default, which is larger */
	client->fd = fd;
	client->length = 0;
	client->is_waiting = false;
	ev_io_set(&client->io, fd, EV_READ);
	ev_io_start(loop, &client->io);
	ev_timer_set(&client->deadline, (ev_tstamp)LIMIT_LOCAL_MS / 1000, 0);
	ev_timer_start(loop, &client->deadline);
}

static int bind_socket(int fd, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[LIMIT_PATH];
	char *slash;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s is longer than a socket's path may be", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		r = system_make_dir(dir, err);
		if (r < 0)
			return r;
	}
	if (file_socket_answers(path))
		return err_set(err, -EADDRINUSE, "another process answers at %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "%s is in the way", path);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, LIMIT_LOCAL_CLIENTS) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "socket %s", path) : 0;
}

int local_open(struct local *local, struct ev_loop *loop, const char *path, local_handler_fn *handler, void *arg,
	       struct err *err)
{
	int r;

	local->loop = loop;
	local->accept_failures.burst = 1;
	local->handler = handler;
	local->arg = arg;
	buf_init(&local->answer, local->answer_memory, sizeof(local->answer_memory));
	snprintf(local->path, sizeof(local->path), "%s", path);
	for (unsigned i = 0; i < LIMIT_LOCAL_CLIENTS; i++) {
		struct local_client *client = &local->clients[i];

		client->local = local;
		client->fd = -1;
		ev_init(&client->io, on_client);
		client->io.data = client;
		ev_init(&client->deadline, on_deadline);
		client->deadline.data = client;
	}
	local->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (local->fd < 0)
		return err_sys(err, -errno, "socket");
	r = bind_socket(local->fd, path, err);
	if (r < 0) {
		close(local->fd);
		local->fd = -1;
		return r;
	}
	ev_io_init(&local->io, on_connection, local->fd, EV_READ);
	ev_timer_init(&local->accept_retry, on_accept_retry, 0.0, 0.0);
	local->io.data = local->accept_retry.data = local;
	ev_io_start(loop, &local->io);
	return 0;
}

void local_close(struct local *local)
{
	if (!local->loop || local->fd < 0)
		return;
	ev_io_stop(local->loop, &local->io);
	ev_timer_stop(local->loop, &local->accept_retry);
	close(local->fd);
	local->fd = -1;
	unlink(local->path); /* a path that is gone already is fine */
	for (unsigned i = 0; i < LIMIT_LOCAL_CLIENTS; i++)
		if (local->clients[i].fd >= 0)
			close_client(&local->clients[i]);
}
