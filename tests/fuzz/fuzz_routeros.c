/*
 * The RouterOS driver, whole, with a hostile router: what menus hold, what listens tell, how scripts, exports and files come out.
 * Whatever it is, operations end once, what is told to people is text, nothing is left when the driver closes. Streams and time
 * are ros_world's.
 *
 * Input is text. The first line: what happens, a letter each (step() below). Then what the router answers to each command:
 *
 *	/interface/print	the first time asked the first such section, then the second, ..., then the last again
 *	.id=*1			an attribute, in which a tab stands for a line feed; sentences end with an empty line
 *	!trap			at their beginning: another reply than !re
 *	!nothing		no answer, or none any more; else a !done is added where none stands, but to a listen
 *
 * /ftp holds the lines of a server, one for each command, /file the bytes of its file.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/router/ros_codec.h"
#include "agent/router/router.h"
#include "common/random.h"
#include "tests/fuzz/ros_world.h"

#define PENDING	 64 /* more commands are not answered */
#define BUCKETS	 8
#define ANSWERS	 1000 /* a driver that asks on is left alone after so many */
#define SECTIONS 96
#define MAX_BYTES 16384
#define API_PORT 8728

static const char configuration[] = "[agent]\nidentity = r1\nbuckets = 8\n[router]\ndriver = routeros\naddress = 192.0.2.1\nuser = jaga\n"
				    "[lan]\ninterfaces = bridge, guests\n"
				    "[uplink isp1]\ninterface = ether1\nsource = 192.0.2.11\ntargets = 1.1.1.1\nweight = 60\n"
				    "[uplink isp2]\ninterface = ether2\ngateway = 10.0.2.1\nsource = 192.0.2.12\ntargets = 8.8.8.8\n"
				    "[uplink isp3]\ninterface = pppoe-out1\ngateway = none\nsource = 192.0.2.13\ntargets = 9.9.9.9\ntier = 2\n";

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

enum operation { CHECK, SNAPSHOT, SCRIPT, SAVE, OPERATIONS };

static struct {
	struct router *router;
	bool is_ready, is_closing;
	bool is_under_way[OPERATIONS];
	struct section sections[SECTIONS];
	size_t n_sections;
	struct command pending[PENDING], listens[PENDING];
	size_t n_pending, n_listens;
	unsigned n_answers;
	enum router_trap_level worst;
} play;

/* Names of scripts are drawn, and answers must know them. */
void random_fill(void *bytes, size_t length)
{
	memset(bytes, 0x11, length);
}
bool random_is_ready(void) { return true; }
int random_wait(void) { return 0; }

/* --- what must hold --------------------------------------------------------------------------------------- */

static void check_text(const char *text, size_t most)
{
	if (strlen(text) == 0 || strlen(text) > most)
		abort();
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			abort();
}

static void begin_operation(enum operation operation, int result, const struct err *err)
{
	if (result < 0)
		check_text(err->text, sizeof(err->text));
	else if (play.is_under_way[operation])
		abort(); /* one at a time */
	else
		play.is_under_way[operation] = true;
}

static void end_operation(enum operation operation)
{
	if (!play.is_under_way[operation] || play.is_closing)
		abort();
	play.is_under_way[operation] = false;
}

static void on_ready(void *arg)
{
	(void)arg;
	if (play.is_ready)
		abort();
	play.is_ready = true;
}

static void on_uplink(void *arg, unsigned uplink, const struct router_uplink_state *state)
{
	(void)arg;
	if (uplink > 2 || !state)
		abort();
}

static void on_watch(void *arg, const struct router_change *change)
{
	(void)arg;
	if (change->watch <= ROUTER_WATCH_NONE || change->watch >= ROUTER_WATCHES || change->n_names == 0 ||
	    change->n_names > LIMIT_WATCH_NAMES || change->lasted_ms < 0 || strlen(change->address) > LIMIT_WATCH_NAME ||
	    strlen(change->caller) > LIMIT_WATCH_NAME || strlen(change->detail) > LIMIT_WATCH_NAME)
		abort();
	for (unsigned i = 0; i < change->n_names; i++)
		if (strlen(change->names[i]) == 0 || strlen(change->names[i]) > LIMIT_WATCH_NAME)
			abort();
}

static void on_restart(void *arg, const struct router_restart *restart)
{
	(void)arg;
	if (restart->uptime_s < 0 || strlen(restart->version) >= LIMIT_TEXT || strlen(restart->previous_version) >= LIMIT_TEXT)
		abort();
}

static void on_reach(void *arg, const struct err *why)
{
	(void)arg;
	if (why)
		check_text(why->text, sizeof(why->text));
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	(void)arg;
	(void)level;
	check_text(text, LIMIT_ERR_TEXT);
}

