/*
 * skipclock: an LD_PRELOAD library that lets a day pass in minutes. The programs are real, so are
 * kernel, network and collector; only the time in which the agent would sleep is left out.
 *
 * All clocks of the programs under it are the kernel's plus one offset that they share (the file that
 * SKIPCLOCK names). One program leads (SKIPCLOCK_LEAD=1, the agent): when it is about to wait and
 * nothing can be on its way to it, the offset grows by what it would have waited. The others follow
 * and look at the clock again every few milliseconds. Nothing is hurried: round trips, handshakes,
 * commits and children take their true time, so that no time-out fires that would not fire in a slow
 * day. At the virtual time `until_us` of the file the skipping ends and time runs as usual.
 *
 * On its way is what was sent by a datagram socket and not yet answered, for as long as a grace lasts;
 * a socket whose grace once ended (its line is cut) is not waited for until it has heard something.
 * Timers of timerfd_settime() are armed anew when the clock has passed them.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FDS 256
#define PING_GRACE_US 50000	 /* a reply within one machine takes a millisecond */
#define DATAGRAM_GRACE_US 3000000 /* the collector answers after a commit to disk */
#define QUIET_US 10000		 /* after a datagram: a second answer may follow the first */
#define FOLLOW_MS 10		 /* how often a follower looks at the clock */

/* The file; tests/bench/day.py has the same list. */
struct shared {
	int64_t offset_us;
	int64_t until_us; /* virtual CLOCK_MONOTONIC */
	int64_t skips;
	int64_t heap_in_use_bytes, heap_held_bytes; /* of the leader, when it had reached until_us */
	int64_t reached_us; /* the until_us that those are of */
};

static struct shared nowhere;
static struct shared *shared = &nowhere;
static bool is_leader;
static int children;

static struct descriptor {
	enum { OTHER, PING, DATAGRAM } kind;
	bool is_deaf;
	int awaited;
	int64_t sent_us, heard_us;
	int64_t timer_us; /* virtual; 0: not a timer, or not set */
} descriptors[FDS];

#define REAL(name) ((__typeof__(&name))real_##name)
#define DECLARE_REAL(name) static void *real_##name
DECLARE_REAL(epoll_wait);
DECLARE_REAL(socket);
DECLARE_REAL(close);
DECLARE_REAL(send);
DECLARE_REAL(sendto);
DECLARE_REAL(sendmsg);
DECLARE_REAL(recv);
DECLARE_REAL(recvfrom);
DECLARE_REAL(recvmsg);
DECLARE_REAL(timerfd_settime);
DECLARE_REAL(fork);
DECLARE_REAL(waitpid);

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("SKIPCLOCK");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory != MAP_FAILED)
		shared = memory;
	is_leader = memory != MAP_FAILED && getenv("SKIPCLOCK_LEAD") != NULL;
	unsetenv("SKIPCLOCK_LEAD"); /* not for its children */
#define FIND_REAL(name) real_##name = dlsym(RTLD_NEXT, #name)
	FIND_REAL(epoll_wait);
	FIND_REAL(socket);
	FIND_REAL(close);
	FIND_REAL(send);
	FIND_REAL(sendto);
	FIND_REAL(sendmsg);
	FIND_REAL(recv);
	FIND_REAL(recvfrom);
	FIND_REAL(recvmsg);
	FIND_REAL(timerfd_settime);
	FIND_REAL(fork);
	FIND_REAL(waitpid);
}

/* --- clocks ---------------------------------------------------------------------------------------- */

static int64_t real_us(void)
{
	struct timespec now;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t read_offset_us(void)
{
	return __atomic_load_n(&shared->offset_us, __ATOMIC_ACQUIRE);
}

static int64_t virtual_us(void)
{
	return real_us() + read_offset_us();
}

int clock_gettime(clockid_t id, struct timespec *ret_time)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret_time);
	int64_t offset_us = read_offset_us();

	if (r != 0 || id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID)
		return r;
	ret_time->tv_sec += offset_us / 1000000;
	ret_time->tv_nsec += offset_us % 1000000 * 1000;
	if (ret_time->tv_nsec >= 1000000000) {
		ret_time->tv_nsec -= 1000000000;
		ret_time->tv_sec++;
	}
	return 0;
}

