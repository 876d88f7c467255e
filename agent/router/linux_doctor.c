/*
 * linux_doctor: names every trap that can be seen on this router, with its fix, and changes nothing. A
 * FATAL trap is one in which a take-over would break what works or could not work itself; it is refused
 * while the trap stands. A WARNING works today and hurts on the day of the fail-over.
 *
 * The checks are a table; each lives beside its like:
 *   linux_doctor.c         kernel, sysctls, connection tracking
 *   linux_doctor_net.c     interfaces, addresses, gateways, routes, rules
 *   linux_doctor_nft.c     rules of others: flowtables, marks, NAT, fast paths
 *
 * Callers: linux.c (ops->check, and before a take-over).
 */
#include "agent/router/linux_doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>


void linux_trap(struct linux_doctor *doctor, enum router_trap_level level, const char *id, const char *fix,
		const char *format, ...)
{
	char what[LIMIT_ERR_TEXT];
	struct router_trap trap = {.level = level, .id = id, .what = what, .fix = fix};
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (level > doctor->worst)
		doctor->worst = level;
	doctor->n_found += level != ROUTER_TRAP_OK;
	doctor->on_trap(doctor->arg, &trap);
}

static int check_forwarding(struct linux_doctor *doctor, struct err *err)
{
	uint32_t value = 0;
	int ret = linux_sysctl_read("net/ipv4/ip_forward", &value);

	if (ret < 0)
		return err_sys(err, ret, "reading net.ipv4.ip_forward");
	if (value == 0)
		linux_trap(doctor, ROUTER_TRAP_FATAL, "ip_forward", "sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d",
			   "net.ipv4.ip_forward is 0: this machine does not route");
	for (unsigned i = 0; i < doctor->config->n_uplinks; i++) {
		if (!doctor->router->uplinks[i].has_address[LINUX_V6] ||
		    linux_sysctl_read("net/ipv6/conf/all/forwarding", &value) < 0 || value != 0)
			continue;
		linux_trap(doctor, ROUTER_TRAP_WARNING, "ip_forward",
			   "sysctl -w net.ipv6.conf.all.forwarding=1 (and accept_ra=2 on uplinks), or gateway6 = none",
			   "uplink %s has IPv6, but net.ipv6.conf.all.forwarding is 0", doctor->config->uplinks[i].name);
		break;
	}
	return 0;
}

static int check_rp_filter(struct linux_doctor *doctor, struct err *err)
{
	(void)err; /* a missing interface is another check's finding */
	for (unsigned i = 0; i < doctor->config->n_uplinks; i++) {
		const char *interface = doctor->config->uplinks[i].interface;
		uint32_t all = 0, own = 0;
		char path[64 + IFNAMSIZ];

		snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", interface);
		if (linux_sysctl_read("net/ipv4/conf/all/rp_filter", &all) < 0 || linux_sysctl_read(path, &own) < 0)
			continue;
		if ((all > own ? all : own) == 1)
			linux_trap(doctor, ROUTER_TRAP_WARNING, "rp_filter",
				   "nothing: the take-over sets it to 2 (loose) on uplinks and saves the old value",
				   "rp_filter is strict on %s: answers that main would not send there are dropped", interface);
	}
	return 0;
}

static int check_conntrack(struct linux_doctor *doctor, struct err *err)
{
	uint32_t count = 0, max = 0;

	(void)err; /* both files missing is the finding */
	if (linux_sysctl_read("net/netfilter/nf_conntrack_max", &max) < 0 ||
	    linux_sysctl_read("net/netfilter/nf_conntrack_count", &count) < 0) {
		linux_trap(doctor, ROUTER_TRAP_WARNING, "conntrack",
			   "modprobe nf_conntrack; on OpenWrt: package kmod-nf-conntrack",
			   "connection tracking is not loaded; the take-over needs it and will try to load it");
		return 0;
	}
	if (max > 0 && (uint64_t)count * 10 >= (uint64_t)max * 8)
		linux_trap(doctor, ROUTER_TRAP_WARNING, "conntrack", "raise net.netfilter.nf_conntrack_max (320 bytes each)",
			   "%u of %u connection tracking entries are in use: new connections are about to be dropped", count,
			   max);
	return 0;
}

int linux_check(struct router *router, router_trap_fn *on_trap, void *arg, enum router_trap_level *ret_worst,
		struct err *err)
{
	static const struct {
		const char *id;
		const char *fine;
		int (*run)(struct linux_doctor *doctor, struct err *err);
	} checks[] = {
		{"ip_forward", "this machine routes", check_forwarding},
		{"rp_filter", "reverse path filters let answers in", check_rp_filter},
		{"conntrack", "connection tracking has room", check_conntrack},
	};
	struct linux_doctor doctor = {.router = router, .config = router->config, .on_trap = on_trap, .arg = arg};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		unsigned before = doctor.n_found;
		int ret = checks[i].run(&doctor, err);

		if (ret < 0) {
			err_prefix(err, "check %s: ", checks[i].id);
			return ret;
		}
		if (doctor.n_found == before)
			linux_trap(&doctor, ROUTER_TRAP_OK, checks[i].id, "", "%s", checks[i].fine);
	}
	*ret_worst = doctor.worst;
	return 0;
}
