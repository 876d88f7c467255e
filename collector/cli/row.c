/* row: see row.h. Used by every command and renderer; borrows from the row; only row_sort() allocates. */
#include "collector/cli/row.h"

#include <stdlib.h>
#include <string.h>

const json_t *row_get(const json_t *row, const char *path)
{
	const char *dot = strchr(path, '.');

	while (row && dot) {
		row = json_object_getn(row, path, (size_t)(dot - path));
		path = dot + 1;
		dot = strchr(path, '.');
	}
	return json_object_get(row, path); /* NULL for NULL and for what is no object */
}

const char *row_text(const json_t *row, const char *path)
{
	return json_string_value(row_get(row, path));
}

const char *row_text_or(const json_t *row, const char *path, const char *otherwise)
{
	const char *text = row_text(row, path);

	return text ? text : otherwise;
}

bool row_has_number(const json_t *row, const char *path)
{
	return json_is_integer(row_get(row, path));
}

int64_t row_number(const json_t *row, const char *path)
{
	return json_integer_value(row_get(row, path));
}

bool row_is_true(const json_t *row, const char *path)
{
	return json_is_true(row_get(row, path));
}

bool row_equals(const json_t *row, const char *path, const char *text)
{
	return strcmp(row_text_or(row, path, ""), text) == 0;
}

struct order {
	int (*compare)(const json_t *a, const json_t *b);
};

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct order *order = arg;

	return order->compare(*(json_t *const *)a, *(json_t *const *)b);
}

json_t *row_sort(const json_t *rows, int (*compare)(const json_t *a, const json_t *b))
{
	struct order order = { compare };
	size_t n = json_array_size(rows);
	json_t **sorted = calloc(n + 1, sizeof(json_t *)), *result = sorted ? json_array() : NULL;

	for (size_t i = 0; i < n && result; i++)
		sorted[i] = json_array_get(rows, i);
	if (result)
		qsort_r(sorted, n, sizeof(json_t *), compare_rows, &order);
	for (size_t i = 0; i < n && result; i++) {
		if (json_array_append(result, sorted[i]) < 0) {
			json_decref(result);
			result = NULL;
		}
	}
	free(sorted);
	return result;
}
