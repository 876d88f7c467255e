/*
 * routeros_execute: see routeros_execute.h.
 *
 *   as a string   execute ------------------------------.-> done
 *   as a job      execute -> watch until it is gone -.  |
 *                                                    v  v
 *                           variable -> remove it -> output file -> remove it -> done
 *
 * The right half is gone through by every job, and by a string that failed. Called by routeros_script.c.
 */
#include "agent/router/routeros_execute.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/ros_script.h"
#include "common/random.h"

/* --- output -------------------------------------------------------------------------------------- */

static void take(struct ros_output *output, const void *bytes, size_t length)
{
	size_t room = sizeof(output->text) - output->length, kept = length < room ? length : room;
	size_t last = length < sizeof(output->tail) ? length : sizeof(output->tail), old = sizeof(output->tail) - last;

	memcpy(output->text + output->length, bytes, kept);
	output->length += kept;
	output->seen += length;
	if (old > output->tail_length)
		old = output->tail_length;
	memmove(output->tail, output->tail + output->tail_length - old, old);
	memcpy(output->tail + old, (const char *)bytes + length - last, last);
	output->tail_length = old + last;
}

/* What is not the script's own is cut off: our marker, or the router's reason, which names lines of what we made of it. */
static void end_output(struct ros_output *output, const struct ros_verdict *verdict, bool has_failed)
{
	size_t own = has_failed && verdict->reason ? (size_t)(verdict->reason - output->tail) : verdict->output_length;
	uint64_t end = output->seen - (output->tail_length - own);

	if (output->begin + end < output->length)
		output->length = output->begin + (size_t)end;
	else if (output->begin + end > output->length)
		output->is_truncated = true;
}

/* A longer file than this version of RouterOS hands out: 6 gives 4 KB or nothing. */
static void note_lack(struct ros_output *output, uint64_t size)
{
	char note[96];

	if (size <= output->seen)
		return;
	snprintf(note, sizeof(note), "(of %" PRIu64 " bytes that it printed, the router hands out %" PRIu64 ")\n", size, output->seen);
	take(output, note, strlen(note));
	output->is_truncated = true;
}

static int on_bulk(void *arg, const uint8_t *piece, size_t length, bool is_last)
{
	struct ros_execution *execution = arg;

	(void)is_last;
	take(execution->output, piece, length);
	return 0;
}

/* --- the end ------------------------------------------------------------------------------------- */

static void finish(struct ros_execution *execution)
{
	ev_timer_stop(execution->router->loop, &execution->timer);
	ev_timer_stop(execution->router->loop, &execution->deadline);
	explicit_bzero(execution->space, sizeof(execution->space)); /* scripts hold passwords */
	execution->on_done(execution, &execution->outcome);
}

/* What happened stays unknown, because the session ended or a command was refused. */
static void give_up(struct ros_execution *execution, const struct ros_result *result)
{
	if (execution->outcome.status != -ETIMEDOUT) {
		execution->outcome.status = result->status == -EREMOTEIO ? -EPROTO : result->status;
		execution->outcome.why = result->err;
	}
	finish(execution);
}

/* Sends what was begun with ros_api_begin(). */
static void send_command(struct ros_execution *execution, const struct ros_answer *answer)
{
	struct ros_result failed = { .status = 0 };

	failed.status = ros_api_send(execution->router->api, LIMIT_ROS_ANSWER_MS, answer, execution, NULL, &failed.err);
	if (failed.status < 0)
		give_up(execution, &failed);
}

/* --- what the variable and the output say ---------------------------------------------------------- */

/* "failure: no such item (/ip/address/set; line 12)" without what is said in our own words. */
static void take_reason(struct ros_outcome *outcome, const struct ros_verdict *verdict)
{
	size_t length = verdict->reason_length;

	if (verdict->line != 0) {
		while (length > 0 && verdict->reason[length - 1] != '(')
			length--;
		while (length > 0 && (verdict->reason[length - 1] == '(' || verdict->reason[length - 1] == ' '))
			length--;
	}
	if (length > 0)
		err_set(&outcome->why, 0, "%.*s", (int)length, verdict->reason);
	else
		err_set(&outcome->why, 0, "the router does not say why");
	err_make_printable(&outcome->why); /* whatever a script has printed */
}

