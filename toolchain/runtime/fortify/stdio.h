/* Bounded printing that traps when the bound is larger than the object; see string.h. */
#include_next <stdio.h>

#ifndef JAGA_FORTIFY_STDIO_H
#define JAGA_FORTIFY_STDIO_H

#include "jaga_fortify.h"

FORTIFY(int) snprintf(char *__restrict to, size_t n, const char *__restrict format, ...)
{
	FORTIFY_ROOM(to, n);
	return __builtin_snprintf(to, n, format, __builtin_va_arg_pack());
}

FORTIFY(int) vsnprintf(char *__restrict to, size_t n, const char *__restrict format, __builtin_va_list arguments)
{
	FORTIFY_ROOM(to, n);
	return __builtin_vsnprintf(to, n, format, arguments);
}

#endif
