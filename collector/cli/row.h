/*
 * row: reading the rows of the control socket (collector/ctl.h) without believing them: a missing
 * field, or one of another type, is simply absent. Paths reach into objects: "snapshot.bytes".
 */
#ifndef JAGA_COLLECTOR_CLI_ROW_H
#define JAGA_COLLECTOR_CLI_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

const json_t *row_get(const json_t *row, const char *path); /* NULL when absent */
const char *row_text(const json_t *row, const char *path);  /* NULL when absent or not a string */
const char *row_text_or(const json_t *row, const char *path, const char *otherwise);
bool row_has_number(const json_t *row, const char *path);
int64_t row_number(const json_t *row, const char *path); /* 0 when absent */
bool row_is_true(const json_t *row, const char *path);
/* A new array of the same rows in order. NULL: out of memory. */
json_t *row_sort(const json_t *rows, int (*compare)(const json_t *a, const json_t *b));
bool row_equals(const json_t *row, const char *path, const char *text);

#endif
