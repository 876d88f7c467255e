/*
 * ros_scan: see ros_scan.h. The scanner is a stack of what is open. Within a string only "$(" and "$[" open something, and a
 * backslash hides a character; outside, a # at the beginning of a statement hides the rest of its line. Called by
 * routeros_execute.c and routeros_save*.c.
 *
 * A script is cut only where the next statement means the same in a session of its own: it begins with "/", or the menu that it
 * is relative to is known. Variables of the outermost level would be unknown, and RouterOS takes an unknown one for empty
 * without a word; so a script with such is not cut at all.
 */
#include "agent/router/ros_scan.h"

#include <errno.h>
#include <string.h>

#define DEPTH 64 /* brackets within brackets; scripts of people have five */

void ros_scan_init(struct ros_scan *scan, const char *text, size_t length)
{
	*scan = (struct ros_scan){ .text = text, .length = length, .line = 1 };
}

static char peek(const struct ros_scan *scan, size_t ahead)
{
	return scan->at + ahead < scan->length ? scan->text[scan->at + ahead] : '\0';
}

static void step(struct ros_scan *scan)
{
	if (scan->text[scan->at++] == '\n') {
		scan->line++;
		scan->line_start = scan->at;
	}
}

/* A backslash at the end of a line: the next line belongs to this one. */
static size_t fold(const struct ros_scan *scan)
{
	if (peek(scan, 0) != '\\')
		return 0;
	return peek(scan, 1) == '\n' ? 2 : peek(scan, 1) == '\r' && peek(scan, 2) == '\n' ? 3 : 0;
}

static void skip_comment(struct ros_scan *scan)
{
	while (scan->at < scan->length && peek(scan, 0) != '\n')
		step(scan);
}

/* To the next statement, or the end. */
static void skip_blanks(struct ros_scan *scan)
{
	while (scan->at < scan->length) {
		size_t folded = fold(scan);

		if (folded > 0)
			while (folded-- > 0)
				step(scan);
		else if (peek(scan, 0) == '#')
			skip_comment(scan);
		else if (strchr(" \t\r\n;", peek(scan, 0)) && peek(scan, 0) != '\0')
			step(scan);
		else
			return;
	}
}

static bool opens(char character)
{
	return character == '{' || character == '[' || character == '(';
}

static bool closes(char open, char character)
{
	return (open == '{' && character == '}') || (open == '[' && character == ']') || (open == '(' && character == ')');
}

static int no_partner(const struct ros_scan *scan, struct err *err)
{
	return err_set(err, -EILSEQ, "line %u: a bracket or quote has no partner", scan->line);
}

/* One character of a string. */
static int step_string(struct ros_scan *scan, char *stack, unsigned *depth, struct err *err)
{
	char character = peek(scan, 0);

	if (character == '\\') {
		step(scan);
		if (scan->at < scan->length)
			step(scan);
		return 0;
	}
	if (character == '"')
		(*depth)--;
	else if (character == '$' && (peek(scan, 1) == '(' || peek(scan, 1) == '[')) {
		if (*depth == DEPTH)
			return no_partner(scan, err);
		stack[(*depth)++] = peek(scan, 1);
		step(scan);
	}
	step(scan);
	return 0;
}

/* To the end of the statement at which we are. */
static int skip_statement(struct ros_scan *scan, struct err *err)
{
	char stack[DEPTH];
	unsigned depth = 0;
	bool is_fresh = false; /* a statement may begin here, so that # is a comment */

	while (scan->at < scan->length) {
		char character = peek(scan, 0);
		size_t folded = fold(scan);

		if (depth > 0 && stack[depth - 1] == '"') {
			if (step_string(scan, stack, &depth, err) < 0)
				return -EILSEQ;
			continue;
		}
		if (depth == 0 && (character == '\n' || character == ';'))
			return 0;
		if (folded > 0) {
			while (folded-- > 0)
				step(scan);
			continue;
		}
		if (is_fresh && character == '#') {
			skip_comment(scan);
			continue;
		}
		if (opens(character) || character == '"') {
			if (depth == DEPTH)
				return no_partner(scan, err);
			stack[depth++] = character;
		} else if (character == '}' || character == ']' || character == ')') {
			if (depth == 0 || !closes(stack[depth - 1], character))
				return no_partner(scan, err);
			depth--;
		}
		is_fresh = character == '{' || character == '\n' || character == ';' ||
			   (is_fresh && (character == ' ' || character == '\t' || character == '\r'));
		step(scan);
	}
	return depth == 0 ? 0 : no_partner(scan, err);
}

int ros_scan_next(struct ros_scan *scan, struct ros_statement *ret_statement, struct err *err)
{
	uint32_t last_line = scan->at == 0 ? 0 : scan->line;
	struct ros_statement found;

	skip_blanks(scan);
	if (scan->at == scan->length)
		return 0;
	found.start = scan->at;
	found.line = scan->line;
	found.column = (uint32_t)(scan->at - scan->line_start) + 1;
	found.is_first_of_line = scan->line != last_line;
	if (skip_statement(scan, err) < 0)
		return -EILSEQ;
	found.end = scan->at;
	while (found.end > found.start && strchr(" \t\r", scan->text[found.end - 1]))
		found.end--;
	*ret_statement = found;
	return 1;
}

/* --- marks --------------------------------------------------------------------------------------- */

