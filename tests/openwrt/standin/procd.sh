# Stand-in for procd's shell interface, and for what procd does of it: it writes down each word in /tmp/procd.told, and
# keeps an instance in /tmp/procd.instance (what it was told, and the sums of the files to watch). A service that is
# told again starts, goes on, restarts or ends, as procd decides; /tmp/procd.did has a line for each.
# An agent that runs is /tmp/agent.running, which holds how often it still answers `status` once it was asked to end.
# shellcheck shell=sh disable=SC2154

told() {
	echo "$*" >>/tmp/procd.told
}

procd_open_service() {
	: >/tmp/procd.told
	rm -f /tmp/procd.next
	told open_service "$@"
}

procd_open_instance() {
	: >/tmp/procd.next
	told open_instance "$@"
}

procd_set_param() {
	told set_param "$@"
	echo "$*" >>/tmp/procd.next
	[ "$1" = file ] || return 0
	shift
	md5sum "$@" >>/tmp/procd.next 2>/dev/null
	return 0
}

procd_add_jail() {
	told add_jail "$@"
	echo "jail $*" >>/tmp/procd.next
}

procd_close_instance() {
	told close_instance
}

procd_add_reload_trigger() {
	told add_reload_trigger "$@"
}

procd_add_raw_trigger() {
	told add_raw_trigger "$@"
}

procd_close_service() {
	told close_service
	if [ ! -e /tmp/procd.next ]; then
		procd_kill "$name"
	elif [ ! -e /tmp/procd.instance ]; then
		did start
		rm -f /tmp/agent.ending
		echo 1 >/tmp/agent.running
	elif cmp -s /tmp/procd.instance /tmp/procd.next; then
		did keep
	else
		did restart
	fi
	[ ! -e /tmp/procd.next ] || mv /tmp/procd.next /tmp/procd.instance
}

procd_kill() {
	[ -e /tmp/procd.instance ] || return 0
	rm -f /tmp/procd.instance
	: >/tmp/agent.ending
	did stop
}

did() {
	echo "$1" >>/tmp/procd.did
}
