/*
 * sanitise: see sanitise.h.
 *
 * Text is cut into units, one character or one bad byte each, by a strict UTF-8 decoder (RFC 3629:
 * no overlong forms, no surrogates, nothing above U+10FFFF); each unit is then kept or spelled out.
 * Pure but for writing to the stream. Used by the renderers for every cell, by `cat` and by the
 * output of jobs when standard output is a terminal, and by error messages.
 */
#include "collector/cli/sanitise.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ESCAPED_MAX 16 /* "\u2028" with room */

/* Length of the character at text, or 0 when the byte there begins none. */
static size_t decode(const unsigned char *text, size_t length, uint32_t *ret_code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = text[0];
	size_t need = first < 0x80 ? 1 : (first >> 5) == 6 ? 2 : (first >> 4) == 14 ? 3 : (first >> 3) == 30 ? 4 : 0;
	uint32_t code;

	if (need == 0 || need > length)
		return 0;
	code = need == 1 ? first : first & (0x7fu >> need);
	for (size_t i = 1; i < need; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3fu);
	}
	if (code < least[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return need;
}

static bool is_dangerous(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0x200e || code == 0x200f || code == 0xfeff;
}

/* Writes the spelled-out form of one unit to ret_text, or "" when it may stay; returns its length in bytes. */
static size_t next_unit(const char *text, size_t length, char ret_text[static ESCAPED_MAX])
{
	uint32_t code = 0;
	size_t used = decode((const unsigned char *)text, length, &code);

	ret_text[0] = '\0';
	if (used == 0)
		(void)snprintf(ret_text, ESCAPED_MAX, "\\x%02x", (unsigned char)text[0]); /* always fits */
	else if (code == '\n' || code == '\t' || code == '\r')
		(void)snprintf(ret_text, ESCAPED_MAX, "\\%c", code == '\n' ? 'n' : code == '\t' ? 't' : 'r');
	else if (is_dangerous(code))
		(void)snprintf(ret_text, ESCAPED_MAX, code < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)code);
	return used == 0 ? 1 : used;
}

void sanitise_line(struct buf *buf, const char *text, size_t length)
{
	char escaped[ESCAPED_MAX];
	size_t used;

	for (size_t at = 0; at < length && !buf->failed; at += used) {
		used = next_unit(text + at, length - at, escaped);
		if (escaped[0] != '\0')
			buf_puts(buf, escaped);
		else
			buf_put(buf, text + at, used);
	}
	buf->failed = false; /* a cell that is too long is cut, the line goes on */
}

void sanitise_to_stream(FILE *out, const char *text, size_t length)
{
	char escaped[ESCAPED_MAX];
	size_t used;

	for (size_t at = 0; at < length; at += used) {
		if (text[at] == '\r' && at + 1 < length && text[at + 1] == '\n') {
			used = 1;
			continue;
		}
		used = next_unit(text + at, length - at, escaped);
		/* Failures of the stream are found by the caller's ferror() at the end. */
		if (escaped[0] != '\0' && text[at] != '\n' && text[at] != '\t')
			(void)fputs(escaped, out);
		else
			(void)fwrite(text + at, 1, used, out);
	}
}
