/* file: what write(2) and bind(2) do not promise. */
#ifndef JAGA_COMMON_FILE_H
#define JAGA_COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes all of it to a blocking descriptor, over short writes and signals. 0 or negative errno. */
int file_write_all(int fd, const void *bytes, size_t length);
/*
 * Whether a process accepts connections at this Unix socket: bind(2) cannot tell a socket in use from one
 * that a crash has left behind. A path that is too long or no socket is answered by nobody.
 */
bool file_socket_answers(const char *path);

#endif
