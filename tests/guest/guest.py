"""A router that does not exist: QEMU without hardware help, a Linux kernel, busybox, and a line to talk over.

    arch       machine                                          kernel                              libc of busybox
    x86_64     q35, one core                                    Debian's amd64, with modules        musl, static
    mipsel     Malta, 24Kc without FPU, as MT7621 routers       Debian's 4kc-malta, with modules    musl, static
    mips       Malta, 24Kc without FPU, big-endian, as AR9xxx   Debian's source, kernel-mips.config musl, static

`make guests` makes what they boot in build/guest/ARCH; `make guest-shell ARCH=mips` gives a shell in one.

    from tests.guest.guest import Guest

    with Guest("mips", directory) as guest:                 # booted and answering; ended when the block is left
        status, output = guest.run("uname -m; id")          # any shell command; text; kills it after timeout_s=30
        output = guest.sh("ip link set wan1 up")            # the same, LabError unless the status is 0
        guest.wait_for("test -e /run/x", timeout_s=10)      # until that command has status 0; returns its output
        guest.put("/etc/x.conf", "text or bytes or Path", mode=0o600)
        guest.get("/etc/x.conf")                            # bytes
        log = guest.start("name", "/bin/jaga-agent --config /etc/x.conf")   # in the background: a Process
        guest.qmp.execute("human-monitor-command", **{"command-line": "info registers"})
        guest.set_link("wan1", False)                       # the cable is out
        guest.boot_s                                        # from the start of QEMU to a shell that answers
        guest.read_console()                                # kernel log and whatever was written to /dev/console

    Guest(arch, directory, *, nics=(), files={}, append="", modules=(), memory_mb=None, rtc="utc", disks=(), icount=None,
          rng=False, extra=(), boot_timeout_s=120)
      directory   existing folder for console.log and sockets (a lab's, or pytest's tmp_path)
      nics        (namespace, device, name): `device` is a tap that appears in the host's network namespace `namespace` and
                  goes with the guest, the other end is `name` in the guest (virtio). Both ends still need addresses and `up`
      files       {path in the guest: text, bytes or pathlib.Path on the host}, there from the first moment; of a Path the
                  mode is kept; (content, mode) gives one
      append      more words for the kernel's command line
      modules     more modules to load at the start (virtio is; netfilter, netem, 8021q, ppp... load themselves when used)
      memory_mb   default: 64 for mips, 128 for mipsel, 256 for x86_64
      rtc         QEMU's -rtc base: "utc", or a date such as "1970-01-01T00:00:00"
      disks       raw images as virtio disks, /dev/vda and so on: a path, or (path, "ro"). Blank ones: make_disk(path, size_mb)
      icount      QEMU's -icount, such as "shift=3,sleep=on"
      rng         a virtio entropy source; without it a MIPS guest has only its own jitter
      extra       more arguments for QEMU

The root file system is an initramfs in memory: nothing outlives a guest but its disks. /tmp and /run are tmpfs of their own.
PID 1 is busybox init with a getty-less shell on the console. The guest has no addresses and runs nothing but that.

GuestLab in tests/guest/lab.py puts a guest in the place of the laboratory's router: use it for what needs ISPs and a LAN.
"""
import base64
import contextlib
import ctypes
import fcntl
import os
import pathlib
import shlex
import shutil
import signal
import struct
import subprocess
import threading
import time

