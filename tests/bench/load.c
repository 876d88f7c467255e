/*
 * load: plays a fleet of agents against a collector, over real DTLS sessions, and measures.
 *
 *   load ADDRESS PORT KEYS       KEYS: a file of lines "NAME 64-HEX-DIGITS"; loopback only
 *
 * Reads commands from standard input, answers each with one line of JSON:
 *   open N               handshakes of N more sessions, at most 64 at once, each from an address of its own
 *   hello                every session says hello and waits for its answer
 *   run SECONDS RATE WINDOW   telemetry batches of 10 events: RATE a second in all (open loop: latency counts from
 *                        the moment a batch was due), or with RATE 0 as many as WINDOW unacknowledged ones allow
 *   close                goodbye to all
 * No agent sends more than LIMIT_BATCHES_PER_S batches a second. A batch that is not acknowledged within 5 s goes again, as an agent would do it; an Ack that does not say what
 * was sent is an error. Bounded: 20,000 sessions, 600 s a run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/parse.h"
#include "common/wire.h"
#include "tests/bench/dtls_client.h"

#define MAX_SESSIONS 20000
#define MAX_SECONDS 600
#define HANDSHAKES_AT_ONCE 64
#define EVENTS_PER_BATCH 10
#define RESEND_US 5000000
#define PACE_US (1000000 / LIMIT_BATCHES_PER_S) /* an agent's own pace, below the collector's limit */
#define HISTOGRAM_US 100 /* resolution */
#define HISTOGRAM_SIZE 100000

struct agent {
	struct dtls_client dtls;
	char name[LIMIT_NAME];
	uint8_t key[32];
	uint8_t boot_id[16];
	uint64_t seq;	    /* of the last event that was sent */
	int64_t due_us;	    /* when the batch that waits for its Ack was due; 0: none waits */
	int64_t sent_us;
	bool is_greeted;
};

static struct agent *agents;
static unsigned n_keys, n_open;
static struct sockaddr_in target;
static int epoll_fd;
static uint64_t n_errors, n_resent, n_acks;
static uint32_t histogram[HISTOGRAM_SIZE];

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- sessions -------------------------------------------------------------------------------------- */

static void start_session(unsigned i)
{
	struct sockaddr_in source = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

	source.sin_addr.s_addr = htonl(0x7f010001 + (i / 250 << 8) + i % 250);
	if (dtls_client_init(&agents[i].dtls, &source, &target, agents[i].name, agents[i].key) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, agents[i].dtls.fd, &event))
		die("session");
	for (size_t b = 0; b < sizeof(agents[i].boot_id); b++)
		agents[i].boot_id[b] = (uint8_t)rand();
}

static void open_sessions(unsigned count)
{
	unsigned first = n_open, started = n_open, done = 0, end = n_open + count;
	int64_t begin_us = clock_mono_us(), worst_us = 0;
	static int64_t begun_us[MAX_SESSIONS];
	struct epoll_event events[64];

	if (end > n_keys)
		end = n_keys;
	while (done < end - first) {
		int n;

		while (started < end && started - first - done < HANDSHAKES_AT_ONCE) {
			start_session(started);
			begun_us[started] = clock_mono_us();
			(void)dtls_client_handshake(&agents[started++].dtls); /* sends the first flight */
		}
		n = epoll_wait(epoll_fd, events, 64, 100);
		for (int e = 0; e < n; e++) {
			unsigned i = events[e].data.u32;
			int result = agents[i].dtls.is_established ? -EAGAIN : dtls_client_handshake(&agents[i].dtls);

			if (result == 0) {
				int64_t took_us = clock_mono_us() - begun_us[i];

				done++;
				if (took_us > worst_us)
					worst_us = took_us;
			} else if (result != -EAGAIN) {
				errno = -result;
				die("handshake");
			}
		}
		if (n == 0) /* time for mbedTLS to send again */
			for (unsigned i = first; i < started; i++)
				if (!agents[i].dtls.is_established)
					done += dtls_client_handshake(&agents[i].dtls) == 0;
		if (clock_mono_us() - begin_us > MAX_SECONDS * 1000000LL)
			die("handshakes take for ever");
	}
	n_open = end;
	printf("{\"handshakes\": %u, \"seconds\": %.4f, \"worst_ms\": %.1f}\n", done,
	       (double)(clock_mono_us() - begin_us) / 1e6, (double)worst_us / 1e3);
}

