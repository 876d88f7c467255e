"""An OpenWrt router as far as a package sees it: a root directory with busybox, the stand-ins of standin/, and the two
package managers' way with files and scripts. Commands run in it by chroot, so root is needed; nothing else is touched.
"""
import os
import pathlib
import shutil
import subprocess

from tests.openwrt.apk import read_apk
from tests.openwrt.build import STANDIN
from tests.openwrt.ipk import read_ipk

NAME = "jaga-agent"
DIRECTORIES = ("bin", "sbin", "usr/bin", "usr/sbin", "etc/init.d", "etc/rc.d", "etc/config", "etc/uci-defaults", "lib/functions",
               "lib/upgrade/keep.d", "lib/apk/packages", "usr/lib/opkg/info", "tmp", "dev")
STANDINS = {"functions.sh": "lib/functions.sh", "network.sh": "lib/functions/network.sh", "procd.sh": "lib/functions/procd.sh",
            "rc.common": "etc/rc.common", "logger": "usr/bin/logger"}

NETWORK = """
config interface 'loopback'
	option device 'lo'
	option proto 'static'
config device
	option name 'br-lan'
	option type 'bridge'
config interface 'lan'
	option device 'br-lan'
	option proto 'static'
config interface 'wan'
	option device 'eth0'
	option proto 'dhcp'
config interface 'wan6'
	option device 'eth0'
	option proto 'dhcpv6'
config interface 'wanb'
	option device 'eth1.7'
	option proto 'pppoe'
config interface 'wwan'
	option device '/dev/cdc-wdm0'
	option proto 'qmi'
"""
FIREWALL = """
config defaults
	option flow_offloading '1'
config zone
	option name 'lan'
	list network 'lan'
config zone
	option name 'wan'
	list network 'wan'
	list network 'wan6'
	list network 'wanb'
	list network 'wwan'
	option masq '1'
"""


class Router:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        for name in DIRECTORIES:
            (self.root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.root / "bin" / "busybox")
        (self.root / "bin" / "sh").symlink_to("busybox")
        (self.root / "var").symlink_to("tmp")
        (self.root / "dev" / "null").touch()
        self.run("/bin/busybox", "--install", "-s")
        for name, path in STANDINS.items():
            target = self.root / path
            target.unlink(missing_ok=True)
            shutil.copy(STANDIN / name, target)
            target.chmod(0o755)
        self.write("etc/config/network", NETWORK)
        self.write("etc/config/firewall", FIREWALL)

    def run(self, *argv, check=True, **environment):
        """Runs a program in the root, with the environment of a package manager's script."""
        return subprocess.run(["chroot", str(self.root), *argv], check=check, text=True, capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", **environment})

    def service(self, action, check=True):
        return self.run("/etc/init.d/jaga", action, check=check)

    def write(self, path, text):
        (self.root / path).write_text(text, encoding="utf-8")

    def read(self, path):
        path = self.root / path
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def lines(self, path):
        return self.read(path).splitlines()

    def files(self):
        """{path: contents} of everything but what a reboot forgets."""
        found = {}
        for directory, _, names in os.walk(self.root):
            for name in names:
                path = pathlib.Path(directory, name)
                relative = str(path.relative_to(self.root))
                if not relative.startswith(("tmp/", "dev/")):
                    found[relative] = os.readlink(path) if path.is_symlink() else path.read_bytes()
        return found

    def put(self, package):
        for name, (mode, _, _) in sorted(package.directories.items()):
            if not (self.root / name).is_dir():
                (self.root / name).mkdir()
                (self.root / name).chmod(mode)
        for name, (mode, _, _, _, contents) in package.files.items():
            (self.root / name).unlink(missing_ok=True)
            (self.root / name).write_bytes(contents)
            (self.root / name).chmod(mode)

    def take(self, package, newer=None):
        """Takes the files away that no newer package has, and directories that are empty then."""
        for name in set(package.files) - set(newer.files if newer else ()):
            (self.root / name).unlink(missing_ok=True)
        for name in sorted(package.directories, reverse=True):
            if not any((self.root / name).iterdir()):
                (self.root / name).rmdir()


class Opkg:
    """How opkg goes about it: scripts lie in its directory; an upgrade runs the old prerm and the new postinst."""

    def __init__(self, router):
        self.router, self.package = router, None

    def _script(self, name, argument, upgrade):
        return self.router.run(f"/usr/lib/opkg/info/{NAME}.{name}", argument, PKG_UPGRADE="1" if upgrade else "0",
                               PKG_ROOT="/")

    def _note(self, package):
        info = f"usr/lib/opkg/info/{NAME}"
        self.router.write(f"{info}.list", "".join(f"/{name}\n" for name in package.files))
        for name, text in package.scripts.items():
            self.router.write(f"{info}.{name}", text.decode())
            (self.router.root / f"{info}.{name}").chmod(0o755)

    def install(self, path):
        old, self.package = self.package, read_ipk(path)[0]
        if old:
            self._script("prerm", "upgrade", True)
            self.router.take(old, self.package)
        self.router.put(self.package)
        self._note(self.package)
        return self._script("postinst", "configure", bool(old))

    def remove(self):
        said = self._script("prerm", "remove", False)
        self.router.take(self.package)
        for path in (self.router.root / "usr/lib/opkg/info").glob(f"{NAME}.*"):
            path.unlink()
        self.package = None
        return said


class Apk:
    """How apk-tools goes about it: a script for each occasion, none before an upgrade."""

    def __init__(self, router):
        self.router, self.package = router, None

    def _script(self, name, *arguments):
        self.router.write("tmp/script", self.package.scripts[name].decode())
        (self.router.root / "tmp/script").chmod(0o755)
        return self.router.run("/tmp/script", *arguments)

    def install(self, path):
        old, self.package = self.package, read_apk(path)
        self.router.put(self.package)
        if not old:
            return self._script("post-install", self.package.info["version"])
        self.router.take(old, self.package)
        return self._script("post-upgrade", self.package.info["version"], old.info["version"])

    def remove(self):
        said = self._script("pre-deinstall", self.package.info["version"])
        self.router.take(self.package)
        self.package = None
        return said
