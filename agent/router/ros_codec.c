/*
 * ros_codec: see ros_codec.h. The decoder is a machine of two nested parts:
 *
 *   length bytes -> word bytes -> (word done) -> ... -> empty word -> (sentence done)
 *
 * A word is copied to text, behind the words of its sentence; when it is done, its attribute points there. Of a
 * bulk word only the "=key=" is copied; everything behind it goes to on_bulk as it comes. A router decides how long a
 * word is, so each length is judged before one byte of the word is taken. Called by ros_api.c.
 */
#include "agent/router/ros_codec.h"

#include <errno.h>
#include <string.h>

#include "common/parse.h"

/* --- commands ---------------------------------------------------------------------------------- */

size_t ros_encode_length(uint32_t length, uint8_t ret_bytes[static 5])
{
	unsigned more = length < 0x80 ? 0 : length < 0x4000 ? 1 : length < 0x200000 ? 2 : length < 0x10000000 ? 3 : 4;
	static const uint8_t marks[] = { 0x00, 0x80, 0xc0, 0xe0, 0xf0 };

	for (unsigned i = 0; i <= more; i++)
		ret_bytes[i] = (uint8_t)((uint64_t)length >> (8 * (more - i)));
	ret_bytes[0] |= marks[more];
	return more + 1;
}

static void put_length(struct buf *out, size_t length)
{
	uint8_t bytes[5];

	if (length > UINT32_MAX) {
		out->failed = true;
		return;
	}
	buf_put(out, bytes, ros_encode_length((uint32_t)length, bytes));
}

void ros_put_word(struct buf *out, const char *word)
{
	put_length(out, strlen(word));
	buf_puts(out, word);
}

static void put_pair(struct buf *out, const char *mark, const char *key, const void *value, size_t length)
{
	put_length(out, strlen(mark) + strlen(key) + 1 + length);
	buf_puts(out, mark);
	buf_puts(out, key);
	buf_puts(out, "=");
	buf_put(out, value, length);
}

void ros_put_attribute(struct buf *out, const char *key, const void *value, size_t length)
{
	put_pair(out, "=", key, value, length);
}

void ros_put_text(struct buf *out, const char *key, const char *text)
{
	put_pair(out, "=", key, text, strlen(text));
}

void ros_put_query(struct buf *out, const char *key, const char *text)
{
	put_pair(out, "?", key, text, strlen(text));
}

void ros_put_tag(struct buf *out, uint32_t tag)
{
	char word[sizeof(".tag=4294967295")];
	struct buf text;

	buf_init(&text, word, sizeof(word));
	buf_printf(&text, ".tag=%u", tag);
	ros_put_word(out, word);
}

void ros_end_sentence(struct buf *out)
{
	put_length(out, 0);
}

/* --- words of a reply --------------------------------------------------------------------------- */

const char *ros_find(const struct ros_sentence *sentence, const char *key)
{
	for (size_t i = 0; i < sentence->count; i++)
		if (strcmp(sentence->attributes[i].key, key) == 0)
			return sentence->attributes[i].value;
	return NULL;
}

static int take_reply(struct ros_decoder *decoder, const char *word, struct err *err)
{
	static const char *const names[] = {
		[ROS_RE] = "!re", [ROS_DONE] = "!done", [ROS_TRAP] = "!trap", [ROS_FATAL] = "!fatal", [ROS_EMPTY] = "!empty",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(word, names[i]) != 0)
			continue;
		decoder->sentence.reply = (enum ros_reply)i;
		decoder->has_reply = true;
		return 0;
	}
	return err_set(err, -EPROTO, "the API answers with a word that is no reply; is that port the API's?");
}

static int add_attribute(struct ros_decoder *decoder, const char *key, const char *value, size_t length, struct err *err)
{
	struct ros_sentence *sentence = &decoder->sentence;

	if (sentence->count == LIMIT_ROS_ATTRIBUTES)
		return err_set(err, -EMSGSIZE, "the API sends a sentence of more than %d words", LIMIT_ROS_ATTRIBUTES);
	sentence->attributes[sentence->count++] = (struct ros_attribute){ key, value, length };
	return 0;
}

/* The word at word_start is whole, and has its NUL. */
static int take_word(struct ros_decoder *decoder, struct err *err)
{
	char *word = decoder->text + decoder->word_start;
	size_t length = decoder->text_length - decoder->word_start - 1;
	char *equals;

	if (!decoder->has_reply)
		return take_reply(decoder, word, err);
	if (strncmp(word, ".tag=", 5) == 0) {
		/* The tags are ours: decimal, never 0. */
		if (parse_u32(word + 5, 1, UINT32_MAX, &decoder->sentence.tag) < 0)
			return err_set(err, -EPROTO, "the API answers to a tag that was never used");
		decoder->sentence.is_tag_late = decoder->sentence.count > 0 || decoder->bulk_bytes > 0;
		return 0;
	}
	if (word[0] != '=')
		return add_attribute(decoder, "", word, length, err);
	equals = memchr(word + 1, '=', length - 1);
	if (equals == NULL) /* "=key": as the manual writes an attribute without a value */
		return add_attribute(decoder, word + 1, word + length, 0, err);
	*equals = '\0';
	return add_attribute(decoder, word + 1, equals + 1, length - (size_t)(equals + 1 - word), err);
}

