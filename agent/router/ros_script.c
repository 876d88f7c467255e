/*
 * ros_script: see ros_script.h. The output of a script is hostile text like any other: nothing is read behind its end, and
 * a script that prints the marker itself, in the middle, does not count as complete.
 */
#include "agent/router/ros_script.h"

#include <string.h>

#include "common/parse.h"

void ros_put_quoted(struct buf *out, const void *bytes, size_t length)
{
	static const char escaped[] = "\"\\$\n\r\t", letters[] = "\"\\$nrt";

	buf_puts(out, "\"");
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = ((const uint8_t *)bytes)[i];
		const char *at = byte != 0 ? strchr(escaped, byte) : NULL;

		if (at)
			buf_printf(out, "\\%c", letters[at - escaped]);
		else if (byte < 0x20 || byte == 0x7f)
			buf_printf(out, "\\%02X", byte);
		else
			buf_put(out, &byte, 1);
	}
	buf_puts(out, "\"");
}

/* --- verdict ------------------------------------------------------------------------------------ */

static size_t trim(const char *text, size_t length)
{
	while (length > 0 && strchr("\r\n \t", text[length - 1]) && text[length - 1] != '\0')
		length--;
	return length;
}

/* Where the last line begins. */
static size_t last_line(const char *text, size_t length)
{
	while (length > 0 && text[length - 1] != '\n')
		length--;
	return length;
}

/* The number behind the last " WORD " (or "(WORD ") of the text; 0: there is none. */
static uint32_t number_after(const char *text, size_t length, const char *word)
{
	size_t word_length = strlen(word);
	uint32_t number = 0;

	for (size_t at = length; at-- > 1;) {
		char digits[sizeof("4294967295")] = "";
		size_t n = 0;

		if (length - at < word_length + 1 || memcmp(text + at, word, word_length) != 0 ||
		    text[at + word_length] != ' ' || (text[at - 1] != ' ' && text[at - 1] != '('))
			continue;
		for (size_t i = at + word_length + 1; i < length && n < sizeof(digits) - 1; i++) {
			if (text[i] < '0' || text[i] > '9')
				break;
			digits[n++] = text[i];
		}
		return parse_u32(digits, 1, UINT32_MAX, &number) == 0 ? number : 0;
	}
	return 0;
}

void ros_script_judge(const char *output, size_t length, const char *marker, struct ros_verdict *ret_verdict)
{
	size_t end = trim(output, length), line = last_line(output, end), open = end;

	*ret_verdict = (struct ros_verdict){ .output_length = length };
	if (end - line == strlen(marker) && memcmp(output + line, marker, end - line) == 0) {
		ret_verdict->is_complete = true;
		ret_verdict->output_length = line;
		return;
	}
	ret_verdict->reason = output + line;
	ret_verdict->reason_length = end - line;
	if (end == line || output[end - 1] != ')')
		return;
	while (open > line && output[open - 1] != '(')
		open--;
	if (open == line)
		return;
	ret_verdict->line = number_after(output + open - 1, end - open + 1, "line");
	ret_verdict->column = number_after(output + open - 1, end - open + 1, "column");
}
