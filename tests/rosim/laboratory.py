"""A simulated router with packets: LAN - rosim - two providers - internet, each a network namespace."""
import concurrent.futures
import itertools
import os
import re
import subprocess
import sys
import time

from tests.lab.lab import PATIENCE
from . import schema, test_api
from .conntrack import enter_namespace


def sh(*command, check=True):
    return subprocess.run(command, text=True, capture_output=True, check=check).stdout


def wait_for(what, condition, timeout_s=20):
    """The first true value of condition()."""
    end = time.monotonic() + timeout_s * PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)
    return value


def in_namespace(name, function, *arguments):
    """What it returns there. A socket belongs to the namespace in which it was made, wherever it is used."""
    def run():
        enter_namespace(name)
        return function(*arguments)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


NAT = """/ip firewall nat
add action=masquerade chain=srcnat out-interface=ether1
add action=masquerade chain=srcnat out-interface=ether2
"""
ADDRESSES = """/ip address
add address=10.0.1.2/24 interface=ether1
add address=10.0.2.2/24 interface=ether2
add address=192.168.88.1/24 interface=ether3
"""


LEAVES_S = 1
SEND = """
import socket, sys
for port in sys.argv[1:]:
    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.bind(("", int(port)))
    flow.sendto(b"x", ("10.9.1.1", 9))
"""


def routes(mark):
    """Recursive, as is common practice; mark: routing-mark (6) or routing-table (7)."""
    tables = "" if mark == "routing-mark" else "/routing table\nadd fib name=to-ISP1\nadd fib name=to-ISP2\n"
    return tables + "/ip route\n" + "".join(
        f"add dst-address=203.0.113.{n}/32 gateway=10.0.{n}.1 scope=10\n"
        f"add check-gateway=ping distance={n} gateway=203.0.113.{n} target-scope=11\n"
        f"add check-gateway=ping gateway=203.0.113.{n} {mark}=to-ISP{n} target-scope=11\n" for n in (1, 2))


MANGLE = "/ip firewall mangle\n" + "".join(
    "add action=mark-connection chain=prerouting connection-mark=no-mark dst-address-type=!local in-interface=ether3 "
    f"new-connection-mark=ISP-{n} per-connection-classifier=both-addresses-and-ports:2/{n - 1}\n" for n in (1, 2)) + (
    "add action=mark-routing chain=prerouting connection-mark=ISP-1 dst-address-list=isp1-down in-interface=ether3 "
    "new-routing-mark=to-ISP2 passthrough=no\n") + "".join(
    f"add action=mark-routing chain=prerouting connection-mark=ISP-{n} in-interface=ether3 new-routing-mark=to-ISP{n}\n"
    for n in (1, 2))


def configuration_of(router, personality):
    """All that a real router keeps in its flash: {menu: rows}, without what is dynamic or only read."""
    api, found = router.connect(), {}
    try:
        for path, menu in schema.menus(schema.PERSONALITIES[personality]).items():
            if menu.kind not in ("status", "view"):
                kept = {name for name, known in menu.properties.items() if not known.readonly}
                found[path] = [{name: value for name, value in row.items() if name in kept}
                               for row in api.path(*path.strip("/").split("/")) if not row.get("dynamic")]
    finally:
        api.close()
    return found


