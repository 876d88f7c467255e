/*
 * ros_lease: what an entry says and does not, each step by what a look shows, and whole laboratories of agents with one router,
 * in which commands of all are mixed by chance: one steers in the end, and never two unless one slept through its lease.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/router/ros_lease.h"

#define LOW "0000000000000001"
#define MIDDLE "5c0c2d55fbd4bd4a"
#define HIGH "ffffffffffffffff"

static void take(struct ros_lease *lease, const char *list, const char *address, const char *comment, const char *dynamic)
{
	const struct ros_sentence row = { .reply = ROS_RE,
					  .count = 5,
					  .attributes = { { ".id", "*1A", 3 },
							  { "list", list, strlen(list) },
							  { "address", address, strlen(address) },
							  { "comment", comment, strlen(comment) },
							  { "dynamic", dynamic, strlen(dynamic) } } };

	ros_lease_take(lease, &row);
}

static struct ros_lease agent(const char *id)
{
	struct ros_lease lease = { .self = { .address = "192.168.88.11", .name = "companion" } };

	memcpy(lease.self.id, id, sizeof(lease.self.id));
	ros_lease_reset(&lease);
	return lease;
}

/* A look that shows one's own entries (bits) and another's. */
static enum ros_lease_step look(struct ros_lease *lease, unsigned own, const char *other)
{
	char comment[ROS_LEASE_COMMENT], address[INET_ADDRSTRLEN];

	ros_lease_begin(lease);
	for (unsigned slot = 0; slot < ROS_LEASE_SLOTS; slot++) {
		ros_lease_put(lease, slot, comment, address);
		if (own & 1u << slot)
			take(lease, ROS_LEASE_LIST, address, comment, "true");
	}
	if (other) {
		struct ros_lease that = agent(other);

		ros_lease_put(&that, 0, comment, address);
		take(lease, ROS_LEASE_LIST, address, comment, "yes");
	}
	return ros_lease_judge(lease, 0);
}

/* --- entries ------------------------------------------------------------------------------------- */

static void test_what_an_entry_says(void **state)
{
	struct ros_lease writer = agent(MIDDLE), reader = agent(LOW);
	char comment[ROS_LEASE_COMMENT], addresses[ROS_LEASE_SLOTS][INET_ADDRSTRLEN];

	(void)state;
	for (unsigned slot = 0; slot < ROS_LEASE_SLOTS; slot++)
		ros_lease_put(&writer, slot, comment, addresses[slot]);
	assert_string_equal(comment, "jaga: agent 5c0c2d55fbd4bd4a at 192.168.88.11: companion");
	assert_string_equal(addresses[0], "252.12.45.84");
	assert_string_equal(addresses[1], "252.12.45.85");
	take(&reader, ROS_LEASE_LIST, addresses[1], comment, "true");
	assert_true(reader.has_other);
	assert_string_equal(reader.other.id, MIDDLE);
	assert_string_equal(reader.other.address, "192.168.88.11");
	assert_string_equal(reader.other.name, "companion");
	assert_int_equal(ros_lease_slot(&reader), 0);
	take(&writer, ROS_LEASE_LIST, addresses[0], comment, "true");
	assert_false(writer.has_other);
	assert_string_equal(writer.own[0], "*1A");
	assert_int_equal(ros_lease_slot(&writer), 1);
	take(&writer, ROS_LEASE_LIST, addresses[1], comment, "true");
	assert_int_equal(ros_lease_slot(&writer), 1); /* which would be the older one */
}

static void test_the_longest_entry(void **state)
{
	struct ros_lease writer = agent(HIGH), reader = agent(LOW);
	char comment[ROS_LEASE_COMMENT], address[INET_ADDRSTRLEN];

	(void)state;
	memset(writer.self.name, 'n', sizeof(writer.self.name) - 1);
	memcpy(writer.self.address, "192.168.188.111", 16);
	ros_lease_put(&writer, 1, comment, address);
	take(&reader, ROS_LEASE_LIST, address, comment, "true");
	assert_string_equal(reader.other.name, writer.self.name);
	assert_string_equal(reader.other.address, writer.self.address);
}

