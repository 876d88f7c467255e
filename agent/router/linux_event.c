/*
 * linux_event: what the kernel tells unasked, and what is done about it. Messages only say that
 * something moved; then the state is read again as a whole and compared with what it should be:
 *   carrier, addresses, gateways  -> events->on_uplink when an uplink's state changed
 *   our routes, our sysctls       -> put back (carrier loss flushes IPv6, PPPoE returns as a new interface)
 *   our tables                    -> installed again when another program flushed the ruleset
 * So a lost message costs nothing but time. When the kernel says that it lost some (ENOBUFS), everything
 * is read again and every uplink is reported, changed or not.
 *
 * A filter in the kernel passes only default routes: a router with a full table of the internet sees
 * thousands of route changes a minute, none of which is ours.
 *
 * Callers: the loop; linux.c opens and closes.
 */
#include "agent/router/linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

static int open_listener(int protocol, const int *groups, size_t n_groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		ret = -errno;
	for (size_t i = 0; ret == 0 && i < n_groups; i++) {
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
			ret = -errno;
	}
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

/* Drops messages about routes that are not default routes. Loads are big-endian in a socket filter. */
static int filter_routes(int fd)
{
	enum { TYPE_OFFSET = offsetof(struct nlmsghdr, nlmsg_type),
	       DST_LEN_OFFSET = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len) };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, TYPE_OFFSET),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, DST_LEN_OFFSET),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static void report(struct router *router, bool is_forced)
{
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		struct linux_uplink *uplink = &router->uplinks[i];
		struct router_uplink_state state;

		linux_uplink_state(router, i, &state);
		if (!is_forced && state.has_carrier == uplink->reported.has_carrier &&
		    state.has_address == uplink->reported.has_address)
			continue;
		uplink->reported = state;
		if (router->events.on_uplink)
			router->events.on_uplink(router->events_arg, i, &state);
	}
}

int linux_resync(struct router *router, bool is_forced, struct err *err)
{
	int ret = linux_links_read(router, err);

	if (ret < 0)
		return ret;
	if (!is_forced)
		report(router, false); /* carrier first: the list of routes can be long */
	ret = linux_gateways_read(router, err);
	if (ret < 0)
		return ret;
	report(router, is_forced);
	return router->is_installed ? linux_keep(router, err) : 0;
}

/* Reads what waits. Returns 1 when there was something, 0 when not, -ENOBUFS when the kernel had to drop some. */
static int drain(int fd, struct router *router, int (*on_message)(void *arg, const struct nl_message *message))
{
	struct nl_message message;
	struct nl_reader reader;
	int ret = 0;

	for (;;) {
		ssize_t n = recv(fd, router->receive, sizeof(router->receive), MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? ret : -errno;
		if ((size_t)n > sizeof(router->receive))
			return -ENOBUFS;
		nl_reader_init(&reader, router->receive, (size_t)n);
		while (nl_next_message(&reader, &message)) {
			if (on_message(router, &message))
				ret = 1;
		}
		if (reader.failed)
			return -ENOBUFS;
	}
}

static bool is_uplink(const struct router *router, unsigned ifindex, const char *name)
{
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		if (router->uplinks[i].ifindex == ifindex || strcmp(router->config->uplinks[i].interface, name) == 0)
			return true;
	}
	return false;
}

static int concerns_uplink(void *arg, const struct nl_message *message)
{
	const struct router *router = arg;
	struct ifinfomsg link;
	struct ifaddrmsg address;
	struct nl_reader attrs;
	struct nl_attr attr;
	char name[IFNAMSIZ] = "";

	switch (message->type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (!nl_message_header(message, &link, sizeof(link), &attrs))
			return 1;
		while (nl_next_attr(&attrs, &attr)) {
			if (attr.type == IFLA_IFNAME)
				nl_get_string(&attrs, &attr, name, sizeof(name));
		}
		return is_uplink(router, (unsigned)link.ifi_index, name);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (!nl_message_header(message, &address, sizeof(address), &attrs))
			return 1;
		return is_uplink(router, address.ifa_index, "");
	case RTM_NEWROUTE: /* only default routes come this far */
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return 1;
	default:
		return 0;
	}
}

