"""A Debian 12 with systemd as PID 1, in QEMU: tests/guest's x86-64 machine with another root file system.

The guest's own initramfs (kernel modules, busybox) mounts the image of root.sh, a layer in memory above it, and
hands over to systemd. So each guest starts from the same image, and nothing that it writes outlives it.

    with DebianGuest(directory, {"/root/x.deb": path}) as guest:    # everything tests.guest.guest.Guest can
        guest.sh("systemctl status")
"""
import pathlib

from tests.guest.guest import ROOT, Guest
from tests.lab.lab import LabError

IMAGE = ROOT / "build/guest/debian/root.ext4"
BOOT_S = 240  # without hardware help, on a busy machine
MEMORY_MB = 768
FILES = "/debian"  # where in the initramfs the test's files wait for their root

INIT = """#!/bin/sh
# From busybox to systemd: the image below, memory above, the kernel's modules and the test's files in it.
/etc/rc
fail() { echo "debian: $1"; exec sh; }
mkdir -p /mnt/image /mnt/memory /mnt/root
for module in ext4 overlay; do modprobe $module || fail "no module $module"; done
mount -t ext4 -o ro /dev/vda /mnt/image || fail "no image"
mount -t tmpfs tmpfs /mnt/memory
mkdir /mnt/memory/upper /mnt/memory/work
mount -t overlay -o lowerdir=/mnt/image,upperdir=/mnt/memory/upper,workdir=/mnt/memory/work overlay /mnt/root || fail "no layer"
cp -a /lib/modules /mnt/root/usr/lib/
chroot /mnt/root /sbin/depmod "$(uname -r)" || fail "no list of modules"
[ ! -d /debian ] || cp -a /debian/. /mnt/root/
umount /tmp /run /dev/pts /dev /sys /proc
exec switch_root /mnt/root /lib/systemd/systemd
"""


class DebianGuest(Guest):
    """Booted: systemd has reached its target."""

    def __init__(self, directory, files=None, **kwargs):
        if not IMAGE.exists():
            raise LabError(f"{IMAGE.relative_to(ROOT)} is missing; remedy: make check-debian-guest")
        own = {FILES + path: what for path, what in (files or {}).items()}
        super().__init__("x86_64", pathlib.Path(directory), files={"/sbin/debian": (INIT, 0o755), **own},
                         append="rdinit=/sbin/debian", disks=[(IMAGE, "ro")], memory_mb=MEMORY_MB, rng=True,
                         boot_timeout_s=BOOT_S, **kwargs)
        state = self.run("systemctl is-system-running --wait", timeout_s=BOOT_S)[1].strip()
        if state != "running":
            failed = self.run("systemctl --failed --no-legend --plain; systemctl list-jobs")[1]
            self.stop()
            raise LabError(f"systemd is {state}: {failed}")

    def journal(self, unit):
        return self.run(f"journalctl --no-pager -o cat -u {unit}")[1]
