/*
 * detector: see detector.h for the states. Called by engine.c, one detector an uplink.
 *
 * Rounds are remembered in a ring, newest LIMIT_ROUNDS. Several are outstanding when the time-out
 * is longer than the interval, and answers may overtake each other, so runs are counted in the
 * order of sending: `misses` are the lost rounds after the newest answered one, `answers` the
 * answered rounds after the newest lost one. An answer that comes after its round was counted lost
 * still proves that the line worked when the round was sent: it cuts the run of misses (a saturated
 * line is not down), though it earns nothing towards coming back.
 *
 * Loss is credited when a run ends in an answer, and only runs shorter than k: what was taken for
 * an outage is no loss of a working line, and an outage must not make the next one slower to
 * detect. Whether a down was a burst of losses in truth shows right after it: an answer within
 * DOUBT_US of the decision doubles k (twice at most) for an hour, or longer if that happens again.
 */
#include "agent/uplink/detector.h"

#include <string.h>

#define SUSPECT_MISSES 3
#define CLEAR_ANSWERS 3	    /* suspect -> up */
#define RECOVER_ANSWERS 20  /* down -> up: at 5 % loss 3.6 s, while half a line never passes */
#define REST_ROUNDS 10	    /* metered, at rest: one round in so many intervals */
#define MUSTER_ROUNDS 50    /* one round in so many goes to all targets: who is silent may be back */
#define LOSS_ROUNDS 400	    /* moving average of loss: 40 s at 10 a second */
#define PPB 1000000000
#define MISSES_MIN 5	    /* 8 / -log10 of 1 % is 4; one more, since no line's losses are independent */
#define MISSES_MAX 12
#define MISSES_DOUBTED_MAX 24
#define DOUBT_US 1000000    /* a burst that lasts for k rounds is over within about as long again */
#define DOUBT_MAX 2
#define DOUBT_DECAY_US (INT64_C(3600) * 1000000) /* a level an hour, twice as long when it comes back within that */
#define DOUBT_DECAY_MAX_US (16 * DOUBT_DECAY_US) /* bursty lines stay so for days, but not for ever */
#define RELAPSE_US (INT64_C(30) * 1000000)	 /* down again within this after coming up: a relapse */
#define RELAPSE_DECAY_US (INT64_C(60) * 1000000) /* a level for every minute that it stayed up */
#define RELAPSE_MAX 3				 /* hold-down of 8 x 20 rounds: 16 s */

/* k = ceil(8 / -log10 p): k is enough while p <= 10^(-8/k); index 0 is MISSES_MIN. */
static const uint32_t loss_limits_ppb[MISSES_MAX - MISSES_MIN] = {
	25118864, 46415888, 71968567, 100000000, 129154967, 158489319, 187381742,
};

static struct detector_round *round_at(struct detector *detector, uint64_t sequence)
{
	return &detector->rounds[sequence % LIMIT_ROUNDS];
}

static void enter(struct detector *detector, enum uplink_state state, int64_t now_us)
{
	detector->state = state;
	detector->since_us = now_us;
}

static void enter_down(struct detector *detector, bool by_probes, int64_t now_us)
{
	int64_t up_for_us = now_us - detector->up_since_us;
	int64_t decayed = up_for_us / RELAPSE_DECAY_US;

	if (detector->was_down && up_for_us < RELAPSE_US)
		detector->relapses += detector->relapses < RELAPSE_MAX;
	else
		detector->relapses = decayed < detector->relapses ? detector->relapses - (unsigned)decayed : 0;
	detector->doubt_until_us = by_probes ? now_us + DOUBT_US : INT64_MIN;
	detector->is_steady = false;
	detector->was_down = true;
	enter(detector, UPLINK_DOWN, now_us);
}

static int64_t hold_down_us(const struct detector *detector)
{
	if (detector->relapses == 0)
		return 0;
	return (RECOVER_ANSWERS * detector->config.interval_us) << detector->relapses;
}

/* An answer came right after the line was declared down: that was a burst of losses. */
static void doubt(struct detector *detector, int64_t now_us)
{
	int64_t decay_us = 2 * detector->doubt_decay_us;

	if (now_us - detector->doubt_since_us >= detector->doubt_decay_us)
		decay_us = DOUBT_DECAY_US;
	detector->doubt_decay_us = decay_us < DOUBT_DECAY_MAX_US ? decay_us : DOUBT_DECAY_MAX_US;
	detector->doubt_since_us = now_us;
	detector->doubt += detector->doubt < DOUBT_MAX;
}

