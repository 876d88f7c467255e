#!/bin/sh
# unpack.sh TARBALL DIR PATCH...: unpack one source archive to DIR and patch it, unless DIR is that already.
#
# Patches are applied in the order given, and all must apply. FIXES=file names Debian's patch archive: a PATCH written
# as "fix:NAME" is debian/patches/NAME in it. Of those, what concerns coap_openssl.c is dropped: we do not compile that
# file, and it has changed since the version that Debian fixed. INNER=file means the tarball in the tarball, PARTS=folders
# only those folders of it (both may be empty).
# DIR/.unpacked says what DIR was made of; two makes at once take turns.
# POSIX sh, called by toolchain/module.mk.
set -eu

tarball=$1 dir=$2
shift 2

exec 9>"$dir.lock"
flock 9

work=$dir.new
rm -rf "$work"
mkdir -p "$work/.patches"
n=100 # a prefix that keeps the order
for patch; do
	n=$((n + 1))
	case $patch in
	fix:*)
		# shellcheck disable=SC2086 # words
	tar -xOf "$FIXES" "debian/patches/${patch#fix:}" |
			awk '/^Index: /{ skip = /coap_openssl\.c$/ } !skip' >"$work/.patches/$n-${patch#fix:}"
		;;
	*)
		cp "$patch" "$work/.patches/$n-${patch##*/}"
		;;
	esac
done

made_of=$(find "$work/.patches" -type f | LC_ALL=C sort | xargs cat "$0" "$tarball" | sha256sum)
if [ -f "$dir/.unpacked" ] && [ "$(cat "$dir/.unpacked")" = "$made_of" ]; then
	rm -rf "$work"
	touch "$dir/.unpacked"
	exit 0
fi

printf '  %-8s %s\n' UNPACK "$dir"
if [ -n "${INNER:-}" ]; then
	# shellcheck disable=SC2086 # words
	tar -xOf "$tarball" "$INNER" | tar -xJf - -C "$work" --strip-components=1 $PARTS
else
	tar -xf "$tarball" -C "$work" --strip-components=1
fi
for patch in "$work"/.patches/*; do
	[ -f "$patch" ] || continue # none
	if ! patch -d "$work" -p1 -N --no-backup-if-mismatch <"$patch" >"$dir.log" 2>&1; then
		cat "$dir.log" >&2
		echo "unpack: ${patch##*/???-} does not apply to $tarball" >&2
		exit 1
	fi
done
echo "$made_of" >"$work/.unpacked"
rm -rf "$dir" "$dir.log"
mv "$work" "$dir"
