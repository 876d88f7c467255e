# linux_save.sh: the way back of a pushed script on Linux; linux_save.c runs it as root, as it runs scripts.
#
#   ACTION=save       files that the agent's [snapshot] names, addresses, routes, rules, nftables -> $DIR/save-$JOB
#   ACTION=commit     that goes away
#   ACTION=roll_back  the script, should it still run, is ended; the job's own rollback runs, or what was saved is put back.
#                     May be cut off and begun again at any point.
#
# Before this text stand, as assignments: ACTION, DIR (the state directory), JOB, FILES (patterns, a line each), RELOAD (a command
# of [scripts], or empty), ROLLBACK (a script, or empty). Exit status 0: done; 44: there is no save point of this job; else the
# last line says why not. What is Jaga's own (tables jaga, protocol 74) is neither saved nor touched. On OpenWrt what runs
# follows from /etc/config: netifd and fw4 make it anew, and nothing else is put back.

save="$DIR/save-$JOB"
tab=$(printf '\t')
lost=
umask 077

has() { [ -n "$(command -v "$1")" ]; }
is_openwrt() { [ -x /sbin/reload_config ]; }
fail() { echo "$*"; exit 1; }
lose() { lost="$lost${lost:+, }$*"; }

# Lines of file $1 that file $2 has not.
minus() { awk -v other="$2" 'BEGIN { while ((getline line < other) > 0) seen[line] } !($0 in seen)' "$1"; }

# --- files

# Files, and links to whatever is no directory. Names have no line ends; blanks are theirs.
list_files() {
	printf '%s\n' "$FILES" | while IFS= read -r pattern; do
		IFS=
		for file in $pattern; do
			if [ ! -d "$file" ] && { [ -f "$file" ] || [ -L "$file" ]; }; then printf '%s\n' "$file"; fi
		done
	done
}

save_file() { mkdir -p "$new/files${1%/*}" && rm -f "$new/files$1" && cp -pP "$1" "$new/files$1" && printf '%s\n' "$1"; }

# A link and the file that it leads to are saved each by its own name. So nothing is ever written through a link, of which
# nobody knows where it leads after a script: to /dev/null, often.
save_files() {
	list_files > "$new/names" || return 1
	while IFS= read -r file; do
		save_file "$file" || return 1
		if [ -L "$file" ]; then
			place=$(readlink -f "$file")
			if [ -f "$place" ]; then save_file "$place" || return 1; fi
		fi
	done < "$new/names" > "$new/list"
}

# What chmod and chown change.
mode_and_owner() { ls -ln "$1" | awk '{ print substr($1, 1, 10), $3, $4 }'; }
is_as_saved() {
	old=$save/files$1
	[ "$(readlink "$old")" = "$(readlink "$1")" ] || return 1
	[ -L "$1" ] || { [ -f "$1" ] && cmp -s "$old" "$1" && [ "$(mode_and_owner "$old")" = "$(mode_and_owner "$1")" ]; }
}

# Replaced as a whole, whatever has that name now; but mv would go into a directory, also where a link leads to one.
put_back_file() {
	if [ -d "$1" ]; then rm -f "$1" || return 1; fi
	mkdir -p "${1%/*}" && rm -f "$1.jaga-new" && cp -pP "$save/files$1" "$1.jaga-new" && mv "$1.jaga-new" "$1"
}

put_back_files() {
	list_files > "$tmp/files"
	minus "$tmp/files" "$save/list" > "$tmp/extra"
	while IFS= read -r file; do
		rm -f "$file" || lose "$file (still there)"
	done < "$tmp/extra"
	while IFS= read -r file; do
		is_as_saved "$file" || put_back_file "$file" || lose "$file"
	done < "$save/list"
}

# --- what runs: one line a thing, as the command that makes it takes it

