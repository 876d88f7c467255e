/*
 * child: see child.h.
 *
 *   child_start: fork -- child: own session, clean signals and descriptors, then exec or function
 *                     `- parent: watches the output pipe, the exit (libev's SIGCHLD) and the clock
 *
 * The end is the exit of the process itself: what it left running in the background may hold the pipe
 * open for ever, so the pipe is drained of what is there and closed. A second pipe, closed by a
 * successful exec, carries the errno of an exec that failed: "could not be started" is never mistaken
 * for an exit status. Used by the Linux driver (scripts, snapshot commands) and the job journal.
 */
#include "agent/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define PATH_VARIABLE "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MAX_ENVIRONMENT 8
#define EXTRA_FD 3
#define STATUS_FD 4

void child_init(struct child *child)
{
	*child = (struct child){ .output_fd = -1, .status_fd = -1 };
}

bool child_is_running(const struct child *child)
{
	return child->pid != 0;
}

/* --- in the child ------------------------------------------------------------------------------ */

static void close_from(int first)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
		return;
#endif
	for (int fd = first; fd < 1024; fd++) /* kernels before 5.9; the agent never has as many */
		close(fd);
}

static void reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL); /* fails for KILL and STOP, which have no handler */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Empty, and takes what nobody reads. Without a /dev (a bare container, a chroot) a file of memory is as good. */
static int open_null(void)
{
	int fd = open("/dev/null", O_RDWR);

	return fd >= 0 ? fd : memfd_create("null", 0);
}

/*
 * Standard input is empty, output goes to `output`; 3 is the extra descriptor, 4 the status pipe, which
 * closes with exec. Everything moves out of the way of these numbers first. *status follows its move.
 */
static int arrange_descriptors(int output, int extra, int *status)
{
	int null, moved = fcntl(*status, F_DUPFD_CLOEXEC, 10);

	if (moved < 0)
		return -errno;
	*status = moved;
	null = open_null();
	if (null < 0)
		return -errno;
	output = fcntl(output >= 0 ? output : null, F_DUPFD, 10);
	if (extra >= 0)
		extra = fcntl(extra, F_DUPFD, 10);
	else
		extra = fcntl(null, F_DUPFD, 10);
	if (output < 0 || extra < 0)
		return -errno;
	if (dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 || dup2(extra, EXTRA_FD) < 0 ||
	    dup3(moved, STATUS_FD, O_CLOEXEC) < 0)
		return -errno;
	*status = STATUS_FD;
	close_from(STATUS_FD + 1);
	return 0;
}

int child_die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (getppid() != parent) /* it died before this was asked for */
		_exit(1);
	return 0;
}

static void run_program(const struct child_spec *spec)
{
	char path[] = PATH_VARIABLE, locale[] = "LC_ALL=C";
	char *environment[MAX_ENVIRONMENT + 3] = { path, locale };
	size_t n = 2;

	for (size_t i = 0; spec->environment && spec->environment[i] && i < MAX_ENVIRONMENT; i++)
		environment[n++] = (char *)spec->environment[i];
	putenv(path); /* execvpe looks up argv[0] in the environment of the caller */
	execvpe(spec->argv[0], (char *const *)spec->argv, environment);
}

static _Noreturn void run_child(const struct child_spec *spec, pid_t parent, int output, int status)
{
	int r;

	setsid();
	reset_signals();
	umask(022);
	r = spec->argv ? 0 : child_die_with(parent);
	if (r == 0)
		r = arrange_descriptors(output, spec->extra_fd, &status);
	if (r == 0 && !spec->argv)
		_exit(spec->function(spec->function_arg));
	if (r == 0 && chdir("/") == 0) {
		run_program(spec);
		r = -errno;
	}
	/* Should this fail the parent sees an exit status of 127, as from a shell. */
	(void)!write(status, &r, sizeof(r));
	_exit(127);
}

/* --- in the agent ------------------------------------------------------------------------------ */

static void let_go(struct child *child)
{
	ev_child_stop(child->loop, &child->exited);
	ev_io_stop(child->loop, &child->readable);
	ev_timer_stop(child->loop, &child->timeout);
	if (child->output_fd >= 0)
		close(child->output_fd);
	if (child->status_fd >= 0)
		close(child->status_fd);
	child->output_fd = child->status_fd = -1;
	child->pid = 0;
}

