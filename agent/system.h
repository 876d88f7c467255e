/*
 * system: facts about the machine the agent runs on, read from /proc, /sys and /etc. What cannot be
 * read is empty or 0. Allocates nothing.
 */
#ifndef JAGA_AGENT_SYSTEM_H
#define JAGA_AGENT_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/limits.h"

struct system_identity {
	char hostname[65];
	char model[64];	 /* board or product name, "" when the system tells none */
	char system[96]; /* operating system and kernel release */
};
void system_read_identity(struct system_identity *ret_identity);

struct system_load {
	uint32_t conntrack_count, conntrack_max;
	uint32_t mem_available_kb;
	uint32_t load_permille; /* 1-minute load average x 1000 */
};
void system_read_load(struct system_load *ret_load);
/* "0.15 ..." -> 150, "12.5" -> 12500; 0 when malformed. */
uint32_t system_parse_load(const char *text);

/* 16 random bytes for each start of the agent; never waits for entropy. */
void system_make_boot_id(uint8_t ret_boot_id[static LIMIT_BOOT_ID_BYTES]);
/* Creates the directory (0700) with its parents where it is missing. */
int system_make_dir(const char *path, struct err *err);
/*
 * One agent at a time: *ret_fd holds the lock of the directory until closed. Nothing is written, so that flash
 * that is full or read-only does not stop the agent. -EBUSY: an agent runs (its pid in err).
 */
int system_lock(const char *dir, int *ret_fd, struct err *err);
/* Leaves our pid in the locked directory, for people. Fails where the directory cannot be written. */
int system_note_pid(int lock_fd, const char *dir, struct err *err);
/*
 * The pre-shared key: a regular file that only its owner can read, with 64 hexadecimal digits and at
 * most one line feed. ret_key is zeroised on failure.
 */
int system_read_key(const char *path, uint8_t ret_key[static LIMIT_PSK_BYTES], struct err *err);
/* No core files and no ptrace by others: the process holds the key. */
void system_protect_memory(void);

#endif
