/* ros_lease: see ros_lease.h. Called by routeros_lease.c, and by the doctor for what a row says. */
#include "agent/router/ros_lease.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/ros_row.h"
#include "common/parse.h"

/*
 * Looks in a row that find another before we go. Claiming: the second is a round after the first, and another that claims with a higher
 * id has gone by then. Steering: two may come in one round, when our entry is renewed, and a third before the other's second.
 */
#define LOOKS_OF_A_CLAIM 2
#define LOOKS_OF_A_HOLDER 4
#define LOOK_RESTS 2 /* a look that took long is paid for with so much rest: a third of the time is enough for one that only waits */

static const char head[] = "jaga: agent ", between[] = " at ";

/* --- entries ------------------------------------------------------------------------------------------ */

/* 240.0.0.0/4 is nobody's: 27 bits of the id, and one to tell the two apart. */
static void put_address(const char *id, unsigned slot, char ret_address[static INET_ADDRSTRLEN])
{
	uint8_t bytes[LIMIT_ROS_LEASE_ID];
	struct in_addr address;

	if (parse_hex(id, bytes, sizeof(bytes)) < 0)
		memset(bytes, 0, sizeof(bytes));
	address.s_addr = htonl(0xf0000000u | (bytes[0] & 0x0fu) << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
			       (bytes[3] & 0xfeu) | (slot & 1u));
	inet_ntop(AF_INET, &address, ret_address, INET_ADDRSTRLEN);
}

void ros_lease_put(const struct ros_lease *lease, unsigned slot, char ret_comment[static ROS_LEASE_COMMENT],
		   char ret_address[static INET_ADDRSTRLEN])
{
	snprintf(ret_comment, ROS_LEASE_COMMENT, "%s%s%s%s: %s", head, lease->self.id, between, lease->self.address, lease->self.name);
	put_address(lease->self.id, slot, ret_address);
}

