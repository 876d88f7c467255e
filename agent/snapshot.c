/*
 * snapshot: see snapshot.h. What the driver could not read it names in the text, in lines that begin
 * with "# --- failed: "; the first of them becomes a notice, once for each different text, because a
 * gap in the configuration should be known before the day on which it is needed. Called by agent.c
 * and commands.c.
 */
#include "agent/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <mbedtls/sha256.h>

#include "common/clock.h"

#define FAILED_LINE "# --- failed: "

static void take(struct snapshot *snapshot);

static bool is_free(const struct snapshot *snapshot)
{
	return snapshot->phase == SNAPSHOT_IDLE && !snapshot->ops->is_unsettled(snapshot->arg);
}

/* Somebody is there to look at one, and nothing is in its way. */
static bool may_take(const struct snapshot *snapshot)
{
	return (snapshot->is_open || snapshot->is_awaited) && is_free(snapshot);
}

static void finish(struct snapshot *snapshot, enum snapshot_outcome outcome)
{
	snapshot->phase = SNAPSHOT_IDLE;
	snapshot->result.outcome = outcome;
	snapshot->result.at_ms = clock_mono_ms();
	if (snapshot->again && may_take(snapshot)) { /* who asked meanwhile wants what is read from now on */
		take(snapshot);
		return;
	}
	snapshot->is_awaited = false;
	snapshot->ops->on_finished(snapshot->arg, &snapshot->result);
}

/* The same trouble every interval is told once: the reason is kept from attempt to attempt. */
static void fail(struct snapshot *snapshot, const char *reason)
{
	if (snapshot->is_asked || strcmp(snapshot->result.reason, reason) != 0)
		snapshot->ops->on_trouble(snapshot->arg, LOG_LEVEL_ERROR, reason);
	snapshot->is_asked = false;
	snprintf(snapshot->result.reason, sizeof(snapshot->result.reason), "%s", reason);
	finish(snapshot, SNAPSHOT_FAILED);
}

/* Tells the first gap of the text; the text itself names all. */
static void tell_gaps(struct snapshot *snapshot, const char *text)
{
	const char *line = strncmp(text, FAILED_LINE, strlen(FAILED_LINE)) == 0 ? text : strstr(text, "\n" FAILED_LINE);
	char notice[LIMIT_ERR_TEXT];

	if (!line || memcmp(snapshot->told_hash, snapshot->result.hash, SNAPSHOT_HASH_BYTES) == 0)
		return;
	memcpy(snapshot->told_hash, snapshot->result.hash, SNAPSHOT_HASH_BYTES);
	line += strspn(line, "\n") + strlen(FAILED_LINE);
	snprintf(notice, sizeof(notice), "not in the snapshot: %.*s", (int)strcspn(line, "\n"), line);
	snapshot->ops->on_trouble(snapshot->arg, LOG_LEVEL_WARNING, notice);
}

static void on_taken(void *arg, const char *text, size_t length, const struct err *error)
{
	struct snapshot *snapshot = arg;
	int r;

	snapshot->phase = SNAPSHOT_OFFERING;
	snapshot->ops->on_read(snapshot->arg); /* a script that has waited goes before the next snapshot */
	if (!text) {
		snapshot->result.has_hash = false;
		fail(snapshot, error->text);
		return;
	}
	snapshot->result.bytes = length;
	snapshot->result.has_hash = true;
	/* SHA-256 in software cannot fail with these arguments. */
	(void)mbedtls_sha256((const unsigned char *)text, length, snapshot->result.hash, 0);
	tell_gaps(snapshot, text);
	r = snapshot->is_open ? snapshot->ops->offer(snapshot->arg, text, length) : -ENOTCONN;
	if (r == -ENOTCONN)
		finish(snapshot, SNAPSHOT_NOT_OFFERED); /* the next session begins with one */
	else if (r < 0)
		fail(snapshot, strerror(-r));
}

static void take(struct snapshot *snapshot)
{
	struct err err = { "" };

	snapshot->again = false;
	snapshot->phase = SNAPSHOT_TAKING;
	if (snapshot->ops->take(snapshot->arg, on_taken, snapshot, &err) < 0)
		on_taken(snapshot, NULL, 0, &err);
}

void snapshot_request(struct snapshot *snapshot)
{
	snapshot->again = true;
	snapshot_on_settled(snapshot);
}

void snapshot_await(struct snapshot *snapshot)
{
	snapshot->is_awaited = true;
	snapshot_request(snapshot);
}

bool snapshot_is_taking(const struct snapshot *snapshot)
{
	return snapshot->phase == SNAPSHOT_TAKING;
}

void snapshot_on_settled(struct snapshot *snapshot)
{
	if (snapshot->again && may_take(snapshot))
		take(snapshot);
}

void snapshot_ask(struct snapshot *snapshot)
{
	snapshot->is_asked = snapshot->again = true;
	if (is_free(snapshot)) /* there is a session, over which it came: a router that cannot be read yet is told, too */
		take(snapshot);
}

void snapshot_on_offered(struct snapshot *snapshot, int result, bool transferred)
{
	if (snapshot->phase != SNAPSHOT_OFFERING)
		return;
	if (result == 0)
		snapshot->is_asked = false;
	if (result == 0 || result == -ENOTCONN)
		snapshot->result.reason[0] = '\0';
	if (result == 0)
		finish(snapshot, transferred ? SNAPSHOT_STORED : SNAPSHOT_UNCHANGED);
	else if (result == -ENOTCONN)
		finish(snapshot, SNAPSHOT_NOT_OFFERED);
	else
		fail(snapshot, result == -EMSGSIZE ? "the collector refused it: too large" : "the collector refused it");
}

void snapshot_on_open(struct snapshot *snapshot)
{
	snapshot->is_open = true;
	snapshot_request(snapshot);
}

void snapshot_on_closed(struct snapshot *snapshot)
{
	snapshot->is_open = false;
}

static void on_interval(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct snapshot *snapshot = timer->data;

	(void)loop;
	(void)revents;
	snapshot_request(snapshot);
}

void snapshot_init(struct snapshot *snapshot, struct ev_loop *loop, int64_t interval_ms,
		   const struct snapshot_ops *ops, void *arg)
{
	*snapshot = (struct snapshot){ .loop = loop, .ops = ops, .arg = arg };
	ev_timer_init(&snapshot->interval, on_interval, (ev_tstamp)interval_ms / 1000, (ev_tstamp)interval_ms / 1000);
	snapshot->interval.data = snapshot;
	ev_timer_start(loop, &snapshot->interval);
}

void snapshot_stop(struct snapshot *snapshot)
{
	if (snapshot->loop)
		ev_timer_stop(snapshot->loop, &snapshot->interval);
}

const char *snapshot_outcome_name(enum snapshot_outcome outcome)
{
	static const char *const names[] = { "none", "unchanged", "stored", "not-offered", "failed" };

	return names[outcome];
}
