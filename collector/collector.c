/*
 * collector: see collector.h. This file only connects: what coap says goes to ingest and fleet, what
 * becomes durable goes to ctl, what the disk refuses goes to the log with a remedy. A periodic
 * minute keeps the hour's count of refused handshakes; each turn looks whether the wall clock was set.
 */
#include "collector/collector.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "collector/ctl.h"
#include "collector/fleet.h"
#include "collector/ingest.h"
#include "collector/jobs.h"
#include "collector/presence.h"
#include "collector/snapshots.h"
#include "collector/worker.h"
#include "collector/writer.h"
#include "common/clock.h"

/* --- what coap says -------------------------------------------------------------------------- */

static int find_key(void *arg, const char *identity, uint8_t ret_key[static LIMIT_PSK_BYTES])
{
	struct collector *collector = arg;
	const struct fleet_device *device = fleet_find(collector->ports.fleet, identity);

	if (!device || !device->has_key)
		return -ENOENT;
	memcpy(ret_key, device->key, LIMIT_PSK_BYTES);
	return 0;
}

static void on_online(void *arg, const char *name, const char *peer)
{
	struct collector *collector = arg;
	struct fleet_device *device = fleet_find(collector->ports.fleet, name);

	if (device)
		presence_come(collector->presence, device, peer);
}

static void on_offline(void *arg, const char *name, const char *reason)
{
	struct collector *collector = arg;
	struct fleet_device *device = fleet_find(collector->ports.fleet, name);

	/* At the end every session goes; that says nothing about devices. */
	if (device && !collector->is_stopping)
		presence_go(collector->presence, device, reason);
}

static void on_request(void *arg, const struct coap_incoming *incoming)
{
	struct collector *collector = arg;

	ingest_request(collector->ingest, incoming);
}

static const struct coap_events coap_events = {
	.find_key = find_key,
	.on_online = on_online,
	.on_offline = on_offline,
	.on_request = on_request,
};

/* --- ports ----------------------------------------------------------------------------------- */

static void port_reply(void *arg, const struct coap_ticket *ticket, const struct coap_answer *answer)
{
	struct collector *collector = arg;

	coap_server_reply(collector->coap, ticket, answer);
}

static int port_wake(void *arg, const char *device, const void *body, size_t length)
{
	struct collector *collector = arg;
	const struct fleet_device *known = fleet_find(collector->ports.fleet, device);

	return coap_server_wake(collector->coap, device, known ? known->rtt_ms : 0, body, length);
}

static void port_changed(void *arg, enum port_change what, uint64_t subject)
{
	struct collector *collector = arg;

	if (collector->ctl)
		ctl_notify(collector->ctl, what, subject);
}

static void on_fault(void *arg, int error)
{
	struct collector *collector = arg;
	const char *path = collector->config->store_path;
	unsigned long long free_bytes = 0;
	struct statvfs fs;
	unsigned suppressed;

	if (error == 0) {
		log_info("store", "writing again path=%s", path);
		return;
	}
	if (error == -ENOTRECOVERABLE) {
		log_error("store", "cannot be written any more, stopping; start jaga-collector again path=%s", path);
		collector->is_lost = true;
		ev_break(collector->loop, EVBREAK_ALL);
		return;
	}
	if (!log_limit_allows(&collector->faults, clock_mono_ms(), &suppressed))
		return;
	if (statvfs(path, &fs) == 0)
		free_bytes = (unsigned long long)fs.f_bavail * fs.f_frsize;
	log_error("store", "cannot write: %s; nothing is acknowledged and agents keep their reports; make room on this file "
		  "system or raise [store] size path=%s free_bytes=%llu", strerror(-error), path, free_bytes);
}

/* --- refused handshakes of the last hour ------------------------------------------------------- */

static uint64_t read_refused(const struct collector *collector)
{
	struct coap_counters counters;

	coap_server_read_counters(collector->coap, &counters);
	return counters.handshakes_refused;
}

static void on_minute(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct collector *collector = timer->data;

	(void)loop;
	(void)events;
	collector->minute = (collector->minute + 1) % COLLECTOR_REFUSED_MINUTES;
	collector->refused_at[collector->minute] = read_refused(collector);
}

uint64_t collector_count_refused(const struct collector *collector)
{
	/* The slot after the newest is the oldest: an hour ago, or 0 when we are younger. */
	return read_refused(collector) - collector->refused_at[(collector->minute + 1) % COLLECTOR_REFUSED_MINUTES];
}

/* --- the wall clock ---------------------------------------------------------------------------- */

#define STEP_LEAST_MS 1000  /* less is NTP at work */
#define STEP_TOLD_MS 60000
#define DAY_MS INT64_C(86400000)

