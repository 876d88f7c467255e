/*
 * nearest: see nearest.h. Used for commands, options and device names. Pure; three rows of a table
 * of fixed size, so that a hostile name costs nothing.
 */
#include "collector/cli/nearest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/limits.h"

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static int lower(char c)
{
	return tolower((unsigned char)c);
}

unsigned nearest_distance(const char *a, const char *b)
{
	unsigned rows[3][LIMIT_CLI_WORD + 1]; /* two above, above, this one */
	size_t n_a = strnlen(a, LIMIT_CLI_WORD);
	size_t n_b = strnlen(b, LIMIT_CLI_WORD);

	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3];
		const unsigned *two_above = rows[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n_b; j++) {
			unsigned replaced = lower(a[i - 1]) != lower(b[j - 1]);

			row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + replaced);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
				row[j] = least(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[n_a % 3][n_b];
}

const char *nearest_find(const char *typed, const char *const *names, size_t n_names)
{
	const char *best = NULL;
	unsigned best_distance = 0;
	size_t n_typed = strlen(typed);

	for (size_t i = 0; i < n_names; i++) {
		unsigned distance = nearest_distance(typed, names[i]);
		unsigned allowed = (unsigned)((n_typed > 3 ? n_typed : 3) / 3);

		if (n_typed >= 2 && strncasecmp(typed, names[i], n_typed) == 0)
			distance = 0;
		if (distance <= allowed && (!best || distance < best_distance)) {
			best = names[i];
			best_distance = distance;
		}
	}
	return best;
}
