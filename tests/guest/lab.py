"""The laboratory of tests/lab with a whole emulated machine as its router.

    lan --lan0-- guest --wan1-- isp1 --isp1-- inet --srv0-- srv
                       --wan2-- isp2 --isp2--

Everything but the router is a namespace of the host, forwarded by its kernel, and the faults are the same; the guest's
other ends are taps: lan0 in lan, cpe in isp1 and isp2. lab.rtr answers to what a Namespace answers to, as far as busybox
can (run, ip, ip_batch, sysctl, ping, start; no nft), and lab.guest is the machine itself (tests/guest/guest.py).

    with GuestLab("mips") as lab:                       # booted, addressed, forwarding, no agent
        start_echo(lab)                                 # the measuring programs of tests/lab work as they are
        agent = GuestAgent(lab, collector=True)         # Agent of tests/lab/programs.py with its files in the guest
        agent.enroll(Cli(Collector(lab).start())); agent.start()

    python3 -m tests.guest.lab shell ARCH               a lab to look around in: what you type runs in the guest
"""
import argparse
import math
import pathlib
import re
import shlex
import subprocess
import sys

from tests.guest.guest import ARCHES, ROOT, Guest, Process
from tests.lab.lab import UPLINKS, Lab, LabError, exit_on_sigterm, wait_until
from tests.lab.programs import Agent

AGENT = "/usr/sbin/jaga-agent"
BOOT_TIMEOUT_S = 180  # a shared machine may be ten times slower than an idle one
AGENT_START_S = 60
# The kernel of the host may know no VLANs, so the switch is in the guest too: `trunk` carries tagged frames to it, and
# what leaves it by the port to the provider has lost its tag.
VLAN_SWITCH = """set -e
ip link add trunk type veth
ip link add link trunk name wan1 type vlan id {vlan}
ip link add link veth0 name tagged type vlan id {vlan}
brctl addbr switch
brctl addif switch port
brctl addif switch tagged
for each in trunk veth0 tagged port switch; do ip link set $each up; done
"""


def agent_binary(arch):
    """The agent of that target, as `make agent TARGET=…` leaves it and as packages carry it."""
    path = ROOT / "build" / arch / "jaga-agent"
    if not path.exists():
        raise LabError(f"{path} is missing; remedy: make agent TARGET={arch}")
    return path


class GuestProgram(Process):
    """A program of the router, as the laboratory handles programs."""

    def read_log(self):
        """What it has said; "" when the guest is gone."""
        return super().read_log() if self.guest.is_running() else ""

    def is_running(self):
        return self.guest.is_running() and super().is_running()

    def stop(self, timeout_s=30):
        return super().stop(timeout_s) if self.guest.is_running() else None

    def wait_log(self, text, timeout_s=30, start=0):
        """Waits until the log says `text` (a regular expression) after offset `start`; the match."""
        def look():
            match = re.compile(text).search(self.read_log(), start)
            if not match and not self.is_running():
                raise LabError(f"{self.name} ended before it said {text!r}:\n{self.read_log()[-2000:]}")
            return match
        return wait_until(look, timeout_s, f"{self.name} says {text!r}", poll_s=0.1)


class GuestRouter:
    """What the laboratory asks of its router, done in the guest."""

    def __init__(self, lab, guest):
        self.lab, self.guest, self.name = lab, guest, f"{lab.prefix}-rtr"

    def run(self, *argv, check=True, timeout=30):
        """As Namespace.run: a CompletedProcess, output and errors apart."""
        errors = "/run/guest/stderr"
        status, output = self.guest.run(f"{shlex.join(map(str, argv))} 2>{errors}", timeout)
        complaint = self.guest.get(errors).decode(errors="replace") if status != 0 else ""
        if check and status != 0:
            raise LabError(f"{self.name}: {shlex.join(map(str, argv))}: exit {status}: {complaint.strip() or output.strip()}")
        return subprocess.CompletedProcess(argv, status, output, complaint)

    def ip(self, *argv, check=True):
        return self.run("ip", *argv, check=check).stdout

    def ip_batch(self, lines):
        # Busybox has no -batch, and no nodad: the laboratory's sysctls have turned that off.
        self.guest.sh("set -e\n" + "\n".join("ip " + line.removesuffix(" nodad") for line in lines), timeout_s=60)

    def sysctl(self, **values):
        self.guest.sh("\n".join(["set -e", *(f"echo {value} >/proc/sys/{key.replace('__', '/')}" for key, value in values.items())]))

    def ping(self, address, dev=None, timeout_s=2):
        """As Namespace.ping, in busybox's whole seconds; a second one is sent, since a test may have made the line lossy."""
        argv = ["ping", "-q", "-c", "1", "-W", str(math.ceil(timeout_s)), *(["-I", dev] if dev else []), address]
        return any(self.run(*argv, check=False).returncode == 0 for _ in range(2))

    def start(self, name, *argv):
        return self.lab.adopt(GuestProgram(self.guest, name, shlex.join(map(str, argv))))