static void test_what_is_no_lease(void **state)
{
	static const struct {
		const char *list, *comment, *dynamic;
	} rows[] = {
		{ "jaga-agents", "jaga: agent " LOW " at 192.168.88.12: other", "true" },
		{ ROS_LEASE_LIST, "jaga: agent " LOW " at 192.168.88.12: other", "false" }, /* somebody's, for ever */
		{ ROS_LEASE_LIST, "jaga: steering", "true" },
		{ ROS_LEASE_LIST, "", "true" },
		{ ROS_LEASE_LIST, "jaga: agent ", "true" },
		{ ROS_LEASE_LIST, "jaga: agent 000000000000000 at 192.168.88.12: other", "true" },
		{ ROS_LEASE_LIST, "jaga: agent " LOW "0 at 192.168.88.12: other", "true" },
		{ ROS_LEASE_LIST, "jaga: agent 00000000000000FF at 192.168.88.12: other", "true" },
		{ ROS_LEASE_LIST, "jaga: agent " LOW "at 192.168.88.12: other", "true" },
		{ ROS_LEASE_LIST, "jaga: agent " LOW, "true" },
	};
	struct ros_lease lease = agent(MIDDLE);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		take(&lease, rows[i].list, "243.0.0.1", rows[i].comment, rows[i].dynamic);
		assert_false(lease.has_other);
	}
}

/* Bytes of a router are no text for a terminal, and no longer than what holds them. */
static void test_hostile_entries(void **state)
{
	struct ros_lease lease = agent(MIDDLE);
	char name[1000];

	(void)state;
	take(&lease, ROS_LEASE_LIST, "", "jaga: agent " LOW " at \x1b[2J\xff: a\nb", "true");
	assert_true(lease.has_other);
	assert_string_equal(lease.other.address, "?[2J?");
	assert_string_equal(lease.other.name, "a?b");
	ros_lease_begin(&lease);
	take(&lease, ROS_LEASE_LIST, "", "jaga: agent " LOW " at ", "true");
	assert_string_equal(lease.other.address, "");
	assert_string_equal(lease.other.name, "");
	ros_lease_begin(&lease);
	memset(name, 'x', sizeof(name));
	memcpy(name, "jaga: agent " LOW " at ", strlen("jaga: agent " LOW " at "));
	name[sizeof(name) - 1] = '\0';
	take(&lease, ROS_LEASE_LIST, "", name, "true");
	assert_int_equal(strlen(lease.other.address), sizeof(lease.other.address) - 1);
	assert_string_equal(lease.other.name, "");
}

/* --- one step after the other ------------------------------------------------------------------------ */

static void test_alone(void **state)
{
	struct ros_lease lease = agent(MIDDLE);

	(void)state;
	assert_int_equal(look(&lease, 0, NULL), ROS_LEASE_WRITE);
	assert_int_equal(lease.state, ROS_LEASE_CLAIMED); /* and not ours before it has been seen to stand alone */
	ros_lease_wrote(&lease);
	assert_int_equal(look(&lease, 1, NULL), ROS_LEASE_REST);
	assert_int_equal(lease.state, ROS_LEASE_OURS);
	for (unsigned renewals = 0; renewals < 3; renewals++) {
		for (unsigned round = 1; round < LIMIT_ROS_LEASE_ROUNDS; round++)
			assert_int_equal(ros_lease_round(&lease), ROS_LEASE_REST);
		assert_int_equal(ros_lease_round(&lease), ROS_LEASE_WRITE); /* before any look */
		ros_lease_renew(&lease);
		assert_int_equal(ros_lease_slot(&lease), 1 - renewals % 2);
		assert_string_equal(lease.own[1 - renewals % 2], ""); /* nothing has to be taken away for it */
		assert_int_equal(lease.state, ROS_LEASE_OURS);
		ros_lease_wrote(&lease);
		assert_int_equal(look(&lease, 3, NULL), ROS_LEASE_REST);
	}
}