static void forgive(struct detector *detector, int64_t now_us)
{
	while (detector->doubt > 0 && now_us - detector->doubt_since_us >= detector->doubt_decay_us) {
		detector->doubt--;
		detector->doubt_since_us += detector->doubt_decay_us;
	}
}

/* The state that follows from the runs. */
static void judge(struct detector *detector, int64_t now_us)
{
	if (detector->state == UPLINK_DOWN) {
		if (detector->answers >= RECOVER_ANSWERS &&
		    now_us - detector->steady_since_us >= hold_down_us(detector)) {
			detector->up_since_us = now_us;
			enter(detector, UPLINK_UP, now_us);
		}
	} else if (detector->misses >= detector_misses_needed(detector)) {
		enter_down(detector, true, now_us);
	} else if (detector->state == UPLINK_UP) {
		if (detector->misses >= SUSPECT_MISSES)
			enter(detector, UPLINK_SUSPECT, now_us);
	} else if (detector->answers >= CLEAR_ANSWERS) {
		enter(detector, UPLINK_UP, now_us);
	}
}

/* --- runs ----------------------------------------------------------------------------------- */

static void credit_loss(struct detector *detector, unsigned rounds)
{
	for (; rounds > 0; rounds--)
		detector->loss_ppb += (PPB - detector->loss_ppb) / LOSS_ROUNDS;
}

static void credit_answer(struct detector *detector)
{
	detector->loss_ppb -= detector->loss_ppb / LOSS_ROUNDS;
}

/* `sequence` and all after it are in the ring. */
static unsigned count_after(struct detector *detector, uint64_t sequence, enum detector_round_state state)
{
	unsigned n = 0;

	for (uint64_t s = sequence + 1; s < detector->next; s++)
		n += round_at(detector, s)->state == state;
	return n;
}

static void begin_run(struct detector *detector, const struct detector_round *first)
{
	detector->run_first = first->sequence;
	detector->run_began_us = first->sent_us;
}

/* An answer to round `sequence`, newer than all answered before: the run up to it is over. */
static void end_run(struct detector *detector, uint64_t sequence)
{
	unsigned misses = count_after(detector, sequence, ROUND_LOST);

	if (detector->misses < detector_misses_needed(detector))
		credit_loss(detector, detector->misses - misses);
	detector->last_answered = sequence;
	detector->misses = misses;
	if (misses == 0)
		return;
	while (round_at(detector, ++sequence)->state != ROUND_LOST)
		;
	begin_run(detector, round_at(detector, sequence));
}

static void note_answered(struct detector *detector, struct detector_round *round, int64_t now_us)
{
	bool in_time = round->state == ROUND_PENDING;

	round->state = in_time ? ROUND_ANSWERED : ROUND_LATE;
	if (round->sequence > detector->last_answered)
		end_run(detector, round->sequence);
	if (in_time) {
		credit_answer(detector);
		detector->answers += round->sequence > detector->last_lost;
	}
	if (!detector->is_steady) {
		detector->is_steady = true;
		detector->steady_since_us = now_us;
	}
	if (detector->doubt_until_us >= now_us)
		doubt(detector, now_us);
	detector->doubt_until_us = INT64_MIN;
}

static void note_lost(struct detector *detector, struct detector_round *round)
{
	round->state = ROUND_LOST;
	detector->answering = (uint8_t)(detector->answering & ~(round->asked & ~round->answered));
	if (round->sequence > detector->last_lost) {
		detector->last_lost = round->sequence;
		detector->answers = count_after(detector, round->sequence, ROUND_ANSWERED);
	}
	if (round->sequence < detector->last_answered) {
		credit_loss(detector, 1);
		return;
	}
	detector->misses++;
	if (detector->misses == 1 || round->sequence < detector->run_first)
		begin_run(detector, round);
	if (detector->misses >= SUSPECT_MISSES)
		detector->is_steady = false;
}

static void pass_decided(struct detector *detector)
{
	while (detector->oldest_pending < detector->next &&
	       round_at(detector, detector->oldest_pending)->state != ROUND_PENDING)
		detector->oldest_pending++;
}

/* --- interface ------------------------------------------------------------------------------- */

/* Targets that have never answered have no say while others have: a mistyped address slows nothing down. */
static void learn_timeout(struct detector *detector)
{
	const struct detector_config *config = &detector->config;
	int64_t longest_us = 0;

	for (unsigned i = 0; i < config->n_targets; i++) {
		const struct rtt *rtt = &detector->rtt[i];
		int64_t timeout_us = rtt_timeout_us(rtt, config->timeout_min_us, config->timeout_max_us);

		if (rtt->total > 0 && timeout_us > longest_us)
			longest_us = timeout_us;
	}
	detector->timeout_us = longest_us > 0 ? longest_us
					      : rtt_timeout_us(&detector->rtt[0], config->timeout_min_us,
							       config->timeout_max_us);
}

