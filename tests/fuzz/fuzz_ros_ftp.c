/*
 * A fetch by FTP from a hostile router: whatever it says on either connection, in any order, it ends exactly once and in its time;
 * what is said to it are our five commands in their order, a line each; the file's connection goes to the router itself; and a file
 * is whole only with all its bytes. Streams and time are ros_world's.
 *
 * Input: bits of the request, its size, then records of kind, length; then that many bytes (kinds below).
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/ros_ftp.h"
#include "tests/fuzz/ros_world.h"

#define TIMEOUT_MS 60000

enum kind { REPLIES, FILE_BYTES, CONTROL_ENDS, FILE_ENDS, FILE_OPENS, PASSES, REFUSE, SAYS_LINE, N_KINDS };

static struct {
	struct ros_ftp *ftp;
	struct ros_ftp_request request;
	unsigned commands, ended;
	uint64_t received;
} fetch;

/* A line that is the next command, or, for the password, may be left out. */
static void on_sent(void *arg, const struct ros_stream *stream, const char *bytes, size_t length)
{
	const char *const lines[] = { "USER jaga\r\n", "PASS se cret\r\n", "TYPE I\r\n",
				      fetch.request.address.family == AF_INET6 ? "EPSV\r\n" : "PASV\r\n", "RETR jaga-snapshot.rsc\r\n" };

	(void)arg;
	if (fetch.ended || stream != world_stream(0))
		abort();
	if (fetch.commands == 1 && bytes[0] == 'T')
		fetch.commands++;
	if (fetch.commands == 5 || length != strlen(lines[fetch.commands]) || memcmp(bytes, lines[fetch.commands], length) != 0)
		abort();
	fetch.commands++;
}

static void on_bytes(void *arg, const void *bytes, size_t length)
{
	static char kept[256];

	(void)arg;
	if (length > sizeof(kept))
		abort();
	memcpy(kept, bytes, length); /* all of it is there */
	fetch.received += length;
	if (fetch.ended || length == 0 || fetch.received > fetch.request.size)
		abort();
}

static void on_end(void *arg, const struct err *why)
{
	(void)arg;
	if (fetch.ended++ || (!why && (fetch.received != fetch.request.size || fetch.commands != 5)) ||
	    (why && (strncmp(why->text, "FTP: ", 5) != 0 || why->text[5] == '\0')))
		abort();
	for (const char *p = why ? why->text : ""; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			abort();
	ros_ftp_destroy(fetch.ftp);
	fetch.ftp = NULL;
}

/* The file's connection: the second, and to the router. */
static struct ros_stream *find_file(void)
{
	struct ros_stream *stream = world_stream(1);

	if (stream && (world_peer(stream)->family != fetch.request.address.family || world_peer(stream)->port == 0 ||
		       memcmp(&world_peer(stream)->v6, &fetch.request.address.v6, sizeof(fetch.request.address.v6)) != 0))
		abort();
	return stream;
}

static void play(enum kind kind, const uint8_t *bytes, size_t length)
{
	switch (kind) {
	case REPLIES:
		world_say(world_stream(0), bytes, length);
		break;
	case SAYS_LINE:
		world_say(world_stream(0), bytes, length);
		world_say(world_stream(0), (const uint8_t *)"\r\n", 2);
		break;
	case FILE_BYTES:
		world_open(find_file());
		world_say(find_file(), bytes, length);
		break;
	case CONTROL_ENDS:
		world_end(world_stream(0), "the router closed the connection");
		break;
	case FILE_ENDS:
		world_end(find_file(), "the router closed the connection");
		break;
	case FILE_OPENS:
		world_open(find_file());
		break;
	case PASSES:
		world_pass((int64_t)length * 250);
		break;
	default:
		world_refuse_next();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ros_ftp_events events = { on_bytes, on_end };
	struct err err;
	bool gives_up;

	if (size < 2)
		return 0;
	gives_up = data[0] & 2;
	memset(&fetch, 0, sizeof(fetch));
	world_begin(on_sent, NULL);
	fetch.request = (struct ros_ftp_request){ .user = "jaga", .password = "se cret", .path = "jaga-snapshot.rsc", .size = data[1],
						  .timeout_ms = TIMEOUT_MS };
	if (parse_address(data[0] & 1 ? "fe80::1" : "192.0.2.1", 21, &fetch.request.address) < 0 ||
	    ros_ftp_fetch(NULL, &fetch.request, &events, NULL, &fetch.ftp, &err) < 0)
		abort();
	world_open(world_stream(0));
	for (data += 2, size -= 2; size >= 2 && !fetch.ended;) {
		size_t length = data[1] < size - 2 ? data[1] : size - 2;

		play(data[0] % N_KINDS, data + 2, length);
		data += 2 + length;
		size -= 2 + length;
	}
	if (gives_up)
		ros_ftp_destroy(fetch.ftp);
	else
		world_pass(TIMEOUT_MS);
	if (fetch.ended != 1 && !gives_up)
		abort();
	return 0;
}
