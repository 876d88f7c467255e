/*
 * coap_peer: the authenticated sessions.
 *
 * A session becomes a device's peer with its first request or ping: only then it is certain that the
 * other side holds the key. It is found by device (wakes; the newest session of a device replaces the older
 * one), by ticket (slot and generation, so that an answer never goes to another session), and by age: the
 * list runs from the one that was heard longest ago, so that the sweep looks at nothing else. libcoap's
 * own idle time-out concerns only sessions that are not referenced, that is, not peers.
 *
 *   handshake -> (first request) peer -> dropped: out of all tables -> reaped: close_notify, reference given back
 */
#include "collector/coap_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static struct coap_peer dropped; /* what the sessions of peers that are gone point to */

struct coap_peer *peer_of(coap_session_t *session)
{
	struct coap_peer *peer = coap_session_get_app_data(session);

	return peer == &dropped ? NULL : peer;
}

bool peer_was_admitted(coap_session_t *session)
{
	return coap_session_get_app_data(session) != NULL;
}

const char *peer_address(coap_session_t *session, char ret_text[static LIMIT_HOST])
{
	size_t length = coap_print_addr(coap_session_get_addr_remote(session), (unsigned char *)ret_text, LIMIT_HOST - 1);

	ret_text[length < LIMIT_HOST ? length : LIMIT_HOST - 1] = '\0';
	return ret_text;
}

/* --- tables -------------------------------------------------------------------------------------- */

static struct coap_peer **bucket_of(struct coap_server *server, const char *device)
{
	uint32_t hash = 2166136261u; /* FNV-1a; names are those of enrolled devices, not of attackers */

	for (; *device; device++)
		hash = (hash ^ (uint8_t)*device) * 16777619u;
	return &server->buckets[hash % PEER_BUCKETS];
}

struct coap_peer *peer_find(struct coap_server *server, const char *device)
{
	struct coap_peer *peer = *bucket_of(server, device);

	while (peer && strcmp(peer->device, device) != 0)
		peer = peer->next_in_bucket;
	return peer;
}

struct coap_peer *peer_find_ticket(struct coap_server *server, const struct coap_ticket *ticket)
{
	uint32_t slot = (uint32_t)ticket->session;

	if (slot >= server->n_slots || server->slots[slot].generation != (uint32_t)(ticket->session >> 32))
		return NULL;
	return server->slots[slot].peer;
}

