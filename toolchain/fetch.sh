#!/bin/sh
# fetch.sh SOURCE FILE SHA256 DEST: put one verified Debian source file at DEST.
#
# Asked in this order: $JAGA_DIST_DIR (a directory of tarballs, for closed networks; then nothing else is asked),
# the cache ${XDG_CACHE_HOME:-$HOME/.cache}/jaga, and every Debian archive that this machine's apt is configured
# with. A source file's place in an archive's pool follows from its name alone, so no suite needs to be enabled
# and no index is downloaded: deb-src of trixie or sid is served to a bookworm machine just as well. apt itself says
# which of its archives are Debian's, whatever the format of its sources, and does the download through its own
# proxies. Its state is only read. What counts in the end is the checksum.
# POSIX sh, called by toolchain/module.mk.
set -eu

source=$1 file=$2 sha256=$3 dest=$4
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jaga

say() { printf '  %-8s %s\n' "$1" "$2"; }

matches() { # FILE: is it there, with the right bytes?
	[ -f "$1" ] && [ "$(sha256sum <"$1")" = "$sha256  -" ]
}

deliver() { # FROM: copy to DEST so that an interrupted copy is never taken for the file
	mkdir -p "${dest%/*}"
	cp "$1" "$dest.part.$$"
	mv "$dest.part.$$" "$dest"
	exit 0
}

fail() {
	cat >&2 <<-EOF
	fetch: cannot get $file
	fetch:   SHA-256 $sha256
	fetch:   $1
	fetch:   remedy: put that file into a directory and run make with JAGA_DIST_DIR=that directory
	EOF
	exit 1
}

if [ -n "${JAGA_DIST_DIR:-}" ]; then
	matches "$JAGA_DIST_DIR/$file" || fail "JAGA_DIST_DIR=$JAGA_DIST_DIR does not hold it, or holds other bytes"
	deliver "$JAGA_DIST_DIR/$file"
fi
if matches "$cache/$file"; then
	deliver "$cache/$file"
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# The pools of the Debian archives that apt knows; the security archive keeps its own one level deeper. Which archive an
# address belongs to stands in its signed index, so a machine without indexes gets private ones.
debian_pools() {
	# shellcheck disable=SC2016 # apt expands these
	apt-get "$@" indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 2>/dev/null |
		sed -n -e 's,^Debian|Debian-Security|\(.*[^/]\)/*$,2 \1/pool/updates/main,p' -e t \
			-e 's,^Debian|[^|]*|\(.*[^/]\)/*$,1 \1/pool/main,p' | sort -u | cut -d' ' -f2
}

pools=$(debian_pools)
if [ -z "$pools" ]; then
	say APT "reading the indexes of this machine's archives, to find Debian's"
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	set -- -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=
	apt-get "$@" -qq update >"$work/update.log" 2>&1 || fail "apt-get update: $(tail -n 1 "$work/update.log")"
	pools=$(debian_pools "$@")
fi
[ -n "$pools" ] || fail "apt on this machine knows no Debian archive"

case $source in
lib*) subdir=$(printf %.4s "$source")/$source ;;
*)    subdir=$(printf %.1s "$source")/$source ;;
esac

asked=
for pool in $pools; do
	url=$pool/$subdir/$file
	asked="$asked $url"
	say FETCH "$url"
	if /usr/lib/apt/apt-helper -o APT::Sandbox::User= -qq download-file "$url" "$work/$file" "SHA256:$sha256" \
		>"$work/log" 2>&1 && matches "$work/$file"; then
		mv "$work/$file" "$cache/$file"
		deliver "$cache/$file"
	fi
	sed -n 's/^E: Failed to fetch [^ ]* */           not taken: /p' "$work/log"
done
fail "asked:$asked"
