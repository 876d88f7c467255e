#!/bin/sh
# unpack.sh TARBALL DIR PATCH...: unpack one source archive to DIR and patch it.
#
# DIR is replaced. Patches are applied in the order given, and all must apply. FIXES=file names Debian's patch archive:
# a PATCH written as "fix:NAME" is debian/patches/NAME in it. Of those, what concerns coap_openssl.c is dropped: we do
# not compile that file, and it has changed since the version that Debian fixed.
# POSIX sh, called by toolchain/module.mk.
set -eu

tarball=$1 dir=$2
shift 2

rm -rf "$dir"
mkdir -p "$dir"
tar -xf "$tarball" -C "$dir" --strip-components=1

for patch; do
	case $patch in
	fix:*)
		name=${patch#fix:}
		tar -xOf "$FIXES" "debian/patches/$name" >"$dir/.patch"
		awk '/^Index: /{ skip = /coap_openssl\.c$/ } !skip' "$dir/.patch" >"$dir/.patch.kept"
		;;
	*)
		name=${patch##*/}
		cp "$patch" "$dir/.patch.kept"
		;;
	esac
	printf 'patch %s\n' "$name"
	patch -d "$dir" -p1 -N --no-backup-if-mismatch <"$dir/.patch.kept"
	rm -f "$dir/.patch" "$dir/.patch.kept"
done