static void test_a_former_self_is_no_other(void **state)
{
	struct ros_lease lease = agent(MIDDLE);

	(void)state;
	assert_int_equal(look(&lease, 2, NULL), ROS_LEASE_WRITE); /* it may end in a moment */
	assert_int_equal(lease.state, ROS_LEASE_CLAIMED);
	ros_lease_wrote(&lease);
	assert_int_equal(look(&lease, 3, NULL), ROS_LEASE_REST);
	assert_int_equal(lease.state, ROS_LEASE_OURS);
	lease = agent(MIDDLE);
	assert_int_equal(look(&lease, 3, NULL), ROS_LEASE_WRITE); /* both may */
}

static void test_a_former_self_meets_another(void **state)
{
	struct ros_lease low = agent(LOW), high = agent(HIGH);

	(void)state;
	assert_int_equal(look(&low, 1, HIGH), ROS_LEASE_REST);
	assert_int_equal(low.state, ROS_LEASE_CLAIMED);
	assert_int_equal(look(&low, 1, HIGH), ROS_LEASE_WITHDRAW);
	assert_int_equal(look(&high, 1, LOW), ROS_LEASE_WITHDRAW);
}

static void test_the_lowest_of_many_counts(void **state)
{
	static const char *const others[] = { MIDDLE, LOW, HIGH };
	struct ros_lease lease = agent("00000000000000ff");
	char comment[ROS_LEASE_COMMENT], address[INET_ADDRSTRLEN];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct ros_lease that = agent(others[i]);

		ros_lease_put(&that, 0, comment, address);
		take(&lease, ROS_LEASE_LIST, address, comment, "true");
	}
	assert_string_equal(lease.other.id, LOW);
}

static void test_another_is_waited_for(void **state)
{
	struct ros_lease lease = agent(LOW);

	(void)state;
	for (unsigned rounds = 0; rounds < 20; rounds++) { /* the order of ids is none against who was there before */
		assert_int_equal(look(&lease, 0, HIGH), ROS_LEASE_REST);
		assert_int_equal(lease.state, ROS_LEASE_OTHERS);
		assert_int_equal(ros_lease_round(&lease), ROS_LEASE_LOOK);
	}
	assert_int_equal(look(&lease, 0, NULL), ROS_LEASE_WRITE);
	assert_int_equal(lease.state, ROS_LEASE_CLAIMED);
}

/* A router with an address-list of 50,000 entries is not printed without end by one that only waits. */
static void test_a_slow_look_is_followed_by_rest(void **state)
{
	struct ros_lease lease = agent(LOW);
	unsigned rounds = 0;

	(void)state;
	look(&lease, 0, HIGH);
	assert_int_equal(ros_lease_judge(&lease, 2 * LIMIT_ROS_REFRESH_MS), ROS_LEASE_REST);
	while (ros_lease_round(&lease) == ROS_LEASE_REST)
		rounds++;
	assert_int_equal(rounds, 4);
	lease.state = ROS_LEASE_CLAIMED; /* who has something to do waits for nothing */
	lease.rest = 4;
	assert_int_equal(ros_lease_round(&lease), ROS_LEASE_LOOK);
}

static void test_two_that_claim(void **state)
{
	struct ros_lease low = agent(LOW), high = agent(HIGH);

	(void)state;
	assert_int_equal(look(&low, 0, NULL), ROS_LEASE_WRITE);
	assert_int_equal(look(&high, 0, NULL), ROS_LEASE_WRITE);
	ros_lease_wrote(&low);
	ros_lease_wrote(&high);
	assert_int_equal(look(&low, 1, HIGH), ROS_LEASE_REST);
	assert_int_equal(low.state, ROS_LEASE_CLAIMED);
	assert_int_equal(look(&high, 1, LOW), ROS_LEASE_WITHDRAW);
	assert_int_equal(high.state, ROS_LEASE_OTHERS);
	assert_int_equal(ros_lease_round(&low), ROS_LEASE_LOOK);
	assert_int_equal(look(&low, 1, NULL), ROS_LEASE_REST);
	assert_int_equal(low.state, ROS_LEASE_OURS);
}

