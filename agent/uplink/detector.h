/*
 * detector: probe rounds of one uplink -> up | suspect | down, with evidence. Pure.
 *
 *   up --3 rounds lost--> suspect --k rounds lost--> down --20 rounds answered, hold-down over--> up
 *   any --link lost--> down                suspect --3 rounds answered--> up
 *
 * A round is one probe to each target; with a quorum of one, while all is well, to one of those that
 * answer, in turn. It is answered as soon as `quorum` targets have answered, lost when the time-out has
 * passed before that, and lost at once when too few probes could be sent. A probe that this machine itself had no
 * room for proves nothing: as if it had not been asked, and a round of too few others is void.
 * The time-out is the longest of those learnt for the targets (rtt.h) and applies to rounds that
 * are under way, too: it grows while a line fills its buffers.
 *
 * k = ceil(8 / -log10 p), p the loss of rounds (moving average over 400), within 5..12; doubled
 * for an hour or more by a down that turned out to be a burst of losses. Lines that go down again
 * soon after they came back wait longer each time. Constants and reasons: docs/failover.md.
 */
#ifndef JAGA_AGENT_UPLINK_DETECTOR_H
#define JAGA_AGENT_UPLINK_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/uplink/rtt.h"
#include "common/limits.h"

enum uplink_state { UPLINK_UP = 1, UPLINK_SUSPECT, UPLINK_DOWN }; /* the numbers of UplinkState in proto/ */

/* The caller guarantees 1 <= quorum <= n_targets <= LIMIT_TARGETS, interval > 0, 0 < timeout_min <= timeout_max. */
struct detector_config {
	unsigned n_targets;
	unsigned quorum;
	int64_t interval_us;
	int64_t timeout_min_us, timeout_max_us;
	bool metered; /* sparse at rest: 1 round per 10 intervals until a round is lost */
};

/* One target, within the window that led to the present state. */
struct detector_evidence {
	uint32_t sent, lost;
	uint32_t rtt_us;     /* smoothed, 0: never answered */
	uint32_t timeout_us; /* learnt */
};

struct detector_status {
	unsigned misses, misses_needed; /* consecutive lost rounds; how many make a down */
	unsigned answers;		/* consecutive answered rounds */
	uint32_t loss_permille;
	uint32_t rtt_us; /* of the best target, 0: none */
	unsigned n_targets;
	struct detector_evidence targets[LIMIT_TARGETS];
};

/* --- private below: embedded by value, touched by detector.c only --------------------------- */

enum detector_round_state { ROUND_VOID, ROUND_PENDING, ROUND_ANSWERED, ROUND_LOST, ROUND_LATE };

struct detector_round {
	int64_t sent_us;
	uint64_t sequence;
	uint8_t state;	  /* enum detector_round_state */
	uint8_t asked;	  /* bit per target, as those below */
	uint8_t answered;
	uint8_t unsent;	  /* sending failed */
};

struct detector {
	struct detector_config config;
	enum uplink_state state;
	int64_t since_us; /* begin of state */
	bool has_link;

	struct detector_round rounds[LIMIT_ROUNDS]; /* round n is in n % LIMIT_ROUNDS */
	uint64_t next;		 /* sequence of the round to be sent next; the first is 1 */
	uint64_t oldest_pending; /* no round before this one is pending */
	uint64_t last_answered;	 /* newest answered (also late) round, 0: none */
	uint64_t last_lost;	 /* newest lost round, 0: none */
	unsigned misses;	 /* lost rounds after last_answered */
	unsigned answers;	 /* answered rounds after last_lost */
	uint64_t run_first;	 /* first round of the run of misses, and when it was sent */
	int64_t run_began_us;

	uint8_t answering;	 /* bit per target: it answered when it was asked last */
	unsigned turn;		 /* target that had the last round to itself */

	struct rtt rtt[LIMIT_TARGETS];
	int64_t timeout_us;	 /* of a round */
	uint32_t loss_ppb;	 /* moving average */

	bool is_steady;		 /* answered, and no 3 consecutive misses since steady_since_us */
	int64_t steady_since_us;
	bool was_down;		 /* up_since_us is the end of a down */
	int64_t up_since_us;
	unsigned relapses;	 /* lengthens the hold-down */
	unsigned doubt;		 /* multiplies k by 2 ^ doubt */
	int64_t doubt_since_us;	 /* when it last rose or fell */
	int64_t doubt_decay_us;	 /* it falls after so long */
	int64_t doubt_until_us;	 /* down: an answer up to then casts doubt on the verdict */
};

/* --- functions ---------------------------------------------------------------------------------- */

/* `state` is UP or DOWN. A detector starts with a link. */
void detector_init(struct detector *detector, const struct detector_config *config, enum uplink_state state,
		   int64_t now_us);
/* Targets that the next round goes to, a bit each. */
uint8_t detector_next_targets(const struct detector *detector);
/* Opens that round; the caller sends its probes with the sequence returned. Only when detector_may_send(). */
uint16_t detector_send(struct detector *detector, int64_t now_us);
/* False while LIMIT_ROUNDS rounds are outstanding, and without a link. */
bool detector_may_send(const struct detector *detector);
/* Time from one round to the next in the present state. */
int64_t detector_gap_us(const struct detector *detector);
/* These three may change detector->state. Unknown rounds, targets and duplicates are ignored. */
void detector_reply(struct detector *detector, unsigned target, uint16_t sequence, int64_t now_us);
void detector_send_failed(struct detector *detector, unsigned target, uint16_t sequence, bool is_proof, int64_t now_us);
void detector_tick(struct detector *detector, int64_t now_us);
/* Losing the link means down at once; when it comes back, answers have to be earned. */
void detector_set_link(struct detector *detector, bool has_link, int64_t now_us);
/* Outstanding rounds prove nothing any more (the machine slept): forgotten, not lost. */
void detector_forget_outstanding(struct detector *detector);
/* When the oldest outstanding round times out; INT64_MAX: none is outstanding. */
int64_t detector_deadline_us(const struct detector *detector);
/* First lost probe of the present run was sent, or (without one) answers came back. */
int64_t detector_began_us(const struct detector *detector);
unsigned detector_misses_needed(const struct detector *detector);
void detector_read_status(const struct detector *detector, int64_t now_us, struct detector_status *ret_status);

#endif
