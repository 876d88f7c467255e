/* netlink: what is written is read back; memory that ends and lengths that lie fail once and for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/netlink.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static uint8_t memory[256] __attribute__((aligned(8)));

/* A message with a header of 5 bytes, a number, a text, and a nest with two values. */
static void write_sample(struct nl_writer *writer, size_t size)
{
	size_t nest;

	nl_writer_init(writer, memory, size);
	nl_begin(writer, 0x1234, NLM_F_REQUEST, 77);
	nl_put(writer, "head", 5);
	nl_attr_u32(writer, 1, 0xdeadbeef);
	nl_attr_string(writer, 2, "wan1");
	nest = nl_nest(writer, 3);
	nl_attr_u8(writer, 4, 0x5a);
	nl_attr_be32(writer, 5, 0x01020304);
	nl_nest_end(writer, nest);
	nl_end(writer);
}

#define SAMPLE_BYTES (16 + 8 + 8 + 12 + 4 + 8 + 8)

static void test_round_trip(void **state)
{
	struct nl_reader messages, attrs, inner;
	struct nl_message message;
	struct nl_writer writer;
	struct nl_attr attr;
	char head[5], text[8];

	(void)state;
	write_sample(&writer, sizeof(memory));
	assert_false(writer.failed);
	assert_int_equal(writer.length, SAMPLE_BYTES);
	nl_reader_init(&messages, memory, writer.length);
	assert_true(nl_next_message(&messages, &message));
	assert_int_equal(message.type, 0x1234);
	assert_int_equal(message.sequence, 77);
	assert_true(nl_message_header(&message, head, sizeof(head), &attrs));
	assert_string_equal(head, "head");
	assert_true(nl_next_attr(&attrs, &attr));
	assert_int_equal(attr.type, 1);
	assert_int_equal(nl_get_u32(&attrs, &attr), 0xdeadbeef);
	assert_true(nl_next_attr(&attrs, &attr));
	nl_get_string(&attrs, &attr, text, sizeof(text));
	assert_string_equal(text, "wan1");
	assert_true(nl_next_attr(&attrs, &attr));
	assert_int_equal(attr.type, 3); /* without NLA_F_NESTED */
	nl_enter(&attr, &inner);
	assert_true(nl_next_attr(&inner, &attr));
	assert_int_equal(nl_get_u8(&inner, &attr), 0x5a);
	assert_true(nl_next_attr(&inner, &attr));
	assert_memory_equal(attr.data, "\1\2\3\4", 4);
	assert_int_equal(nl_get_be32(&inner, &attr), 0x01020304);
	assert_false(nl_next_attr(&inner, &attr));
	assert_false(nl_next_attr(&attrs, &attr));
	assert_false(nl_next_message(&messages, &message));
	assert_false(messages.failed || attrs.failed || inner.failed);
}

static void test_memory_that_ends(void **state)
{
	struct nl_writer writer;

	(void)state;
	for (size_t size = 0; size < SAMPLE_BYTES; size++) {
		memset(memory, 0xee, sizeof(memory));
		write_sample(&writer, size);
		assert_true(writer.failed);
		assert_true(writer.length <= size);
		for (size_t i = size; i < sizeof(memory); i++)
			assert_int_equal(memory[i], 0xee); /* not a byte behind the end */
		nl_attr_u8(&writer, 1, 1);
		assert_true(writer.failed);
	}
	write_sample(&writer, SAMPLE_BYTES);
	assert_false(writer.failed);
}

static void test_attribute_that_no_length_can_say(void **state)
{
	static uint8_t big[70000] __attribute__((aligned(8)));
	static const uint8_t value[66000];
	struct nl_writer writer;
	size_t nest;

	(void)state;
	nl_writer_init(&writer, big, sizeof(big));
	nl_begin(&writer, 1, 0, 1);
	nl_attr(&writer, 1, value, sizeof(value));
	assert_true(writer.failed);
	nl_writer_init(&writer, big, sizeof(big));
	nl_begin(&writer, 1, 0, 1);
	nest = nl_nest(&writer, 1);
	nl_attr(&writer, 2, value, 40000);
	nl_attr(&writer, 2, value, 27000);
	nl_nest_end(&writer, nest);
	assert_true(writer.failed);
}