/* Takes what the pipe holds; false at its end. What does not fit is read and dropped, so that nobody blocks on us. */
static bool drain(struct child *child, unsigned max_reads)
{
	char overflow[4096];

	while (max_reads-- > 0) {
		bool is_full = child->output_length == child->output_size;
		ssize_t n = is_full ? read(child->output_fd, overflow, sizeof(overflow))
				    : read(child->output_fd, child->output + child->output_length,
					   child->output_size - child->output_length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		if (is_full)
			child->output_truncated = true;
		else
			child->output_length += (size_t)n;
	}
	return true;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct child *child = watcher->data;

	(void)revents;
	if (!drain(child, 4)) /* a flood is read in pieces: probes go on between them */
		ev_io_stop(loop, watcher);
}

static void finish(struct child *child, int wait_status)
{
	struct child_result result = { .exit_status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status)
									       : WEXITSTATUS(wait_status) };
	child_done_fn *on_done = child->on_done;
	void *arg = child->arg;
	char reason[64] = "";
	int failure = 0;

	if (child->output_fd >= 0)
		(void)drain(child, 64); /* at most a pipe's worth is left: 64 KiB */
	if (read(child->status_fd, &failure, sizeof(failure)) == sizeof(failure)) {
		result.exit_status = -1;
		snprintf(reason, sizeof(reason), "cannot be started: %s", strerror(-failure));
	} else if (child->timed_out) {
		snprintf(reason, sizeof(reason), "ended after its time-out");
	} else if (WIFSIGNALED(wait_status)) {
		snprintf(reason, sizeof(reason), "ended by signal %d", WTERMSIG(wait_status));
	}
	result.reason = reason;
	result.output_length = child->output_length;
	result.output_truncated = child->output_truncated;
	result.timed_out = child->timed_out;
	result.duration_ms = clock_mono_ms() - child->began_ms;
	let_go(child);
	on_done(arg, &result);
}

static void on_exited(struct ev_loop *loop, ev_child *watcher, int revents)
{
	(void)loop;
	(void)revents;
	finish(watcher->data, watcher->rstatus);
}

/* The group; the process alone in the moment before it has one. */
static void send_signal(const struct child *child, int number)
{
	if (kill(-child->pid, number) < 0)
		kill(child->pid, number);
}

static void on_timeout(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct child *child = watcher->data;

	(void)revents;
	send_signal(child, child->timed_out ? SIGKILL : SIGTERM);
	child->timed_out = true;
	ev_timer_set(watcher, (ev_tstamp)CHILD_GRACE_MS / 1000, 0);
	ev_timer_start(loop, watcher);
}

static void watch(struct child *child, const struct child_spec *spec)
{
	ev_child_init(&child->exited, on_exited, child->pid, 0);
	child->exited.data = child;
	ev_child_start(child->loop, &child->exited);
	ev_init(&child->readable, on_readable);
	child->readable.data = child;
	if (child->output_fd >= 0) {
		ev_io_set(&child->readable, child->output_fd, EV_READ);
		ev_io_start(child->loop, &child->readable);
	}
	ev_timer_init(&child->timeout, on_timeout, (ev_tstamp)spec->timeout_ms / 1000, 0);
	child->timeout.data = child;
	ev_timer_start(child->loop, &child->timeout);
}

int child_start(struct child *child, struct ev_loop *loop, const struct child_spec *spec, child_done_fn *on_done,
		void *arg, struct err *err)
{
	int output[2] = { -1, -1 }, status[2] = { -1, -1 };
	pid_t parent = getpid();
	int r = 0;

	if (child_is_running(child))
		return err_set(err, -EBUSY, "it runs already");
	if ((spec->output && pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0) || pipe2(status, O_CLOEXEC | O_NONBLOCK) < 0) {
		r = err_sys(err, -errno, "pipe");
		goto out;
	}
	/* The program must not meet a non-blocking output. */
	if (spec->output && fcntl(output[1], F_SETFL, 0) < 0) {
		r = err_sys(err, -errno, "fcntl");
		goto out;
	}
	*child = (struct child){ .loop = loop,
				 .on_done = on_done,
				 .arg = arg,
				 .output = spec->output,
				 .output_size = spec->output_size,
				 .output_fd = -1,
				 .status_fd = -1,
				 .began_ms = clock_mono_ms() };
	child->pid = fork();
	if (child->pid == 0)
		run_child(spec, parent, output[1], status[1]);
	if (child->pid < 0) {
		child->pid = 0;
		r = err_sys(err, -errno, "fork");
		goto out;
	}
	child->output_fd = output[0];
	child->status_fd = status[0];
	output[0] = status[0] = -1;
	watch(child, spec);
out:
	for (unsigned i = 0; i < 2; i++) {
		if (output[i] >= 0)
			close(output[i]);
		if (status[i] >= 0)
			close(status[i]);
	}
	return r;
}

void child_kill(struct child *child)
{
	if (!child_is_running(child))
		return;
	send_signal(child, SIGKILL);
	let_go(child); /* libev reaps it */
}

void child_finish(struct child *child, int64_t timeout_ms)
{
	struct pollfd end = { .fd = child->status_fd }; /* closed with the function's process */
	int64_t deadline_ms = clock_mono_ms() + timeout_ms, left_ms = timeout_ms;

	while (child_is_running(child) && left_ms > 0 && poll(&end, 1, (int)left_ms) < 0 && errno == EINTR)
		left_ms = deadline_ms - clock_mono_ms();
	child_kill(child);
}

void child_abandon(struct child *child)
{
	if (child_is_running(child))
		let_go(child);
}
