/*
 * sim_detector: how often the detector is wrong, and how fast it is right. Not a measurement of a
 * network: simulated lines with known faults, months of them in seconds, the real detector.
 *
 * Each line is first run for MONTHS without an outage; every down is a false one. Then it is cut
 * OUTAGES times at random phases of the probing (with its loss continuing before each cut) and the
 * time from the cut to the verdict is taken. Round trips are 10 ms. Prints a JSON object.
 *
 * Lines: independent loss; and Gilbert-Elliott: everything is lost in bad periods of exponential
 * length, nothing in good ones, which is what wireless lines and overloaded gateways look like.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/uplink/detector.h"

#define MS INT64_C(1000)
#define S (1000 * MS)
#define MONTH (2630000 * S)
#define MONTHS 2
#define OUTAGES 1000
#define INTERVAL (100 * MS)
#define RTT (10 * MS)

struct line {
	const char *name;
	double loss;	   /* share of probes */
	int64_t burst_us; /* mean length of a bad period; 0: independent loss */
};

static const struct line lines[] = {
	{ "loss1", 0.01, 0 },		   { "loss5", 0.05, 0 },
	{ "loss20", 0.20, 0 },		   { "bursts100ms_loss1", 0.01, 100 * MS },
	{ "bursts300ms_loss1", 0.01, 300 * MS },
};

struct simulation {
	const struct line *line;
	struct detector detector;
	int64_t now_us, next_us;
	bool is_cut;
	bool is_bad;
	int64_t period_end_us;
	unsigned long downs;
};

static uint64_t random_state = 1;

static double random_unit(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) * (1.0 / 9007199254740992.0);
}

static bool is_lost(struct simulation *simulation)
{
	const struct line *line = simulation->line;

	if (line->burst_us == 0)
		return random_unit() < line->loss;
	while (simulation->period_end_us <= simulation->now_us) {
		double mean = (double)line->burst_us;

		simulation->is_bad = !simulation->is_bad;
		if (!simulation->is_bad)
			mean *= (1 - line->loss) / line->loss;
		simulation->period_end_us += (int64_t)(-log(1 - random_unit()) * mean) + 1;
	}
	return simulation->is_bad;
}

/* Time-outs up to `until_us`; counts what becomes down. */
static void let_time_out(struct simulation *simulation, int64_t until_us)
{
	struct detector *detector = &simulation->detector;

	while (detector_deadline_us(detector) <= until_us) {
		enum uplink_state before = detector->state;

		detector_tick(detector, detector_deadline_us(detector));
		simulation->downs += before != UPLINK_DOWN && detector->state == UPLINK_DOWN;
	}
}

static void run_round(struct simulation *simulation)
{
	struct detector *detector = &simulation->detector;
	bool lost;
	uint16_t sequence;

	simulation->now_us = simulation->next_us;
	let_time_out(simulation, simulation->now_us);
	sequence = detector_send(detector, simulation->now_us);
	lost = is_lost(simulation) || simulation->is_cut;
	simulation->next_us = simulation->now_us + detector_gap_us(detector);
	if (lost)
		return;
	let_time_out(simulation, simulation->now_us + RTT);
	detector_reply(detector, 0, sequence, simulation->now_us + RTT);
}

static void begin(struct simulation *simulation, const struct line *line)
{
	struct detector_config config = {
		.n_targets = 1,
		.quorum = 1,
		.interval_us = INTERVAL,
		.timeout_min_us = 200 * MS,
		.timeout_max_us = 3 * S,
	};

	*simulation = (struct simulation){ .line = line };
	detector_init(&simulation->detector, &config, UPLINK_UP, 0);
}

static double false_downs_a_month(const struct line *line)
{
	struct simulation simulation;

	begin(&simulation, line);
	while (simulation.now_us < MONTHS * MONTH)
		run_round(&simulation);
	return (double)simulation.downs / MONTHS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorted times from a cut at a random phase to the verdict. */
static void detection_times(const struct line *line, double *ret_ms)
{
	struct simulation simulation;

	begin(&simulation, line);
	for (unsigned i = 0; i < OUTAGES; i++) {
		int64_t cut_us;

		/* Ten minutes of the line as it is, up at the end. */
		for (unsigned n = 0; n < 6000 || simulation.detector.state != UPLINK_UP; n++)
			run_round(&simulation);
		/* Packets sent after the cut are lost; the phase is anywhere before the next probe. */
		cut_us = simulation.next_us - (int64_t)(random_unit() * (double)INTERVAL);
		simulation.is_cut = true;
		while (simulation.detector.state != UPLINK_DOWN)
			run_round(&simulation);
		ret_ms[i] = (double)(simulation.detector.since_us - cut_us) / (double)MS;
		/* It stays cut for ten seconds: nothing in doubt afterwards. */
		for (unsigned n = 0; n < 100; n++)
			run_round(&simulation);
		simulation.is_cut = false;
	}
	qsort(ret_ms, OUTAGES, sizeof(*ret_ms), compare);
}

int main(void)
{
	static double times_ms[OUTAGES];
	size_t n = sizeof(lines) / sizeof(lines[0]);

	printf("{\n");
	for (size_t i = 0; i < n; i++) {
		double wrong = false_downs_a_month(&lines[i]);

		detection_times(&lines[i], times_ms);
		printf("  \"%s_false_per_month\": %.1f,\n", lines[i].name, wrong);
		printf("  \"%s_detect_p50_ms\": %.0f,\n", lines[i].name, times_ms[OUTAGES / 2]);
		printf("  \"%s_detect_p95_ms\": %.0f%s\n", lines[i].name, times_ms[OUTAGES * 95 / 100],
		       i + 1 < n ? "," : "");
	}
	printf("}\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
