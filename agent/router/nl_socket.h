/*
 * nl_socket: one netlink socket for requests. The kernel answers a request before send() returns
 * (a dump: as it is read), so calls do not wait for anything but the kernel.
 */
#ifndef JAGA_AGENT_ROUTER_NL_SOCKET_H
#define JAGA_AGENT_ROUTER_NL_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "agent/router/netlink.h"
#include "common/err.h"

struct nl_socket {
	int fd; /* -1: closed */
	uint32_t sequence;
	uint8_t *receive; /* LIMIT_NETLINK_RECEIVE_BYTES, the caller's; shared by sockets of one thread */
};

/* One message of an answer. A negative result ends the exchange and is passed on. */
typedef int nl_message_fn(void *arg, const struct nl_message *message);

/*
 * protocol: NETLINK_ROUTE, NETLINK_NETFILTER, ... The socket asks for extended acknowledgements and
 * strict checking of dump requests where the kernel knows them.
 */
int nl_socket_open(struct nl_socket *sock, int protocol, uint8_t *receive, struct err *err);
void nl_socket_close(struct nl_socket *sock); /* closed is fine */
/* Sequence numbers of requests are taken from here. */
uint32_t nl_socket_next(struct nl_socket *sock);

/* What an exchange was refused for, when the caller wants to explain it. */
struct nl_refusal {
	uint32_t sequence; /* of the refused message */
	struct nl_result result;
};

/*
 * Sends one message or a batch (sequence numbers first..last; the last one asks for an acknowledgement)
 * and reads until it is acknowledged. Returns 0 or the first error that the kernel gave; *ret_refusal
 * (may be NULL) is filled when the kernel refused.
 */
int nl_socket_request(struct nl_socket *sock, const struct nl_writer *request, uint32_t first, uint32_t last,
		      struct nl_refusal *ret_refusal, nl_message_fn *on_message, void *arg);

/*
 * A dump (the message has NLM_F_DUMP): on_message gets each part. Returns -EAGAIN when the kernel says
 * that things changed meanwhile: ask again.
 */
int nl_socket_dump(struct nl_socket *sock, const struct nl_writer *request, uint32_t sequence,
		   nl_message_fn *on_message, void *arg);

#endif