/* Before anything is handled in this turn of the loop: no time of the new clock is noted yet. */
static void on_turn(struct ev_loop *loop, ev_check *check, int events)
{
	struct collector *collector = check->data;
	int64_t step_ms = clock_watch_step_ms(&collector->clock, STEP_LEAST_MS), size_ms = step_ms < 0 ? -step_ms : step_ms;
	int64_t unit_ms = size_ms < DAY_MS ? 1000 : DAY_MS;
	unsigned suppressed;

	(void)loop;
	(void)events;
	if (step_ms == 0)
		return;
	fleet_shift_times(collector->ports.fleet, step_ms);
	if (size_ms >= STEP_TOLD_MS && log_limit_allows(&collector->steps, clock_mono_ms(), &suppressed))
		log_warning("collector", "the clock was set %s by %lld %s: events keep the times that they were stored with, "
			    "and jobs with an expiry end by the new clock", step_ms < 0 ? "back" : "forward",
			    (long long)((size_ms + unit_ms / 2) / unit_ms), unit_ms == DAY_MS ? "days" : "s");
}

static void watch_clock(struct collector *collector)
{
	if (!clock_wall_is_set())
		log_warning("collector", "the clock is not set: until it is, what happens is stored with a time of long ago");
	(void)clock_watch_step_ms(&collector->clock, 0); /* from here on */
	ev_check_init(&collector->every_turn, on_turn);
	ev_set_priority(&collector->every_turn, EV_MAXPRI);
	collector->every_turn.data = collector;
	ev_check_start(collector->loop, &collector->every_turn);
	ev_unref(collector->loop); /* holds the loop open for nobody */
}

/* --- start and stop -------------------------------------------------------------------------- */

void collector_harden(void)
{
	struct rlimit none = { 0, 0 };

	umask(0077);
	signal(SIGPIPE, SIG_IGN);
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		log_warning("collector", "cannot forbid core dumps reason=\"%s\"", strerror(errno));
}

static int start_writing(struct collector *collector, struct err *err)
{
	const struct collector_config *config = collector->config;
	struct ports *ports = &collector->ports;
	struct writer_options writer = { .on_fault = on_fault, .arg = collector };
	int r;

	r = store_open(config->store_path, config->store_bytes, &ports->store, err);
	if (r < 0)
		return r;
	writer.store = ports->store;
	r = writer_create(collector->loop, &writer, &ports->writer, err);
	return r < 0 ? r : worker_create(collector->loop, &ports->worker, err);
}

static int start_modules(struct collector *collector, struct err *err)
{
	struct ports *ports = &collector->ports;
	int r;

	r = fleet_create(&ports->fleet);
	if (r == 0)
		r = jobs_create(ports, &collector->jobs);
	if (r == 0)
		r = snapshots_create(ports, &collector->snapshots);
	if (r == 0)
		r = ingest_create(ports, collector->jobs, collector->snapshots, &collector->ingest);
	if (r == 0)
		r = presence_create(ports, collector->ingest, &collector->presence);
	if (r < 0)
		return err_sys(err, r, "cannot start");
	r = ingest_restore(collector->ingest, err);
	if (r == 0)
		r = jobs_restore(collector->jobs, err);
	if (r == 0)
		presence_restore(collector->presence);
	return r;
}

int collector_start(struct collector *collector, struct ev_loop *loop, const struct collector_config *config,
		    struct err *err)
{
	int r;

	*collector = (struct collector){
		.loop = loop,
		.config = config,
		.started_ms = clock_mono_ms(),
		.faults = { .burst = 1 },
		.steps = { .burst = 3 },
		.ports = { .loop = loop,
			   .keepalive_s = (uint32_t)(config->keepalive_ms / 1000),
			   .reply = port_reply,
			   .wake = port_wake,
			   .changed = port_changed,
			   .arg = collector },
	};
	if (getrandom(&collector->ports.epoch, sizeof(collector->ports.epoch), 0) != sizeof(collector->ports.epoch))
		return err_sys(err, -errno, "getrandom");
	collector->ports.epoch |= 1; /* never 0 */
	r = start_writing(collector, err);
	if (r == 0)
		r = start_modules(collector, err);
	if (r == 0)
		r = coap_server_create(loop, &config->listen, &coap_events, collector, &collector->coap, err);
	if (r == 0)
		coap_server_set_silence(collector->coap, config->keepalive_ms * 5 / 2); /* one lost ping and its grace */
	if (r == 0)
		r = ctl_create(loop, collector, config->socket_path, &collector->ctl, err);
	if (r < 0) {
		collector_stop(collector);
		return r;
	}
	ev_timer_init(&collector->every_minute, on_minute, 60.0, 60.0);
	collector->every_minute.data = collector;
	ev_timer_start(loop, &collector->every_minute);
	watch_clock(collector);
	return 0;
}

void collector_stop(struct collector *collector)
{
	struct ports *ports = &collector->ports;

	collector->is_stopping = true;
	if (collector->every_minute.data)
		ev_timer_stop(collector->loop, &collector->every_minute);
	if (collector->every_turn.data) {
		ev_ref(collector->loop);
		ev_check_stop(collector->loop, &collector->every_turn);
	}
	/* The worker hands to the writer, the writer answers through coap and ctl: so in this order. */
	lane_destroy(ports->worker);
	writer_destroy(ports->writer);
	ctl_destroy(collector->ctl);
	coap_server_destroy(collector->coap);
	presence_destroy(collector->presence);
	ingest_destroy(collector->ingest);
	snapshots_destroy(collector->snapshots);
	jobs_destroy(collector->jobs);
	fleet_destroy(ports->fleet);
	store_close(ports->store);
	*collector = (struct collector){ 0 };
}
