/*
 * coapdev: plays any number of devices towards a collector, as a test directs. It knows DTLS and CoAP and
 * nothing of Jaga: messages come and go as hexadecimal digits. It shares no code with what it tests.
 *
 *   coapdev ADDRESS PORT
 *
 * Commands on standard input, a line each; every outcome is a line on standard output, in the order of events:
 *   open NAME KEY                                 -> open NAME | refused NAME
 *   send NAME TOKEN TYPE METHOD PATH FORMAT BODY  -> recv NAME TOKEN CODE BODY   (when and if it is answered)
 *   close NAME                                       says goodbye
 * TOKEN: 4 hex digits; TYPE: con or non; METHOD: 1 GET 2 POST 3 PUT; PATH: tm, snap/..., job?after=3;
 * FORMAT: a number, - for none; BODY: hex digits, - for none. A request of the collector is acknowledged and
 * told as "recv NAME - CODE BODY"; a session that the collector ends as "gone NAME".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/parse.h"
#include "tests/bench/dtls_client.h"

#define MAX_DEVICES 256
#define LINE_SIZE (4 * LIMIT_BATCH_BYTES)

enum { OPTION_URI_PATH = 11, OPTION_CONTENT_FORMAT = 12, OPTION_URI_QUERY = 15 };
enum phase { FREE, SHAKING, OPEN };

struct device {
	enum phase phase;
	char name[LIMIT_NAME];
	struct dtls_client dtls;
	int last_con; /* message id of the last one that wants an acknowledgement; -1: none yet */
};

static struct device devices[MAX_DEVICES];
static struct sockaddr_in target;
static uint16_t last_mid;

static void die(const char *what)
{
	fprintf(stderr, "coapdev: %s\n", what);
	exit(1);
}

static struct device *find(const char *name)
{
	for (unsigned i = 0; i < MAX_DEVICES; i++)
		if (devices[i].phase != FREE && strcmp(devices[i].name, name) == 0)
			return &devices[i];
	return NULL;
}

static void say_message(const struct device *device, const char *token, const struct coap_message *message)
{
	printf("recv %s %s %d ", device->name, token, message->code);
	for (size_t i = 0; i < message->payload_length; i++)
		printf("%02x", message->payload[i]);
	printf("%s\n", message->payload_length == 0 ? "-" : "");
}

static void end(struct device *device, const char *word, bool says_goodbye)
{
	if (word)
		printf("%s %s\n", word, device->name);
	dtls_client_finish(&device->dtls, says_goodbye);
	device->phase = FREE;
}

/* --- from the collector ---------------------------------------------------------------------- */

static void on_message(struct device *device, const struct coap_message *message)
{
	char token[2 * sizeof(message->token) + 1] = "-";
	struct coap_build build;

	if (message->type == COAP_TYPE_CON) { /* a wake is answered in its acknowledgement, as an agent does it */
		bool is_request = message->code != 0 && message->code < 100;

		coap_begin(&build, COAP_TYPE_ACK, is_request ? 204 : 0, message->mid, message->token,
			   is_request ? message->token_length : 0);
		dtls_client_send(&device->dtls, build.bytes, build.length);
		if (device->last_con == message->mid) /* again, since the acknowledgement came late */
			return;
		device->last_con = message->mid;
	}
	if (message->code == 0) /* an empty acknowledgement: the answer comes later */
		return;
	if (message->code >= 100)
		for (size_t i = 0; i < message->token_length; i++)
			snprintf(token + 2 * i, 3, "%02x", message->token[i]);
	say_message(device, token, message);
}

static void on_readable(struct device *device)
{
	uint8_t bytes[4096];
	struct coap_message message;
	int n;

	if (device->phase == SHAKING) {
		n = dtls_client_handshake(&device->dtls);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			end(device, "refused", false);
			return;
		}
		device->phase = OPEN;
		printf("open %s\n", device->name);
	}
	for (;;) {
		n = dtls_client_receive(&device->dtls, bytes, sizeof(bytes));
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			end(device, "gone", false);
			return;
		}
		if (coap_read(bytes, (size_t)n, &message))
			on_message(device, &message);
	}
}

/* --- from the test --------------------------------------------------------------------------- */

