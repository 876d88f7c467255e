/* report_record: what report.c and report_watch.c share. */
#ifndef JAGA_AGENT_REPORT_RECORD_H
#define JAGA_AGENT_REPORT_RECORD_H

#include "agent/report.h"
#include "common/wire.h"

/* Packs the message and puts it into the spool; what does not fit there is counted by it. */
void report_add_record(struct report *report, enum spool_kind kind, const ProtobufCMessage *message, bool urgent);
/* The numbers of the machine, which every sample carries. */
void report_fill_load(Jaga__V1__Sample *out, const struct report_sample *sample);

#endif
