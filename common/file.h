/* file: what write(2) does not promise. */
#ifndef JAGA_COMMON_FILE_H
#define JAGA_COMMON_FILE_H

#include <stddef.h>

/* Writes all of it to a blocking descriptor, over short writes and signals. 0 or negative errno. */
int file_write_all(int fd, const void *bytes, size_t length);

#endif
