"""The laboratory: an internet of network namespaces, made for one run and taken away after it.

    lan --lan0-- rtr --wan1-- isp1 --isp1-- inet --srv0-- srv
                     --wan2-- isp2 --isp2--

lan   the users: CLIENTS addresses 10.0.0.2.. (and 2001:db8:a::2..), default route to rtr
rtr   the router: two default routes as two DHCP clients leave them; what more it does, the program
      under test does to it
isp1  192.0.2.1, isp2 198.51.100.1: forward only packets from their own customer's addresses (BCP 38)
inet  203.0.113.1..20 and 2001:db8:ff::1..20 on lo, where echod answers
srv   198.18.0.2: the collector's place

A run's namespaces are PREFIX-lan, PREFIX-rtr, ...; a directory of the same name under RUN_DIR holds
its logs, sockets and a lock that lives as long as the run. So labs may overlap, and `clean` can tell
what a killed run left behind from what is still in use.

Faults are methods that prove themselves: each says what ping sees before it returns, and raises
LabError when the fault is not what it should be.

    python3 -m tests.lab.lab clean [PREFIX]     removes what dead runs left (or that run)
    python3 -m tests.lab.lab shell              a lab to look around in, until exit
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

RUN_DIR = pathlib.Path("/run/jaga-lab")
NAMES = ("lan", "rtr", "isp1", "isp2", "inet", "srv")
NAMESPACE = re.compile(r"^(jaga-[a-z0-9_]{8})-(" + "|".join((*NAMES, "box")) + ")$")  # box: of labs made from this one
CLIENTS = [f"10.0.0.{i}" for i in range(2, 52)]
CLIENTS6 = [f"2001:db8:a::{i}" for i in range(2, 12)]
INTERNET = [f"203.0.113.{i}" for i in range(1, 21)]
INTERNET6 = [f"2001:db8:ff::{i}" for i in range(1, 21)]
COLLECTOR = "198.18.0.2"
# Public address, gateway, and their IPv6 twins, of the router's two uplinks.
UPLINKS = {
    1: {"dev": "wan1", "address": "192.0.2.2", "gateway": "192.0.2.1", "net": "192.0.2.0/24",
        "address6": "2001:db8:1::2", "gateway6": "2001:db8:1::1", "net6": "2001:db8:1::/64"},
    2: {"dev": "wan2", "address": "198.51.100.2", "gateway": "198.51.100.1", "net": "198.51.100.0/24",
        "address6": "2001:db8:2::2", "gateway6": "2001:db8:2::1", "net6": "2001:db8:2::/64"},
}


# Deadlines stand where a program hangs, not where a machine is slow; what a test promises about time is in tests/bench. They are written
# down for an idle machine: tests, which share theirs with other jobs, wait so many times as long (tests/conftest.py sets it).
PATIENCE = float(os.environ.get("JAGA_PATIENCE", "1"))

# What AddressSanitizer, LeakSanitizer and UBSan say in the log of a program that they found something in.
SANITIZER_FOUND = re.compile(r"ERROR: \w+Sanitizer|runtime error: ")


class LabError(Exception):
    """The laboratory is not what it should be; the message says what was seen."""


def wait_until(predicate, timeout_s, what, poll_s=0.02):
    """The first true value of predicate(), asked again and again until the deadline."""
    timeout_s *= PATIENCE
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout_s:g} s")
        time.sleep(poll_s)


class Namespace:
    """One host of the lab: runs programs in it."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, f"{lab.prefix}-{name}"

    def argv(self, argv):
        return ["ip", "netns", "exec", self.name, *map(str, argv)]

    def run(self, *argv, check=True, timeout=30, **kwargs):
        """Runs to the end; returns the CompletedProcess with text output."""
        timeout *= PATIENCE
        try:
            done = subprocess.run(self.argv(argv), text=True, capture_output=True, timeout=timeout,
                                  check=False, **kwargs)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: {' '.join(map(str, argv))}: no end within {timeout} s") from None
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(map(str, argv))}: exit {done.returncode}: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
        return done

    def ip(self, *argv, check=True):
        """`ip` on this host, without the cost of entering it."""
        done = subprocess.run(["ip", "-n", self.name, *argv], text=True, capture_output=True, check=False)
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: ip {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def ip_batch(self, lines):
        done = subprocess.run(["ip", "-n", self.name, "-batch", "-"], input="\n".join(lines) + "\n",
                              text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise LabError(f"{self.name}: ip -batch: {done.stderr.strip()}")

    def nft(self, rules):
        self.run("nft", "-f", "-", input=rules)

    def sysctl(self, **values):
        self.run("sysctl", "-qw", *(f"{k.replace('__', '.')}={v}" for k, v in values.items()))

    def ping(self, address, dev=None, timeout_s=2):
        """Whether one ping is answered; a short time-out is for those that should not be."""
        argv = ["ping", "-nqc1", "-W", str(timeout_s), *(["-I", dev] if dev else []), address]
        return self.run(*argv, check=False).returncode == 0

    def counter(self, table, name):
        """Packets that a named nft counter has seen."""
        out = json.loads(self.run("nft", "-j", "list", "counter", "inet", table, name).stdout)
        return next(o["counter"]["packets"] for o in out["nftables"] if "counter" in o)

    def start(self, name, *argv, **kwargs):
        """A program that runs until the lab ends (or stop()); its output goes to NAME.log."""
        return self.lab.adopt(Program(self, name, argv, **kwargs))


class Program:
    """A process in a namespace, its log, and an end that is waited for."""

    def __init__(self, namespace, name, argv, piped=False, env=None):
        self.name, self.argv = name, [str(a) for a in argv]
        self.log = namespace.lab.dir / f"{name}.log"
        with open(self.log, "ab") as log:
            # Own process group: a ^C at the terminal is for the lab, which then ends its programs in order.
            self.popen = subprocess.Popen(
                namespace.argv(argv), stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log, stderr=log, text=True, start_new_session=True,
                env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.popen.pid

    def is_running(self):
        return self.popen.poll() is None

    def read_log(self):
        return self.log.read_text(errors="replace")

    def wait_log(self, text, timeout_s=10, start=0):
        """Waits until the log says `text` (a regular expression) after offset `start`; the match."""
        def look():
            match = re.compile(text).search(self.read_log(), start)
            if not match and not self.is_running():
                raise LabError(f"{self.name} ended with {self.popen.returncode} before it said {text!r}:\n"
                               + self.read_log()[-2000:])
            return match
        return wait_until(look, timeout_s, f"{self.name} says {text!r}")

    def wait(self, timeout_s=10):
        """Exit status; LabError when it does not end in time."""
        timeout_s *= PATIENCE
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} does not end within {timeout_s:g} s") from None

    def kill(self):
        """kill -9: as a crash."""
        self.popen.kill()
        return self.wait()

    def stop(self, timeout_s=10):
        """SIGTERM; exit status. kill -9 and LabError when it does not end."""
        if not self.is_running():
            return self.popen.returncode
        timeout_s *= PATIENCE
        self.popen.terminate()
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"{self.name} did not end within {timeout_s:g} s of SIGTERM") from None


class Lab:
    """The namespaces and everything that runs in them; a context manager."""

    def __init__(self, ipv6=True):
        self.ipv6, self.programs, self.faults = ipv6, [], {}
        RUN_DIR.mkdir(mode=0o755, exist_ok=True)
        with registry():
            self.dir = pathlib.Path(tempfile.mkdtemp(prefix="jaga-", dir=RUN_DIR))
            self.lock = open(self.dir / "lock", "w", encoding="ascii")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.prefix = self.dir.name
        for name in NAMES:
            setattr(self, name, Namespace(self, name))
        try:
            self._build()
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

    def close(self):
        """Ends every program, newest first, and removes every namespace. A second ^C waits."""
        with hold_signals():
            problems = []
            for program in reversed(self.programs):
                try:
                    program.stop()
                except LabError as error:
                    problems.append(str(error))
                found = SANITIZER_FOUND.search(program.read_log())
                if found:
                    problems.append(f"{program.name}: {program.read_log()[found.start():][:4000]}")
            remove(self.prefix)
            self.lock.close()
        if problems and sys.exc_info()[0] is None:
            raise LabError("; ".join(problems))

    # --- building ---------------------------------------------------------------------------

    def _veth(self, host, dev, peer, peer_dev):
        subprocess.run(["ip", "link", "add", dev, "netns", host.name, "type", "veth",
                        "peer", "name", peer_dev, "netns", peer.name], check=True)

    def _forward(self, *hosts):
        """They forward, and accept what comes by whichever way; before any interface exists: all of them inherit it."""
        for host in hosts:
            host.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1,
                        net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0,
                        net__ipv6__conf__default__accept_dad=0)

    def _add_router(self):
        """The router and its three cables."""
        subprocess.run(["ip", "netns", "add", self.rtr.name], check=True)
        self._forward(self.rtr)
        self._veth(self.lan, "lan0", self.rtr, "lan0")
        self._veth(self.rtr, "wan1", self.isp1, "cpe")
        self._veth(self.rtr, "wan2", self.isp2, "cpe")

    def _build(self):
        for name in NAMES:
            if name != "rtr":
                subprocess.run(["ip", "netns", "add", f"{self.prefix}-{name}"], check=True)
        self._forward(self.isp1, self.isp2, self.inet)
        for host in (self.isp1, self.isp2):
            # A link that comes back has its addresses, as an ISP's does.
            host.sysctl(net__ipv6__conf__all__keep_addr_on_down=1, net__ipv6__conf__default__keep_addr_on_down=1)
        for host in (self.lan, self.srv):
            host.sysctl(net__ipv6__conf__default__accept_dad=0)
        self._add_router()
        self._veth(self.isp1, "upl", self.inet, "isp1")
        self._veth(self.isp2, "upl", self.inet, "isp2")
        self._veth(self.inet, "srv0", self.srv, "eth0")
        self._address_hosts()
        for number in (1, 2):
            self._filter_isp(number)

    def _configure(self, host, devices, addresses, routes):
        keep = [a for a in addresses if self.ipv6 or ":" not in a[1]]
        host.ip_batch(["link set lo up", *(f"link set {d} up" for d in devices),
                       *(f"addr add {a} dev {d}" + (" nodad" if ":" in a else "") for d, a in keep),
                       *(f"route add {r}" for r in routes if self.ipv6 or ":" not in r)])

    def _address_hosts(self):
        self._configure(self.lan, ["lan0"],
                        [("lan0", f"{a}/24") for a in CLIENTS] + [("lan0", f"{a}/64") for a in CLIENTS6],
                        ["default via 10.0.0.1", "default via 2001:db8:a::1"])
        self._address_router()
        for n, host in ((1, self.isp1), (2, self.isp2)):
            self._configure(host, ["cpe", "upl"],
                            [("cpe", f"{UPLINKS[n]['gateway']}/24"), ("cpe", f"{UPLINKS[n]['gateway6']}/64"),
                             ("upl", f"10.255.{n}.1/30"), ("upl", f"2001:db8:f{n}::1/64")],
                            [f"default via 10.255.{n}.2", f"default via 2001:db8:f{n}::2"])
        self._configure(self.inet, ["isp1", "isp2", "srv0"],
                        [("lo", f"{a}/32") for a in INTERNET] + [("lo", f"{a}/128") for a in INTERNET6] +
                        [("isp1", "10.255.1.2/30"), ("isp1", "2001:db8:f1::2/64"),
                         ("isp2", "10.255.2.2/30"), ("isp2", "2001:db8:f2::2/64"),
                         ("srv0", "198.18.0.1/24"), ("srv0", "2001:db8:c::1/64")],
                        [f"{UPLINKS[n]['net']} via 10.255.{n}.1" for n in UPLINKS] +
                        [f"{UPLINKS[n]['net6']} via 2001:db8:f{n}::1" for n in UPLINKS])
        self._configure(self.srv, ["eth0"], [("eth0", f"{COLLECTOR}/24"), ("eth0", "2001:db8:c::2/64")],
                        ["default via 198.18.0.1", "default via 2001:db8:c::1"])

    def _address_router(self):
        self._configure(self.rtr, ["lan0", "wan1", "wan2"],
                        [("lan0", "10.0.0.1/24"), ("lan0", "2001:db8:a::1/64"),
                         ("wan1", "192.0.2.2/24"), ("wan1", "2001:db8:1::2/64"),
                         ("wan2", "198.51.100.2/24"), ("wan2", "2001:db8:2::2/64")],
                        [f"default via {UPLINKS[n][g]} dev wan{n} metric {10 * n}"
                         for n in UPLINKS for g in ("gateway", "gateway6")])

    def _filter_isp(self, number):
        net, net6 = UPLINKS[number]["net"], UPLINKS[number]["net6"]
        self.isp(number).nft(f"""
            table inet isp {{
              counter spoofed {{ }}
              counter up {{ }}
              counter down {{ }}
              chain forward {{
                type filter hook forward priority 0
                iifname "cpe" ip saddr != {net} counter name spoofed drop
                iifname "cpe" ip6 saddr != {net6} counter name spoofed drop
                iifname "cpe" counter name up
                oifname "cpe" counter name down
              }}
            }}""")

    def isp(self, number):
        return {1: self.isp1, 2: self.isp2}[number]

    def device(self, number):
        return UPLINKS[number]["dev"]

    def carried(self, number):
        """Packets that the ISP has forwarded for the router, up and down."""
        return self.isp(number).counter("isp", "up") + self.isp(number).counter("isp", "down")

    # --- faults -----------------------------------------------------------------------------

    def reach(self, number, expected=(False, False, False)):
        """(has carrier, gateway answers ping, internet answers ping) by this uplink of the router. An answer that is expected is
        waited for, as long as a busy machine takes."""
        dev = self.device(number)
        return (self.has_carrier(dev),
                self.rtr.ping(UPLINKS[number]["gateway"], dev, 2 if expected[1] else 0.4),
                self.rtr.ping(INTERNET[0], dev, 2 if expected[2] else 0.4))

    def has_carrier(self, dev):
        return "LOWER_UP" in json.loads(self.rtr.ip("-j", "link", "show", "dev", dev))[0]["flags"]

    def prove(self, number, expected, what):
        seen = self.reach(number, expected)
        if seen != expected:
            raise LabError(f"{what} on uplink {number}: (carrier, gateway, internet) is {seen}, not {expected}")

    def cut_carrier(self, number=1):
        """Fault i: the cable is out."""
        self.isp(number).ip("link", "set", "cpe", "down")
        self.faults[number] = ("carrier lost", (False, False, False))

    def cut_forwarding(self, number=1):
        """Fault ii: the ISP forwards nothing, its gateway still answers."""
        self.isp(number).nft("""
            table inet fault {
              chain forward { type filter hook forward priority -10; policy drop; }
            }""")
        self.faults[number] = ("ISP forwards nothing", (True, True, False))

    def cut_gateway(self, number=1):
        """Fault iii: the gateway is dead, not even ARP is answered, the carrier stays."""
        self.isp(number).nft("""
            table netdev fault {
              chain cpe { type filter hook ingress device "cpe" priority 0; policy drop; }
              chain upl { type filter hook ingress device "upl" priority 0; policy drop; }
            }""")
        self.faults[number] = ("gateway dead", (True, False, False))

    def cut(self, fault, number=1):
        {"i": self.cut_carrier, "ii": self.cut_forwarding, "iii": self.cut_gateway}[fault](number)

    def prove_fault(self, number=1):
        """The fault in force is what it says, as the router's own pings see it."""
        what, expected = self.faults[number]
        self.prove(number, expected, what)

    def restore(self, number=1):
        """Ends the fault, whichever it is; the ISP is as new."""
        what = self.faults.pop(number)[0]
        host = self.isp(number)
        if what == "carrier lost":
            host.ip("link", "set", "cpe", "up")
            # The kernel dropped the routes over the interface, not those that lead elsewhere.
        else:
            host.run("nft", "delete", "table", "inet" if what == "ISP forwards nothing" else "netdev", "fault")

    def unplug(self, number=1):
        """The interface itself goes, as a PPPoE line's or a USB modem's does."""
        self.rtr.ip("link", "del", UPLINKS[number]["dev"])

    def plug(self, number=1):
        """It returns: the same name, another index, everything at its defaults, a lease as before."""
        uplink, host = UPLINKS[number], self.isp(number)
        self._veth(self.rtr, uplink["dev"], host, "cpe")
        self._configure(host, ["cpe"], [("cpe", f"{uplink['gateway']}/24"), ("cpe", f"{uplink['gateway6']}/64")], [])
        self._configure(self.rtr, [uplink["dev"]],
                        [(uplink["dev"], f"{uplink['address']}/24"), (uplink["dev"], f"{uplink['address6']}/64")],
                        [f"default via {uplink[g]} dev {uplink['dev']} metric {10 * number}" for g in ("gateway", "gateway6")])

    def lose(self, number, percent):
        """Random loss in both directions by that ISP; 0 ends it."""
        host = self.isp(number)
        host.run("nft", "delete", "table", "inet", "loss", check=False)
        if percent:
            host.nft(f"""
                table inet loss {{
                  chain forward {{ type filter hook forward priority -5; numgen random mod 100 < {percent} drop; }}
                }}""")