static void take_place(struct ros_execution *execution, const struct ros_verdict *verdict)
{
	const struct ros_piece *piece = &execution->piece;
	struct ros_outcome *outcome = &execution->outcome;
	uint32_t width;

	if (verdict->line > 1) { /* the first line is ours */
		outcome->line = piece->line + verdict->line - 2;
		width = ros_mark_width(execution->script, piece, execution->name, outcome->line);
		outcome->column = verdict->column > width ? verdict->column - width : verdict->column;
	}
	if (outcome->line == 0 && parse_u32(execution->value, 1, UINT32_MAX, &outcome->line) < 0)
		outcome->line = 0; /* it did not begin */
}

/* Everything is known that there is to know. */
static void conclude(struct ros_execution *execution)
{
	struct ros_outcome *outcome = &execution->outcome;
	struct ros_output *output = execution->output;
	struct ros_verdict verdict;
	bool has_failed;

	ros_script_judge(output->tail, output->tail_length, execution->name, &verdict);
	has_failed = outcome->status == 0 && strcmp(execution->value, "done") != 0;
	end_output(output, &verdict, has_failed);
	note_lack(output, execution->file_size);
	if (execution->refusal.text[0] != '\0') /* it came as a refusal, not as text */
		ros_script_judge(execution->refusal.text, strlen(execution->refusal.text), execution->name, &verdict);
	outcome->has_begun = execution->value[0] != '\0' && strcmp(execution->value, "0") != 0;
	if (has_failed) {
		outcome->status = -EREMOTEIO;
		take_reason(outcome, &verdict);
		take_place(execution, &verdict);
	} else if (outcome->status == -ETIMEDOUT) {
		take_place(execution, &(struct ros_verdict){ .line = 0 });
	}
	finish(execution);
}

/* --- the output of a job ----------------------------------------------------------------------------- */

static void on_file_removed(void *arg, const struct ros_result *result)
{
	struct ros_execution *execution = arg;

	if (result->status == -EREMOTEIO)
		routeros_trouble(execution->router, LOG_LEVEL_WARNING, "keeps the file %s.txt: %s", execution->name,
				 result->err.text);
	conclude(execution); /* what the script did is known already */
}

static int on_file(void *arg, const struct ros_sentence *row)
{
	struct ros_execution *execution = arg;
	const char *id = ros_find(row, ".id"), *size = ros_find(row, "size"), *contents = ros_find(row, "contents");

	if (id)
		routeros_copy(execution->file_id, sizeof(execution->file_id), id);
	if (contents)
		take(execution->output, contents, strlen(contents));
	if (size && parse_u64(size, 0, UINT64_MAX, &execution->file_size) < 0)
		execution->file_size = 0; /* "4.1KiB": a print for people; then only what was read counts */
	return 0;
}

static void on_file_read(void *arg, const struct ros_result *result)
{
	static const struct ros_answer answer = { .on_end = on_file_removed };
	struct ros_execution *execution = arg;

	if (result->status < 0 || execution->file_id[0] == '\0') {
		conclude(execution);
		return;
	}
	ros_put_text(ros_api_begin(execution->router->api, "/file/remove"), ".id", execution->file_id);
	send_command(execution, &answer);
}

static void read_file(struct ros_execution *execution)
{
	static const struct ros_answer answer = { .on_re = on_file, .bulk_key = "contents", .on_bulk = on_bulk, .on_end = on_file_read };
	struct buf *out = ros_api_begin(execution->router->api, "/file/print");
	char name[LIMIT_ROS_ID + 4];

	snprintf(name, sizeof(name), "%s.txt", execution->name);
	ros_put_word(out, "=.proplist=.id,size,contents");
	ros_put_query(out, "name", name);
	send_command(execution, &answer);
}

/* --- the variable ---------------------------------------------------------------------------------- */

static void on_variable_removed(void *arg, const struct ros_result *result)
{
	struct ros_execution *execution = arg;

	if (result->status < 0 && result->status != -EREMOTEIO) /* refused: it stays in the router's memory until a reboot */
		give_up(execution, result);
	else if (execution->is_job)
		read_file(execution);
	else
		conclude(execution);
}

