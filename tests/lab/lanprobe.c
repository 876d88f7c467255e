/*
 * lanprobe: what a user in the LAN sees of the internet, tick by tick.
 *
 *   lanprobe --via ADDRESS [--port N] [--measure N] [--control N] DESTINATION...
 *
 * It connects once to every destination's echod, which tells under which public address it was
 * seen. Up to --measure destinations seen as --via (the address of the uplink that will be cut) are
 * measured, up to --control others are watched the same way to show what the machine itself costs.
 * Then, every 10 ms, for each of them:
 *   connect  a new TCP connection (own socket, next source port, closed with RST once it stands)
 *   udp      one datagram of a flow that exists since the start (one socket, one port)
 *   tcp      16 bytes on a connection that exists since the start
 *
 * What counts. A connect tick succeeds when its handshake completes, a udp tick when its own echo
 * arrives, within 250 ms of its start; it counts at its start (gaps.h). 250 ms is below TCP's first
 * retransmission (1 s), so each tick stands or falls with the packets sent at its start: nothing
 * that was sent during an outage is saved by a retransmission after it, and nothing hangs. A gap
 * holds the 10 ms of a tick, and an outage that has not ended counts up to now. For tcp the gap is
 * the longest time without any echo arriving. silent_ms is how long ago the last tick started before
 * which nothing waits for its verdict: below 100 ms, all is well and the gaps are final. late_ms is
 * by how much the worst tick started late, a figure for the instrument. Clock: CLOCK_MONOTONIC.
 *
 * Commands on stdin: "reset" begins a new window, "report" prints it (key=value lines, then "end");
 * end of file ends the program. Tests, the demo and bench-failover drive it through tests/lab.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/lab/gaps.h"

enum {
	TICK_US = 10 * 1000,
	TIMEOUT_US = 250 * 1000,
	DISCOVERY_MS = 2000,
	PORT_FIRST = 10000, /* below the kernel's own choice, which starts at 32768 */
	PORTS = 22000,
	DESTINATIONS = 64,
	STREAMS = 3 * DESTINATIONS,
};

enum kind { CONNECT, UDP, TCP };
static const char *const kind_names[] = {"connect", "udp", "tcp"};

struct stream {
	enum kind kind;
	bool is_control;
	const struct sockaddr_in6 *destination;
	char name[INET6_ADDRSTRLEN];
	char seen_as[INET6_ADDRSTRLEN]; /* public address: at the start, UDP: in the newest echo */
	int fd;				/* UDP and TCP */
	bool is_broken;			/* TCP: reset or closed */
	struct gaps gaps;
	int connecting[GAPS_TICKS]; /* CONNECT: sockets of pending ticks, else -1 */
};

_Static_assert(TIMEOUT_US / TICK_US < GAPS_TICKS, "");

static struct {
	int epoll;
	struct sockaddr_in6 destinations[DESTINATIONS];
	struct stream streams[STREAMS];
	unsigned n_streams;
	uint32_t first_port;
	int64_t late_us;
} probe;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "lanprobe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void name_address(const struct in6_addr *address, char ret_name[static INET6_ADDRSTRLEN])
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, &address->s6_addr[12], ret_name, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, address, ret_name, INET6_ADDRSTRLEN);
}

static int open_socket(int type)
{
	int zero = 0, fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero))
		die("socket");
	return fd;
}

