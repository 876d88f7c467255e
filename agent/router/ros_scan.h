/*
 * ros_scan: where the statements of a RouterOS script begin and end (MikroTik's manual, "Scripting": physical lines, tokens).
 * Pure: memory only. It knows no commands, only what holds a statement together: brackets, quotes, folded lines.
 *
 * What it finds serves three ends: a mark before each statement tells how far a script came; a script too long for one go is
 * cut between statements; and what a script may change is counted before it runs.
 */
#ifndef JAGA_AGENT_ROUTER_ROS_SCAN_H
#define JAGA_AGENT_ROUTER_ROS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/limits.h"

struct ros_scan { /* contents are private */
	const char *text;
	size_t length, at;
	size_t line_start; /* of the line that `at` is in */
	uint32_t line;
};

struct ros_statement { /* outside of all brackets */
	size_t start, end;     /* bytes of the script, without what separates it from the next */
	uint32_t line, column; /* where it begins; 1 is the first */
	bool is_first_of_line;
};

void ros_scan_init(struct ros_scan *scan, const char *text, size_t length);
/* 1: the next statement. 0: there is none. -EILSEQ: a bracket or quote has no partner, err says on which line. */
int ros_scan_next(struct ros_scan *scan, struct ros_statement *ret_statement, struct err *err);

/* A part of a script that RouterOS takes in one go. */
struct ros_piece {
	size_t start, end;	     /* bytes of the script */
	uint32_t line;		     /* of the first */
	size_t menu_start, menu_end; /* the statement of an earlier piece ("/ip address") that it goes on from; both 0: none */
	size_t next_menu_start, next_menu_end; /* the same of the next piece */
	uint32_t declared;		       /* line of the first variable so far; 0: none */
};

/*
 * The piece behind *piece; one that is all zero is before the first. 1: there is one, with its marks of at most limit bytes.
 * 0: the script has ended. A script that fits is one piece, whatever is in it. -EILSEQ as above. -E2BIG: it has to be cut, and
 * cannot be; err says on which line and why.
 */
int ros_piece_next(const char *text, size_t length, size_t limit, struct ros_piece *piece, struct err *err);

/* Adds the piece with a mark before the first statement of each line: ":set VARIABLE LINE;", so that lines stay where they are. */
void ros_put_marked(struct buf *out, const char *text, const struct ros_piece *piece, const char *variable);
/* How many columns the mark has moved what stands behind it on this line of the script. */
uint32_t ros_mark_width(const char *text, const struct ros_piece *piece, const char *variable, uint32_t line);

#endif
