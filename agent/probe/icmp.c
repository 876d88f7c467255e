/*
 * icmp: pings, see probe.h. Called by steer.c and the loop, one prober an uplink.
 *
 * One socket for each address family among the targets, open for the life of the prober. Ping
 * sockets (SOCK_DGRAM) come first: the kernel sorts the replies and no capability beyond
 * SO_BINDTODEVICE's and SO_MARK's is needed. Where net.ipv4.ping_group_range shuts everybody out,
 * root included (the default outside systemd), a raw socket does it, with a filter in the kernel so
 * that other programs' pings do not wake the agent.
 *
 * A socket is either bound to the uplink's interface, or address, or sends nothing: a probe that leaves by
 * another uplink would prove the wrong one alive. A rebound prober has sockets and identifiers that nobody has
 * seen yet: a router that tracks connections keeps what it once decided of an identifier (no NAT, since the rule
 * was not there yet) for as long as probes go on. Replies are read at the highest priority of the
 * loop, before timers: a busy agent must not take a reply that it has for a late one.
 */
#include <errno.h>
#include <ev.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/probe/echo.h"
#include "agent/probe/probe.h"
#include "agent/system.h"
#include "common/random.h"

#define N_FAMILIES 2
#define READS_PER_WAKE 64 /* the loop has other work; what is left wakes it again */

struct family {
	int family;
	int fd; /* -1: no target of this family */
	bool is_raw;
	bool is_bound;
	struct echo_key key;
	ev_io io;
	struct probe *probe;
};

struct probe {
	struct ev_loop *loop;
	char interface[LIMIT_INTERFACE];
	bool has_source;
	struct parse_address source;
	uint32_t mark;
	unsigned n_targets;
	struct parse_address targets[LIMIT_TARGETS];
	unsigned last_target; /* of the newest probe */
	uint16_t last_sequence;
	struct family families[N_FAMILIES]; /* IPv4, IPv6 */
	probe_reply_fn *on_reply;
	void *arg;
};

static struct family *family_of(struct probe *probe, int family)
{
	return &probe->families[family == AF_INET ? 0 : 1];
}

static bool is_from(const struct sockaddr_storage *sender, const struct parse_address *target)
{
	if (sender->ss_family != target->family)
		return false;
	if (target->family == AF_INET)
		return ((const struct sockaddr_in *)sender)->sin_addr.s_addr == target->v4.s_addr;
	return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)sender)->sin6_addr, &target->v6);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct family *family = io->data;
	struct probe *probe = family->probe;

	(void)loop;
	(void)events;
	for (int i = 0; i < READS_PER_WAKE; i++) {
		struct sockaddr_storage sender = { 0 };
		socklen_t sender_length = sizeof(sender);
		uint8_t bytes[60 + ECHO_BYTES + 1]; /* with every IP option, and room to see that it is too long */
		ssize_t n = recvfrom(family->fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&sender,
				     &sender_length);
		unsigned target;
		uint16_t sequence;

		/* Nothing more; or an error of an earlier packet, and then the missing reply tells. */
		if (n < 0)
			return;
		if (echo_parse(&family->key, family->family, family->is_raw && family->family == AF_INET, bytes,
			       (size_t)n, &target, &sequence) < 0)
			continue;
		if (target >= probe->n_targets || !is_from(&sender, &probe->targets[target]))
			continue;
		probe->on_reply(probe->arg, target, sequence);
		/* The answer to the newest probe is hardly ever followed by another; if it is, that one wakes us. */
		if (target == probe->last_target && sequence == probe->last_sequence)
			return;
	}
}

/* --- sockets -------------------------------------------------------------------------------- */

