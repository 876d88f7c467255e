# Stand-in for OpenWrt's /lib/functions.sh: what the package's scripts use of it, with the same meaning. A UCI file is
# shell once `config`, `option` and `list` are functions, which is how OpenWrt's own library reads it too.
# shellcheck shell=sh disable=SC1090,SC2034,SC2154,SC3043

config() {
	CONFIG_COUNT=$((CONFIG_COUNT + 1))
	CONFIG_NAME=${2:-cfg$CONFIG_COUNT}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $CONFIG_NAME"
	eval "CONFIG_${CONFIG_NAME}_TYPE=\$1"
}

option() {
	eval "CONFIG_${CONFIG_NAME}_$1=\$2"
}

list() {
	eval "CONFIG_${CONFIG_NAME}_$1=\"\${CONFIG_${CONFIG_NAME}_$1:+\$CONFIG_${CONFIG_NAME}_$1 }\$2\""
}

config_load() {
	CONFIG_COUNT=0 CONFIG_SECTIONS=
	[ -s "/etc/config/$1" ] || return 1
	. "/etc/config/$1"
}

config_get() {
	eval "$1=\${CONFIG_$2_$3:-\$4}"
}

config_get_bool() {
	local word
	config_get word "$2" "$3" "$4"
	case "$word" in
	1 | on | true | yes | enabled) word=1 ;;
	0 | off | false | no | disabled) word=0 ;;
	*) word=$4 ;;
	esac
	eval "$1=$word"
}

config_foreach() {
	local section type call="$1" wanted="$2"
	shift 2
	for section in $CONFIG_SECTIONS; do
		config_get type "$section" TYPE
		[ "$type" = "$wanted" ] && "$call" "$section" "$@"
	done
	return 0
}

# Where each of the package managers keeps the list of a package's files.
list_files() {
	cat "/usr/lib/opkg/info/$1.list" "/lib/apk/packages/$1.list" 2>/dev/null
}

default_postinst() {
	local file package="${1%.*}"
	for file in $(list_files "$package" | grep ^/etc/uci-defaults/); do
		[ ! -f "$file" ] || (cd /etc/uci-defaults && . "$file") && rm -f "$file"
	done
	for file in $(list_files "$package" | grep ^/etc/init.d/); do
		[ "$PKG_UPGRADE" = 1 ] || "$file" enable
		"$file" start
	done
}

default_prerm() {
	local file package="${1%.*}"
	for file in $(list_files "$package" | grep ^/etc/init.d/); do
		[ "$PKG_UPGRADE" = 1 ] || "$file" disable
		"$file" stop
	done
}
