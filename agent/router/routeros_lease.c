/*
 * routeros_lease: of several agents with this router one steers (ros_lease.h has the rules). A look is a print of the entries by which
 * agents tell so; one thing is asked at a time:
 *
 *	look() -> judge -+-> write -> look()        nobody is there: we say that we are
 *	                 +-> withdraw, one by one   another has it
 *	                 `-> conclude()             ours: the plan and what steers may be sent. Another's: nothing is, and who it is told
 *
 * At rest whoever steers writes and looks once a minute; who waits looks every ten seconds, or less often where that takes long. While
 * a session lasts steering itself waits for none of this. A look that is refused is told, and changes nothing. Called by routeros.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/router/routeros.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/random.h"

#define ID_FILE "agent.id"

/* --- who we are ------------------------------------------------------------------------------------ */

/* False: there is none, or what is there was not written by us. */
static bool read_id(const char *path, char ret_id[static 2 * LIMIT_ROS_LEASE_ID + 1])
{
	char text[2 * LIMIT_ROS_LEASE_ID + 2] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (fd >= 0)
		close(fd);
	if (n != 2 * LIMIT_ROS_LEASE_ID + 1 || text[n - 1] != '\n')
		return false;
	text[n - 1] = '\0';
	if (strspn(text, "0123456789abcdef") != 2 * LIMIT_ROS_LEASE_ID)
		return false;
	memcpy(ret_id, text, 2 * LIMIT_ROS_LEASE_ID + 1);
	return true;
}

/*
 * A new file that takes the place of the old one. It is not waited for until it is on the disk: it is written once in the life of an
 * agent, and one whose machine loses power in that minute makes another, and waits for its former self.
 */
static int write_id(const char *dir, const char *id)
{
	char temporary[LIMIT_PATH + 16], path[LIMIT_PATH + 16], text[2 * LIMIT_ROS_LEASE_ID + 2];
	int fd, r;

	snprintf(temporary, sizeof(temporary), "%s/" ID_FILE ".new", dir);
	snprintf(path, sizeof(path), "%s/" ID_FILE, dir);
	snprintf(text, sizeof(text), "%s\n", id);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, text, strlen(text));
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary); /* it may not even be there */
	return r;
}

void routeros_lease_init(struct router *router)
{
	struct ros_lease_holder *self = &router->claim.lease.self;
	const struct agent_config *config = router->config;
	char path[LIMIT_PATH + 16];

	snprintf(path, sizeof(path), "%s/" ID_FILE, config->state_dir);
	(void)read_id(path, self->id); /* an agent that has never steered has none */
	routeros_copy(self->name, sizeof(self->name), config->identity);
	if (self->name[0] == '\0') /* it has no collector */
		(void)gethostname(self->name, sizeof(self->name) - 1); /* cut where it is longer */
	if (config->n_uplinks > 0 && config->uplinks[0].has_source)
		inet_ntop(AF_INET, &config->uplinks[0].source.v4, self->address, sizeof(self->address));
	ros_lease_reset(&router->claim.lease);
}