from tests.guest.channel import Channel
from tests.guest.cpio import Archive
from tests.guest.qmp import Qmp
from tests.lab.lab import LabError, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHES = ("x86_64", "mipsel", "mips")
MACHINES = {
    "x86_64": ["qemu-system-x86_64", "-M", "q35", "-cpu", "max"],
    "mipsel": ["qemu-system-mipsel", "-M", "malta", "-cpu", "24Kc"],
    "mips": ["qemu-system-mips", "-M", "malta", "-cpu", "24Kc"],
}
MEMORY_MB = {"x86_64": 256, "mipsel": 128, "mips": 64}
# A Malta's boot loader sets the interrupts of PCI, 10 and 11, to level; QEMU has none that does. With edges two cards that
# share one lose an interrupt now and then, and stand still for ever. The register is the interrupt controller's ELCR.
PCI_IRQS_ARE_EDGES = ("mips", "mipsel")
PCI_IRQS_BECOME_LEVELS = "o /b 0x4d1 0x0c"
MODULES = ("virtio_pci", "virtio_net", "virtio_blk")
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
CHUNK_BYTES = 2000  # of a file that goes over the channel, in one command


def image_dir(arch):
    return ROOT / "build/guest" / arch


def open_tap(namespace, device):
    """A file descriptor of a new tap in a network namespace of the host. The tap lives as long as it."""
    result = []

    def enter():  # a thread of its own: the namespace is a thread's
        with open(f"/run/netns/{namespace}", "rb") as net:
            if LIBC.setns(net.fileno(), CLONE_NEWNET) != 0:
                result.append(OSError(ctypes.get_errno(), f"setns {namespace}"))
                return
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
        except OSError as error:
            os.close(fd)
            result.append(error)
            return
        result.append(fd)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if not result or isinstance(result[0], OSError):
        raise LabError(f"no tap {device} in {namespace}: {result}")
    return result[0]


def make_disk(path, size_mb):
    """A blank (sparse) image; `mke2fs` is in the guest."""
    with open(path, "wb") as disk:
        disk.truncate(size_mb << 20)
    return path


def content_and_mode(what):
    """(bytes, mode) of a value of `files`."""
    content, mode = what if isinstance(what, tuple) else (what, None)
    if isinstance(content, pathlib.Path):
        return content.read_bytes(), mode or content.stat().st_mode & 0o777
    return content.encode() if isinstance(content, str) else bytes(content), mode or 0o644


class Process:
    """What start() began: a program in the background of the guest and its log there."""

    def __init__(self, guest, name, command):
        self.guest, self.name, self.log = guest, name, f"/run/guest/{name}.log"
        base = shlex.quote(f"/run/guest/{name}")
        # The shell that waits keeps the exit status; the program's own pid is what a test signals.
        self.pid = int(guest.sh(
            f"rm -f {base}.status; "
            f"setsid sh -c '\"$@\" & echo $! >{base}.pid.part; mv {base}.pid.part {base}.pid; wait $!; echo $? >{base}.status' "
            f"start sh -c {shlex.quote('exec ' + command)} >>{base}.log 2>&1 </dev/null & "
            f"while [ ! -e {base}.pid ]; do usleep 10000; done; cat {base}.pid; rm {base}.pid"))

    def read_log(self):
        return self.guest.get(self.log).decode(errors="replace")

    def returncode(self):
        """The exit status as a shell tells it, None while it runs."""
        status, text = self.guest.run(f"cat /run/guest/{self.name}.status 2>/dev/null")
        return int(text) if status == 0 and text.strip() else None

    def is_running(self):
        return self.returncode() is None

    def signal(self, name):
        """LabError when it runs and did not get the signal."""
        status, output = self.guest.run(f"kill -{name} {self.pid}")
        if status != 0 and self.is_running():
            raise LabError(f"{self.name} ({self.pid}) in the guest: no SIG{name}: {output.strip()}")

    def wait(self, timeout_s=10):
        wait_until(lambda: not self.is_running(), timeout_s, f"{self.name} ends in the guest", poll_s=0.1)
        return self.returncode()

    def stop(self, timeout_s=10):
        """SIGTERM and the exit status."""
        self.signal("TERM")
        return self.wait(timeout_s)

    def kill(self):
        self.signal("KILL")
        return self.wait()