void detector_init(struct detector *detector, const struct detector_config *config, enum uplink_state state,
		   int64_t now_us)
{
	memset(detector, 0, sizeof(*detector));
	detector->config = *config;
	detector->state = state;
	detector->since_us = now_us;
	detector->has_link = true;
	detector->next = 1;
	detector->oldest_pending = 1;
	detector->was_down = state == UPLINK_DOWN;
	detector->up_since_us = now_us;
	detector->steady_since_us = now_us;
	detector->doubt_since_us = now_us;
	detector->doubt_until_us = INT64_MIN;
	for (unsigned i = 0; i < LIMIT_TARGETS; i++)
		rtt_init(&detector->rtt[i]);
	learn_timeout(detector);
}

bool detector_may_send(const struct detector *detector)
{
	return detector->has_link && detector->next - detector->oldest_pending < LIMIT_ROUNDS;
}

/* The next after the last one that had its turn, of those that answer; there is one. */
static unsigned next_turn(const struct detector *detector)
{
	unsigned n = detector->config.n_targets, turn = detector->turn;

	do
		turn = (turn + 1) % n;
	while (!(detector->answering & 1U << turn));
	return turn;
}

/*
 * One answer in time is all that a round of quorum 1 asks for, so asking everybody tells nothing more as long as answers
 * come. By turns, a target that dies takes one round with it and the next one ends the run; from the first lost round
 * on everybody is asked.
 */
static bool takes_turns(const struct detector *detector)
{
	return detector->config.quorum == 1 && detector->state == UPLINK_UP && detector->answering != 0 &&
	       detector->answers >= RECOVER_ANSWERS && detector->next % MUSTER_ROUNDS != 0;
}

uint8_t detector_next_targets(const struct detector *detector)
{
	if (takes_turns(detector))
		return (uint8_t)(1U << next_turn(detector));
	return (uint8_t)((1U << detector->config.n_targets) - 1);
}

uint16_t detector_send(struct detector *detector, int64_t now_us)
{
	uint8_t asked = detector_next_targets(detector);
	uint64_t sequence;

	if (takes_turns(detector))
		detector->turn = next_turn(detector);
	sequence = detector->next++;
	*round_at(detector, sequence) = (struct detector_round){
		.sent_us = now_us,
		.sequence = sequence,
		.state = ROUND_PENDING,
		.asked = asked,
	};
	return (uint16_t)sequence;
}

int64_t detector_gap_us(const struct detector *detector)
{
	bool at_rest = detector->config.metered;

	/* A lost round wakes a line that is up, an answered one a line that is down. */
	if (detector->state == UPLINK_DOWN)
		at_rest = at_rest && detector->answers == 0;
	else
		at_rest = at_rest && (detector->last_lost == 0 || detector->answers >= RECOVER_ANSWERS);
	return detector->config.interval_us * (at_rest ? REST_ROUNDS : 1);
}

/* The round that a packet's 16-bit sequence means, or NULL. */
static struct detector_round *find_round(struct detector *detector, unsigned target, uint16_t sequence)
{
	struct detector_round *round = round_at(detector, sequence);

	if (target >= detector->config.n_targets || round->state == ROUND_VOID || (uint16_t)round->sequence != sequence)
		return NULL;
	return round;
}

void detector_reply(struct detector *detector, unsigned target, uint16_t sequence, int64_t now_us)
{
	struct detector_round *round = find_round(detector, target, sequence);

	if (round == NULL || (round->answered & 1U << target) || !(round->asked & 1U << target))
		return;
	round->answered = (uint8_t)(round->answered | 1U << target);
	detector->answering = (uint8_t)(detector->answering | 1U << target);
	rtt_learn(&detector->rtt[target], now_us - round->sent_us);
	learn_timeout(detector);
	forgive(detector, now_us);
	if (round->state == ROUND_ANSWERED || round->state == ROUND_LATE)
		return;
	if ((unsigned)__builtin_popcount(round->answered) < detector->config.quorum)
		return;
	note_answered(detector, round, now_us);
	pass_decided(detector);
	judge(detector, now_us);
}

