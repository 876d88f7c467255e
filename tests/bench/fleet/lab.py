"""
The fleet: routers of tests/workloads/s1, each a simulated RouterOS (tests/rosim) behind a slow line of its own.

    srv ──r1── link ──ether1── router 1 (rosim: SSH, API)          1024 kbit/s, 10 ms each way, losses on request
        ──r2── link ──ether1── router 2 ...

srv is the server of whatever manages them. Every namespace is named after this process and gone with it; a run that was killed is
cleared away by the next one. Who looks at a router from inside (Fleet.ask) is on its loopback, not on the line.
"""
import collections
import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import paramiko

from tests.lab.lab import LabError, Namespace, Program, hold_signals
from tests.lab.programs import ROOT, build_dir
from tests.rosim.commands import Commands
from tests.rosim.router import Router
from tests.workloads import s1

PREFIX = "jaga-fleet"
SERVER = "10.255.255.1"
USER, PASSWORD = "admin", "secret"
RATE_KBIT, DELAY_MS = 1024, 10
SERVICE_S, EXPORT_S = 0.005, 0.1  # of the router's processor: a command, and an export more
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
TICKS = os.sysconf("SC_CLK_TCK")


class Device:
    """One router: what it is and where."""

    def __init__(self, index):
        self.index, self.row = index, s1.DEVICES[index]
        self.name, self.host = self.row.name, self.row.address.split("/")[0]
        self.personality = "7.20" if self.row.board == "CHR" else "6.49"
        self.line = f"r{index + 1}"

    def start_script(self):
        """How it was when it was put up: reachable, nothing else."""
        return (f"/ip address\nadd address={self.row.address} interface=ether1 comment=management\n"
                f"/ip route\nadd dst-address={SERVER}/32 gateway=ether1 comment=server\n")

    def expected(self, lines):
        """What the router exports when it has taken these lines."""
        router = Router(self.personality, self.row.ethernets)
        commands = Commands(router)
        text = commands.execute_text(self.start_script() + "\n".join(lines))
        if text:
            raise LabError(f"{self.name}: the script itself fails: {text}")
        return settings_of(commands.execute_text("/export"))


def settings_of(export):
    """Counter of (section, line) of an export, however folded; what stands before the first section is about the router."""
    section, found = "", collections.Counter()
    for line in re.sub(r"\\\r?\n[ \t]*", "", export.replace("\r", "")).splitlines():
        if line.startswith("/"):
            section = line
        elif section and line.strip() and not line.startswith("#"):
            found[section, line.rstrip()] += 1
    return found


@contextlib.contextmanager
def inside(netns):
    """This thread is in that network namespace: for the sockets that it makes meanwhile."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    target = os.open(f"/run/netns/{netns}", os.O_RDONLY)

    def enter(fd):
        if LIBC.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")
    try:
        enter(target)
        yield
    finally:
        enter(own)
        os.close(own)
        os.close(target)


def cpu_s(pid):
    """User and system time of a process, with the children that it has waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return sum(int(value) for value in fields[11:15]) / TICKS


