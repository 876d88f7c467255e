/*
 * norandom: runs a program under a kernel that has gathered no random numbers yet, as after the boot of a small
 * router, until a file appears:
 *
 *   norandom FILE PROGRAM ARGUMENT...
 *
 * Until FILE is there getrandom(2) fails with EAGAIN for who does not wait and does not return for who does; best
 * effort (GRND_INSECURE) is let through. The program keeps the process that was started; a second one answers its calls
 * (seccomp_unotify(2)) and ends with it.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_WAITING 64
#define POLL_MS 20

static uint64_t waiting[MAX_WAITING];
static unsigned n_waiting;

static void die(const char *what)
{
	perror(what);
	exit(125);
}

/* The descriptor at which calls arrive. */
static int install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (fd < 0)
		die("seccomp");
	return fd;
}

/* error 0: the kernel carries the call out. A caller that was killed meanwhile is no failure. */
static void answer(int fd, uint64_t id, int error)
{
	struct seccomp_notif_resp response = { .id = id, .error = -error,
					       .flags = error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0 };

	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno != ENOENT)
		die("answer");
}

static void receive(int fd, int is_ready)
{
	struct seccomp_notif call;

	memset(&call, 0, sizeof(call));
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) {
		if (errno != ENOENT && errno != EINTR)
			die("receive");
		return;
	}
	if (is_ready || call.data.args[2] & GRND_INSECURE)
		answer(fd, call.id, 0);
	else if (call.data.args[2] & GRND_NONBLOCK || n_waiting == MAX_WAITING)
		answer(fd, call.id, EAGAIN);
	else
		waiting[n_waiting++] = call.id;
}

static void serve(int fd, const char *file)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int is_ready = 0;

	for (;;) {
		if (poll(&ready, 1, is_ready ? -1 : POLL_MS) < 0 && errno != EINTR)
			die("poll");
		if (!is_ready && access(file, F_OK) == 0) {
			is_ready = 1;
			while (n_waiting > 0)
				answer(fd, waiting[--n_waiting], 0);
		}
		if (ready.revents & POLLHUP)
			exit(0); /* the last process under the filter has ended */
		if (ready.revents & POLLIN)
			receive(fd, is_ready);
	}
}

int main(int argc, char **argv)
{
	int fd, sockets[2];
	char byte = 0;
	pid_t server;

	if (argc < 3) {
		fprintf(stderr, "usage: norandom FILE PROGRAM ARGUMENT...\n");
		return 2;
	}
	/* The server comes first, so that it is not under the filter itself: it would be among those that it waits for. */
	if (pipe(sockets) < 0)
		die("pipe");
	server = fork();
	if (server < 0)
		die("fork");
	if (server == 0) {
		pid_t parent = getppid();
		int handle;

		close(sockets[1]);
		if (read(sockets[0], &fd, sizeof(fd)) != sizeof(fd))
			_exit(125);
		handle = (int)syscall(SYS_pidfd_open, parent, 0);
		fd = handle < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, handle, fd, 0);
		if (fd < 0)
			die("pidfd");
		setsid();
		serve(fd, argv[1]);
	}
	fd = install();
	if (write(sockets[1], &fd, sizeof(fd)) != sizeof(fd))
		die("write");
	close(sockets[0]);
	close(sockets[1]);
	/* Until the server has the descriptor this one stays open: the exec closes it (it is close-on-exec), so wait for an answer. */
	if (getrandom(&byte, 1, GRND_NONBLOCK) < 0 && errno != EAGAIN)
		die("nobody answers");
	execvp(argv[2], argv + 2);
	die(argv[2]);
}
