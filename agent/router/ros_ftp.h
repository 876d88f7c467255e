/*
 * ros_ftp: fetches one file from a RouterOS router over FTP (RFC 959, RFC 2428), for what its API does not hand out: version 6
 * shows 4 KB of a file, and exports are larger. Nothing is written, and nothing is kept open afterwards.
 *
 * The router is not believed: the data connection goes to the router itself, whatever address it names, and a file that is not
 * exactly as long as it was said to be is a failure. What it says is kept a line at a time, and cut.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_FTP_H
#define JAGA_AGENT_ROUTER_ROS_FTP_H

#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "common/err.h"
#include "common/limits.h"
#include "common/parse.h"

struct ros_ftp;

struct ros_ftp_request {
	struct parse_address address; /* of the router, with the port of its FTP service */
	char user[LIMIT_NAME];
	char password[LIMIT_ROS_PASSWORD];
	char path[LIMIT_ROS_PATH];
	uint64_t size;	    /* of the file */
	int64_t timeout_ms; /* for all of it, however slowly it comes */
};

struct ros_ftp_events {
	void (*on_bytes)(void *arg, const void *bytes, size_t length);
	/* The last that is said, from the loop. why: NULL, and the whole file came; else what went wrong. ros_ftp_destroy() follows. */
	void (*on_end)(void *arg, const struct err *why);
};

/*
 * Starts. `request` is copied; the password is forgotten when it has been sent. -ENOMEM, what ros_stream_open() returns, and
 * -EINVAL: user, password or path with control characters, which would be commands of their own.
 */
int ros_ftp_fetch(struct ev_loop *loop, const struct ros_ftp_request *request, const struct ros_ftp_events *events, void *arg,
		  struct ros_ftp **ret_ftp, struct err *err);
/* Also in the middle, and from within on_end; not from within on_bytes. NULL is fine. */
void ros_ftp_destroy(struct ros_ftp *ftp);

/*
 * The port in the text of a 227 "(h1,h2,h3,h4,p1,p2)" or 229 "(|||port|)" reply. Pure. -EBADMSG.
 */
int ros_ftp_parse_port(const char *text, uint16_t *ret_port);

#endif
