/*
 * main: the command line of jaga-agent. Without a command it is the agent; with one it asks the
 * agent that runs on this router, over its local socket. See jaga-agent(8).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/config_fields.h"
#include "agent/maintenance.h"
#include "agent/router/router.h"
#include "agent/script_unit.h"
#include "common/log.h"

static const char usage[] =
	"usage: jaga-agent [--config FILE] [--debug]           keep this router online (the service)\n"
	"       jaga-agent [--config FILE] --check             look for what would break; changes nothing\n"
	"       jaga-agent [--config FILE] --remove            take every trace of Jaga off the forwarding\n"
	"       jaga-agent [--config FILE] --run-script        run one script for an agent that is not root (a unit)\n"
	"       jaga-agent --pin ADDRESS                       show the certificate of a RouterOS router, to be compared\n"
	"       jaga-agent [--config FILE] COMMAND             ask the agent that runs here:\n"
	"\n"
	"  status                      session with the collector, spool, plan\n"
	"  uplinks                     state, share and quality of each uplink\n"
	"  force UPLINK --for 2h       prefer one uplink over all others for a while\n"
	"  unforce                     end that now\n"
	"  snapshot                    take the configuration and offer it to the collector\n"
	"\n"
	"  --script-socket PATH        scripts are run by the unit that listens there, not by the agent itself\n"
	"  --json, --kv                output for programs\n"
	"  --config FILE               default /etc/jaga/agent.conf, or /etc/config/jaga where only that is\n"
	"  --version, --help\n"
	"\n"
	"exit status: 0 done, 1 failed, 2 wrong configuration or usage, 3 refused by the doctor, 4 no agent runs\n";

enum mode { MODE_RUN, MODE_CHECK, MODE_REMOVE, MODE_RUN_SCRIPT, MODE_PIN };

struct arguments {
	const char *config_path; /* NULL: none was named */
	const char *pin_address;
	const char *script_socket; /* NULL: the agent runs scripts itself */
	const char *for_duration;
	const char *format; /* as table_format_parse() takes it */
	enum mode mode;
	enum log_level level;
	bool is_done; /* --help, --version */
};

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "for", required_argument, NULL, 'f' },
		{ "check", no_argument, NULL, 'C' },	    { "remove", no_argument, NULL, 'R' },
		{ "json", no_argument, NULL, 'j' },	    { "kv", no_argument, NULL, 'k' },
		{ "debug", no_argument, NULL, 'd' },	    { "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },	    { "run-script", no_argument, NULL, 'r' },
		{ "script-socket", required_argument, NULL, 's' }, { "pin", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c': arguments->config_path = optarg; break;
		case 'f': arguments->for_duration = optarg; break;
		case 'C': arguments->mode = MODE_CHECK; break;
		case 'r': arguments->mode = MODE_RUN_SCRIPT; break;
		case 's': arguments->script_socket = optarg; break;
		case 'p': arguments->pin_address = optarg; arguments->mode = MODE_PIN; break;
		case 'R': arguments->mode = MODE_REMOVE; break;
		case 'j': arguments->format = "json"; break;
		case 'k': arguments->format = "kv"; break;
		case 'd': arguments->level = LOG_LEVEL_DEBUG; break;
		case 'V': printf("jaga-agent %s\n", JAGA_VERSION); arguments->is_done = true; break;
		case 'h': fputs(usage, stdout); arguments->is_done = true; break;
		default:
			fputs("see jaga-agent --help\n", stderr); /* getopt has said what is wrong */
			return EXIT_USAGE;
		}
	}
	return EXIT_OK;
}

/* Makes the line for the agent's socket from the words of the command. */
static int ask(const struct agent_config *config, const struct arguments *arguments, char **words, int n_words)
{
	char memory[LIMIT_REQUEST_BYTES];
	bool is_force = strcmp(words[0], "force") == 0 && (n_words != 2 || strcmp(words[1], "none") != 0);
	struct buf request;

	if (is_force && (n_words != 2 || !arguments->for_duration)) {
		fputs("jaga-agent: write: jaga-agent force UPLINK --for 2h\n", stderr);
		return EXIT_USAGE;
	}
	if (!is_force && arguments->for_duration) {
		fputs("jaga-agent: --for belongs to force UPLINK\n", stderr);
		return EXIT_USAGE;
	}
	buf_init(&request, memory, sizeof(memory));
	buf_puts(&request, arguments->format);
	if (is_force)
		buf_printf(&request, " force %s %s", words[1], arguments->for_duration);
	else if (strcmp(words[0], "force") == 0)
		buf_puts(&request, " unforce");
	else
		for (int i = 0; i < n_words; i++)
			buf_printf(&request, " %s", words[i]);
	buf_puts(&request, "\n");
	if (request.failed) {
		fputs("jaga-agent: the command is too long\n", stderr);
		return EXIT_USAGE;
	}
	return local_ask(config->socket_path, request.data, stdout, stderr);
}

