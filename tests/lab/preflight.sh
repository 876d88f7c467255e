#!/bin/sh
# What this machine lacks for the demo and the tests: one line each, with a remedy. Changes nothing
# (a namespace of its own comes and goes). Called by make, in two stages, because the tools of the
# second are installed in between:
#
#   preflight.sh machine   root, Debian, space: before `make setup`
#   preflight.sh lab       namespaces, netfilter, tracing: before the laboratory is built
#
# Exit status 1 when something is missing; silent but for one line when nothing is.
set -u

lacks=0
lack() { # WHAT REMEDY
	printf 'preflight: %s; remedy: %s\n' "$1" "$2" >&2
	lacks=$((lacks + 1))
}

free_mb() { df -Pm "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'; }

check_root() {
	[ "$(id -u)" -eq 0 ] || lack "not root" "run it as root (sudo make ...): packages and network namespaces need it"
}

check_machine() {
	check_root
	command -v apt-get >/dev/null || lack "no apt-get here" "use Debian 12, or a container or chroot of it (make check-fresh shows how)"
	[ "$(free_mb .)" -ge 2000 ] || lack "$(free_mb .) MB free here, 2000 are needed" "free some, or clone onto a bigger disk"
	memory_mb=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
	[ "$memory_mb" -ge 700 ] || lack "$memory_mb MB of memory available, 700 are needed" "stop something, or use a bigger machine"
}

in_ns() { ip netns exec "$ns" "$@" >/dev/null 2>&1; }

check_netfilter() {
	in_ns nft -f - <<-'RULES' ||
		table inet t {
		  map m { type mark : verdict; }
		  chain pre {
		    type filter hook prerouting priority mangle
		    meta mark set jhash ip saddr . ip daddr mod 16 seed 1 offset 256
		    ct mark 0 fib daddr type != local counter
		    numgen random mod 100 < 5 counter
		  }
		  chain out {
		    type route hook output priority mangle
		  }
		}
		table ip n {
		  chain post { type nat hook postrouting priority srcnat; masquerade; }
		}
		table ip6 n {
		  chain post { type nat hook postrouting priority srcnat; masquerade; }
		}
	RULES
		lack "the kernel refuses nftables rules with jhash, fib, numgen or masquerade" \
			"modprobe nf_tables nft_hash nft_fib_inet nft_numgen nft_masq nft_chain_nat, or a kernel that has them (Debian's has)"
	in_ns nft -f - <<-'RULES' ||
		table netdev t {
		  chain c { type filter hook ingress device "lo" priority 0; policy drop; }
		}
	RULES
		lack "the kernel refuses an nftables netdev chain" "modprobe nf_tables_netdev, or a kernel with CONFIG_NF_TABLES_NETDEV"
	in_ns conntrack -L || lack "conntrack -L fails" "modprobe nf_conntrack_netlink, or a kernel with CONFIG_NF_CT_NETLINK"
	conntrack_max=$(cat /proc/sys/net/netfilter/nf_conntrack_max 2>/dev/null || echo 0)
	[ "$conntrack_max" -ge 16384 ] || lack "nf_conntrack_max is $conntrack_max, 16384 are needed" \
		"sysctl -w net.netfilter.nf_conntrack_max=65536"
}

check_lab() {
	check_root
	for tool in ip nft conntrack ping sysctl strace tcpdump nice python3; do
		command -v "$tool" >/dev/null || lack "$tool is not installed" "make setup"
	done
	/usr/bin/python3 -c 'import pytest, google.protobuf' 2>/dev/null ||
		lack "Debian's python3 lacks pytest or protobuf" "make setup"
	mkdir -p /run/jaga-lab
	[ "$(free_mb /run/jaga-lab)" -ge 200 ] ||
		lack "$(free_mb /run/jaga-lab) MB free in /run, 200 are needed" "mount -o remount,size=400M /run"
	ns=jaga-preflight-$$
	if ! ip netns add "$ns" 2>/dev/null; then
		lack "no network namespace can be made" \
			"run it on the machine itself, or give the container CAP_SYS_ADMIN and CAP_NET_ADMIN (docker run --privileged)"
		return
	fi
	trap 'ip netns delete "$ns"' EXIT
	ip -n "$ns" link add v0 type veth peer name v1 2>/dev/null ||
		lack "the kernel has no veth interfaces" "modprobe veth, or a kernel with CONFIG_VETH"
	check_netfilter
	strace -qq -o /dev/null true 2>/dev/null ||
		lack "strace may not trace" "sysctl -w kernel.yama.ptrace_scope=1, or give the container CAP_SYS_PTRACE"
}

case ${1:-} in
machine) check_machine ;;
lab) check_lab ;;
*)
	echo "usage: preflight.sh machine|lab" >&2
	exit 2
	;;
esac
[ "$lacks" -eq 0 ] || exit 1
[ "$1" = machine ] || echo "preflight: this machine has what the laboratory needs"
