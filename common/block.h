/*
 * block: block-wise bodies of CoAP (RFC 7959), the part that needs no network.
 *
 * Both ends do blocks themselves: libcoap 4.3.5 puts no cap on a body and believes the size that
 * the sender announces. Here a body grows only by bytes that have arrived, in order (senders wait
 * for each block's answer), up to a cap of the owner's. Pure: memory only.
 */
#ifndef JAGA_COMMON_BLOCK_H
#define JAGA_COMMON_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_SZX_MAX 6 /* 1024 bytes; 7 is reserved (RFC 7959 section 2.2) */

struct block {
	uint32_t num; /* 20 bits */
	bool more;
	uint8_t szx;  /* size is 16 << szx */
};

static inline size_t block_size(uint8_t szx)
{
	return (size_t)16 << szx;
}

/* The value of a Block1 or Block2 option. -EBADMSG: longer than 3 bytes or the reserved size. */
int block_decode(const uint8_t *value, size_t length, struct block *ret_block);
/* Returns the number of bytes written, 0 to 3. */
size_t block_encode(const struct block *block, uint8_t ret_value[static 3]);

/* A body under construction. All zero but cap_bytes is a valid empty one. */
struct block_body {
	uint8_t *data;
	size_t length;
	size_t size;
	size_t cap_bytes;
	uint32_t next; /* number of the block that is wanted */
	uint8_t szx;   /* of the whole transfer, fixed by block 0 */
};

/*
 * Adds one block. Block 0 begins the body anew. -EALREADY: had it (answer as before); -EILSEQ: not
 * the next one, or of another size; -EBADMSG: not full although more follow, or too long;
 * -EMSGSIZE: above the cap; -ENOMEM. The body is unchanged on failure, except that a block 0 empties it.
 */
int block_body_add(struct block_body *body, const struct block *block, const uint8_t *bytes, size_t length);
void block_body_finish(struct block_body *body); /* frees and empties; the cap stays */

#endif