int gettimeofday(struct timeval *restrict ret_time, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret_time = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *ret_time)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret_time)
		*ret_time = now.tv_sec;
	return now.tv_sec;
}

/* --- what is on its way ------------------------------------------------------------------------------ */

int socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol), base = type & 0xf;

	if (fd < 0 || fd >= FDS)
		return fd;
	descriptors[fd] = (struct descriptor){ .kind = OTHER };
	if ((domain == AF_INET || domain == AF_INET6) && (base == SOCK_DGRAM || base == SOCK_RAW))
		descriptors[fd].kind = protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ? PING : DATAGRAM;
	return fd;
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS)
		descriptors[fd] = (struct descriptor){ .kind = OTHER };
	return REAL(close)(fd);
}

static ssize_t note_sent(int fd, ssize_t n)
{
	if (n > 0 && fd < FDS && descriptors[fd].kind != OTHER) {
		descriptors[fd].awaited++;
		descriptors[fd].sent_us = real_us();
	}
	return n;
}

static ssize_t note_heard(int fd, ssize_t n)
{
	struct descriptor *descriptor = &descriptors[fd < FDS ? fd : 0];

	if (n < 0 || fd >= FDS || descriptor->kind == OTHER)
		return n;
	descriptor->is_deaf = false;
	descriptor->heard_us = real_us();
	if (descriptor->kind == DATAGRAM)
		descriptor->awaited = 0;
	else if (descriptor->awaited > 0)
		descriptor->awaited--;
	return n;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	return note_sent(fd, REAL(send)(fd, bytes, length, flags));
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
	return note_sent(fd, REAL(sendto)(fd, bytes, length, flags, to, to_length));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	return note_sent(fd, REAL(sendmsg)(fd, message, flags));
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
	return note_heard(fd, REAL(recv)(fd, bytes, length, flags));
}

ssize_t recvfrom(int fd, void *restrict bytes, size_t length, int flags, struct sockaddr *restrict from,
		 socklen_t *restrict from_length)
{
	return note_heard(fd, REAL(recvfrom)(fd, bytes, length, flags, from, from_length));
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	return note_heard(fd, REAL(recvmsg)(fd, message, flags));
}

pid_t fork(void)
{
	pid_t pid = REAL(fork)();

	if (pid > 0)
		children++;
	if (pid == 0)
		is_leader = false;
	return pid;
}

pid_t waitpid(pid_t pid, int *ret_status, int options)
{
	pid_t r = REAL(waitpid)(pid, ret_status, options);

	if (r > 0 && (!ret_status || WIFEXITED(*ret_status) || WIFSIGNALED(*ret_status)))
		children--;
	return r;
}

/* Microseconds of true time for which an answer may still come; 0: none is expected. */
static int64_t grace_us(int64_t now_us)
{
	int64_t longest_us = children > 0 ? FOLLOW_MS * 1000 : 0;

	for (int fd = 0; fd < FDS; fd++) {
		struct descriptor *descriptor = &descriptors[fd];
		int64_t left_us = descriptor->sent_us - now_us +
				  (descriptor->kind == PING ? PING_GRACE_US : DATAGRAM_GRACE_US);

		if (descriptor->kind == OTHER)
			continue;
		if (descriptor->awaited > 0 && left_us <= 0)
			descriptor->is_deaf = true;
		if (descriptor->is_deaf)
			descriptor->awaited = 0;
		if (descriptor->awaited == 0)
			left_us = descriptor->kind == DATAGRAM && descriptor->heard_us > 0
					  ? descriptor->heard_us - now_us + QUIET_US : 0;
		if (left_us > longest_us)
			longest_us = left_us;
	}
	return longest_us;
}

