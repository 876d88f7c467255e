"""RouterOS itself in the place of rosim: a CHR disk image of the user's, in QEMU, for the suites that rosim passes.

    test_chr.py ── JAGA_CHR_RUN=image:FILE ──▶ pytest test_api.py test_ssh.py ... ──▶ test_api.Rosim ──▶ take() ──▶ the machine

The image is never written (snapshot=on). It boots once a run; admin, who has no password at first, gets that of the tests; then the
machine is saved as it is, memory and all, and every test begins from there (loadvm). Its API and SSH are at ports of 127.0.0.1.
What rosim alone has (--old-login, other versions) is skipped. `program:FILE` stands for a program that is started as rosim is: the
machinery's own test (test_chr.py). Nobody has run this with a real image yet."""
import atexit
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import librouteros
import pytest

HOST, PASSWORD = "127.0.0.1", "secret"
BOOT_S, LOAD_S = 240, 60  # without KVM it takes a minute or two
ETHERNETS = 5
RUN = "JAGA_CHR_RUN"


class ChrError(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def nearest(version):
    """The personality of rosim that stands for a version: 6, 7 before safe mode and !empty came to the API (7.18), or after."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if not numbers:
        raise ChrError(f"the router says that its version is {version!r}")
    major, minor = map(int, numbers.groups())
    return "6.49" if major < 7 else "7.16" if (major, minor) < (7, 18) else "7.20"


def connect(port, password):
    return librouteros.connect(host=HOST, port=port, username="admin", password=password, timeout=10)


class Machine:
    """QEMU with the image. restore(): as it was when the password had been set."""

    def __init__(self, image):
        if not pathlib.Path(image).is_file():
            raise ChrError(f"JAGA_CHR_IMAGE: there is no file {image}")
        self.directory = tempfile.mkdtemp(prefix="jaga-chr-")
        self.port, self.ssh_port = free_port(), free_port()
        self.monitor_path = f"{self.directory}/monitor"
        self.process = subprocess.Popen(self.argv(image), cwd=self.directory, stdin=subprocess.DEVNULL,
                                        stdout=open(f"{self.directory}/qemu.log", "wb"), stderr=subprocess.STDOUT)
        atexit.register(self.stop)
        self.monitor = None
        self.set_password()
        self.command("savevm clean")

    def argv(self, image):
        suffix = pathlib.Path(image).suffix.lstrip(".")
        cards = [("-netdev", f"user,id=n{n},restrict=on" + (f",hostfwd=tcp:{HOST}:{self.port}-:8728,hostfwd=tcp:{HOST}:{self.ssh_port}-:22"
                                                          if n == 0 else ""), "-device", f"virtio-net-pci,netdev=n{n}")
                 for n in range(ETHERNETS)]
        return ["qemu-system-x86_64", "-accel", "kvm", "-accel", "tcg", "-m", "256", "-display", "none", "-serial",
                f"file:{self.directory}/console", "-monitor", f"unix:{self.monitor_path},server=on,wait=off", "-drive",
                f"file={os.path.abspath(image)},format={suffix if suffix in ('qcow2', 'vdi', 'vmdk', 'vpc') else 'raw'},snapshot=on",
                *[word for card in cards for word in card]]

    def set_password(self):
        """Waits for the API as well; the port answers before the router does."""
        deadline = time.monotonic() + BOOT_S
        while True:
            try:
                api = connect(self.port, "")
                break
            except librouteros.exceptions.TrapError as error:
                raise ChrError(f"admin cannot log in with the empty password of a fresh image: {error}") from None
            except (OSError, librouteros.exceptions.LibRouterosError) as error:
                if self.process.poll() is not None:
                    raise ChrError("QEMU ended: " + pathlib.Path(self.directory, "qemu.log").read_text(errors="replace")[-500:]) from None
                if time.monotonic() > deadline:
                    raise ChrError(f"no API within {BOOT_S} s: {error}") from None
                time.sleep(1)  # between attempts; the deadline is above
        list(api.rawCmd("/user/set", "=numbers=admin", f"=password={PASSWORD}"))
        api.close()

    def command(self, line):
        """One of QEMU's monitor, to its end."""
        if not self.monitor:
            self.monitor = socket.socket(socket.AF_UNIX)
            self.monitor.settimeout(LOAD_S)
            self.monitor.connect(self.monitor_path)
            self.read_prompt()
        self.monitor.sendall(line.encode() + b"\n")
        said = self.read_prompt().partition("\r\n")[2]  # behind the line itself, which comes back with the cursor's moves
        if "Error" in said:
            raise ChrError(f"QEMU's {line}: {said.splitlines()[0]}")

    def read_prompt(self):
        said = b""
        while not said.endswith(b"(qemu) "):
            piece = self.monitor.recv(4096)
            if not piece:
                raise ChrError("QEMU has gone")
            said += piece
        return said.decode(errors="replace")

    def restore(self):
        self.command("loadvm clean")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)


class Program:
    """The same of a program that takes rosim's options and prints ready."""

    def __init__(self, path):
        self.path, self.process = path, None
        atexit.register(self.stop)
        self.restore()

    def restore(self):
        self.stop()
        self.port, self.ssh_port = free_port(), free_port()  # of the last ones a connection may be about to end
        self.process = subprocess.Popen(
            [sys.executable, self.path, "--personality", "7.20", "--api", f"{HOST}:{self.port}", "--ssh", f"{HOST}:{self.ssh_port}",
             "--password", PASSWORD], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise ChrError(f"{self.path} does not start")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        if self.process:
            self.process.stdout.close()


class Place:
    """What stands in rosim's place in this process: started when the first test wants it."""

    router = version = None

    @classmethod
    def start(cls):
        kind, _, path = os.environ[RUN].partition(":")
        cls.router = {"image": Machine, "program": Program}[kind](path)
        api = connect(cls.router.port, PASSWORD)
        (row,) = api.path("system", "resource")
        cls.version = row["version"].split()[0]
        api.close()


def is_asked():
    return RUN in os.environ


def take(rosim, personality, options):
    """Makes a test_api.Rosim one of the real router, as it was before any test; skips what that cannot be."""
    own = [option for option in options[::2] if option != "--ssh"]
    if own:
        pytest.skip(f"rosim alone has {own[0]}")
    if not Place.router:
        Place.start()
    if nearest(Place.version) != personality:
        pytest.skip(f"the router is {Place.version}")
    Place.router.restore()
    rosim.process, rosim.port, rosim.ssh_port = None, Place.router.port, Place.router.ssh_port
