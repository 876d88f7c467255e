/*
 * ros_codec: the wire format of RouterOS's API (MikroTik's manual, "API": protocol). Pure: memory only.
 *
 *   sentence = word... empty word        word = length, bytes
 *   length   0xxxxxxx | 10xxxxxx + 1 | 110xxxxx + 2 | 1110xxxx + 3 | 11110000 + 4 bytes, big-endian; 0xF8.. is reserved
 *
 * A command is "/path/verb", then "=key=value", "?query" and ".tag=N" words. A reply is one of !re !done !trap !fatal
 * !empty, then ".tag=N" and "=key=value"; after !fatal comes a bare reason.
 *
 * The decoder takes bytes as they come, and its memory does not depend on what a router sends: words up to
 * LIMIT_ROS_WORD_BYTES are kept until their sentence is whole; the value of a longer one (an export of 400 KB in =ret=)
 * is handed on in pieces, before its sentence.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_CODEC_H
#define JAGA_AGENT_ROUTER_ROS_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/limits.h"

/* --- commands ---------------------------------------------------------------------------------- */

/* The bytes of a word's length. Returns how many, 1 to 5. */
size_t ros_encode_length(uint32_t length, uint8_t ret_bytes[static 5]);

/* Add to a sentence under construction; what does not fit sets out->failed. `value` may hold any byte. */
void ros_put_word(struct buf *out, const char *word);
void ros_put_attribute(struct buf *out, const char *key, const void *value, size_t length);
void ros_put_text(struct buf *out, const char *key, const char *text);	/* "=key=text" */
void ros_put_query(struct buf *out, const char *key, const char *text); /* "?key=text": rows of which that is so */
void ros_put_tag(struct buf *out, uint32_t tag);
void ros_end_sentence(struct buf *out);

/* --- replies ----------------------------------------------------------------------------------- */

enum ros_reply { ROS_RE, ROS_DONE, ROS_TRAP, ROS_FATAL, ROS_EMPTY };

struct ros_attribute {
	const char *key;   /* without "=", NUL-terminated; "" for a bare word (the reason after !fatal) */
	const char *value; /* NUL-terminated; holds other NULs when the router sent some */
	size_t length;	   /* of value */
};

struct ros_sentence {
	enum ros_reply reply;
	uint32_t tag; /* 0: none */
	bool is_tag_late; /* it stood behind an attribute */
	size_t count;
	struct ros_attribute attributes[LIMIT_ROS_ATTRIBUTES]; /* bulk values are not among them */
};

/* The value of a key, or NULL. */
const char *ros_find(const struct ros_sentence *sentence, const char *key);

struct ros_events { /* arg: that of ros_decode. Return 0, or a negative errno that ros_decode stops with. */
	/* A sentence is whole. It points into the decoder, until this returns. */
	int (*on_sentence)(void *arg, const struct ros_sentence *sentence);
	/* The next piece of a value too long to keep; tag as far as the sentence has told it (0: not yet). */
	int (*on_bulk)(void *arg, uint32_t tag, const char *key, const uint8_t *piece, size_t length, bool is_last);
};

struct ros_decoder { /* all zero: before the first sentence */
	/* the word under way */
	uint8_t head_bytes;  /* of its length that have come; 0: none */
	uint8_t head_wanted; /* 1 to 5 */
	bool in_word;
	uint32_t head;	 /* its length, as far as it has come */
	size_t word_left;    /* bytes of it that have not come */
	size_t word_start;   /* where it lies in text */
	size_t bulk_key;     /* where the key of a bulk value lies in text; 0: the word is not bulk */
	/* the sentence under way */
	bool has_reply;
	size_t text_length;
	size_t bulk_bytes;
	struct ros_sentence sentence;
	char text[LIMIT_ROS_SENTENCE_BYTES]; /* its words, each with a NUL */
};

/*
 * Takes all bytes. -EPROTO: not the API, -EMSGSIZE: above a limit; err says what was seen. After a failure the position in
 * the stream is lost: close the connection and start with an empty decoder.
 */
int ros_decode(struct ros_decoder *decoder, const void *bytes, size_t length, const struct ros_events *events, void *arg,
	       struct err *err);

#endif
