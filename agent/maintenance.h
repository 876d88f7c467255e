/* maintenance: jaga-agent --check and --remove. Both return the exit status (enum local_exit). */
#ifndef JAGA_AGENT_MAINTENANCE_H
#define JAGA_AGENT_MAINTENANCE_H

#include <stdio.h>

#include "agent/config.h"
#include "agent/table.h"

/* Prints what the doctor found. Changes nothing; EXIT_REFUSED when a fatal trap stands. */
int maintenance_check(const struct agent_config *config, enum table_format format, FILE *out);
/* Takes every trace of Jaga off the forwarding of this router. */
int maintenance_remove(const struct agent_config *config);

#endif
