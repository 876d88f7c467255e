/*
 * ros_menus: see ros_menus.h. Commands wait in the order in which they came and are answered from outside the driver's calls, as a
 * router does. Called by fuzz_routeros.c.
 */
#include "tests/fuzz/ros_menus.h"

#include <stdlib.h>
#include <string.h>

#include "agent/router/ros_codec.h"

#define PENDING	 64   /* more commands are not answered */
#define ANSWERS	 1000 /* a driver that asks on is left alone after so many */
#define SENTENCES 100000 /* a menu that is asked for again and again falls silent, or one input takes minutes */
#define SECTIONS 96
#define API_PORT 8728

struct section {
	const char *path, *body, *end;
	size_t path_length;
	bool is_used;
};

struct command {
	const struct ros_stream *stream;
	uint32_t tag, cancelled; /* cancelled: of which command; 0: of none */
	char path[LIMIT_ROS_PATH + 1];
};

static struct {
	struct section sections[SECTIONS];
	size_t n_sections;
	struct command pending[PENDING], listens[PENDING];
	size_t n_pending, n_listens;
	unsigned n_answers, n_sentences;
} play;

/* --- the router's answers ---------------------------------------------------------------------------------- */

static const char *line_end(const char *line, const char *end)
{
	const char *feed = memchr(line, '\n', (size_t)(end - line));

	return feed ? feed : end;
}

void ros_menus_begin(const char *text, const char *end)
{
	struct section *section = NULL;

	memset(&play, 0, sizeof(play));
	for (const char *line = text; line < end; line = line_end(line, end) + 1) {
		const char *stop = line_end(line, end);

		if (*line == '/' && play.n_sections < SECTIONS) {
			section = &play.sections[play.n_sections++];
			*section = (struct section){ .path = line, .path_length = (size_t)(stop - line), .body = stop < end ? stop + 1 : end };
			section->end = section->body;
		} else if (section) {
			section->end = stop < end ? stop + 1 : end;
		}
	}
}

static struct section *find_section(const char *path)
{
	struct section *last = NULL;

	for (size_t i = 0; i < play.n_sections; i++) {
		struct section *section = &play.sections[i];

		if (section->path_length != strlen(path) || memcmp(section->path, path, section->path_length) != 0)
			continue;
		last = section;
		if (!section->is_used)
			break;
	}
	if (last)
		last->is_used = true;
	return last;
}

/* It may be gone meanwhile. */
static struct ros_stream *find_stream(const struct ros_stream *wanted)
{
	struct ros_stream *stream = NULL;

	for (size_t i = 0; (stream = world_stream(i)) != NULL && stream != wanted;)
		i++;
	return stream;
}

static char space[2 * ROS_MENUS_BYTES];
static struct buf out = { .data = space };

static void begin_sentence(const char *reply, size_t length, uint32_t tag)
{
	char word[16] = "!re";

	buf_init(&out, space, sizeof(space));
	if (length > 0) {
		memset(word, 0, sizeof(word));
		memcpy(word, reply, length < sizeof(word) ? length : sizeof(word) - 1);
	}
	ros_put_word(&out, word);
	ros_put_tag(&out, tag);
}

static void end_sentence(const struct ros_stream *stream)
{
	ros_end_sentence(&out);
	if (!out.failed && play.n_sentences++ < SENTENCES)
		world_say(find_stream(stream), (const uint8_t *)out.data, out.length);
}

static void say_plain(const struct command *command, const char *reply, const char *message)
{
	begin_sentence(reply, strlen(reply), command->tag);
	if (message)
		ros_put_text(&out, "message", message);
	end_sentence(command->stream);
}

static void put_attribute(const char *line, const char *end)
{
	static char value[ROS_MENUS_BYTES];
	uint8_t head[5];
	size_t length = (size_t)(end - line);

	memcpy(value, line, length);
	for (char *tab = value; (tab = memchr(tab, '\t', length - (size_t)(tab - value))) != NULL;)
		*tab = '\n';
	buf_put(&out, head, ros_encode_length((uint32_t)length + 1, head));
	buf_put(&out, "=", 1);
	buf_put(&out, value, length);
}

static bool begins_with(const char *line, const char *stop, const char *head)
{
	return (size_t)(stop - line) >= strlen(head) && memcmp(line, head, strlen(head)) == 0;
}

/* What the section says, sentence by sentence. */
static void say_section(const struct command *command, const struct section *section)
{
	bool is_in_sentence = false, is_last = strstr(command->path, "/listen") != NULL;
	const char *line = section->body, *stop;

	for (; line < section->end; line = stop + 1) {
		stop = line_end(line, section->end);
		if (!is_in_sentence && stop - line == 8 && memcmp(line, "!nothing", 8) == 0)
			return;
		if (!is_in_sentence && stop > line) {
			begin_sentence(line, *line == '!' ? (size_t)(stop - line) : 0, command->tag);
			is_in_sentence = true;
			is_last |= begins_with(line, stop, "!done") || begins_with(line, stop, "!fatal");
			if (*line == '!')
				continue;
		}
		if (stop > line)
			put_attribute(line, stop);
		else if (is_in_sentence)
			end_sentence(command->stream), is_in_sentence = false;
	}
	if (is_in_sentence)
		end_sentence(command->stream);
	if (!is_last)
		say_plain(command, "!done", NULL);
}