static void make_id(struct router *router)
{
	char *id = router->claim.lease.self.id;
	const char *dir = router->config->state_dir;
	uint8_t bytes[LIMIT_ROS_LEASE_ID];
	int r;

	random_fill(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	r = write_id(dir, id);
	if (r < 0)
		routeros_trouble(router, LOG_LEVEL_WARNING,
				 "is steered by an agent that cannot remember who it is (%.100s: %s): restarted, it waits %d s for itself", dir,
				 strerror(-r), LIMIT_ROS_LEASE_S);
}

/* --- what comes of a look --------------------------------------------------------------------------- */

static void tell_other(struct router *router)
{
	struct ros_claim *claim = &router->claim;
	const struct ros_lease_holder *other = &claim->lease.other;
	struct err who;

	if (router->is_removed) {
		routeros_trouble(router, LOG_LEVEL_ERROR,
				 "is steered by another agent, which would put it all back: %s (%.8s) at %s; stop that one, and wait %d s",
				 other->name, other->id, other->address, LIMIT_ROS_LEASE_S);
		return;
	}
	err_set(&who, -EBUSY, "another agent steers the router: %s (%.8s) at %s; stop one of the two, or write take_over = no in its [agent]",
		other->name, other->id, other->address);
	claim->is_rival_told = router->events.on_rival != NULL;
	if (claim->is_rival_told)
		router->events.on_rival(router->events_arg, &who);
	else
		log_write(LOG_LEVEL_ERROR, "router", "%s", who.text);
}

static void hold(struct router *router)
{
	struct ros_claim *claim = &router->claim;
	bool has_yielded = claim->has_yielded;

	/* What was sent before is answered first: the next round comes back here. */
	if (claim->is_held || (has_yielded && router->steering.n_under_way > 0))
		return;
	claim->is_held = true;
	claim->has_yielded = false;
	if (claim->is_rival_told) {
		claim->is_rival_told = false;
		router->steering.is_told = router->steering.is_plan_told = true;
		router->events.on_rival(router->events_arg, NULL);
	}
	routeros_on_held(router, has_yielded);
}

/* At once: what still says that we steer is taken away after that. */
static void yield(struct router *router)
{
	router->claim.is_held = false;
	router->claim.has_yielded = true;
	router->steering.flush_all = router->steering.flush_unreplied = 0; /* not of what another does now */
}

static void conclude(struct router *router)
{
	struct ros_claim *claim = &router->claim;

	claim->is_under_way = false;
	if (claim->lease.state == ROS_LEASE_OURS) {
		hold(router);
	} else if (claim->lease.state == ROS_LEASE_OTHERS) {
		tell_other(router);
		routeros_settle(router);
	}
}

/* --- commands -------------------------------------------------------------------------------------- */

static void send_look(struct router *router);
static void withdraw(struct router *router);

/* Where a session is lost routeros_lease_forget() has been called, or is about to be. */

/* There is no room for another command: the next round looks again. */
static void send_command(struct router *router, const struct ros_answer *answer)
{
	if (ros_api_send(router->api, LIMIT_ROS_PRINT_MS, answer, router, NULL, NULL) < 0)
		router->claim.is_under_way = false;
}

static void go_mute(struct router *router, const char *why)
{
	if (!router->claim.is_mute)
		routeros_trouble(router, LOG_LEVEL_WARNING, "is steered, but takes no entry that says so; another agent would not see it: %s", why);
	router->claim.is_mute = true;
	ros_lease_refused(&router->claim.lease);
	conclude(router);
}

static void on_written(void *arg, const struct ros_result *result)
{
	struct router *router = arg;

	if (ros_result_is_lost(result))
		return;
	if (result->status < 0 && router->claim.is_blind) {
		send_look(router); /* what stands in the way? */
		return;
	}
	if (result->status < 0) {
		go_mute(router, result->err.text);
		return;
	}
	router->claim.has_written = true;
	ros_lease_wrote(&router->claim.lease);
	send_look(router);
}

static void take_away(struct router *router, unsigned slot, const struct ros_answer *answer)
{
	char *id = router->claim.lease.own[slot];

	ros_put_text(ros_api_begin(router->api, "/ip/firewall/address-list/remove"), ".id", id);
	id[0] = '\0';
	send_command(router, answer);
}

static void write_entry(struct router *router);

/* One that is gone already needs no removing. */
static void on_place_made(void *arg, const struct ros_result *result)
{
	if (!ros_result_is_lost(result))
		write_entry(arg);
}

static void write_entry(struct router *router)
{
	static const struct ros_answer answer = { .on_end = on_written }, place = { .on_end = on_place_made };
	unsigned slot = ros_lease_slot(&router->claim.lease);
	char comment[ROS_LEASE_COMMENT], address[INET_ADDRSTRLEN], timeout[16];
	struct buf *out;

	if (router->claim.lease.own[slot][0] != '\0') {
		take_away(router, slot, &place);
		return;
	}
	ros_lease_put(&router->claim.lease, slot, comment, address);
	snprintf(timeout, sizeof(timeout), "%ds", LIMIT_ROS_LEASE_S);
	out = ros_api_begin(router->api, "/ip/firewall/address-list/add");
	ros_put_text(out, "list", ROS_LEASE_LIST);
	ros_put_text(out, "address", address);
	ros_put_text(out, "timeout", timeout);
	ros_put_text(out, "comment", comment);
	send_command(router, &answer);
}

static void on_withdrawn(void *arg, const struct ros_result *result)
{
	if (!ros_result_is_lost(result))
		withdraw(arg);
}

static void withdraw(struct router *router)
{
	static const struct ros_answer answer = { .on_end = on_withdrawn };
	struct ros_lease *lease = &router->claim.lease;

	for (unsigned slot = 0; slot < ROS_LEASE_SLOTS; slot++) {
		if (lease->own[slot][0] == '\0')
			continue;
		take_away(router, slot, &answer);
		return;
	}
	conclude(router);
}

static int on_row(void *arg, const struct ros_sentence *row)
{
	struct router *router = arg;

	ros_lease_take(&router->claim.lease, row);
	return 0;
}

/* Who removes what is ours needs nobody's leave but another's that steers. */
static void judge_removal(struct router *router)
{
	struct ros_lease *lease = &router->claim.lease;

	lease->state = lease->has_other ? ROS_LEASE_OTHERS : ROS_LEASE_OURS;
	if (lease->has_other)
		yield(router);
	withdraw(router);
}

static void judge(struct router *router)
{
	struct ros_claim *claim = &router->claim;
	struct ros_lease *lease = &claim->lease;
	enum ros_lease_step step = ros_lease_judge(lease, clock_mono_ms() - claim->look_ms);

	if (lease->state == ROS_LEASE_OTHERS)
		yield(router);
	if (step == ROS_LEASE_WITHDRAW)
		withdraw(router);
	else if (step != ROS_LEASE_WRITE)
		conclude(router);
	else if (claim->has_written && lease->own[lease->last][0] == '\0')
		go_mute(router, "it does not show what it took");
	else
		write_entry(router);
}

/* Refused, or cut short: nothing that was known before is refuted by it. */
static void go_blind(struct router *router, const char *why)
{
	struct ros_claim *claim = &router->claim;

	if (!claim->is_blind_told)
		routeros_trouble(router, LOG_LEVEL_WARNING, "does not show whether another agent steers it, looking again in %d s: %s",
				 LIMIT_ROS_REFRESH_MS / 1000, why);
	claim->is_blind_told = true;
	claim->is_under_way = false;
}

static void on_looked(void *arg, const struct ros_result *result)
{
	struct router *router = arg;

	if (ros_result_is_lost(result))
		return;
	if (result->status < 0) {
		go_blind(router, result->err.text);
		return;
	}
	router->claim.is_blind_told = false;
	if (router->is_removed)
		judge_removal(router);
	else
		judge(router);
}

static void send_look(struct router *router)
{
	static const struct ros_answer answer = { .on_re = on_row, .on_end = on_looked };
	struct buf *out = ros_api_begin(router->api, "/ip/firewall/address-list/print");

	router->claim.is_blind = false;
	router->claim.look_ms = clock_mono_ms();
	ros_lease_begin(&router->claim.lease);
	ros_put_text(out, ".proplist", ".id,list,address,comment,dynamic");
	ros_put_query(out, "list", ROS_LEASE_LIST);
	send_command(router, &answer);
}

/* --- when ------------------------------------------------------------------------------------------- */

static bool begin(struct router *router)
{
	struct ros_claim *claim = &router->claim;

	if (!(router->is_installed || router->is_removed) || claim->is_under_way || !ros_api_is_open(router->api))
		return false;
	claim->is_under_way = true;
	claim->has_written = false;
	return true;
}

void routeros_lease_look(struct router *router)
{
	if (begin(router))
		send_look(router);
}

/* Who steers says so first, and looks then. */
static void renew(struct router *router)
{
	if (!begin(router))
		return;
	router->claim.is_blind = true;
	ros_lease_renew(&router->claim.lease);
	write_entry(router);
}

void routeros_lease_want(struct router *router)
{
	if (router->is_installed && router->claim.lease.self.id[0] == '\0')
		make_id(router);
	routeros_lease_look(router);
}

void routeros_lease_next_round(struct router *router)
{
	const struct ros_claim *claim = &router->claim;
	enum ros_lease_step step = ros_lease_round(&router->claim.lease);
	bool must_hold = claim->lease.state == ROS_LEASE_OURS && !claim->is_held;

	if (step == ROS_LEASE_WRITE && router->is_installed)
		renew(router);
	else if (step != ROS_LEASE_REST || must_hold)
		routeros_lease_look(router);
}

void routeros_lease_forget(struct router *router)
{
	struct ros_claim *claim = &router->claim;

	claim->is_held = claim->is_under_way = claim->has_yielded = claim->is_mute = claim->is_blind_told = false;
	ros_lease_reset(&claim->lease);
}
