/*
 * local: the Unix socket at which `jaga-agent status` and its sisters ask the running agent.
 *
 *   request   FORMAT COMMAND [ARGUMENT ...] LF        at most LIMIT_REQUEST_BYTES
 *   answer    EXIT-STATUS LF TEXT, then the end       the client prints TEXT and exits with EXIT-STATUS
 *
 * The socket belongs to root (0600). At most LIMIT_LOCAL_CLIENTS at once, LIMIT_LOCAL_MS each to ask.
 * An answer is one write into the socket's own buffer, which is made large enough for the largest: no
 * client can hold the agent up. Loop thread only; allocates nothing after local_open().
 */
#ifndef JAGA_AGENT_LOCAL_H
#define JAGA_AGENT_LOCAL_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/table.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/limits.h"
#include "common/log.h"

/* Exit statuses of jaga-agent, and of answers; jaga-agent(8) lists them. */
enum local_exit {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2, /* also: the configuration is wrong */
	EXIT_REFUSED = 3, /* a fatal trap stands */
	EXIT_NOT_RUNNING = 4,
};

#define LOCAL_WORDS 4

struct local_request {
	enum table_format format;
	const char *words[LOCAL_WORDS]; /* the command and its arguments */
	unsigned n_words;
};

struct local;
struct local_client;

/* Answers with local_answer(), now or (after local_wait()) later. `out` is empty. */
typedef void local_handler_fn(void *arg, struct local_client *client, const struct local_request *request,
			      struct buf *out);

struct local_client {
	struct local *local;
	int fd; /* -1: free */
	ev_io io;
	ev_timer deadline;
	bool is_waiting;
	size_t length;
	char request[LIMIT_REQUEST_BYTES];
};

struct local {
	struct ev_loop *loop;
	int fd; /* -1: closed */
	ev_io io;
	ev_timer accept_retry;
	struct log_limit accept_failures;
	char path[LIMIT_PATH];
	local_handler_fn *handler;
	void *arg;
	struct local_client clients[LIMIT_LOCAL_CLIENTS];
	struct buf answer;
	char answer_memory[LIMIT_LOCAL_ANSWER_BYTES];
};

/* Splits a request in place. -EINVAL: no format, no command, too many words or unprintable bytes. */
int local_parse(char *line, struct local_request *ret_request);

/* Takes the path over from an agent that died. -EADDRINUSE: somebody answers there. May be tried again after a failure. */
int local_open(struct local *local, struct ev_loop *loop, const char *path, local_handler_fn *handler, void *arg,
	       struct err *err);
void local_close(struct local *local); /* fine when not open */
/* Sends the answer and closes the client. */
void local_answer(struct local_client *client, enum local_exit exit_status, const char *text, size_t length);
/* The answer comes within so long, by local_answer_waiting(). */
void local_wait(struct local_client *client, int64_t timeout_ms);
void local_answer_waiting(struct local *local, enum local_exit exit_status, const char *text, size_t length);

/* The other side: asks, prints what comes to out or (EXIT_STATUS not 0) to errors, returns the exit status. */
int local_ask(const char *path, const char *request, FILE *out, FILE *errors);

#endif
