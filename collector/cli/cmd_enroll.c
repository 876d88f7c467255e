/*
 * cmd_enroll: `jaga enroll NAME --out DIR`, lets a router in: the collector makes a fresh key, and
 * DIR gets the two files that go to the router's /etc/jaga.
 *
 * The key exists in two places only, the collector's store and DIR/agent.key. It is never printed,
 * not by --json either. What is there already is not touched without --force, and that is found out
 * before the collector is asked, so that a refused command has changed nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/cli/agent_conf.h"
#include "collector/cli/command.h"
#include "collector/cli/row.h"
#include "common/parse.h"

#define CONF_NAME "agent.conf"
#define KEY_NAME "agent.key"
#define CONF_MODE 0644
#define KEY_MODE 0600 /* the agent refuses a key that others can read */

struct enrolment {
	const char *device, *directory;
	const char *collector, *key;
	bool is_directory_new;
	char conf_path[LIMIT_PATH], key_path[LIMIT_PATH];
};

static void format_enrolled(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_printf(buf, "%s may report to %s", row_text_or(row, "device", "?"),
		   row_text_or(row, "collector", "this collector"));
}

static void format_next(const json_t *row, int64_t now_ms, struct buf *buf)
{
	(void)now_ms;
	buf_printf(buf, "name its uplinks%s (beside RouterOS: its [router]) in %s, copy both files to /etc/jaga where the agent is to "
		   "run, start jaga-agent there", row_text(row, "collector") ? "" : " and the collector's address", row_text_or(row, "conf", "?"));
}

static const struct column columns[] = {
	{ .title = "enrolled", .format = format_enrolled },
	{ .path = "conf", .title = "written" },
	{ .path = "key_file", .title = "and" },
	{ .title = "next", .format = format_next },
};

static const struct render_shape shape = {
	.name = "enrolled",
	.one_row = true,
	.layout = LAYOUT_RECORD,
	.columns = columns,
	.n_columns = sizeof(columns) / sizeof(columns[0]),
};

static int refuse_existing(const char *path, struct failure *failure)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return 0;
	return failure_set(failure, -EEXIST, "another --out, or --force to make a new key: the router's old one stops working",
			   "%s exists already", path);
}

static int prepare(const struct invocation *invocation, struct enrolment *enrolment, struct failure *failure)
{
	const char *collector = invocation_value(invocation, "collector");
	struct parse_address address;
	struct stat status;
	size_t n;
	int r;

	if (!parse_is_name(enrolment->device))
		return failure_set(failure, -EINVAL, "letters, digits, . _ and -, at most 31, a letter or digit first",
				   "\"%s\" is no name for a device", enrolment->device);
	if (!enrolment->directory) {
		r = failure_set(failure, -EINVAL, NULL, "where to? --out DIR is missing");
		failure_set_next(failure, "as in `jaga enroll %s --out %s/`", enrolment->device, enrolment->device);
		return r;
	}
	if (collector && parse_address(collector, 5684, &address) < 0)
		return failure_set(failure, -EINVAL, "a numeric address, as in 192.0.2.1 or [2001:db8::1]:5684",
				   "\"%s\" is no address for --collector", collector);
	n = strlen(enrolment->directory);
	if (n + sizeof("/" CONF_NAME ".XXXXXX") > LIMIT_PATH)
		return failure_set(failure, -EINVAL, "choose a shorter path", "the path of --out is too long");
	while (n > 1 && enrolment->directory[n - 1] == '/')
		n--;
	/* They fit: just checked. */
	(void)snprintf(enrolment->conf_path, LIMIT_PATH, "%.*s/" CONF_NAME, (int)n, enrolment->directory);
	(void)snprintf(enrolment->key_path, LIMIT_PATH, "%.*s/" KEY_NAME, (int)n, enrolment->directory);
	enrolment->is_directory_new = mkdir(enrolment->directory, 0700) == 0;
	if (!enrolment->is_directory_new && errno != EEXIST)
		return failure_set(failure, -errno == -ENOENT ? -EIO : -errno, "make its parent, or choose another --out",
				   "%s: %s", enrolment->directory, strerror(errno));
	if (access(enrolment->directory, W_OK | X_OK) < 0 || stat(enrolment->directory, &status) < 0 || !S_ISDIR(status.st_mode))
		return failure_set(failure, -EIO, "choose another --out; nothing was enrolled", "%s is no directory that can be "
				   "written", enrolment->directory);
	if (invocation_value(invocation, "force"))
		return 0;
	r = refuse_existing(enrolment->conf_path, failure);
	return r < 0 ? r : refuse_existing(enrolment->key_path, failure);
}

