/*
 * ini: the format of both configuration files, read line by line over inih.
 *
 *   [section]          a header; what it may hold is the reader's business
 *   field = value      ' ;' begins a comment, # and ; at the start of a line do
 *
 * Knows line numbers, which inih does not: every error is told as "file:line: what; remedy", and
 * reading goes on, so that a person sees all of them at once (up to LIMIT_INI_ERRORS).
 */
#ifndef JAGA_COMMON_INI_H
#define JAGA_COMMON_INI_H

#include <stdbool.h>
#include <stdio.h>

#include "common/limits.h"

struct ini {
	const char *path;
	FILE *errors;
	unsigned line;			 /* being read; the last one after the end, at least 1 */
	unsigned n_errors;		 /* told, or left out for being too many */
	char header[LIMIT_INI_LINE + 1]; /* as written between [ and ]; "" before the first */
	char text[LIMIT_INI_LINE + 1];	 /* the line as written, without indentation */
	bool has_comment;		 /* of the value passed on: ' ;' cut something off it */
	bool is_item;			 /* of the value passed on: one of several (uci.h's `list`) */

	/* private */
	const struct ini_events *events;
	void *arg;
	FILE *in;
	bool is_section_refused;
};

struct ini_events {
	const char *first_section; /* named in the remedy of a file that begins without a header */
	/* A header; false when it was refused (and told): the fields below it are passed over. */
	bool (*on_section)(void *arg, struct ini *ini);
	void (*on_value)(void *arg, struct ini *ini, const char *name, const char *value);
	const char *named_section; /* for uci.h only; see there */
};

/*
 * Reads the whole file. 0 (ini->n_errors says whether it was any good), or the errno of opening or
 * reading it, which has not been told. path and errors are borrowed.
 */
int ini_read(struct ini *ini, const char *path, FILE *errors, const struct ini_events *events, void *arg);
/* Tells one error; `line` is mostly ini->line. */
void ini_tell(struct ini *ini, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* For the readers of this and of uci.h: the beginning and the end of ini_read(), each with its result. */
int ini_open(struct ini *ini, const char *path, FILE *errors, const struct ini_events *events, void *arg);
int ini_close(struct ini *ini);
/*
 * For the same: puts the next line into ini->text, counted; a line that is too
 * long or holds control characters is told and becomes an empty one. False at the end of the file.
 */
bool ini_take_line(struct ini *ini);
/* After the last check: tells how many errors were left out. 0, or -EINVAL when there were any. */
int ini_finish(struct ini *ini);

#endif
