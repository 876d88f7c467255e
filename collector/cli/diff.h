/*
 * diff: the difference of two texts in unified form (POSIX diff -u), by libgit2's patch.
 */
#ifndef JAGA_COLLECTOR_CLI_DIFF_H
#define JAGA_COLLECTOR_CLI_DIFF_H

#include <stddef.h>

struct diff {
	char *text; /* hunks, without the two lines of names; NULL when nothing differs */
	size_t length;
	size_t n_added, n_removed; /* lines */
};

/* -ENOMEM, or -EIO when libgit2 fails. Whatever the bytes are, they are compared as text. */
int diff_make(const char *old_text, size_t old_length, const char *new_text, size_t new_length, struct diff *ret_diff);
void diff_finish(struct diff *diff); /* accepts a zeroed one */

#endif
