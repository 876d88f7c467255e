/*
 * Fuzzes the putting together of block-wise bodies: records of an option value (length, bytes) and a payload
 * length. The body must stay within its cap and hold what was accepted, in order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/block.h"

#define CAP 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t payload[4096], model[CAP];
	struct block_body body = { .cap_bytes = CAP };
	size_t at = 0, model_length = 0;

	while (size - at >= 8) {
		size_t length = (size_t)(data[at + 5] | data[at + 6] << 8) % (sizeof(payload) + 1);
		uint8_t encoded[3];
		struct block block, again;

		memset(payload, data[at + 7], length);
		if (block_decode(data + at + 1, data[at] % 5, &block) == 0) {
			size_t n = block_encode(&block, encoded);

			if (block_decode(encoded, n, &again) || again.num != block.num ||
			    again.more != block.more || again.szx != block.szx)
				abort();
			if (block.num == 0 && length <= block_size(block.szx) &&
			    (!block.more || length == block_size(block.szx)))
				model_length = 0;
			if (block_body_add(&body, &block, payload, length) == 0) {
				memcpy(model + model_length, payload, length);
				model_length += length;
			}
			if (body.length != model_length || body.length > CAP || body.size > CAP ||
			    (model_length && memcmp(body.data, model, model_length) != 0))
				abort();
		}
		at += 8;
	}
	block_body_finish(&body);
	return 0;
}
