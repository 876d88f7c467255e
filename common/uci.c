/*
 * uci: see uci.h. Used by the agent's config.c, once at start.
 *
 *   file -> ini_take_line() -> split() into words -> open_section() or pass_value()
 *
 * Words are cut as by a shell without variables: 'as it is', "with \ before a sign", bare, and any of
 * these joined without a blank between (OpenWrt writes a quote within a value as '\''). A # outside of
 * quotes ends the line.
 */
#include "common/uci.h"

#include <ctype.h>
#include <string.h>

#define MAX_WORDS 3 /* option NAME VALUE */

struct words {
	unsigned n;
	const char *word[MAX_WORDS];
	char memory[LIMIT_INI_LINE + 1]; /* a word is never longer than what it was written as */
};

/* --- one line -------------------------------------------------------------------------------- */

/* Takes a quoted part, from after its quote; NULL when the quote does not end. */
static const char *take_quoted(const char *at, char quote, char **out)
{
	for (; *at != quote; at++) {
		if (quote == '"' && *at == '\\' && at[1] != '\0')
			at++;
		if (*at == '\0')
			return NULL;
		*(*out)++ = *at;
	}
	return at + 1;
}

/* Takes the word that begins at *at. NULL, or what is wrong with it. */
static const char *take_word(const char **at, char **out)
{
	while (**at != '\0' && **at != ' ' && **at != '#') {
		char c = *(*at)++;

		if (c == ';')
			return "';' separates commands; put the value into quotes";
		if (c == '\\') {
			if (**at == '\0')
				return "the value goes on in the next line; write it in one";
			*(*out)++ = *(*at)++;
		} else if (c == '\'' || c == '"') {
			*at = take_quoted(*at, c, out);
			if (!*at)
				return "a quote is not closed on this line; close it, values are of one line";
		} else {
			*(*out)++ = c;
		}
	}
	*(*out)++ = '\0';
	return NULL;
}

/* The words of a line. NULL, or what is wrong with it. */
static const char *split(const char *at, struct words *ret_words)
{
	char *out = ret_words->memory;
	const char *wrong;

	ret_words->n = 0;
	at += strspn(at, " ");
	while (*at != '\0' && *at != '#') {
		if (ret_words->n == MAX_WORDS)
			return "there are words behind the value; put the value into quotes";
		ret_words->word[ret_words->n++] = out;
		wrong = take_word(&at, &out);
		if (wrong)
			return wrong;
		at += strspn(at, " ");
	}
	return NULL;
}

/* --- what a line means ------------------------------------------------------------------------- */

/* What libuci takes for the name of a section: of another, no OpenWrt tool could read the file. */
static bool is_name(const char *text)
{
	size_t length = 0;

	while (isalnum((unsigned char)text[length]) || text[length] == '_')
		length++;
	return length > 0 && text[length] == '\0';
}

static bool read_header(struct ini *ini, const struct words *words)
{
	const char *type = words->n > 1 ? words->word[1] : "", *named = ini->events->named_section;
	const char *name = words->n > 2 ? words->word[2] : NULL;
	bool is_named = named && strcmp(type, named) == 0;

	snprintf(ini->header, sizeof(ini->header), "%s", type);
	if (type[0] == '\0') {
		ini_tell(ini, ini->line, "config has no type; write config %s", ini->events->first_section);
		return false;
	}
	if (is_named && !name) {
		ini_tell(ini, ini->line, "config %s has no name; write config %s 'NAME'", type, type);
		return false;
	}
	if (name && !is_name(name)) {
		ini_tell(ini, ini->line, "'%s' is not a name in this file; use letters, digits and _", name);
		return false;
	}
	if (is_named)
		snprintf(ini->header, sizeof(ini->header), "%.*s %.*s", LIMIT_INI_LINE / 2, type, LIMIT_INI_LINE / 2, name);
	return ini->events->on_section(ini->arg, ini);
}

static void pass_value(struct ini *ini, const struct words *words)
{
	if (words->n < 2)
		ini_tell(ini, ini->line, "%s has no name; write %s NAME 'VALUE'", words->word[0], words->word[0]);
	else if (ini->header[0] == '\0' && !ini->is_section_refused)
		ini_tell(ini, ini->line, "%s: stands before any section; begin with config %s", words->word[1],
			 ini->events->first_section);
	else if (!ini->is_section_refused) /* a refused section was told once, at its header */
		ini->events->on_value(ini->arg, ini, words->word[1], words->n > 2 ? words->word[2] : "");
}

static void read_words(struct ini *ini, const struct words *words)
{
	const char *command = words->word[0];

	ini->is_item = strcmp(command, "list") == 0;
	if (strcmp(command, "config") == 0)
		ini->is_section_refused = !read_header(ini, words);
	else if (ini->is_item || strcmp(command, "option") == 0)
		pass_value(ini, words);
	else if (strcmp(command, "package") != 0 || words->n != 2) /* as the output of `uci export` begins */
		ini_tell(ini, ini->line, "'%s' is not understood; write config, option or list", command);
}

/* --- files ---------------------------------------------------------------------------------------- */

int uci_read(struct ini *ini, const char *path, FILE *errors, const struct ini_events *events, void *arg)
{
	struct words words;
	const char *wrong;
	int r = ini_open(ini, path, errors, events, arg);

	if (r < 0)
		return r;
	while (ini_take_line(ini)) {
		wrong = split(ini->text, &words);
		if (wrong)
			ini_tell(ini, ini->line, "%s", wrong);
		else if (words.n > 0)
			read_words(ini, &words);
	}
	return ini_close(ini);
}

static bool is_in_config_directory(const char *path)
{
	static const char directory[] = "/config/";
	const char *slash = strrchr(path, '/');
	size_t length = sizeof(directory) - 1;

	return slash && (size_t)(slash + 1 - path) >= length && memcmp(slash + 1 - length, directory, length) == 0;
}

bool uci_recognises(const char *path)
{
	static const char *const words[] = { "config", "package", "option", "list" };
	char line[LIMIT_INI_LINE + 1] = "", *word = line;
	FILE *in;

	if (is_in_config_directory(path))
		return true;
	in = fopen(path, "re");
	if (!in)
		return false;
	while ((word[0] == '\0' || word[0] == '#') && fgets(line, sizeof(line), in)) {
		word = line + strspn(line, " \t\n\r");
		word[strcspn(word, " \t\n\r")] = '\0';
	}
	fclose(in);
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}
