/*
 * failure: see failure.h.
 *
 * Two lines on standard error, always the same shape, so that a person finds the remedy at night
 * and a script can cut it out:
 *
 *   jaga: no device "rtr2"
 *     next: did you mean rtr1? `jaga devices` lists all
 */
#include "collector/cli/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "collector/cli/sanitise.h"

int failure_set(struct failure *failure, int code, const char *next, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(failure->what, sizeof(failure->what), format, args); /* cut to fit is fine for a message */
	va_end(args);
	(void)snprintf(failure->next, sizeof(failure->next), "%s", next ? next : "");
	return code;
}

void failure_set_next(struct failure *failure, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(failure->next, sizeof(failure->next), format, args);
	va_end(args);
}

enum exit_status failure_status(int code)
{
	switch (code) {
	case 0:
		return EXIT_STATUS_OK;
	case -EINVAL:
		return EXIT_STATUS_USAGE;
	case -ENOENT:
		return EXIT_STATUS_NOT_FOUND;
	case -ECONNREFUSED:
		return EXIT_STATUS_UNREACHABLE;
	case -EBUSY:
	case -ETIMEDOUT:
		return EXIT_STATUS_OFFLINE;
	default:
		return EXIT_STATUS_FAILED;
	}
}

enum exit_status failure_print(const struct failure *failure, int code, FILE *out)
{
	(void)fputs("jaga: ", out); /* standard error: nowhere left to complain */
	if (failure->what[0] != '\0')
		sanitise_to_stream(out, failure->what, strlen(failure->what));
	else
		(void)fputs(strerror(-code), out);
	(void)fputc('\n', out);
	if (failure->next[0] != '\0') {
		(void)fputs("  next: ", out);
		sanitise_to_stream(out, failure->next, strlen(failure->next));
		(void)fputc('\n', out);
	}
	return failure_status(code);
}