/* --- messages -------------------------------------------------------------------------------------- */

static void send_message(struct agent *agent, int type, const char *path, const ProtobufCMessage *message)
{
	char bytes[1400];
	struct coap_build build;
	struct buf buf;

	buf_init(&buf, bytes, sizeof(bytes));
	if (wire_pack(message, &buf))
		abort();
	agent->dtls.mid++;
	coap_begin(&build, type, 2, agent->dtls.mid, &agent->dtls.mid, sizeof(agent->dtls.mid));
	coap_option(&build, 11, path, strlen(path));
	coap_option_uint(&build, 12, WIRE_FORMAT_PROTOBUF);
	coap_payload(&build, bytes, buf.length);
	(void)dtls_client_send(&agent->dtls, build.bytes, build.length); /* what is lost is sent again */
}

static void send_hello(struct agent *agent)
{
	char version[] = "load", driver[] = "linux";
	Jaga__V1__Hello hello = JAGA__V1__HELLO__INIT;

	hello.boot_id.data = agent->boot_id;
	hello.boot_id.len = sizeof(agent->boot_id);
	hello.agent_version = version;
	hello.driver = driver;
	send_message(agent, COAP_TYPE_CON, "hello", &hello.base);
}

/* The batch after what was acknowledged: uplink changes with one probe's evidence, 700 bytes in all. */
static void send_batch(struct agent *agent)
{
	static char uplink[] = "isp1", survivor[] = "isp2", probe[] = "203.0.113.1";
	Jaga__V1__TelemetryBatch batch = JAGA__V1__TELEMETRY_BATCH__INIT;
	Jaga__V1__Event events[EVENTS_PER_BATCH], *pointers[EVENTS_PER_BATCH];
	Jaga__V1__UplinkChange change = JAGA__V1__UPLINK_CHANGE__INIT;
	Jaga__V1__ProbeEvidence evidence = JAGA__V1__PROBE_EVIDENCE__INIT, *evidences[] = { &evidence };

	evidence.target = probe;
	evidence.sent = 5;
	evidence.lost = 5;
	evidence.rtt_us = 12345;
	evidence.timeout_us = 200000;
	change.uplink = uplink;
	change.from = JAGA__V1__UPLINK_STATE__UPLINK_STATE_UP;
	change.to = JAGA__V1__UPLINK_STATE__UPLINK_STATE_DOWN;
	change.cause = JAGA__V1__UPLINK_CAUSE__UPLINK_CAUSE_PROBES;
	change.n_probes = 1;
	change.probes = evidences;
	change.misses = change.misses_needed = 5;
	change.detect_us = 612345;
	change.switch_us = 412;
	change.flows_moved = 37;
	change.carried_by = survivor;
	change.lasted_ms = 86400000;
	for (unsigned i = 0; i < EVENTS_PER_BATCH; i++) {
		jaga__v1__event__init(&events[i]);
		events[i].seq = agent->seq - EVENTS_PER_BATCH + 1 + i;
		events[i].at_ms = 1000 + (int64_t)events[i].seq;
		events[i].kind_case = JAGA__V1__EVENT__KIND_UPLINK;
		events[i].uplink = &change;
		pointers[i] = &events[i];
	}
	batch.boot_id.data = agent->boot_id;
	batch.boot_id.len = sizeof(agent->boot_id);
	batch.seq_from = agent->seq - EVENTS_PER_BATCH + 1;
	batch.seq_to = agent->seq;
	batch.n_events = EVENTS_PER_BATCH;
	batch.events = pointers;
	batch.sent_at_ms = clock_mono_ms();
	agent->sent_us = clock_mono_us();
	send_message(agent, COAP_TYPE_NON, "tm", &batch.base);
}