static int end_sentence(struct ros_decoder *decoder, const struct ros_events *events, void *arg)
{
	int rc = 0;

	if (decoder->has_reply) /* an empty sentence means nothing */
		rc = events->on_sentence(arg, &decoder->sentence);
	decoder->has_reply = false;
	decoder->text_length = 0;
	decoder->bulk_bytes = 0;
	decoder->sentence.count = 0;
	decoder->sentence.tag = 0;
	decoder->sentence.is_tag_late = false;
	return rc;
}

/* --- bytes -------------------------------------------------------------------------------------- */

/* The length of a word is known: can the word be taken? */
static int begin_word(struct ros_decoder *decoder, struct err *err)
{
	bool is_bulk = decoder->head > LIMIT_ROS_WORD_BYTES;

	if (is_bulk && (!decoder->has_reply || decoder->head > LIMIT_ROS_BULK_BYTES - decoder->bulk_bytes))
		return err_set(err, -EMSGSIZE, "the API announces a word of %u bytes", decoder->head);
	if ((is_bulk ? LIMIT_NAME + 2 : decoder->head + 1) > sizeof(decoder->text) - decoder->text_length)
		return err_set(err, -EMSGSIZE, "the API sends a sentence of more than %zu bytes", sizeof(decoder->text));
	decoder->in_word = true;
	decoder->word_left = decoder->head;
	decoder->word_start = decoder->text_length;
	decoder->bulk_key = 0;
	if (is_bulk)
		decoder->bulk_bytes += decoder->head;
	return 0;
}

static int take_head_byte(struct ros_decoder *decoder, uint8_t byte, struct err *err)
{
	if (decoder->head_bytes == 0) {
		decoder->head_wanted = byte < 0x80 ? 1 : byte < 0xc0 ? 2 : byte < 0xe0 ? 3 : byte < 0xf0 ? 4 : 5;
		if (byte > 0xf0)
			return err_set(err, -EPROTO, "the API sends the reserved length byte 0x%02x; is that port the API's?", byte);
		/* Five bytes: the first has only its mark. */
		decoder->head = decoder->head_wanted == 5 ? 0 : byte & (0xffu >> decoder->head_wanted);
	} else {
		decoder->head = decoder->head << 8 | byte;
	}
	decoder->head_bytes++;
	return 0;
}

/* Keeps bytes of the word as text. */
static void keep(struct ros_decoder *decoder, const uint8_t *bytes, size_t length)
{
	memcpy(decoder->text + decoder->text_length, bytes, length);
	decoder->text_length += length;
	decoder->word_left -= length;
}

/* A byte of the "=key=" before a bulk value. */
static int take_key_byte(struct ros_decoder *decoder, uint8_t byte, struct err *err)
{
	size_t at = decoder->text_length - decoder->word_start;
	bool is_end = at > 0 && byte == '=';

	if ((at == 0 && byte != '=') || byte == '\0' || at > LIMIT_NAME)
		return err_set(err, -EPROTO, "the API sends a word of %u bytes that is no attribute", decoder->head);
	if (is_end) {
		byte = '\0';
		decoder->bulk_key = decoder->word_start + 1;
	}
	keep(decoder, &byte, 1);
	return 0;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Takes what it can of the bytes of a word; at its end, closes it. */
static int take_bytes(struct ros_decoder *decoder, const uint8_t *bytes, size_t length, size_t *ret_taken,
		      const struct ros_events *events, void *arg, struct err *err)
{
	bool is_bulk = decoder->head > LIMIT_ROS_WORD_BYTES;
	int rc = 0;

	*ret_taken = is_bulk && decoder->bulk_key == 0 ? min_size(length, 1) : min_size(length, decoder->word_left);
	if (!is_bulk)
		keep(decoder, bytes, *ret_taken);
	else if (decoder->bulk_key == 0)
		rc = take_key_byte(decoder, bytes[0], err);
	else {
		decoder->word_left -= *ret_taken;
		rc = events->on_bulk(arg, decoder->sentence.tag, decoder->text + decoder->bulk_key, bytes, *ret_taken,
				     decoder->word_left == 0);
	}
	if (rc < 0 || decoder->word_left > 0)
		return rc;

	decoder->in_word = false;
	if (is_bulk) {
		decoder->text_length = decoder->word_start;
		return 0;
	}
	decoder->text[decoder->text_length++] = '\0';
	return take_word(decoder, err);
}

int ros_decode(struct ros_decoder *decoder, const void *bytes, size_t length, const struct ros_events *events, void *arg,
	       struct err *err)
{
	const uint8_t *next = bytes, *end = next + length;
	size_t taken;
	int rc = 0;

	while (next < end && rc == 0) {
		if (decoder->in_word) {
			rc = take_bytes(decoder, next, (size_t)(end - next), &taken, events, arg, err);
			next += taken;
			continue;
		}
		rc = take_head_byte(decoder, *next++, err);
		if (rc < 0 || decoder->head_bytes < decoder->head_wanted)
			continue;
		decoder->head_bytes = 0;
		rc = decoder->head == 0 ? end_sentence(decoder, events, arg) : begin_word(decoder, err);
	}
	return rc;
}
