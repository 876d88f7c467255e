/* render: every format of the same rows, word for word. */
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "collector/cli/render.h"
#include "collector/cli/row.h"

#define NOW INT64_C(1763640202000) /* 2025-11-20 12:03:22 UTC */

static enum paint paint_state(const json_t *row)
{
	return paint_uplink_state(row_text_or(row, "state", ""));
}

static void format_shout(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_printf(buf, "%s!", row_text_or(row, "name", ""));
}

static const struct column columns[] = {
	{ .path = "name", .title = "NAME", .width = 6 },
	{ .path = "state", .title = "STATE", .paint = paint_state },
	{ .path = "seen_ms", .title = "SEEN", .type = COLUMN_AGE },
	{ .path = "size.bytes", .title = "SIZE", .type = COLUMN_BYTES },
	{ .title = "SHOUT", .format = format_shout },
	{ .path = "note", .title = "NOTE", .gives_way = true },
};

static const char rows[] = "[{\"name\":\"a\",\"state\":\"down\",\"seen_ms\":1763640022000,\"size\":{\"bytes\":1500},\"note\":"
			   "\"x\\u001b[2J\\ny\"},"
			   "{\"name\":\"long-name\",\"state\":\"up\",\"list\":[1,{\"deep\":true}],\"ratio\":0.5}]";

static char *print(enum render_format format, enum render_layout layout, bool one_row, struct render_target target,
		   bool streaming, const char *text)
{
	struct render_shape shape = { .name = "things", .one_row = one_row, .layout = layout, .columns = columns,
				      .n_columns = sizeof(columns) / sizeof(columns[0]), .empty = "nothing" };
	json_t *list = json_loads(text, 0, NULL);
	struct render *render = NULL;
	char *written = NULL;
	size_t length = 0, i;
	json_t *row;

	assert_non_null(list);
	target.out = open_memstream(&written, &length);
	target.now_ms = NOW;
	assert_non_null(target.out);
	assert_int_equal(render_create(format, &shape, &target, streaming, &render), 0);
	json_array_foreach(list, i, row)
		assert_int_equal(render_row(render, row), 0);
	assert_int_equal(render_finish(render), 0);
	render_destroy(render);
	assert_int_equal(fclose(target.out), 0);
	json_decref(list);
	return written;
}

static void expect(char *written, const char *expected)
{
	assert_string_equal(written, expected);
	free(written);
}

static const struct render_target pipe_target;

static void test_table(void **state)
{
	(void)state;
	expect(print(RENDER_HUMAN, LAYOUT_TABLE, false, pipe_target, false, rows),
	       "NAME       STATE  SEEN      SIZE  SHOUT       NOTE\n"
	       "a          down   3m ago  1.5 kB  a!          x\\x1b[2J\\ny\n"
	       "long-name  up     -            -  long-name!  -\n");
	expect(print(RENDER_HUMAN, LAYOUT_TABLE, false, pipe_target, false, "[]"), "nothing\n");
}

static void test_table_on_a_terminal(void **state)
{
	struct render_target target = { .is_terminal = true, .colour = true, .width = 55 };
	char *written;

	(void)state;
	written = print(RENDER_HUMAN, LAYOUT_TABLE, false, target, false, rows);
	assert_non_null(strstr(written, "\033[1;31mdown"));
	assert_non_null(strstr(written, "\033[32mup"));
	assert_null(strstr(written, "x\033"));
	free(written);
	target.colour = false;
	target.width = 46;
	written = print(RENDER_HUMAN, LAYOUT_TABLE, false, target, false, rows);
	assert_null(strchr(written, '\033'));
	assert_null(strstr(written, "ny\n")); /* the note gave way */
	free(written);
}

static void test_lines(void **state)
{
	struct render_target coloured = { .is_terminal = true, .colour = true };

	(void)state;
	expect(print(RENDER_HUMAN, LAYOUT_LINES, false, pipe_target, true, rows),
	       "a       down  3m ago  1.5 kB  a!\n  x\\x1b[2J\\ny\n"
	       "long-name  up      long-name!\n");
	expect(print(RENDER_HUMAN, LAYOUT_LINES, false, coloured, true, "[{\"name\":\"ü\",\"state\":\"suspect\"}]"),
	       "ü       \033[33msuspect\033[0m      ü!\n");
}

static void test_record(void **state)
{
	(void)state;
	expect(print(RENDER_HUMAN, LAYOUT_RECORD, true, pipe_target, false, rows),
	       "NAME   a\nSTATE  down\nSEEN   3m ago\nSIZE   1.5 kB\nSHOUT  a!\nNOTE   x\\x1b[2J\\ny\n"
	       "NAME   long-name\nSTATE  up\nSHOUT  long-name!\n");
}

static void test_json(void **state)
{
	char *written;
	json_t *document;

	(void)state;
	written = print(RENDER_JSON, LAYOUT_TABLE, false, pipe_target, false, rows);
	document = json_loads(written, 0, NULL);
	assert_int_equal(json_array_size(document), 2);
	assert_string_equal(row_text(json_array_get(document, 0), "note"), "x\033[2J\ny");
	assert_null(strchr(written, '\033'));
	json_decref(document);
	free(written);
	expect(print(RENDER_JSON, LAYOUT_TABLE, false, pipe_target, false, "[]"), "[]\n");
	expect(print(RENDER_JSON, LAYOUT_LINES, false, pipe_target, true, "[{\"a\":1},{\"b\":\"\\n\"}]"),
	       "{\"a\":1}\n{\"b\":\"\\n\"}\n");
}

static void test_kv(void **state)
{
	(void)state;
	expect(print(RENDER_KV, LAYOUT_TABLE, false, pipe_target, false, rows),
	       "things.0.name=a\nthings.0.state=down\nthings.0.seen_ms=1763640022000\nthings.0.size.bytes=1500\n"
	       "things.0.note=x\\x1b[2J\\ny\n"
	       "things.1.name=long-name\nthings.1.state=up\nthings.1.list.0=1\nthings.1.list.1.deep=true\nthings.1.ratio=0.5\n");
	expect(print(RENDER_KV, LAYOUT_TABLE, true, pipe_target, false, "[{\"a\":\"\\\\ \\t\\r\\u007f é\",\"b\":{},\"c\":null}]"),
	       "things.a=\\\\ \\t\\r\\x7f é\nthings.c=null\n");
	expect(print(RENDER_KV, LAYOUT_TABLE, true, pipe_target, false, "[{\"a\":[[[[[[[[1]]]]]]]]}]"),
	       "things.a.0.0.0.0.0=[[[1]]]\n");
	expect(print(RENDER_KV, LAYOUT_TABLE, false, pipe_target, false, "[]"), "");
}

static void test_output_that_fails(void **state)
{
	struct render_shape shape = { .name = "things", .layout = LAYOUT_LINES, .columns = columns, .n_columns = 1 };
	struct render_target target = { .out = fopen("/dev/full", "we") };
	struct render *render = NULL;
	json_t *row = json_pack("{s:s}", "name", "a");

	(void)state;
	assert_non_null(target.out);
	assert_int_equal(render_create(RENDER_HUMAN, &shape, &target, true, &render), 0);
	assert_int_equal(render_row(render, row), -EIO);
	render_destroy(render);
	render_destroy(NULL);
	json_decref(row);
	(void)fclose(target.out); /* /dev/full: it fails, as it should */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_on_a_terminal),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_kv),
		cmocka_unit_test(test_output_that_fails),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
