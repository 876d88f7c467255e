/*
 * linux_snapshot: the configuration of this router as one canonical text.
 *
 *   # --- file /etc/network/interfaces
 *   ...
 *   # --- command ip -4 rule show
 *   ...
 *   # --- failed: command nft -s list ruleset: exit status 127: sh: 1: nft: not found
 *   # --- left out: file /etc/jaga/agent.key: the agent's key
 *
 * A child process does the whole work: it may read slow flash and wait for one command after the other
 * while the agent probes on. It writes the finished text into a pipe; the agent only collects it.
 * What could not be read is named in the text, so that its absence is never taken for a change of the
 * configuration unseen. Files in the order of the configuration, those of a pattern sorted. Called
 * through struct router_ops by agent/snapshot.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child.h"
#include "agent/router/canonical.h"
#include "agent/router/linux.h"
#include "common/clock.h"

struct linux_snapshot_job {
	struct child child;
	struct router *router;
	router_snapshot_fn *on_done;
	void *arg;
	char text[LIMIT_BODY_BYTES + 1]; /* mapped, so that only what is used costs memory, and only for so long */
};

/* --- in the child ------------------------------------------------------------------------------ */

struct gathering {
	const struct agent_config *config;
	struct buf out;
	char *raw; /* LIMIT_BODY_BYTES + 1: one file or the output of one command */
};

static void put_failure(struct gathering *gathering, const char *kind, const char *name, const char *why)
{
	buf_printf(&gathering->out, "# --- failed: %s %s: %s\n", kind, name, why);
}

static const char *explain(int error)
{
	switch (error) {
	case -EFBIG: return "larger than a snapshot may be (1 MiB)";
	case -EILSEQ: return "not a text (it holds NUL bytes)";
	default: return strerror(-error);
	}
}

/*
 * Reads to the end of fd. -EFBIG: more than a snapshot may have. -ETIMEDOUT: no end before the deadline.
 * -EILSEQ: not a text; behind a NUL a change would not be seen.
 */
static int read_all(int fd, char *text, int64_t deadline_ms, size_t *ret_length)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t length = 0;

	for (;;) {
		int64_t wait_ms = deadline_ms - clock_mono_ms();
		ssize_t n;

		if (wait_ms <= 0 || poll(&poll_fd, 1, (int)wait_ms) == 0)
			return -ETIMEDOUT;
		n = read(fd, text + length, LIMIT_BODY_BYTES - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 && length == LIMIT_BODY_BYTES)
			return -EFBIG;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	if (memchr(text, '\0', length))
		return -EILSEQ;
	*ret_length = length;
	return 0;
}

/* By whatever name: a pattern like /etc/jaga/ and a star must not carry the key away. */
static bool is_key(const struct gathering *gathering, const struct stat *info)
{
	struct stat key;

	return stat(gathering->config->key_file, &key) == 0 && key.st_dev == info->st_dev && key.st_ino == info->st_ino;
}

static void put_file(struct gathering *gathering, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info;
	size_t length = 0;
	int r = 0;

	if (fd < 0 || fstat(fd, &info) < 0) {
		r = -errno;
	} else if (is_key(gathering, &info)) {
		buf_printf(&gathering->out, "# --- left out: file %s: the agent's key\n", path);
		close(fd);
		return;
	} else if (S_ISREG(info.st_mode)) {
		r = read_all(fd, gathering->raw, clock_mono_ms() + LIMIT_COMMAND_MS, &length);
	} else {
		close(fd);
		return; /* a pattern meets directories and sockets, too: they hold no text */
	}
	if (r < 0) {
		put_failure(gathering, "file", path, explain(r));
	} else {
		buf_printf(&gathering->out, "# --- file %s\n", path);
		canonical_put(CANONICAL_PLAIN, gathering->raw, length, &gathering->out);
	}
	if (fd >= 0)
		close(fd);
}

static const char *wanted; /* of scandir(), whose filter has no argument */