static bool is_command(const char *word)
{
	static const char *const commands[] = { "status", "uplinks", "force", "unforce", "snapshot" };

	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(word, commands[i]) == 0)
			return true;
	return false;
}

static bool set_script_socket(struct agent_config *config, const char *path)
{
	if (!path)
		return true;
	if (path[0] != '/' || strlen(path) >= sizeof(config->script_socket)) {
		fprintf(stderr, "jaga-agent: --script-socket takes an absolute path shorter than %zu characters\n",
			sizeof(config->script_socket));
		return false;
	}
	memcpy(config->script_socket, path, strlen(path) + 1);
	return true;
}

static int show_pin(const char *address)
{
	struct err err;

	if (router_show_pin(address, stdout, &err) == 0)
		return EXIT_OK;
	fprintf(stderr, "jaga-agent: %s\n", err.text);
	return EXIT_FAILED;
}

static bool has_driver(const struct agent_config *config, const char *path)
{
	if (router_driver(config))
		return true;
	fprintf(stderr, "jaga-agent: %s: [router] driver: this program steers only the router that it runs on; for a RouterOS "
		"router take the agent for arm, arm64 or x86_64, on a machine beside it or in a container on it\n", path);
	return false;
}

/* OpenWrt keeps configuration elsewhere; the file itself says of which kind it is. */
static const char *default_config_path(void)
{
	static const char usual[] = "/etc/jaga/agent.conf", openwrt[] = "/etc/config/jaga";

	return access(usual, F_OK) < 0 && access(openwrt, F_OK) == 0 ? openwrt : usual;
}

/*
 * A plan is taken away by what is in the kernel; the file says where settings were saved, and whether another router is
 * meant. Who has deleted it, and named none, means this one.
 */
static int load_config(struct arguments *arguments, struct agent_config *ret_config)
{
	bool is_named = arguments->config_path != NULL;

	if (!is_named)
		arguments->config_path = default_config_path();
	if (is_named || arguments->mode != MODE_REMOVE || access(arguments->config_path, F_OK) == 0 || errno != ENOENT)
		return config_load(arguments->config_path, stderr, ret_config);
	fprintf(stderr, "jaga-agent: there is no %s: removing what is in force on this machine\n", arguments->config_path);
	config_set_defaults(ret_config);
	if (access("/etc/config", F_OK) == 0)
		config_set_openwrt_defaults(ret_config);
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .format = "table", .level = LOG_LEVEL_INFO };
	static struct agent_config config; /* lives as long as the program */
	enum table_format format;
	int r;

	r = parse_arguments(argc, argv, &arguments);
	if (r != EXIT_OK || arguments.is_done)
		return r;
	if (optind < argc && (arguments.mode != MODE_RUN || !is_command(argv[optind]))) {
		fprintf(stderr, "jaga-agent: '%s' is not understood; see jaga-agent --help\n", argv[optind]);
		return EXIT_USAGE;
	}
	/* Under systemd lines carry their priority; on a terminal the time. */
	log_init(arguments.level, getenv("JOURNAL_STREAM") != NULL);
	if (arguments.mode == MODE_RUN_SCRIPT)
		return script_serve(arguments.config_path ? arguments.config_path : default_config_path(), STDIN_FILENO);
	if (arguments.mode == MODE_PIN)
		return show_pin(arguments.pin_address);
	if (load_config(&arguments, &config) < 0 || !set_script_socket(&config, arguments.script_socket))
		return EXIT_USAGE;
	if (optind < argc)
		return ask(&config, &arguments, argv + optind, argc - optind);
	if (!has_driver(&config, arguments.config_path))
		return EXIT_USAGE;
	if (arguments.mode == MODE_REMOVE)
		return maintenance_remove(&config);
	if (arguments.mode == MODE_CHECK)
		return table_format_parse(arguments.format, &format) < 0 ? EXIT_USAGE : maintenance_check(&config, format, stdout);
	if (!config.is_enabled) {
		fprintf(stderr, "jaga-agent: %s says that it is not enabled; write enabled = yes in [agent]\n",
			arguments.config_path);
		return EXIT_USAGE;
	}
	return agent_run(&config);
}
