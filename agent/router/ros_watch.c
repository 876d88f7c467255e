/*
 * ros_watch: see ros_watch.h. Called by routeros_monitor.c, and by unit tests.
 *
 *   row -> find by (kind, id) -> came | changed | gone -> tell() -> told now, or held for the end of the second
 *
 * Two tables, so that users can crowd out nobody else: open addressing, linear probing, and a deletion closes its gap.
 * When a table is full, what comes is told by its id alone and counted.
 */
#include "agent/router/ros_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_MS 1000
#define ID_TEXT sizeof("*FFFFFFFF")

struct entry {
	uint8_t watch; /* ROUTER_WATCH_NONE: free */
	uint8_t state;
	uint8_t reading; /* in which it was seen last */
	bool knows_downs;
	uint32_t id;
	uint32_t link_downs, told_downs; /* the router's count; of those that came since, how many were told */
	uint32_t remote_as, prefixes;
	int64_t since_ms; /* of its state; 0: not known */
	uint64_t rx_bytes, tx_bytes;
	char name[LIMIT_WATCH_NAME];
};

struct table {
	struct entry *entries;
	unsigned size, n; /* size: a power of two */
};

enum course { CAME, WENT, FLAPPED, COURSES };

struct burst { /* changes of one kind and course within a second */
	int64_t until_ms;
	unsigned n_told;
	uint32_t n_held, flaps;
	enum router_state to;
	unsigned n_names;
	char names[LIMIT_WATCH_NAMES][LIMIT_WATCH_NAME];
};

struct ros_watch {
	ros_watch_fn *on_change;
	void *arg;
	struct table users, things;
	uint32_t counts[ROUTER_WATCHES];
	uint32_t unwatched[ROUTER_WATCHES]; /* for which there was no room, in the last reading and since */
	uint8_t reading[ROUTER_WATCHES]; /* the last one begun */
	bool has_base[ROUTER_WATCHES];   /* one has been whole */
	struct burst bursts[ROUTER_WATCHES][COURSES];
};

static bool is_user(enum router_watch kind)
{
	return kind == ROUTER_WATCH_PPP || kind == ROUTER_WATCH_HOTSPOT;
}

/* --- table -------------------------------------------------------------------------------------------- */

static struct table *table_of(struct ros_watch *watch, enum router_watch kind)
{
	return is_user(kind) ? &watch->users : &watch->things;
}

static unsigned home_of(const struct table *table, enum router_watch kind, uint32_t id)
{
	return (unsigned)((id ^ (uint32_t)kind << 27) * 2654435769u >> 8) & (table->size - 1);
}

/* Where it is, or the free slot where it would be. */
static struct entry *look_up(const struct table *table, enum router_watch kind, uint32_t id)
{
	unsigned at = home_of(table, kind, id);

	while (table->entries[at].watch != ROUTER_WATCH_NONE &&
	       (table->entries[at].watch != kind || table->entries[at].id != id))
		at = (at + 1) & (table->size - 1);
	return &table->entries[at];
}

static bool is_full(const struct table *table)
{
	return table->n >= table->size / 4 * 3;
}

/* Those behind it that would not be found any more across the gap move into it. */
static void forget(struct ros_watch *watch, struct table *table, struct entry *entry)
{
	unsigned gap = (unsigned)(entry - table->entries), mask = table->size - 1;

	table->n--;
	watch->counts[entry->watch]--;
	for (unsigned at = (gap + 1) & mask; table->entries[at].watch != ROUTER_WATCH_NONE; at = (at + 1) & mask) {
		const struct entry *next = &table->entries[at];
		unsigned home = home_of(table, (enum router_watch)next->watch, next->id);

		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		table->entries[gap] = *next;
		gap = at;
	}
	table->entries[gap].watch = ROUTER_WATCH_NONE;
}

/* Cut at the end of a character, where it is UTF-8. */
static void copy_name(char ret_name[static LIMIT_WATCH_NAME], const char *name)
{
	size_t length = strnlen(name, LIMIT_WATCH_NAME);

	if (length == LIMIT_WATCH_NAME)
		for (length--; length > LIMIT_WATCH_NAME - 4 && ((uint8_t)name[length] & 0xc0) == 0x80;)
			length--;
	memcpy(ret_name, name, length);
	ret_name[length] = '\0';
}

