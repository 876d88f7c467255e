/*
 * link_lab: a link against the collector's real CoAP server in a process of its own (tests/fake/collector.c), DTLS on
 * loopback. Every wait is for a condition with a deadline. Included once by a test program.
 */
#ifndef JAGA_TESTS_LINK_LAB_H
#define JAGA_TESTS_LINK_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/inflate.h"
#include "agent/link.h"
#include "common/clock.h"
#include "common/wire.h"
#include "tests/fake/wallclock.h"

#define YEAR_S (365LL * 86400)
#define DEADLINE_MS 30000 /* of any condition; sanitizers on a busy machine are slow */

struct scene {
	struct ev_loop *loop;
	pid_t pid;
	int to_collector, from_collector;
	uint16_t port;
	char lines[65536]; /* all that the collector has said since the last forget() */
	size_t lines_length;
	ev_io watcher;

	struct agent_config config;
	struct link_identity identity;
	uint8_t boot_id[LIMIT_BOOT_ID_BYTES];
	uint8_t psk[LIMIT_PSK_BYTES];
	struct spool *spool;
	struct link *link;

	unsigned n_open, n_closed, n_wakes, n_jobs, n_state_acks, n_snapshots, n_confirmations;
	char refusal[64];
	uint64_t wake_seq, doctor_run;
	bool wake_takes;
	int64_t wake_ms;
	bool has_job;
	uint64_t job_seq;
	size_t script_length;
	bool script_is_right;
	int snapshot_result;
	bool snapshot_transferred;
};

/* --- what the link calls ---------------------------------------------------------------------------- */

static inline void on_open(void *arg, int64_t wall_ms)
{
	struct scene *scene = arg;

	assert_true(wall_ms > 0);
	scene->n_open++;
}

static inline void on_closed(void *arg, const char *reason)
{
	struct scene *scene = arg;

	assert_non_null(reason);
	scene->n_closed++;
}

static inline void on_wake(void *arg, uint64_t job_seq, bool take_snapshot, int64_t wall_ms)
{
	struct scene *scene = arg;

	scene->n_wakes++;
	scene->wake_seq = job_seq;
	scene->wake_takes = take_snapshot;
	scene->wake_ms = wall_ms;
}

static inline void on_job(void *arg, const struct link_job *job)
{
	struct scene *scene = arg;
	const uint8_t *script;

	scene->n_jobs++;
	scene->has_job = job != NULL;
	if (!job)
		return;
	script = job->script;
	scene->job_seq = job->seq;
	scene->script_length = job->script_length;
	scene->script_is_right = strcmp(job->job_id, "J1") == 0 && strcmp(job->interpreter, "sh") == 0;
	for (size_t i = 0; i < job->script_length; i++)
		scene->script_is_right &= script[i] == (uint8_t)(i * 7);
}

static inline void on_job_state_acked(void *arg, uint64_t seq, int phase)
{
	struct scene *scene = arg;

	assert_int_equal(seq, 9);
	assert_int_equal(phase, 4);
	scene->n_state_acks++;
}

static inline void on_job_confirmed(void *arg, const char *refusal)
{
	struct scene *scene = arg;

	scene->n_confirmations++;
	snprintf(scene->refusal, sizeof(scene->refusal), "%s", refusal ? refusal : "");
}

static inline void on_snapshot_done(void *arg, int result, bool transferred)
{
	struct scene *scene = arg;

	scene->n_snapshots++;
	scene->snapshot_result = result;
	scene->snapshot_transferred = transferred;
}

static inline int read_uplink_state(void *arg, unsigned uplink)
{
	(void)arg;
	return uplink == 0 ? 1 : 3;
}

static inline void on_run_doctor(void *arg, uint64_t run)
{
	struct scene *scene = arg;

	scene->doctor_run = run;
}

static const struct link_events events = {
	on_open, on_closed, on_wake, on_job, on_job_state_acked, on_job_confirmed, on_snapshot_done, read_uplink_state, on_run_doctor,
};

