/* ros_codec: lengths at every border, replies in every cut, and what no honest router sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/ros_codec.h"

/* What the decoder told, as text: one line a sentence, "<key:length>" for a bulk value that is whole. */
struct heard {
	char text[4096];
	size_t length;
	size_t bulk_bytes;
	uint32_t bulk_tag;
	uint8_t last;
};

static void __attribute__((format(printf, 2, 3))) hear(struct heard *heard, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	heard->length += (size_t)vsnprintf(heard->text + heard->length, sizeof(heard->text) - heard->length, format, args);
	va_end(args);
	assert_true(heard->length < sizeof(heard->text));
}

static int on_sentence(void *arg, const struct ros_sentence *sentence)
{
	hear(arg, "%d/%u", (int)sentence->reply, sentence->tag);
	for (size_t i = 0; i < sentence->count; i++)
		hear(arg, " %s=%s(%zu)", sentence->attributes[i].key, sentence->attributes[i].value,
		     sentence->attributes[i].length);
	hear(arg, "\n");
	return strstr(((struct heard *)arg)->text, "stop") != NULL ? -ECANCELED : 0;
}

static int on_bulk(void *arg, uint32_t tag, const char *key, const uint8_t *piece, size_t length, bool is_last)
{
	struct heard *heard = arg;

	assert_true(length > 0);
	heard->bulk_bytes += length;
	heard->bulk_tag = tag;
	heard->last = piece[length - 1];
	if (is_last)
		hear(heard, "<%s:%zu>", key, heard->bulk_bytes);
	return 0;
}

static const struct ros_events events = { on_sentence, on_bulk };

static int decode(struct heard *heard, const void *bytes, size_t length, size_t step, struct err *err)
{
	struct ros_decoder *decoder = calloc(1, sizeof(*decoder));
	int rc = 0;

	memset(heard, 0, sizeof(*heard));
	assert_non_null(decoder);
	for (size_t at = 0; at < length && rc == 0; at += step) {
		size_t part = length - at < step ? length - at : step;
		uint8_t *copy = malloc(part); /* exactly: what is read behind it is found */

		assert_non_null(copy);
		memcpy(copy, (const uint8_t *)bytes + at, part);
		rc = ros_decode(decoder, copy, part, &events, heard, err);
		free(copy);
	}
	free(decoder);
	return rc;
}

static void test_lengths(void **state)
{
	static const struct {
		uint32_t length;
		uint8_t bytes[5];
		size_t count;
	} rows[] = {
		{ 0, { 0 }, 1 },
		{ 0x7f, { 0x7f }, 1 },
		{ 0x80, { 0x80, 0x80 }, 2 },
		{ 0x3fff, { 0xbf, 0xff }, 2 },
		{ 0x4000, { 0xc0, 0x40, 0x00 }, 3 },
		{ 0x1fffff, { 0xdf, 0xff, 0xff }, 3 },
		{ 0x200000, { 0xe0, 0x20, 0x00, 0x00 }, 4 },
		{ 0xfffffff, { 0xef, 0xff, 0xff, 0xff }, 4 },
		{ 0x10000000, { 0xf0, 0x10, 0x00, 0x00, 0x00 }, 5 },
		{ 0xffffffff, { 0xf0, 0xff, 0xff, 0xff, 0xff }, 5 },
	};
	uint8_t bytes[5];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(ros_encode_length(rows[i].length, bytes), rows[i].count);
		assert_memory_equal(bytes, rows[i].bytes, rows[i].count);
	}
}

/* The manual's example of a command, byte for byte. */
static void test_command(void **state)
{
	char space[64];
	struct buf out;

	(void)state;
	buf_init(&out, space, sizeof(space));
	ros_put_word(&out, "/user/set");
	ros_put_attribute(&out, "name", "a\0b", 3);
	ros_put_tag(&out, 7);
	ros_end_sentence(&out);
	assert_false(out.failed);
	assert_int_equal(out.length, 10 + 10 + 7 + 1);
	assert_memory_equal(space, "\x09/user/set\x09=name=a\0b\x06.tag=7", 28);

	buf_init(&out, space, sizeof(space));
	ros_put_text(&out, "name", "ab");
	ros_put_query(&out, ".id", "*1A");
	ros_put_query(&out, "comment", ""); /* of which it is empty */
	assert_int_equal(out.length, 9 + 9 + 10);
	assert_memory_equal(space, "\x08=name=ab\x08?.id=*1A\x09?comment=", 28);

	buf_init(&out, space, 8);
	ros_put_word(&out, "/user/set");
	assert_true(out.failed);
}

static void test_replies_in_every_cut(void **state)
{
	static const char stream[] = "\x03!re\x06.tag=2\x07=.id=*1\x0c=comment=a=b\x09=disabled\x0a=slot=\0\0\0\0\0"
				     "\x00" /* an empty sentence means nothing */
				     "\x06!empty\x06.tag=2\x00"
				     "\x05!trap\x06.tag=3\x0b=message=no\x00"
				     "\x05!done\x0f.tag=4294967295\x00"
				     "\x06!fatal\x0bnot allowed\x00";
	static const char wanted[] = "0/2 .id=*1(2) comment=a=b(3) disabled=(0) slot=(4)\n4/2\n2/3 message=no(2)\n"
				     "1/4294967295\n3/0 =not allowed(11)\n";
	struct heard heard;

	(void)state;
	for (size_t step = 1; step <= sizeof(stream); step++) {
		assert_int_equal(decode(&heard, stream, sizeof(stream) - 1, step, NULL), 0);
		assert_string_equal(heard.text, wanted);
	}
}