static uint64_t read_ack(const struct coap_message *message)
{
	uint64_t seq = 0;

	/* Ack: field 1, a varint. */
	if (message->payload_length < 2 || message->payload[0] != 0x08)
		return 0;
	for (size_t i = 1; i < message->payload_length && i <= 10; i++)
		seq |= (uint64_t)(message->payload[i] & 0x7f) << 7 * (i - 1);
	return seq;
}

/* Reads all that a session has. Returns the number of Acks (or of answers to hello). */
static unsigned receive(struct agent *agent)
{
	struct coap_message message;
	uint8_t bytes[1500];
	unsigned n_answers = 0;
	int n;

	while ((n = dtls_client_receive(&agent->dtls, bytes, sizeof(bytes))) > 0) {
		if (!coap_read(bytes, (size_t)n, &message) || message.code == 0)
			continue; /* an empty acknowledgement: the answer follows */
		if (message.code != 204) {
			n_errors++;
		} else if (!agent->is_greeted) {
			agent->is_greeted = true;
			n_answers++;
		} else if (agent->due_us && read_ack(&message) == agent->seq) {
			int64_t took_us = clock_mono_us() - agent->due_us;

			histogram[took_us / HISTOGRAM_US < HISTOGRAM_SIZE ? took_us / HISTOGRAM_US : HISTOGRAM_SIZE - 1]++;
			agent->due_us = 0;
			n_acks++;
			n_answers++;
		} else if (read_ack(&message) > agent->seq || read_ack(&message) == 0) {
			n_errors++; /* an Ack for what was never sent */
		}
	}
	if (n == -ECONNRESET)
		n_errors++;
	return n_answers;
}

static void greet_all(void)
{
	int64_t begin_us = clock_mono_us();
	struct epoll_event events[256];
	unsigned done = 0, sent = 0;

	while (done < n_open && clock_mono_us() - begin_us < 60000000) {
		while (sent < n_open && sent - done < 256)
			send_hello(&agents[sent++]);
		for (int e = epoll_wait(epoll_fd, events, 256, 1000) - 1; e >= 0; e--)
			done += receive(&agents[events[e].data.u32]);
	}
	printf("{\"hellos\": %u, \"seconds\": %.4f}\n", done, (double)(clock_mono_us() - begin_us) / 1e6);
}

/* --- telemetry --------------------------------------------------------------------------------------- */

static double percentile_ms(double share)
{
	uint64_t total = 0, seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++)
		total += histogram[i];
	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		seen += histogram[i];
		if (seen && (double)seen >= share * (double)total)
			return (double)(i + 1) * HISTOGRAM_US / 1000.;
	}
	return 0.;
}

static void begin_batch(struct agent *agent, int64_t due_us)
{
	agent->due_us = due_us;
	agent->seq += EVENTS_PER_BATCH;
	send_batch(agent);
}

static void send_overdue_again(int64_t now_us)
{
	for (unsigned i = 0; i < n_open; i++) {
		if (agents[i].due_us && now_us - agents[i].sent_us > RESEND_US) {
			n_resent++;
			send_batch(&agents[i]);
		}
	}
}

static bool may_send(const struct agent *agent, int64_t now_us)
{
	return agent->due_us == 0 && now_us - agent->sent_us >= PACE_US;
}

/* Sends what is due, in turn over the sessions; one that waits for its last Ack or keeps its pace is passed over. */
static void send_due(int64_t begin_us, int64_t end_us, unsigned rate, unsigned window, unsigned *next, uint64_t *n_sent)
{
	int64_t now_us = clock_mono_us();
	unsigned burst = 0;

	while (now_us < end_us && *n_sent - n_acks < window && burst++ < 64) {
		int64_t due_us = rate ? begin_us + (int64_t)(*n_sent * 1000000ULL / rate) : now_us;

		if (due_us > now_us)
			return;
		for (unsigned tries = 0; !may_send(&agents[*next], now_us) && tries < n_open; tries++)
			*next = (*next + 1) % n_open;
		if (!may_send(&agents[*next], now_us))
			return;
		begin_batch(&agents[*next], due_us);
		*next = (*next + 1) % n_open;
		++*n_sent;
	}
}