static void test_flags_are_added_to_the_newest_message(void **state)
{
	struct nl_reader reader;
	struct nl_message message;
	struct nl_writer writer;

	(void)state;
	nl_writer_init(&writer, memory, sizeof(memory));
	nl_add_flags(&writer, NLM_F_ACK); /* no message yet: nothing happens */
	for (unsigned i = 0; i < 2; i++) {
		nl_begin(&writer, 1, NLM_F_REQUEST, i);
		nl_end(&writer);
	}
	nl_add_flags(&writer, NLM_F_ACK);
	nl_reader_init(&reader, memory, writer.length);
	assert_true(nl_next_message(&reader, &message));
	assert_int_equal(message.flags, NLM_F_REQUEST);
	assert_true(nl_next_message(&reader, &message));
	assert_int_equal(message.flags, NLM_F_REQUEST | NLM_F_ACK);
}

/* The bytes of a number in the order of the machine, which is netlink's. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define U16(n) (n) >> 8, (n) & 0xff
#define U32(n) (n) >> 24, (n) >> 16 & 0xff, (n) >> 8 & 0xff, (n) & 0xff
#else
#define U16(n) (n) & 0xff, (n) >> 8
#define U32(n) (n) & 0xff, (n) >> 8 & 0xff, (n) >> 16 & 0xff, (n) >> 24
#endif

/* Every way in which messages and attributes can be cut or lie about their length. */
static void test_hostile_messages(void **state)
{
	static const struct {
		const char *name;
		uint8_t bytes[24];
		size_t length;
		unsigned n_messages;
		bool failed;
	} cases[] = {
		{ "nothing", { U32(0) }, 0, 0, false },
		{ "a byte", { U32(16) }, 1, 0, true },
		{ "header cut", { U32(16) }, 15, 0, true },
		{ "length 0", { U32(0) }, 16, 0, true },
		{ "length below the header", { U32(15) }, 16, 0, true },
		{ "length beyond the end", { U32(17) }, 16, 0, true },
		{ "length that wraps", { U32(0xffffffff) }, 16, 0, true },
		{ "length that wraps when padded", { U32(0xfffffffd) }, 16, 0, true },
		{ "whole", { U32(16) }, 16, 1, false },
		{ "padding missing at the end", { U32(17) }, 17, 1, false },
		{ "something behind it", { U32(16) }, 20, 1, true },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		uint8_t *exact = malloc(cases[i].length ? cases[i].length : 1); /* for ASan to guard */
		struct nl_message message;
		struct nl_reader reader;
		unsigned n = 0;

		memcpy(exact, cases[i].bytes, cases[i].length);
		nl_reader_init(&reader, exact, cases[i].length);
		while (nl_next_message(&reader, &message))
			n++;
		if (n != cases[i].n_messages || reader.failed != cases[i].failed)
			fail_msg("%s: %u messages, failed=%d", cases[i].name, n, reader.failed);
		assert_false(nl_next_message(&reader, &message));
		free(exact);
	}
}