static void trouble(struct router *router, bool is_first, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The agent is told of the first of its kind; what goes on like that is only logged. */
static void trouble(struct router *router, bool is_first, enum log_level level, const char *format, ...)
{
	char text[LIMIT_ERR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (is_first && router->events.on_trouble)
		router->events.on_trouble(router->events_arg, level, text);
	else
		log_write(level, "router", "%s", text);
}

/* Once failed, tried again until it succeeds; each kind of failure is said once. */
static void resync(struct router *router, bool is_forced)
{
	struct err err = {0};
	int ret;

	router->is_resync_forced |= is_forced;
	ret = linux_resync(router, router->is_resync_forced, &err);
	ev_timer_stop(router->loop, &router->resync_timer);
	if (ret < 0) {
		if (ret != router->resync_error)
			trouble(router, true, LOG_LEVEL_ERROR, "resync failed, trying again every %d ms: %s", LIMIT_RESYNC_MS, err.text);
		ev_timer_set(&router->resync_timer, LIMIT_RESYNC_MS / 1000., 0);
		ev_timer_start(router->loop, &router->resync_timer);
	} else {
		router->is_resync_forced = false;
		if (router->resync_error < 0)
			trouble(router, true, LOG_LEVEL_INFO, "resync succeeded at last");
	}
	router->resync_error = ret;
}

static void on_resync_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	resync(timer->data, false);
}

static void on_route_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct router *router = io->data;
	int ret = drain(io->fd, router, concerns_uplink);

	(void)loop;
	(void)revents; /* readable is all that was asked for */
	if (ret == 0)
		return;
	if (ret < 0)
		log_warning("router", "netlink overrun, resyncing (%s)", strerror(-ret));
	resync(router, ret < 0);
}

/* --- nf_tables --- */

/* A transaction ends by a message that names the process whose it was (its name is of its own choice). */
static void note_culprit(struct router *router, struct nl_reader *attrs)
{
	char name[sizeof("a name of 15 bytes")] = "";
	struct nl_attr attr;
	uint32_t pid = 0;

	while (nl_next_attr(attrs, &attr)) {
		if (attr.type == NFTA_GEN_PROC_NAME)
			nl_get_string_cut(&attr, name, sizeof(name));
		else if (attr.type == NFTA_GEN_PROC_PID)
			pid = nl_get_be32(attrs, &attr);
	}
	for (char *c = name; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	if (name[0] != '\0')
		snprintf(router->culprit, sizeof(router->culprit), " (%s, pid %u)", name, pid);
}

/* Something of our tables was deleted: by others, or by ourselves, which costs one look at what is there. */
static int is_ours_deleted(void *arg, const struct nl_message *message)
{
	struct router *router = arg;
	struct nfgenmsg header;
	struct nl_reader attrs;
	struct nl_attr attr;
	char name[sizeof(LINUX_TABLE)] = "";

	if (!nl_message_header(message, &header, sizeof(header), &attrs))
		return 0;
	switch (message->type) {
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN:
		if (router->is_ours_deleted)
			note_culprit(router, &attrs);
		router->is_ours_deleted = false;
		return 0;
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELRULE:
		break;
	default:
		return 0;
	}
	while (nl_next_attr(&attrs, &attr)) {
		/* The same number in both messages. */
		if (attr.type == NFTA_TABLE_NAME && attr.length <= sizeof(name))
			nl_get_string(&attrs, &attr, name, sizeof(name));
	}
	if (strcmp(name, LINUX_TABLE) != 0)
		return 0;
	router->is_ours_deleted = true;
	router->culprit[0] = '\0';
	return 1;
}

static void reinstall_later(struct router *router, int64_t wait_ms)
{
	ev_timer_stop(router->loop, &router->reinstall_timer);
	ev_timer_set(&router->reinstall_timer, (double)wait_ms / 1000, 0);
	ev_timer_start(router->loop, &router->reinstall_timer);
}

/* Another program flushed the ruleset. Ours goes back in, at once, but not for ever at once. */
static void reinstall(struct router *router)
{
	int64_t now_ms = clock_mono_ms(), wait_ms = router->reinstalled_ms + LIMIT_REINSTALL_MS - now_ms;
	struct forwarding_plan observed;
	struct err err = {0};
	bool is_first;

	if (!router->is_installed || linux_nft_read(router, &observed, NULL) == 0)
		return;
	if (now_ms - router->reinstalled_ms > LIMIT_REINSTALL_CALM_MS)
		router->n_reinstalls = 0;
	if (router->n_reinstalls >= LIMIT_REINSTALLS && wait_ms > 0) {
		reinstall_later(router, wait_ms);
		return;
	}
	is_first = router->n_reinstalls++ == 0;
	router->reinstalled_ms = now_ms;
	if (linux_nft_install(router, &router->plan, &err) < 0) {
		trouble(router, is_first, LOG_LEVEL_ERROR,
			"another program%s flushed the ruleset, installing ours again failed, trying again in %d ms: %s",
			router->culprit, LIMIT_REINSTALL_MS, err.text);
		reinstall_later(router, LIMIT_REINSTALL_MS);
	} else {
		trouble(router, is_first, LOG_LEVEL_WARNING, "another program%s flushed the ruleset, installed ours again",
			router->culprit);
	}
}

static void on_reinstall_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	reinstall(timer->data);
}

