/*
 * Fuzzes both syntaxes of the agent's configuration, from the file to the checks of the whole: the first byte picks
 * one. What was accepted must keep to its limits, and a refused file must have been told why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/config.h"

#define MAX_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct agent_config *config)
{
	/* Without uplinks an agent watches for its collector; users need a LAN only where they are steered. */
	if (config->n_uplinks == 0 ? config->take_over || !config->has_collector : config->n_lans == 0)
		abort();
	if (config->n_uplinks > LIMIT_UPLINKS || config->n_lans > LIMIT_LANS || config->n_snapshot_files > LIMIT_SNAPSHOT_SOURCES ||
	    config->n_snapshot_commands > LIMIT_SNAPSHOT_SOURCES)
		abort();
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		const struct config_uplink *uplink = &config->uplinks[i];

		if (!parse_is_name(uplink->name) || uplink->interface[0] == '\0' || uplink->n_targets == 0 ||
		    uplink->n_targets > LIMIT_TARGETS || config_find_uplink(config, uplink->name) != (int)i)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char begin[] = "config agent\n";
	static struct agent_config config;
	static char told[64 * 1024];
	char path[32];
	FILE *errors;
	int fd, r;

	if (size == 0 || size > MAX_BYTES)
		return 0;
	fd = memfd_create("config", MFD_CLOEXEC);
	errors = fmemopen(told, sizeof(told), "w");
	if (fd < 0 || !errors)
		abort();
	if (data[0] % 2 == 1 && write(fd, begin, strlen(begin)) < 0)
		abort();
	if (write(fd, data + 1, size - 1) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = config_load(path, errors, &config);
	if ((r < 0) != (ftell(errors) > 0))
		abort();
	if (r == 0)
		check_accepted(&config);
	fclose(errors);
	close(fd);
	return 0;
}
