/*
 * What stands for FORTIFY on musl, which has none: a copy that would leave an object whose size the compiler knows
 * traps. Where the size is not known, or the length is known to fit, nothing is added. The compiler that
 * toolchain/sysroot.sh writes finds this folder before musl's headers; stdio.h, unistd.h and sys/socket.h do the same
 * for theirs. tests/toolchain proves each of them.
 */
#include_next <string.h>

#ifndef JAGA_FORTIFY_STRING_H
#define JAGA_FORTIFY_STRING_H

#include "jaga_fortify.h"

FORTIFY(void *) memcpy(void *__restrict to, const void *__restrict from, size_t n)
{
	FORTIFY_ROOM(to, n);
	FORTIFY_ROOM(from, n);
	return __builtin_memcpy(to, from, n);
}

FORTIFY(void *) memmove(void *to, const void *from, size_t n)
{
	FORTIFY_ROOM(to, n);
	FORTIFY_ROOM(from, n);
	return __builtin_memmove(to, from, n);
}

FORTIFY(void *) memset(void *to, int byte, size_t n)
{
	FORTIFY_ROOM(to, n);
	return __builtin_memset(to, byte, n);
}

FORTIFY(char *) strcpy(char *__restrict to, const char *__restrict from)
{
	FORTIFY_ROOM(to, __builtin_strlen(from) + 1);
	return __builtin_strcpy(to, from);
}

FORTIFY(char *) strncpy(char *__restrict to, const char *__restrict from, size_t n)
{
	FORTIFY_ROOM(to, n);
	return __builtin_strncpy(to, from, n);
}

#endif
