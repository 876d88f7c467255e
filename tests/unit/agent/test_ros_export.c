/* ros_export: two exports that differ only in what is no configuration are the same text, however they arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/router/ros_export.h"

static int export_text(const char *text, size_t step, char *space, size_t size, struct err *err)
{
	struct ros_export export;
	struct buf out;

	buf_init(&out, space, size);
	ros_export_init(&export, &out);
	for (size_t at = 0, length = strlen(text); at < length; at += step)
		ros_export_add(&export, text + at, length - at < step ? length - at : step);
	return ros_export_finish(&export, err);
}

static void test_what_is_left(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "# sep/11/2023 09:30:30 by RouterOS 6.49.8\r\n# software id = AAAA-BBBB\r\n#\r\n# model = RB750Gr3\r\n"
		  "/interface bridge\r\nadd name=bridge1\r\n",
		  "/interface bridge\nadd name=bridge1\n" },
		{ "# 2023-09-11 09:30:30 by RouterOS 7.11.2\n\n/interface bridge\nadd name=bridge1\n",
		  "/interface bridge\nadd name=bridge1\n" },
		/* folded between words, within a word, within a string, twice */
		{ "/ip address\nadd address=192.168.88.1/24 comment=defconf interface=bridge network=\\\n    192.168.88.0\n",
		  "/ip address\nadd address=192.168.88.1/24 comment=defconf interface=bridge network=192.168.88.0\n" },
		{ "/ip\nadd action=masquerade \\\r\n    chain=srcnat comment=\"a b\\\r\n    \\_c\"\\\r\n    \\\r\n    x=1\r\n",
		  "/ip\nadd action=masquerade chain=srcnat comment=\"a b\\_c\"x=1\n" },
		/* a line that ends with an escaped backslash is not folded */
		{ "/ip\nset name=\"a\\\\\nset name=b\n", "/ip\nset name=\"a\\\\\nset name=b\n" },
		/* comments about the moment; a script's own is within a string */
		{ "/interface vrrp\n# ether3 not ready\nadd interface=ether3\n", "/interface vrrp\nadd interface=ether3\n" },
		{ "/ip\nadd source=\"# mine\\r\\\n    \\n# too\\r\\n\"\n", "/ip\nadd source=\"# mine\\r\\n# too\\r\\n\"\n" },
		/* nothing is configured */
		{ "# nov/21/2026 17:00:00 by RouterOS 6.49.13\r\n# software id = AAAA-BBBB\r\n#\r\n", "" },
		/* folded comments go whole */
		{ "# in/out-interface matcher not possible \\\n    when slave\n/ip\n", "/ip\n" },
	};
	char space[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= strlen(rows[i].in); step++) {
			assert_int_equal(export_text(rows[i].in, step, space, sizeof(space), NULL), 0);
			assert_string_equal(space, rows[i].out);
		}
}

static void test_what_is_no_snapshot(void **state)
{
	static const struct {
		const char *in;
		int rc;
		const char *says;
	} rows[] = {
		{ "/ip\n#error exporting \"/interface/lte\" (timeout)\n/ipv6\n", -EIO, "\"/interface/lte\" (timeout)" },
		{ "/ip address\nadd address=1.2.3.4 interf", -ENODATA, "cut off" },
		{ "/ip address\nadd address=\\\n", -ENODATA, "cut off" },
		{ "/ip address\nadd address=\\\n   ", -ENODATA, "cut off" },
		{ "# only a head\n", -ENODATA, "empty" },
		{ "not enough permissions (9)\n", -ENODATA, "answers no export: not enough permissions (9)" },
		{ "# 2023-09-11 09:30:30 by RouterOS 7.11.2\nbad command \033[2J name\n", -ENODATA, "bad command ?[2J name" },
		{ "", -ENODATA, "empty" },
		{ "/ip address add address=192.0.2.1/24 interface=ether1 comment=longer-than-the-memory-that-there-is\n",
		  -EMSGSIZE, "larger than 64 bytes" },
	};
	char space[64];
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(export_text(rows[i].in, 3, space, sizeof(space), &err), rows[i].rc);
		assert_non_null(strstr(err.text, rows[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_what_is_no_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
