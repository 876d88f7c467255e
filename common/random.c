/* random: see random.h. Called by the agent: probes, time-outs, the start of the link. */
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"

#ifndef GRND_INSECURE
#define GRND_INSECURE 4 /* since Linux 5.6 */
#endif

static bool read_urandom(void *bytes, size_t length)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, bytes, length);
	close(fd);
	return n == (ssize_t)length;
}

/* The last resort, without a device file on an old kernel: different each time, no more (Knuth's multiplier). */
static void fill_from_clock(uint8_t *bytes, size_t length)
{
	uint64_t state = (uint64_t)clock_mono_us() ^ (uint64_t)getpid() << 32;

	for (size_t i = 0; i < length; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(state >> 56);
	}
}

void random_fill(void *bytes, size_t length)
{
	/* GRND_INSECURE before the device: reading that one, new kernels stop to gather. */
	if (getrandom(bytes, length, GRND_NONBLOCK) != (ssize_t)length &&
	    getrandom(bytes, length, GRND_INSECURE) != (ssize_t)length && !read_urandom(bytes, length))
		fill_from_clock(bytes, length);
}

bool random_is_ready(void)
{
	uint8_t byte;

	/* A kernel that knows no such call has no such state either. */
	return getrandom(&byte, sizeof(byte), GRND_NONBLOCK) == sizeof(byte) || errno == ENOSYS;
}

int random_wait(void)
{
	uint8_t byte;
	ssize_t n;

	do
		n = getrandom(&byte, sizeof(byte), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(byte) || errno == ENOSYS ? 0 : -errno;
}