static void run(unsigned seconds, unsigned rate, unsigned window)
{
	int64_t begin_us = clock_mono_us(), end_us = begin_us + (int64_t)seconds * 1000000, sweep_us = begin_us;
	struct epoll_event events[256];
	struct rusage before, after;
	uint64_t n_sent = 0;
	unsigned next = 0;

	n_acks = n_resent = n_errors = 0;
	memset(histogram, 0, sizeof(histogram));
	getrusage(RUSAGE_SELF, &before);
	for (;;) {
		int64_t now_us = clock_mono_us();
		int n;

		if (now_us >= end_us && (n_acks == n_sent || now_us > end_us + 2 * RESEND_US))
			break;
		send_due(begin_us, end_us, rate, window && window < n_open ? window : n_open, &next, &n_sent);
		n = epoll_wait(epoll_fd, events, 256, rate && now_us < end_us ? 1 : 20);
		for (int e = 0; e < n; e++)
			receive(&agents[events[e].data.u32]);
		if (now_us - sweep_us > 500000) {
			sweep_us = now_us;
			send_overdue_again(now_us);
		}
		if (now_us < end_us)
			continue;
	}
	getrusage(RUSAGE_SELF, &after);
	printf("{\"acks\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"seconds\": %u, \"resent\": %" PRIu64 ", \"errors\": %" PRIu64
	       ", \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f, \"load_cpu_s\": %.2f}\n",
	       n_acks, n_sent, seconds, n_resent, n_errors, percentile_ms(0.50), percentile_ms(0.99), percentile_ms(1.0),
	       (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
		       (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
				before.ru_stime.tv_usec) / 1e6);
}

/* --- commands ------------------------------------------------------------------------------------------ */

static void read_keys(const char *path)
{
	char name[128], hex[128];
	FILE *file = fopen(path, "re");

	if (!file)
		die(path);
	agents = calloc(MAX_SESSIONS, sizeof(*agents));
	if (!agents)
		die("memory");
	while (n_keys < MAX_SESSIONS && fscanf(file, "%127s %127s", name, hex) == 2) {
		if (!parse_is_name(name) || parse_hex(hex, agents[n_keys].key, 32)) {
			errno = EINVAL;
			die(path);
		}
		strcpy(agents[n_keys++].name, name);
	}
	fclose(file);
}

static void close_all(void)
{
	for (unsigned i = 0; i < n_open; i++) {
		dtls_client_finish(&agents[i].dtls, true);
		agents[i].is_greeted = false;
		agents[i].due_us = 0;
		agents[i].seq = 0;
	}
	printf("{\"closed\": %u}\n", n_open);
	n_open = 0;
}

int main(int argc, char **argv)
{
	struct rlimit files = { MAX_SESSIONS + 100, MAX_SESSIONS + 100 };
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 4 || strncmp(argv[1], "127.", 4) != 0 || !inet_aton(argv[1], &target.sin_addr)) {
		fprintf(stderr, "usage: load 127.X.X.X PORT KEYS\n");
		return 2;
	}
	target.sin_family = AF_INET;
	target.sin_port = htons((uint16_t)atoi(argv[2]));
	setrlimit(RLIMIT_NOFILE, &files);
	srand((unsigned)getpid());
	read_keys(argv[3]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned a = 0, b = 0, c = 0;
		char word[16] = "";
		int n = sscanf(line, "%15s %u %u %u", word, &a, &b, &c);

		if (n == 2 && strcmp(word, "open") == 0)
			open_sessions(a);
		else if (n == 1 && strcmp(word, "hello") == 0)
			greet_all();
		else if (n == 4 && strcmp(word, "run") == 0 && n_open && a <= MAX_SECONDS)
			run(a, b, c);
		else if (n == 1 && strcmp(word, "close") == 0)
			close_all();
		else
			printf("{\"error\": \"what?\"}\n");
	}
	close_all();
	free(agents);
	return 0;
}
