/*
 * sanitise: text that came from a router, made safe to show on a terminal.
 *
 * A router that was broken into can send anything. Control characters (C0, DEL, C1), bytes that
 * are not UTF-8, and the characters that turn the direction of text (Unicode TR 36, "Trojan
 * Source") become visible escapes: \x1b, \u202e. Everything else passes unchanged.
 */
#ifndef JAGA_COLLECTOR_CLI_SANITISE_H
#define JAGA_COLLECTOR_CLI_SANITISE_H

#include <stddef.h>
#include <stdio.h>

#include "common/buf.h"

/* One line: a line feed becomes \n, a tab \t. What does not fit into buf is cut between characters. */
void sanitise_line(struct buf *buf, const char *text, size_t length);

/* Many lines: line feeds and tabs stay; a carriage return before a line feed is dropped. */
void sanitise_to_stream(FILE *out, const char *text, size_t length);

#endif
