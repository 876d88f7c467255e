/*
 * snapshots: a device's configuration texts. An empty PUT asks "is my newest still this hash?", which
 * costs one round trip and is noted durably; a full PUT carries the text as a zlib stream, which the
 * worker inflates (never beyond LIMIT_BODY_BYTES), hashes and packs with zstd before it is stored.
 * Loop thread only.
 */
#ifndef JAGA_COLLECTOR_SNAPSHOTS_H
#define JAGA_COLLECTOR_SNAPSHOTS_H

#include "collector/fleet.h"
#include "collector/ports.h"
#include "collector/store.h"

struct snapshots;

struct snapshots_counters {
	uint64_t confirmed, stored, refused;
};

int snapshots_create(const struct ports *ports, struct snapshots **ret_snapshots);
void snapshots_destroy(struct snapshots *snapshots);
/* PUT /snap/{hash} */
void snapshots_answer(struct snapshots *snapshots, struct fleet_device *device, const struct coap_incoming *incoming);
void snapshots_read_counters(const struct snapshots *snapshots, struct snapshots_counters *ret_counters);

/*
 * The text of a snapshot, from the loop: unpacked into memory that the caller frees, NUL after its
 * last byte. n 0: the newest. -ENOENT, -ENOMEM, -EIO
 */
int snapshots_read_text(struct store *store, uint32_t device_number, uint32_t n, struct store_snapshot *ret_snapshot,
			char **ret_text);

#endif
