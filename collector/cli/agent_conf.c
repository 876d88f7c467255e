/*
 * agent_conf: see agent_conf.h. The example is the one place that documents the file for people, so
 * it is copied line by line and only "identity =" and "collector =" are written anew, whether the
 * example has them live or behind a '#'. A unit test loads the result with the agent's own parser.
 */
#include "collector/cli/agent_conf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char example[] =
#include "agent_conf_example.inc"
	;

/* True for "field = value" and "#field = value". */
static bool is_assignment(const char *line, const char *field)
{
	size_t length = strlen(field);

	if (*line == '#')
		line++;
	line += strspn(line, " \t");
	if (strncmp(line, field, length) != 0)
		return false;
	line += length;
	line += strspn(line, " \t");
	return *line == '=';
}

int agent_conf_write(const char *device, const char *collector, FILE *out)
{
	unsigned n_identity = 0, n_collector = 0;
	const char *end;

	for (const char *line = example; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n'); /* every line of the example ends in one */
		if (is_assignment(line, "identity") && n_identity++ == 0)
			(void)fprintf(out, "identity = %s\n", device);
		else if (is_assignment(line, "collector") && n_collector++ == 0 && collector)
			(void)fprintf(out, "collector = %s\n", collector);
		else
			(void)fwrite(line, 1, (size_t)(end - line) + 1, out);
	}
	return n_identity > 0 && n_collector > 0 ? 0 : -ENOENT;
}
