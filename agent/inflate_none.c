/*
 * inflate_none: see inflate.h. Jobs come as they are.
 */
#include "agent/inflate.h"

#include <errno.h>

bool inflate_is_there(void)
{
	return false;
}

int inflate_bytes(const uint8_t *bytes, size_t length, size_t cap, uint8_t **ret_bytes, size_t *ret_length)
{
	(void)bytes;
	(void)length;
	(void)cap;
	(void)ret_bytes;
	(void)ret_length;
	return -ENOTSUP;
}
