/*
 * canonical: see canonical.h. One pass over the lines of a text: each line is rewritten or dropped by
 * the filter of its kind and appended; kinds whose order carries no meaning are sorted afterwards, in
 * place in the output, by an index of line starts. Called by linux_snapshot.c, in a child process.
 */
#include "agent/router/canonical.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

/* What a filter remembers from line to line (nft). */
struct context {
	bool in_own_table;
	bool is_volatile_set; /* its elements come and go by themselves */
	bool in_elements;     /* of a volatile set, several lines long */
};

/* Rewrites the line in place; false: leave it out. */
typedef bool filter(struct context *context, char *line);

/* --- words of a line ----------------------------------------------------------------------------- */

/* Cuts out `length` bytes at `at`. */
static void cut(char *at, size_t length)
{
	memmove(at, at + length, strlen(at + length) + 1);
}

/* Finds a word that stands between blanks or line ends. */
static char *find_word(char *line, const char *word)
{
	size_t length = strlen(word);

	for (char *at = line; (at = strstr(at, word)) != NULL; at++)
		if ((at == line || strchr(" \t", at[-1])) && (at[length] == '\0' || strchr(" \t\\", at[length])))
			return at;
	return NULL;
}

static bool has_word(char *line, const char *word)
{
	return find_word(line, word) != NULL;
}

/* Cuts out every occurrence of a word and the n_values words that follow it. */
static void cut_words(char *line, const char *word, unsigned n_values)
{
	for (char *at; (at = find_word(line, word)) != NULL;) {
		size_t length = strlen(word);

		for (unsigned i = 0; i < n_values; i++) {
			length += strspn(at + length, " \t");
			length += strcspn(at + length, " \t");
		}
		length += strspn(at + length, " \t");
		cut(at, length);
	}
}

/* Runs of blanks become one blank. */
static void squeeze(char *line)
{
	char *to = line;

	for (const char *from = line; *from; from++) {
		bool is_blank = *from == ' ' || *from == '\t' || *from == '\\';

		if (is_blank && (to == line || to[-1] == ' '))
			continue;
		*to++ = is_blank ? ' ' : *from;
	}
	*to = '\0';
}

static void trim_end(char *line)
{
	size_t length = strlen(line);

	while (length > 0 && strchr(" \t\r", line[length - 1]))
		line[--length] = '\0';
}

/* --- filters --------------------------------------------------------------------------------------- */

static bool filter_plain(struct context *context, char *line)
{
	(void)context;
	(void)line;
	return true;
}

/* In "table inet jaga {" .. "}" of the same indentation. */
static bool is_in_own_table(struct context *context, const char *line)
{
	static const char *const own[] = { "table inet jaga {", "table ip jaga {", "table ip6 jaga {" };

	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strncmp(line, own[i], strlen(own[i])) == 0)
			context->in_own_table = true;
	if (context->in_own_table && strcmp(line, "}") == 0) {
		context->in_own_table = false;
		return true; /* the closing line belongs to it */
	}
	return context->in_own_table;
}

/* True for the lines of "elements = { ... }" of a set that moves by itself. */
static bool is_volatile_element(struct context *context, const char *line)
{
	const char *text = line + strspn(line, " \t");

	if (strncmp(text, "set ", 4) == 0 || strncmp(text, "map ", 4) == 0 || strncmp(text, "meter ", 6) == 0)
		context->is_volatile_set = strncmp(text, "meter ", 6) == 0;
	if (strncmp(text, "flags ", 6) == 0 && (strstr(text, "dynamic") || strstr(text, "timeout")))
		context->is_volatile_set = true;
	if (context->is_volatile_set && strncmp(text, "elements = {", 12) == 0)
		context->in_elements = true;
	if (!context->in_elements)
		return false;
	if (strchr(text, '}'))
		context->in_elements = false;
	return true;
}

static bool filter_nft(struct context *context, char *line)
{
	char *at;

	if (is_in_own_table(context, line) || is_volatile_element(context, line))
		return false;
	at = strstr(line, " # handle ");
	if (at)
		*at = '\0';
	for (at = line; (at = find_word(at, "counter")) != NULL; at++)
		if (strncmp(at, "counter packets ", 16) == 0)
			cut_words(at, "packets", 3); /* packets N bytes M */
	if (strstr(line, "quota "))
		cut_words(line, "used", 2); /* used N mbytes */
	cut_words(line, "expires", 1);
	return true;
}

