/*
 * ctl: the control socket (/run/jaga/collector.sock, mode 0660), for `jaga` and scripts.
 *
 * One request per connection: one line of JSON, at most LIMIT_CTL_REQUEST bytes. The answer is lines
 * of JSON: any number of row objects, then exactly one {"done":true} or
 * {"error":"...","code":"not-found|bad-request|exists|busy|failed","hint":"what to do next"}.
 * "follow":true keeps the connection and sends further rows as they happen. Times are milliseconds
 * since 1970 UTC; a missing value is absent, never null. An unknown field of a request is a bad request. A client
 * that closes its sending side while it follows is taken as gone; one that does not read for
 * LIMIT_CTL_STALL_MS is dropped. Rows by operation:
 *
 *   {"op":"devices"}                 name online confirming(job) address last_seen_ms version driver watches
 *                                    uplinks[{name,interface,state,weight,tier,since_ms}] snapshots jobs_waiting enrolled_ms
 *   {"op":"show","device":D}         one row: as above and hostname model system session_since_ms boot_id dropped_events dropped_samples
 *                                    snapshot{as of snapshots} sample{at_ms,conntrack_count,conntrack_max,
 *                                    mem_available_kb,load_permille,uplinks[{uplink,state,rtt_us,loss_permille,rx_bytes,tx_bytes}]}
 *                                    router{at_ms stale(true: it or its agent is out of reach, this is as it was) version booted_ms
 *                                    cpu_percent memory_free_bytes memory_bytes disk_free_bytes disk_bytes ppp_users
 *                                    hotspot_users unwatched things[{watch,name,state("up"|"down"|"unknown"),since_ms, bgp: remote_as,prefixes; interface: rx_bytes,tx_bytes,rx_bits_per_s,tx_bits_per_s,
 *                                    link_downs; lte: operator,rssi_dbm,rsrp_dbm,rsrq_db,sinr_db}]}, absent when nothing is watched
 *   {"op":"events","device":D?,"limit":N?,"follow":B?,"kinds":"K,K"?}   id device time_ms
 *                                    kind("uplink"|"started"|"notice"|"online"|"offline"|"job"|"restart"| a watch of `show`|"ppp"|"hotspot")
 *                                    text, and for kind uplink: uplink from to cause detect_us switch_us flows_moved carried_by
 *                                    lasted_ms misses misses_needed probes[{target,sent,lost,rtt_us,timeout_us}]; for restart: booted_ms
 *                                    version previous_version; for a watch and users: to("up"|"down") name address caller detail
 *                                    lasted_ms flaps, of many count names[]; oldest first
 *   {"op":"snapshots","device":D}    n hash taken_ms checked_ms bytes stored_bytes; oldest first, n counts from 1
 *   {"op":"cat","device":D,"n":N?}   one row: n hash taken_ms text; newest when n is absent. hex: the bytes,
 *                                    only when they are not UTF-8 without NUL
 *   {"op":"snapshot-take","device":D?}  wakes the agent; one row when it has answered: device n hash changed(bool); error busy when
 *                                    offline. Without device: of all, a row for each as it answers; one that does not has
 *                                    instead: device missing("offline", "no answer in time", ...)
 *   {"op":"doctor","device":D?}      the agent looks for traps now; level("ok"|"warning"|"fatal") id what fix; error busy when
 *                                    offline, silent, or asked by somebody else. Without device: of all, a row for each as it
 *                                    answers: device level fatal warnings(how many) worst{a finding} findings[{level,id,what,fix}];
 *                                    one that could not look at all of it has missing(why) beside what it found, and a level only
 *                                    when that is fatal; one that does not answer has missing alone
 *   {"op":"push","device":D,"name":FILE,"script":TEXT,"interpreter":"sh"|"routeros"?,"confirm_s":N?,"rollback":TEXT?,
 *                                    "not_after_s":N?}  one row: job device state
 *   {"op":"jobs","device":D?}        job device seq name state queued_ms changed_ms not_after_ms confirm_s exit_status reason output_bytes; newest first
 *   {"op":"job","job":ID,"follow":B?}  one row: as above and interpreter script rollback output(text) output_truncated reason duration_ms attempt;
 *                                    follow: a row at each change of state until it is final
 *   {"op":"status","device":D?}      rows {"problem":...,"device":...,"since_ms":...,"text":...,"hint":...}, or, of what is no
 *                                    problem but worth to know, {"notice":"confirming","device":...}, then one row {"counters":{...}}; of one device {"router":{as of show}} when something is watched there
 *   {"op":"enroll","device":D,"replace":B?}   one row: device key(64 hex digits) collector("ADDRESS:PORT", absent when the
 *                                    collector listens everywhere and its file names no [collector] advertise); error exists
 *   {"op":"remove","device":D}       forgets a device's key (its history stays)
 *
 * A device is `confirming` a job while it has ended its script and may be away to come back in a new session; that is no
 * `offline`, neither in events nor in status, unless it does not come back in time: then the event has the time of its going.
 * Uplink states: unknown up suspect down; since_ms: when the collector first heard of this state. Causes: unknown
 * probes carrier address forced force-ended recovered start. Names of enum values of jaga.proto, lower case, '-' for '_'.
 * Texts of agents (output, text, reason) are made valid UTF-8: a byte that is not becomes U+FFFD.
 * Job states: queued received started applied confirmed rolled-back failed expired interrupted.
 */
#ifndef JAGA_COLLECTOR_CTL_H
#define JAGA_COLLECTOR_CTL_H

#include <stdint.h>

#include "collector/ports.h"
#include "common/err.h"

struct ev_loop;
struct collector;
struct ctl;

int ctl_create(struct ev_loop *loop, struct collector *collector, const char *path, struct ctl **ret_ctl,
	       struct err *err);
void ctl_destroy(struct ctl *ctl);
/* Something changed that clients may wait for. Cheap when nobody does. */
void ctl_notify(struct ctl *ctl, enum port_change what, uint64_t subject);

#endif
