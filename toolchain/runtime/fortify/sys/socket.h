/* recv() and recvfrom() that trap when they are given more bytes than the object has; see ../string.h. */
#include_next <sys/socket.h>

#ifndef JAGA_FORTIFY_SYS_SOCKET_H
#define JAGA_FORTIFY_SYS_SOCKET_H

#include "../jaga_fortify.h"

ssize_t jaga_real_recv(int fd, void *to, size_t n, int flags) __asm__("recv");
ssize_t jaga_real_recvfrom(int fd, void *__restrict to, size_t n, int flags, struct sockaddr *__restrict peer,
			   socklen_t *__restrict peer_bytes) __asm__("recvfrom");

FORTIFY(ssize_t) recv(int fd, void *to, size_t n, int flags)
{
	FORTIFY_ROOM(to, n);
	return jaga_real_recv(fd, to, n, flags);
}

FORTIFY(ssize_t) recvfrom(int fd, void *__restrict to, size_t n, int flags, struct sockaddr *__restrict peer,
			  socklen_t *__restrict peer_bytes)
{
	FORTIFY_ROOM(to, n);
	return jaga_real_recvfrom(fd, to, n, flags, peer, peer_bytes);
}

#endif