static bool filter_route(struct context *context, char *line)
{
	static const char *const learnt[] = { "kernel", "ra",	  "redirect", "dhcp", "bird", "zebra", "bgp",  "ospf", "isis",
					      "rip",	"eigrp", "babel",    "openr", "gated", "mrt",	"keepalived", "74" };
	static const char *const states[] = { "linkdown", "dead", "offload", "rt_offload", "offload_failed",
					      "rt_offload_failed", "trap", "rt_trap", "cache" };
	char *at = find_word(line, "proto");

	(void)context;
	for (unsigned i = 0; at && i < sizeof(learnt) / sizeof(learnt[0]); i++)
		if (find_word(at, learnt[i]) == at + strlen("proto "))
			return false;
	cut_words(line, "expires", 1);
	cut_words(line, "error", 1);
	for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		cut_words(line, states[i], 0);
	squeeze(line);
	return true;
}

static bool filter_address(struct context *context, char *line)
{
	static const char *const states[] = { "tentative", "dadfailed", "deprecated", "optimistic" };

	(void)context;
	/* "2: wan1    inet 192.0.2.2/24 ..." */
	cut(line, strspn(line, "0123456789"));
	cut(line, strspn(line, ": "));
	if (strstr(line, " inet6 fe80:") || has_word(line, "temporary") || has_word(line, "dynamic") ||
	    strncmp(line, "ppp", 3) == 0)
		return false;
	cut_words(line, "valid_lft", 1);
	cut_words(line, "preferred_lft", 1);
	for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		cut_words(line, states[i], 0);
	squeeze(line);
	return true;
}

static bool filter_rule(struct context *context, char *line)
{
	(void)context;
	squeeze(line);
	return true;
}

/* --- the whole ------------------------------------------------------------------------------------- */

static const struct {
	filter *filter;
	bool is_sorted;
} kinds[] = {
	[CANONICAL_PLAIN] = { filter_plain, false },	[CANONICAL_NFT] = { filter_nft, false },
	[CANONICAL_ROUTE] = { filter_route, true },	[CANONICAL_ADDRESS] = { filter_address, true },
	[CANONICAL_RULE] = { filter_rule, false },
};

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the lines that were appended at `from`. They lie in `text` too, as strings, in the same order. */
static void sort_lines(char *text, size_t length, struct buf *out, size_t from)
{
	static char *lines[LIMIT_SNAPSHOT_LINES];
	size_t n = 0;

	memcpy(text, out->data + from, length);
	for (char *at = text; at < text + length; at += strlen(at) + 1) {
		if (n == LIMIT_SNAPSHOT_LINES) {
			out->failed = true;
			return;
		}
		lines[n++] = at;
		*strchr(at, '\n') = '\0';
	}
	qsort(lines, n, sizeof(lines[0]), compare_lines);
	out->length = from;
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, lines[i]);
		buf_put(out, "\n", 1);
	}
}

void canonical_put(enum canonical_kind kind, char *text, size_t length, struct buf *out)
{
	struct context context = { .in_own_table = false };
	size_t from = out->length;

	for (size_t at = 0, next; at < length; at = next) {
		char *line = text + at, *end = memchr(line, '\n', length - at);

		if (!end) /* the last line has no end: its place is behind the text */
			end = text + length;
		*end = '\0';
		next = (size_t)(end - text) + 1;
		trim_end(line);
		if (!kinds[kind].filter(&context, line))
			continue;
		trim_end(line);
		buf_puts(out, line);
		buf_put(out, "\n", 1);
	}
	if (kinds[kind].is_sorted && !out->failed)
		sort_lines(text, out->length - from, out, from);
}

enum canonical_kind canonical_kind_of(const char *command)
{
	static const struct {
		const char *object;
		enum canonical_kind kind;
	} objects[] = {
		{ "route", CANONICAL_ROUTE }, { "r", CANONICAL_ROUTE },	    { "address", CANONICAL_ADDRESS },
		{ "addr", CANONICAL_ADDRESS }, { "a", CANONICAL_ADDRESS }, { "rule", CANONICAL_RULE },
		{ "ru", CANONICAL_RULE },
	};
	const char *at = command + strspn(command, " ");

	if (strncmp(at, "nft ", 4) == 0)
		return CANONICAL_NFT;
	if (strncmp(at, "ip ", 3) != 0)
		return CANONICAL_PLAIN;
	for (at += 3 + strspn(at + 3, " "); *at == '-'; at += strspn(at, " ")) /* options */
		at += strcspn(at, " ");
	for (unsigned i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		size_t length = strlen(objects[i].object);

		if (strncmp(at, objects[i].object, length) == 0 && (at[length] == '\0' || at[length] == ' '))
			return objects[i].kind;
	}
	return CANONICAL_PLAIN;
}
