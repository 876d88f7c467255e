/*
 * ros_export: RouterOS's /export (MikroTik's manual, "Configuration Management") made into a text in which only a change of the
 * configuration shows. Pure: memory only.
 *
 * An export is one command a line, but lines are folded ("\", line end, indentation), begin with a head that has the
 * time in it, and carry comments about the moment ("# ether3 not ready"). Here every command is one line, and no line that
 * RouterOS itself writes as a comment is left: comments of people are values (comment=...), and scripts are strings with
 * their line ends escaped, so a "#" at the start of an unfolded line is always RouterOS's own.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_EXPORT_H
#define JAGA_AGENT_ROUTER_ROS_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

struct ros_export {
	struct buf *out;
	size_t line;	    /* where the line under way begins in out */
	size_t backslashes; /* at its end */
	bool is_folded;	    /* the indentation of a folded line is being skipped */
	bool has_head;	    /* of an export, which is more than nothing */
	bool has_failed;    /* RouterOS said that it could not export a part */
	char part[64];	    /* which one, and why */
};

/* The text comes to `out`, whose memory the caller owns. */
void ros_export_init(struct ros_export *export, struct buf *out);
/* In pieces as they come; any byte is taken. What does not fit sets out->failed. */
void ros_export_add(struct ros_export *export, const void *bytes, size_t length);
/*
 * -EIO: RouterOS has left a part out (from 7.11 it says "#error exporting"), -ENODATA: the text ends within a line, is
 * nothing at all, or does not begin with a menu (an error that came as a text), -EMSGSIZE: it did not fit. Such a text is no snapshot.
 * A head alone is one, and empty: that of a router with nothing configured.
 */
int ros_export_finish(struct ros_export *export, struct err *err);

#endif