/* --- telling ------------------------------------------------------------------------------------------- */

static enum course course_of(const struct router_change *change)
{
	return change->flaps > 0 ? FLAPPED : change->to == ROUTER_STATE_UP ? CAME : WENT;
}

static void tell(struct ros_watch *watch, const struct router_change *change, int64_t now_ms)
{
	struct burst *burst = &watch->bursts[change->watch][course_of(change)];

	if (now_ms >= burst->until_ms && burst->n_held == 0) {
		burst->until_ms = now_ms + SECOND_MS;
		burst->n_told = 0;
	}
	if (burst->n_told < LIMIT_WATCH_RATE) {
		burst->n_told++;
		watch->on_change(watch->arg, change);
		return;
	}
	if (burst->n_names < LIMIT_WATCH_NAMES)
		memcpy(burst->names[burst->n_names++], change->names[0], strlen(change->names[0]) + 1);
	burst->n_held++;
	burst->flaps += change->flaps;
	burst->to = change->to;
}

static void release(struct ros_watch *watch, enum router_watch kind, struct burst *burst)
{
	struct router_change change = { .watch = kind, .to = burst->to, .n_names = burst->n_names, .count = burst->n_held,
					.flaps = burst->flaps, .address = "", .caller = "", .detail = "" };

	for (unsigned i = 0; i < burst->n_names; i++)
		change.names[i] = burst->names[i];
	burst->n_held = burst->n_names = 0;
	burst->flaps = 0;
	burst->until_ms += SECOND_MS; /* it is told together until a second was calm */
	watch->on_change(watch->arg, &change);
}

int64_t ros_watch_deadline(const struct ros_watch *watch)
{
	int64_t deadline_ms = INT64_MAX;

	for (unsigned kind = 0; kind < ROUTER_WATCHES; kind++)
		for (unsigned course = 0; course < COURSES; course++) {
			const struct burst *burst = &watch->bursts[kind][course];

			if (burst->n_held > 0 && burst->until_ms < deadline_ms)
				deadline_ms = burst->until_ms;
		}
	return deadline_ms;
}

void ros_watch_on_time(struct ros_watch *watch, int64_t now_ms)
{
	for (unsigned kind = 0; kind < ROUTER_WATCHES; kind++)
		for (unsigned course = 0; course < COURSES; course++) {
			struct burst *burst = &watch->bursts[kind][course];

			if (burst->n_held > 0 && burst->until_ms <= now_ms)
				release(watch, (enum router_watch)kind, burst);
		}
}

static int64_t lasted_ms(const struct entry *entry, int64_t now_ms)
{
	return entry->since_ms != 0 && now_ms > entry->since_ms ? now_ms - entry->since_ms : 0;
}

/* The entry goes into its new state; before it is told. */
static void tell_state(struct ros_watch *watch, const struct entry *entry, enum router_state to, uint32_t flaps,
		       const struct ros_seen *seen, int64_t now_ms)
{
	struct router_change change = { .watch = (enum router_watch)entry->watch, .to = to, .n_names = 1, .names = { entry->name },
					.count = 1, .flaps = flaps, .lasted_ms = flaps ? 0 : lasted_ms(entry, now_ms),
					.address = seen ? seen->address : "", .caller = seen ? seen->caller : "",
					.detail = seen ? seen->detail : "" };

	tell(watch, &change, now_ms);
}

/* --- what a row means ------------------------------------------------------------------------------------ */

static int64_t began_ms(const struct ros_seen *seen, int64_t now_ms)
{
	int64_t at_ms = seen->lasted_s >= 0 ? now_ms - seen->lasted_s * 1000 : now_ms;

	return at_ms != 0 ? at_ms : 1; /* 0 is "not known" */
}

static void take_numbers(struct entry *entry, const struct ros_seen *seen)
{
	if (seen->has_counters) {
		entry->rx_bytes = seen->rx_bytes;
		entry->tx_bytes = seen->tx_bytes;
	}
	if (seen->has_peer) {
		entry->remote_as = seen->remote_as;
		entry->prefixes = seen->prefixes;
	}
}

