/*
 * ros_api: see ros_api.h.
 *
 *   waiting -> connecting -> logging in -> open
 *      ^            |            |           |
 *      +------------+------------+-----------+   lose(): every command ends, then the pause
 *
 * A command takes a slot; its tag is the slot's number and a count, so that a late answer to an old command of the slot
 * is seen as what it is. Routers put the tag first or, as the manual prints it, last: then a value too long to keep is taken for that
 * of the one command that waits for such a value, until its sentence has said whose it was. The login is a command like the others. One timer watches the nearest deadline. Called by
 * routeros*.c.
 */
#include "agent/router/ros_api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/md5.h>
#include <mbedtls/platform_util.h>

#include "agent/router/ros_stream.h"
#include "common/clock.h"

#define TAG_OF_CANCELS UINT32_MAX /* their answers say nothing that the cancelled command's do not */

enum state { WAITING, CONNECTING, LOGGING_IN, OPEN };

struct command {
	uint32_t tag; /* 0: the slot is free */
	char path[LIMIT_ROS_PATH];
	bool is_cancelled;
	int cancel_status;
	bool has_trap;
	int64_t deadline_ms; /* INT64_MAX: none */
	const struct ros_answer *answer;
	void *arg;
	struct ros_result result;
};

struct ros_api {
	struct ev_loop *loop;
	struct ros_api_settings settings;
	const struct ros_api_events *events;
	void *arg;
	enum state state;
	bool is_challenged;
	bool is_broken; /* `why` says how; lost when the decoder has returned */
	struct err why;
	int64_t retry_ms, opened_ms;
	ev_timer timer; /* WAITING: to connect; else the nearest deadline */
	uint32_t count; /* commands so far */
	char path[LIMIT_ROS_PATH]; /* of the command under construction */
	struct ros_stream stream;
	struct ros_decoder decoder;
	bool is_tag_late; /* this router puts the tag behind attributes */
	uint32_t bulk_tag; /* of the command that was given a value of the sentence under way; 0: none */
	struct command commands[LIMIT_ROS_COMMANDS];
};

/* --- commands ----------------------------------------------------------------------------------- */

static struct command *find(struct ros_api *api, uint32_t tag)
{
	struct command *command = &api->commands[tag % LIMIT_ROS_COMMANDS];

	return tag != 0 && command->tag == tag ? command : NULL;
}

static void set_timer(struct ros_api *api, int64_t at_ms)
{
	int64_t left_ms = at_ms - clock_mono_ms();

	ev_timer_stop(api->loop, &api->timer);
	if (at_ms == INT64_MAX)
		return;
	ev_timer_set(&api->timer, left_ms > 0 ? (ev_tstamp)left_ms / 1000 : 0, 0);
	ev_timer_start(api->loop, &api->timer);
}

static void watch_deadlines(struct ros_api *api)
{
	int64_t nearest_ms = INT64_MAX;

	for (unsigned i = 0; i < LIMIT_ROS_COMMANDS; i++)
		if (api->commands[i].tag != 0 && api->commands[i].deadline_ms < nearest_ms)
			nearest_ms = api->commands[i].deadline_ms;
	set_timer(api, nearest_ms);
}

static void end_command(struct command *command, int status)
{
	struct ros_result result = command->result;

	result.status = status;
	command->tag = 0; /* before the callback: it may send the next one */
	command->answer->on_end(command->arg, &result);
}

static void put_number(struct buf *out, const char *key, uint32_t number)
{
	char digits[sizeof("4294967295")];
	struct buf text;

	buf_init(&text, digits, sizeof(digits));
	buf_printf(&text, "%" PRIu32, number);
	ros_put_attribute(out, key, digits, text.length);
}

static void cancel(struct ros_api *api, struct command *command, int status)
{
	struct buf *out;

	if (command->is_cancelled)
		return;
	command->is_cancelled = true;
	command->cancel_status = status;
	command->deadline_ms = clock_mono_ms() + LIMIT_ROS_ANSWER_MS;
	watch_deadlines(api);
	out = ros_api_begin(api, "/cancel");
	put_number(out, "tag", command->tag);
	ros_put_tag(out, TAG_OF_CANCELS);
	ros_end_sentence(out);
	/* When there is no room for it, the deadline ends the session. */
	ros_stream_commit(&api->stream);
}

void ros_api_cancel(struct ros_api *api, uint32_t tag)
{
	struct command *command = find(api, tag);

	if (command)
		cancel(api, command, -ECANCELED);
}