/* --- the collector's process ---------------------------------------------------------------------------- */

static inline void on_said(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct scene *scene = watcher->data;
	ssize_t n = read(watcher->fd, scene->lines + scene->lines_length, sizeof(scene->lines) - 1 - scene->lines_length);

	(void)revents;
	if (n <= 0) {
		ev_io_stop(loop, watcher);
		return;
	}
	scene->lines_length += (size_t)n;
	scene->lines[scene->lines_length] = '\0';
}

static inline void forget(struct scene *scene)
{
	scene->lines_length = 0;
	scene->lines[0] = '\0';
}

static inline void tell(struct scene *scene, const char *line)
{
	assert_int_equal(write(scene->to_collector, line, strlen(line)), strlen(line));
}

static inline void on_pause(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)timer;
	(void)revents;
}

/* Runs the loop until the condition holds. False at the deadline. */
static inline bool run_until(struct scene *scene, bool (*is_done)(const struct scene *scene, const void *arg), const void *arg,
		      int64_t limit_ms)
{
	int64_t end_ms = clock_mono_ms() + limit_ms;
	ev_timer pause;

	ev_timer_init(&pause, on_pause, 0.02, 0.02);
	ev_timer_start(scene->loop, &pause);
	while (!is_done(scene, arg) && clock_mono_ms() < end_ms)
		ev_run(scene->loop, EVRUN_ONCE);
	ev_timer_stop(scene->loop, &pause);
	return is_done(scene, arg);
}

static inline bool has_said(const struct scene *scene, const void *text)
{
	return strstr(scene->lines, text) != NULL;
}

static inline bool has_count(const struct scene *scene, const void *arg)
{
	const unsigned *const *pair = arg;

	(void)scene;
	return *pair[0] >= *pair[1];
}

static inline void wait_for_line(struct scene *scene, const char *text)
{
	if (!run_until(scene, has_said, text, DEADLINE_MS))
		fail_msg("no line \"%s\" in:\n%s", text, scene->lines);
}

/* Tells, and waits until it is obeyed. */
static inline void order(struct scene *scene, const char *line)
{
	tell(scene, line);
	forget(scene);
	tell(scene, "counters\n");
	wait_for_line(scene, "counters ");
	forget(scene);
}

static inline void wait_for_count(struct scene *scene, const unsigned *counter, unsigned count)
{
	const unsigned *pair[] = { counter, &count };

	if (!run_until(scene, has_count, pair, DEADLINE_MS))
		fail_msg("counter stays at %u, below %u; collector said:\n%s", *counter, count, scene->lines);
}

static inline bool is_past(const struct scene *scene, const void *arg)
{
	const int64_t *end_ms = arg;

	(void)scene;
	return clock_mono_ms() >= *end_ms;
}

/* For what must not happen, and for what is on its way to have arrived. */
static inline void let_pass(struct scene *scene, int64_t ms)
{
	int64_t end_ms = clock_mono_ms() + ms;

	assert_true(run_until(scene, is_past, &end_ms, DEADLINE_MS));
}

