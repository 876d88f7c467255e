/*
 * err: one line of explanation that travels beside a negative errno.
 *
 * A function that can fail in a way a person has to mend takes `struct err *err`
 * (may be NULL) and fills it once, where the cause is known; callers add context
 * with err_prefix() and log or print it once. The text never holds secrets.
 */
#ifndef JAGA_COMMON_ERR_H
#define JAGA_COMMON_ERR_H

#include <stdarg.h>

#include "common/limits.h"

struct err {
	char text[LIMIT_ERR_TEXT]; /* NUL-terminated; "" when nothing was said */
};

/* Stores the formatted text (cut to fit) and returns code, a negative errno. err may be NULL. */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Like err_set, and appends ": " and strerror(-code). */
int err_sys(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts the formatted text before what err holds already. */
void err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Somebody else's words get into logs and onto terminals: on one line, and without a terminal's commands. */
void err_make_printable(struct err *err);

#endif