struct buf *ros_api_begin(struct ros_api *api, const char *path)
{
	struct buf *out = ros_stream_begin(&api->stream);

	snprintf(api->path, sizeof(api->path), "%s", path);
	ros_put_word(out, path);
	return out;
}

/* The one command that waits for a long value of this key. NULL: none, or *ret_is_one_of_many. */
static struct command *taker_of(struct ros_api *api, const char *key, bool *ret_is_one_of_many)
{
	struct command *found = NULL;

	*ret_is_one_of_many = false;
	for (unsigned i = 0; i < LIMIT_ROS_COMMANDS; i++) {
		struct command *command = &api->commands[i];

		if (command->tag == 0 || !command->answer->on_bulk || strcmp(command->answer->bulk_key, key) != 0)
			continue;
		*ret_is_one_of_many = found != NULL;
		if (found)
			return NULL;
		found = command;
	}
	return found;
}

static int send_command(struct ros_api *api, int64_t timeout_ms, const struct ros_answer *answer, void *arg,
			uint32_t *ret_tag, struct err *err)
{
	struct buf *out = &api->stream.out;
	struct command *command;
	unsigned tries = 0;
	bool is_one_of_many;

	if (api->is_tag_late && answer->on_bulk && taker_of(api, answer->bulk_key, &is_one_of_many)) {
		out->failed = true;
		ros_stream_commit(&api->stream);
		return err_set(err, -EBUSY, "%s: another long answer is under way", api->path);
	}
	do {
		if (tries++ == LIMIT_ROS_COMMANDS) {
			out->failed = true;
			ros_stream_commit(&api->stream);
			return err_set(err, -EBUSY, "%s: %d commands are under way", api->path, LIMIT_ROS_COMMANDS);
		}
		api->count = api->count == TAG_OF_CANCELS - 1 ? 1 : api->count + 1;
		command = &api->commands[api->count % LIMIT_ROS_COMMANDS];
	} while (command->tag != 0);

	ros_put_tag(out, api->count);
	ros_end_sentence(out);
	if (ros_stream_commit(&api->stream) < 0)
		return err_set(err, -ENOBUFS, "%s: the router takes no more commands", api->path);
	*command = (struct command){
		.tag = api->count,
		.deadline_ms = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : INT64_MAX,
		.answer = answer,
		.arg = arg,
		.result.category = -1,
	};
	memcpy(command->path, api->path, sizeof(command->path));
	watch_deadlines(api);
	if (ret_tag)
		*ret_tag = command->tag;
	return 0;
}

int ros_api_send(struct ros_api *api, int64_t timeout_ms, const struct ros_answer *answer, void *arg, uint32_t *ret_tag,
		 struct err *err)
{
	if (api->state == OPEN)
		return send_command(api, timeout_ms, answer, arg, ret_tag, err);
	api->stream.out.failed = true; /* what was begun */
	ros_stream_commit(&api->stream);
	return err_set(err, -ENOTCONN, "%s: not connected to the router", api->path);
}

/* --- the session -------------------------------------------------------------------------------- */

/* Ends the session because of api->why. Not while the decoder runs: set is_broken then. */
static void lose(struct ros_api *api)
{
	struct err named = api->why;
	int64_t now_ms = clock_mono_ms();
	/* A session that ends as soon as it begins is no success: the pause goes on growing. */
	bool was_sound = api->state == OPEN && now_ms - api->opened_ms >= LIMIT_ROS_RETRY_MAX_MS;

	ros_stream_close(&api->stream);
	memset(&api->decoder, 0, sizeof(api->decoder));
	api->bulk_tag = 0;
	api->is_tag_late = false;
	api->state = WAITING;
	for (unsigned i = 0; i < LIMIT_ROS_COMMANDS; i++) {
		struct command *command = &api->commands[i];

		if (command->tag == 0)
			continue;
		err_set(&command->result.err, 0, "%s: %s", command->path, api->why.text);
		end_command(command, command->is_cancelled ? command->cancel_status : -ECONNRESET);
	}
	err_prefix(&named, "router %s: ", api->settings.name);
	api->retry_ms = was_sound || api->retry_ms == 0 ? LIMIT_ROS_RETRY_MIN_MS : api->retry_ms * 2;
	if (api->retry_ms > LIMIT_ROS_RETRY_MAX_MS)
		api->retry_ms = LIMIT_ROS_RETRY_MAX_MS;
	set_timer(api, now_ms + api->retry_ms);
	api->events->on_lost(api->arg, api->retry_ms, &named);
}

