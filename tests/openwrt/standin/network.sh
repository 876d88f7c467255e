# Stand-in for OpenWrt's /lib/functions/network.sh: /tmp/netifd says what netifd would, a line "interface device" each.
# shellcheck shell=sh disable=SC3043
network_get_device() {
	local __device
	__device=$(sed -n "s/^$2 //p" /tmp/netifd 2>/dev/null)
	[ -n "$__device" ] && eval "$1=\$__device"
}
