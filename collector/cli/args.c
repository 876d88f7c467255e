/*
 * args: see args.h.
 *
 * getopt_long(3) runs twice: over the common options up to the command's name, then over the rest
 * with the command's own options added. It is told to be silent; what is wrong is said here, with
 * the nearest option where one is near.
 */
#include "collector/cli/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/client.h"
#include "collector/cli/nearest.h"

static const struct option_spec common_options[] = {
	{ "json", 0, NULL, "print JSON: an array of rows; with --follow a row on each line" },
	{ "kv", 0, NULL, "print key=value lines" },
	{ "socket", 0, "PATH", "control socket of the collector (also $JAGA_SOCKET)" },
	{ "no-color", 0, NULL, "no colours on a terminal (also $NO_COLOR)" },
	{ "help", 'h', NULL, "explain, with an example" },
	{ "version", 'V', NULL, "print the version" },
};
#define N_COMMON (sizeof(common_options) / sizeof(common_options[0]))
#define N_ALL (N_COMMON + LIMIT_CLI_OPTIONS)

enum { COMMON_JSON, COMMON_KV, COMMON_SOCKET, COMMON_NO_COLOUR, COMMON_HELP, COMMON_VERSION };

#define VALUE_BASE 256 /* getopt_long's value of option i is VALUE_BASE + i: clear of all letters */

struct option_table {
	const struct option_spec *specs[N_ALL];
	size_t n;
	struct option longs[N_ALL + 1];
	char shorts[2 * N_ALL + 3];
};

static void table_make(struct option_table *table, const struct command *command)
{
	size_t n_own = command ? command->n_options : 0;
	char *letter = table->shorts;

	*letter++ = command ? ':' : '+'; /* '+': stop at the command's name */
	if (!command)
		*letter++ = ':'; /* ':': tell a missing argument from an unknown option */
	table->n = N_COMMON + n_own;
	for (size_t i = 0; i < table->n; i++) {
		const struct option_spec *spec = i < N_COMMON ? &common_options[i] : &command->options[i - N_COMMON];

		table->specs[i] = spec;
		table->longs[i] = (struct option){ .name = spec->name,
						   .has_arg = spec->argument ? required_argument : no_argument,
						   .val = VALUE_BASE + (int)i };
		if (spec->letter != 0) {
			*letter++ = spec->letter;
			if (spec->argument)
				*letter++ = ':';
		}
	}
	table->longs[table->n] = (struct option){ 0 };
	*letter = '\0';
}

static size_t table_index(const struct option_table *table, int value)
{
	size_t i = 0;

	if (value >= VALUE_BASE)
		return (size_t)(value - VALUE_BASE);
	while (i < table->n && table->specs[i]->letter != value)
		i++;
	return i;
}

static int refuse(const struct command *command, struct failure *failure, const char *what, const char *word)
{
	int r = failure_set(failure, -EINVAL, NULL, "%s%s", what, word);

	if (command)
		failure_set_next(failure, "`jaga %s --help` explains", command->name);
	else
		failure_set_next(failure, "`jaga --help` lists what there is");
	return r;
}

static int refuse_option(const struct option_table *table, const struct command *command, const char *word,
			 struct failure *failure)
{
	const char *names[N_ALL];
	char typed[LIMIT_CLI_WORD];
	const char *nearest;
	int r;

	r = refuse(command, failure, "unknown option ", word);
	for (size_t i = 0; i < table->n; i++)
		names[i] = table->specs[i]->name;
	(void)snprintf(typed, sizeof(typed), "%s", word + strspn(word, "-")); /* longer than every option: cut is fine */
	typed[strcspn(typed, "=")] = '\0';
	nearest = strncmp(word, "--", 2) == 0 ? nearest_find(typed, names, table->n) : NULL;
	if (nearest)
		failure_set_next(failure, "did you mean --%s? `jaga %s%s--help` lists all", nearest,
				 command ? command->name : "", command ? " " : "");
	return r;
}

static int take_common(size_t index, const char *value, struct invocation *invocation, struct failure *failure)
{
	enum render_format wanted = index == COMMON_JSON ? RENDER_JSON : RENDER_KV;

	switch (index) {
	case COMMON_JSON:
	case COMMON_KV:
		if (invocation->format != RENDER_HUMAN && invocation->format != wanted)
			return refuse(invocation->command, failure, "--json and --kv exclude each other", "");
		invocation->format = wanted;
		return ARGS_RUN;
	case COMMON_SOCKET:
		invocation->socket_path = value;
		return ARGS_RUN;
	case COMMON_NO_COLOUR:
		invocation->no_colour = true;
		return ARGS_RUN;
	case COMMON_VERSION:
		return ARGS_VERSION;
	default:
		return ARGS_HELP;
	}
}

/* Parses options from argv[first] on; optind is then the first operand. */
static int parse_options(const struct command *command, int first, int argc, char **argv,
			 struct invocation *invocation, struct failure *failure)
{
	struct option_table table;
	int value;

	table_make(&table, command);
	opterr = 0;
	optind = 0; /* GNU: forget everything from the last scan */
	argv += first;
	argc -= first;
	for (;;) {
		char letter[3] = "-?";
		size_t index;
		int r;

		value = getopt_long(argc, argv, table.shorts, table.longs, NULL);
		if (value < 0)
			return 0;
		letter[1] = (char)optopt;
		if (value == '?')
			return refuse_option(&table, command, optopt > 0 && optopt < VALUE_BASE ? letter : argv[optind - 1],
					     failure);
		if (value == ':')
			return refuse(command, failure, "no value after ", argv[optind - 1]);
		index = table_index(&table, value);
		if (optarg && optarg[0] == '\0') /* of an unset variable in a script: it names nothing anywhere */
			return refuse(command, failure, "the value is empty of --", table.specs[index]->name);
		if (index < N_COMMON) {
			r = take_common(index, optarg, invocation, failure);
			if (r != ARGS_RUN)
				return r;
		} else {
			invocation->values[index - N_COMMON] = optarg ? optarg : "";
		}
	}
}