static void test_hostile_attributes(void **state)
{
	static const struct {
		const char *name;
		uint8_t bytes[16];
		size_t length;
		unsigned n_attrs;
		bool failed;
	} cases[] = {
		{ "nothing", { 0 }, 0, 0, false },
		{ "header cut", { U16(4), 1 }, 3, 0, true },
		{ "length 0", { U16(0), U16(1) }, 4, 0, true },
		{ "length 3", { U16(3), U16(1) }, 4, 0, true },
		{ "empty", { U16(4), U16(1) }, 4, 1, false },
		{ "beyond the end", { U16(5), U16(1) }, 4, 0, true },
		{ "longest", { U16(0xffff), U16(1) }, 16, 0, true },
		{ "padding missing", { U16(5), U16(1), 9 }, 5, 1, false },
		{ "second one lies", { U16(5), U16(1), 9, 0, 0, 0, U16(9), U16(1) }, 12, 1, true },
		{ "two", { U16(5), U16(1), 9, 0, 0, 0, U16(4), U16(1) }, 12, 2, false },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		uint8_t *exact = malloc(cases[i].length ? cases[i].length : 1);
		struct nl_reader reader;
		struct nl_attr attr;
		unsigned n = 0;

		memcpy(exact, cases[i].bytes, cases[i].length);
		nl_reader_init(&reader, exact, cases[i].length);
		while (nl_next_attr(&reader, &attr))
			n++;
		if (n != cases[i].n_attrs || reader.failed != cases[i].failed)
			fail_msg("%s: %u attributes, failed=%d", cases[i].name, n, reader.failed);
		assert_false(nl_next_attr(&reader, &attr));
		free(exact);
	}
}

/* Cut anywhere, a message fails or ends; it never reads on. */
static void test_sample_cut_anywhere(void **state)
{
	struct nl_writer writer;

	(void)state;
	write_sample(&writer, sizeof(memory));
	for (size_t cut = 0; cut < writer.length; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);
		struct nl_message message;
		struct nl_reader reader;

		memcpy(exact, memory, cut);
		nl_reader_init(&reader, exact, cut);
		assert_false(nl_next_message(&reader, &message));
		assert_int_equal(reader.failed, cut > 0);
		free(exact);
	}
}

