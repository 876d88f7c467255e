/*
 * routerctl: the Linux driver of agent/router by hand, for tests. One command a line on standard input,
 * one line of "ok key=value..." or "error CODE text" back; whatever happens unasked is a line of its own
 * ("event uplink=0 carrier=1 address=1"). Ends at end of input, leaving the plan in force, as the agent does.
 *
 *   check                        "trap LEVEL ID<TAB>what<TAB>fix" for each, then ok worst=LEVEL
 *   take_over | apply [PLAN]     PLAN: words "bucket=U,U,..." (repeated to fill) and "live=U,U,..."; default: by weight
 *   read_plan | flush UPLINK all|unreplied | state UPLINK | counters UPLINK | remove
 *   overrun                      shrinks the notification socket and stops reading until the next line comes
 *   one_by_one                   flush unreplied flows as kernels before 5.15 must
 *   bench UPLINK N               N fail-overs and fail-backs of that uplink, timed
 *   time_flush UPLINK all|unreplied
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/router/linux.h"
#include "common/log.h"
#include "common/parse.h"

static const char *const level_names[] = {"ok", "warning", "fatal"};

struct ctl {
	struct agent_config config;
	struct router *router;
	struct forwarding_plan plan;
	char input[4096];
	size_t input_length;
	ev_io input_io;
	bool is_finished;
};

static void make_default_plan(const struct agent_config *config, struct forwarding_plan *plan)
{
	unsigned total = 0, uplink = 0, given = 0;

	*plan = (struct forwarding_plan){.n_buckets = (uint8_t)config->n_buckets, .n_uplinks = (uint8_t)config->n_uplinks};
	for (unsigned i = 0; i < config->n_uplinks; i++) {
		plan->live[i] = (uint8_t)i;
		total += config->uplinks[i].weight;
	}
	for (unsigned i = 0; i < config->n_buckets; i++) {
		while (uplink + 1 < config->n_uplinks &&
		       i * total >= (given + config->uplinks[uplink].weight) * config->n_buckets)
			given += config->uplinks[uplink++].weight;
		plan->bucket[i] = (uint8_t)uplink;
	}
}

/* "0,1,1" over n entries, repeated. */
static void read_list(const char *text, uint8_t *values, unsigned n)
{
	unsigned count = 0;

	for (const char *at = text; at && count < n; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		values[count++] = (uint8_t)strtoul(at, NULL, 10);
	for (unsigned i = count; i < n; i++)
		values[i] = values[i - count];
}

static void read_plan_words(struct ctl *ctl, char *words)
{
	make_default_plan(&ctl->config, &ctl->plan);
	for (char *word = words ? strtok(words, " ") : NULL; word; word = strtok(NULL, " ")) {
		if (strncmp(word, "bucket=", 7) == 0)
			read_list(word + 7, ctl->plan.bucket, ctl->plan.n_buckets);
		else if (strncmp(word, "live=", 5) == 0)
			read_list(word + 5, ctl->plan.live, ctl->plan.n_uplinks);
	}
}

static void answer(int ret, const struct err *err, const char *rest)
{
	if (ret < 0)
		printf("error %s %s\n", strerrorname_np(-ret), err->text);
	else
		printf("ok%s%s\n", rest[0] ? " " : "", rest);
}

static void print_trap(void *arg, const struct router_trap *trap)
{
	(void)arg;
	printf("trap %s %s\t%s\t%s\n", level_names[trap->level], trap->id, trap->what, trap->fix);
}

static void on_checked(void *arg, enum router_trap_level worst, const struct err *error)
{
	char rest[32];

	(void)arg;
	snprintf(rest, sizeof(rest), "worst=%s", level_names[worst]);
	answer(error ? -EIO : 0, error, rest);
}

/* The Linux driver answers at once. */
static void run_check(struct ctl *ctl)
{
	struct err err = {0};
	int ret = router_linux.check(ctl->router, print_trap, on_checked, NULL, &err);

	if (ret < 0)
		answer(ret, &err, "");
}

static void run_read_plan(struct ctl *ctl)
{
	struct forwarding_plan plan;
	struct err err = {0};
	int ret = router_linux.read_plan(ctl->router, &plan, &err);

	if (ret < 0) {
		answer(ret, &err, "");
		return;
	}
	printf("ok bucket=");
	for (unsigned i = 0; i < plan.n_buckets; i++)
		printf("%s%u", i ? "," : "", plan.bucket[i]);
	printf(" live=");
	for (unsigned i = 0; i < plan.n_uplinks; i++)
		printf("%s%u", i ? "," : "", plan.live[i]);
	printf("\n");
}

static void run_on_uplink(struct ctl *ctl, const char *verb, unsigned uplink, const char *word)
{
	struct router_uplink_state state = {0};
	struct router_counters counters = {0};
	uint32_t flows = 0;
	struct err err = {0};
	char rest[96] = "";
	int ret;

	if (uplink >= ctl->config.n_uplinks) {
		ret = err_set(&err, -EINVAL, "no such uplink");
	} else if (strcmp(verb, "flush") == 0) {
		ret = router_linux.flush(ctl->router, uplink,
					 strcmp(word, "all") == 0 ? ROUTER_FLUSH_ALL : ROUTER_FLUSH_UNREPLIED, &flows, &err);
		snprintf(rest, sizeof(rest), "flows=%u", flows);
	} else if (strcmp(verb, "state") == 0) {
		ret = router_linux.read_uplink(ctl->router, uplink, &state);
		snprintf(rest, sizeof(rest), "carrier=%d address=%d", state.has_carrier, state.has_address);
	} else {
		ret = router_linux.read_counters(ctl->router, uplink, &counters);
		snprintf(rest, sizeof(rest), "rx=%" PRIu64 " tx=%" PRIu64, counters.rx_bytes, counters.tx_bytes);
	}
	answer(ret, &err, rest);
}

static void read_input(struct ctl *ctl)
{
	ssize_t n = read(STDIN_FILENO, ctl->input + ctl->input_length, sizeof(ctl->input) - ctl->input_length);

	if (n <= 0)
		ctl->is_finished = true;
	else
		ctl->input_length += (size_t)n;
}

static void run_overrun(struct ctl *ctl)
{
	int bytes = 1;

	/* The smallest that the kernel allows: a message or two. */
	if (setsockopt(ctl->router->route_io.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0) {
		printf("error %s shrinking the socket\n", strerrorname_np(errno));
		return;
	}
	printf("ok\n");
	fflush(stdout);
	while (!ctl->is_finished && ctl->input_length == 0)
		read_input(ctl);
}

static double us_since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from->tv_sec) * 1e6 + (double)(now.tv_nsec - from->tv_nsec) / 1e3;
}

