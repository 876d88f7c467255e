/*
 * ctl: the control socket's server: connections, their bounded input and output, and the turns of
 * the operations (ctl_internal.h). Rows are made only while the client reads: the write watcher runs
 * while there is output or more to make, and each wake-up makes at most one step. Called by
 * collector.c; local clients only, but each is treated as slow, broken or hostile.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"

struct ctl {
	struct ev_loop *loop;
	struct collector *collector;
	char path[LIMIT_PATH];
	int fd;
	ev_io accept;
	ev_timer accept_retry;
	struct log_limit accept_failures;
	struct ctl_client *clients;
	unsigned n_clients, n_waiting;
	uint64_t last_serial;
};

static const struct ctl_operation *const operations[CTL_N_OPS] = {
	[CTL_DEVICES] = &ctl_devices,
	[CTL_SHOW] = &ctl_show,
	[CTL_EVENTS] = &ctl_events,
	[CTL_SNAPSHOTS] = &ctl_snapshots,
	[CTL_CAT] = &ctl_cat,
	[CTL_SNAPSHOT_TAKE] = &ctl_snapshot_take,
	[CTL_PUSH] = &ctl_push,
	[CTL_JOBS] = &ctl_jobs,
	[CTL_JOB] = &ctl_job,
	[CTL_STATUS] = &ctl_status,
	[CTL_ENROLL] = &ctl_enroll,
	[CTL_REMOVE] = &ctl_remove,
	[CTL_DOCTOR] = &ctl_doctor,
};

static void take_next(struct ctl_client *client, enum ctl_next next);

/* --- clients ---------------------------------------------------------------------------------- */

static void drop(struct ctl_client *client)
{
	struct ctl *ctl = client->ctl;
	struct ctl_client **at = &ctl->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	ctl->n_clients--;
	if (client->is_waiting)
		ctl->n_waiting--;
	if (ctl->fd >= 0)
		ev_io_start(ctl->loop, &ctl->accept);
	ev_io_stop(ctl->loop, &client->read);
	ev_io_stop(ctl->loop, &client->write);
	ev_timer_stop(ctl->loop, &client->stall);
	ev_timer_stop(ctl->loop, &client->answer);
	close(client->fd);
	ctl_ask_leave(client);
	ctl_request_finish(&client->request);
	free(client->cursor.ids);
	free(client->cursor.asked);
	if (client->out)
		explicit_bzero(client->out, client->out_size); /* an enrolment holds a key */
	free(client->in);
	free(client->out);
	free(client);
}

struct ctl_client *ctl_find_client(struct ctl *ctl, uint64_t serial)
{
	for (struct ctl_client *client = ctl->clients; client; client = client->next)
		if (client->serial == serial)
			return client;
	return NULL;
}

static void set_waiting(struct ctl_client *client, bool is_waiting)
{
	if (client->is_waiting == is_waiting)
		return;
	client->is_waiting = is_waiting;
	client->ctl->n_waiting += is_waiting ? 1 : -1u;
}

static void set_timer(struct ctl_client *client, ev_timer *timer, int64_t ms)
{
	ev_timer_stop(client->ctl->loop, timer);
	ev_timer_set(timer, (double)ms / 1000.0, 0.0);
	ev_timer_start(client->ctl->loop, timer);
}

void ctl_limit_wait(struct ctl_client *client, int64_t ms)
{
	set_timer(client, &client->answer, ms);
}

static void on_answer_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct ctl_client *client = timer->data;

	(void)loop;
	(void)events;
	client->operation->late(client); /* also while it is not waiting: there is no second time */
	if (client->is_waiting)
		take_next(client, CTL_MORE);
}

/* It does not send its request, or it does not read its answer. */
static void on_stalled(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	drop(timer->data);
}

/* --- turns ------------------------------------------------------------------------------------- */

/* Sends what there is; false when the client was dropped. */
static bool flush(struct ctl_client *client)
{
	while (client->out_begin < client->out_end) {
		ssize_t n = send(client->fd, client->out + client->out_begin, client->out_end - client->out_begin,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			drop(client);
			return false;
		}
		client->out_begin += (size_t)n;
		set_timer(client, &client->stall, LIMIT_CTL_STALL_MS); /* it reads */
	}
	if (client->out_begin == client->out_end) {
		client->out_begin = client->out_end = 0;
		ev_timer_stop(client->ctl->loop, &client->stall);
	}
	return true;
}