/* A piece, whose lines are counted from the beginning of its script. */
static void scan_piece(struct ros_scan *scan, const char *text, const struct ros_piece *piece, size_t end)
{
	ros_scan_init(scan, text + piece->start, end - piece->start);
	scan->line = piece->line;
}

static uint32_t put_mark(struct buf *out, const char *variable, uint32_t line)
{
	size_t before = out->length;

	buf_printf(out, ":set %s %u;", variable, line);
	return (uint32_t)(out->length - before);
}

void ros_put_marked(struct buf *out, const char *text, const struct ros_piece *piece, const char *variable)
{
	struct ros_statement statement;
	struct ros_scan scan;
	size_t at = 0;

	scan_piece(&scan, text, piece, piece->end);
	while (ros_scan_next(&scan, &statement, NULL) > 0) {
		if (!statement.is_first_of_line)
			continue;
		buf_put(out, text + piece->start + at, statement.start - at);
		put_mark(out, variable, statement.line);
		at = statement.start;
	}
	buf_put(out, text + piece->start + at, piece->end - piece->start - at);
}

uint32_t ros_mark_width(const char *text, const struct ros_piece *piece, const char *variable, uint32_t line)
{
	struct ros_statement statement;
	struct ros_scan scan;
	char space[64];
	struct buf mark;

	scan_piece(&scan, text, piece, piece->end);
	while (ros_scan_next(&scan, &statement, NULL) > 0) {
		if (!statement.is_first_of_line || statement.line != line)
			continue;
		buf_init(&mark, space, sizeof(space));
		return put_mark(&mark, variable, line);
	}
	return 0;
}

/* --- pieces -------------------------------------------------------------------------------------- */

#define MARK_BYTES 32 /* of one, at most */

static bool begins_with(const char *text, size_t length, const char *word)
{
	size_t word_length = strlen(word);

	return length > word_length && memcmp(text, word, word_length) == 0 && strchr(" \t", text[word_length]);
}

/* "/ip firewall address-list": words alone, the last of which is no command. */
static bool is_menu(const char *text, size_t length)
{
	static const char *const verbs[] = { "print", "export", "reboot", "shutdown", "flush", "reset", "clear", "run", "monitor" };
	size_t word = length;

	if (length < 2 || text[0] != '/')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') || strchr("/- \t", text[i])))
			return false;
	while (!strchr("/ \t", text[word - 1]))
		word--;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (length - word == strlen(verbs[i]) && memcmp(text + word, verbs[i], length - word) == 0)
			return false;
	return true;
}

/* How the next piece begins, where the last one ended. */
static struct ros_piece follow(const char *text, const struct ros_piece *last)
{
	struct ros_piece piece = { .start = last->end, .line = 1 };

	for (size_t i = 0; i < last->end; i++)
		piece.line += text[i] == '\n';
	if (last->end > 0) {
		piece.menu_start = last->next_menu_start;
		piece.menu_end = last->next_menu_end;
	}
	return piece;
}

/* Ends the piece before the statement, if that can begin a piece of its own. */
static void cut_before(struct ros_piece *piece, const struct ros_statement *statement, const char *text, size_t menu_start,
		       size_t menu_end)
{
	bool is_absolute = text[piece->start + statement->start] == '/';

	if (!statement->is_first_of_line || statement->start == 0 || (!is_absolute && menu_end == 0))
		return;
	piece->end = piece->start + statement->start - (statement->column - 1);
	piece->next_menu_start = is_absolute ? 0 : menu_start;
	piece->next_menu_end = is_absolute ? 0 : menu_end;
}

int ros_piece_next(const char *text, size_t length, size_t limit, struct ros_piece *piece, struct err *err)
{
	struct ros_piece next = follow(text, piece);
	size_t menu_start = next.menu_start, menu_end = next.menu_end, marks = 0;
	uint32_t declared = piece->declared;
	struct ros_statement statement = { .line = next.line }; /* there may be none */
	struct ros_scan scan;
	int r;

	if (piece->end == length)
		return 0;
	scan_piece(&scan, text, &next, length);
	while ((r = ros_scan_next(&scan, &statement, err)) > 0) {
		const char *words = text + next.start + statement.start;
		size_t n = statement.end - statement.start;

		cut_before(&next, &statement, text, menu_start, menu_end);
		marks += statement.is_first_of_line ? MARK_BYTES : 0;
		if (statement.end + (next.menu_end - next.menu_start) + marks > limit)
			break;
		if (is_menu(words, n)) {
			menu_start = next.start + statement.start;
			menu_end = next.start + statement.end;
		} else if (declared == 0 && (begins_with(words, n, ":local") || begins_with(words, n, ":global"))) {
			declared = statement.line;
		}
	}
	next.declared = declared;
	if (r <= 0 && length - next.start + (next.menu_end - next.menu_start) + marks <= limit && (r == 0 || next.start == 0)) {
		next.end = length; /* one that RouterOS can judge by itself, for better or worse */
	} else if (r < 0) {
		return r;
	} else if (next.end == 0) {
		return err_set(err, -E2BIG, "line %u: the script is too long to be taken in one go, and cannot be cut before here",
			       statement.line);
	}
	if (declared != 0 && next.end < length)
		return err_set(err, -E2BIG, "line %u: the script is too long to be taken in one go, and where it is cut this variable is lost",
			       declared);
	*piece = next;
	return 1;
}
