#!/bin/sh
# root.sh LIST IMAGE: a Debian 12 with systemd as an ext4 image, for tests/debian/guest.py.
#
# minbase and the packages of LIST from the Debian archives of this machine's apt; nothing of Jaga is in it. What a guest
# writes it writes into memory, so one image serves all of them. The harness's line (tests/guest/root/serve) is a unit.
# POSIX sh, mmdebstrap and e2fsprogs, as root; called by tests/debian/module.mk.
set -eu

list=$1 image=$2
here=$(dirname "$0")
work=$image.work
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM HUP
rm -rf "$work"
mkdir -p "$work"
chmod 755 "$work" # apt's download user has to get in

# shellcheck disable=SC2016 # apt expands these
apt-get indextargets --format '$(ORIGIN)|$(RELEASE)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
	sed -n 's/^Debian|bookworm[^|]*|//p' | sort -u >"$work/sources.list"
[ -s "$work/sources.list" ] || { echo "root: apt here knows no Debian 12 archive; remedy: apt-get update on a Debian 12" >&2; exit 1; }
# What reaching those archives may need: a proxy, an archive that stands still.
apt-config dump >"$work/apt.conf.all"
sed -nE '/^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date)/p' "$work/apt.conf.all" >"$work/apt.conf"
packages=$(sed 's/#.*//' "$list" | tr -s ' \n' ',,')

printf '  %-8s %s\n' DEBIAN "$image"
mmdebstrap --quiet --mode=root --variant=minbase --include="${packages%,}" --aptopt="$work/apt.conf" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	bookworm "$work/root" - <"$work/sources.list"
install -m 755 "$here/../guest/root/serve" "$work/root/usr/local/sbin/serve"
install -m 644 "$here/serve.service" "$work/root/etc/systemd/system/serve.service"
mkdir -p "$work/root/etc/systemd/system/basic.target.wants"
ln -s /etc/systemd/system/serve.service "$work/root/etc/systemd/system/basic.target.wants/"
# Nobody types on the console, and nothing here waits for a real network or a clean-up.
for unit in serial-getty@ttyS0.service getty@tty1.service systemd-networkd-wait-online.service apt-daily.timer \
	apt-daily-upgrade.timer; do
	ln -sf /dev/null "$work/root/etc/systemd/system/$unit"
done
truncate -s 1G "$work/root.ext4"
mke2fs -q -t ext4 -d "$work/root" "$work/root.ext4"
mv "$work/root.ext4" "$image"