static void take_next(struct ctl_client *client, enum ctl_next next)
{
	struct ev_loop *loop = client->ctl->loop;
	json_t *done;

	set_waiting(client, next == CTL_WAIT);
	if (next == CTL_DONE) {
		done = json_pack("{s:b}", "done", 1);
		(void)ctl_put_json(client, done); /* without memory the closed connection is the answer */
		json_decref(done);
	}
	if (next == CTL_DONE || next == CTL_FAILED)
		client->is_closing = true;
	if (client->out_begin != client->out_end && !ev_is_active(&client->stall))
		set_timer(client, &client->stall, LIMIT_CTL_STALL_MS);
	if (next == CTL_WAIT && client->out_begin == client->out_end)
		ev_io_stop(loop, &client->write);
	else
		ev_io_start(loop, &client->write);
}

void ctl_resume(struct ctl_client *client, enum ctl_next next)
{
	take_next(client, next);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct ctl_client *client = watcher->data;

	(void)events;
	if (!flush(client))
		return;
	if (client->is_closing) {
		if (client->out_begin == client->out_end)
			drop(client);
		return;
	}
	if (client->is_waiting) {
		if (client->out_begin == client->out_end)
			ev_io_stop(loop, &client->write);
		return;
	}
	if (!ctl_is_behind(client))
		take_next(client, client->operation->step(client));
}

/* --- input ------------------------------------------------------------------------------------ */

static void run_request(struct ctl_client *client, size_t length)
{
	struct err err = { "" };

	ev_timer_stop(client->ctl->loop, &client->stall);
	if (ctl_request_parse(client->in, length, &client->request, &err) < 0) {
		take_next(client, ctl_fail(client, "bad-request", "see the operations in jaga-collector(8)", "%s", err.text));
		return;
	}
	client->operation = operations[client->request.op];
	take_next(client, client->operation->begin(client));
}

static int grow_input(struct ctl_client *client)
{
	size_t size = client->in_size ? client->in_size * 2 : 4096;
	char *in;

	if (client->in_length < client->in_size)
		return 0;
	if (size > LIMIT_CTL_REQUEST)
		return -EMSGSIZE;
	in = realloc(client->in, size);
	if (!in)
		return -ENOMEM;
	client->in = in;
	client->in_size = size;
	return 0;
}

/* Both directions are closed, not only the one in which the request came. */
static bool has_hung_up(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLHUP);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct ctl_client *client = watcher->data;
	char ignored[256];
	char *newline;
	ssize_t n;

	(void)events;
	if (client->operation || client->is_closing) {
		/* After its line a client has nothing to say, but it may leave. */
		n = recv(client->fd, ignored, sizeof(ignored), 0);
		if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
			return;
		ev_io_stop(loop, &client->read);
		if (n < 0 || client->request.follow || has_hung_up(client->fd))
			drop(client);
		return;
	}
	if (grow_input(client) < 0) {
		take_next(client, ctl_fail(client, "bad-request", "", "a request is one line of at most %d bytes",
					   LIMIT_CTL_REQUEST));
		return;
	}
	n = recv(client->fd, client->in + client->in_length, client->in_size - client->in_length, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(client);
		return;
	}
	newline = memchr(client->in + client->in_length, '\n', (size_t)n);
	client->in_length += (size_t)n;
	if (newline)
		run_request(client, (size_t)(newline - client->in));
}

static unsigned read_uid(int fd)
{
	struct ucred credentials = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(credentials);

	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length); /* then the log says 4294967295 */
	return credentials.uid;
}

static void on_accept_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct ctl *ctl = timer->data;

	(void)events;
	ev_io_start(loop, &ctl->accept);
}

/* Who cannot be let in waits in the listen queue, which would wake us without end: until a client leaves, or a while. */
static void pause_accepting(struct ctl *ctl, int error)
{
	unsigned suppressed;

	ev_io_stop(ctl->loop, &ctl->accept);
	ev_timer_stop(ctl->loop, &ctl->accept_retry);
	ev_timer_set(&ctl->accept_retry, LIMIT_ACCEPT_MS / 1000.0, 0.0);
	ev_timer_start(ctl->loop, &ctl->accept_retry);
	if (log_limit_allows(&ctl->accept_failures, clock_mono_ms(), &suppressed))
		log_warning("ctl", "a client has to wait: %s clients=%u more=%u", strerror(error), ctl->n_clients, suppressed);
}