static int on_variable(void *arg, const struct ros_sentence *row)
{
	struct ros_execution *execution = arg;
	const char *id = ros_find(row, ".id"), *value = ros_find(row, "value");

	if (id)
		routeros_copy(execution->variable_id, sizeof(execution->variable_id), id);
	if (value)
		routeros_copy(execution->value, sizeof(execution->value), value);
	return 0;
}

static void on_variable_read(void *arg, const struct ros_result *result)
{
	static const struct ros_answer answer = { .on_end = on_variable_removed };
	struct ros_execution *execution = arg;
	struct ros_result none = { .status = 0 };

	if (result->status < 0) {
		give_up(execution, result);
	} else if (execution->variable_id[0] == '\0') {
		on_variable_removed(execution, &none);
	} else {
		ros_put_text(ros_api_begin(execution->router->api, "/system/script/environment/remove"), ".id",
			     execution->variable_id);
		send_command(execution, &answer);
	}
}

static void read_variable(struct ros_execution *execution)
{
	static const struct ros_answer answer = { .on_re = on_variable, .on_end = on_variable_read };
	struct buf *out = ros_api_begin(execution->router->api, "/system/script/environment/print");

	ev_timer_stop(execution->router->loop, &execution->deadline); /* it has ended */
	ros_put_word(out, "=.proplist=.id,value");
	ros_put_query(out, "name", execution->name);
	send_command(execution, &answer);
}

/* --- the script ------------------------------------------------------------------------------------ */

static int on_job(void *arg, const struct ros_sentence *row)
{
	struct ros_execution *execution = arg;

	(void)row;
	execution->is_running = true;
	return 0;
}

static void on_watched(void *arg, const struct ros_result *result)
{
	struct ros_execution *execution = arg;

	if (result->status < 0) {
		give_up(execution, result);
	} else if (!execution->is_running || execution->has_no_end) {
		read_variable(execution);
	} else {
		execution->pause_ms = execution->pause_ms * 2 < LIMIT_ROS_WATCH_MS ? execution->pause_ms * 2 : LIMIT_ROS_WATCH_MS;
		ev_timer_set(&execution->timer, (ev_tstamp)execution->pause_ms / 1000, 0);
		ev_timer_start(execution->router->loop, &execution->timer);
	}
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	static const struct ros_answer answer = { .on_re = on_job, .on_end = on_watched };
	struct ros_execution *execution = timer->data;
	struct ros_result lost = { .status = -ECONNRESET };
	struct buf *out;

	(void)loop;
	(void)revents;
	if (execution->session != execution->router->sessions) { /* it may have rebooted: the job is gone then, for no good reason */
		err_set(&lost.err, 0, "the session with the router ended");
		give_up(execution, &lost);
		return;
	}
	execution->is_running = false;
	out = ros_api_begin(execution->router->api, "/system/script/job/print");
	ros_put_word(out, "=.proplist=.id");
	ros_put_query(out, ".id", execution->job_id);
	send_command(execution, &answer);
}

static void on_executed(void *arg, const struct ros_result *result)
{
	struct ros_execution *execution = arg;
	const char *text = result->done ? ros_find(result->done, "ret") : NULL;
	struct ros_verdict verdict;

	execution->tag = 0;
	if (result->status == -EREMOTEIO) { /* not taken at all; or so a version of RouterOS tells that a script failed */
		execution->refusal = result->err;
		execution->is_job = false; /* there is none */
		read_variable(execution);
	} else if (result->status < 0 && (result->status != -ECANCELED || execution->outcome.status == 0)) {
		give_up(execution, result);
	} else if (execution->is_job) {
		routeros_copy(execution->job_id, sizeof(execution->job_id), text ? text : "");
		on_timer(execution->router->loop, &execution->timer, 0);
	} else {
		if (text) /* it was short */
			take(execution->output, text, strlen(text));
		ros_script_judge(execution->output->tail, execution->output->tail_length, execution->name, &verdict);
		if (!verdict.is_complete) {
			read_variable(execution);
			return;
		}
		strcpy(execution->value, "done");
		conclude(execution);
	}
}

