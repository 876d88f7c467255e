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
#include "common/parse.h"
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
/* Whether so much of the connection table is in use; without a table it is not. *ret_max (may be NULL): its entries. */
bool system_is_table_full(unsigned percent, uint32_t *ret_max);
/* "0.15 ..." -> 150, "12.5" -> 12500; 0 when malformed. */
uint32_t system_parse_load(const char *text);

/*
 * One agent a router, whatever its configuration: two would steer the same. router: the one that is spoken to over the
 * network, whatever its port; NULL: the kernel of this network namespace. *ret_fd holds the claim until closed. -EBUSY: an agent runs (its pid in err). -EPERM: a process of an ordinary user, or one that does
 * not answer as an agent does, stands in the way: worth a line and no reason to leave the router alone. Waits for an
 * agent that is asked much. Needs no file system.
 */
int system_claim(const struct parse_address *router, int *ret_fd, struct err *err);
/* Lets go of those who asked for our pid; now and then. fd -1 is fine. */
void system_answer_claims(int fd);

/* Creates the directory (0700) with its parents where it is missing. */
int system_make_dir(const char *path, struct err *err);
/*
 * One agent with this state, also from another network namespace: *ret_fd holds the lock of the directory until
 * closed. Nothing is written. -EBUSY: an agent runs.
 */
int system_lock(const char *dir, int *ret_fd, struct err *err);
/*
 * Whether there is room in the directory, as far as its file system tells: -EROFS, -ENOSPC, or why it cannot be
 * opened. Nothing is written.
 */
int system_check_room(const char *dir, struct err *err);
/* Leaves our pid in the directory, for people; fails with what every other write there would fail with. */
int system_note_pid(const char *dir, struct err *err);
/*
 * The pre-shared key: a regular file that only its owner can read, with 64 hexadecimal digits and at
 * most one line feed. ret_key is zeroised on failure.
 */
int system_read_key(const char *path, uint8_t ret_key[static LIMIT_PSK_BYTES], struct err *err);
/* No core files and no ptrace by others: the process holds the key. */
void system_protect_memory(void);

#endif