class Guest:
    """A running machine; a context manager. See the top of the file."""

    def __init__(self, arch, directory, *, nics=(), files=None, append="", modules=(), memory_mb=None, rtc="utc", disks=(),
                 icount=None, rng=False, extra=(), boot_timeout_s=120):
        self.arch, self.directory, self.nics = arch, pathlib.Path(directory), tuple(nics)
        self.memory_mb, self.channel, self.qmp, self.popen = memory_mb or MEMORY_MB[arch], None, None, None
        self.console = self.directory / "console.log"
        self._check_images()
        self.write_initrd(arch, self.directory / "initrd", files or {}, modules, [name for _, _, name in self.nics])
        argv = [*MACHINES[arch], *self._argv(append, rtc, disks, icount, rng), *map(str, extra)]
        taps = []
        try:
            for namespace, device, _ in self.nics:
                taps.append(open_tap(namespace, device))
            began = time.monotonic()
            self._start(argv + self._nic_argv(taps), taps)
            self._connect(boot_timeout_s)
            self.boot_s = time.monotonic() - began
        except BaseException:
            self.stop()
            raise
        finally:
            for fd in taps:
                os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    # --- making ------------------------------------------------------------------------------

    def _check_images(self):
        for program in (MACHINES[self.arch][0],):
            if not shutil.which(program):
                raise LabError(f"{program} is not installed; remedy: make setup-cross")
        for name in ("kernel", "root.cpio"):
            if not (image_dir(self.arch) / name).exists():
                raise LabError(f"build/guest/{self.arch}/{name} is missing; remedy: make guests")

    @staticmethod
    def _mac(index):
        return f"52:54:00:4a:47:{index:02x}"

    @classmethod
    def write_initrd(cls, arch, path, files=None, modules=(), nics=()):
        """What all guests share, and behind it what this one gets."""
        own = Archive()
        lines = [f"module {name}" for name in (*MODULES, *modules)] if arch != "mips" else []
        lines += [f"nic {cls._mac(index)} {name}" for index, name in enumerate(nics)]
        own.file("/etc/guest", ("\n".join(lines) + "\n").encode())
        for place, what in (files or {}).items():
            own.file(place, *content_and_mode(what))
        with open(path, "wb") as out:
            out.write((image_dir(arch) / "root.cpio").read_bytes())
            out.write(own.finish())

    def _argv(self, append, rtc, disks, icount, rng):
        argv = ["-accel", "tcg,thread=single", "-m", str(self.memory_mb), "-nodefaults", "-display", "none", "-no-reboot",
                "-rtc", f"base={rtc}", "-kernel", image_dir(self.arch) / "kernel", "-initrd", self.directory / "initrd",
                "-append", f"console=ttyS0 quiet loglevel=5 rdinit=/init {append}".rstrip(),
                "-serial", f"file:{self.console}", "-serial", f"unix:{self.directory}/control.sock,server=on,wait=off",
                "-qmp", f"unix:{self.directory}/qmp.sock,server=on,wait=off"]
        for index, disk in enumerate(disks):
            path, mode = disk if isinstance(disk, tuple) else (disk, "rw")
            argv += ["-drive", f"file={path},format=raw,if=none,id=disk{index},readonly={'on' if mode == 'ro' else 'off'}",
                     "-device", f"virtio-blk-pci,drive=disk{index}"]
        if icount:
            argv[1] = "tcg"  # QEMU chooses the only kind of threads that can count
            argv += ["-icount", icount]
        if rng:
            argv += ["-device", "virtio-rng-pci"]
        return list(map(str, argv))

    def _nic_argv(self, taps):
        argv = []
        for index, fd in enumerate(taps):
            argv += ["-netdev", f"tap,id=net{index},fd={fd}",
                     "-device", f"virtio-net-pci,id=nic{index},netdev=net{index},mac={self._mac(index)},romfile="]
        return argv

    def _start(self, argv, taps):
        # In the first NIC's namespace, so that `make demo-clean` finds it after a run that was killed.
        enter = ["ip", "netns", "exec", self.nics[0][0]] if self.nics else []

        def die_with_parent():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        self.qemu_log = open(self.directory / "qemu.log", "ab")
        self.popen = subprocess.Popen([*enter, *argv], stdin=subprocess.DEVNULL, stdout=self.qemu_log, stderr=self.qemu_log,
                                      pass_fds=taps, start_new_session=True, preexec_fn=die_with_parent)

    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    def _connect(self, timeout_s):
        def both():
            if not self.is_running():
                raise LabError(f"QEMU ended with {self.popen.returncode}: {(self.directory / 'qemu.log').read_text()[-2000:]}")
            return all((self.directory / name).exists() for name in ("control.sock", "qmp.sock"))
        wait_until(both, 20, "QEMU opens its sockets")
        self.channel = Channel(self.directory / "control.sock", self.is_running)
        self.qmp = Qmp(self.directory / "qmp.sock")
        if self.arch in PCI_IRQS_ARE_EDGES:
            self.qmp.execute("human-monitor-command", **{"command-line": PCI_IRQS_BECOME_LEVELS})
        try:
            self.channel.wait_serving(timeout_s)
        except LabError as error:
            raise LabError(f"{self.arch} guest: not up within {timeout_s} s: {error}\n{self.read_console()[-3000:]}") from None

    # --- using -------------------------------------------------------------------------------

    def run(self, command, timeout_s=30):
        """(exit status, output with errors, as text)"""
        status, output = self._ask(command, timeout_s)
        return status, output.decode(errors="replace")

    def _ask(self, command, timeout_s=30):
        try:
            return self.channel.ask(command.encode(), timeout_s)
        except LabError as error:
            raise LabError(f"{self.arch} guest: {command[:200]}: {error}\n{self.read_console()[-1500:]}") from None

    def sh(self, command, timeout_s=30):
        """The output; LabError when the status is not 0."""
        status, output = self.run(command, timeout_s)
        if status != 0:
            raise LabError(f"{self.arch} guest: {command[:300]}: exit {status}: {output[-1000:].strip()}")
        return output

    def wait_for(self, command, timeout_s=10, what=None):
        """Until the command's status is 0; its output."""
        def look():
            status, output = self.run(command)
            return (output or "\n") if status == 0 else None
        return wait_until(look, timeout_s, what or f"{command!r} in the guest", poll_s=0.05)

    def put(self, path, what, mode=None):
        """Writes a file of the guest; folders on the way are made. Big files belong into `files`."""
        content, given = content_and_mode(what)
        part = shlex.quote(f"{path}.part")
        self.sh(f"mkdir -p {shlex.quote(os.path.dirname(path))} && : >{part}")
        for at in range(0, len(content), CHUNK_BYTES):
            self._put_chunk(part, content[at:at + CHUNK_BYTES])
        self.sh(f"chmod {mode or given:o} {part} && mv {part} {shlex.quote(path)}")

    def _put_chunk(self, part, chunk):
        # Base64 in base64 grows by 16/9: 2,000 bytes stay below a line's limit.
        self.sh(f"base64 -d >>{part} <<E\n{base64.b64encode(chunk).decode()}\nE")

    def get(self, path):
        status, output = self._ask(f"cat {shlex.quote(path)}")
        if status != 0:
            raise LabError(f"{self.arch} guest: {path}: {output.decode(errors='replace').strip()}")
        return output

    def start(self, name, command):
        """A program in the background, its output in /run/guest/NAME.log of the guest."""
        return Process(self, name, command)

    def read_console(self):
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def set_link(self, name, is_up):
        """The cable of that interface is plugged in or out."""
        index = [nic[2] for nic in self.nics].index(name)
        self.qmp.execute("set_link", name=f"nic{index}", up=is_up)

    def stop(self):
        """As pulling the plug; again is fine."""
        for end in (self.channel, self.qmp):
            if end:
                end.close()
        if self.popen:
            self.popen.kill()
            self.popen.wait()
            self.qemu_log.close()
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "initrd").unlink()
        self.popen = self.channel = self.qmp = None