static inline uint16_t find_free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static inline void start_collector(struct scene *scene, const char *epoch)
{
	char path[4096], port[8];
	int in[2], out[2];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

	assert_true(n > 0);
	path[n] = '\0';
	/* BUILD/tests/unit/agent/test_link -> BUILD/tests/fake/collector */
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	strcat(path, "/fake/collector");
	snprintf(port, sizeof(port), "%u", scene->port);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	scene->pid = fork();
	assert_true(scene->pid >= 0);
	if (scene->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl(path, "collector", port, "1", epoch, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	scene->to_collector = in[1];
	scene->from_collector = out[0];
	ev_io_init(&scene->watcher, on_said, out[0], EV_READ);
	scene->watcher.data = scene;
	ev_io_start(scene->loop, &scene->watcher);
	wait_for_line(scene, "ready\n");
}

static inline void stop_collector(struct scene *scene, int signal)
{
	if (!scene->pid)
		return;
	kill(scene->pid, SIGCONT);
	kill(scene->pid, signal);
	assert_int_equal(waitpid(scene->pid, NULL, 0), scene->pid);
	ev_io_stop(scene->loop, &scene->watcher);
	close(scene->to_collector);
	close(scene->from_collector);
	scene->pid = 0;
}

/* Silent, but there: its socket takes what comes. */
static inline void freeze_collector(struct scene *scene)
{
	int status;

	kill(scene->pid, SIGSTOP);
	assert_int_equal(waitpid(scene->pid, &status, WUNTRACED), scene->pid);
	assert_true(WIFSTOPPED(status));
}

/* --- scenes --------------------------------------------------------------------------------------------- */

static inline int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	signal(SIGPIPE, SIG_IGN);
	scene->loop = ev_loop_new(0);
	scene->port = find_free_port();
	start_collector(scene, "1");
	assert_int_equal(parse_address("127.0.0.1", scene->port, &scene->config.collector), 0);
	scene->config.has_collector = true;
	scene->config.scripts_unsigned = true;
	strcpy(scene->config.identity, "dev1");
	scene->config.n_uplinks = 2;
	strcpy(scene->config.uplinks[0].name, "fibre");
	strcpy(scene->config.uplinks[1].name, "lte");
	memset(scene->psk, 0x42, sizeof(scene->psk));
	memset(scene->boot_id, 7, sizeof(scene->boot_id));
	scene->identity = (struct link_identity){ scene->boot_id, "host", "model", "system", "linux", true, 3 };
	assert_int_equal(spool_create(64 * 1024, &scene->spool), 0);
	*state = scene;
	return 0;
}

static inline int tear_down(void **state)
{
	struct scene *scene = *state;

	link_destroy(scene->link);
	stop_collector(scene, SIGKILL);
	spool_destroy(scene->spool);
	ev_loop_destroy(scene->loop);
	free(scene);
	return 0;
}

static inline void make_link(struct scene *scene)
{
	struct err err = { "" };

	assert_int_equal(link_create(scene->loop, &scene->config, scene->psk, &scene->identity, scene->spool, &events,
				     scene, &scene->link, &err),
			 0);
}

static inline void open_link(struct scene *scene)
{
	make_link(scene);
	wait_for_count(scene, &scene->n_open, 1);
}

static inline void add_notice(struct scene *scene, size_t text_length)
{
	char text[LIMIT_RECORD_BYTES] = "", bytes[LIMIT_RECORD_BYTES + 64], subsystem[] = "test";
	Jaga__V1__Event event = JAGA__V1__EVENT__INIT;
	Jaga__V1__Notice notice = JAGA__V1__NOTICE__INIT;
	struct buf buf;

	memset(text, 'x', text_length);
	notice.subsystem = subsystem;
	notice.text = text;
	event.seq = spool_next_seq(scene->spool);
	event.kind_case = JAGA__V1__EVENT__KIND_NOTICE;
	event.notice = &notice;
	buf_init(&buf, bytes, sizeof(bytes));
	assert_int_equal(wire_pack(&event.base, &buf), 0);
	assert_int_equal(spool_add(scene->spool, SPOOL_EVENT, bytes, buf.length), 0);
}

static inline bool is_all_acked(const struct scene *scene, const void *arg)
{
	struct spool_stats stats;

	(void)arg;
	spool_read_stats(scene->spool, &stats);
	return stats.records == 0 && stats.acknowledged_seq + 1 == spool_next_seq(scene->spool);
}

static inline bool is_not_open(const struct scene *scene, const void *arg)
{
	struct link_status status;

	(void)arg;
	link_read_status(scene->link, &status);
	return status.phase != LINK_OPEN;
}

static inline bool is_waiting(const struct scene *scene, const void *arg)
{
	struct link_status status;

	(void)arg;
	link_read_status(scene->link, &status);
	return status.phase == LINK_WAITING && status.last_error[0];
}

#define scene_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