static void try_to_connect(struct ros_api *api)
{
	const struct ros_api_settings *settings = &api->settings;

	api->state = CONNECTING;
	api->is_broken = false;
	if (ros_stream_open(&api->stream, &settings->address, settings->tls.mode == CONFIG_TLS_OFF ? NULL : &settings->tls,
			    &api->why) < 0)
		lose(api);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct ros_api *api = watcher->data;
	int64_t now_ms = clock_mono_ms();

	(void)loop;
	(void)revents;
	if (api->state == WAITING) {
		try_to_connect(api);
		return;
	}
	for (unsigned i = 0; i < LIMIT_ROS_COMMANDS; i++) {
		const struct command *command = &api->commands[i];

		if (command->tag == 0 || command->deadline_ms > now_ms)
			continue;
		err_set(&api->why, -ETIMEDOUT, "no whole answer to %s in time", command->path);
		lose(api);
		return;
	}
	watch_deadlines(api); /* a timer may fire a little early */
}

/* --- login -------------------------------------------------------------------------------------- */

static void on_logged_in(void *arg, const struct ros_result *result);
static const struct ros_answer login_answer = { .on_end = on_logged_in };

static void begin_login(struct ros_api *api)
{
	ros_put_text(ros_api_begin(api, "/login"), "name", api->settings.user);
}

static void send_login(struct ros_api *api)
{
	if (send_command(api, LIMIT_ROS_CONNECT_MS, &login_answer, api, NULL, &api->why) < 0)
		api->is_broken = true;
}

/* Before 6.43: 00 and MD5(00, password, challenge), in hexadecimal. */
static void answer_challenge(struct ros_api *api, const char *challenge)
{
	uint8_t text[1 + LIMIT_ROS_PASSWORD + 16] = { 0 }, digest[16];
	size_t length = strlen(api->settings.password);
	char response[2 + 2 * sizeof(digest) + 1];
	struct buf out;

	memcpy(text + 1, api->settings.password, length);
	if (parse_hex(challenge, text + 1 + length, 16) < 0 || mbedtls_md5(text, 1 + length + 16, digest) != 0) {
		err_set(&api->why, -EPROTO, "the router sends a challenge that is none");
		api->is_broken = true;
		return;
	}
	mbedtls_platform_zeroize(text, sizeof(text));
	buf_init(&out, response, sizeof(response));
	buf_puts(&out, "00");
	buf_put_hex(&out, digest, sizeof(digest));
	begin_login(api);
	ros_put_attribute(&api->stream.out, "response", response, out.length);
	send_login(api);
}

static void on_logged_in(void *arg, const struct ros_result *result)
{
	struct ros_api *api = arg;
	const char *challenge = result->done ? ros_find(result->done, "ret") : NULL;

	if (result->status == -ECONNRESET)
		return; /* the session is lost already */
	if (result->status < 0) {
		api->why = result->err;
		api->is_broken = true;
	} else if (challenge && !api->is_challenged) {
		api->is_challenged = true;
		answer_challenge(api, challenge);
	} else {
		api->state = OPEN;
		api->opened_ms = clock_mono_ms();
		api->events->on_open(api->arg);
	}
}

static void on_stream_open(void *arg)
{
	struct ros_api *api = arg;

	api->state = LOGGING_IN;
	api->is_challenged = false;
	begin_login(api);
	ros_put_text(&api->stream.out, "password", api->settings.password);
	send_login(api);
	if (api->is_broken)
		lose(api);
}

/* --- answers ------------------------------------------------------------------------------------ */

static void take_trap(struct command *command, const struct ros_sentence *sentence)
{
	const char *message = ros_find(sentence, "message"), *category = ros_find(sentence, "category");
	uint32_t number;

	if (command->has_trap || command->is_cancelled)
		return; /* the first one is the cause, or we are */
	command->has_trap = true;
	if (category && parse_u32(category, 0, 7, &number) == 0)
		command->result.category = (int)number;
	err_set(&command->result.err, 0, "%s: %s", command->path, message ? message : "refused, without a reason");
	err_make_printable(&command->result.err);
}

