/*
 * script_serve: see script_unit.h; `jaga-agent --run-script`, what jaga-script@.service runs as root.
 *
 *   who asks? ── what does root's file say? ── receive ── run (script.h) ── answer
 *      no: ends      off, or not root's: refused   malformed: refused      nobody there: logged
 *
 * The agent that asks is not root so that breaking into it does not give the router away; so its word
 * alone runs nothing: scripts = unsigned has to stand in a file that only root can change, and the time
 * limit is ours. One connection, one script, one process. Called by main.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/local.h"
#include "agent/script_unit.h"
#include "agent/system.h"
#include "common/log.h"
#include "common/parse.h"

struct serve {
	struct ev_loop *loop;
	int fd;
	struct script_unit_request request;
	struct script *script; /* NULL: it has ended */
	ev_signal sigterm;
	int exit_status;
};

/* --- may it run? --------------------------------------------------------------------------------- */

/* Only root can change this file or directory; of one that is sticky, as /tmp, what is in it and root's. */
static int check_owner(const char *path, struct err *err)
{
	struct stat info;

	if (stat(path, &info) < 0)
		return err_sys(err, -errno, "%s", path);
	if (info.st_uid != 0 || ((info.st_mode & 022) != 0 && !(S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX))))
		return err_set(err, -EPERM, "refused: %s can be changed by others than root (owner %u, mode %04o)", path,
			       (unsigned)info.st_uid, (unsigned)info.st_mode & 07777);
	return 0;
}

/*
 * The file itself in *ret_path, whatever links lead to it: nobody but root can change it or any directory above it, so
 * that what is read afterwards is what was looked at.
 */
static int check_file(const char *path, char ret_path[static PATH_MAX], struct err *err)
{
	char above[PATH_MAX], *slash;
	int r;

	if (!realpath(path, ret_path))
		return err_sys(err, -errno, "%s", path);
	r = check_owner(ret_path, err);
	memcpy(above, ret_path, sizeof(above));
	while (r == 0 && (slash = strrchr(above, '/')) != NULL) {
		*slash = '\0';
		r = check_owner(slash == above ? "/" : above, err);
	}
	return r;
}

/* The agent's user is the one to whom the state directory belongs. */
static int check_peer(const struct ucred *peer, const struct agent_config *config, struct err *err)
{
	struct stat info;

	if (peer->uid == 0)
		return 0;
	if (stat(config->state_dir, &info) < 0)
		return err_sys(err, -errno, "refused: %s", config->state_dir);
	if (info.st_uid != peer->uid)
		return err_set(err, -EPERM, "refused: user %u is not the agent's, to whom %s belongs", (unsigned)peer->uid,
			       config->state_dir);
	return 0;
}

static int check_allowed(const char *config_path, const struct ucred *peer, struct err *err)
{
	static struct agent_config config; /* large; one per process */
	char path[PATH_MAX];
	int r = check_file(config_path, path, err);

	if (r == 0 && config_load(path, stderr, &config) < 0)
		r = err_set(err, -EINVAL, "refused: %s is wrong; see the log of this unit", config_path);
	if (r == 0)
		r = check_peer(peer, &config, err);
	if (r == 0 && !config.scripts_unsigned)
		r = err_set(err, -EPERM, "refused: this router takes no scripts (scripts = off in its agent.conf)");
	return r;
}

/* --- the two messages ---------------------------------------------------------------------------- */

static bool is_named(struct script_unit_request *request)
{
	request->job_id[sizeof(request->job_id) - 1] = '\0';
	return parse_is_name(request->job_id);
}