def remove_dead_runs():
    for name in subprocess.run(["ip", "netns", "list"], text=True, capture_output=True, check=True).stdout.split("\n"):
        match = re.match(PREFIX + r"(\d+)x\d+-", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            subprocess.run(["ip", "netns", "del", name.split()[0]], check=True)


class Fleet:
    """The namespaces, lines and routers; a context manager. cut: indexes of routers whose packets obey their own firewall."""

    numbers = itertools.count(1)  # of those in this process: several may live at once

    def __init__(self, count=len(s1.DEVICES), loss_permille=0, cut=()):
        self.prefix = f"{PREFIX}{os.getpid()}x{next(Fleet.numbers)}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX + "-"))
        # Of both kinds, when they are not all.
        order = sorted(range(len(s1.DEVICES)), key=lambda index: index % 5)[:count]
        self.devices = [Device(index) for index in sorted(order)]
        self.programs, self.links, self.routers = [], {}, {}
        remove_dead_runs()
        self.srv = Namespace(self, "srv")
        try:
            self.lay(loss_permille)
            self.start_routers(cut)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def adopt(self, program):
        self.programs.append(program)
        return program

    def at(self, device):
        return Namespace(self, device.line)

    # --- laying it ----------------------------------------------------------------------------------

    def add_namespace(self, host):
        subprocess.run(["ip", "netns", "add", host.name], check=True)
        host.sysctl(net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
        host.ip("link", "set", "lo", "up")

    def lay(self, loss_permille):
        self.add_namespace(self.srv)
        for device in self.devices:
            host = self.at(device)
            self.add_namespace(host)
            link = self.links[device.name] = subprocess.Popen(
                [build_dir() / "tests/lab/link", f"{self.srv.name}:{device.line}", f"{host.name}:ether1", "--rate", str(RATE_KBIT),
                 "--delay", str(DELAY_MS), "--loss", str(loss_permille), "--seed", str(device.index + 1)],
                stdout=subprocess.PIPE, text=True, start_new_session=True)
            if link.stdout.readline() != "ready\n":
                raise LabError(f"{device.name}: its line does not come up")
            self.srv.ip("addr", "add", SERVER, "peer", device.host, "dev", device.line)
            self.srv.ip("link", "set", device.line, "up")
            host.ip("addr", "add", device.host, "peer", SERVER, "dev", "ether1")
            host.ip("link", "set", "ether1", "up")

    def start_routers(self, cut):
        for device in self.devices:
            script = self.dir / f"{device.name}.rsc"
            script.write_text(device.start_script(), encoding="utf-8")
            self.routers[device.name] = self.adopt(Program(
                self.at(device), device.name,
                [sys.executable, ROOT / "tests/rosim/rosim", "--personality", device.personality, "--ethernets", device.row.ethernets,
                 "--api", "0.0.0.0:8728", "--ssh", "0.0.0.0:22", "--ftp", "0.0.0.0:21", "--password", PASSWORD, "--import", script,
                 "--service-time", SERVICE_S, "--export-time", EXPORT_S,
                 *(["--netns", self.at(device).name] if device.index in cut else [])]))
        for program in self.routers.values():
            program.wait_log("ready", 60)

    def close(self):
        """Ends everything; the lines' last words are kept in self.carried."""
        with hold_signals():
            problems = []
            for program in reversed(self.programs):
                try:
                    program.stop()
                except LabError as error:
                    problems.append(str(error))
            self.carried = {}
            for name, link in self.links.items():
                link.terminate()
                text = link.communicate(timeout=10)[0]
                self.carried[name] = json.loads(text) if link.returncode == 0 and text else None
            for host in [self.srv, *(self.at(device) for device in self.devices)]:
                subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)  # it may never have been made
            shutil.rmtree(self.dir)
        if problems and sys.exc_info()[0] is None:
            raise LabError("; ".join(problems))

    # --- looking ------------------------------------------------------------------------------------

    def ask(self, device, command):
        """What a command prints in the router's own terminal; not over its line."""
        with inside(self.at(device).name):
            link = socket.create_connection(("127.0.0.1", 22), 30)
        with contextlib.closing(paramiko.Transport(link)) as transport:
            transport.connect(username=USER, password=PASSWORD)
            channel = transport.open_session(timeout=60)
            channel.settimeout(60)
            channel.exec_command(command)
            return channel.makefile().read().decode()

    def settings(self, device):
        return settings_of(self.ask(device, "/export"))

    def reachable(self, device):
        """Over its line, from the server."""
        return any(self.srv.ping(device.host, timeout_s=1) for _ in range(5))

    def count_bytes(self):
        """What the server has sent into the lines and received from them."""
        links = json.loads(self.srv.ip("-s", "-j", "link", "show"))
        return sum(link["stats64"][way]["bytes"] for link in links if link["ifname"] != "lo" for way in ("rx", "tx"))

    def routers_cpu_s(self):
        return sum(cpu_s(program.pid) for program in self.routers.values())
