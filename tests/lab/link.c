/*
 * link: a slow line between two network namespaces, for kernels without netem.
 *
 *   link NETNS:DEVICE NETNS:DEVICE [--rate KBIT] [--delay MS] [--loss PERMILLE] [--seed N] [--queue PACKETS]
 *
 * Makes a TUN device in each namespace (whoever laid the laboratory gives them addresses and sets them up) and carries
 * packets between them, each direction for itself:
 *
 *   TUN ──read──▶ waits its turn (at most --queue packets) ──▶ on the line ──▶ --delay ──write──▶ TUN
 *                       └─ full: dropped            (its bits at --rate)  └─ --loss: lost
 *
 * A packet occupies the line for as long as its bits take, one after the other: a token bucket that holds one packet. One that is lost
 * has used the line all the same. Losses come from --seed, so the same packets in the same order lose the same ones.
 * Prints "ready" when both devices are there, and on SIGTERM or SIGINT one line of JSON: what each direction carried, in
 * IP packets and their bytes. Measuring tool of tests/lab; not in the product.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
	PACKET_BYTES = 2048, /* more than the MTU of 1500 that TUN devices have */
	SLOTS = 1024,        /* packets that wait, or are under way, in one direction */
	QUEUE_PACKETS = 50,  /* what RouterOS's default queue holds */
	PERMILLE = 1000,
};

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

struct packet {
	int64_t sent_ns;    /* its last bit leaves */
	int64_t arrives_ns; /* and is there */
	size_t size_bytes;
	unsigned char data[PACKET_BYTES];
};

struct direction {
	const char *from;
	int in, out;           /* descriptors of the TUN devices; not ours */
	int64_t free_ns;       /* when the line has sent all that was given to it */
	uint64_t random;       /* state of its generator; never 0 */
	unsigned first, count; /* ring of packets, oldest first: they arrive in this order */
	struct packet *packets;
	uint64_t seen, seen_bytes, carried, carried_bytes, lost, dropped;
};

struct line {
	int64_t rate_bps, delay_ns; /* rate 0: as fast as it gets */
	unsigned loss_permille, queue_packets;
};

static volatile sig_atomic_t is_asked_to_end;

static void on_signal(int number)
{
	(void)number;
	is_asked_to_end = 1;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail on Linux */
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* xorshift64*: small, and the same everywhere. */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545F4914F6CDD1D);
}

/* --- devices ------------------------------------------------------------------------------------------- */

static void enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

/* The TUN device of "NETNS:DEVICE", non-blocking. Stays in that namespace. */
static int open_device(const char *where)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	const char *colon = strchr(where, ':');
	char path[128];
	int fd;

	if (!colon || colon[1] == '\0' || strlen(colon + 1) >= sizeof request.ifr_name) {
		fprintf(stderr, "link: %s is no NETNS:DEVICE\n", where);
		exit(2);
	}
	snprintf(path, sizeof path, "/run/netns/%.*s", (int)(colon - where), where);
	strcpy(request.ifr_name, colon + 1);
	enter(path);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
		die(where);
	return fd;
}

/* --- one direction --------------------------------------------------------------------------------------- */

static struct packet *slot(const struct direction *way, unsigned number)
{
	return &way->packets[(way->first + number) % SLOTS];
}

/* Packets that have not left yet: the newest ones. */
static unsigned count_waiting(const struct direction *way, int64_t now)
{
	unsigned waiting = 0;

	while (waiting < way->count && slot(way, way->count - 1 - waiting)->sent_ns > now)
		waiting++;
	return waiting;
}

/* Takes the packet that was read into the next free slot. */
static void take(struct direction *way, const struct line *line, size_t size_bytes, int64_t now)
{
	struct packet *packet = slot(way, way->count);
	int64_t begins_ns = way->free_ns > now ? way->free_ns : now;

	way->seen++;
	way->seen_bytes += size_bytes;
	if (count_waiting(way, now) >= line->queue_packets) {
		way->dropped++;
		return;
	}
	way->free_ns = begins_ns;
	if (line->rate_bps > 0)
		way->free_ns += (int64_t)size_bytes * 8 * NS_PER_S / line->rate_bps;
	if (draw(&way->random) % PERMILLE < line->loss_permille) {
		way->lost++;
		return;
	}
	packet->size_bytes = size_bytes;
	packet->sent_ns = way->free_ns;
	packet->arrives_ns = way->free_ns + line->delay_ns;
	way->count++;
}

static void read_packets(struct direction *way, const struct line *line)
{
	while (way->count < SLOTS) {
		ssize_t size = read(way->in, slot(way, way->count)->data, PACKET_BYTES);

		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size < 0)
			die("read");
		take(way, line, (size_t)size, now_ns());
	}
}