static void take_done(struct command *command, const struct ros_sentence *sentence)
{
	if (command->is_cancelled) {
		end_command(command, command->cancel_status);
	} else if (command->has_trap) {
		end_command(command, -EREMOTEIO);
	} else {
		command->result.done = sentence;
		end_command(command, 0);
	}
}

static int on_sentence(void *arg, const struct ros_sentence *sentence)
{
	struct ros_api *api = arg;
	struct command *command = find(api, sentence->tag);
	int rc = 0;

	if (sentence->reply == ROS_FATAL) {
		err_set(&api->why, 0, "the router ended the session: %s",
			sentence->count > 0 ? sentence->attributes[0].value : "it gives no reason");
		err_make_printable(&api->why);
		return -ECONNRESET;
	}
	api->is_tag_late |= sentence->is_tag_late;
	if (api->bulk_tag != 0 && api->bulk_tag != sentence->tag)
		return err_set(&api->why, -EPROTO, "the router says too late whose a long value is");
	api->bulk_tag = 0;
	if (sentence->tag == TAG_OF_CANCELS)
		return 0;
	if (!command)
		return err_set(&api->why, -EPROTO, "the router answers a command that was not sent");
	if (sentence->reply == ROS_DONE)
		take_done(command, sentence);
	else if (sentence->reply == ROS_TRAP)
		take_trap(command, sentence);
	else if (sentence->reply == ROS_RE && command->answer->on_re && !command->is_cancelled)
		rc = command->answer->on_re(command->arg, sentence);
	if (rc < 0)
		cancel(api, command, rc);
	return api->is_broken ? -ECONNRESET : 0;
}

static int on_bulk(void *arg, uint32_t tag, const char *key, const uint8_t *piece, size_t length, bool is_last)
{
	struct ros_api *api = arg;
	bool is_one_of_many = false;
	struct command *command = tag != 0 ? find(api, tag) : taker_of(api, key, &is_one_of_many);
	int rc;

	if (tag != 0 && !command)
		return err_set(&api->why, -EPROTO, "the router answers a command that was not sent");
	if (is_one_of_many)
		return err_set(&api->why, -EPROTO, "the router says too late whose a long value is");
	if (!command || !command->answer->on_bulk || strcmp(command->answer->bulk_key, key) != 0)
		return 0; /* nobody asked for it: a comment */
	api->bulk_tag = command->tag;
	if (command->is_cancelled)
		return 0;
	rc = command->answer->on_bulk(command->arg, piece, length, is_last);
	if (rc < 0)
		cancel(api, command, rc);
	return 0;
}

static void on_stream_bytes(void *arg, const uint8_t *bytes, size_t length)
{
	static const struct ros_events events = { on_sentence, on_bulk };
	struct ros_api *api = arg;

	if (ros_decode(&api->decoder, bytes, length, &events, api, &api->why) < 0)
		lose(api);
	else
		watch_deadlines(api);
}

static void on_stream_end(void *arg, const struct err *why)
{
	struct ros_api *api = arg;

	api->why = *why;
	lose(api);
}

/* --- life --------------------------------------------------------------------------------------- */

int ros_api_create(struct ev_loop *loop, const struct ros_api_settings *settings, const struct ros_api_events *events,
		   void *arg, struct ros_api **ret_api, struct err *err)
{
	static const struct ros_stream_events stream_events = { on_stream_open, on_stream_bytes, on_stream_end };
	struct ros_api *api = calloc(1, sizeof(*api));

	if (!api)
		return err_sys(err, -ENOMEM, "session with router %s", settings->name);
	api->loop = loop;
	api->settings = *settings;
	api->events = events;
	api->arg = arg;
	ros_stream_init(&api->stream, loop, &stream_events, api);
	ev_init(&api->timer, on_timer);
	api->timer.data = api;
	set_timer(api, clock_mono_ms()); /* from the loop, so that nothing is called back from here */
	*ret_api = api;
	return 0;
}

void ros_api_destroy(struct ros_api *api)
{
	if (!api)
		return;
	ros_stream_close(&api->stream);
	ev_timer_stop(api->loop, &api->timer);
	api->state = WAITING;
	for (unsigned i = 0; i < LIMIT_ROS_COMMANDS; i++)
		if (api->commands[i].tag != 0)
			end_command(&api->commands[i], -ECANCELED);
	mbedtls_platform_zeroize(api, sizeof(*api));
	free(api);
}

bool ros_api_is_open(const struct ros_api *api)
{
	return api->state == OPEN;
}