/* '*' and '?' as a shell has them; a leading dot must be written out. */
static int is_wanted(const struct dirent *entry)
{
	const char *pattern = wanted, *name = entry->d_name, *star = NULL, *retry = NULL;

	if (name[0] == '.' && pattern[0] != '.')
		return 0;
	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star) { /* the last star takes one letter more */
			pattern = star;
			name = ++retry;
		} else {
			return 0;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

static void put_files(struct gathering *gathering, const char *pattern)
{
	char path[LIMIT_PATH + NAME_MAX + 1];
	size_t folder = (size_t)(strrchr(pattern, '/') - pattern) + 1;
	struct dirent **found;
	int n;

	if (pattern[strcspn(pattern, "*?")] == '\0') {
		put_file(gathering, pattern);
		return;
	}
	snprintf(path, sizeof(path), "%.*s", (int)folder, pattern);
	wanted = pattern + folder;
	n = scandir(path, &found, is_wanted, alphasort);
	if (n <= 0)
		put_failure(gathering, "file", pattern, n == 0 ? "no such file" : strerror(errno));
	for (int i = 0; i < n; i++) {
		snprintf(path + folder, sizeof(path) - folder, "%s", found[i]->d_name);
		put_file(gathering, path);
		free(found[i]);
	}
	if (n >= 0)
		free(found);
}

/* The shell's process, with its output in *ret_output and its complaints in *ret_errors. */
static pid_t start_command(const char *command, int *ret_output, int *ret_errors)
{
	int output[2], errors = memfd_create("jaga-errors", MFD_CLOEXEC);
	pid_t pid, parent = getpid();

	if (errors < 0 || pipe2(output, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		if (child_die_with(parent) < 0) /* with it goes the watch over its time */
			_exit(127);
		dup2(output[1], 1);
		dup2(errors, 2);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(output[1]);
	*ret_output = output[0];
	*ret_errors = errors;
	return pid;
}

/* First line of what the command complained, behind its exit status. */
static void describe_failure(int wait_status, int errors, char *ret_why, size_t size)
{
	char line[96] = "";
	ssize_t n = pread(errors, line, sizeof(line) - 1, 0);

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (WIFSIGNALED(wait_status))
		snprintf(ret_why, size, "signal %d", WTERMSIG(wait_status));
	else
		snprintf(ret_why, size, "exit status %d%s%s", WEXITSTATUS(wait_status), line[0] ? ": " : "", line);
}

static void put_command(struct gathering *gathering, const char *command)
{
	int output = -1, errors = -1, wait_status = 0, r;
	char why[160];
	size_t length = 0;
	pid_t pid = start_command(command, &output, &errors);

	if (pid < 0) {
		put_failure(gathering, "command", command, strerror(errno));
		return;
	}
	r = read_all(output, gathering->raw, clock_mono_ms() + LIMIT_COMMAND_MS, &length);
	if (r < 0)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	if (r == -ETIMEDOUT) {
		snprintf(why, sizeof(why), "not done after %d s", LIMIT_COMMAND_MS / 1000);
	} else if (r < 0) {
		snprintf(why, sizeof(why), "%s", explain(r));
	} else if (wait_status != 0) {
		describe_failure(wait_status, errors, why, sizeof(why));
		r = -EIO;
	}
	if (r < 0) {
		put_failure(gathering, "command", command, why);
	} else {
		buf_printf(&gathering->out, "# --- command %s\n", command);
		canonical_put(canonical_kind_of(command), gathering->raw, length, &gathering->out);
	}
	close(output);
	close(errors);
}

static void *map_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int fail(const char *text)
{
	dprintf(1, "%s", text);
	return 1;
}

/* Runs in the child; its standard output is the pipe to the agent. */
static int gather(void *arg)
{
	struct linux_snapshot_job *job = arg;
	const struct agent_config *config = job->router->config;
	struct gathering gathering = { .config = config, .raw = map_memory(LIMIT_BODY_BYTES + 1) };
	char *memory = map_memory(LIMIT_BODY_BYTES + 1);

	if (!gathering.raw || !memory)
		return fail("no memory");
	/* What commands print must not depend on how the agent was started. */
	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("LC_ALL", "C", 1);
	buf_init(&gathering.out, memory, LIMIT_BODY_BYTES + 1);
	for (unsigned i = 0; i < config->n_snapshot_files; i++)
		put_files(&gathering, config->snapshot_files[i]);
	for (unsigned i = 0; i < config->n_snapshot_commands; i++)
		put_command(&gathering, config->snapshot_commands[i]);
	if (gathering.out.failed)
		return fail("it is larger than 1 MiB; name fewer files or commands in [snapshot]");
	for (size_t at = 0; at < gathering.out.length;) {
		ssize_t n = write(1, memory + at, gathering.out.length - at);

		if (n < 0 && errno != EINTR)
			return 1;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* --- in the agent ------------------------------------------------------------------------------ */

static void on_gathered(void *arg, const struct child_result *result)
{
	struct linux_snapshot_job *job = arg;
	struct err error = { "" };

	job->router->snapshot_job = NULL;
	job->text[result->output_length] = '\0';
	if (result->exit_status == 0)
		job->on_done(job->arg, job->text, result->output_length, NULL);
	else {
		err_set(&error, -EIO, "%.200s", result->reason[0] ? result->reason : job->text);
		job->on_done(job->arg, NULL, 0, &error);
	}
	munmap(job, sizeof(*job));
}

int linux_snapshot(struct router *router, router_snapshot_fn *on_done, void *arg, struct err *err)
{
	unsigned n_sources = router->config->n_snapshot_files + router->config->n_snapshot_commands;
	struct linux_snapshot_job *job;
	int r;

	if (router->snapshot_job)
		return err_set(err, -EBUSY, "a snapshot is being taken");
	job = map_memory(sizeof(*job));
	if (!job)
		return err_set(err, -ENOMEM, "no memory for a snapshot");
	child_init(&job->child);
	job->router = router;
	job->on_done = on_done;
	job->arg = arg;
	r = child_start(&job->child, router->loop,
			&(struct child_spec){ .function = gather,
					      .function_arg = job,
					      .extra_fd = -1,
					      .output = job->text,
					      .output_size = LIMIT_BODY_BYTES,
					      .timeout_ms = (int64_t)(n_sources + 1) * LIMIT_COMMAND_MS },
			on_gathered, job, err);
	if (r < 0) {
		munmap(job, sizeof(*job));
		return r;
	}
	router->snapshot_job = job;
	return 0;
}

void linux_snapshot_close(struct router *router)
{
	if (!router->snapshot_job)
		return;
	child_kill(&router->snapshot_job->child);
	munmap(router->snapshot_job, sizeof(*router->snapshot_job));
	router->snapshot_job = NULL;
}
