/*
 * nearest: "did you mean ...?" for names typed in a hurry.
 */
#ifndef JAGA_COLLECTOR_CLI_NEAREST_H
#define JAGA_COLLECTOR_CLI_NEAREST_H

#include <stddef.h>

/*
 * Edit distance of two names, capital letters counted as small: insert, delete, replace, or swap of
 * neighbours cost 1 (optimal string alignment). Only the first LIMIT_CLI_WORD bytes of each count.
 */
unsigned nearest_distance(const char *a, const char *b);

/* A name that begins with `typed`, else the closest one at most a third of its length away; NULL: none. */
const char *nearest_find(const char *typed, const char *const *names, size_t n_names);

#endif
