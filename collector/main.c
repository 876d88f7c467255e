/*
 * main: arguments, signals, exit codes of jaga-collector.
 *
 * Exit: 0 stopped by SIGTERM or SIGINT; 1 could not start or lost its store; 2 bad arguments or a bad
 * configuration file. Under systemd: READY, WATCHDOG and STOPPING by sd_notify(3), log lines with
 * sd-daemon(3) prefixes. No core dumps: memory holds the keys of the fleet.
 */
#include <errno.h>
#include <ev.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "collector/collector.h"
#include "common/log.h"

static const char usage[] =
	"usage: jaga-collector [--config FILE] [--check] [--debug]\n"
	"  --config FILE  instead of /etc/jaga/collector.conf\n"
	"  --check        read the configuration, say what is wrong with it, change nothing\n"
	"  --debug        log more\n"
	"  --version      print the version\n"
	"  --help         print this\n";

struct options {
	const char *config;
	bool check, debug;
};

/* Returns -1 to go on, else the exit code. */
static int read_options(int argc, char **argv, struct options *ret)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
		{ "debug", no_argument, NULL, 'd' },	    { "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },	    { 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			ret->config = optarg;
			break;
		case 'k':
			ret->check = true;
			break;
		case 'd':
			ret->debug = true;
			break;
		case 'v':
			puts("jaga-collector " JAGA_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "jaga-collector: unknown argument '%s'\n%s", argv[optind], usage);
	return 2;
}

static void on_stop(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)events;
	log_info("collector", "stopping signal=%s", strsignal(watcher->signum));
	ev_break(loop, EVBREAK_ALL);
}

static void on_reload(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
	log_info("collector", "the configuration is read at the start only; restart to use a new one: agents keep their reports "
		 "meanwhile");
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)timer;
	(void)events;
	sd_notify(0, "WATCHDOG=1");
}

static void run(struct ev_loop *loop)
{
	ev_signal terminate, interrupt, hangup;
	ev_timer watchdog;
	uint64_t watchdog_us = 0;

	ev_signal_init(&terminate, on_stop, SIGTERM);
	ev_signal_init(&interrupt, on_stop, SIGINT);
	ev_signal_init(&hangup, on_reload, SIGHUP);
	ev_signal_start(loop, &terminate);
	ev_signal_start(loop, &interrupt);
	ev_signal_start(loop, &hangup);
	if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
		double half_s = (double)watchdog_us / 2e6;

		ev_timer_init(&watchdog, on_watchdog, half_s, half_s);
		ev_timer_start(loop, &watchdog);
	}
	sd_notify(0, "READY=1");
	ev_run(loop, 0);
	sd_notify(0, "STOPPING=1");
}

int main(int argc, char **argv)
{
	struct options options = { .config = "/etc/jaga/collector.conf" };
	struct collector_config config;
	struct collector collector;
	struct err err = { "" };
	struct ev_loop *loop;
	int r = read_options(argc, argv, &options);

	if (r >= 0)
		return r;
	log_init(options.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, getenv("JOURNAL_STREAM") != NULL);
	r = config_load(options.config, stderr, &config);
	if (r < 0 && r != -EINVAL)
		fprintf(stderr, "jaga-collector: %s: %s; see jaga-collector.conf(5)\n", options.config, strerror(-r));
	if (r < 0)
		return 2;
	if (options.check)
		return 0;
	collector_harden();
	loop = ev_default_loop(EVFLAG_AUTO);
	if (!loop || collector_start(&collector, loop, &config, &err) < 0) {
		log_error("collector", "cannot start: %s", loop ? err.text : "no event loop");
		return 1;
	}
	log_info("collector", "ready version=%s listen_port=%u store=%s socket=%s", JAGA_VERSION, config.listen.port,
		 config.store_path, config.socket_path);
	run(loop);
	r = collector.is_lost ? 1 : 0;
	collector_stop(&collector);
	ev_loop_destroy(loop);
	return r;
}