/* Of one that claims while another steers, whichever is lower, the one that steers stays. */
static void test_who_steers_is_not_driven_out(void **state)
{
	struct ros_lease low = agent(LOW), high = agent(HIGH);

	(void)state;
	low.state = ROS_LEASE_CLAIMED;
	high.state = ROS_LEASE_OURS;
	low.age = 0;
	high.age = LIMIT_ROS_LEASE_ROUNDS;
	assert_int_equal(look(&high, 1, LOW), ROS_LEASE_WRITE); /* also while it meets another */
	ros_lease_wrote(&high);
	assert_int_equal(look(&high, 3, LOW), ROS_LEASE_REST); /* has renewed */
	assert_int_equal(look(&low, 1, HIGH), ROS_LEASE_REST);
	assert_int_equal(ros_lease_round(&high), ROS_LEASE_LOOK);
	assert_int_equal(look(&high, 3, LOW), ROS_LEASE_REST);
	assert_int_equal(look(&low, 1, HIGH), ROS_LEASE_WITHDRAW);
	assert_int_equal(look(&high, 3, NULL), ROS_LEASE_REST);
	assert_int_equal(high.state, ROS_LEASE_OURS);
}

static void test_two_that_steer(void **state)
{
	struct ros_lease low = agent(LOW), high = agent(HIGH);
	unsigned looks = 1;

	(void)state;
	low.state = high.state = ROS_LEASE_OURS;
	low.age = high.age = 0;
	while (look(&high, 1, LOW) == ROS_LEASE_REST && looks < 10)
		looks++;
	assert_int_equal(looks, 4);
	assert_int_equal(high.state, ROS_LEASE_OTHERS);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(look(&low, 1, HIGH), ROS_LEASE_REST);
	assert_int_equal(low.state, ROS_LEASE_OURS);
}

static void test_who_slept_too_long_goes(void **state)
{
	struct ros_lease lease = agent(LOW);

	(void)state;
	lease.state = ROS_LEASE_OURS;
	assert_int_equal(look(&lease, 0, HIGH), ROS_LEASE_REST);
	assert_int_equal(lease.state, ROS_LEASE_OTHERS);
}

static void test_a_router_that_takes_no_entry(void **state)
{
	struct ros_lease lease = agent(LOW);

	(void)state;
	assert_int_equal(look(&lease, 0, NULL), ROS_LEASE_WRITE);
	ros_lease_refused(&lease);
	assert_int_equal(lease.state, ROS_LEASE_OURS);
	assert_int_equal(ros_lease_round(&lease), ROS_LEASE_REST); /* tried again when a renewal is due */
	assert_int_equal(look(&lease, 0, NULL), ROS_LEASE_WRITE);
	assert_int_equal(lease.state, ROS_LEASE_OURS); /* steering does not pause for it */
	ros_lease_refused(&lease);
	for (unsigned round = 1; round < LIMIT_ROS_LEASE_ROUNDS; round++)
		assert_int_equal(ros_lease_round(&lease), ROS_LEASE_REST);
	assert_int_equal(ros_lease_round(&lease), ROS_LEASE_WRITE);
}