static void say_ftp(const struct command *command)
{
	const struct section *section = find_section("/ftp");
	size_t number = command->tag; /* of the line */
	const char *line = section ? section->body : NULL;

	while (line && line < section->end && number-- > 0)
		line = line_end(line, section->end) + 1;
	if (!line || line >= section->end) {
		world_end(find_stream(command->stream), "the router closed the connection");
		return;
	}
	world_say(find_stream(command->stream), (const uint8_t *)line, (size_t)(line_end(line, section->end) - line));
	world_say(find_stream(command->stream), (const uint8_t *)"\r\n", 2);
}

static void answer(const struct command *command)
{
	const struct section *section = find_section(command->path);

	if (strcmp(command->path, "/ftp") == 0) {
		say_ftp(command);
		return;
	}
	if (command->cancelled != 0) {
		say_plain(&(struct command){ .stream = command->stream, .tag = command->cancelled }, "!trap", "interrupted");
		say_plain(&(struct command){ .stream = command->stream, .tag = command->cancelled }, "!done", NULL);
	}
	if (strstr(command->path, "/listen") != NULL && play.n_listens < PENDING)
		play.listens[play.n_listens++] = *command;
	if (section) {
		say_section(command, section);
	} else {
		if (strcmp(command->path, "/login") != 0 && command->cancelled == 0)
			say_plain(command, "!trap", "no such command");
		say_plain(command, "!done", NULL);
	}
}

/* --- what it is sent ------------------------------------------------------------------------------------------ */

static void take_word(struct command *command, const char *word, size_t length)
{
	char number[16] = "";

	if (length <= 5 || length >= 5 + sizeof(number))
		return;
	memcpy(number, word + 5, length - 5);
	if (memcmp(word, ".tag=", 5) == 0)
		(void)parse_u32(number, 0, UINT32_MAX, &command->tag);
	else if (memcmp(word, "=tag=", 5) == 0)
		(void)parse_u32(number, 0, UINT32_MAX, &command->cancelled);
}

/* Whole sentences, each of which begins with a command. */
void ros_menus_on_sent(void *arg, const struct ros_stream *stream, const char *bytes, size_t length)
{
	const uint8_t *next = (const uint8_t *)bytes, *end = next + length;
	struct command command = { .stream = stream };
	static uint32_t ftp_lines;

	(void)arg;
	if (world_peer(stream)->port != API_PORT) {
		ftp_lines = memcmp(bytes, "USER", length < 4 ? length : 4) == 0 ? 0 : ftp_lines;
		command = (struct command){ .stream = stream, .tag = ++ftp_lines, .path = "/ftp" };
		if (play.n_pending < PENDING)
			play.pending[play.n_pending++] = command;
		return;
	}
	while (next < end) {
		size_t word = *next++;
		unsigned more = word < 0x80 ? 0 : word < 0xc0 ? 1 : word < 0xe0 ? 2 : 3;

		for (word &= 0xffu >> (more + (more > 0)); more > 0; more--)
			word = word << 8 | (next < end ? *next++ : 0);
		if (word > (size_t)(end - next))
			abort();
		if (word == 0) {
			if (command.path[0] == '\0')
				abort();
			if (play.n_pending < PENDING)
				play.pending[play.n_pending++] = command;
			command = (struct command){ .stream = stream };
		} else if (command.path[0] == '\0') {
			if (*next != '/' || word > LIMIT_ROS_PATH)
				abort();
			memcpy(command.path, next, word);
		} else {
			take_word(&command, (const char *)next, word);
		}
		next += word;
	}
	if (command.path[0] != '\0')
		abort();
}

static void open_streams(void)
{
	const struct section *file = NULL;
	struct ros_stream *stream;

	for (size_t i = 0; (stream = world_stream(i)) != NULL; i++) {
		if (stream->phase == ROS_OPEN)
			continue;
		world_open(stream);
		if (find_stream(stream) == NULL || world_peer(stream)->port == API_PORT)
			continue;
		if (world_peer(stream)->port == 21) {
			say_ftp(&(struct command){ .stream = stream });
			continue;
		}
		file = find_section("/file");
		if (file)
			world_say(stream, (const uint8_t *)file->body, (size_t)(file->end - file->body));
		world_end(find_stream(stream), "the router closed the connection");
	}
}

void ros_menus_answer(void)
{
	open_streams();
	while (play.n_pending > 0 && play.n_answers++ < ANSWERS) {
		struct command command = play.pending[0];

		memmove(play.pending, play.pending + 1, --play.n_pending * sizeof(command));
		answer(&command);
		open_streams();
	}
}

void ros_menus_tell_listens(void)
{
	for (size_t i = 0; i < play.n_listens; i++) {
		const struct section *section = find_section(play.listens[i].path);

		if (section)
			say_section(&play.listens[i], section);
	}
}