static void do_open(const char *name, const char *hex)
{
	struct device *device = NULL;
	uint8_t key[32];

	for (unsigned i = 0; i < MAX_DEVICES && !device; i++)
		if (devices[i].phase == FREE)
			device = &devices[i];
	if (!device || strlen(name) >= LIMIT_NAME || parse_hex(hex, key, sizeof(key)) < 0)
		die("open: too many devices, or a bad name or key");
	strcpy(device->name, name);
	device->last_con = -1;
	if (dtls_client_init(&device->dtls, NULL, &target, name, key) < 0)
		die("open: no socket");
	device->phase = SHAKING;
	on_readable(device);
}

/* "snap/abc" or "job?after=3" as options. */
static void add_path(struct coap_build *build, char *path, const char *format)
{
	char *query = strchr(path, '?'), *rest = path;

	if (query)
		*query++ = '\0';
	for (char *segment; (segment = strsep(&rest, "/"));)
		coap_option(build, OPTION_URI_PATH, segment, strlen(segment));
	if (strcmp(format, "-") != 0)
		coap_option_uint(build, OPTION_CONTENT_FORMAT, (uint32_t)atoi(format));
	if (query)
		coap_option(build, OPTION_URI_QUERY, query, strlen(query));
}

static void do_send(char *words[static 7])
{
	struct device *device = find(words[0]);
	uint8_t token[2], body[sizeof(((struct coap_build *)0)->bytes)];
	size_t length = strcmp(words[6], "-") == 0 ? 0 : strlen(words[6]) / 2;
	struct coap_build build;

	if (!device) { /* the collector has just ended it */
		printf("gone %s\n", words[0]);
		return;
	}
	if (device->phase != OPEN || parse_hex(words[1], token, 2) < 0 || length > 1800 ||
	    (length > 0 && parse_hex(words[6], body, length) < 0))
		die("send: no such session, or a bad token or body");
	coap_begin(&build, strcmp(words[2], "con") == 0 ? COAP_TYPE_CON : COAP_TYPE_NON, atoi(words[3]), ++last_mid, token,
		   sizeof(token));
	add_path(&build, words[4], words[5]);
	if (length > 0)
		coap_payload(&build, body, length);
	if (dtls_client_send(&device->dtls, build.bytes, build.length) < 0)
		end(device, "gone", false);
}

static void on_command(char *line)
{
	char *words[8] = { NULL }, *rest = line;
	size_t n = 0;

	for (char *word; n < 8 && (word = strsep(&rest, " "));)
		words[n++] = word;
	if (n == 3 && strcmp(words[0], "open") == 0)
		do_open(words[1], words[2]);
	else if (n == 8 && strcmp(words[0], "send") == 0)
		do_send(words + 1);
	else if (n == 2 && strcmp(words[0], "close") == 0 && find(words[1]))
		end(find(words[1]), NULL, true);
	else
		die("unknown command");
}

/* Takes the whole lines out of the buffer; what is left is the beginning of the next. */
static void read_commands(void)
{
	static char buffer[64 * LINE_SIZE];
	static size_t used;
	ssize_t n = read(STDIN_FILENO, buffer + used, sizeof(buffer) - used);
	char *begin = buffer, *newline;

	if (n <= 0) {
		for (unsigned i = 0; i < MAX_DEVICES; i++)
			if (devices[i].phase != FREE)
				end(&devices[i], NULL, true);
		exit(0);
	}
	used += (size_t)n;
	while ((newline = memchr(begin, '\n', used - (size_t)(begin - buffer)))) {
		*newline = '\0';
		on_command(begin);
		begin = newline + 1;
	}
	used -= (size_t)(begin - buffer);
	memmove(buffer, begin, used);
	if (used == sizeof(buffer))
		die("a line is too long");
}

int main(int argc, char **argv)
{
	struct pollfd polls[MAX_DEVICES + 1];

	if (argc != 3 || !inet_aton(argv[1], &target.sin_addr))
		die("usage: coapdev ADDRESS PORT");
	target.sin_family = AF_INET;
	target.sin_port = htons((uint16_t)atoi(argv[2]));
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		polls[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
		for (unsigned i = 0; i < MAX_DEVICES; i++)
			polls[i + 1] = (struct pollfd){ .fd = devices[i].phase == FREE ? -1 : devices[i].dtls.fd,
							.events = POLLIN };
		/* Handshakes go on by themselves after a second: a lost datagram, or a collector that was not there. */
		if (poll(polls, MAX_DEVICES + 1, 1000) < 0)
			die("poll");
		for (unsigned i = 0; i < MAX_DEVICES; i++)
			if (devices[i].phase == SHAKING || (devices[i].phase == OPEN && polls[i + 1].revents))
				on_readable(&devices[i]);
		if (polls[0].revents)
			read_commands();
	}
}