void detector_send_failed(struct detector *detector, unsigned target, uint16_t sequence, bool is_proof, int64_t now_us)
{
	struct detector_round *round = find_round(detector, target, sequence);

	if (round == NULL || round->state != ROUND_PENDING)
		return;
	if (is_proof)
		round->unsent = (uint8_t)(round->unsent | 1U << target);
	else
		round->asked = (uint8_t)(round->asked & ~(1U << target));
	if ((unsigned)__builtin_popcount(round->asked & ~(unsigned)round->unsent) >= detector->config.quorum)
		return;
	if ((unsigned)__builtin_popcount(round->asked) >= detector->config.quorum)
		note_lost(detector, round);
	else
		round->state = ROUND_VOID;
	pass_decided(detector);
	judge(detector, now_us);
}

void detector_tick(struct detector *detector, int64_t now_us)
{
	forgive(detector, now_us);
	while (detector_deadline_us(detector) <= now_us) {
		note_lost(detector, round_at(detector, detector->oldest_pending));
		pass_decided(detector);
		judge(detector, now_us);
	}
}

void detector_forget_outstanding(struct detector *detector)
{
	for (; detector->oldest_pending < detector->next; detector->oldest_pending++) {
		struct detector_round *round = round_at(detector, detector->oldest_pending);

		if (round->state == ROUND_PENDING)
			round->state = ROUND_VOID;
	}
}

void detector_set_link(struct detector *detector, bool has_link, int64_t now_us)
{
	if (has_link == detector->has_link)
		return;
	detector->has_link = has_link;
	/* What was outstanding or counted belongs to the link that was. */
	for (unsigned i = 0; i < LIMIT_ROUNDS; i++)
		detector->rounds[i].state = ROUND_VOID;
	detector->oldest_pending = detector->next;
	detector->misses = 0;
	detector->answers = 0;
	detector->is_steady = false;
	if (!has_link && detector->state != UPLINK_DOWN)
		enter_down(detector, false, now_us);
}

int64_t detector_deadline_us(const struct detector *detector)
{
	if (detector->oldest_pending == detector->next)
		return INT64_MAX;
	return detector->rounds[detector->oldest_pending % LIMIT_ROUNDS].sent_us + detector->timeout_us;
}

int64_t detector_began_us(const struct detector *detector)
{
	return detector->misses > 0 ? detector->run_began_us : detector->steady_since_us;
}

unsigned detector_misses_needed(const struct detector *detector)
{
	unsigned needed = MISSES_MIN;

	while (needed < MISSES_MAX && detector->loss_ppb > loss_limits_ppb[needed - MISSES_MIN])
		needed++;
	needed <<= detector->doubt;
	return needed < MISSES_DOUBTED_MAX ? needed : MISSES_DOUBTED_MAX;
}

/* The window is the present run, of misses or (without one) of answers, as far as it is remembered. */
static void read_evidence(const struct detector *detector, unsigned target, int64_t now_us,
			  struct detector_evidence *ret_evidence)
{
	const struct rtt *rtt = &detector->rtt[target];
	uint64_t first = detector->misses > 0 ? detector->run_first : detector->last_lost + 1;

	*ret_evidence = (struct detector_evidence){
		.rtt_us = rtt->smoothed_us,
		.timeout_us = (uint32_t)rtt_timeout_us(rtt, detector->config.timeout_min_us,
						       detector->config.timeout_max_us),
	};
	for (unsigned i = 0; i < LIMIT_ROUNDS; i++) {
		const struct detector_round *round = &detector->rounds[i];
		bool is_answered = round->answered & 1U << target;

		if (round->state == ROUND_VOID || round->sequence < first || !(round->asked & 1U << target))
			continue;
		/* Another target may still answer a round that was decided early. */
		if (!is_answered && round->state != ROUND_LOST && now_us - round->sent_us < detector->timeout_us)
			continue;
		ret_evidence->sent++;
		ret_evidence->lost += !is_answered;
	}
}

void detector_read_status(const struct detector *detector, int64_t now_us, struct detector_status *ret_status)
{
	*ret_status = (struct detector_status){
		.misses = detector->misses,
		.misses_needed = detector_misses_needed(detector),
		.answers = detector->answers,
		.loss_permille = detector->loss_ppb / (PPB / 1000),
		.n_targets = detector->config.n_targets,
	};
	for (unsigned i = 0; i < detector->config.n_targets; i++) {
		uint32_t rtt_us = detector->rtt[i].smoothed_us;

		read_evidence(detector, i, now_us, &ret_status->targets[i]);
		if (rtt_us != 0 && (ret_status->rtt_us == 0 || rtt_us < ret_status->rtt_us))
			ret_status->rtt_us = rtt_us;
	}
}
