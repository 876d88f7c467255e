/*
 * json_row: see json_row.h. Texts of devices are hostile: jansson refuses what is not UTF-8, so that is
 * replaced here, byte by byte; control characters are left to JSON's escapes and the reader's terminal.
 */
#include "collector/json_row.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/* Length of the valid UTF-8 sequence at bytes (RFC 3629), or 0. */
static size_t measure_utf8(const uint8_t *bytes, size_t length)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint8_t first = bytes[0];
	size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
	uint32_t code = n < 2 ? first : first & (0xffu >> (n + 1));

	if (n == 0 || n > length || first == '\0')
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (bytes[i] & 0x3f);
	}
	if (n > 1 && (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)))
		return 0;
	return n;
}

bool json_row_is_text(const char *bytes, size_t length)
{
	for (size_t i = 0, n; i < length; i += n) {
		n = measure_utf8((const uint8_t *)bytes + i, length - i);
		if (n == 0)
			return false;
	}
	return true;
}

json_t *json_row_text(const char *bytes, size_t length)
{
	json_t *json;
	char *clean;
	size_t used = 0;

	if (json_row_is_text(bytes, length))
		return json_stringn(bytes, length);
	clean = malloc(3 * length);
	if (!clean)
		return NULL;
	for (size_t i = 0; i < length;) {
		size_t n = measure_utf8((const uint8_t *)bytes + i, length - i);

		memcpy(clean + used, n > 0 ? bytes + i : "\xef\xbf\xbd", n > 0 ? n : 3);
		used += n > 0 ? n : 3;
		i += n > 0 ? n : 1;
	}
	json = json_stringn(clean, used);
	free(clean);
	return json;
}

json_t *json_row_hex(const uint8_t *bytes, size_t length)
{
	size_t size = 2 * length + 1;
	char *text = malloc(size);
	struct buf buf;
	json_t *json;

	if (!text)
		return NULL;
	buf_init(&buf, text, size);
	buf_put_hex(&buf, bytes, length);
	json = json_stringn(text, buf.length);
	explicit_bzero(text, size); /* it may be a key */
	free(text);
	return json;
}

void json_row_set_text(json_t *row, const char *key, const char *text)
{
	if (text[0] != '\0')
		json_object_set_new(row, key, json_row_text(text, strlen(text)));
}

void json_row_set_number(json_t *row, const char *key, int64_t number)
{
	if (number != 0)
		json_object_set_new(row, key, json_integer(number));
}