static void on_nft_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct router *router = io->data;

	(void)revents;
	if (drain(io->fd, router, is_ours_deleted) == 0 || !router->is_installed)
		return;
	ev_timer_stop(loop, &router->reinstall_timer);
	reinstall(router);
}

/* --- opening --- */

int linux_events_open(struct router *router, struct err *err)
{
	static const int route_groups[] = {RTNLGRP_LINK,	 RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
					   RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE};
	static const int nft_groups[] = {NFNLGRP_NFTABLES};
	int fd, ret;

	fd = open_listener(NETLINK_ROUTE, route_groups, sizeof(route_groups) / sizeof(route_groups[0]));
	if (fd < 0)
		return err_sys(err, fd, "cannot listen to rtnetlink");
	ev_io_init(&router->route_io, on_route_event, fd, EV_READ);
	ret = filter_routes(fd);
	if (ret < 0)
		return err_sys(err, ret, "cannot filter rtnetlink");
	fd = open_listener(NETLINK_NETFILTER, nft_groups, 1);
	if (fd < 0)
		return err_sys(err, fd, "cannot listen to nf_tables (package kmod-nft-core, CONFIG_NF_TABLES)");
	ev_io_init(&router->nft_io, on_nft_event, fd, EV_READ);
	ev_timer_init(&router->reinstall_timer, on_reinstall_timer, 0, 0);
	ev_timer_init(&router->resync_timer, on_resync_timer, 0, 0);
	router->route_io.data = router->nft_io.data = router->reinstall_timer.data = router->resync_timer.data = router;
	ev_io_start(router->loop, &router->route_io);
	ev_io_start(router->loop, &router->nft_io);
	return 0;
}

void linux_events_close(struct router *router)
{
	ev_io *ios[] = {&router->route_io, &router->nft_io};

	ev_timer_stop(router->loop, &router->reinstall_timer);
	ev_timer_stop(router->loop, &router->resync_timer);
	for (size_t i = 0; i < sizeof(ios) / sizeof(ios[0]); i++) {
		ev_io_stop(router->loop, ios[i]);
		if (ios[i]->fd > 0)
			close(ios[i]->fd);
		ios[i]->fd = -1;
	}
}