static void run_time_flush(struct ctl *ctl, unsigned uplink, const char *word)
{
	enum router_flush what = strcmp(word, "all") == 0 ? ROUTER_FLUSH_ALL : ROUTER_FLUSH_UNREPLIED;
	struct timespec from;
	struct err err = {0};
	uint32_t flows = 0;
	char rest[64];
	int ret;

	clock_gettime(CLOCK_MONOTONIC, &from);
	ret = router_linux.flush(ctl->router, uplink, what, &flows, &err);
	snprintf(rest, sizeof(rest), "flows=%u us=%.0f", flows, us_since(&from));
	answer(ret, &err, rest);
}

static int compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Every bucket and the live entry of the uplink go to the next one, and back. */
static void run_bench(struct ctl *ctl, unsigned uplink, unsigned n)
{
	struct forwarding_plan home, away;
	double *us = calloc(2 * (size_t)n + 1, sizeof(*us));
	struct timespec from;
	struct err err = {0};
	unsigned changed = 1;
	char rest[128];
	int ret = 0;

	make_default_plan(&ctl->config, &home);
	away = home;
	away.live[uplink] = (uint8_t)((uplink + 1) % home.n_uplinks);
	for (unsigned i = 0; i < home.n_buckets; i++) {
		if (home.bucket[i] == uplink) {
			away.bucket[i] = away.live[uplink];
			changed++;
		}
	}
	for (unsigned i = 0; us && ret == 0 && i < 2 * n; i++) {
		clock_gettime(CLOCK_MONOTONIC, &from);
		ret = router_linux.apply(ctl->router, i & 1 ? &home : &away, &err);
		us[i] = us_since(&from);
	}
	if (us && n > 0) {
		qsort(us, 2 * (size_t)n, sizeof(*us), compare_times);
		snprintf(rest, sizeof(rest), "elements=%u p50_us=%.0f p99_us=%.0f max_us=%.0f", changed, us[n],
			 us[2 * (size_t)n * 99 / 100], us[2 * (size_t)n - 1]);
		answer(ret, &err, rest);
	}
	free(us);
}

