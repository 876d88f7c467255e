/*
 * ini: see ini.h. Used by both daemons' config.c, once at start.
 *
 *   file -> read_line() -> inih -> pass_value() -> events->on_value()
 *
 * inih splits lines into name and value. It knows no line numbers, cuts lines at 200 characters,
 * treats an indented line as the rest of the one before and never tells about headers; so each line
 * goes through read_line() first, which counts, refuses what inih would misread, takes indentation
 * away and follows the section headers. A bad line reaches inih as an empty one.
 */
#include "common/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

void ini_tell(struct ini *ini, unsigned line, const char *format, ...)
{
	va_list args;

	if (ini->n_errors++ >= LIMIT_INI_ERRORS)
		return;
	fprintf(ini->errors, "%s:%u: ", ini->path, line);
	va_start(args, format);
	vfprintf(ini->errors, format, args);
	va_end(args);
	fputc('\n', ini->errors);
}

/* Follows a header line; true when inih may see it. */
static bool read_header(struct ini *ini)
{
	const char *end = strchr(ini->text, ']');

	snprintf(ini->header, sizeof(ini->header), "%.*s", end ? (int)(end - ini->text - 1) : LIMIT_INI_LINE,
		 ini->text + 1);
	if (!end || end[1] != '\0') {
		ini_tell(ini, ini->line, end ? "'%s' goes on after its ]; write it as [%s]"
					     : "'%s' has no closing ]; write it as [%s]",
			 ini->text, ini->events->first_section);
		ini->is_section_refused = true;
		return false;
	}
	ini->is_section_refused = !ini->events->on_section(ini->arg, ini);
	return true;
}

/* Takes one line into ini->text, without its end and its indentation; false at the end of the file. */
static bool read_text(struct ini *ini, bool *ret_is_whole)
{
	size_t length = 0;
	int c = getc(ini->in);

	if (c == EOF)
		return false;
	*ret_is_whole = true;
	for (; c != EOF && c != '\n'; c = getc(ini->in)) {
		if (c == '\t')
			c = ' ';
		if (c == '\r' || (length == 0 && c == ' '))
			continue;
		if (c < ' ' || c == 0x7f || length == LIMIT_INI_LINE - 1)
			*ret_is_whole = false;
		if (length < LIMIT_INI_LINE - 1)
			ini->text[length++] = (char)c;
	}
	while (length > 0 && ini->text[length - 1] == ' ')
		length--;
	ini->text[length] = '\0';
	return true;
}

bool ini_take_line(struct ini *ini)
{
	bool is_whole;

	if (!read_text(ini, &is_whole))
		return false;
	ini->line++;
	if (!is_whole) {
		ini_tell(ini, ini->line,
			 "the line is longer than %d characters or holds control characters; split or retype it",
			 LIMIT_INI_LINE - 1);
		ini->text[0] = '\0';
	}
	return true;
}

/* inih's reader (fgets-like). What it must not see becomes an empty line. */
static char *read_line(char *line, int size, void *stream)
{
	struct ini *ini = stream;
	bool passes = true;
	const char *text = ini->text;

	if (!ini_take_line(ini))
		return NULL;
	if (text[0] == '[') {
		passes = read_header(ini);
	} else if (text[0] != '\0' && !strchr("#;", text[0]) && !strchr(text, '=')) {
		ini_tell(ini, ini->line, "'%s' is not understood; write field = value", text);
		passes = false;
	}
	snprintf(line, (size_t)size, "%s\n", passes ? text : "");
	return line;
}

static int pass_value(void *user, const char *section, const char *name, const char *value)
{
	struct ini *ini = user;

	(void)section;
	ini->has_comment = strstr(ini->text, " ;") != NULL;
	if (ini->header[0] == '\0' && !ini->is_section_refused)
		ini_tell(ini, ini->line, "%s: stands before any section; begin with [%s]", name,
			 ini->events->first_section);
	else if (!ini->is_section_refused) /* a refused section was told once, at its header */
		ini->events->on_value(ini->arg, ini, name, value);
	return 1;
}

int ini_open(struct ini *ini, const char *path, FILE *errors, const struct ini_events *events, void *arg)
{
	*ini = (struct ini){ .path = path, .errors = errors, .events = events, .arg = arg };
	ini->in = fopen(path, "re");
	return ini->in ? 0 : -errno;
}

int ini_close(struct ini *ini)
{
	int r = ferror(ini->in) ? -EIO : 0;

	fclose(ini->in);
	ini->in = NULL;
	if (ini->line == 0)
		ini->line = 1; /* an empty file: its errors stand on the first line */
	return r;
}

int ini_read(struct ini *ini, const char *path, FILE *errors, const struct ini_events *events, void *arg)
{
	int r = ini_open(ini, path, errors, events, arg);

	if (r < 0)
		return r;
	/* The result tells only about lines without "=", which read_line() has told already. */
	(void)ini_parse_stream(read_line, ini, pass_value, ini);
	return ini_close(ini);
}

int ini_finish(struct ini *ini)
{
	if (ini->n_errors > LIMIT_INI_ERRORS)
		fprintf(ini->errors, "%s: and %u more errors\n", ini->path, ini->n_errors - LIMIT_INI_ERRORS);
	return ini->n_errors > 0 ? -EINVAL : 0;
}
