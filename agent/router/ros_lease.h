/*
 * ros_lease: which of several agents steers a RouterOS router. Pure.
 *
 * An agent that steers keeps an entry of an address-list that no rule looks at, as it keeps those that steer: with a time-out, so in
 * the router's memory only, and ended by itself when the agent does. Its comment says who:
 *
 *	list=jaga-agent address=243.12.9.1 timeout=90s comment="jaga: agent 5c0c2d55fbd4bd4a at 192.168.88.11: companion"
 *
 * The id stands in the agent's state directory: an agent that was restarted knows its former self by it. Entries with a time-out
 * cannot be edited, so an agent has two addresses, of its id: when the entry of the one is two thirds over it writes the other, and
 * by the time that one is, the first has ended by itself. It writes first and looks then: a look can take a minute where there are
 * many entries of others, and ours must not end meanwhile.
 *
 * Who wants to steer looks first, and goes by what is there, one look after the other. A look that the router refuses shows nothing,
 * and changes nothing:
 *
 *	NONE ---- nobody ---> writes, CLAIMED ---- alone -----------------------------> OURS, renews
 *	  |                      |                                                       |
 *	  `-- another's entry ---`-- another's with a lower id, or one that stays -------`--> takes its own away, OTHERS
 *	                                                                                       `- nobody any more -> NONE
 *
 * The router does one command after the other, so of two that both write before they look the second sees the first: both cannot be
 * alone. Of two that see each other the lower id goes on; two that steer, because one slept longer than its entry lasted, end by
 * the same order. Who steers waits longer than who only claims, and so is not driven out by one that begins.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_LEASE_H
#define JAGA_AGENT_ROUTER_ROS_LEASE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/router/ros_codec.h"
#include "common/limits.h"

#define ROS_LEASE_LIST "jaga-agent"
#define ROS_LEASE_SLOTS 2

struct ros_lease_holder {
	char id[2 * LIMIT_ROS_LEASE_ID + 1]; /* lower-case hexadecimal */
	char address[INET_ADDRSTRLEN];	     /* of its machine; "": it did not say */
	char name[LIMIT_NAME];		     /* its identity; fit to be shown */
};

struct ros_lease {
	struct ros_lease_holder self; /* id "": none is known, and every entry is another's */
	enum { ROS_LEASE_NONE, ROS_LEASE_CLAIMED, ROS_LEASE_OURS, ROS_LEASE_OTHERS } state;
	unsigned n_met; /* looks in a row that found another */
	unsigned age;	/* rounds since our entry was written */
	unsigned last;	/* slot in which that was */
	unsigned between; /* rounds from the one before to that; 0: nobody knows */
	unsigned rest;	/* rounds in which one that waits need not look */
	/* of the last look */
	char own[ROS_LEASE_SLOTS][LIMIT_ROS_ID]; /* item ids of our entries; "": this one does not stand */
	bool has_other;
	struct ros_lease_holder other; /* that of the lowest id */
};

enum ros_lease_step {
	ROS_LEASE_REST,
	ROS_LEASE_LOOK,
	ROS_LEASE_WRITE,    /* an entry in ros_lease_slot(), then look again */
	ROS_LEASE_WITHDRAW, /* take our entries away */
};

/* A new session with the router: nothing is known, nothing is ours. */
void ros_lease_reset(struct ros_lease *lease);
/* Before the rows of a look. */
void ros_lease_begin(struct ros_lease *lease);
/* A row of the address-lists, with .id, list, address, comment and dynamic. Others' lists, and entries without end, are no leases. */
void ros_lease_take(struct ros_lease *lease, const struct ros_sentence *row);
/* All rows were taken, in so long: sets the state. Not LOOK. */
enum ros_lease_step ros_lease_judge(struct ros_lease *lease, int64_t took_ms);
/*
 * Where to write: a free slot. Neither is when we began anew soon after a renewal: the one that was not written last, and its entry
 * has to be taken away before.
 */
unsigned ros_lease_slot(const struct ros_lease *lease);
void ros_lease_wrote(struct ros_lease *lease);
/*
 * The router takes no such entry, after a look. If nobody else was there we steer without, and try again: in a round while one of
 * ours stands, and when a renewal would be due after that.
 */
void ros_lease_refused(struct ros_lease *lease);
/* A round has passed, LIMIT_ROS_REFRESH_MS. Not WITHDRAW; WRITE: renew, then look. */
enum ros_lease_step ros_lease_round(struct ros_lease *lease);
/*
 * Before that WRITE, and not while a look is under way: forgets our entry before the last if it must have ended. If it has not, or
 * another stands in the way, the write is refused, of which the look tells why.
 */
void ros_lease_renew(struct ros_lease *lease);

/* The comment and the address of our entry. */
#define ROS_LEASE_COMMENT 128
void ros_lease_put(const struct ros_lease *lease, unsigned slot, char ret_comment[static ROS_LEASE_COMMENT],
		   char ret_address[static INET_ADDRSTRLEN]);
/* False: the row is no lease. */
bool ros_lease_parse(const struct ros_sentence *row, struct ros_lease_holder *ret_holder);

#endif
