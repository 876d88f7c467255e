/*
 * ros_script: texts for RouterOS's script interpreter (MikroTik's manual, "Scripting"), and what it says in return. Pure: memory
 * only.
 *
 * A script that runs through "/execute as-string" reports its errors as text among its output, and a "!done" comes all
 * the same. So each script ends with a line that prints a marker: no marker, no success. The reason stands last,
 *
 *	expected end of command (line 660 column 82)
 *	failure: already have such address (/ip/address/add; line 12)
 *	disk is missing (:error; line 3)
 *
 * and may name no line at all (6.49).
 */
#ifndef JAGA_AGENT_ROUTER_ROS_SCRIPT_H
#define JAGA_AGENT_ROUTER_ROS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/*
 * Adds bytes as a string of RouterOS, quotes included, so that it stands for just these bytes: an unescaped $ would
 * begin a variable, and vanish without a word.
 */
void ros_put_quoted(struct buf *out, const void *bytes, size_t length);

struct ros_verdict {
	bool is_complete;     /* the marker was printed: every command was carried out */
	size_t output_length; /* of what the script itself printed; with an error, the reason belongs to it */
	/* Of a script that is not complete: */
	uint32_t line, column; /* 1 is the first; 0: not told */
	const char *reason;    /* within output, not NUL-terminated; empty when nothing was printed */
	size_t reason_length;
};

/* What `output` of a script says whose last command was `:put "MARKER"`. */
void ros_script_judge(const char *output, size_t length, const char *marker, struct ros_verdict *ret_verdict);

#endif