/* Hands over what has arrived. A device that is down loses it, as a port that is shut. */
static void deliver(struct direction *way, int64_t now)
{
	while (way->count > 0 && slot(way, 0)->arrives_ns <= now) {
		struct packet *packet = slot(way, 0);

		if (write(way->out, packet->data, packet->size_bytes) == (ssize_t)packet->size_bytes) {
			way->carried++;
			way->carried_bytes += packet->size_bytes;
		} else if (errno == EIO || errno == EAGAIN) {
			way->dropped++;
		} else {
			die("write");
		}
		way->first = (way->first + 1) % SLOTS;
		way->count--;
	}
}

static void print_direction(const struct direction *way, const char *end)
{
	printf("\"%s\": {\"seen\": %" PRIu64 ", \"seen_bytes\": %" PRIu64 ", \"carried\": %" PRIu64 ", \"carried_bytes\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"dropped\": %" PRIu64 "}%s",
	       way->from, way->seen, way->seen_bytes, way->carried, way->carried_bytes, way->lost, way->dropped, end);
}

/* --- the program ----------------------------------------------------------------------------------------- */

static int64_t parse_number(const char *text, int64_t max)
{
	char *end = NULL;
	int64_t value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end != '\0' || value < 0 || value > max) {
		fprintf(stderr, "link: %s is no number from 0 to %" PRId64 "\n", text, max);
		exit(2);
	}
	return value;
}

static void parse_options(int argc, char **argv, struct line *line, uint64_t *ret_seed)
{
	static const struct option options[] = {
		{"rate", required_argument, NULL, 'r'}, {"delay", required_argument, NULL, 'd'}, {"loss", required_argument, NULL, 'l'},
		{"seed", required_argument, NULL, 's'}, {"queue", required_argument, NULL, 'q'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r')
			line->rate_bps = parse_number(optarg, 10000000) * 1000;
		else if (option == 'd')
			line->delay_ns = parse_number(optarg, 10000) * NS_PER_MS;
		else if (option == 'l')
			line->loss_permille = (unsigned)parse_number(optarg, PERMILLE);
		else if (option == 's')
			*ret_seed = (uint64_t)parse_number(optarg, INT64_MAX - 1);
		else if (option == 'q')
			line->queue_packets = (unsigned)parse_number(optarg, SLOTS - 1);
		else
			exit(2);
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: link NETNS:DEVICE NETNS:DEVICE [--rate KBIT] [--delay MS] [--loss PERMILLE] [--seed N] "
				"[--queue PACKETS]\n");
		exit(2);
	}
}

/* Until the next packet arrives; NULL: until one comes in. */
static const struct timespec *next_timeout(const struct direction ways[2], int64_t now, struct timespec *timeout)
{
	int64_t next = INT64_MAX, left;

	for (int i = 0; i < 2; i++) {
		if (ways[i].count > 0 && slot(&ways[i], 0)->arrives_ns < next)
			next = slot(&ways[i], 0)->arrives_ns;
	}
	if (next == INT64_MAX)
		return NULL;
	left = next > now ? next - now : 0;
	timeout->tv_sec = left / NS_PER_S;
	timeout->tv_nsec = left % NS_PER_S;
	return timeout;
}

static void carry(struct direction ways[2], const struct line *line, const sigset_t *open_signals)
{
	while (!is_asked_to_end) {
		struct timespec timeout;
		struct pollfd fds[2];

		for (int i = 0; i < 2; i++) /* a full ring reads nothing until something has arrived */
			fds[i] = (struct pollfd){.fd = ways[i].in, .events = (short)(ways[i].count < SLOTS ? POLLIN : 0)};
		if (ppoll(fds, 2, next_timeout(ways, now_ns(), &timeout), open_signals) < 0 && errno != EINTR)
			die("ppoll");
		for (int i = 0; i < 2; i++) {
			read_packets(&ways[i], line);
			deliver(&ways[i], now_ns());
		}
	}
}

int main(int argc, char **argv)
{
	struct line line = {.queue_packets = QUEUE_PACKETS};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked, open_signals;
	struct direction ways[2] = {{0}};
	uint64_t seed = 1;

	parse_options(argc, argv, &line, &seed);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	if (sigprocmask(SIG_BLOCK, &blocked, &open_signals) || sigaction(SIGTERM, &action, NULL) || sigaction(SIGINT, &action, NULL))
		die("signals");
	for (int i = 0; i < 2; i++) {
		ways[i].from = argv[optind + i];
		ways[i].in = open_device(ways[i].from);
		ways[i].random = seed * 2 + (uint64_t)i + 1;
		ways[i].packets = calloc(SLOTS, sizeof *ways[i].packets);
		if (!ways[i].packets)
			die("memory");
	}
	ways[0].out = ways[1].in;
	ways[1].out = ways[0].in;
	puts("ready");
	fflush(stdout);
	carry(ways, &line, &open_signals);
	fputc('{', stdout);
	print_direction(&ways[0], ", ");
	print_direction(&ways[1], "}\n");
	free(ways[0].packets);
	free(ways[1].packets);
	return 0;
}
