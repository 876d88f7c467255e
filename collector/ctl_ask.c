/*
 * ctl_ask: a question to the device that a request names, or to every device when it names none: snapshot-take (ctl_take.c),
 * doctor (ctl_doctor.c).
 *
 *   begin ─▶ ask them, 64 a turn ─▶ wait for a change ─▶ a row for each that has answered ─▶ wait ... until none is left
 *
 * Asked of all, a device that is away or does not answer in time is a row too: {"device":D,"missing":why}; asked of one,
 * that is the error of the request. Whoever is away costs the others no time. A device that goes after it was asked is
 * waited for: a fail-over takes its session away for a moment, and then it answers.
 */
#include "collector/ctl_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"

enum ctl_next ctl_put_missing(struct ctl_client *client, const struct fleet_device *device, const char *why)
{
	json_t *row = json_object();

	json_row_set_text(row, "device", device->name);
	json_row_set_text(row, "missing", why);
	return ctl_put_row(client, row);
}

const char *ctl_explain_away(const struct fleet_device *device)
{
	if (device->is_online)
		return "not answering just now";
	return fleet_is_confirming(device, clock_wall_ms()) ? "confirming a script just now" : "offline";
}

bool ctl_asks_all(const struct ctl_client *client)
{
	return client->request.device[0] == '\0';
}

static enum ctl_next begin_one(struct ctl_client *client, struct ctl_asked *asked)
{
	const char *hint = "", *obstacle;

	asked->device = ctl_find_device(client);
	if (!asked->device)
		return CTL_FAILED;
	client->cursor.n_asked = client->cursor.at = 1;
	obstacle = client->cursor.question->ask(client, asked, &hint);
	return obstacle ? ctl_fail(client, "busy", hint, "%s is %s", asked->device->name, obstacle) : CTL_WAIT;
}

static void begin_all(struct ctl_client *client)
{
	const struct fleet *fleet = client->collector->ports.fleet;
	struct ctl_cursor *cursor = &client->cursor;

	for (uint32_t number = 1; number <= fleet_count(fleet); number++) {
		struct fleet_device *device = fleet_get(fleet, number);

		if (device && device->has_key)
			cursor->asked[cursor->n_asked++].device = device;
	}
}

enum ctl_next ctl_ask_begin(struct ctl_client *client, const struct ctl_question *question)
{
	size_t n = ctl_asks_all(client) ? (size_t)fleet_count(client->collector->ports.fleet) + 1 : 1;

	client->cursor.question = question;
	client->cursor.asked = calloc(n, sizeof(*client->cursor.asked));
	if (!client->cursor.asked)
		return ctl_fail_store(client, -ENOMEM);
	ctl_limit_wait(client, LIMIT_CTL_ANSWER_MS);
	if (!ctl_asks_all(client))
		return begin_one(client, client->cursor.asked);
	begin_all(client);
	return CTL_MORE;
}

/* Asks some of those from cursor.at on, which have not been asked. */
static enum ctl_next ask_some(struct ctl_client *client)
{
	struct ctl_cursor *cursor = &client->cursor;
	enum ctl_next next = CTL_MORE;

	for (unsigned n = 0; n < LIMIT_CTL_ROWS && cursor->at < cursor->n_asked && next == CTL_MORE; n++) {
		struct ctl_asked *asked = &cursor->asked[cursor->at];
		const struct fleet_device *device = asked->device;
		const char *hint = "", *obstacle = cursor->question->ask(client, asked, &hint);

		if (!obstacle) {
			cursor->at++;
			continue;
		}
		*asked = cursor->asked[--cursor->n_asked];
		next = ctl_put_missing(client, device, obstacle);
	}
	return next;
}

static enum ctl_next put_late(struct ctl_client *client, const struct fleet_device *device)
{
	static const char hint[] = "try again, or look at `jaga status`";

	if (ctl_asks_all(client))
		return ctl_put_missing(client, device, device->is_online ? "no answer in time" : ctl_explain_away(device));
	if (device->is_online)
		return ctl_fail(client, "busy", hint, "%s has not answered within %d s", device->name, LIMIT_CTL_ANSWER_MS / 1000);
	return ctl_fail(client, "busy", hint, "%s was asked, and is %s now", device->name, ctl_explain_away(device));
}

enum ctl_next ctl_ask_step(struct ctl_client *client)
{
	struct ctl_cursor *cursor = &client->cursor;
	const struct ctl_question *question = cursor->question;
	enum ctl_next next = CTL_MORE;

	if (cursor->at < cursor->n_asked)
		return ask_some(client);
	for (unsigned i = 0; i < cursor->n_asked && next == CTL_MORE;) {
		struct ctl_asked asked = cursor->asked[i];
		bool has_answered = question->has_answered(client, &asked);

		if (!has_answered && !cursor->is_late) {
			i++;
			continue;
		}
		if (ctl_is_behind(client))
			return CTL_MORE;
		cursor->asked[i] = cursor->asked[--cursor->n_asked];
		cursor->at = cursor->n_asked;
		if (!has_answered && question->leave)
			question->leave(client, &asked);
		next = has_answered ? question->put(client, &asked) : put_late(client, asked.device);
	}
	if (next != CTL_MORE)
		return next;
	return cursor->n_asked > 0 ? CTL_WAIT : CTL_DONE;
}

bool ctl_ask_wants(const struct ctl_client *client, enum port_change what, uint64_t subject)
{
	const struct ctl_cursor *cursor = &client->cursor;

	if (what != cursor->question->change)
		return false;
	for (unsigned i = 0; i < cursor->n_asked; i++)
		if (cursor->asked[i].device->number == subject)
			return true;
	return false;
}

void ctl_ask_late(struct ctl_client *client)
{
	client->cursor.is_late = true;
}

void ctl_ask_leave(struct ctl_client *client)
{
	const struct ctl_cursor *cursor = &client->cursor;

	for (unsigned i = 0; cursor->question && cursor->question->leave && i < cursor->n_asked; i++)
		cursor->question->leave(client, &cursor->asked[i]);
}