/* Of which nothing but the id can be told. */
static void tell_unwatched(struct ros_watch *watch, const struct ros_seen *seen, int64_t now_ms)
{
	char id[ID_TEXT];
	struct router_change change = { .watch = seen->watch, .to = seen->is_gone ? ROUTER_STATE_DOWN : ROUTER_STATE_UP,
					.n_names = 1, .names = { id }, .count = 1, .address = "", .caller = "", .detail = "" };

	snprintf(id, sizeof(id), "*%" PRIX32, seen->id);
	tell(watch, &change, now_ms);
}

static void take_new(struct ros_watch *watch, struct table *table, struct entry *entry, const struct ros_seen *seen,
		     int64_t now_ms)
{
	bool is_news = !seen->is_reading || watch->has_base[seen->watch];

	if (is_full(table)) {
		/* Which of them a reading shows again cannot be known, nor which of them listen does: only what is young has come. */
		watch->unwatched[seen->watch]++;
		if (!seen->is_reading && seen->state == ROUTER_STATE_UP && seen->lasted_s * 1000 < LIMIT_WATCH_SLACK_MS)
			tell_unwatched(watch, seen, now_ms);
		return;
	}
	if (!seen->name)
		return; /* a change of what has not been read yet */
	*entry = (struct entry){ .watch = (uint8_t)seen->watch, .id = seen->id, .state = (uint8_t)seen->state,
				 .reading = watch->reading[seen->watch], .link_downs = seen->link_downs,
				 .knows_downs = seen->has_link_downs };
	copy_name(entry->name, seen->name);
	take_numbers(entry, seen);
	table->n++;
	watch->counts[seen->watch]++;
	if (is_news && seen->state == ROUTER_STATE_UP)
		tell_state(watch, entry, ROUTER_STATE_UP, 0, seen, now_ms);
	if (seen->state == ROUTER_STATE_UP && (is_news || seen->lasted_s >= 0))
		entry->since_ms = began_ms(seen, now_ms);
}

static void drop(struct ros_watch *watch, struct table *table, struct entry *entry, const struct ros_seen *seen, int64_t now_ms)
{
	if (entry->state == ROUTER_STATE_UP)
		tell_state(watch, entry, ROUTER_STATE_DOWN, 0, seen, now_ms);
	forget(watch, table, entry);
}

/* The router counts what happens between two looks; what was told already is not told again. */
static uint32_t take_link_downs(struct entry *entry, const struct ros_seen *seen)
{
	uint32_t downs = 0;

	if (!seen->has_link_downs)
		return 0;
	if (entry->knows_downs && seen->link_downs > entry->link_downs + entry->told_downs)
		downs = seen->link_downs - entry->link_downs - entry->told_downs;
	entry->link_downs = seen->link_downs; /* less than before: the router has restarted, and says so itself */
	entry->knows_downs = true;
	entry->told_downs = 0;
	return downs;
}

static void take_known(struct ros_watch *watch, struct entry *entry, const struct ros_seen *seen, int64_t now_ms)
{
	bool is_change = seen->state != ROUTER_STATE_UNKNOWN && seen->state != entry->state;
	bool is_younger = !is_change && entry->state == ROUTER_STATE_UP && entry->since_ms != 0 && seen->lasted_s >= 0 &&
			  began_ms(seen, now_ms) > entry->since_ms + LIMIT_WATCH_SLACK_MS;
	uint32_t flaps;

	entry->reading = watch->reading[seen->watch];
	take_numbers(entry, seen);
	if (is_change) {
		if (seen->state == ROUTER_STATE_DOWN && entry->state == ROUTER_STATE_UP)
			entry->told_downs++;
		if (entry->state != ROUTER_STATE_UNKNOWN || seen->state == ROUTER_STATE_DOWN)
			tell_state(watch, entry, seen->state, 0, seen, now_ms);
		entry->state = (uint8_t)seen->state;
		entry->since_ms = seen->state == ROUTER_STATE_UP ? began_ms(seen, now_ms) : now_ms;
	}
	flaps = take_link_downs(entry, seen);
	if (is_younger && flaps == 0)
		flaps = 1;
	if (flaps > 0) {
		tell_state(watch, entry, (enum router_state)entry->state, flaps, seen, now_ms);
		if (entry->state == ROUTER_STATE_UP)
			entry->since_ms = began_ms(seen, now_ms);
	}
}

