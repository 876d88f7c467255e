/*
 * log: see log.h. A line is formatted on the stack and leaves in one write(2), so that lines of
 * several threads or processes never mix. The configuration is set once before threads start.
 */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/limits.h"

static enum log_level log_level_max = LOG_LEVEL_INFO;
static bool log_prefixed;

void log_init(enum log_level level, bool prefixed)
{
	log_level_max = level;
	log_prefixed = prefixed;
}

bool log_is_enabled(enum log_level level)
{
	return level <= log_level_max;
}

static int write_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	unsigned second;

	if (log_prefixed)
		return snprintf(line, size, "<%d>", (int)level);
	clock_gettime(CLOCK_REALTIME, &now);
	/* Not local time: zones are 8 KB of a router's flash. */
	second = (unsigned)(now.tv_sec % (24 * 60 * 60));
	return snprintf(line, size, "%02u:%02u:%02u.%03ldZ %s", second / 3600, second / 60 % 60, second % 60, now.tv_nsec / 1000000,
			level == LOG_LEVEL_ERROR     ? "error "
			: level == LOG_LEVEL_WARNING ? "warning "
						     : "");
}

void log_write(enum log_level level, const char *subsystem, const char *format, ...)
{
	char line[LIMIT_LOG_LINE];
	size_t used;
	va_list args;

	if (!log_is_enabled(level))
		return;
	used = (size_t)write_head(line, sizeof(line), level);
	used += (size_t)snprintf(line + used, sizeof(line) - used, "%s: ", subsystem);
	if (used < sizeof(line) - 1) {
		va_start(args, format);
		vsnprintf(line + used, sizeof(line) - used, format, args);
		va_end(args);
	}
	used = strnlen(line, sizeof(line) - 1);
	line[used++] = '\n';
	/* Nothing can be told when standard error itself is gone. */
	(void)!write(STDERR_FILENO, line, used);
}

bool log_limit_allows(struct log_limit *limit, int64_t now_ms, unsigned *ret_suppressed)
{
	if (now_ms - limit->window_began_ms >= 10000) {
		limit->window_began_ms = now_ms;
		limit->used = 0;
	}
	if (limit->used >= limit->burst) {
		limit->suppressed++;
		return false;
	}
	limit->used++;
	*ret_suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}
