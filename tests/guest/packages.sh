#!/bin/sh
# packages.sh ARCH OUT PACKAGE: unpack a Debian package of another architecture into OUT; nothing is installed.
#
# A package that has no files of its own (linux-image-amd64) stands for the first that it depends on. Asked in this
# order: $JAGA_DIST_DIR (a directory that holds PACKAGE_*.deb, for closed networks; then nothing else is asked), the cache
# ${XDG_CACHE_HOME:-$HOME/.cache}/jaga/guest (whatever version it has: a guest's kernel need not be the newest), and the
# Debian archives of this machine's apt. Those are read with a configuration of its own, made from the machine's:
# the same archives and suites, the other architecture, its own indexes. What apt downloads it has verified.
# POSIX sh, called by tests/guest/module.mk.
set -eu

arch=$1 out=$2 package=$3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jaga/guest

say() { printf '  %-8s %s\n' "$1" "$2"; }

fail() {
	cat >&2 <<-END
	packages: cannot get $package for $arch: $1
	packages:   remedy: put its .deb into a directory and run make with JAGA_DIST_DIR=that directory
	END
	exit 1
}

unpack() { # DEB
	rm -rf "$out.part" "$out"
	mkdir -p "$out.part"
	dpkg-deb -x "$1" "$out.part"
	mv "$out.part" "$out"
	exit 0
}

# The newest that DIR has of that name, or nothing. The real name of what a metapackage stands for holds a version:
# linux-image-amd64 is kept as linux-image-amd64_VERSION_amd64.deb as well.
newest() { # DIR
	find "$1" -maxdepth 1 \( -name "${package}_*_$arch.deb" -o -name "${package}_*_all.deb" \) 2>/dev/null | sort -V | tail -n 1
}

if [ -n "${JAGA_DIST_DIR:-}" ]; then
	deb=$(newest "$JAGA_DIST_DIR")
	[ -n "$deb" ] || fail "JAGA_DIST_DIR=$JAGA_DIST_DIR does not hold it"
	unpack "$deb"
fi
deb=$(newest "$cache")
[ -z "$deb" ] || unpack "$deb"

mkdir -p "$cache"
work=$(mktemp -d "$cache/.packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/download"

# shellcheck disable=SC2016 # apt expands these
apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 2>/dev/null | sort -u |
	awk -F'|' -v arch="$arch" '$1 == "Debian" && $4 == "main" {
		print "deb [arch=" arch " signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $2 " " $3 " main" }' >"$work/sources.list"
[ -s "$work/sources.list" ] || fail "apt on this machine has indexes of no Debian archive; run apt-get update"

private() { # COMMAND...: one of apt's programs for that architecture, away from this machine's state
	program=$1
	shift
	"$program" -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
		-o Dir::Cache="$work/cache" -o Dir::State::status=/dev/null -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
		-o APT::Sandbox::User= "$@"
}

say APT "$package for $arch"
private apt-get update >"$work/log" 2>&1 || fail "$(tail -n 1 "$work/log")"
real=$(private apt-cache depends "$package" 2>/dev/null | sed -n "s/^ *Depends: \(${package%%-*}-image-[0-9].*\)/\1/p" | head -n 1)
real=${real:-$package}
(cd "$work/download" && private apt-get download "$real") >"$work/log" 2>&1 || fail "$(tail -n 1 "$work/log")"
deb=$(find "$work/download" -name '*.deb')
[ -n "$deb" ] || fail "apt gave nothing"
version=${deb##*/}
mv "$deb" "$cache/${package}_${version#*_}"
unpack "$cache/${package}_${version#*_}"