static int write_conf(const struct enrolment *enrolment, FILE *out)
{
	return agent_conf_write(enrolment->device, enrolment->collector, out);
}

static int write_key(const struct enrolment *enrolment, FILE *out)
{
	return fprintf(out, "%s\n", enrolment->key) < 0 ? -EIO : 0;
}

/* Under another name first, so that path never holds half a file or a key that others can read. */
static int write_file(const struct enrolment *enrolment, const char *path, mode_t mode,
		      int (*write)(const struct enrolment *enrolment, FILE *out), struct failure *failure)
{
	char temporary[LIMIT_PATH];
	FILE *out = NULL;
	int fd, r = 0;

	(void)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path); /* fits: prepare() */
	fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
	if (fd >= 0)
		out = fdopen(fd, "w");
	if (!out)
		r = -errno;
	if (r == 0)
		r = write(enrolment, out);
	if (r == 0 && (fflush(out) != 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = -errno;
	if (out)
		(void)fclose(out); /* flushed and checked above */
	else if (fd >= 0)
		(void)close(fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	if (fd >= 0)
		(void)unlink(temporary); /* best effort: the error that counts is r */
	return failure_set(failure, r == -ENOENT ? -EIO : r,
			   "the collector has the key already: when this is mended, run it again with --force",
			   "%s cannot be written: %s", path, strerror(-r));
}

static int write_files(const struct enrolment *enrolment, struct failure *failure)
{
	int r = write_file(enrolment, enrolment->key_path, KEY_MODE, write_key, failure);

	return r < 0 ? r : write_file(enrolment, enrolment->conf_path, CONF_MODE, write_conf, failure);
}

static int run(const struct invocation *invocation, struct failure *failure)
{
	struct enrolment enrolment = {
		.device = invocation->operands[0],
		.directory = invocation_value(invocation, "out"),
	};
	bool force = invocation_value(invocation, "force") != NULL;
	const char *collector = invocation_value(invocation, "collector");
	json_t *row = NULL;
	int r;

	r = prepare(invocation, &enrolment, failure);
	if (r < 0)
		return r;
	r = invocation_ask(invocation,
			   json_pack("{s:s, s:s, s:b}", "op", "enroll", "device", enrolment.device, "replace", force), &row,
			   failure);
	if (r == -EEXIST)
		failure_set_next(failure, "`jaga enroll %s --out DIR --force` makes a new key: the router's old one stops working",
				 enrolment.device);
	if (r < 0) {
		/* Made before asking, since a key that cannot be written down is lost; nothing is in it yet. */
		if (enrolment.is_directory_new)
			(void)rmdir(enrolment.directory);
		return r;
	}
	enrolment.key = row_text_or(row, "key", "");
	enrolment.collector = collector ? collector : row_text(row, "collector"); /* NULL: it does not know how it is reached */
	r = write_files(&enrolment, failure);
	if (r == 0 && !enrolment.collector)
		(void)fprintf(stderr, "jaga: agent.conf lacks the collector's address: it listens on all of its own\n"
				      "  next: fill it in, or name it for all routers by `advertise` in collector.conf\n");
	if (r == 0)
		r = invocation_print(invocation,
				     json_pack("{s:s, s:s*, s:s, s:s}", "device", enrolment.device, "collector",
					       enrolment.collector, "conf", enrolment.conf_path, "key_file",
					       enrolment.key_path),
				     &shape, failure);
	explicit_bzero((char *)(uintptr_t)enrolment.key, strlen(enrolment.key));
	json_decref(row);
	return r;
}

static const struct option_spec options[] = {
	{ "out", 'o', "DIR", "where agent.conf and agent.key go (made when missing)" },
	{ "collector", 'c', "ADDRESS", "how the router reaches the collector, when not as collector.conf says" },
	{ "force", 'f', NULL, "replace files and key: the router's old key stops working" },
};

const struct command command_enroll = {
	.name = "enroll",
	.operands = "NAME --out DIR",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "let a router in: make its agent.conf and agent.key",
	.details = "agent.conf comes complete and commented; only the uplinks and LAN interfaces are to be\n"
		   "named. agent.key is secret (mode 0600): carry both over a safe path, as scp.",
	.example = "jaga enroll rtr1 --out rtr1/ && scp rtr1/agent.* root@192.0.2.1:/etc/jaga/",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
