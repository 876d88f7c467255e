/*
 * A session with a hostile router over its API: whatever it says and whenever it hangs up, every command that was sent ends exactly
 * once and in its time, an error always says something, and what is sent is whole sentences. Streams and time are ros_world's.
 *
 * Input: records of kind, argument, length; then that many bytes (kinds below).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/router/ros_api.h"
#include "common/clock.h"
#include "tests/fuzz/ros_world.h"

#define COMMANDS 64

enum kind { SAYS, ANSWERS, SEND, CANCEL, PASS, END, REFUSE, FULL, N_KINDS };

struct command {
	bool is_sent, has_ended, is_cancelled;
	uint8_t how; /* the bits below */
	uint32_t tag;
	int64_t deadline_ms; /* 0: none */
};

/* In a command's argument: what its callbacks do. */
enum { ENOUGH = 1, SENDS_NEXT = 2, CANCELS_ITSELF = 4, LISTENS = 8 };

static struct {
	struct ros_api *api;
	bool is_open, is_in_callback;
	struct command commands[COMMANDS];
	size_t count;
} session;

static void send_command(uint8_t how, const uint8_t *text, size_t length);

/* --- what must hold --------------------------------------------------------------------------------------- */

static void check_words(const struct err *err)
{
	if (err->text[0] == '\0')
		abort();
	for (const char *p = err->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			abort();
}

/* Whole sentences, of which each begins with a command. */
static void on_sent(void *arg, const struct ros_stream *stream, const char *bytes, size_t length)
{
	const uint8_t *next = (const uint8_t *)bytes, *end = next + length;
	bool is_first = true;

	(void)arg;
	(void)stream;
	while (next < end) {
		size_t word = *next++;

		if (word >= 0x80) { /* of two or three bytes: no command here has longer words */
			unsigned more = word < 0xc0 ? 1 : 2;

			word &= more == 1 ? 0x3f : 0x1f;
			while (more-- > 0)
				word = word << 8 | (next < end ? *next++ : 0);
		}
		if (word > (size_t)(end - next) || (word > 0 && is_first && *next != '/'))
			abort();
		next += word;
		is_first = word == 0;
	}
	if (!is_first)
		abort();
}

static void check_deadlines(void)
{
	for (size_t i = 0; i < session.count; i++) {
		const struct command *command = &session.commands[i];

		if (command->is_sent && !command->has_ended && command->deadline_ms != 0 && command->deadline_ms <= clock_mono_ms())
			abort();
	}
}

/* --- callbacks ---------------------------------------------------------------------------------------------- */

static void on_open(void *arg)
{
	(void)arg;
	if (session.is_open || !ros_api_is_open(session.api))
		abort();
	session.is_open = true;
}

static void on_lost(void *arg, int64_t retry_ms, const struct err *why)
{
	(void)arg;
	session.is_open = false;
	check_words(why);
	if (ros_api_is_open(session.api) || retry_ms < LIMIT_ROS_RETRY_MIN_MS || retry_ms > LIMIT_ROS_RETRY_MAX_MS ||
	    strncmp(why->text, "router r1: ", 11) != 0)
		abort();
	for (size_t i = 0; i < session.count; i++)
		if (session.commands[i].is_sent && !session.commands[i].has_ended)
			abort();
	send_command(0, (const uint8_t *)"", 0);
}

static void cancel(struct command *command)
{
	if (!command->is_sent || command->has_ended)
		return;
	if (!command->is_cancelled)
		command->deadline_ms = clock_mono_ms() + LIMIT_ROS_ANSWER_MS;
	command->is_cancelled = true;
	ros_api_cancel(session.api, command->tag);
}

static int on_part(struct command *command)
{
	if (!command->is_sent || command->has_ended || command->is_cancelled)
		abort();
	if (command->how & CANCELS_ITSELF)
		cancel(command);
	if (!(command->how & ENOUGH))
		return 0;
	if (!command->is_cancelled)
		command->deadline_ms = clock_mono_ms() + LIMIT_ROS_ANSWER_MS;
	command->is_cancelled = true;
	return -ENOSPC;
}

static int on_re(void *arg, const struct ros_sentence *sentence)
{
	for (size_t i = 0; i < sentence->count; i++)
		if (strlen(sentence->attributes[i].key) > LIMIT_ROS_WORD_BYTES ||
		    sentence->attributes[i].value[sentence->attributes[i].length] != '\0')
			abort();
	return on_part(arg);
}

static int on_bulk(void *arg, const uint8_t *piece, size_t length, bool is_last)
{
	static char kept[LIMIT_ROS_SENTENCE_BYTES];

	(void)is_last;
	if (length == 0 || length > sizeof(kept))
		abort();
	memcpy(kept, piece, length); /* all of it is there */
	return on_part(arg);
}

static void on_end(void *arg, const struct ros_result *result)
{
	struct command *command = arg;

	if (!command->is_sent || command->has_ended || (result->status == 0) != !!result->done || result->status > 0 ||
	    (result->status == 0 && command->is_cancelled) || (result->status == -ECANCELED && !session.api))
		abort();
	if (result->status == -EREMOTEIO || result->status == -ECONNRESET || result->status == -ETIMEDOUT)
		check_words(&result->err);
	command->has_ended = true;
	if (command->how & SENDS_NEXT)
		send_command(command->how & (uint8_t)~SENDS_NEXT, (const uint8_t *)"", 0);
}

/* --- records -------------------------------------------------------------------------------------------------- */

static void send_command(uint8_t how, const uint8_t *text, size_t length)
{
	static const struct ros_answer answer = { on_re, "ret", on_bulk, on_end };
	struct command *command = &session.commands[session.count];
	int64_t timeout_ms = how & LISTENS ? 0 : 100 * (1 + how / 16);
	struct err err = { "" };
	int r;

	if (session.count == COMMANDS || !session.api)
		return;
	session.count++;
	*command = (struct command){ .is_sent = true, .how = how, .deadline_ms = timeout_ms ? clock_mono_ms() + timeout_ms : 0 };
	ros_put_attribute(ros_api_begin(session.api, "/interface/print"), ".proplist", text, length);
	r = ros_api_send(session.api, timeout_ms, &answer, command, &command->tag, &err);
	if (r == 0)
		return;
	check_words(&err);
	if (r != (session.is_open ? r : -ENOTCONN) || (r != -ENOTCONN && r != -EBUSY && r != -ENOBUFS))
		abort();
	command->is_sent = false;
}

/* A sentence that fits: the reply's kind, and the tag of a command that was sent (the login's, too), are chosen by the argument. */
static void answer(uint8_t argument, const uint8_t *words, size_t length)
{
	static const char *const replies[] = { "!re", "!done", "!trap", "!fatal", "!empty", "!re", "!done", "!done" };
	size_t number = argument / 8;
	char space[1024];
	struct buf out;

	buf_init(&out, space, sizeof(space));
	ros_put_word(&out, replies[argument % 8]);
	ros_put_tag(&out, number == 31 ? UINT32_MAX : number < session.count ? session.commands[number].tag : (uint32_t)number + 1);
	buf_put(&out, words, length);
	ros_end_sentence(&out);
	world_say(world_stream(0), (const uint8_t *)out.data, out.length);
}

static void play(enum kind kind, uint8_t argument, const uint8_t *bytes, size_t length)
{
	switch (kind) {
	case SAYS:
		world_open(world_stream(0));
		for (size_t step = (size_t)argument + 1; length > 0; bytes += step, length -= step) {
			step = length < step ? length : step;
			world_say(world_stream(0), bytes, step);
		}
		break;
	case ANSWERS:
		world_open(world_stream(0));
		answer(argument, bytes, length);
		break;
	case SEND:
		send_command(argument, bytes, length);
		break;
	case CANCEL:
		if (argument < session.count)
			cancel(&session.commands[argument]);
		else
			ros_api_cancel(session.api, argument % 2 ? UINT32_MAX - argument : 0); /* of no command */
		break;
	case PASS:
		world_pass(argument < 128 ? argument * 10 : argument * 300);
		check_deadlines();
		break;
	case END:
		world_end(world_stream(0), "the router closed the connection");
		break;
	case REFUSE:
		world_refuse_next();
		break;
	default:
		world_take_bytes(argument % 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ros_api_events events = { on_open, on_lost };
	struct ros_api_settings settings = { .name = "r1", .user = "jaga", .password = "secret" };
	struct err err;

	memset(&session, 0, sizeof(session));
	world_begin(on_sent, NULL);
	settings.address.family = AF_INET;
	if (ros_api_create(NULL, &settings, &events, NULL, &session.api, &err) < 0)
		abort();
	world_pass(0); /* it connects */
	while (size >= 3) {
		size_t length = data[2] < size - 3 ? data[2] : size - 3;

		play(data[0] % N_KINDS, data[1], data + 3, length);
		data += 3 + length;
		size -= 3 + length;
	}
	ros_api_destroy(session.api);
	for (size_t i = 0; i < session.count; i++)
		if (session.commands[i].is_sent && !session.commands[i].has_ended)
			abort();
	return 0;
}