class Lab:
    """10.0.N.1 is provider N, 10.9.N.1 the internet behind it, 203.0.113.N a host that the router reaches through it."""

    NAMES = ("rtr", "lan", "isp1", "isp2", "inet")
    numbers = itertools.count()

    def __init__(self, tmp_path, personality, script, *options):
        self.prefix, self.personality = f"rosim{os.getpid()}-{next(Lab.numbers)}-", personality
        self.ports = itertools.count(20000)  # a flow that the router knows keeps its line
        self.router = None
        try:
            self.lay()
            path = tmp_path / "start.rsc"
            path.write_text(script)
            self.router = self.start_router(personality, path, *options)
        except BaseException:
            self.close()
            raise

    def start_router(self, personality, path, *options):
        return test_api.Rosim(personality, "--netns", self.prefix + "rtr", "--import", str(path), *options)

    def ip(self, name, *command):
        return sh("ip", "-n", self.prefix + name, *command)

    def on(self, name, *command, check=True):
        return sh("ip", "netns", "exec", self.prefix + name, *command, check=check)

    def lay(self):
        for name in self.NAMES:
            sh("ip", "netns", "add", self.prefix + name)
            self.ip(name, "link", "set", "lo", "up")
        self.wire("rtr", "ether3", "lan", "port", None, "192.168.88.2/24")
        self.ip("lan", "route", "add", "default", "via", "192.168.88.1")
        for n in (1, 2):
            self.wire("rtr", f"ether{n}", f"isp{n}", "router", None, f"10.0.{n}.1/24")
            self.wire("inet", f"isp{n}", f"isp{n}", "inet", f"10.9.{n}.1/24", f"10.9.{n}.2/24")
            self.ip("inet", "route", "add", f"10.0.{n}.0/24", "via", f"10.9.{n}.2")
            self.ip("inet", "addr", "add", f"203.0.113.{n}/32", "dev", "lo")
            self.ip(f"isp{n}", "route", "add", "default", "via", f"10.9.{n}.1")
            self.on(f"isp{n}", "sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.on(f"isp{n}", "nft", "add table ip seen; add set ip seen flows { type inet_service; flags dynamic; size 65535; }; "
                    "add chain ip seen in { type filter hook prerouting priority 0; }; "
                    "add rule ip seen in iifname router udp dport 9 add @flows { udp sport }")

    def wire(self, one, one_link, other, other_link, one_address, other_address):
        sh("ip", "link", "add", one_link, "netns", self.prefix + one, "type", "veth", "peer", "name", other_link, "netns", self.prefix + other)
        for name, link, address in ((one, one_link, one_address), (other, other_link, other_address)):
            self.ip(name, "link", "set", "dev", link, "up")
            if address:
                self.ip(name, "addr", "add", address, "dev", link)

    def cut(self, n):
        """The provider forwards nothing any more; its gateway still answers."""
        self.on(f"isp{n}", "nft", "add table ip cut; add chain ip cut forward { type filter hook forward priority 0; policy drop; }")

    def mend(self, n):
        self.on(f"isp{n}", "nft", "delete table ip cut")

    def providers_of(self, count):
        """Through which provider each of `count` new flows of the LAN leaves; what leaves through none is missing."""
        ports = list(itertools.islice(self.ports, count))
        self.on("lan", sys.executable, "-c", SEND, *map(str, ports))
        end = time.monotonic() + LEAVES_S * PATIENCE  # a packet may wait for ARP, and for its turn on a busy machine
        while True:
            seen = {n: self.seen_at(n) for n in (1, 2)}
            found = [n for port in ports for n in seen if port in seen[n]]
            if len(found) >= count or time.monotonic() > end:
                return found

    def seen_at(self, n):
        """The source ports of all flows so far."""
        return set(map(int, re.findall(r"\d+", self.on(f"isp{n}", "nft", "list", "set", "ip", "seen", "flows").partition("elements")[2])))

    def answers(self, target):
        return " 1 received" in self.on("lan", "ping", "-n", "-q", "-c", "1", "-W", "5", target, check=False)

    def close(self):
        if self.router:
            self.router.stop()
        for name in self.NAMES:
            subprocess.run(["ip", "netns", "del", self.prefix + name], capture_output=True, check=False)


class CompanionLab(Lab):
    """With a machine beside the router, on ether4: 192.168.89.2, and 192.168.89.1N to be sent over provider N. The API listens there."""

    NAMES = (*Lab.NAMES, "box")
    ROUTER = "192.168.89.1"

    def lay(self):
        super().lay()
        self.wire("rtr", "ether4", "box", "port", None, "192.168.89.2/24")
        for n in (1, 2):
            self.ip("box", "addr", "add", f"192.168.89.1{n}/24", "dev", "port")
        self.ip("box", "route", "add", "default", "via", self.ROUTER)

    def start_router(self, personality, path, *options):
        return test_api.Rosim(personality, "--netns", self.prefix + "rtr", "--import", str(path), "--ftp", f"{self.ROUTER}:21",
                              *options, host=self.ROUTER,
                              inside=self.prefix + "rtr")

    def configuration(self):
        return configuration_of(self.router, self.personality)

    def entries(self):
        """{address-list with a time-out at which a rule of mangle looks: its addresses}"""
        api, found = self.router.connect(), {}
        looked_at = {row.get(key) for row in api.path("ip", "firewall", "mangle") for key in ("src-address-list", "dst-address-list")}
        for row in api.path("ip", "firewall", "address-list"):
            if row["dynamic"] and row["list"] in looked_at:
                found.setdefault(row["list"], set()).add(row["address"])
        api.close()
        return found