/* Lets pass only echo replies with our identifier; raw IPv4 sockets see the IP header first. */
static int attach_filter(const struct family *family)
{
	bool is_v4 = family->family == AF_INET;
	struct sock_filter code[] = {
		is_v4 ? (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0)
		      : (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, is_v4 ? ECHO_REPLY_V4 : ECHO_REPLY_V6, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, family->key.identifier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return setsockopt(family->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* A ping socket's identifier is its port, chosen by the kernel. NULL: from any address. */
static int bind_address(struct family *family, const struct parse_address *source)
{
	struct sockaddr_storage name = { .ss_family = (sa_family_t)family->family };
	socklen_t length = family->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	if (source)
		length = parse_address_to_sockaddr(source, &name);
	if (bind(family->fd, (struct sockaddr *)&name, length) < 0)
		return -errno;
	if (family->is_raw)
		return 0;
	if (getsockname(family->fd, (struct sockaddr *)&name, &length) < 0)
		return -errno;
	family->key.identifier = ntohs(family->family == AF_INET ? ((struct sockaddr_in *)&name)->sin_port
								 : ((struct sockaddr_in6 *)&name)->sin6_port);
	return 0;
}

static int bind_source(struct family *family, struct err *err)
{
	int r = bind_address(family, &family->probe->source);

	family->is_bound = r == 0;
	if (r == -EADDRNOTAVAIL)
		return -ENODEV;
	return r < 0 ? err_sys(err, r, "probe: cannot bind to the source address") : 0;
}

/* An interface that does not exist yet is no error: the uplink has no link then, and rebind comes with it. */
static int bind_interface(struct family *family, struct err *err)
{
	const char *interface = family->probe->interface;

	family->is_bound = false;
	if (setsockopt(family->fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) < 0)
		return errno == ENODEV ? -ENODEV : err_sys(err, -errno, "probe: cannot bind to interface %s", interface);
	family->is_bound = true;
	return 0;
}

static int bind_uplink(struct family *family, struct err *err)
{
	return family->probe->has_source ? bind_source(family, err) : bind_interface(family, err);
}

static int open_family(struct family *family, struct err *err)
{
	const struct probe *probe = family->probe;
	int protocol = family->family == AF_INET ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6;
	int r;

	family->fd = socket(family->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (family->fd < 0 && (errno == EACCES || errno == EPERM || errno == EPROTONOSUPPORT)) {
		family->is_raw = true;
		family->fd = socket(family->family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	}
	if (family->fd < 0)
		return err_sys(err, -errno, "probe: cannot open a socket for pings (needs root or CAP_NET_RAW)");
	r = family->is_raw ? attach_filter(family) : probe->has_source ? 0 : bind_address(family, NULL);
	if (r < 0)
		return err_sys(err, r, "probe: cannot set up a socket for pings");
	if (!probe->has_source && setsockopt(family->fd, SOL_SOCKET, SO_MARK, &probe->mark, sizeof(probe->mark)) < 0)
		return err_sys(err, -errno, "probe: cannot mark packets (needs root or CAP_NET_ADMIN)");
	r = bind_uplink(family, err);
	return r == -ENODEV ? 0 : r;
}

static void listen_to(struct family *family)
{
	ev_io_init(&family->io, on_readable, family->fd, EV_READ);
	ev_set_priority(&family->io, EV_MAXPRI);
	family->io.data = family;
	ev_io_start(family->probe->loop, &family->io);
}

/* What cannot be had anew stays as it was. */
static int reopen_family(struct family *family, struct err *err)
{
	struct family old = *family;
	int r;

	ev_io_stop(family->probe->loop, &family->io);
	family->is_bound = false;
	random_fill(&family->key, sizeof(family->key));
	r = open_family(family, err);
	if (r == 0) {
		close(old.fd);
	} else {
		if (family->fd >= 0)
			close(family->fd);
		*family = old;
	}
	listen_to(family);
	return r;
}

/* --- operations ------------------------------------------------------------------------------- */

static void icmp_destroy(struct probe *probe)
{
	if (probe == NULL)
		return;
	for (unsigned i = 0; i < N_FAMILIES; i++) {
		struct family *family = &probe->families[i];

		ev_io_stop(probe->loop, &family->io); /* harmless when it never started */
		if (family->fd >= 0)
			close(family->fd);
	}
	free(probe);
}

static int icmp_create(struct ev_loop *loop, const struct probe_config *config, probe_reply_fn *on_reply, void *arg,
		       struct probe **ret_probe, struct err *err)
{
	struct probe *probe;
	int r = 0;

	if (config->n_targets > LIMIT_TARGETS || strlen(config->interface) >= (config->source ? LIMIT_INTERFACE : IFNAMSIZ))
		return err_set(err, -EINVAL, "probe: too many targets or too long an interface name");
	probe = calloc(1, sizeof(*probe));
	if (probe == NULL)
		return err_set(err, -ENOMEM, "probe: out of memory");
	probe->loop = loop;
	memcpy(probe->interface, config->interface, strlen(config->interface) + 1);
	probe->mark = config->mark;
	probe->has_source = config->source != NULL;
	if (config->source)
		probe->source = *config->source;
	probe->n_targets = config->n_targets;
	probe->on_reply = on_reply;
	probe->arg = arg;
	for (unsigned i = 0; i < N_FAMILIES; i++) {
		struct family *family = &probe->families[i];

		family->family = i == 0 ? AF_INET : AF_INET6;
		family->fd = -1;
		family->probe = probe;
		/* Who is not on the path cannot guess it; probes do not wait until it is fit for more. */
		random_fill(&family->key, sizeof(family->key));
	}
	for (unsigned i = 0; r == 0 && i < config->n_targets; i++) {
		struct family *family = family_of(probe, config->targets[i].family);

		probe->targets[i] = config->targets[i];
		if (family->fd >= 0)
			continue;
		r = open_family(family, err);
		if (r == 0)
			listen_to(family);
	}
	if (r < 0) {
		icmp_destroy(probe);
		return r;
	}
	*ret_probe = probe;
	return 0;
}

static int icmp_send(struct probe *probe, unsigned target, uint16_t sequence)
{
	struct sockaddr_storage to;
	uint8_t bytes[ECHO_BYTES];
	struct parse_address address;
	struct family *family;
	socklen_t length;

	if (target >= probe->n_targets)
		return -EINVAL;
	address = probe->targets[target];
	address.port = 0;
	family = family_of(probe, address.family);
	if (!family->is_bound)
		return -ENODEV;
	length = parse_address_to_sockaddr(&address, &to);
	echo_build(&family->key, address.family, target, sequence, bytes);
	if (sendto(family->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, length) < 0) {
		int r = -errno;

		/* Connection tracking drops what it has no entry for; so do rules, which would drop users' packets, too. */
		return r == -EPERM && system_is_table_full(LIMIT_TABLE_FULL_PERCENT, NULL) ? -ENOSPC : r;
	}
	probe->last_target = target;
	probe->last_sequence = sequence;
	return 0;
}

static int icmp_rebind(struct probe *probe, struct err *err)
{
	for (unsigned i = 0; i < N_FAMILIES; i++) {
		struct family *family = &probe->families[i];
		int r = family->fd < 0 ? 0 : reopen_family(family, err);

		if (r < 0)
			return r;
		if (family->fd >= 0 && !family->is_bound)
			return err_sys(err, -ENODEV,
				       probe->has_source ? "probe: the source address for %s" : "probe: interface %s",
				       probe->interface);
	}
	return 0;
}

const struct probe_ops probe_icmp = {
	.name = "icmp",
	.create = icmp_create,
	.send = icmp_send,
	.rebind = icmp_rebind,
	.destroy = icmp_destroy,
};