class GuestLab(Lab):
    """Lab(…) with a guest; `options` go to Guest(…). vlan=35: wan1 is a VLAN of that number, as behind a router's switch."""

    def __init__(self, arch, ipv6=True, files=None, agent=True, vlan=None, **options):
        self.arch, self.guest, self.options, self.vlan = arch, None, options, vlan
        self.files = {**({AGENT: (agent_binary(arch), 0o755)} if agent else {}), **(files or {})}
        super().__init__(ipv6)

    def _add_router(self):
        nics = [(self.lan.name, "lan0", "lan0"), (self.isp1.name, "cpe", "port" if self.vlan else "wan1"),
                (self.isp2.name, "cpe", "wan2")]
        self.options.setdefault("boot_timeout_s", BOOT_TIMEOUT_S)
        self.guest = Guest(self.arch, self.dir, nics=nics, files=self.files, **self.options)
        self.rtr = GuestRouter(self, self.guest)
        self.guest.sh("for each in /proc/sys/net/ipv[46]/conf/*; do\n"
                      "case $each in */ipv4/*) echo 0 >$each/rp_filter ;; *) echo 0 >$each/accept_dad ;; esac; done\n"
                      "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n"
                      # As OpenWrt sets it; by itself a kernel with 64 MB tracks no more than 1,024 flows.
                      "max=/proc/sys/net/netfilter/nf_conntrack_max; [ -e $max ] || modprobe nf_conntrack; echo 16384 >$max")

        if self.vlan:
            self.guest.sh(VLAN_SWITCH.format(vlan=self.vlan))

    def close(self):
        try:
            super().close()
        finally:
            if self.guest:
                self.guest.stop()

    def keep_logs(self):
        """The logs of the router's programs, beside those of the host's."""
        for program in self.programs:
            if isinstance(program, GuestProgram):
                (self.dir / f"{program.name}.log").write_text(program.read_log())

    # --- what differs for a machine with real cables ----------------------------------------

    def has_carrier(self, dev):
        return self.guest.sh(f"cat /sys/class/net/{dev}/carrier").strip() == "1"

    def cut_carrier(self, number=1):
        self.guest.set_link(UPLINKS[number]["dev"], False)
        self.faults[number] = ("carrier lost", (False, False, False))

    def restore(self, number=1):
        if self.faults[number][0] == "carrier lost":
            self.faults.pop(number)
            self.guest.set_link(UPLINKS[number]["dev"], True)
        else:
            super().restore(number)


class GuestAgent(Agent):
    """jaga-agent in the guest; its configuration, key and state have the same paths there as the laboratory's folder has here."""

    def __init__(self, lab, *args, **kwargs):
        super().__init__(lab, *args, **kwargs)
        self.binary = AGENT

    def take_key(self):
        super().take_key()
        self.lab.guest.put(str(self.key), self.key)

    def start(self, wait=True):
        self.lab.guest.put(str(self.conf), self.conf)
        self.program = self.lab.rtr.start(self.name, *self.argv())
        if wait:
            wait_until(self.answers, AGENT_START_S, f"{self.name} answers on its socket", poll_s=0.1)
        return self

    def answers(self, offset=0):
        if self.run("uplinks", check=False).returncode == 0:
            return True
        if not self.program.is_running():
            raise LabError(f"{self.name} ended with {self.program.returncode()}:\n{self.program.read_log()[offset:][-2000:]}")
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["shell"])
    parser.add_argument("arch", choices=ARCHES)
    args = parser.parse_args()
    exit_on_sigterm()
    with GuestLab(args.arch, agent=pathlib.Path(ROOT / "build" / args.arch / "jaga-agent").exists()) as lab:
        print(f"{lab.prefix}: the router is a {args.arch} guest, the other hosts are namespaces of this machine, such as\n"
              f"  ip netns exec {lab.prefix}-lan ping 10.0.0.1\nEach line that you type runs in the guest; the end of input ends it.")
        while line := sys.stdin.readline():
            print(lab.guest.run(line, timeout_s=300)[1], end="", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