static void show(char *ret_text, size_t size, const char *text, size_t length)
{
	if (length >= size)
		length = size - 1;
	for (size_t i = 0; i < length; i++)
		ret_text[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	ret_text[length] = '\0';
}

bool ros_lease_parse(const struct ros_sentence *row, struct ros_lease_holder *ret_holder)
{
	const size_t id_length = sizeof(ret_holder->id) - 1;
	const char *at = ros_row_text(row, "comment"), *end;

	if (strcmp(ros_row_text(row, "list"), ROS_LEASE_LIST) != 0 || !ros_row_is(row, "dynamic") ||
	    strncmp(at, head, sizeof(head) - 1) != 0)
		return false;
	at += sizeof(head) - 1;
	if (strspn(at, "0123456789abcdef") != id_length || strncmp(at + id_length, between, sizeof(between) - 1) != 0)
		return false;
	show(ret_holder->id, sizeof(ret_holder->id), at, id_length);
	at += id_length + sizeof(between) - 1;
	end = strstr(at, ": ");
	if (!end)
		end = at + strlen(at);
	show(ret_holder->address, sizeof(ret_holder->address), at, (size_t)(end - at));
	end += *end != '\0' ? 2 : 0;
	show(ret_holder->name, sizeof(ret_holder->name), end, strlen(end));
	return true;
}

/* --- looks ------------------------------------------------------------------------------------------- */

void ros_lease_reset(struct ros_lease *lease)
{
	lease->state = ROS_LEASE_NONE;
	lease->n_met = 0;
	lease->age = UINT_MAX; /* an entry of our former self may end in a moment */
	ros_lease_begin(lease);
}

void ros_lease_begin(struct ros_lease *lease)
{
	memset(lease->own, 0, sizeof(lease->own));
	lease->has_other = false;
}

static void take_own(struct ros_lease *lease, const struct ros_sentence *row)
{
	const char *id = ros_row_text(row, ".id");
	char address[INET_ADDRSTRLEN];

	for (unsigned slot = 0; slot < ROS_LEASE_SLOTS; slot++) {
		put_address(lease->self.id, slot, address);
		if (strcmp(ros_row_text(row, "address"), address) == 0 && strlen(id) < sizeof(lease->own[slot]))
			memcpy(lease->own[slot], id, strlen(id) + 1);
	}
}

void ros_lease_take(struct ros_lease *lease, const struct ros_sentence *row)
{
	struct ros_lease_holder holder;

	if (!ros_lease_parse(row, &holder))
		return;
	if (strcmp(holder.id, lease->self.id) == 0) {
		take_own(lease, row);
	} else if (!lease->has_other || strcmp(holder.id, lease->other.id) < 0) {
		lease->has_other = true;
		lease->other = holder;
	}
}

unsigned ros_lease_slot(const struct ros_lease *lease)
{
	for (unsigned slot = 0; slot < ROS_LEASE_SLOTS; slot++)
		if (lease->own[slot][0] == '\0')
			return slot;
	return 1 - lease->last;
}

/* Two that see each other: do we go? */
static bool yields(const struct ros_lease *lease)
{
	bool is_lower = strcmp(lease->self.id, lease->other.id) < 0;

	if (lease->state == ROS_LEASE_OURS)
		return !is_lower && lease->n_met >= LOOKS_OF_A_HOLDER;
	return !is_lower || lease->n_met >= LOOKS_OF_A_CLAIM;
}

static bool stands(const struct ros_lease *lease)
{
	for (unsigned slot = 0; slot < ROS_LEASE_SLOTS; slot++)
		if (lease->own[slot][0] != '\0')
			return true;
	return false;
}

/* Our last entry stands for so long at least, as nobody has taken it away; an age of n rounds is less than n + 1. */
static bool stands_for(const struct ros_lease *lease, int64_t wait_ms)
{
	return lease->age < (LIMIT_ROS_LEASE_S * INT64_C(1000) - wait_ms) / LIMIT_ROS_REFRESH_MS;
}

enum ros_lease_step ros_lease_judge(struct ros_lease *lease, int64_t took_ms)
{
	bool has_own = stands(lease), is_due = lease->age >= LIMIT_ROS_LEASE_ROUNDS;

	lease->n_met = lease->has_other ? lease->n_met + 1 : 0;
	lease->rest = (unsigned)(LOOK_RESTS * took_ms / LIMIT_ROS_REFRESH_MS);
	if (lease->has_other && !has_own) {
		lease->state = ROS_LEASE_OTHERS;
		return ROS_LEASE_REST;
	}
	if (lease->has_other && yields(lease)) {
		lease->state = ROS_LEASE_OTHERS;
		return ROS_LEASE_WITHDRAW;
	}
	/* What our former self wrote may end before the next command does. */
	if (lease->state != ROS_LEASE_OURS)
		lease->state = has_own && stands_for(lease, LIMIT_ROS_REFRESH_MS) && !lease->has_other ? ROS_LEASE_OURS : ROS_LEASE_CLAIMED;
	/* Of two that claim nobody renews: they know soon. */
	return !has_own || (is_due && (lease->state == ROS_LEASE_OURS || !lease->has_other)) ? ROS_LEASE_WRITE : ROS_LEASE_REST;
}

void ros_lease_renew(struct ros_lease *lease)
{
	/* Of n rounds n - 1 are whole. */
	if (lease->between + lease->age >= LIMIT_ROS_LEASE_S * 1000 / LIMIT_ROS_REFRESH_MS + 2)
		lease->own[1 - lease->last][0] = '\0';
}

void ros_lease_wrote(struct ros_lease *lease)
{
	lease->last = ros_lease_slot(lease);
	lease->between = lease->age == UINT_MAX ? 0 : lease->age;
	lease->age = 0;
}

void ros_lease_refused(struct ros_lease *lease)
{
	if (!lease->has_other)
		lease->state = ROS_LEASE_OURS;
	if (!stands(lease))
		lease->age = 0;
}

enum ros_lease_step ros_lease_round(struct ros_lease *lease)
{
	if (lease->age < UINT_MAX)
		lease->age++;
	if (lease->state == ROS_LEASE_OTHERS && lease->rest > 0) {
		lease->rest--;
		return ROS_LEASE_REST;
	}
	if (lease->state != ROS_LEASE_OURS)
		return ROS_LEASE_LOOK;
	if (lease->n_met == 0 && lease->age < LIMIT_ROS_LEASE_ROUNDS)
		return ROS_LEASE_REST;
	return stands_for(lease, LIMIT_ROS_PRINT_MS + LIMIT_ROS_REFRESH_MS) ? ROS_LEASE_LOOK : ROS_LEASE_WRITE;
}