/* The one before still stands, and for half a minute only. */
static void test_a_renewal_that_is_refused_is_tried_in_the_next_round(void **state)
{
	struct ros_lease lease = agent(LOW);

	(void)state;
	lease.state = ROS_LEASE_OURS;
	lease.age = LIMIT_ROS_LEASE_ROUNDS;
	assert_int_equal(look(&lease, 1, NULL), ROS_LEASE_WRITE);
	ros_lease_refused(&lease);
	assert_int_equal(lease.state, ROS_LEASE_OURS);
	assert_int_equal(ros_lease_round(&lease), ROS_LEASE_WRITE);
	assert_int_equal(ros_lease_slot(&lease), 1);
}

static void test_who_meets_another_is_not_mute(void **state)
{
	struct ros_lease lease = agent(LOW);

	(void)state;
	lease.state = ROS_LEASE_CLAIMED;
	lease.has_other = true;
	ros_lease_refused(&lease);
	assert_int_equal(lease.state, ROS_LEASE_CLAIMED);
}

/* Not by a look that takes longer than our entry stands. */
static void test_who_steers_renews_before_a_look(void **state)
{
	struct ros_lease high = agent(HIGH);

	(void)state;
	high.state = ROS_LEASE_OURS;
	high.age = 0;
	for (int64_t age_ms = LIMIT_ROS_REFRESH_MS; age_ms < LIMIT_ROS_LEASE_S * 1000; age_ms += LIMIT_ROS_REFRESH_MS) {
		high.n_met = 1;
		assert_int_equal(ros_lease_round(&high), age_ms + 2 * LIMIT_ROS_REFRESH_MS + LIMIT_ROS_PRINT_MS <= LIMIT_ROS_LEASE_S * 1000 ?
								 ROS_LEASE_LOOK : ROS_LEASE_WRITE);
	}
}

/* --- laboratories -------------------------------------------------------------------------------------- */

#define AGENTS 3
#define ENTRIES (AGENTS * ROS_LEASE_SLOTS)
#define ROUND_S (LIMIT_ROS_REFRESH_MS / 1000)

static struct {
	uint64_t random;
	int now_s, slowest_s; /* look */
	struct {
		int until_s; /* it stands until then */
		char comment[ROS_LEASE_COMMENT], address[INET_ADDRSTRLEN];
	} entries[ENTRIES];
	struct {
		struct ros_lease lease;
		enum { WAITS, RENEWS, LOOKS, READS, WRITES, WITHDRAWS } does;
		int look_s, look_until_s;
		bool is_read_late;
		int round_s, sleeps_until_s;
		bool is_dead;
	} agents[AGENTS];
} lab;

static unsigned chance(unsigned of)
{
	lab.random ^= lab.random << 13;
	lab.random ^= lab.random >> 7;
	lab.random ^= lab.random << 17;
	return (unsigned)(lab.random >> 33) % of;
}

static void begin_lab(uint64_t seed)
{
	static const char *const ids[AGENTS] = { LOW, MIDDLE, HIGH };

	memset(&lab, 0, sizeof(lab));
	lab.random = seed * 0x9e3779b97f4a7c15u + 1;
	for (unsigned i = 0; i < AGENTS; i++) {
		lab.agents[i].lease = agent(ids[i]);
		lab.agents[i].round_s = (int)chance(ROUND_S);
	}
}

/* Its session is a new one, or the agent is. */
static void reconnect(unsigned i)
{
	ros_lease_reset(&lab.agents[i].lease);
	lab.agents[i].does = LOOKS;
}

/* False: as RouterOS refuses a second one with the same address. */
static bool add_entry(const char *comment, const char *address)
{
	unsigned at = 0;

	for (unsigned e = 0; e < ENTRIES; e++) {
		if (lab.entries[e].until_s > lab.now_s && strcmp(lab.entries[e].address, address) == 0)
			return false;
		if (lab.entries[e].until_s <= lab.now_s)
			at = e;
	}
	assert_true(lab.entries[at].until_s <= lab.now_s);
	lab.entries[at].until_s = lab.now_s + LIMIT_ROS_LEASE_S;
	memcpy(lab.entries[at].comment, comment, ROS_LEASE_COMMENT);
	memcpy(lab.entries[at].address, address, INET_ADDRSTRLEN);
	return true;
}

