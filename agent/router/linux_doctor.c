/*
 * linux_doctor: names every trap that can be seen on this router, with its fix, and changes nothing. A
 * FATAL trap is one in which a take-over would break what works or could not work itself; it is refused
 * while the trap stands. A WARNING works today and hurts on the day of the fail-over.
 *
 * The checks are a table; each lives beside its like:
 *   linux_doctor.c         kernel, sysctls, connection tracking
 *   linux_doctor_net.c     interfaces, addresses, gateways, IPv6
 *   linux_doctor_rules.c   ip rules and routing tables of others
 *   linux_doctor_nft.c     nf_tables of others: fast paths, marks, NAT, policies
 *   linux_doctor_facts.c   what a single rule or flowtable does, for the former
 *
 * Callers: linux.c (ops->check, and before a take-over).
 */
#include "agent/router/linux_doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

static const struct {
	const char *id;
	const char *fine; /* what is said when nothing was found */
	linux_check_fn *run;
} checks[] = {
	{"kernel", "the kernel has what the forwarding plan needs", linux_check_kernel},
	{"ip_forward", "this machine routes", check_forwarding},
	{"interface", "the interfaces are there and up", linux_check_interfaces},
	{"address", "uplinks have addresses and gateways of their own", linux_check_addresses},
	{"defaults", "default routes differ in metric", linux_check_defaults},
	{"ipv6", "no IPv6 leaves by chance", linux_check_ipv6},
	{"rp_filter", "reverse path filters let answers in", check_rp_filter},
	{"conntrack", "connection tracking has room", check_conntrack},
	{"rules", "ip rules of others leave ours alone", linux_check_rules},
	{"table", "our routing tables are free", linux_check_tables},
	{"flowtable", "no flowtable bypasses the rules", linux_check_flowtables},
	{"chains", "no other program balances uplinks", linux_check_chains}, /* before nft_rules, which needs them */
	{"nft_rules", "nf_tables rules of others leave our mark bits alone", linux_check_nft_rules},
	{"mss", "segment sizes fit the uplinks", linux_check_mss},
	{"nat", "users' addresses are translated", linux_check_nat},
	{"iptables-legacy", "no rules are hidden in iptables-legacy", linux_check_legacy},
};

int linux_check(struct router *router, router_trap_fn *on_trap, router_check_fn *on_done, void *arg, struct err *err)
{
	struct linux_doctor *doctor = NULL;
	struct forwarding_plan plan;
	int ret;

	doctor = calloc(1, sizeof(*doctor)); /* 20 KB that nobody needs afterwards */
	if (!doctor)
		return err_sys(err, -ENOMEM, "cannot check");
	doctor->router = router;
	doctor->config = router->config;
	doctor->on_trap = on_trap;
	doctor->arg = arg;
	doctor->is_plan_in_force = linux_nft_read(router, &plan, NULL) == 0;
	ret = linux_links_read(router, err);
	if (ret == 0)
		ret = linux_gateways_read(router, err);
	for (size_t i = 0; ret == 0 && i < sizeof(checks) / sizeof(checks[0]); i++) {
		unsigned before = doctor->n_found;

		ret = checks[i].run(doctor, err);
		if (ret < 0)
			err_prefix(err, "check %s: ", checks[i].id);
		else if (doctor->n_found == before)
			linux_trap(doctor, ROUTER_TRAP_OK, checks[i].id, "", "%s", checks[i].fine);
	}
	if (ret == 0)
		on_done(arg, doctor->worst, NULL);
	free(doctor);
	return ret;
}