static void on_stopped(void *arg, const struct ros_result *result)
{
	(void)arg;
	(void)result; /* whether it stopped is seen by watching */
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
	static const struct ros_answer answer = { .on_end = on_stopped };
	struct ros_execution *execution = timer->data;
	struct ros_api *api = execution->router->api;

	(void)loop;
	(void)revents;
	if (execution->outcome.status == -ETIMEDOUT) { /* it does not stop either */
		execution->has_no_end = true;
		return;
	}
	execution->outcome.status = -ETIMEDOUT;
	err_set(&execution->outcome.why, 0, "the router came to no end with it in time");
	ev_timer_set(&execution->deadline, LIMIT_ROS_ANSWER_MS * 2 / 1000.0, 0);
	ev_timer_start(loop, &execution->deadline);
	if (!execution->is_job || execution->job_id[0] == '\0') {
		ros_api_cancel(api, execution->tag);
		return;
	}
	ros_put_text(ros_api_begin(api, "/system/script/job/remove"), ".id", execution->job_id);
	(void)ros_api_send(api, LIMIT_ROS_ANSWER_MS, &answer, NULL, NULL, NULL); /* else the second deadline ends it */
}

/* --- the text -------------------------------------------------------------------------------------- */

static void compose(struct ros_execution *execution, bool is_dry)
{
	const struct ros_piece *piece = &execution->piece;
	struct buf *out = &execution->text;

	buf_printf(out, ":global %s 0;%s", execution->name, is_dry ? ":if (false) do={" : "");
	buf_put(out, execution->script + piece->menu_start, piece->menu_end - piece->menu_start);
	buf_puts(out, "\n");
	ros_put_marked(out, execution->script, piece, execution->name);
	buf_printf(out, "\n%s", is_dry ? "};" : "");
	if (execution->is_job)
		buf_printf(out, ":set %s done", execution->name);
	else
		buf_printf(out, ":set %s;:put \"%s\"", execution->name, execution->name);
}

static int send_script(struct ros_execution *execution, struct err *err)
{
	static const struct ros_answer answer = { .bulk_key = "ret", .on_bulk = on_bulk, .on_end = on_executed };
	struct buf *out = ros_api_begin(execution->router->api, "/execute");

	ros_put_attribute(out, "script", execution->text.data, execution->text.length);
	if (execution->is_job)
		ros_put_text(out, "file", execution->name);
	else
		ros_put_word(out, "=as-string=");
	return ros_api_send(execution->router->api, execution->is_job ? LIMIT_ROS_ANSWER_MS : 0, &answer, execution, &execution->tag, err);
}

int routeros_execute(struct ros_execution *execution, struct router *router, const char *script, const struct ros_piece *piece,
		     bool is_dry, int64_t timeout_ms, struct ros_output *output, ros_execution_fn *on_done, struct err *err)
{
	uint8_t random[4];
	struct buf name;
	int r;

	*execution = (struct ros_execution){ .arg = execution->arg, .router = router, .on_done = on_done, .script = script,
					     .piece = *piece, .output = output, .session = router->sessions, .pause_ms = LIMIT_ROS_WATCH_MS / 16,
					     .is_job = !routeros_is_from(router, 7, 8) };
	output->begin = output->length;
	output->seen = output->tail_length = 0;
	random_fill(random, sizeof(random));
	buf_init(&name, execution->name, sizeof(execution->name));
	buf_puts(&name, "jaga");
	buf_put_hex(&name, random, sizeof(random));
	buf_init(&execution->text, execution->space, sizeof(execution->space));
	compose(execution, is_dry);
	if (execution->text.failed)
		return err_set(err, -E2BIG, "the script is longer than RouterOS takes");
	ev_init(&execution->timer, on_timer);
	ev_timer_init(&execution->deadline, on_deadline, (ev_tstamp)timeout_ms / 1000, 0);
	execution->timer.data = execution->deadline.data = execution;
	r = send_script(execution, err);
	if (r == 0)
		ev_timer_start(router->loop, &execution->deadline);
	return r;
}

void routeros_execute_finish(struct ros_execution *execution)
{
	ev_timer_stop(execution->router->loop, &execution->timer);
	ev_timer_stop(execution->router->loop, &execution->deadline);
}
