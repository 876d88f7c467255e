/*
 * report: see report.h. agent.c calls it when something happened; link.c takes the records out of
 * the spool later, when there is a session. The structures of protobuf-c live on the stack and point
 * into the configuration and the caller's data: packing copies. The agent's only file beside the link
 * that knows generated code, together with common/wire.
 */
#include "agent/report.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "agent/report_record.h"

#define UPLINKS_A_RECORD 8 /* names of 31 characters and all numbers large: 8 x 80 bytes */

/* The numbers of the pure engine are those on the wire. */
_Static_assert((int)UPLINK_UP == JAGA__V1__UPLINK_STATE__UPLINK_STATE_UP, "");
_Static_assert((int)UPLINK_DOWN == JAGA__V1__UPLINK_STATE__UPLINK_STATE_DOWN, "");
_Static_assert((int)UPLINK_BY_PROBES == JAGA__V1__UPLINK_CAUSE__UPLINK_CAUSE_PROBES, "");
_Static_assert((int)UPLINK_BY_START == JAGA__V1__UPLINK_CAUSE__UPLINK_CAUSE_START, "");

void report_add_record(struct report *report, enum spool_kind kind, const ProtobufCMessage *message, bool urgent)
{
	char memory[LIMIT_RECORD_BYTES + 1];
	struct buf buf;
	int r;

	if (!report->config->has_collector)
		return; /* nobody will ever ask for it */
	buf_init(&buf, memory, sizeof(memory));
	r = wire_pack(message, &buf);
	if (r == 0)
		r = spool_add(report->spool, kind, buf.data, buf.length);
	if (r < 0)
		log_debug("report", "record not kept kind=%d error=%s", (int)kind, strerror(-r));
	else if (report->on_added)
		report->on_added(report->arg, urgent);
}

static void format_target(const struct parse_address *target, char *ret_text, size_t size)
{
	if (!inet_ntop(target->family, &target->v4, ret_text, (socklen_t)size))
		ret_text[0] = '\0';
}

void report_uplink_change(struct report *report, const struct engine_change *change, int64_t switch_us,
			  uint32_t flows_moved)
{
	const struct config_uplink *uplink = &report->config->uplinks[change->uplink];
	Jaga__V1__Event event = JAGA__V1__EVENT__INIT;
	Jaga__V1__UplinkChange out = JAGA__V1__UPLINK_CHANGE__INIT;
	Jaga__V1__ProbeEvidence probes[LIMIT_TARGETS];
	Jaga__V1__ProbeEvidence *list[LIMIT_TARGETS];
	char targets[LIMIT_TARGETS][LIMIT_HOST];

	for (unsigned i = 0; i < change->n_targets; i++) {
		const struct detector_evidence *evidence = &change->targets[i];

		jaga__v1__probe_evidence__init(&probes[i]);
		format_target(&uplink->targets[i], targets[i], sizeof(targets[i]));
		probes[i].target = targets[i];
		probes[i].sent = evidence->sent;
		probes[i].lost = evidence->lost;
		probes[i].rtt_us = evidence->rtt_us;
		probes[i].timeout_us = evidence->timeout_us;
		list[i] = &probes[i];
	}
	out.uplink = (char *)uplink->name;
	out.from = (Jaga__V1__UplinkState)change->from;
	out.to = (Jaga__V1__UplinkState)change->to;
	out.cause = (Jaga__V1__UplinkCause)change->cause;
	out.n_probes = change->n_targets;
	out.probes = list;
	out.misses = change->misses;
	out.misses_needed = change->misses_needed;
	out.detect_us = change->decided_us - change->began_us;
	out.switch_us = switch_us;
	out.flows_moved = flows_moved;
	if (change->carried_by < report->config->n_uplinks)
		out.carried_by = (char *)report->config->uplinks[change->carried_by].name;
	out.lasted_ms = change->lasted_us / 1000;
	event.seq = spool_next_seq(report->spool);
	event.at_ms = change->decided_us / 1000;
	event.kind_case = JAGA__V1__EVENT__KIND_UPLINK;
	event.uplink = &out;
	report_add_record(report, SPOOL_EVENT, &event.base, true);
}

void report_started(struct report *report, bool adopted, const char *reason, int64_t now_ms)
{
	Jaga__V1__Event event = JAGA__V1__EVENT__INIT;
	Jaga__V1__AgentStarted out = JAGA__V1__AGENT_STARTED__INIT;
	char version[] = JAGA_VERSION;

	out.version = version;
	out.adopted = adopted;
	out.reason = (char *)reason;
	event.seq = spool_next_seq(report->spool);
	event.at_ms = now_ms;
	event.kind_case = JAGA__V1__EVENT__KIND_STARTED;
	event.started = &out;
	report_add_record(report, SPOOL_EVENT, &event.base, false);
}

void report_notice(struct report *report, enum log_level level, const char *subsystem, const char *text,
		   enum notice_span span, int64_t now_ms)
{
	Jaga__V1__Event event = JAGA__V1__EVENT__INIT;
	Jaga__V1__Notice out = JAGA__V1__NOTICE__INIT;
	char cut[LIMIT_NOTICE + 1];

	snprintf(cut, sizeof(cut), "%s", text);
	out.subsystem = (char *)subsystem;
	out.level = (uint32_t)level;
	out.text = cut;
	out.span = (uint32_t)span;
	event.seq = spool_next_seq(report->spool);
	event.at_ms = now_ms;
	event.kind_case = JAGA__V1__EVENT__KIND_NOTICE;
	event.notice = &out;
	report_add_record(report, SPOOL_EVENT, &event.base, level <= LOG_LEVEL_WARNING);
}

void report_fill_load(Jaga__V1__Sample *out, const struct report_sample *sample)
{
	out->conntrack_count = sample->conntrack_count;
	out->conntrack_max = sample->conntrack_max;
	out->mem_available_kb = sample->mem_available_kb;
	out->load_permille = sample->load_permille;
}

static void add_sample(struct report *report, const struct report_sample *sample, unsigned first, unsigned n,
		       int64_t now_ms)
{
	Jaga__V1__Sample out = JAGA__V1__SAMPLE__INIT;
	Jaga__V1__UplinkSample uplinks[UPLINKS_A_RECORD];
	Jaga__V1__UplinkSample *list[UPLINKS_A_RECORD];

	for (unsigned i = 0; i < n; i++) {
		const struct report_uplink_sample *from = &sample->uplinks[first + i];

		jaga__v1__uplink_sample__init(&uplinks[i]);
		uplinks[i].uplink = (char *)report->config->uplinks[first + i].name;
		uplinks[i].state = (Jaga__V1__UplinkState)from->state;
		uplinks[i].rtt_us = from->rtt_us;
		uplinks[i].loss_permille = from->loss_permille;
		uplinks[i].rx_bytes = from->rx_bytes;
		uplinks[i].tx_bytes = from->tx_bytes;
		list[i] = &uplinks[i];
	}
	out.seq = spool_next_seq(report->spool);
	out.at_ms = now_ms;
	out.n_uplinks = n;
	out.uplinks = list;
	report_fill_load(&out, sample);
	report_add_record(report, SPOOL_SAMPLE, &out.base, false);
}

void report_sample(struct report *report, const struct report_sample *sample, int64_t now_ms)
{
	unsigned first = 0;

	do { /* one record even without uplinks: the numbers of the machine */
		unsigned n = report->config->n_uplinks - first;

		n = n < UPLINKS_A_RECORD ? n : UPLINKS_A_RECORD;
		add_sample(report, sample, first, n, now_ms);
		first += n;
	} while (first < report->config->n_uplinks);
}