# --- cleaning ---------------------------------------------------------------------------------

@contextlib.contextmanager
def hold_signals():
    """SIGINT and SIGTERM wait until the block is done."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def exit_on_sigterm():
    """
    SIGTERM ends the program like ^C does: by an exception, so that everything is cleaned up. A shell
    starts what it puts into the background with SIGINT and SIGQUIT ignored, and that would be inherited
    by every program of the lab: both are as usual again.
    """
    def on_sigterm(_number, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def list_namespaces():
    """{prefix: [namespace, ...]} of all labs of this machine."""
    found = {}
    out = subprocess.run(["ip", "netns", "list"], text=True, capture_output=True, check=True).stdout
    for line in out.splitlines():
        match = NAMESPACE.match(line.split()[0]) if line.strip() else None
        if match:
            found.setdefault(match[1], []).append(match[0])
    return found


def remove(prefix):
    """Ends what still runs in the namespaces of that run and removes them and its directory."""
    for namespace in list_namespaces().get(prefix, []):
        pids = subprocess.run(["ip", "netns", "pids", namespace], text=True, capture_output=True,
                              check=False).stdout.split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
    shutil.rmtree(RUN_DIR / prefix, ignore_errors=True)


@contextlib.contextmanager
def registry():
    """Held while a lab gets its lock, so that `clean` never takes one that is just being made for dead."""
    with open(RUN_DIR / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_alive(prefix):
    """Whether the run that made this lab still holds its lock."""
    try:
        with open(RUN_DIR / prefix / "lock", "r", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def clean(prefix=None):
    """Removes that run, or every run that is dead; tells what it did."""
    RUN_DIR.mkdir(mode=0o755, exist_ok=True)
    with registry():
        prefixes = set(list_namespaces()) | {p.name for p in RUN_DIR.glob("jaga-*")}
        for each in sorted(prefixes if prefix is None else prefixes & {prefix}):
            if prefix is None and is_alive(each):
                print(f"{each}: in use, left alone")
                continue
            remove(each)
            print(f"{each}: removed")
    if prefix and prefix not in prefixes:
        print(f"{prefix}: nothing there")


def main(argv):
    if argv[1:2] == ["clean"] and len(argv) <= 3:
        clean(*argv[2:])
    elif argv[1:] == ["shell"]:
        exit_on_sigterm()
        with Lab() as lab:
            print(f"{lab.prefix}: hosts {' '.join(NAMES)}; for example: ip netns exec {lab.prefix}-rtr ip route")
            subprocess.run([os.environ.get("SHELL", "/bin/sh")], check=False)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
