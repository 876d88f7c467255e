/* cmd_events: `jaga events`, what happened, oldest first, one line an event; --follow goes on for ever. */
#include <errno.h>
#include <string.h>

#include "collector/cli/command.h"
#include "collector/cli/sentence.h"
#include "common/parse.h"

#define DEFAULT_EVENTS 50	/* two screens: more is a question for --limit */
#define FOLLOWED_EVENTS 10	/* as tail -f: where it stands, then what comes */

static const struct column columns[] = {
	{ .path = "time_ms", .title = "TIME", .type = COLUMN_TIME, .width = 19 },
	{ .path = "device", .title = "DEVICE", .width = 10 },
	{ .title = "EVENT", .format = sentence_of_event, .paint = sentence_paint },
};

static const struct render_shape shape = {
	.name = "events",
	.layout = LAYOUT_LINES,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
	.empty = "no events",
};

static int run(const struct invocation *invocation, struct failure *failure)
{
	bool follow = invocation_value(invocation, "follow") != NULL;
	const char *kinds = invocation_value(invocation, "kind");
	const char *limit_text = invocation_value(invocation, "limit");
	const char *device = invocation_value(invocation, "device");
	uint32_t limit = follow ? FOLLOWED_EVENTS : DEFAULT_EVENTS;
	json_t *request;

	if (limit_text && parse_u32(limit_text, follow ? 0 : 1, LIMIT_CTL_EVENTS, &limit) < 0)
		return failure_set(failure, -EINVAL, "--limit takes a number up to 10000",
				   "\"%s\" is no number of events", limit_text);
	if (kinds && strlen(kinds) >= LIMIT_CTL_KINDS) /* which there are, the collector knows */
		return failure_set(failure, -EINVAL, "as in --kind ppp,hotspot; jaga events --help names them",
				   "\"%s\" is no list of kinds", kinds);
	if (device && invocation->n_operands > 0 && strcmp(device, invocation->operands[0]) != 0)
		return failure_set(failure, -EINVAL, "name one of them", "\"%s\" and --device \"%s\" contradict each other",
				   invocation->operands[0], device);
	request = invocation_request("events", invocation->n_operands > 0 ? invocation->operands[0] : device);
	if (request && (json_object_set_new(request, "limit", json_integer(limit)) < 0 ||
			(kinds && json_object_set_new(request, "kinds", json_string(kinds)) < 0) ||
			(follow && json_object_set_new(request, "follow", json_true()) < 0))) {
		json_decref(request);
		request = NULL;
	}
	return invocation_list(invocation, request, &shape, follow ? CLIENT_FOREVER : LIMIT_CLI_SILENCE_MS, failure);
}

static const struct option_spec options[] = {
	{ "follow", 'f', NULL, "go on: print events as they happen" },
	{ "device", 'd', "DEVICE", "the same: of this router only" },
	{ "kind", 'k', "KINDS", "of these kinds only, with commas between" },
	{ "limit", 'n', "N", "the newest N (50; with --follow 10 to begin with)" },
};

const struct command command_events = {
	.name = "events",
	.operands = "[DEVICE]",
	.operands_max = 1,
	.summary = "what happened: uplinks, users, neighbours, routers on and off line",
	.details = "Kinds: uplink, online, offline, job, started, notice; of RouterOS routers also ppp and hotspot\n"
		   "(users log in and out), ospf, bgp, l2tp, lte, interface, netwatch, restart. Many users that leave\n"
		   "at once are one line.",
	.example = "jaga events rtr1 --follow",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
