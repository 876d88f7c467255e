/* read() that traps when it is given more bytes than the object has; see string.h. */
#include_next <unistd.h>

#ifndef JAGA_FORTIFY_UNISTD_H
#define JAGA_FORTIFY_UNISTD_H

#include "jaga_fortify.h"

/* The function itself, under a name that the definition below does not take. */
ssize_t jaga_real_read(int fd, void *to, size_t n) __asm__("read");

FORTIFY(ssize_t) read(int fd, void *to, size_t n)
{
	FORTIFY_ROOM(to, n);
	return jaga_real_read(fd, to, n);
}

#endif