static void test_header_cut(void **state)
{
	uint8_t header[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, copy[8];
	struct nl_message message = { .body = header };
	struct nl_reader attrs;
	struct nl_attr attr;

	(void)state;
	for (message.length = 0; message.length < 7; message.length++) {
		assert_false(nl_message_header(&message, copy, 7, &attrs));
		assert_true(attrs.failed);
		assert_false(nl_next_attr(&attrs, &attr));
	}
	/* Without its padding it is whole, and nothing follows. */
	assert_true(nl_message_header(&message, copy, 7, &attrs));
	assert_false(nl_next_attr(&attrs, &attr));
	assert_false(attrs.failed);
}

static void test_values_of_a_wrong_size(void **state)
{
	static const uint8_t bytes[8] = { 'l', 'a', 'n', '0', 0, 'x', 'y', 'z' };
	struct nl_attr attr = { .data = bytes };
	struct nl_reader reader;
	char text[4];

	(void)state;
	for (attr.length = 0; attr.length <= sizeof(bytes); attr.length++) {
		nl_reader_init(&reader, bytes, 0);
		(void)nl_get_u32(&reader, &attr);
		assert_int_equal(reader.failed, attr.length != 4);
		nl_reader_init(&reader, bytes, 0);
		(void)nl_get_u8(&reader, &attr);
		assert_int_equal(reader.failed, attr.length != 1);
	}
	attr.length = 3; /* no NUL in it */
	nl_reader_init(&reader, bytes, 0);
	nl_get_string(&reader, &attr, text, sizeof(text));
	assert_string_equal(text, "lan");
	attr.length = sizeof(bytes);
	nl_get_string(&reader, &attr, text, sizeof(text));
	assert_true(reader.failed);
	assert_string_equal(text, "");
	nl_get_string_cut(&attr, text, sizeof(text));
	assert_string_equal(text, "lan");
}

static void test_find(void **state)
{
	struct nl_reader messages, attrs;
	struct nl_message message;
	struct nl_writer writer;
	struct nl_attr attr, found;
	char head[5];

	(void)state;
	write_sample(&writer, sizeof(memory));
	nl_reader_init(&messages, memory, writer.length);
	assert_true(nl_next_message(&messages, &message));
	assert_true(nl_message_header(&message, head, sizeof(head), &attrs));
	for (unsigned i = 0; i < 3; i++)
		assert_true(nl_next_attr(&attrs, &attr));
	assert_true(nl_find(&attr, 5, &found));
	assert_int_equal(found.length, 4);
	assert_false(nl_find(&attr, 6, &found));
}

/* error, then the echoed request (capped or not), then attributes. */
static size_t write_error(int32_t error, uint16_t flags, uint32_t echoed, const char *text)
{
	struct nlmsghdr request = { .nlmsg_len = echoed };
	struct nl_writer writer;

	nl_writer_init(&writer, memory, sizeof(memory));
	nl_begin(&writer, NLMSG_ERROR, flags, 9);
	nl_put(&writer, &error, sizeof(error));
	nl_put(&writer, &request, sizeof(request));
	if (!(flags & NLM_F_CAPPED) && echoed > sizeof(request))
		nl_put(&writer, "12345678", echoed - sizeof(request));
	if (text)
		nl_attr_string(&writer, NLMSGERR_ATTR_MSG, text);
	nl_end(&writer);
	assert_false(writer.failed);
	return writer.length;
}

static int read_error(size_t length, struct nl_result *result)
{
	struct nl_message message;
	struct nl_reader reader;

	nl_reader_init(&reader, memory, length);
	assert_true(nl_next_message(&reader, &message));
	return nl_read_result(&message, result);
}

static void test_results(void **state)
{
	struct nl_result result;

	(void)state;
	assert_int_equal(read_error(write_error(0, 0, 16, NULL), &result), 0);
	assert_int_equal(result.error, 0);
	assert_int_equal(read_error(write_error(-ENOENT, NLM_F_ACK_TLVS | NLM_F_CAPPED, 4096, "no such set"), &result), 0);
	assert_int_equal(result.error, -ENOENT);
	assert_string_equal(result.explanation, "no such set");
	assert_int_equal(read_error(write_error(-EINVAL, NLM_F_ACK_TLVS, 21, "behind the request"), &result), 0);
	assert_string_equal(result.explanation, "behind the request");
	/* An echoed length that points beyond the end, up to wrapping: no explanation, the error counts. */
	for (uint32_t echoed = 64; echoed != 0; echoed <<= 1) {
		size_t length = write_error(-EPERM, NLM_F_ACK_TLVS | NLM_F_CAPPED, echoed, "x");

		((struct nlmsghdr *)(void *)memory)->nlmsg_flags = NLM_F_ACK_TLVS;
		assert_int_equal(read_error(length, &result), 0);
		assert_int_equal(result.error, -EPERM);
		assert_string_equal(result.explanation, "");
	}
	/* A text that does not fit, and errors of the wrong sign. */
	assert_int_equal(read_error(write_error(EPERM, NLM_F_ACK_TLVS | NLM_F_CAPPED, 16,
						"0123456789012345678901234567890123456789012345678901234567890123456789"
						"012345678901234567890123456789"),
				    &result),
			 0);
	assert_int_equal(result.error, -EPERM);
	assert_string_equal(result.explanation, "");
}

static void test_results_cut(void **state)
{
	struct nl_message message = { .type = NLMSG_ERROR, .flags = NLM_F_ACK_TLVS, .body = memory };
	struct nl_result result = { .error = 77 };
	static const int32_t done = -EINTR;

	(void)state;
	for (message.length = 0; message.length < sizeof(struct nlmsgerr); message.length++)
		assert_int_equal(nl_read_result(&message, &result), -EBADMSG);
	assert_int_equal(result.error, 77); /* untouched */
	message = (struct nl_message){ .type = NLMSG_DONE, .body = (const uint8_t *)&done, .length = 3 };
	assert_int_equal(nl_read_result(&message, &result), -EBADMSG);
	message.length = sizeof(done);
	assert_int_equal(nl_read_result(&message, &result), 0);
	assert_int_equal(result.error, -EINTR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_memory_that_ends),
		cmocka_unit_test(test_attribute_that_no_length_can_say),
		cmocka_unit_test(test_flags_are_added_to_the_newest_message),
		cmocka_unit_test(test_hostile_messages),
		cmocka_unit_test(test_hostile_attributes),
		cmocka_unit_test(test_sample_cut_anywhere),
		cmocka_unit_test(test_header_cut),
		cmocka_unit_test(test_values_of_a_wrong_size),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_results_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