static void on_trap(void *arg, const struct router_trap *trap)
{
	(void)arg;
	check_text(trap->id, LIMIT_NAME);
	check_text(trap->what, LIMIT_ERR_TEXT);
	if (trap->level != ROUTER_TRAP_OK)
		check_text(trap->fix, LIMIT_ERR_TEXT);
	if (trap->level > play.worst)
		play.worst = trap->level;
}

static void on_checked(void *arg, enum router_trap_level worst, const struct err *error)
{
	(void)arg;
	end_operation(CHECK);
	if (error)
		check_text(error->text, sizeof(error->text));
	else if (worst != play.worst)
		abort();
}

static void on_snapshot(void *arg, const char *text, size_t length, const struct err *error)
{
	(void)arg;
	end_operation(SNAPSHOT);
	if (!text == !error || (error && error->text[0] == '\0'))
		abort();
	if (text && (length == 0 || length > LIMIT_BODY_BYTES || text[length] != '\0' || text[length - 1] != '\n'))
		abort();
}

static void on_script(void *arg, const struct router_script_result *result)
{
	(void)arg;
	end_operation(SCRIPT);
	if (result->exit_status < -1 || result->output_length > LIMIT_OUTPUT_BYTES || result->duration_ms < 0 ||
	    (result->exit_status == -1) != (result->reason != NULL && result->reason[0] != '\0'))
		abort();
}

static void on_done(void *arg, int result, const char *reason)
{
	(void)arg;
	end_operation(SAVE);
	if (result > 0 || (result < 0 && reason[0] == '\0'))
		abort();
}

static void on_thing(void *arg, const struct router_thing *thing)
{
	(void)arg;
	if (thing->watch <= ROUTER_WATCH_NONE || thing->watch >= ROUTER_WATCHES || thing->lasted_s < 0 ||
	    strlen(thing->name) > LIMIT_WATCH_NAME || (thing->carrier && strlen(thing->carrier) > LIMIT_WATCH_NAME))
		abort();
}

/* --- the router's answers ---------------------------------------------------------------------------------- */

static const char *line_end(const char *line, const char *end)
{
	const char *feed = memchr(line, '\n', (size_t)(end - line));

	return feed ? feed : end;
}

