#!/bin/sh
# busybox.sh TARBALL CONFIG OUT: build one static busybox for a guest, and OUT.links, where its names belong.
#
# CC and CFLAGS of the environment choose for whom; the rest is busybox's own build: nothing but what CONFIG names.
# It is built in a directory of its own beside OUT, which goes away. Kbuild knows CC in its environment only as
# CROSS_COMPILE and a name, so CC is given to it as a variable; HOSTCC stays this machine's.
# POSIX sh, called by tests/guest/module.mk.
set -eu

tarball=$1 config=$(realpath "$2") out=$3
: "${CC:=gcc}" "${CFLAGS:=-Os}" "${STRIP:=strip}"

mkdir -p "${out%/*}"
work=$(mktemp -d "$(realpath "${out%/*}")/.busybox.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
log=$work/log

quietly() { # COMMAND...: show its last lines only if it fails
	"$@" >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		echo "busybox: '$*' failed" >&2
		exit 1
	}
}

tar -xf "$tarball" -C "$work" --strip-components=1
cd "$work"
# Everything off, then what the fragment names on, and of what that brings into sight the defaults.
quietly make allnoconfig
sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=.*/\1/p' "$config" | while read -r name; do
	sed -i -e "/^$name=/d" -e "/^# $name is/d" .config
done
cat "$config" >>.config
i=0
while [ $((i += 1)) -le 2000 ]; do echo; done >answers
quietly make oldconfig <answers
quietly make -j2 CC="$CC" EXTRA_CFLAGS="$CFLAGS" EXTRA_LDFLAGS="${LDFLAGS:-}" SKIP_STRIP=y busybox busybox.links
cd "$OLDPWD"
$STRIP -o "$out.part" "$work/busybox"
mv "$work/busybox.links" "$out.links"
mv "$out.part" "$out"