static void read_entries(struct ros_lease *lease)
{
	ros_lease_begin(lease);
	for (unsigned e = 0; e < ENTRIES; e++)
		if (lab.entries[e].until_s > lab.now_s)
			take(lease, ROS_LEASE_LIST, lab.entries[e].address, lab.entries[e].comment, "true");
}

/* The rows are those of its begin, or of its end. */
static void end_look(unsigned i)
{
	struct ros_lease *lease = &lab.agents[i].lease;

	if (lab.now_s < lab.agents[i].look_until_s)
		return;
	if (lab.agents[i].is_read_late)
		read_entries(lease);
	lab.agents[i].does = WAITS;
	switch (ros_lease_judge(lease, (lab.now_s - lab.agents[i].look_s) * INT64_C(1000))) {
	case ROS_LEASE_LOOK: fail_msg("looks again at once"); break;
	case ROS_LEASE_REST: break;
	case ROS_LEASE_WRITE: lab.agents[i].does = WRITES; break;
	case ROS_LEASE_WITHDRAW: lab.agents[i].does = WITHDRAWS; break;
	}
}

/* One command of an agent, carried out and answered; it decides what the next is. */
static void act(unsigned i)
{
	struct ros_lease *lease = &lab.agents[i].lease;
	char comment[ROS_LEASE_COMMENT] = "", address[INET_ADDRSTRLEN];

	switch (lab.agents[i].does) {
	case WAITS:
		return;
	case LOOKS:
		read_entries(lease);
		lab.agents[i].look_s = lab.now_s;
		lab.agents[i].look_until_s = lab.now_s + (lab.slowest_s > 0 ? (int)chance((unsigned)lab.slowest_s) : 0);
		lab.agents[i].is_read_late = chance(2) == 0;
		lab.agents[i].does = READS;
		if (lab.slowest_s == 0)
			end_look(i);
		return;
	case READS:
		end_look(i);
		return;
	case RENEWS:
	case WRITES:
		ros_lease_put(lease, ros_lease_slot(lease), comment, address);
		if (lease->own[ros_lease_slot(lease)][0] != '\0') {
			lease->own[ros_lease_slot(lease)][0] = '\0';
			for (unsigned e = 0; e < ENTRIES; e++)
				if (strcmp(lab.entries[e].address, address) == 0)
					lab.entries[e].until_s = 0;
			return;
		}
		if (add_entry(comment, address))
			ros_lease_wrote(lease);
		else
			assert_int_equal(lab.agents[i].does, RENEWS); /* which goes by what it remembers */
		lab.agents[i].does = LOOKS;
		return;
	case WITHDRAWS:
		for (unsigned e = 0; e < ENTRIES; e++)
			if (strstr(lab.entries[e].comment, lease->self.id))
				lab.entries[e].until_s = 0;
		lab.agents[i].does = WAITS;
		return;
	}
}

static unsigned n_steering(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AGENTS; i++)
		n += !lab.agents[i].is_dead && lab.agents[i].lease.state == ROS_LEASE_OURS;
	return n;
}

static void begin_round(unsigned i)
{
	enum ros_lease_step step;

	if (lab.now_s % ROUND_S != lab.agents[i].round_s || lab.now_s < lab.agents[i].sleeps_until_s)
		return;
	step = ros_lease_round(&lab.agents[i].lease);
	if (step == ROS_LEASE_REST || lab.agents[i].does != WAITS)
		return;
	lab.agents[i].does = step == ROS_LEASE_WRITE ? RENEWS : LOOKS;
	if (step == ROS_LEASE_WRITE)
		ros_lease_renew(&lab.agents[i].lease);
}

