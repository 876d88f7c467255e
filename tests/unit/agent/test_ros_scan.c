/* ros_scan: statements of scripts as people write them, and as nobody should; pieces; marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/ros_scan.h"

/* The statements as "LINE:COLUMN TEXT|", with "+" before what does not begin its line. */
static int scan_all(const char *text, struct buf *out)
{
	struct ros_statement statement;
	struct ros_scan scan;
	struct err err = { "" };
	int r;

	ros_scan_init(&scan, text, strlen(text));
	while ((r = ros_scan_next(&scan, &statement, &err)) > 0) {
		buf_printf(out, "%s%u:%u ", statement.is_first_of_line ? "" : "+", statement.line, statement.column);
		buf_put(out, text + statement.start, statement.end - statement.start);
		buf_puts(out, "|");
	}
	if (r < 0)
		buf_puts(out, err.text);
	return r;
}

static void test_statements(void **state)
{
	static const struct {
		const char *text, *statements;
	} rows[] = {
		{ "", "" },
		{ " \r\n\t;;# all of it", "" },
		{ "/ip address\r\n  add address=1.1.1.1/24 \r\n", "1:1 /ip address|2:3 add address=1.1.1.1/24|" },
		{ ":put 1; :put 2\n:put 3", "1:1 :put 1|+1:9 :put 2|2:1 :put 3|" },
		{ "add comment=\"a;b\nc # \\\" {\" list=x\nadd", "1:1 add comment=\"a;b\nc # \\\" {\" list=x|3:1 add|" },
		{ "add a=b \\\n    c=d\nadd e=\"f\\\n g\"\nx", "1:1 add a=b \\\n    c=d|3:1 add e=\"f\\\n g\"|5:1 x|" },
		{ ":if (true) do={\n  # it's \"\n  :put 1; # }\n} else={ x }\ny", "1:1 :if (true) do={\n  # it's \"\n  :put 1; # }\n} else={ x }|5:1 y|" },
		{ ":put \"$[/x get [find a=\"b;\"] c]; $(1 . \"]\")\"\nz", "1:1 :put \"$[/x get [find a=\"b;\"] c]; $(1 . \"]\")\"|2:1 z|" },
		{ "set x color=#123 ; y", "1:1 set x color=#123|+1:20 y|" },
		{ "{\n:put 1\n}", "1:1 {\n:put 1\n}|" },
		{ "\\\n\\\r\nx", "3:1 x|" },
		{ "x \"", "line 1: a bracket or quote has no partner" },
		{ "x\n}", "1:1 x|line 2: a bracket or quote has no partner" },
		{ "x (]", "line 1: a bracket or quote has no partner" },
		{ "{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", "line 1: a bracket or quote has no partner" },
		{ "\"\\", "line 1: a bracket or quote has no partner" },
		{ "\"$", "line 1: a bracket or quote has no partner" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char space[512];
		struct buf out;
		int r;

		buf_init(&out, space, sizeof(space));
		r = scan_all(rows[i].text, &out);
		assert_string_equal(space, rows[i].statements);
		assert_int_equal(r, strstr(rows[i].statements, "partner") ? -EILSEQ : 0);
	}
}

static void test_marks_leave_lines_where_they_are(void **state)
{
	static const char text[] = "# first\n/ip address\n  add a=\"\n\"; add b\n\n:put 1";
	struct ros_piece piece = { .line = 0 };
	char space[256];
	struct buf out;

	(void)state;
	assert_int_equal(ros_piece_next(text, strlen(text), 1000, &piece, NULL), 1);
	buf_init(&out, space, sizeof(space));
	ros_put_marked(&out, text, &piece, "v");
	assert_string_equal(space, "# first\n:set v 2;/ip address\n  :set v 3;add a=\"\n\"; add b\n\n:set v 6;:put 1");
	assert_int_equal(ros_mark_width(text, &piece, "v", 3), 9);
	assert_int_equal(ros_mark_width(text, &piece, "v", 4), 0);
	assert_int_equal(ros_piece_next(text, strlen(text), 1000, &piece, NULL), 0);
}

/* Every byte of the script, in order, each piece within the limit with what it goes on from. */
static void test_pieces(void **state)
{
	static const char text[] = "/ip address\nadd a=1\nadd a=2\n  add a=3\n/ip route\nadd b=1\n/system identity set name=x\nadd b=2\n";
	struct ros_piece piece = { .line = 0 };
	char all[sizeof(text)] = "", menus[256] = "";
	unsigned n = 0;

	(void)state;
	while (ros_piece_next(text, strlen(text), 110, &piece, NULL) > 0) {
		char marked[256];
		struct buf out;

		buf_init(&out, marked, sizeof(marked));
		ros_put_marked(&out, text, &piece, "v");
		assert_in_range(out.length + piece.menu_end - piece.menu_start, 1, 110);
		assert_true(piece.start == 0 || text[piece.start - 1] == '\n');
		strncat(all, text + piece.start, piece.end - piece.start);
		snprintf(menus + strlen(menus), sizeof(menus) - strlen(menus), "%u %.*s|", piece.line,
			 (int)(piece.menu_end - piece.menu_start), text + piece.menu_start);
		n++;
	}
	assert_string_equal(all, text);
	assert_string_equal(menus, "1 |3 /ip address|5 |7 |");
	assert_int_equal(n, 4);
}

static void test_what_cannot_be_cut(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *why;
	} rows[] = {
		{ "/a b\nadd x=1\nadd x=2\nadd x=3\n", 1, "" },
		{ ":local c 1\n/a b\nadd x=1\nadd x=2\nadd x=3\n", -E2BIG, "line 1: the script is too long to be taken in one go, and where" },
		{ "/system reboot\nadd x=1\nadd x=2\nadd x=3\nadd x=4\n", -E2BIG, "line 2: the script is too long to be taken in one go, and cannot" },
		{ "/a set b=c\nadd x=1\nadd x=2\nadd x=3\nadd x=4\n", -E2BIG, "line 2: the script is too long" },
		{ "{\nadd x=1\nadd x=2\nadd x=3\nadd x=4\nadd x=5\nadd x=6\nadd x=7\nadd x=8\n}\n", -E2BIG, "line 1: the script is too long" },
		{ "/a b\nadd x=1\nadd x=2\nadd x=3\nadd x=4\n}", -EILSEQ, "line 6: a bracket" },
		{ "# nothing but a comment, which is longer than what the router takes in one go, all in all\n", -E2BIG, "line 1: the script is too long" },
		{ "/a b\n}", 1, "" }, /* it fits: RouterOS says what is wrong */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ros_piece piece = { .line = 0 };
		struct err err = { "" };
		int r;

		while ((r = ros_piece_next(rows[i].text, strlen(rows[i].text), 80, &piece, &err)) > 0)
			if (rows[i].r == 1 && piece.end == strlen(rows[i].text))
				break;
		assert_int_equal(r, rows[i].r);
		assert_memory_equal(err.text, rows[i].why, strlen(rows[i].why));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statements),
		cmocka_unit_test(test_marks_leave_lines_where_they_are),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_what_cannot_be_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