static int take_slot(struct coap_server *server, struct coap_peer *peer)
{
	uint32_t slot = server->first_free;

	while (slot < server->n_slots && server->slots[slot].peer)
		slot++;
	if (slot == server->n_slots) {
		uint32_t n = server->n_slots ? 2 * server->n_slots : 64;
		struct coap_slot *slots;

		if (slot >= LIMIT_DEVICES)
			return -ENOSPC;
		slots = realloc(server->slots, n * sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		memset(slots + server->n_slots, 0, (n - server->n_slots) * sizeof(*slots));
		server->slots = slots;
		server->n_slots = n;
	}
	server->first_free = slot + 1;
	server->slots[slot].peer = peer;
	peer->slot = slot;
	peer->generation = ++server->slots[slot].generation;
	return 0;
}

static void free_slot(struct coap_server *server, const struct coap_peer *peer)
{
	server->slots[peer->slot].peer = NULL;
	server->slots[peer->slot].generation++;
	if (peer->slot < server->first_free)
		server->first_free = peer->slot;
}

static void unlink_age(struct coap_server *server, struct coap_peer *peer)
{
	*(peer->older ? &peer->older->newer : &server->oldest) = peer->newer;
	*(peer->newer ? &peer->newer->older : &server->newest) = peer->older;
}

static void link_newest(struct coap_server *server, struct coap_peer *peer)
{
	peer->newer = NULL;
	peer->older = server->newest;
	*(server->newest ? &server->newest->newer : &server->oldest) = peer;
	server->newest = peer;
}

static void unlink_bucket(struct coap_server *server, struct coap_peer *peer)
{
	struct coap_peer **at = bucket_of(server, peer->device);

	while (*at != peer)
		at = &(*at)->next_in_bucket;
	*at = peer->next_in_bucket;
}

/* --- life ---------------------------------------------------------------------------------------- */

static bool read_identity(coap_session_t *session, char ret_device[static LIMIT_NAME])
{
	const coap_bin_const_t *identity = coap_session_get_psk_identity(session);

	if (!identity || identity->length >= LIMIT_NAME || memchr(identity->s, '\0', identity->length))
		return false;
	memcpy(ret_device, identity->s, identity->length);
	ret_device[identity->length] = '\0';
	return parse_is_name(ret_device);
}

/* Ordinary after a fail-over or a restart of the device; again and again it is two devices with one key. */
static void replace_peer(struct coap_server *server, struct coap_peer *earlier, coap_session_t *session)
{
	char from[LIMIT_HOST], to[LIMIT_HOST];
	unsigned suppressed;

	if (log_limit_allows(&server->log_replaced, clock_mono_ms(), &suppressed))
		log_info("coap", "new session replaces the old one: device=%s from=%s to=%s suppressed=%u", earlier->device,
			 peer_address(earlier->session, from), peer_address(session, to), suppressed);
	peer_drop(server, earlier, NULL);
}

struct coap_peer *peer_admit(struct coap_server *server, coap_session_t *session)
{
	struct coap_peer *peer = NULL, *earlier, **bucket;
	uint8_t key[LIMIT_PSK_BYTES];
	char address[LIMIT_HOST];
	int64_t now_ms = clock_mono_ms();

	if (peer_was_admitted(session))
		return NULL; /* dropped, and the rest of what it sent arrives */
	peer = calloc(1, sizeof(*peer));
	/* The key may have been removed since the handshake. */
	if (!peer || !read_identity(session, peer->device) || server->events->find_key(server->arg, peer->device, key))
		goto out;
	explicit_bzero(key, sizeof(key)); /* a memset of what is not read again may be left out */
	if (take_slot(server, peer))
		goto out;
	earlier = peer_find(server, peer->device);
	if (earlier)
		replace_peer(server, earlier, session);
	bucket = bucket_of(server, peer->device);
	peer->next_in_bucket = *bucket;
	*bucket = peer;
	peer->session = coap_session_reference(session);
	peer->heard_ms = now_ms;
	peer->refilled_ms = now_ms;
	peer->tokens_milli = 1000 * LIMIT_REQUESTS_BURST;
	for (unsigned i = 0; i < PEER_MIDS; i++)
		peer->mids[i] = COAP_INVALID_MID;
	link_newest(server, peer);
	(*source_find(&server->sources, &coap_session_get_addr_remote(session)->addr.sa))--;
	coap_session_set_app_data(session, peer);
	server->counters.sessions_opened++;
	server->counters.sessions_open++;
	server->events->on_online(server->arg, peer->device, peer_address(session, address));
	return peer;
out:
	free(peer);
	return NULL;
}

void peer_heard(struct coap_server *server, struct coap_peer *peer)
{
	peer->heard_ms = clock_mono_ms();
	if (server->newest == peer)
		return;
	unlink_age(server, peer);
	link_newest(server, peer);
}

void peer_drop(struct coap_server *server, struct coap_peer *peer, const char *reason)
{
	while (peer->transfers)
		transfer_remove(server, peer, peer->transfers);
	unlink_bucket(server, peer);
	unlink_age(server, peer);
	free_slot(server, peer);
	coap_session_set_app_data(peer->session, &dropped);
	server->counters.sessions_open--;
	peer->next_closing = server->closing;
	server->closing = peer;
	ev_timer_start(server->loop, &server->reaper);
	if (reason)
		server->events->on_offline(server->arg, peer->device, reason);
}

void peer_reap(struct coap_server *server)
{
	struct coap_peer *peer;

	while ((peer = server->closing)) {
		server->closing = peer->next_closing;
		if (coap_session_get_state(peer->session) != COAP_SESSION_STATE_NONE)
			coap_session_disconnected(peer->session, COAP_NACK_NOT_DELIVERABLE);
		coap_session_release(peer->session);
		free(peer);
	}
}

void peer_drop_silent(struct coap_server *server, int64_t now_ms)
{
	while (server->oldest && now_ms - server->oldest->heard_ms > server->silence_ms)
		peer_drop(server, server->oldest, "silent");
	/* A wake that libcoap neither delivered nor gave up would block all later ones of the session. */
	for (struct coap_peer *peer = server->oldest, *newer; peer; peer = newer) {
		newer = peer->newer;
		for (struct coap_transfer *transfer = peer->transfers, *next; transfer; transfer = next) {
			next = transfer->next;
			if (now_ms - transfer->used_ms > LIMIT_TRANSFER_MS)
				transfer_remove(server, peer, transfer);
		}
		if (peer->n_wakes && now_ms - peer->wake_ms > LIMIT_WAKE_MS)
			peer_drop(server, peer, "wake not acknowledged");
	}
}

bool peer_may_request(struct coap_peer *peer, int64_t now_ms)
{
	int64_t filled = peer->tokens_milli + (now_ms - peer->refilled_ms) * LIMIT_REQUESTS_PER_S;

	peer->refilled_ms = now_ms;
	peer->tokens_milli = filled > 1000 * LIMIT_REQUESTS_BURST ? 1000 * LIMIT_REQUESTS_BURST : filled;
	if (peer->tokens_milli < 1000)
		return false;
	peer->tokens_milli -= 1000;
	return true;
}

/* --- transfers ------------------------------------------------------------------------------------- */

struct coap_transfer *transfer_find(struct coap_peer *peer, const struct route *route)
{
	struct coap_transfer *transfer = peer->transfers;

	while (transfer && !route_is_same(&transfer->route, route))
		transfer = transfer->next;
	return transfer;
}

struct coap_transfer *transfer_add(struct coap_peer *peer, const struct route *route)
{
	struct coap_transfer *transfer;
	unsigned n = 0;

	for (transfer = peer->transfers; transfer; transfer = transfer->next)
		n++;
	if (n >= LIMIT_TRANSFERS)
		return NULL;
	transfer = calloc(1, sizeof(*transfer));
	if (!transfer)
		return NULL;
	transfer->route = *route;
	transfer->body.cap_bytes = LIMIT_BODY_BYTES;
	transfer->next = peer->transfers;
	peer->transfers = transfer;
	return transfer;
}

void transfer_remove(struct coap_server *server, struct coap_peer *peer, struct coap_transfer *transfer)
{
	struct coap_transfer **at = &peer->transfers;

	while (*at != transfer)
		at = &(*at)->next;
	*at = transfer->next;
	server->transfer_bytes -= transfer->body.size;
	block_body_finish(&transfer->body);
	free(transfer);
}
