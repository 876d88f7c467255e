/*
 * The decoder of RouterOS's API: whatever comes, told the same however it is cut, and no kept word above its limit.
 * The first byte of the input chooses the cut.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/router/ros_codec.h"

struct heard {
	uint64_t hash;
	size_t sentences, bulk_bytes;
};

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
	return hash;
}

static int on_sentence(void *arg, const struct ros_sentence *sentence)
{
	struct heard *heard = arg;

	heard->sentences++;
	heard->hash = mix(heard->hash, &sentence->reply, sizeof(sentence->reply));
	heard->hash = mix(heard->hash, &sentence->tag, sizeof(sentence->tag));
	for (size_t i = 0; i < sentence->count; i++) {
		const struct ros_attribute *attribute = &sentence->attributes[i];

		if (attribute->length > LIMIT_ROS_WORD_BYTES || attribute->value[attribute->length] != '\0')
			abort();
		heard->hash = mix(heard->hash, attribute->key, strlen(attribute->key) + 1);
		heard->hash = mix(heard->hash, attribute->value, attribute->length + 1);
	}
	if (ros_find(sentence, "ret") != NULL)
		heard->hash++;
	return 0;
}

static int on_bulk(void *arg, uint32_t tag, const char *key, const uint8_t *piece, size_t length, bool is_last)
{
	struct heard *heard = arg;

	if (length == 0 || strlen(key) > LIMIT_NAME)
		abort();
	heard->bulk_bytes += length;
	(void)tag, (void)piece, (void)is_last;
	return 0;
}

static int decode(const uint8_t *data, size_t size, size_t step, struct heard *heard)
{
	static const struct ros_events events = { on_sentence, on_bulk };
	struct ros_decoder *decoder = calloc(1, sizeof(*decoder));
	int rc = 0;

	if (decoder == NULL)
		abort();
	memset(heard, 0, sizeof(*heard));
	for (size_t at = 0; at < size && rc == 0; at += step)
		rc = ros_decode(decoder, data + at, size - at < step ? size - at : step, &events, heard, NULL);
	free(decoder);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct heard whole, cut;

	if (size < 1)
		return 0;
	if (decode(data + 1, size - 1, size, &whole) != decode(data + 1, size - 1, (size_t)data[0] + 1, &cut))
		abort();
	if (whole.sentences != cut.sentences || whole.hash != cut.hash || whole.bulk_bytes != cut.bulk_bytes)
		abort();
	return 0;
}