/* fd, or -1 when it failed at once; fd is closed then. */
static int start_connect(int fd, const struct sockaddr_in6 *destination)
{
	if (connect(fd, (const struct sockaddr *)destination, sizeof *destination) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/*
 * A connection from a port that was not used for minutes: the kernel's own choice would come back
 * to ports whose dead attempts a router's connection tracking still remembers.
 */
static int open_connection(const struct sockaddr_in6 *destination, uint32_t number)
{
	struct sockaddr_in6 from = {.sin6_family = AF_INET6,
				    .sin6_port = htons((uint16_t)(PORT_FIRST + (probe.first_port + number) % PORTS))};
	bool is_v4 = IN6_IS_ADDR_V4MAPPED(&destination->sin6_addr);
	int one = 1, fd = open_socket(SOCK_STREAM);

	/* A mapped "any" keeps the port free for IPv6 and the other way round. */
	if (is_v4)
		memset(&from.sin6_addr.s6_addr[10], 0xff, 2);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
	    bind(fd, (struct sockaddr *)&from, sizeof from))
		die("bind");
	return start_connect(fd, destination);
}

/* epoll's 64 bits: which stream, and for CONNECT which tick. */
static void watch(int fd, unsigned stream, uint32_t tick, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64_t)stream << 32 | tick};

	if (epoll_ctl(probe.epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

/* --- verdicts -------------------------------------------------------------------------------- */

/* Closes with RST: neither end keeps a TIME_WAIT for each of a hundred connections a second. */
static void abort_connection(int *fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (*fd < 0)
		return;
	if (setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger))
		die("SO_LINGER");
	close(*fd);
	*fd = -1;
}

static void judge(struct stream *stream, uint32_t number, enum verdict verdict)
{
	if (stream->kind == CONNECT)
		abort_connection(&stream->connecting[number % GAPS_TICKS]);
	gaps_judge(&stream->gaps, number, verdict);
}

/* --- ticks ------------------------------------------------------------------------------------- */

static void start_tick(unsigned index, int64_t now)
{
	struct stream *stream = &probe.streams[index];
	uint32_t number = stream->gaps.next, late;
	uint32_t payload[4] = {number};
	int *fd = &stream->connecting[number % GAPS_TICKS];

	while (gaps_find_late(&stream->gaps, now, TIMEOUT_US, &late))
		judge(stream, late, FAILED);
	if (stream->kind == TCP) {
		/* A full or broken connection shows as its gap. */
		if (!stream->is_broken && send(stream->fd, payload, sizeof payload, MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN)
			stream->is_broken = true;
		return;
	}
	number = gaps_start(&stream->gaps, now);
	if (stream->kind == UDP) {
		if (send(stream->fd, payload, sizeof payload, 0) < 0)
			judge(stream, number, FAILED); /* an ICMP error: told here */
	} else if ((*fd = open_connection(stream->destination, number)) < 0) {
		judge(stream, number, FAILED);
	} else {
		watch(*fd, index, number, EPOLLOUT);
	}
}

static void start_ticks(int timer, int64_t *due_us)
{
	uint64_t expirations;
	int64_t now = now_us();

	if (read(timer, &expirations, sizeof expirations) != sizeof expirations)
		return;
	if (now - *due_us > probe.late_us)
		probe.late_us = now - *due_us;
	*due_us += (int64_t)expirations * TICK_US;
	for (unsigned i = 0; i < probe.n_streams; i++)
		start_tick(i, now_us());
}

static void take_connected(struct stream *stream, uint32_t number)
{
	int error = 0;
	socklen_t length = sizeof error;

	if (!gaps_is_pending(&stream->gaps, number))
		return; /* judged by the clock in this same round of events */
	if (getsockopt(stream->connecting[number % GAPS_TICKS], SOL_SOCKET, SO_ERROR, &error, &length))
		die("SO_ERROR");
	bool in_time = gaps_age_us(&stream->gaps, number, now_us()) < TIMEOUT_US;

	judge(stream, number, error == 0 && in_time ? SUCCEEDED : FAILED);
}

static void take_datagrams(struct stream *stream)
{
	struct {
		uint32_t payload[4];
		struct in6_addr seen_as;
	} echo;
	ssize_t n;

	while ((n = recv(stream->fd, &echo, sizeof echo, 0)) != 0) {
		if (n < 0 && errno == EAGAIN)
			return;
		if (n != sizeof echo)
			continue; /* an ICMP error of an earlier tick, which the clock judges */
		if (gaps_is_pending(&stream->gaps, echo.payload[0]) &&
		    gaps_age_us(&stream->gaps, echo.payload[0], now_us()) < TIMEOUT_US) {
			name_address(&echo.seen_as, stream->seen_as);
			judge(stream, echo.payload[0], SUCCEEDED);
		}
	}
}

static void take_stream(struct stream *stream)
{
	char data[4096];
	ssize_t n = recv(stream->fd, data, sizeof data, 0);

	if (n > 0) {
		gaps_succeed(&stream->gaps, now_us());
		return;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	stream->is_broken = true;
	close(stream->fd);
	stream->fd = -1;
}

/* --- start: which destination leaves by which uplink -------------------------------------------- */

/* A connection that stands, and the address that it was seen as; -1 when there is none in time. */
static int connect_and_ask(const struct sockaddr_in6 *destination, char ret_seen_as[static INET6_ADDRSTRLEN])
{
	int fd = start_connect(open_socket(SOCK_STREAM), destination);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	size_t length = 0;

	while (fd >= 0 && poll(&poll_fd, 1, DISCOVERY_MS) == 1) {
		ssize_t n = recv(fd, ret_seen_as + length, INET6_ADDRSTRLEN - length, 0);

		if (n <= 0)
			break;
		length += (size_t)n;
		if (ret_seen_as[length - 1] == '\n') {
			ret_seen_as[length - 1] = '\0';
			return fd;
		}
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static void add_stream(enum kind kind, const struct sockaddr_in6 *destination, const char *seen_as, bool is_control,
		       int fd)
{
	unsigned index = probe.n_streams++;
	struct stream *stream = &probe.streams[index];

	*stream = (struct stream){.kind = kind, .is_control = is_control, .destination = destination, .fd = fd};
	name_address(&destination->sin6_addr, stream->name);
	snprintf(stream->seen_as, sizeof stream->seen_as, "%s", seen_as);
	memset(stream->connecting, -1, sizeof stream->connecting); /* every int is -1 */
	gaps_init(&stream->gaps, now_us());
	if (fd >= 0)
		watch(fd, index, 0, EPOLLIN);
}

static void add_streams(const char *via, unsigned measure, unsigned control, unsigned n_destinations)
{
	unsigned found[2] = {0};
	const unsigned wanted[2] = {measure, control};

	for (unsigned i = 0; i < n_destinations; i++) {
		const struct sockaddr_in6 *destination = &probe.destinations[i];
		char seen_as[INET6_ADDRSTRLEN], name[INET6_ADDRSTRLEN];
		int tcp = connect_and_ask(destination, seen_as), one = 1;

		name_address(&destination->sin6_addr, name);
		printf("destination=%s seen_as=%s\n", name, tcp < 0 ? "nobody" : seen_as);
		if (tcp < 0)
			continue;
		bool is_control = strcmp(seen_as, via) != 0;

		if (found[is_control] == wanted[is_control]) {
			close(tcp);
			continue;
		}
		found[is_control]++;
		if (setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
			die("TCP_NODELAY");
		add_stream(CONNECT, destination, seen_as, is_control, -1);
		add_stream(UDP, destination, "nobody", is_control,
			   start_connect(open_socket(SOCK_DGRAM), destination));
		add_stream(TCP, destination, seen_as, is_control, tcp);
	}
	printf("ready measured=%u control=%u\n", found[0], found[1]);
	if (found[0] == 0) {
		fprintf(stderr, "lanprobe: no destination is seen as %s\n", via);
		exit(1);
	}
}

/* --- window -------------------------------------------------------------------------------------- */

static void reset_window(void)
{
	probe.late_us = 0;
	for (unsigned i = 0; i < probe.n_streams; i++)
		gaps_reset(&probe.streams[i].gaps);
}

static double ms(int64_t us)
{
	return (double)us / 1000;
}

static void print_report(void)
{
	int64_t worst_us[2][3] = {{0}}, silent_us = 0, now = now_us();

	for (unsigned i = 0; i < probe.n_streams; i++) {
		struct stream *stream = &probe.streams[i];
		int64_t gap_us = gaps_longest_us(&stream->gaps, now, TIMEOUT_US), behind_us = now - stream->gaps.last_us, *worst;

		printf("stream=%s destination=%s role=%s seen_as=%s ok=%u failed=%u gap_ms=%.2f silent_ms=%.2f broken=%d\n",
		       kind_names[stream->kind], stream->name, stream->is_control ? "control" : "measured",
		       stream->seen_as, stream->gaps.ok, stream->gaps.failed, ms(gap_us), ms(behind_us), stream->is_broken);
		worst = &worst_us[stream->is_control][stream->kind];
		if (gap_us > *worst)
			*worst = gap_us;
		if (!stream->is_control && stream->kind != TCP && behind_us > silent_us)
			silent_us = behind_us;
	}
	int64_t outage_us = worst_us[0][CONNECT] > worst_us[0][UDP] ? worst_us[0][CONNECT] : worst_us[0][UDP];
	int64_t control_us = worst_us[1][CONNECT] > worst_us[1][UDP] ? worst_us[1][CONNECT] : worst_us[1][UDP];

	printf("outage_ms=%.2f connect_gap_ms=%.2f udp_gap_ms=%.2f tcp_gap_ms=%.2f control_gap_ms=%.2f silent_ms=%.2f "
	       "late_ms=%.2f\nend\n",
	       ms(outage_us), ms(worst_us[0][CONNECT]), ms(worst_us[0][UDP]), ms(worst_us[0][TCP]), ms(control_us),
	       ms(silent_us), ms(probe.late_us));
}

/* Returns false at the end of stdin. */
static bool take_command(void)
{
	static char line[64];
	static size_t length;
	ssize_t n = read(STDIN_FILENO, line + length, sizeof line - 1 - length);

	if (n <= 0)
		return false;
	length += (size_t)n;
	line[length] = '\0';
	for (char *end; (end = strchr(line, '\n'));) {
		*end = '\0';
		if (strcmp(line, "reset") == 0)
			reset_window();
		else if (strcmp(line, "report") == 0)
			print_report();
		else
			fprintf(stderr, "lanprobe: %s: unknown command\n", line);
		fflush(stdout);
		length -= (size_t)(end + 1 - line);
		memmove(line, end + 1, length + 1);
	}
	return length < sizeof line - 1;
}

static void take_event(const struct epoll_event *event)
{
	struct stream *stream = &probe.streams[event->data.u64 >> 32];

	if (stream->kind == CONNECT)
		take_connected(stream, (uint32_t)event->data.u64);
	else if (stream->kind == UDP)
		take_datagrams(stream);
	else if (stream->fd >= 0)
		take_stream(stream);
}

static void run(void)
{
	const struct itimerspec every = {.it_interval.tv_nsec = TICK_US * 1000, .it_value.tv_nsec = TICK_US * 1000};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	int64_t due_us = now_us() + TICK_US;

	if (timer < 0 || timerfd_settime(timer, 0, &every, NULL))
		die("timerfd");
	watch(timer, STREAMS, 0, EPOLLIN);
	watch(STDIN_FILENO, STREAMS + 1, 0, EPOLLIN);
	for (;;) {
		struct epoll_event events[64];
		int n = epoll_wait(probe.epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			uint64_t who = events[i].data.u64 >> 32;

			if (who == STREAMS)
				start_ticks(timer, &due_us);
			else if (who < STREAMS)
				take_event(&events[i]);
			else if (!take_command())
				return;
		}
	}
}

static int add_destination(const char *text, uint16_t port, unsigned index)
{
	struct sockaddr_in6 *address = &probe.destinations[index];
	uint8_t v4[4];

	*address = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
	if (inet_pton(AF_INET, text, v4) == 1) {
		memset(&address->sin6_addr.s6_addr[10], 0xff, 2);
		memcpy(&address->sin6_addr.s6_addr[12], v4, 4);
		return 0;
	}
	return inet_pton(AF_INET6, text, &address->sin6_addr) == 1 ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"via", required_argument, NULL, 'v'},
						{"port", required_argument, NULL, 'p'},
						{"measure", required_argument, NULL, 'm'},
						{"control", required_argument, NULL, 'c'},
						{0}};
	const char *via = NULL;
	unsigned long port = 7, measure = 4, control = 2, n = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'v')
			via = optarg;
		else if (option == 'p')
			port = strtoul(optarg, NULL, 10);
		else if (option == 'm')
			measure = strtoul(optarg, NULL, 10);
		else if (option == 'c')
			control = strtoul(optarg, NULL, 10);
	}
	for (; optind < argc && n < DESTINATIONS; optind++)
		if (add_destination(argv[optind], (uint16_t)port, (unsigned)n++))
			via = NULL;
	if (!via || n == 0 || port > 65535) {
		fprintf(stderr, "usage: lanprobe --via ADDRESS [--port N] [--measure N] [--control N] DESTINATION...\n");
		return 2;
	}
	probe.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (probe.epoll < 0)
		die("epoll_create1");
	probe.first_port = (uint32_t)(now_us() % PORTS);
	add_streams(via, (unsigned)measure, (unsigned)control, (unsigned)n);
	fflush(stdout);
	run();
	return 0;
}