static void on_accept(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct ctl *ctl = watcher->data;
	struct ctl_client *client;
	int fd;

	(void)events;
	if (ctl->n_clients == LIMIT_CTL_CLIENTS) {
		ev_io_stop(loop, &ctl->accept); /* the others wait in the listen queue until somebody leaves */
		return;
	}
	fd = accept4(ctl->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(ctl, errno);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (!client) {
		close(fd);
		return;
	}
	client->ctl = ctl;
	client->collector = ctl->collector;
	client->serial = ++ctl->last_serial;
	client->fd = fd;
	client->uid = read_uid(fd);
	client->next = ctl->clients;
	ctl->clients = client;
	ev_io_init(&client->read, on_readable, fd, EV_READ);
	ev_io_init(&client->write, on_writable, fd, EV_WRITE);
	ev_timer_init(&client->stall, on_stalled, 0.0, 0.0);
	ev_timer_init(&client->answer, on_answer_late, 0.0, 0.0);
	client->read.data = client->write.data = client->stall.data = client->answer.data = client;
	ev_io_start(loop, &client->read);
	set_timer(client, &client->stall, LIMIT_CTL_REQUEST_MS);
	ctl->n_clients++;
}

/* --- changes ---------------------------------------------------------------------------------- */

void ctl_notify(struct ctl *ctl, enum port_change what, uint64_t subject)
{
	if (ctl->n_waiting == 0)
		return;
	for (struct ctl_client *client = ctl->clients; client; client = client->next) {
		if (client->is_waiting && client->operation->wants && client->operation->wants(client, what, subject)) {
			set_waiting(client, false);
			ev_io_start(ctl->loop, &client->write);
		}
	}
}

/* --- start and stop --------------------------------------------------------------------------- */

/* A socket file that nobody answers at is a leftover of a crash; one that answers is another collector. */
static int bind_socket(int fd, const struct sockaddr_un *address, struct err *err)
{
	if (file_socket_answers(address->sun_path))
		return err_set(err, -EBUSY, "another process answers at %s; stop it first, or give this collector another "
			       "socket in [control]", address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "cannot remove the old %s", address->sun_path);
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return err_sys(err, -errno, "cannot bind %s", address->sun_path);
	return 0;
}

static int set_access(const char *path, const char *group, struct err *err)
{
	const struct group *entry;

	if (group[0] != '\0') {
		errno = 0;
		entry = getgrnam(group);
		if (!entry)
			return err_set(err, -ENOENT, "[control] group: there is no group %s; make it with `addgroup --system %s`",
				       group, group);
		if (chown(path, (uid_t)-1, entry->gr_gid) < 0)
			return err_sys(err, -errno, "cannot give %s to group %s", path, group);
	}
	return chmod(path, 0660) < 0 ? err_sys(err, -errno, "cannot set the mode of %s", path) : 0;
}

static void make_parent(const char *path)
{
	char parent[LIMIT_PATH];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = '\0';
		/* The group must be able to enter. When this fails bind says why, with the path. */
		if (mkdir(parent, 0755) == 0)
			(void)chmod(parent, 0755);
	}
}

int ctl_create(struct ev_loop *loop, struct collector *collector, const char *path, struct ctl **ret_ctl,
	       struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	if (!ctl)
		return err_sys(err, -ENOMEM, "control socket");
	ctl->loop = loop;
	ctl->collector = collector;
	ctl->accept_failures.burst = 1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ctl->fd < 0) {
		r = err_sys(err, -errno, "control socket");
		goto out;
	}
	make_parent(path);
	r = bind_socket(ctl->fd, &address, err);
	if (r < 0)
		goto out;
	snprintf(ctl->path, sizeof(ctl->path), "%s", path); /* from here on it is ours to remove */
	r = set_access(path, collector->config->socket_group, err);
	if (r < 0)
		goto out;
	if (listen(ctl->fd, LIMIT_CTL_CLIENTS) < 0) {
		r = err_sys(err, -errno, "cannot listen at %s", path);
		goto out;
	}
	ev_io_init(&ctl->accept, on_accept, ctl->fd, EV_READ);
	ev_timer_init(&ctl->accept_retry, on_accept_retry, 0.0, 0.0);
	ctl->accept.data = ctl->accept_retry.data = ctl;
	ev_io_start(loop, &ctl->accept);
	*ret_ctl = ctl;
	ctl = NULL;
out:
	ctl_destroy(ctl);
	return r;
}

void ctl_destroy(struct ctl *ctl)
{
	if (!ctl)
		return;
	if (ctl->accept.data) {
		ev_io_stop(ctl->loop, &ctl->accept);
		ev_timer_stop(ctl->loop, &ctl->accept_retry);
	}
	if (ctl->fd >= 0)
		close(ctl->fd);
	ctl->fd = -1;
	while (ctl->clients)
		drop(ctl->clients);
	if (ctl->path[0] != '\0' && unlink(ctl->path) < 0)
		log_debug("ctl", "socket file is gone already path=%s", ctl->path);
	free(ctl);
}
