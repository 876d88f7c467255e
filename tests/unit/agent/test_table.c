/* table: three formats of the same cells; what does not fit fails as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/table.h"

static const char *const columns[] = { "name", "up", "count", "note" };
static struct table table;
static char memory[4096];
static struct buf out;

static void put_row(const char *name, bool up, int64_t count, const char *note)
{
	table_put_text(&table, "%s", name);
	table_put_bool(&table, up);
	table_put_number(&table, count);
	table_put_text(&table, "%s", note);
}

static const char *render(enum table_format format)
{
	buf_init(&out, memory, sizeof(memory));
	assert_int_equal(table_render(&table, format, &out), 0);
	return out.data;
}

static void test_rows(void **state)
{
	(void)state;
	table_init(&table, "things", columns, 4, false);
	put_row("a", true, -1, "");
	put_row("longer", false, 12345, "say \"\\\" \n\x01\x7f\xc3");
	assert_string_equal(render(TABLE_KV), "things.0.name=a\nthings.0.up=true\nthings.0.count=-1\nthings.0.note=\n"
					      "things.1.name=longer\nthings.1.up=false\nthings.1.count=12345\n"
					      "things.1.note=say \"\\\\\" \\n\\x01\\x7f\xc3\n");
	assert_string_equal(render(TABLE_JSON),
			    "[{\"name\":\"a\",\"up\":true,\"count\":-1,\"note\":\"\"},\n"
			    "{\"name\":\"longer\",\"up\":false,\"count\":12345,"
			    "\"note\":\"say \\\"\\\\\\\" \\u000a\\u0001\\u007f\\u00c3\"}]\n");
	table_init(&table, "things", columns, 4, false);
	put_row("a", true, -1, "");
	put_row("longer", false, 12345, "x");
	assert_string_equal(render(TABLE_TEXT), "name    up   count  note\n"
						"a       yes  -1     -\n"
						"longer  no   12345  x\n");
}

static void test_record(void **state)
{
	(void)state;
	table_init(&table, "thing", columns, 4, true);
	put_row("a", true, 2, "");
	assert_string_equal(render(TABLE_TEXT), "name   a\nup     yes\ncount  2\nnote   -\n");
	assert_string_equal(render(TABLE_JSON), "{\"name\":\"a\",\"up\":true,\"count\":2,\"note\":\"\"}\n");
	assert_string_equal(render(TABLE_KV), "thing.name=a\nthing.up=true\nthing.count=2\nthing.note=\n");
}

static void test_empty(void **state)
{
	(void)state;
	table_init(&table, "things", columns, 4, false);
	assert_string_equal(render(TABLE_JSON), "[]\n");
	assert_string_equal(render(TABLE_KV), "");
	assert_string_equal(render(TABLE_TEXT), "name  up  count  note\n");
}

static void test_too_much(void **state)
{
	char small[8], wide[512];

	(void)state;
	table_init(&table, "things", columns, 4, false);
	put_row("a", true, 2, "");
	buf_init(&out, small, sizeof(small));
	assert_int_equal(table_render(&table, TABLE_KV, &out), -EMSGSIZE);
	table_init(&table, "things", columns, 1, false);
	for (unsigned i = 0; i < LIMIT_TABLE_CELLS + 1; i++)
		table_put_number(&table, 1);
	buf_init(&out, memory, sizeof(memory));
	assert_int_equal(table_render(&table, TABLE_KV, &out), -EMSGSIZE);
	memset(wide, 'w', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	table_init(&table, "things", columns, 1, false);
	for (unsigned i = 0; i < LIMIT_TABLE_BYTES / sizeof(wide) + 1; i++)
		table_put_text(&table, "%s", wide);
	buf_init(&out, memory, sizeof(memory));
	assert_int_equal(table_render(&table, TABLE_KV, &out), -EMSGSIZE);
}

static void test_formats(void **state)
{
	enum table_format format = TABLE_KV;

	(void)state;
	assert_int_equal(table_format_parse("json", &format), 0);
	assert_int_equal(format, TABLE_JSON);
	assert_int_equal(table_format_parse("xml", &format), -EINVAL);
	assert_int_equal(table_format_parse("", &format), -EINVAL);
	assert_int_equal(format, TABLE_JSON);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	 cmocka_unit_test(test_record),	 cmocka_unit_test(test_empty),
		cmocka_unit_test(test_too_much), cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
