/*
 * agent_conf: the agent.conf that `jaga enroll` hands out: docs/agent.conf.example, which is built
 * into this program, with the router's name and the collector's address filled in.
 */
#ifndef JAGA_COLLECTOR_CLI_AGENT_CONF_H
#define JAGA_COLLECTOR_CLI_AGENT_CONF_H

#include <stdio.h>

/*
 * collector may be NULL: its line stays a comment, to be filled in. Failures of the stream are the
 * caller's to find (ferror). -ENOENT: the example lacks one of the two lines.
 */
int agent_conf_write(const char *device, const char *collector, FILE *out);

#endif