void ros_watch_take(struct ros_watch *watch, const struct ros_seen *seen, int64_t now_ms)
{
	struct table *table = table_of(watch, seen->watch);
	struct entry *entry = look_up(table, seen->watch, seen->id);
	char name[LIMIT_WATCH_NAME];

	if (entry->watch != ROUTER_WATCH_NONE && seen->name && is_user(seen->watch)) {
		bool is_younger = seen->lasted_s >= 0 && entry->since_ms != 0 &&
				  began_ms(seen, now_ms) > entry->since_ms + LIMIT_WATCH_SLACK_MS;

		/* The router has given the id to somebody else, or to a new session of the same user. */
		copy_name(name, seen->name);
		if (strcmp(name, entry->name) != 0 || is_younger) {
			drop(watch, table, entry, NULL, now_ms);
			entry = look_up(table, seen->watch, seen->id);
		}
	}
	if (entry->watch == ROUTER_WATCH_NONE && !seen->is_gone)
		take_new(watch, table, entry, seen, now_ms);
	else if (entry->watch == ROUTER_WATCH_NONE && watch->unwatched[seen->watch] > 0 && !seen->is_reading)
		tell_unwatched(watch, seen, now_ms);
	else if (entry->watch != ROUTER_WATCH_NONE && seen->is_gone)
		drop(watch, table, entry, seen, now_ms);
	else if (entry->watch != ROUTER_WATCH_NONE)
		take_known(watch, entry, seen, now_ms);
}

void ros_watch_begin(struct ros_watch *watch, enum router_watch kind)
{
	watch->reading[kind]++;
	watch->unwatched[kind] = 0;
}

void ros_watch_end(struct ros_watch *watch, enum router_watch kind, int64_t now_ms)
{
	struct table *table = table_of(watch, kind);
	unsigned at = 0;

	while (at < table->size) {
		struct entry *entry = &table->entries[at];

		if (entry->watch == kind && entry->reading != watch->reading[kind])
			drop(watch, table, entry, NULL, now_ms); /* another may have moved here: look again */
		else
			at++;
	}
	watch->has_base[kind] = true;
}

/* --- life, and what is there ------------------------------------------------------------------------------ */

int ros_watch_create(ros_watch_fn *on_change, void *arg, struct ros_watch **ret_watch)
{
	struct ros_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->on_change = on_change;
	watch->arg = arg;
	watch->users = (struct table){ calloc(LIMIT_WATCH_USERS, sizeof(struct entry)), LIMIT_WATCH_USERS, 0 };
	watch->things = (struct table){ calloc(LIMIT_WATCH_THINGS, sizeof(struct entry)), LIMIT_WATCH_THINGS, 0 };
	if (!watch->users.entries || !watch->things.entries) {
		ros_watch_destroy(watch);
		return -ENOMEM;
	}
	*ret_watch = watch;
	return 0;
}

void ros_watch_destroy(struct ros_watch *watch)
{
	if (!watch)
		return;
	free(watch->users.entries);
	free(watch->things.entries);
	free(watch);
}

uint32_t ros_watch_count(const struct ros_watch *watch, enum router_watch kind)
{
	return watch->counts[kind];
}

uint32_t ros_watch_unwatched(const struct ros_watch *watch)
{
	uint32_t sum = 0;

	for (unsigned kind = 0; kind < ROUTER_WATCHES; kind++)
		sum += watch->unwatched[kind];
	return sum;
}

void ros_watch_each(const struct ros_watch *watch, int64_t now_ms, router_thing_fn *on_thing, void *arg)
{
	for (unsigned at = 0; at < watch->things.size; at++) {
		const struct entry *entry = &watch->things.entries[at];
		struct router_thing thing = { .watch = (enum router_watch)entry->watch,
					      .state = (enum router_state)entry->state,
					      .name = entry->name,
					      .lasted_s = lasted_ms(entry, now_ms) / 1000,
					      .remote_as = entry->remote_as,
					      .prefixes = entry->prefixes,
					      .rx_bytes = entry->rx_bytes,
					      .tx_bytes = entry->tx_bytes,
					      .link_downs = entry->link_downs,
					      .carrier = "" };

		if (entry->watch != ROUTER_WATCH_NONE)
			on_thing(arg, &thing);
	}
}