/* An export of 400 KB in one word, between short ones, takes no memory for its size. */
static void test_bulk(void **state)
{
	static const size_t steps[] = { 1, 7, 1000, 4096, 500000 };
	const size_t size = 400000;
	char *stream = malloc(size + 64), *text = malloc(size);
	struct heard heard;
	struct buf out;

	(void)state;
	assert_true(stream && text);
	buf_init(&out, stream, size + 64);
	ros_put_word(&out, "!done");
	ros_put_tag(&out, 9);
	memset(text, 'x', size);
	text[size - 1] = '=';
	ros_put_attribute(&out, "ret", text, size);
	ros_put_attribute(&out, "more", "1", 1);
	ros_end_sentence(&out);
	assert_false(out.failed);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		assert_int_equal(decode(&heard, stream, out.length, steps[i], NULL), 0);
		assert_string_equal(heard.text, "<ret:400000>1/9 more=1(1)\n");
		assert_int_equal(heard.bulk_tag, 9);
		assert_int_equal(heard.last, '=');
	}
	free(text);
	free(stream);
}

static void test_border_of_bulk(void **state)
{
	for (size_t length = LIMIT_ROS_WORD_BYTES - 1; length <= LIMIT_ROS_WORD_BYTES + 1; length++) {
		bool is_bulk = length > LIMIT_ROS_WORD_BYTES;
		char value[LIMIT_ROS_WORD_BYTES], stream[LIMIT_ROS_WORD_BYTES + 64];
		struct heard heard;
		struct buf out;

		(void)state;
		memset(value, 'v', sizeof(value));
		buf_init(&out, stream, sizeof(stream));
		ros_put_word(&out, "!re");
		ros_put_attribute(&out, "d", value, length - 3);
		ros_end_sentence(&out);
		assert_int_equal(decode(&heard, stream, out.length, 1, NULL), 0);
		assert_int_equal(heard.bulk_bytes, is_bulk ? length - 3 : 0);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		int rc;
		const char *says;
	} rows[] = {
		{ "\xf8", 1, -EPROTO, "reserved length byte 0xf8" },
		{ "\xf1", 1, -EPROTO, "reserved length byte 0xf1" },
		{ "HTTP/1.1 400 Bad Request\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 75, -EPROTO, "is that port the API's" },
		{ "\x04!foo", 5, -EPROTO, "no reply" },
		{ "\xf0\xff\xff\xff\xff", 5, -EMSGSIZE, "4294967295 bytes" }, /* also without a reply before it */
		{ "\x03!re\xf0\xff\xff\xff\xff", 9, -EMSGSIZE, "4294967295 bytes" },
		{ "\x03!re\xc4\x00\x00"
		  "abc", 10, -EPROTO, "no attribute" },
		{ "\x03!re\xc4\x00\x00"
		  "=a\0b", 11, -EPROTO, "no attribute" },
		{ "\x03!re\xc4\x00\x00=kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 64, -EPROTO, "no attribute" },
		{ "\x03!re\x06.tag=0", 11, -EPROTO, "never used" },
		{ "\x03!re\x06.tag=x", 11, -EPROTO, "never used" },
	};
	struct heard heard;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= rows[i].length; step++) {
			assert_int_equal(decode(&heard, rows[i].bytes, rows[i].length, step, &err), rows[i].rc);
			assert_non_null(strstr(err.text, rows[i].says));
		}
}

/* Memory and patience end: words without end, bytes without end, bulk without end. */
static void test_endless_sentences(void **state)
{
	struct ros_decoder *decoder = calloc(1, sizeof(*decoder));
	struct heard heard = { .length = 0 };
	size_t words = 0;
	struct err err;
	int rc;

	(void)state;
	assert_non_null(decoder);
	assert_int_equal(ros_decode(decoder, "\x03!re", 4, &events, &heard, &err), 0);
	while ((rc = ros_decode(decoder, "\x02=a", 3, &events, &heard, &err)) == 0)
		assert_true(++words <= LIMIT_ROS_ATTRIBUTES);
	assert_int_equal(rc, -EMSGSIZE);
	assert_int_equal(words, LIMIT_ROS_ATTRIBUTES);

	memset(decoder, 0, sizeof(*decoder));
	words = 0;
	assert_int_equal(ros_decode(decoder, "\x03!re", 4, &events, &heard, &err), 0);
	while ((rc = ros_decode(decoder, "\xc8\x00\x00=k=", 6, &events, &heard, &err)) == 0) {
		static const uint8_t zeros[0x80000 - 3];

		assert_int_equal(ros_decode(decoder, zeros, sizeof(zeros), &events, &heard, &err), 0);
		assert_true(++words <= LIMIT_ROS_BULK_BYTES / 0x80000);
	}
	assert_int_equal(rc, -EMSGSIZE);
	assert_int_equal(words, LIMIT_ROS_BULK_BYTES / 0x80000);
	free(decoder);
}

static void test_a_listener_can_stop(void **state)
{
	static const char stream[] = "\x06!fatal\x04stop\x00\x05!done\x00";
	struct heard heard;

	(void)state;
	assert_int_equal(decode(&heard, stream, sizeof(stream) - 1, sizeof(stream), NULL), -ECANCELED);
	assert_string_equal(heard.text, "3/0 =stop(4)\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_replies_in_every_cut),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_border_of_bulk),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_endless_sentences),
		cmocka_unit_test(test_a_listener_can_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
