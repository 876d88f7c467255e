/*
 * report: what happened on this router, made into records of proto/jaga.proto and put into the
 * spool; without a collector into nothing. Never fails towards the caller: what cannot be kept is
 * counted by the spool. Loop thread only; allocates nothing.
 */
#ifndef JAGA_AGENT_REPORT_H
#define JAGA_AGENT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/condition.h"
#include "agent/config.h"
#include "agent/router/router.h"
#include "agent/spool.h"
#include "agent/uplink/engine.h"
#include "common/log.h"

/* A record is in the spool. urgent: people wait for it. */
typedef void report_added_fn(void *arg, bool urgent);

struct report {
	const struct agent_config *config;
	struct spool *spool;
	report_added_fn *on_added; /* may be NULL */
	void *arg;
};

/* A change of an uplink with what carrying it out took: decision -> kernel changed and flows flushed. */
void report_uplink_change(struct report *report, const struct engine_change *change, int64_t switch_us,
			  uint32_t flows_moved);
void report_started(struct report *report, bool adopted, const char *reason, int64_t now_ms);
/* A line for people, cut at 200 characters. */
void report_notice(struct report *report, enum log_level level, const char *subsystem, const char *text,
		   enum notice_span span, int64_t now_ms);

struct report_uplink_sample {
	enum uplink_state state;
	uint32_t rtt_us;
	uint32_t loss_permille;
	uint64_t rx_bytes, tx_bytes;
};
struct report_sample {
	struct report_uplink_sample uplinks[LIMIT_UPLINKS]; /* in the order of the configuration */
	uint32_t conntrack_count, conntrack_max;
	uint32_t mem_available_kb;
	uint32_t load_permille;
};
/* Many uplinks make several records, so that each fits into a batch. */
void report_sample(struct report *report, const struct report_sample *sample, int64_t now_ms);

/* report_watch.c: what a driver watches beside the uplinks. */
void report_watch(struct report *report, const struct router_change *change, int64_t now_ms);
void report_restart(struct report *report, const struct router_restart *restart, int64_t now_ms);
/* After report_sample(), with the same sample: what is watched, in as many records as it takes. */
void report_watched(struct report *report, const struct router_ops *ops, struct router *router,
		    const struct report_sample *sample, int64_t now_ms);

#endif