/* A second, in which everybody has some turns, in any order. */
static void pass_second(bool may_be_two)
{
	lab.now_s++;
	for (unsigned i = 0; i < AGENTS; i++)
		begin_round(i);
	for (unsigned turn = chance(4 * AGENTS); turn > 0; turn--) {
		unsigned i = chance(AGENTS);

		if (!lab.agents[i].is_dead && lab.now_s >= lab.agents[i].sleeps_until_s)
			act(i);
		if (!may_be_two)
			assert_true(n_steering() <= 1);
	}
}

static void disturb(bool may_sleep)
{
	unsigned i = chance(AGENTS);

	switch (chance(may_sleep ? 5 : 4)) {
	case 0: /* the router reboots */
		for (unsigned e = 0; e < ENTRIES; e++)
			lab.entries[e].until_s = 0;
		for (unsigned a = 0; a < AGENTS; a++)
			reconnect(a);
		break;
	case 1:
		reconnect(i);
		break;
	case 2:
		lab.agents[i].is_dead = true;
		break;
	case 3:
		if (lab.agents[i].is_dead)
			reconnect(i);
		lab.agents[i].is_dead = false;
		break;
	case 4: /* its machine is paused, and its session lives on */
		lab.agents[i].sleeps_until_s = lab.now_s + (int)chance(3 * LIMIT_ROS_LEASE_S);
		break;
	}
}

static void run_lab(uint64_t seed, bool may_sleep, int slowest_s)
{
	unsigned n_others = 0, last;

	begin_lab(seed);
	lab.slowest_s = slowest_s;
	for (unsigned i = 0; i < AGENTS; i++)
		reconnect(i); /* all at once */
	for (int s = 0; s < 600; s++) {
		if (chance(40) == 0)
			disturb(may_sleep);
		pass_second(may_sleep);
	}
	last = chance(AGENTS);
	if (lab.agents[last].is_dead)
		reconnect(last);
	lab.agents[last].is_dead = false;
	lab.slowest_s = 0;
	for (int s = 0; s < 6 * LIMIT_ROS_LEASE_S; s++) /* who sleeps wakes, who died is forgotten */
		pass_second(may_sleep);
	for (unsigned i = 0; i < AGENTS; i++)
		n_others += lab.agents[i].is_dead || lab.agents[i].lease.state == ROS_LEASE_OTHERS;
	if (n_steering() != 1 || n_others != AGENTS - 1)
		fail_msg("seed %u: %u steer, %u wait", (unsigned)seed, n_steering(), n_others);
}

static void test_one_steers(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++)
		run_lab(seed, false, 0);
}

static void test_one_steers_in_the_end(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++)
		run_lab(seed, true, 0);
}

/* Nobody loses the router to a look that takes as long as one may. */
static void test_one_steers_where_looks_take_long(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++)
		run_lab(seed, false, LIMIT_ROS_PRINT_MS / 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_an_entry_says),
		cmocka_unit_test(test_the_longest_entry),
		cmocka_unit_test(test_what_is_no_lease),
		cmocka_unit_test(test_hostile_entries),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_a_former_self_is_no_other),
		cmocka_unit_test(test_a_former_self_meets_another),
		cmocka_unit_test(test_the_lowest_of_many_counts),
		cmocka_unit_test(test_another_is_waited_for),
		cmocka_unit_test(test_a_slow_look_is_followed_by_rest),
		cmocka_unit_test(test_two_that_claim),
		cmocka_unit_test(test_who_steers_is_not_driven_out),
		cmocka_unit_test(test_two_that_steer),
		cmocka_unit_test(test_who_slept_too_long_goes),
		cmocka_unit_test(test_a_router_that_takes_no_entry),
		cmocka_unit_test(test_a_renewal_that_is_refused_is_tried_in_the_next_round),
		cmocka_unit_test(test_who_meets_another_is_not_mute),
		cmocka_unit_test(test_who_steers_renews_before_a_look),
		cmocka_unit_test(test_one_steers),
		cmocka_unit_test(test_one_steers_in_the_end),
		cmocka_unit_test(test_one_steers_where_looks_take_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
