/*
 * nl_socket: see nl_socket.h. A request is one send() and as many recv() as it takes to see its end:
 * the acknowledgement of its last message, or NLMSG_DONE of a dump. Answers to older sequence numbers
 * (of an exchange that was given up) are skipped. A receive time-out guards against a kernel that
 * never answers; it is never reached in practice.
 *
 * Refusals of a batch: the kernel reports every message that it refuses and acknowledges the last one
 * nevertheless, in one go, so the socket is drained and the first refusal counts.
 *
 * Callers: linux_*.c, on the loop thread.
 */
#include "agent/router/nl_socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/limits.h"

int nl_socket_open(struct nl_socket *sock, int protocol, uint8_t *receive, struct err *err)
{
	struct timeval guard = {.tv_sec = LIMIT_NETLINK_ANSWER_MS / 1000};
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int on = 1;
	int fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return err_sys(err, -errno, "cannot open a netlink socket (protocol %d)", protocol);
	/* Older kernels lack these options: explanations and filtered dumps are then missing, nothing else. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof(guard)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = -errno;

		close(fd);
		return err_sys(err, error, "cannot set up a netlink socket (protocol %d)", protocol);
	}
	*sock = (struct nl_socket){.fd = fd, .receive = receive};
	return 0;
}

void nl_socket_close(struct nl_socket *sock)
{
	if (sock->fd >= 0)
		close(sock->fd);
	sock->fd = -1;
}

uint32_t nl_socket_next(struct nl_socket *sock)
{
	return ++sock->sequence;
}

/* One datagram into sock->receive. Returns its length, -EAGAIN (with MSG_DONTWAIT: nothing there) or the error. */
static int receive(struct nl_socket *sock, int flags, size_t *ret_length)
{
	struct sockaddr_nl from = {0};
	socklen_t from_length;
	ssize_t n;

	do {
		from_length = sizeof(from);
		n = recvfrom(sock->fd, sock->receive, LIMIT_NETLINK_RECEIVE_BYTES, flags | MSG_TRUNC,
			     (struct sockaddr *)&from, &from_length);
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0)); /* only the kernel counts */
	if (n < 0)
		return errno == EAGAIN && !(flags & MSG_DONTWAIT) ? -ETIMEDOUT : -errno;
	if ((size_t)n > LIMIT_NETLINK_RECEIVE_BYTES)
		return -EMSGSIZE;
	*ret_length = (size_t)n;
	return 0;
}

static int send_request(struct nl_socket *sock, const struct nl_writer *request)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;

	if (request->failed)
		return -ENOBUFS;
	do {
		n = sendto(sock->fd, request->data, request->length, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

struct exchange {
	uint32_t first, last;
	bool is_done;
	bool is_interrupted;
	int error;
	struct nl_refusal refusal;
	nl_message_fn *on_message;
	void *arg;
};

static int take_message(struct exchange *exchange, const struct nl_message *message)
{
	struct nl_result result;
	int ret;

	if (message->sequence - exchange->first > exchange->last - exchange->first)
		return 0;
	if (message->flags & NLM_F_DUMP_INTR)
		exchange->is_interrupted = true;
	if (message->type != NLMSG_ERROR && message->type != NLMSG_DONE)
		return exchange->on_message ? exchange->on_message(exchange->arg, message) : 0;

	ret = nl_read_result(message, &result);
	if (ret < 0)
		return ret;
	if (result.error < 0 && exchange->error == 0) {
		exchange->error = result.error;
		exchange->refusal = (struct nl_refusal){.sequence = message->sequence, .result = result};
	}
	/* One refusal is the end of all: a refused commit bears the batch's first number, and the last may stay mute. */
	if (message->sequence == exchange->last || result.error < 0)
		exchange->is_done = true;
	return 0;
}

static int take_datagram(struct nl_socket *sock, struct exchange *exchange, int flags)
{
	struct nl_message message;
	struct nl_reader reader;
	size_t length = 0;
	int ret;

	ret = receive(sock, flags, &length);
	if (ret < 0)
		return ret;
	nl_reader_init(&reader, sock->receive, length);
	while (nl_next_message(&reader, &message)) {
		ret = take_message(exchange, &message);
		if (ret < 0)
			return ret;
	}
	return reader.failed ? -EBADMSG : 0;
}

static int run_exchange(struct nl_socket *sock, const struct nl_writer *request, struct exchange *exchange)
{
	int ret = send_request(sock, request);

	while (ret == 0 && !exchange->is_done)
		ret = take_datagram(sock, exchange, 0);
	return ret;
}

int nl_socket_request(struct nl_socket *sock, const struct nl_writer *request, uint32_t first, uint32_t last,
		      struct nl_refusal *ret_refusal, nl_message_fn *on_message, void *arg)
{
	struct exchange exchange = {.first = first, .last = last, .on_message = on_message, .arg = arg};
	int ret = run_exchange(sock, request, &exchange);

	/* What belongs to this exchange is queued already; the rest of a refused batch must not meet the next. */
	while (ret == 0 && first != last)
		ret = take_datagram(sock, &exchange, MSG_DONTWAIT);
	if (ret == -EAGAIN)
		ret = 0;
	if (ret < 0)
		return ret;
	if (exchange.error < 0 && ret_refusal)
		*ret_refusal = exchange.refusal;
	return exchange.error;
}

int nl_socket_dump(struct nl_socket *sock, const struct nl_writer *request, uint32_t sequence,
		   nl_message_fn *on_message, void *arg)
{
	struct exchange exchange = {.first = sequence, .last = sequence, .on_message = on_message, .arg = arg};
	int ret = run_exchange(sock, request, &exchange);

	if (ret < 0)
		return ret;
	if (exchange.error < 0)
		return exchange.error;
	return exchange.is_interrupted ? -EAGAIN : 0;
}