links() { ip -o link show up | sed -e 's/^[0-9]*: //' -e 's/[@:].*//'; }
# "DEVICE inet ADDRESS ..."; what comes and goes by itself (DHCP, router advertisements) is marked dynamic by the kernel.
addresses() {
	ip -o address show | sed -e '/ temporary/d' -e 's/^[0-9]*: *//' -e 's/\\.*//' -e 's/ tentative//' -e 's/ deprecated//' \
		-e 's/ dadfailed//' -e 's/ secondary//' -e 's/ mngtmpaddr//' -e 's/  */ /g' -e 's/ *$//'
}
routes() {
	ip -o "-$1" route show table all | sed -e '/ table local/d' -e '/^local /d' -e '/^broadcast /d' -e '/^multicast /d' \
		-e '/^anycast /d' -e '/ proto 74/d' -e '/ proto ra /d' -e 's/\\//g' -e 's/ linkdown//g' -e 's/ dead//g' -e 's/ expires [0-9]*sec//' \
		-e 's/ error -*[0-9]*//' -e 's/ pref medium//' -e "s/$tab/ /g" -e 's/  */ /g' -e 's/ *$//'
}
routes4() { routes 4; }
routes6() { routes 6; }
rules() { ip "-$1" rule show | sed -e '/ proto 74/d' -e '/^0:/d' -e 's/ \[detached\]//g' -e "s/:$tab/ /" -e 's/ *$//'; }
rules4() { rules 4; }
rules6() { rules 6; }
tables() { nft list tables | awk '$1 == "table" && $3 != "jaga" { print $2, $3 }'; }
ruleset() { tables | while read -r family name; do nft -s list table "$family" "$name" || exit 1; done; }
# One transaction: what is there now goes, file $1 comes.
replace_ruleset() { { tables | sed 's/^/delete table /' && cat "$1"; } | nft $2 -f -; }

save_running() {
	if has ip; then
		# Another ip does not tell whose a route is: Jaga's own would be taken for somebody's.
		ip -V | grep -q iproute2 || fail "this needs iproute2's ip, or a rollback script"
		for kind in links addresses routes4 routes6 rules4 rules6; do
			$kind > "$1/$kind" || return 1
		done
	fi
	if has nft; then
		ruleset > "$1/ruleset" || return 1
		replace_ruleset "$1/ruleset" -c || fail "the nftables ruleset could not be put back (iptables made it?)"
	fi
}

link_up() { ip link set dev "$1" up; }
link_down() { ip link set dev "$1" down; }
delete_address() { ip address del "$3" dev "$1"; }
add_address() {
	device=$1 address=$3 words=
	shift 3
	while [ $# -gt 0 ]; do
		case $1 in
		peer | brd | scope) words="$words $1 $2"; shift ;;
		noprefixroute | home | nodad) words="$words $1" ;;
		dynamic) ;;
		"$device"*) words="$words label $1" ;;
		esac
		shift
	done
	ip address add "$address" $words dev "$device"
}
delete_route4() { ip -4 route del "$@"; }
delete_route6() { ip -6 route del "$@"; }
add_route4() { ip -4 route add "$@"; }
add_route6() { ip -6 route add "$@"; }
delete_rule4() { ip -4 rule del pref "$@"; }
delete_rule6() { ip -6 rule del pref "$@"; }
add_rule4() { ip -4 rule add pref "$@"; }
add_rule6() { ip -6 rule add pref "$@"; }

# KIND ADD DELETE: what is not as it was. A few rounds: a route may need another one first, and an address brings its own.
put_back() {
	for round in 1 2 3 4; do
		$1 > "$tmp/now"
		minus "$tmp/now" "$save/$1" > "$tmp/extra"
		minus "$save/$1" "$tmp/now" > "$tmp/missing"
		# Leases are their client's: none is taken away, and after a reboot none of the last life comes back.
		if [ "$1" = addresses ]; then
			sed '/ dynamic/d' "$tmp/extra" > "$tmp/fixed" && mv "$tmp/fixed" "$tmp/extra"
			if ! cmp -s "$save/boot_id" /proc/sys/kernel/random/boot_id; then
				sed '/ dynamic/d' "$tmp/missing" > "$tmp/fixed" && mv "$tmp/fixed" "$tmp/missing"
			fi
		fi
		if ! [ -s "$tmp/extra" ] && ! [ -s "$tmp/missing" ]; then return; fi
		# What fails shows in the next round, or at the end.
		while read -r line; do $3 $line; done < "$tmp/extra" 2> "$tmp/complaint"
		while read -r line; do $2 $line; done < "$tmp/missing" 2>> "$tmp/complaint"
	done
	$1 > "$tmp/now"
	minus "$save/$1" "$tmp/now" > "$tmp/missing"
	if [ -s "$tmp/missing" ]; then
		lose "$1: $(head -n 1 "$tmp/missing") ($(tail -n 1 "$tmp/complaint"))"
	fi
}

