/*
 * block: see block.h. A transfer is stop-and-wait, so a block is the next one, a repetition (its
 * answer was lost), or nonsense; there is no map of holes. Memory doubles from one block up to the
 * cap: an announced size is never believed.
 */
#include "common/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 2048 /* most bodies of more than one block fit */

int block_decode(const uint8_t *value, size_t length, struct block *ret_block)
{
	uint32_t bits = 0;

	if (length > 3)
		return -EBADMSG;
	for (size_t i = 0; i < length; i++)
		bits = bits << 8 | value[i];
	if ((bits & 7) > BLOCK_SZX_MAX)
		return -EBADMSG;
	*ret_block = (struct block){ .num = bits >> 4, .more = bits & 8, .szx = bits & 7 };
	return 0;
}

size_t block_encode(const struct block *block, uint8_t ret_value[static 3])
{
	uint32_t bits = block->num << 4 | (block->more ? 8u : 0u) | block->szx;
	size_t length = bits > 0xffff ? 3 : bits > 0xff ? 2 : bits ? 1 : 0;

	for (size_t i = 0; i < length; i++)
		ret_value[i] = (uint8_t)(bits >> 8 * (length - 1 - i));
	return length;
}

static int reserve(struct block_body *body, size_t wanted)
{
	size_t size = body->size ? body->size : FIRST_BYTES;
	uint8_t *data;

	if (wanted > body->cap_bytes)
		return -EMSGSIZE;
	if (wanted <= body->size)
		return 0;
	while (size < wanted)
		size *= 2;
	if (size > body->cap_bytes)
		size = body->cap_bytes;
	data = realloc(body->data, size);
	if (!data)
		return -ENOMEM;
	body->data = data;
	body->size = size;
	return 0;
}

int block_body_add(struct block_body *body, const struct block *block, const uint8_t *bytes, size_t length)
{
	int result;

	if (length > block_size(block->szx) || (block->more && length != block_size(block->szx)))
		return -EBADMSG;
	if (block->num == 0) {
		body->length = 0;
		body->next = 0;
		body->szx = block->szx;
	}
	if (block->szx != body->szx || block->num > body->next)
		return -EILSEQ;
	if (block->num < body->next)
		return -EALREADY;
	result = reserve(body, body->length + length);
	if (result)
		return result;
	if (length)
		memcpy(body->data + body->length, bytes, length);
	body->length += length;
	body->next++;
	return 0;
}

void block_body_finish(struct block_body *body)
{
	if (body->data)
		explicit_bzero(body->data, body->length); /* it may have been a job: scripts hold passwords */
	free(body->data);
	*body = (struct block_body){ .cap_bytes = body->cap_bytes };
}
