/*
 * echod: the internet of the laboratory, as far as its clients can tell. It answers on every
 * address of its namespace, TCP and UDP, and says in each answer who it thinks is asking: the
 * source address after the router's NAT names the uplink that the traffic took.
 *
 *   echod PORT
 *
 * TCP: on accept one line "ADDRESS\n" (the peer as seen here), then everything comes back as sent.
 * UDP: the datagram comes back, from the address it was sent to, followed by the peer as 16 bytes
 * (IPv4 mapped into IPv6). Prints "ready" when both sockets are open and runs until a signal ends it.
 * Every socket is non-blocking and a peer that does not read loses its connection, so one slow
 * client cannot disturb what another one measures. Measuring tool of tests/lab; not in the product.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, DATAGRAM_BYTES = 2048, STREAM_BYTES = 16384, BACKLOG = 1024 };

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "echod: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* One IPv6 socket for both families: IPv4 comes in mapped. */
static int open_socket(int type, uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1, zero = 0;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
	    bind(fd, (struct sockaddr *)&any, sizeof any))
		die("bind");
	if (type == SOCK_STREAM && listen(fd, BACKLOG))
		die("listen");
	if (type == SOCK_DGRAM && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one))
		die("IPV6_RECVPKTINFO");
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void accept_peers(int epoll, int listener)
{
	struct sockaddr_in6 peer;
	socklen_t length = sizeof peer;
	char line[INET6_ADDRSTRLEN + 1];
	int fd, one = 1;

	while ((fd = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr))
			inet_ntop(AF_INET, &peer.sin6_addr.s6_addr[12], line, sizeof line);
		else
			inet_ntop(AF_INET6, &peer.sin6_addr, line, sizeof line);
		strcat(line, "\n");
		/* The client may have gone already: then there is nobody to tell. */
		if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
		    send(fd, line, strlen(line), MSG_NOSIGNAL) > 0)
			watch(epoll, fd);
		else
			close(fd);
		length = sizeof peer;
	}
}

static void echo_stream(int fd)
{
	char data[STREAM_BYTES];
	ssize_t n = recv(fd, data, sizeof data, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || send(fd, data, (size_t)n, MSG_NOSIGNAL) != n)
		close(fd);
}

static void echo_datagrams(int fd)
{
	for (;;) {
		uint8_t data[DATAGRAM_BYTES + 16];
		_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct sockaddr_in6 peer;
		struct iovec iov = {.iov_base = data, .iov_len = DATAGRAM_BYTES};
		struct msghdr msg = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &iov, .msg_iovlen = 1,
				     .msg_control = control, .msg_controllen = sizeof control};
		ssize_t n = recvmsg(fd, &msg, 0);

		if (n < 0)
			return;
		/* The same ancillary data makes it the source; index 0 leaves the way back to the routes. */
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
			if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
				memset(CMSG_DATA(c) + offsetof(struct in6_pktinfo, ipi6_ifindex), 0, sizeof(unsigned));
		memcpy(data + n, &peer.sin6_addr, 16);
		iov.iov_len = (size_t)n + 16;
		if (sendmsg(fd, &msg, 0) < 0 && errno != EAGAIN && errno != ENETUNREACH && errno != EHOSTUNREACH)
			fprintf(stderr, "echod: sendmsg: %s\n", strerror(errno));
	}
}

int main(int argc, char **argv)
{
	long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;

	if (port < 1 || port > 65535) {
		fprintf(stderr, "usage: echod PORT\n");
		return 2;
	}
	int listener = open_socket(SOCK_STREAM, (uint16_t)port);
	int datagrams = open_socket(SOCK_DGRAM, (uint16_t)port);
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0)
		die("epoll_create1");
	watch(epoll, listener);
	watch(epoll, datagrams);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == listener)
				accept_peers(epoll, fd);
			else if (fd == datagrams)
				echo_datagrams(fd);
			else
				echo_stream(fd);
		}
	}
}
