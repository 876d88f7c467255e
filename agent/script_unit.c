/*
 * script_unit: see script_unit.h; the agent's side. script_serve.c is the other one.
 *
 *   script_unit_start: connect, send ── readable ──▶ answer ──▶ on_done
 *                                    ├─ hung up ───▶ "nobody knows how it ended" (is_interrupted)
 *                                    └─ deadline ──▶ the same
 *
 * Nothing blocks: a request is one small datagram, the text travels as a descriptor. Called by
 * router/linux_script.c.
 */
#include "agent/script_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"

struct script_unit {
	struct ev_loop *loop;
	int fd;
	ev_io readable;
	ev_timer deadline;
	router_script_fn *on_done;
	void *arg;
	int64_t began_ms;
	struct script_unit_answer answer;
	char output[LIMIT_OUTPUT_BYTES];
};

static void destroy(struct script_unit *unit)
{
	ev_io_stop(unit->loop, &unit->readable);
	ev_timer_stop(unit->loop, &unit->deadline);
	close(unit->fd);
	free(unit);
}

static void finish(struct script_unit *unit, const struct router_script_result *result)
{
	unit->on_done(unit->arg, result);
	destroy(unit);
}

static void finish_unknown(struct script_unit *unit, const char *reason)
{
	finish(unit, &(struct router_script_result){ .exit_status = -1,
						     .output = unit->output,
						     .duration_ms = clock_mono_ms() - unit->began_ms,
						     .is_interrupted = true,
						     .reason = reason });
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct script_unit *unit = watcher->data;
	struct script_unit_answer *answer = &unit->answer;
	struct iovec parts[2] = { { answer, sizeof(*answer) }, { unit->output, sizeof(unit->output) } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t n = recvmsg(unit->fd, &message, MSG_DONTWAIT);

	(void)loop;
	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish_unknown(unit, "the script's unit ended without a result; the script may be half done");
		return;
	}
	if ((size_t)n < sizeof(*answer) || (message.msg_flags & MSG_TRUNC) || answer->version != SCRIPT_UNIT_VERSION) {
		finish_unknown(unit, "the script's unit is of another version than the agent; restart the agent");
		return;
	}
	answer->reason[sizeof(answer->reason) - 1] = '\0';
	finish(unit, &(struct router_script_result){ .exit_status = answer->exit_status,
						     .output = unit->output,
						     .output_length = (size_t)n - sizeof(*answer),
						     .output_truncated = answer->output_truncated,
						     .duration_ms = answer->duration_ms,
						     .is_interrupted = answer->is_interrupted,
						     .reason = answer->reason });
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	finish_unknown(timer->data, "the script's unit did not answer in time; the script may still run");
}

static int connect_to(int fd, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s is longer than a socket's path may be", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(err, -errno, "not run: no unit for scripts (systemctl start jaga-script.socket): %s", path);
	return 0;
}

static int send_request(int fd, const struct script_spec *spec, struct err *err)
{
	struct script_unit_request request;
	struct iovec part = { &request, sizeof(request) };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	memset(&request, 0, sizeof(request));
	request.version = SCRIPT_UNIT_VERSION;
	request.timeout_ms = spec->timeout_ms;
	snprintf(request.job_id, sizeof(request.job_id), "%s", spec->job_id);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &spec->text_fd, sizeof(int));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		return err_sys(err, -errno, "not run: the unit for scripts takes nothing");
	return 0;
}

int script_unit_start(struct ev_loop *loop, const char *socket_path, const struct script_spec *spec,
		      router_script_fn *on_done, void *arg, struct script_unit **ret_unit, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
	struct script_unit *unit = NULL;

	if (fd < 0)
		return err_sys(err, -errno, "socket");
	unit = calloc(1, sizeof(*unit));
	r = unit ? 0 : err_set(err, -ENOMEM, "no memory for the output");
	if (r == 0)
		r = connect_to(fd, socket_path, err);
	if (r == 0)
		r = send_request(fd, spec, err);
	if (r < 0) {
		free(unit);
		close(fd);
		return r;
	}
	unit->loop = loop;
	unit->fd = fd;
	unit->on_done = on_done;
	unit->arg = arg;
	unit->began_ms = clock_mono_ms();
	ev_io_init(&unit->readable, on_readable, fd, EV_READ);
	unit->readable.data = unit;
	ev_io_start(loop, &unit->readable);
	ev_timer_init(&unit->deadline, on_deadline, (ev_tstamp)(spec->timeout_ms + LIMIT_SCRIPT_ANSWER_MS) / 1000, 0);
	unit->deadline.data = unit;
	ev_timer_start(loop, &unit->deadline);
	*ret_unit = unit;
	return 0;
}

void script_unit_abandon(struct script_unit *unit)
{
	if (unit)
		destroy(unit);
}