static void find_sections(const char *text, const char *end)
{
	struct section *section = NULL;

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

static char space[2 * MAX_BYTES];
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
	if (!out.failed)
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
	static char value[MAX_BYTES];
	uint8_t head[5];
	size_t length = (size_t)(end - line);

	memcpy(value, line, length);
	for (char *tab = value; (tab = memchr(tab, '\t', length - (size_t)(tab - value))) != NULL;)
		*tab = '\n';
	buf_put(&out, head, ros_encode_length((uint32_t)length + 1, head));
	buf_put(&out, "=", 1);
	buf_put(&out, value, length);
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
			is_last |= strncmp(line, "!done", 5) == 0 || strncmp(line, "!fatal", 6) == 0;
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
static void on_sent(void *arg, const struct ros_stream *stream, const char *bytes, size_t length)
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

static void pump(void)
{
	open_streams();
	while (play.n_pending > 0 && play.n_answers++ < ANSWERS) {
		struct command command = play.pending[0];

		memmove(play.pending, play.pending + 1, --play.n_pending * sizeof(command));
		answer(&command);
		open_streams();
	}
}

/* --- what happens ------------------------------------------------------------------------------------------------ */

static void run_script(size_t length)
{
	static char script[LIMIT_ROS_EXECUTE_BYTES + 8192]; /* two pieces */
	struct err err = { "" };
	int r;

	if (script[0] == '\0')
		for (size_t i = 0; i + 16 < sizeof(script); i += 16)
			memcpy(script + i, "/ip address set\n", 16);
	r = router_routeros.run_script(play.router, "J1", "", script, length, 30000, on_script, NULL, &err);
	begin_operation(SCRIPT, r, &err);
}

static void save_point(const char *rollback)
{
	const struct router_save_spec spec = { .job_id = "J1", .script = "/ip address set 0 disabled=yes\n", .length = 31, .rollback = rollback,
					       .rollback_length = rollback ? strlen(rollback) : 0, .confirm_s = 120 };
	struct err err = { "" };
	int r = router_routeros.save_point(play.router, &spec, on_done, NULL, &err);

	begin_operation(SAVE, r, &err);
}

static void forward(bool takes_over, unsigned live)
{
	struct forwarding_plan plan = { .n_buckets = BUCKETS, .n_uplinks = 3, .live = { 0, 1, 2 } };
	struct err err = { "" };
	bool is_adopted;
	int r;

	for (unsigned i = 0; i < BUCKETS; i++)
		plan.bucket[i] = (uint8_t)(live == 3 ? i % 2 : live);
	for (unsigned i = 0; i < 3 && live < 3; i++)
		plan.live[i] = (uint8_t)live;
	r = takes_over ? router_routeros.take_over(play.router, &plan, &is_adopted, &err) : router_routeros.apply(play.router, &plan, &err);
	if (r < 0)
		check_text(err.text, sizeof(err.text));
}

static void read_all(void)
{
	struct router_uplink_state state;
	struct router_counters counters;
	struct router_health health;
	struct forwarding_plan plan;
	struct err err = { "" };

	for (unsigned i = 0; i < 3; i++)
		if (router_routeros.read_uplink(play.router, i, &state) < 0 || router_routeros.read_counters(play.router, i, &counters) < 0)
			abort();
	if (router_routeros.read_watched(play.router, &health, on_thing, NULL) == 0 &&
	    (health.uptime_s < 0 || strlen(health.version) >= LIMIT_TEXT))
		abort();
	if (router_routeros.read_plan(play.router, &plan, &err) < 0)
		return;
	for (unsigned i = 0; i < plan.n_buckets; i++)
		if (plan.bucket[i] >= plan.n_uplinks)
			abort();
	for (unsigned i = 0; i < plan.n_uplinks; i++)
		if (plan.live[i] >= plan.n_uplinks)
			abort();
}

static void tell_listens(void)
{
	for (size_t i = 0; i < play.n_listens; i++) {
		const struct section *section = find_section(play.listens[i].path);

		if (section)
			say_section(&play.listens[i], section);
	}
}

static void flush(void)
{
	struct err err;
	uint32_t flows;

	(void)router_routeros.flush(play.router, 0, ROUTER_FLUSH_ALL, &flows, &err);
	(void)router_routeros.flush(play.router, 1, ROUTER_FLUSH_UNREPLIED, &flows, &err);
}

/* Nothing but time passes before the router has been read once. */
static void step(char what)
{
	struct err err = { "" };

	if (what >= '0' && what <= '5') {
		static const int64_t pass_ms[] = { 100, 1000, 10000, 30000, 60000, 600000 };

		world_pass(pass_ms[what - '0']);
	} else if (what == 'x') {
		world_end(world_stream(0), "the router closed the connection");
	} else if (what == 'n') {
		world_refuse_next();
	} else if (!play.is_ready) {
		return;
	} else if (strchr("tabc", what)) {
		forward(what == 't', what == 't' ? 3 : (unsigned)(what - 'a'));
	} else if (what == 'f') {
		flush();
	} else if (what == 'd') {
		play.worst = ROUTER_TRAP_OK;
		begin_operation(CHECK, router_routeros.check(play.router, on_trap, on_checked, NULL, &err), &err);
	} else if (what == 's') {
		begin_operation(SNAPSHOT, router_routeros.snapshot(play.router, on_snapshot, NULL, &err), &err);
	} else if (what == 'r' || what == 'R') {
		run_script(what == 'r' ? 32 : LIMIT_ROS_EXECUTE_BYTES + 4096);
	} else if (what == 'v' || what == 'V') {
		save_point(what == 'v' ? NULL : "/ip address set 0 disabled=no\n");
	} else if (what == 'k') {
		begin_operation(SAVE, router_routeros.commit(play.router, "J1", on_done, NULL, &err), &err);
	} else if (what == 'u') {
		begin_operation(SAVE, router_routeros.roll_back(play.router, "J1", on_done, NULL, &err), &err);
	} else if (what == 'm') {
		(void)router_routeros.remove(play.router, &err);
	} else if (what == 'w') {
		read_all();
	} else if (what == 'l') {
		tell_listens();
	}
}

static const struct agent_config *load(void)
{
	static struct agent_config config;
	char path[32];
	int fd = config.n_uplinks ? -1 : memfd_create("config", MFD_CLOEXEC);

	if (config.n_uplinks)
		return &config;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, configuration, strlen(configuration)) < 0 || config_load(path, stderr, &config) < 0)
		abort();
	close(fd);
	return &config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct router_events events = { .on_ready = on_ready, .on_uplink = on_uplink, .on_watch = on_watch,
						     .on_restart = on_restart, .on_reach = on_reach, .on_trouble = on_trouble };
	const struct agent_config *config = load();
	const char *text = (const char *)data, *end = text + size;
	struct err err;

	if (size > MAX_BYTES)
		return 0;
	log_init(LOG_LEVEL_ERROR, false);
	memset(&play, 0, sizeof(play));
	world_begin(on_sent, NULL);
	find_sections(line_end(text, end), end);
	if (router_routeros.open(NULL, config, &events, NULL, &play.router, &err) < 0)
		abort();
	world_pass(0);
	pump();
	for (unsigned steps = 0; text < end && *text != '\n' && steps < 32; steps++) {
		step(*text++);
		pump();
		world_pass(0);
		pump();
	}
	play.is_closing = true;
	router_routeros.close(play.router);
	return 0;
}
