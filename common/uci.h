/*
 * uci: OpenWrt's format of configuration, the other syntax for what ini.h reads. The same events carry
 * it and the same struct ini tells its errors, so that one table of fields serves both:
 *
 *   config TYPE ['NAME']      a header: "TYPE", or "TYPE NAME" for the type that is events->named_section
 *   option NAME 'VALUE'       a value
 *   list NAME 'VALUE'         one value of several: ini->is_item is true
 *
 * Read as OpenWrt's libuci reads it, but narrower where that only hides mistakes: a value ends on its
 * line, a section or option that is there twice is the reader's to refuse, `;` stands within quotes.
 */
#ifndef JAGA_COMMON_UCI_H
#define JAGA_COMMON_UCI_H

#include "common/ini.h"

/*
 * Whether the file at path is meant to be of this format: its directory is called "config", or its first
 * line that says anything begins with a word of this format. False for what cannot be read.
 */
bool uci_recognises(const char *path);
/* Reads the whole file; contract of ini_read(). */
int uci_read(struct ini *ini, const char *path, FILE *errors, const struct ini_events *events, void *arg);

#endif