/* --- timers and waiting ------------------------------------------------------------------------------ */

static int64_t to_us(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000 + time->tv_nsec / 1000;
}

/* One-shot timers only, which is what libcoap sets. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *ret_old)
{
	struct itimerspec real_value = *value;
	int64_t due_us = to_us(&value->it_value);

	if (fd < FDS && due_us > 0) {
		if (!(flags & TFD_TIMER_ABSTIME))
			due_us += virtual_us();
		descriptors[fd].timer_us = due_us;
		due_us -= virtual_us();
		if (due_us <= 0)
			due_us = 1;
		real_value.it_value = (struct timespec){ due_us / 1000000, due_us % 1000000 * 1000 };
		flags &= ~TFD_TIMER_ABSTIME;
	} else if (fd < FDS) {
		descriptors[fd].timer_us = 0;
	}
	return REAL(timerfd_settime)(fd, flags, &real_value, ret_old);
}

/* The first timer, or INT64_MAX. Those that are due are made to fire. */
static int64_t fire_timers(int64_t now_us, bool *ret_fired)
{
	const struct itimerspec at_once = { .it_value = { .tv_nsec = 1 } };
	int64_t first_us = INT64_MAX;

	*ret_fired = false;
	for (int fd = 0; fd < FDS; fd++) {
		struct descriptor *descriptor = &descriptors[fd];

		if (descriptor->timer_us == 0)
			continue;
		if (descriptor->timer_us <= now_us) {
			REAL(timerfd_settime)(fd, 0, &at_once, NULL);
			descriptor->timer_us = 0;
			*ret_fired = true;
		} else if (descriptor->timer_us < first_us) {
			first_us = descriptor->timer_us;
		}
	}
	return first_us;
}

static void note_reached(void)
{
	struct mallinfo2 heap;

	if (shared->reached_us == shared->until_us)
		return;
	heap = mallinfo2();
	shared->heap_in_use_bytes = (int64_t)(heap.uordblks + heap.hblkhd);
	shared->heap_held_bytes = (int64_t)(heap.arena + heap.hblkhd);
	__atomic_store_n(&shared->reached_us, shared->until_us, __ATOMIC_RELEASE);
}

static int to_wait_ms(int64_t us)
{
	return us > FOLLOW_MS * 1000 ? FOLLOW_MS : (int)(us / 1000) + 1;
}

/* True time to wait now; 0 after the clock was moved instead. */
static int wait_or_skip(int64_t until_us)
{
	int64_t now_us = virtual_us(), ahead_us = shared->until_us - now_us, waiting_us;

	if (!is_leader)
		return to_wait_ms(until_us - now_us);
	waiting_us = grace_us(real_us());
	if (waiting_us > 0)
		return to_wait_ms(waiting_us < until_us - now_us ? waiting_us : until_us - now_us);
	if (ahead_us <= 0) {
		note_reached();
		return to_wait_ms(until_us - now_us);
	}
	if (until_us - now_us < ahead_us)
		ahead_us = until_us - now_us;
	__atomic_add_fetch(&shared->offset_us, ahead_us, __ATOMIC_ACQ_REL);
	shared->skips++;
	return 0;
}

int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	int n = REAL(epoll_wait)(epfd, events, max, 0);
	int64_t end_us;

	if (n != 0 || timeout_ms == 0)
		return n;
	end_us = timeout_ms < 0 ? INT64_MAX : virtual_us() + (int64_t)timeout_ms * 1000;
	for (;;) {
		bool fired;
		int64_t now_us = virtual_us(), timer_us = fire_timers(now_us, &fired);

		if (!fired && now_us >= end_us)
			return 0;
		n = REAL(epoll_wait)(epfd, events, max, fired ? 1 : wait_or_skip(timer_us < end_us ? timer_us : end_us));
		if (n != 0)
			return n;
	}
}
