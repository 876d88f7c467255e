/* json_row: the small pieces of JSON that the control socket's rows are made of. Pure. */
#ifndef JAGA_COLLECTOR_JSON_ROW_H
#define JAGA_COLLECTOR_JSON_ROW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of others as JSON: what is not UTF-8, and NUL, becomes U+FFFD. NULL: out of memory. */
json_t *json_row_text(const char *bytes, size_t length);
/* Are they text as they are: UTF-8 without NUL? */
bool json_row_is_text(const char *bytes, size_t length);
json_t *json_row_hex(const uint8_t *bytes, size_t length); /* NULL: out of memory */
/* Set a key, unless the text is "" or the number 0. */
void json_row_set_text(json_t *row, const char *key, const char *text);
void json_row_set_number(json_t *row, const char *key, int64_t number);

#endif
