/* condition: see condition.h. Set and cleared by upkeep.c, prelude.c and agent.c, shown by commands.c. */
#include "agent/condition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const subsystems[N_CONDITIONS] = {
	[CONDITION_STATE] = "state", [CONDITION_SOCKET] = "local", [CONDITION_CLOCK] = "clock",
	[CONDITION_KEY] = "key",     [CONDITION_RANDOM] = "random", [CONDITION_ROUTER] = "router",
	[CONDITION_TABLE] = "conntrack", [CONDITION_RIVAL] = "other-agent",
};

void conditions_init(struct conditions *conditions, condition_tell_fn *tell, void *arg)
{
	*conditions = (struct conditions){ .tell = tell, .arg = arg };
}

void condition_set(struct conditions *conditions, enum condition_id id, enum log_level level, const char *format, ...)
{
	char text[CONDITION_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (strcmp(conditions->texts[id], text) == 0)
		return;
	memcpy(conditions->texts[id], text, sizeof(text));
	conditions->tell(conditions->arg, level, subsystems[id], text, NOTICE_BEGINS);
}

void condition_clear(struct conditions *conditions, enum condition_id id, const char *text)
{
	if (!condition_is_set(conditions, id))
		return;
	conditions->texts[id][0] = '\0';
	conditions->tell(conditions->arg, LOG_LEVEL_INFO, subsystems[id], text, NOTICE_ENDS);
}

bool condition_is_set(const struct conditions *conditions, enum condition_id id)
{
	return conditions->texts[id][0] != '\0';
}

void conditions_repeat(const struct conditions *conditions)
{
	for (unsigned i = 0; i < N_CONDITIONS; i++)
		if (condition_is_set(conditions, i))
			conditions->tell(conditions->arg, LOG_LEVEL_WARNING, subsystems[i], conditions->texts[i], NOTICE_BEGINS);
}

void conditions_put(const struct conditions *conditions, struct buf *buf)
{
	const char *between = "";

	for (unsigned i = 0; i < N_CONDITIONS; i++) {
		if (!condition_is_set(conditions, i))
			continue;
		buf_printf(buf, "%s%s", between, conditions->texts[i]);
		between = "; ";
	}
}