/* 0 with the script in *ret_text_fd. A hostile agent may send anything; nothing of it is believed unseen. */
static int receive(struct serve *serve, int *ret_text_fd, struct err *err)
{
	struct script_unit_request *request = &serve->request;
	struct iovec part = { request, sizeof(*request) };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))]; /* the kernel closes what does not fit */
	} control;
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	const struct timeval patience = { .tv_sec = LIMIT_LOCAL_MS / 1000 };
	const struct cmsghdr *head;
	struct stat info;
	ssize_t n;

	if (setsockopt(serve->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return err_sys(err, -errno, "setsockopt");
	n = recvmsg(serve->fd, &message, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return err_sys(err, -errno, "no request");
	head = CMSG_FIRSTHDR(&message);
	if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int)))
		return err_set(err, -EPROTO, "refused: the request brings no script");
	memcpy(ret_text_fd, CMSG_DATA(head), sizeof(int));
	if (n != sizeof(*request) || request->version != SCRIPT_UNIT_VERSION || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return err_set(err, -EPROTO, "refused: the agent is of another version than its unit; restart the agent");
	if (!is_named(request) || request->timeout_ms < 1 || request->timeout_ms > LIMIT_SCRIPT_MS)
		return err_set(err, -EINVAL, "refused: malformed request");
	if (fstat(*ret_text_fd, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size < 1 || info.st_size > LIMIT_JOB_BYTES)
		return err_set(err, -EINVAL, "refused: the script is no file of 1 to %d bytes", LIMIT_JOB_BYTES);
	return 0;
}

static int answer(const struct serve *serve, const struct router_script_result *result)
{
	struct script_unit_answer answer;
	struct iovec parts[2] = { { &answer, sizeof(answer) }, { (void *)result->output, result->output_length } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	int size = 2 * (int)(LIMIT_OUTPUT_BYTES + sizeof(answer));

	memset(&answer, 0, sizeof(answer));
	answer.version = SCRIPT_UNIT_VERSION;
	answer.exit_status = result->exit_status;
	answer.duration_ms = result->duration_ms;
	answer.output_truncated = result->output_truncated;
	answer.is_interrupted = result->is_interrupted;
	snprintf(answer.reason, sizeof(answer.reason), "%s", result->reason);
	setsockopt(serve->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* else the default, which is larger */
	return sendmsg(serve->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* --- running -------------------------------------------------------------------------------------- */

static void finish(struct serve *serve, const struct router_script_result *result)
{
	int r = answer(serve, result);

	log_info("script", "job=%s ended exit=%d duration_ms=%lld output_bytes=%zu reason=\"%s\"", serve->request.job_id,
		 result->exit_status, (long long)result->duration_ms, result->output_length, result->reason);
	if (r < 0)
		log_warning("script", "job=%s: the agent is not there to take the result: %s", serve->request.job_id,
			    strerror(-r));
	ev_break(serve->loop, EVBREAK_ALL);
}

static void on_done(void *arg, const struct router_script_result *result)
{
	struct serve *serve = arg;

	serve->script = NULL;
	finish(serve, result);
}

/* systemctl stop: the script ends with its unit. */
static void on_stop(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	struct serve *serve = watcher->data;

	(void)loop;
	(void)revents;
	script_kill(serve->script);
	serve->script = NULL;
	finish(serve, &(struct router_script_result){ .exit_status = -1,
						      .output = "",
						      .is_interrupted = true,
						      .reason = "its unit was stopped; the script may be half done" });
}

static int run(struct serve *serve, int text_fd, struct err *err)
{
	const struct script_spec spec = { serve->request.job_id, text_fd, serve->request.timeout_ms };
	int r;

	serve->loop = ev_default_loop(EVFLAG_NOENV);
	if (!serve->loop)
		return err_set(err, -ENOMEM, "libev cannot start");
	r = script_start(serve->loop, &spec, on_done, serve, &serve->script, err);
	if (r < 0)
		return r;
	ev_signal_init(&serve->sigterm, on_stop, SIGTERM);
	serve->sigterm.data = serve;
	ev_signal_start(serve->loop, &serve->sigterm);
	log_info("script", "job=%s started", serve->request.job_id);
	ev_run(serve->loop, 0);
	return 0;
}

int script_serve(const char *config_path, int fd)
{
	struct serve serve = { .fd = fd };
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct err err = { "" };
	int text_fd = -1, r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		fputs("jaga-agent: --run-script is for jaga-script.socket, not for people; see jaga-agent(8)\n", stderr);
		return EXIT_USAGE;
	}
	r = receive(&serve, &text_fd, &err);
	if (r == 0)
		r = check_allowed(config_path, &peer, &err);
	if (r == 0)
		r = run(&serve, text_fd, &err);
	if (r < 0) {
		log_error("script", "job=%s user=%u pid=%d: %s", is_named(&serve.request) ? serve.request.job_id : "?",
			  (unsigned)peer.uid, (int)peer.pid, err.text);
		(void)answer(&serve, &(struct router_script_result){ /* it is logged: who asks wrongly may miss the answer */
				     .exit_status = -1, .output = "", .reason = err.text });
	}
	if (text_fd >= 0)
		close(text_fd);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
