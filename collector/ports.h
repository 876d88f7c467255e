/*
 * ports: what ingest, snapshots and jobs need of the world around them, so that they can be tested
 * without sockets. collector.c connects them with coap and ctl. Loop thread only.
 */
#ifndef JAGA_COLLECTOR_PORTS_H
#define JAGA_COLLECTOR_PORTS_H

#include <stddef.h>
#include <stdint.h>

#include "collector/coap.h"

struct fleet;
struct lane;
struct store;
struct writer;

enum port_change {
	PORT_CHANGE_EVENTS,   /* new entries in the event log are durable */
	PORT_CHANGE_SNAPSHOT, /* subject: number of the device whose snapshot was stored or confirmed, or failed */
	PORT_CHANGE_JOB,      /* subject: number of the job */
	PORT_CHANGE_DOCTOR,   /* subject: number of the device whose doctor has reported */
};

struct ports {
	struct ev_loop *loop;
	struct store *store;
	struct writer *writer;
	struct lane *worker;
	struct fleet *fleet;
	uint64_t epoch;	      /* of this start of the collector */
	uint32_t keepalive_s; /* what agents are told */

	/* As coap_server_reply and coap_server_wake. */
	void (*reply)(void *arg, const struct coap_ticket *ticket, const struct coap_answer *answer);
	int (*wake)(void *arg, const char *device, const void *body, size_t length);
	void (*changed)(void *arg, enum port_change what, uint64_t subject);
	void *arg;
};

/* Answers `code` with a diagnostic text (may be NULL). */
void ports_refuse(const struct ports *ports, const struct coap_ticket *ticket, enum coap_code code, const char *text);
/* Nothing was stored, come back later: the answer to `error`, a negative errno of the writer or worker. */
void ports_refuse_write(const struct ports *ports, const struct coap_ticket *ticket, int error);

#endif