put_back_running() {
	if [ -f "$save/links" ]; then
		put_back links link_up link_down
		put_back addresses add_address delete_address
		put_back routes4 add_route4 delete_route4
		put_back routes6 add_route6 delete_route6
		put_back rules4 add_rule4 delete_rule4
		put_back rules6 add_rule6 delete_rule6
	fi
	if [ -f "$save/ruleset" ]; then
		ruleset > "$tmp/now"
		if ! cmp -s "$save/ruleset" "$tmp/now"; then
			replace_ruleset "$save/ruleset" || lose "the nftables ruleset"
		fi
	fi
}

reload() {
	if [ -n "$RELOAD" ]; then
		sh -c "$RELOAD" > "$tmp/output" 2>&1 || lose "[scripts] reload ($(tail -n 1 "$tmp/output"))"
	elif is_openwrt; then
		/sbin/reload_config
		/etc/init.d/network restart || lose "network restart"
		if [ -x /etc/init.d/firewall ]; then /etc/init.d/firewall restart || lose "firewall restart"; fi
	fi > "$tmp/reload" 2>&1
}

# --- the three

# Whoever runs this job's script, or went back before us, is ended with its process group. Jobs of another agent may have the same
# number: what is in another network namespace is of another router.
end_others() {
	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		[ "$pid" != $$ ] && [ -r "$dir/environ" ] || continue
		stat=$(cat "$dir/stat" 2>&-) || continue
		set -- ${stat##*) }
		[ "${3:-}" = "$pid" ] || continue
		if tr '\0' '\n' < "$dir/environ" 2>&- | grep -qx -e "JAGA_JOB=$JOB" -e JAGA_JOB=way-back &&
		   [ "$(readlink "$dir/ns/net")" = "$(readlink "/proc/$$/ns/net")" ]; then
			kill -9 "-$pid" || [ ! -d "$dir" ] || fail "process group $pid cannot be ended"
			echo "ended process group $pid"
		fi
	done
}

save() {
	rm -rf "$DIR"/save-*
	new="$save.new"
	mkdir "$new" && cat /proc/sys/kernel/random/boot_id > "$new/boot_id" || fail "$new cannot be written"
	if [ -n "$ROLLBACK" ]; then
		printf '%s' "$ROLLBACK" > "$new/rollback" || fail "$new cannot be written"
	else
		save_files || fail "the files cannot be saved in $new"
		is_openwrt || save_running "$new" || fail "what runs cannot be saved in $new"
	fi
	sync
	mv "$new" "$save" || fail "$save cannot be made"
	sync
}

commit() {
	if [ -d "$save" ]; then
		mv "$save" "$DIR/save-gone" || fail "$save cannot be taken away"
		sync
	fi
	rm -rf "$DIR"/save-* || fail "$DIR/save-gone cannot be removed"
}

roll_back() {
	[ -d "$save" ] || { echo "there is no save point of job $JOB"; exit 44; }
	if [ -e "$save/undone" ]; then return; fi
	end_others
	# In memory where there is a /tmp; a router may have none. What was cut off leaves nothing behind that outlives the save point.
	tmp=$(mktemp -d 2>&-) || { tmp=$save/tmp && rm -rf "$tmp" && mkdir "$tmp"; } || fail "no room for a temporary directory"
	trap 'rm -rf "$tmp"' EXIT
	if [ -f "$save/rollback" ]; then
		JAGA_JOB=$JOB sh "$save/rollback" > "$save/output" 2>&1
		status=$?
		[ $status = 0 ] || fail "its rollback script ended with status $status: $(tail -n 1 "$save/output")"
	else
		put_back_files
		reload
		put_back_running
		[ -z "$lost" ] || fail "not put back: $lost"
	fi
	: > "$save/undone"
	sync
}

$ACTION
