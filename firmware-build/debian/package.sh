#!/bin/sh
# package.sh NAME VERSION ARCHITECTURE ROOT DEB: make the binary package NAME from an installed tree.
#
# ROOT is what `make install` made, its programs stripped. The folder NAME beside this script says the rest:
#   files      paths of ROOT that belong to this package, shell patterns, one a line
#   control    Description, Section, ...; dpkg-shlibdeps fills in ${shlibs:Depends}
#   postinst prerm postrm
#   lintian-overrides   if there is a reason
# The same tree and SOURCE_DATE_EPOCH make the same bytes: every time is that, every owner is root, names are sorted
# (dpkg-deb does all three). Man pages and changelog are packed, as Debian's policy asks.
# POSIX sh and dpkg-dev, called by firmware-build/debian/module.mk.
set -eu

name=$1 version=$2 architecture=$3 root=$4 deb=$5
here=$(dirname "$0")/$name
: "${SOURCE_DATE_EPOCH:?}"
umask 022

die() { echo "package: $*" >&2; exit 1; }

work=$deb.work
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
tree=$work/tree doc=$work/tree/usr/share/doc/$name
mkdir -p "$tree/DEBIAN" "$doc" "$tree/etc/jaga" "$work/debian"

take() { # PATTERN: what matches it, to the same place
	found=
	for path in "$root"/$1; do
		[ -e "$path" ] || continue
		found=yes
		mkdir -p "$tree/$(dirname "${path#"$root"/}")"
		cp -P "$path" "$tree/${path#"$root"/}"
	done
	[ -n "$found" ] || die "$name/files: nothing in $root is called $1"
}
while read -r pattern; do
	take "$pattern"
done <"$here/files"

# Examples and the copyright have a place of their own in each package.
for example in "$tree"/usr/share/doc/jaga/*.example; do
	[ ! -e "$example" ] || install -D -m 644 "$example" "$doc/examples/$(basename "$example" .example)"
done
rm -rf "$tree/usr/share/doc/jaga"
install -m 644 "$(dirname "$0")/copyright" "$doc/copyright"
maintainer=$(git log -1 --format='%an <%ae>')
gzip -9n >"$doc/changelog.gz" <<-END
	$name ($version) unstable; urgency=medium

	  * See /usr/share/doc/$name/NEWS.gz for what changed.

	 -- $maintainer  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END
gzip -9nc CHANGELOG.md >"$doc/NEWS.gz"
find "$tree/usr/share/man" -type f -exec gzip -9n {} +
if [ -e "$here/lintian-overrides" ]; then
	install -D -m 644 "$here/lintian-overrides" "$tree/usr/share/lintian/overrides/$name"
fi

programs=$(cd "$tree" && find usr -path 'usr/*bin/*' -type f | LC_ALL=C sort)
[ -n "$programs" ] || die "$name has no program"

# dpkg-shlibdeps wants a source package around it.
printf 'Source: jaga\n\nPackage: %s\nArchitecture: any\n' "$name" >"$work/debian/control"
# shellcheck disable=SC2046,SC2086 # lists of paths without blanks
depends=$(cd "$work" && dpkg-shlibdeps -O $(printf 'tree/%s ' $programs) 2>shlibdeps.log) ||
	{ cat "$work/shlibdeps.log" >&2; die "$name: dpkg-shlibdeps failed"; }
depends=${depends#shlibs:Depends=}

(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' md5sum) >"$tree/DEBIAN/md5sums"
size=$(find "$tree" -path "$tree/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ k += int(($1 + 1023) / 1024) } END { print k }')
{
	printf 'Package: %s\nSource: jaga\nVersion: %s\nArchitecture: %s\nMaintainer: %s\nInstalled-Size: %s\n' \
		"$name" "$version" "$architecture" "$maintainer" "$size"
	sed "s|\${shlibs:Depends}|$depends|" "$here/control"
} >"$tree/DEBIAN/control"
for script in postinst prerm postrm; do
	install -m 755 "$here/$script" "$tree/DEBIAN/$script"
done

find "$tree" -type d -exec chmod 755 {} +
dpkg-deb --root-owner-group --uniform-compression -Zxz --build "$tree" "$work/$name.deb" >/dev/null
mv "$work/$name.deb" "$deb"
