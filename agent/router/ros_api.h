/*
 * ros_api: a session with a RouterOS router over its API (MikroTik's manual, "API"): connects, logs in, comes back
 * with a growing pause when it was lost, and carries several commands at once, told apart by tags.
 *
 * A command is written and forgotten; its answer comes to callbacks, on the loop's thread:
 *
 *	struct buf *out = ros_api_begin(api, "/interface/print");
 *	ros_put_word(out, "=.proplist=name,running");
 *	rc = ros_api_send(api, LIMIT_ROS_ANSWER_MS, &answer, arg, NULL, err);
 *
 * Every command that was sent is ended exactly once by on_end, whatever the router does: its !done or !trap, its
 * deadline, the end of the session. A router that breaks the protocol loses the session, and nothing else. Passwords
 * never get into an err.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_API_H
#define JAGA_AGENT_ROUTER_ROS_API_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "agent/router/ros_codec.h"
#include "agent/router/ros_tls.h"
#include "common/err.h"
#include "common/limits.h"
#include "common/parse.h"

struct ros_api;

struct ros_api_settings {
	char name[LIMIT_HOST]; /* of the router in messages: its address as it was configured */
	struct parse_address address;
	char user[LIMIT_NAME];
	char password[LIMIT_ROS_PASSWORD]; /* is not sent before TLS, where wanted, has accepted the router */
	struct ros_tls_settings tls;
};

struct ros_api_events {
	void (*on_open)(void *arg); /* logged in: commands can be sent */
	/*
	 * A session ended, or could not be had; every command of it has been ended. Another try follows in retry_ms, which
	 * doubles until a session has lasted.
	 * `why` names the router and the cause.
	 */
	void (*on_lost)(void *arg, int64_t retry_ms, const struct err *why);
};

/* How a command ended. */
struct ros_result {
	/*
	 * 0: !done. -EREMOTEIO: the router refused it, why in err and category (-1: none said). -ECANCELED: by
	 * ros_api_cancel, ros_api_destroy or its own callback. -ECONNRESET: the session is lost, also by its deadline; unknown whether the
	 * router carried it out.
	 */
	int status;
	int category;
	const struct ros_sentence *done; /* of !done, for =ret=; NULL unless status is 0 */
	struct err err;
};

/* Its session ended: of a command that nobody cancels. */
static inline bool ros_result_is_lost(const struct ros_result *result)
{
	return result->status == -ECONNRESET || result->status == -ECANCELED;
}

struct ros_answer { /* NULL where an answer has no such part */
	/* One !re. Negative: enough, cancel the command with that status. */
	int (*on_re)(void *arg, const struct ros_sentence *sentence);
	/* A piece of the value of bulk_key when it is too long to keep, before the sentence that it is part of. Negative: as above. */
	const char *bulk_key;
	int (*on_bulk)(void *arg, const uint8_t *piece, size_t length, bool is_last);
	void (*on_end)(void *arg, const struct ros_result *result); /* required; may send the next command */
};

/* Starts to connect at once. `settings` is copied. */
int ros_api_create(struct ev_loop *loop, const struct ros_api_settings *settings, const struct ros_api_events *events,
		   void *arg, struct ros_api **ret_api, struct err *err);
/* Ends all commands with -ECANCELED, closes, frees. NULL is fine. Not from a callback of its own. */
void ros_api_destroy(struct ros_api *api);
bool ros_api_is_open(const struct ros_api *api);

/* Begins a command; add its words with ros_put_...(), then send. */
struct buf *ros_api_begin(struct ros_api *api, const char *path);
/*
 * timeout_ms: for the whole answer, however slowly it comes; 0: it never ends by itself (listen). *ret_tag (may be NULL):
 * for ros_api_cancel. Fails, and on_end is not called: -ENOTCONN, -EBUSY (LIMIT_ROS_COMMANDS under way, or another one with the same
 * bulk_key where the router says only behind a value whose it is), -ENOBUFS.
 */
int ros_api_send(struct ros_api *api, int64_t timeout_ms, const struct ros_answer *answer, void *arg, uint32_t *ret_tag,
		 struct err *err);
/* Its on_end comes with -ECANCELED, when the router has said so. Unknown tags are fine: it has ended already. */
void ros_api_cancel(struct ros_api *api, uint32_t tag);

#endif