static void run_command(struct ctl *ctl, char *line)
{
	char *rest = strchr(line, ' ');
	struct err err = {0};
	bool is_adopted = false;
	unsigned number = 0, count = 0;
	char word[16] = "", text[32];
	int ret;

	if (rest)
		*rest++ = '\0';
	if (strcmp(line, "check") == 0) {
		run_check(ctl);
	} else if (strcmp(line, "take_over") == 0) {
		read_plan_words(ctl, rest);
		ret = router_linux.take_over(ctl->router, &ctl->plan, &is_adopted, &err);
		snprintf(text, sizeof(text), "adopted=%d", is_adopted);
		answer(ret, &err, text);
	} else if (strcmp(line, "apply") == 0) {
		read_plan_words(ctl, rest);
		ret = router_linux.apply(ctl->router, &ctl->plan, &err);
		answer(ret, &err, "");
	} else if (strcmp(line, "read_plan") == 0) {
		run_read_plan(ctl);
	} else if (strcmp(line, "remove") == 0) {
		ret = router_linux.remove(ctl->router, &err);
		answer(ret, &err, "");
	} else if (strcmp(line, "overrun") == 0) {
		run_overrun(ctl);
	} else if (strcmp(line, "one_by_one") == 0) {
		ctl->router->ct_flushes_one_by_one = true;
		printf("ok\n");
	} else if (strcmp(line, "bench") == 0 && rest && sscanf(rest, "%u %u", &number, &count) == 2) {
		run_bench(ctl, number, count);
	} else if (strcmp(line, "time_flush") == 0 && rest && sscanf(rest, "%u %15s", &number, word) == 2 &&
		   number < ctl->config.n_uplinks) {
		run_time_flush(ctl, number, word);
	} else if (rest && sscanf(rest, "%u %15s", &number, word) >= 1) {
		run_on_uplink(ctl, line, number, word);
	} else {
		printf("error EINVAL unknown command\n");
	}
	fflush(stdout);
}

static void on_input(struct ev_loop *loop, ev_io *io, int revents)
{
	struct ctl *ctl = io->data;
	char *end;

	(void)revents;
	read_input(ctl);
	while ((end = memchr(ctl->input, '\n', ctl->input_length))) {
		char line[sizeof(ctl->input)];
		size_t length = (size_t)(end - ctl->input);

		memcpy(line, ctl->input, length);
		line[length] = '\0';
		ctl->input_length -= length + 1;
		memmove(ctl->input, end + 1, ctl->input_length);
		run_command(ctl, line);
	}
	if (ctl->is_finished)
		ev_break(loop, EVBREAK_ALL);
}

static void on_uplink(void *arg, unsigned uplink, const struct router_uplink_state *state)
{
	(void)arg;
	printf("event uplink=%u carrier=%d address=%d\n", uplink, state->has_carrier, state->has_address);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct ctl ctl;
	struct router_events events = {.on_uplink = on_uplink};
	struct ev_loop *loop = ev_default_loop(0);
	struct err err = {0};
	int ret;

	log_init(LOG_LEVEL_INFO, true);
	if (argc != 2 || config_load(argv[1], stderr, &ctl.config) < 0) {
		fprintf(stderr, "usage: routerctl AGENT.CONF\n");
		return 2;
	}
	ret = router_linux.open(loop, &ctl.config, &events, &ctl, &ctl.router, &err);
	if (ret < 0) {
		fprintf(stderr, "routerctl: %s\n", err.text);
		return 1;
	}
	ev_io_init(&ctl.input_io, on_input, STDIN_FILENO, EV_READ);
	ctl.input_io.data = &ctl;
	ev_io_start(loop, &ctl.input_io);
	ev_run(loop, 0);
	ev_io_stop(loop, &ctl.input_io);
	router_linux.close(ctl.router);
	ev_loop_destroy(loop);
	return 0;
}
