/*
 * log: one line per fact, "<level>subsystem: message key=value", to standard error.
 *
 * Under systemd (JOURNAL_STREAM is set) lines begin with "<3>".."<7>" (sd-daemon(3)); on a
 * terminal with the time of day instead, UTC. Never call it with keys, secrets or router passwords.
 * Thread-safe: each call is one write(2).
 */
#ifndef JAGA_COMMON_LOG_H
#define JAGA_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above `level` are dropped. `prefixed`: sd-daemon prefixes instead of a time. */
void log_init(enum log_level level, bool prefixed);
bool log_is_enabled(enum log_level level);
void log_write(enum log_level level, const char *subsystem, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* For lines that a remote party can trigger: at most `burst` per 10 s. Zero-initialise apart from burst. */
struct log_limit {
	unsigned burst;
	unsigned used;
	unsigned suppressed; /* since the window began */
	int64_t window_began_ms;
};

/* True when the line may be written; *ret_suppressed gets the number dropped since the last true. */
bool log_limit_allows(struct log_limit *limit, int64_t now_ms, unsigned *ret_suppressed);

#endif