static const struct command *find_command(const struct command *const *commands, const char *name)
{
	for (; *commands; commands++)
		if (strcmp((*commands)->name, name) == 0)
			return *commands;
	return NULL;
}

static int refuse_command(const struct command *const *commands, const char *name, struct failure *failure)
{
	const char *names[32];
	const char *nearest;
	size_t n = 0;
	int r;

	for (; commands[n] && n < sizeof(names) / sizeof(names[0]); n++)
		names[n] = commands[n]->name;
	r = refuse(NULL, failure, "unknown command ", name);
	nearest = nearest_find(name, names, n);
	if (nearest)
		failure_set_next(failure, "did you mean `jaga %s`? `jaga --help` lists all", nearest);
	return r;
}

static int take_operands(int argc, char **argv, struct invocation *invocation, struct failure *failure)
{
	const struct command *command = invocation->command;
	size_t n = (size_t)(argc - optind);
	int r = 0;

	for (size_t i = 0; i < n && i < LIMIT_CLI_OPERANDS; i++) {
		invocation->operands[i] = argv[optind + (int)i];
		if (invocation->operands[i][0] == '\0')
			r = failure_set(failure, -EINVAL, NULL, "argument %zu of %s is empty", i + 1, command->name);
	}
	invocation->n_operands = n;
	if (n < command->operands_min)
		r = failure_set(failure, -EINVAL, NULL, "too few arguments to %s", command->name);
	if (n > command->operands_max)
		r = failure_set(failure, -EINVAL, NULL, "what is \"%s\"? too many arguments to %s",
				argv[optind + (int)command->operands_max], command->name);
	if (r < 0)
		failure_set_next(failure, "it is used as `jaga %s%s%s`", command->name,
				 command->operands[0] != '\0' ? " " : "", command->operands);
	return r;
}

int args_parse(const struct command *const *commands, int argc, char **argv, struct invocation *ret_invocation,
	       struct failure *failure)
{
	const char *from_environment = getenv("JAGA_SOCKET");
	bool is_help;
	int first, r;

	*ret_invocation = (struct invocation){
		.socket_path = from_environment && from_environment[0] != '\0' ? from_environment : CLIENT_DEFAULT_SOCKET,
	};
	r = parse_options(NULL, 0, argc, argv, ret_invocation, failure);
	if (r != ARGS_RUN)
		return r;
	first = optind;
	is_help = first < argc && strcmp(argv[first], "help") == 0;
	if (is_help)
		first++;
	if (first >= argc)
		return is_help ? ARGS_HELP : refuse(NULL, failure, "no command", "");
	ret_invocation->command = find_command(commands, argv[first]);
	if (!ret_invocation->command)
		return refuse_command(commands, argv[first], failure);
	if (is_help)
		return ARGS_HELP;
	r = parse_options(ret_invocation->command, first, argc, argv, ret_invocation, failure);
	if (r != ARGS_RUN)
		return r;
	return take_operands(argc - first, argv + first, ret_invocation, failure);
}

static void print_option(const struct option_spec *spec, FILE *out)
{
	char left[64];

	(void)snprintf(left, sizeof(left), "%c%c%s--%s%s%s", spec->letter != 0 ? '-' : ' ',
		       spec->letter != 0 ? spec->letter : ' ', spec->letter != 0 ? ", " : "  ", spec->name,
		       spec->argument ? " " : "", spec->argument ? spec->argument : ""); /* our own words: they fit */
	(void)fprintf(out, "  %-26s %s\n", left, spec->help);
}

static const char exit_statuses[] = "Exit status:\n"
				    "  0  done                      4  the collector is not reachable\n"
				    "  1  failed                    5  the device is offline, or no answer in time\n"
				    "  2  wrong use                 6  doctor: something is fatal\n"
				    "  3  not found                 125  push --wait: the script has no status of its own\n";

void args_print_overview(const struct command *const *commands, FILE *out)
{
	(void)fputs("jaga: see and change routers through the collector\n\n"
		    "Usage: jaga COMMAND [ARGUMENT]... [OPTION]...\n\nCommands:\n",
		    out); /* main() checks the stream */
	for (; *commands; commands++)
		(void)fprintf(out, "  %-26s %s\n", (*commands)->name, (*commands)->summary);
	(void)fputs("\nOptions of every command:\n", out);
	for (size_t i = 0; i < N_COMMON; i++)
		print_option(&common_options[i], out);
	(void)fprintf(out, "\n%s\n`jaga COMMAND --help` explains one command with an example; `man jaga` has it all.\n",
		      exit_statuses);
}

void args_print_help(const struct command *command, FILE *out)
{
	(void)fprintf(out, "jaga %s: %s\n\nUsage: jaga %s%s%s [OPTION]...\n", command->name, command->summary, command->name,
		      command->operands[0] != '\0' ? " " : "", command->operands);
	if (command->details)
		(void)fprintf(out, "\n%s\n", command->details);
	(void)fputs("\nOptions:\n", out);
	for (size_t i = 0; i < command->n_options; i++)
		print_option(&command->options[i], out);
	for (size_t i = 0; i < N_COMMON; i++)
		print_option(&common_options[i], out);
	(void)fprintf(out, "\n%s\nExample:\n  %s\n", exit_statuses, command->example);
}
