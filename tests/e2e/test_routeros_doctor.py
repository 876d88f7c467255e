"""The doctor of the RouterOS driver: each trap is found and named, changes nothing, and is gone when what it says to type was typed."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import types
from dataclasses import dataclass

import pytest

from tests.lab.programs import build_dir
from tests.e2e import test_routeros
from tests.rosim.laboratory import ADDRESSES, CompanionLab, configuration_of, wait_for
from tests.rosim.test_api import HOST, Rosim
from tests.workloads import s1, s2, s4_printed

WORKLOADS = pathlib.Path(s1.__file__).parent
BOTH = "6.49", "7.20"
SEVEN = ("7.20",)

BASE = """/ip address
add address=10.0.1.2/24 interface=ether1
add address=10.0.2.2/24 interface=ether2
add address=192.168.88.1/24 interface=ether3
"""

# A balancer made by hand in which nothing is wrong; {} are for what a case changes.
TABLES = {"6.49": "", "7.20": "/routing table\nadd name=to-A fib\nadd name=to-B fib\n"}
ROUTES = {"6.49": "routing-mark", "7.20": "routing-table"}


def by_hand(personality, bypass="10.0.1.0/24 10.0.2.0/24 192.168.88.0/24", classes="2/0 2/1", table="to-B", uses="B", pcc=""):
    key = ROUTES[personality]
    first, second = classes.split()
    return (BASE + TABLES[personality] + "/ip firewall nat\nadd chain=srcnat action=masquerade out-interface=ether1\n"
            "add chain=srcnat action=masquerade out-interface=ether2\n/ip firewall mangle\n"
            + "".join(f"add chain=prerouting action=accept dst-address={network}\n" for network in bypass.split())
            + f"""add chain=prerouting action=mark-connection new-connection-mark=A in-interface=ether1
add chain=prerouting action=mark-connection new-connection-mark=B in-interface=ether2
add chain=prerouting action=mark-connection new-connection-mark=A connection-mark=no-mark in-interface=ether3 per-connection-classifier=both-addresses:{first} {pcc}
add chain=prerouting action=mark-connection new-connection-mark=B connection-mark=no-mark in-interface=ether3 per-connection-classifier=both-addresses:{second} {pcc}
add chain=prerouting action=mark-routing new-routing-mark=to-A connection-mark=A
add chain=prerouting action=mark-routing new-routing-mark=to-B connection-mark={uses}
/ip route
add gateway=10.0.1.1 {key}=to-A check-gateway=ping
add gateway=10.0.2.1 {key}={table} check-gateway=ping
add gateway=10.0.1.1 distance=1 check-gateway=ping
add gateway=10.0.2.1 distance=2 check-gateway=ping
""")


@dataclass
class Case:
    name: str
    id: str  # of the trap
    says: str  # in what was seen: names the item
    types: str  # in the fix
    script: object  # text, or a function of the personality
    level: str = "warning"
    personalities: tuple = BOTH
    is_planned: bool = True  # Jaga is going to balance here
    options: tuple = ()

    def text(self, personality):
        return self.script(personality) if callable(self.script) else BASE + self.script


WATCHES = "collector = 127.0.0.1:5684\nidentity = watcher\nkey_file = /etc/jaga/agent.key\n"
FILTER = """/interface list add name=LAN
/interface list member add list=LAN interface=ether3
/ip firewall filter
add chain=input action=drop in-interface-list=!LAN comment="defconf: drop all not coming from LAN"
"""
SAME = """/ip address
add address=192.168.1.2/24 interface=ether1
add address=192.168.1.3/24 interface=ether2
add address=192.168.88.1/24 interface=ether3
/ip firewall nat
add chain=srcnat action=masquerade out-interface=ether1
/ip route
add gateway=192.168.1.1 distance=1
add gateway=192.168.1.1 distance=2
"""
RULE = {"6.49": "/ip route rule", "7.20": "/routing rule"}

CASES = [
    Case("fasttrack", "fasttrack", "chain forward: defconf: fasttrack", "connection-mark=no-mark", "/ip firewall filter add chain=forward "
         "action=fasttrack-connection connection-state=established,related comment=\"defconf: fasttrack\"\n", level="fatal"),
    Case("fasttrack beside a balancer made by hand", "fasttrack", "chain forward", "connection-mark=no-mark",
         lambda p: by_hand(p) + "/ip firewall filter add chain=forward action=fasttrack-connection\n", is_planned=False),
    Case("default of a DHCP client", "default-route", "DHCP client on ether1 adds a default route of distance 1",
         "/ip dhcp-client set * default-route-distance=", "/ip dhcp-client add interface=ether1\n"),
    Case("default of a PPPoE client", "default-route", "PPPoE client on pppoe-out1 adds a default route of distance 2",
         "/interface pppoe-client set * default-route-distance=", "/interface pppoe-client add name=pppoe-out1 interface=ether2 "
         "add-default-route=yes default-route-distance=2 disabled=no\n"),
    Case("a default that somebody wrote", "default-route", "the default route over 10.0.1.1 has distance 1", "/ip route set * distance=10",
         "/ip route add gateway=10.0.1.1\n"),
    Case("marks for queues", "connection-mark", "rule 0 of chain forward (voice): marks connections", "action=mark-packet "
         "new-packet-mark=voice", "/ip firewall mangle add chain=forward action=mark-connection new-connection-mark=voice protocol=udp "
         "dst-port=5060 comment=voice\n", level="fatal"),
    Case("marks for what has none", "connection-mark", "rule 0 of chain prerouting and another: is for connections without a mark", " !connection-mark",
         "/ip firewall mangle\n" + 2 * "add chain=prerouting action=mark-connection new-connection-mark=bulk connection-mark=no-mark\n"),
    Case("two DHCP clients without a plan", "default-route", "fights with another one", "/ip dhcp-client set ",
         "/ip dhcp-client\nadd interface=ether1\nadd interface=ether2\n", is_planned=False),
    Case("one network on two lines", "subnet", "ether1 and ether2 have one network, 192.168.1.0/24", "gateway=\"192.168.1.1%ether",
         lambda p: SAME),
    Case("a table without fib", "fib", "routing table to-A has no fib", "/routing table set * fib",
         "/routing table add name=to-A\n", personalities=SEVEN),
    Case("plain lookup of a source", "lookup", "from 192.168.88.11/32 -> table to-A", " action=lookup-only-in-table",
         lambda p: by_hand(p) + f"{RULE[p]} add src-address=192.168.88.11/32 action=lookup table=to-A\n"),
    Case("plain lookup of a mark", "lookup", "mark to-A -> table to-A", " action=lookup-only-in-table",
         lambda p: by_hand(p) + f"{RULE[p]} add routing-mark=to-A action=lookup table=to-A\n"),
    Case("strict rp-filter", "rp-filter", "rp-filter is strict", "/ip settings set rp-filter=loose", "/ip settings set rp-filter=strict\n",
         level="fatal"),
    Case("no clamp for PPPoE", "mss", "pppoe-out1 has MTU 1480", "new-mss=clamp-to-pmtu", lambda p: by_hand(p) +
         "/interface pppoe-client add name=pppoe-out1 interface=ether5 add-default-route=yes default-route-distance=9 disabled=no\n"),
    Case("no clamp for L2TP", "mss", "l2tp-out1 has MTU 1450", "new-mss=clamp-to-pmtu", "/interface l2tp-client add name=l2tp-out1 "
         "connect-to=203.0.113.9 user=u add-default-route=yes default-route-distance=9 disabled=no\n"),
    Case("no clamp for a narrow port", "mss", "ether1 has MTU 1400", "out-interface=ether1",
         "/interface ethernet set [find name=ether1] mtu=1400\n"),
    Case("marks for the router itself", "local", "rule 4 of chain prerouting routes also what is meant for this router",
         "dst-address-type=!local", lambda p: by_hand(p, bypass="")),
    Case("a hotspot before the login", "hotspot", "rule 5 of chain prerouting", "hotspot=auth",
         lambda p: by_hand(p) + "/ip hotspot add name=hs interface=ether3 disabled=no\n"),
    Case("a container outside LAN", "veth", "veth1 of a container is not in the interface list LAN",
         "/interface list member add list=LAN interface=veth1",
         FILTER + "/interface veth add name=veth1 address=172.17.0.2/24 gateway=172.17.0.1\n", personalities=SEVEN),
    Case("a container behind a bridge", "veth", "veth1 of a container", "list member add list=LAN interface=containers",
         FILTER + "/interface veth add name=veth1 address=172.17.0.2/24 gateway=172.17.0.1\n/interface bridge add name=containers\n"
         "/interface bridge port add bridge=containers interface=veth1\n", personalities=SEVEN),
    Case("device-mode home", "device-mode", "forbids scheduler (save points) fetch", "/system device-mode update scheduler=yes fetch=yes",
         "/system device-mode update mode=home\n", personalities=SEVEN),
    Case("device-mode and a container", "device-mode", "forbids container", "/system device-mode update container=yes",
         "/interface veth add name=veth1 address=172.17.0.2/24\n", personalities=SEVEN),
    Case("full flash", "flash", "the largest file is old.backup", "/file remove [find name=old.backup]", "", options=("--file", "old.backup:8000000")),
    Case("a full connection table", "connections", "90 of 100 entries", "/ip firewall connection remove [find seen-reply=no]", "",
         options=("--connections", "90", "--max-connections", "100")),
    Case("VLAN filtering in software", "offload", "bridge lan filters VLANs", "/interface bridge set [find name=lan] vlan-filtering=no",
         "/interface bridge add name=lan vlan-filtering=yes\n/interface bridge port\nadd bridge=lan interface=ether4\n"
         "add bridge=lan interface=ether5\n", personalities=("6.49",)),
    Case("IPv6 inside", "ipv6", "ether3 has global addresses, and its default route leaves by one line only", "/ipv6 settings set ",
         "/ipv6 settings set forward=yes\n/ipv6 address add address=2001:db8:1::1/64 interface=ether3\n"
         "/ipv6 route add dst-address=::/0 gateway=fe80::1%ether1\n"),
    Case("an IPv6 default over one line", "ipv6", "its default route leaves by one line only", "/ipv6 settings set ",
         "/ipv6 route add dst-address=::/0 gateway=fe80::1%ether2\n"),
    Case("two balancers", "balancer", "6 rules of another balance the lines already (PCC)", "/ip firewall mangle disable *", by_hand,
         level="fatal"),
    Case("a mark that has no route", "mark-route", "sets routing mark to-B, which no route has", "{key}=to-B",
         lambda p: by_hand(p, table="to-C").replace("add name=to-B fib", "add name=to-B fib\nadd name=to-C fib"), is_planned=False),
    Case("a mark that has no route, and no other name", "mark-route", "sets routing mark to-B, which no route has",
         "/ip route add gateway=10.0.2.1 {key}=to-B", lambda p: by_hand(p, table="main" if p == "7.20" else "''").replace(" routing-mark=''", ""),
         is_planned=False),
    Case("a route for a mark that nobody sets", "route-mark", "to-D, which no rule sets", "/ip route disable [find {key}=to-D]",
         lambda p: by_hand(p) + ("/routing table add name=to-D fib\n" if p == "7.20" else "")
         + f"/ip route add gateway=10.0.2.1 {ROUTES[p]}=to-D\n", is_planned=False),
    Case("a connection mark that nobody sets", "mark-unset", "goes by connection mark Bb, which no rule sets (B is meant?)",
         "set [find connection-mark=Bb] connection-mark=B", lambda p: by_hand(p, uses="Bb").replace("mark=A", "mark=AAAA"), is_planned=False),
    Case("a connection mark like no other", "mark-unset", "goes by connection mark nowhere, which no rule sets",
         "disable [find connection-mark=nowhere]", lambda p: by_hand(p, uses="nowhere"), is_planned=False),
    Case("a class that nobody has", "pcc", "no rule has class 1 of 2", "per-connection-classifier=both-addresses:2/1",
         lambda p: by_hand(p, classes="2/0 2/0"), is_planned=False),
    Case("denominators that differ", "pcc", "their denominators differ", "per-connection-classifier=both-addresses:2/1",
         lambda p: by_hand(p, classes="2/0 3/1"), is_planned=False),
    Case("hashes that differ", "pcc", "they go by different addresses and ports", "per-connection-classifier=both-addresses:2/1",
         lambda p: by_hand(p).replace("both-addresses:2/1", "src-address:2/1"), is_planned=False),
    Case("a network that is not let by", "bypass", "network 192.168.88.0/24 of ether3 is not let by", "add chain=prerouting action=accept "
         "dst-address=192.168.88.0/24 place-before=*", lambda p: by_hand(p, bypass="10.0.1.0/24 10.0.2.0/24"), is_planned=False),
    Case("a network that is let by and nowhere", "bypass", "lets 172.31.7.0/24 by, which is no network of this router",
         "/ip firewall mangle disable *", lambda p: by_hand(p, bypass="10.0.1.0/24 10.0.2.0/24 192.168.88.0/24 172.31.7.0/24"),
         is_planned=False),
]


class Doctor:
    def __init__(self, tmp_path, personality, script, options=(), interfaces=("ether1", "ether2", "ether3"), source="127.0.1"):
        self.personality, self.conf = personality, tmp_path / "agent.conf"
        (tmp_path / "start.rsc").write_text(script)
        (tmp_path / "password").write_text("secret\n")
        self.router = Rosim(personality, "--import", str(tmp_path / "start.rsc"), *options)
        lan, uplinks = interfaces[-1], interfaces[:-1]
        self.head = (f"[agent]\nstate_dir = {tmp_path}/state\nsocket = {tmp_path}/agent.sock\n{{}}[router]\ndriver = routeros\n"
                     f"address = {HOST}:{self.router.port}\nuser = admin\npassword_file = {tmp_path}/password\n")
        self.plan = f"[lan]\ninterfaces = {lan}\n" + "".join(
            f"[uplink isp{n}]\ninterface = {name}\ngateway = 10.0.{n}.1\nsource = {source}.1{n}\ntargets = 10.9.{n}.1\ncheck_host = 203.0.113.{n}\n"
            for n, name in enumerate(uplinks, 1))

    def check(self, is_planned):
        """(exit status, what was told), and the router is as it was."""
        self.conf.write_text(self.head.format("" if is_planned else WATCHES) + (self.plan if is_planned else ""))
        before = configuration_of(self.router, self.personality)
        done = subprocess.run([build_dir() / "jaga-agent", "--config", self.conf, "--check", "--json"], text=True, capture_output=True,
                              check=False, timeout=30)
        assert done.returncode in (0, 3), done.stderr
        assert configuration_of(self.router, self.personality) == before
        return done.returncode, json.loads(done.stdout)

    def type(self, command):
        """As in a terminal: a refusal fails the test."""
        api = self.router.connect()
        scripts = api.path("system", "script")
        number = scripts.add(name="typed", source=command)
        list(scripts("run", **{".id": number}))
        scripts.remove(number)
        api.close()


@pytest.fixture
def doctor(tmp_path):
    made = []

    def make(*arguments, **options):
        made.append(Doctor(tmp_path, *arguments, **options))
        return made[-1]
    yield make
    for one in made:
        one.router.stop()


def traps(rows, trap_id):
    return [row for row in rows if row["id"] == trap_id and row["level"] != "ok"]


@pytest.mark.parametrize("case, personality", [(case, p) for case in CASES for p in case.personalities],
                         ids=lambda value: value.name if isinstance(value, Case) else value)
def test_trap(doctor, case, personality):
    one = doctor(personality, case.text(personality), case.options)
    status, rows = one.check(case.is_planned)
    found = traps(rows, case.id)
    assert found and any(case.says in row["what"] for row in found), rows
    assert {row["level"] for row in found} == {case.level} and (status == 3) == any(row["level"] == "fatal" for row in rows)
    pieces = case.types.format(key=ROUTES[personality]).split("*")
    assert any(all(piece in row["fix"] for piece in pieces) for row in found), found
    for _ in range(len(found) + 1):  # one fix may mend two, and a long one comes in parts
        one.type(found[0]["fix"])
        status, rows = one.check(case.is_planned)
        found = traps(rows, case.id)
        if not found:
            break
    assert not found, found


@pytest.mark.parametrize("personality", ("6.49", "7.16", "7.20"))
def test_nothing_is_wrong(doctor, personality):
    status, rows = doctor(personality, BASE).check(True)
    assert status == 0 and {row["level"] for row in rows} == {"ok"}
    assert {case.id for case in CASES} - {"mark-route", "route-mark", "mark-unset"} <= {row["id"] for row in rows}
    assert {"version", "uplink", "lan", "interface"} <= {row["id"] for row in rows}


@pytest.mark.parametrize("personality", BOTH)
def test_nothing_is_wrong_with_a_balancer_made_by_hand(doctor, personality):
    status, rows = doctor(personality, by_hand(personality)).check(False)
    assert status == 0 and [row for row in rows if row["level"] != "ok"] == []


def test_an_address_that_its_own_machine_lacks(doctor):
    """It may come later, when the machine starts: no reason to refuse for ever."""
    status, rows = doctor("7.20", BASE, source="203.0.113").check(True)
    found = traps(rows, "source")
    assert status == 0 and [row["level"] for row in found] == ["warning", "warning"]
    assert "isp1: " in found[0]["what"] and "203.0.113.11," in found[0]["what"] and "source in agent.conf" in found[0]["fix"]


def test_what_is_not_there_is_refused(doctor):
    one = doctor("7.20", BASE, interfaces=("ether1", "ether9", "ether8"))
    status, rows = one.check(True)
    assert status == 3 and [row["what"] for row in traps(rows, "interface")] == [
        "uplink isp2: the router has no interface ether9", "LAN: the router has no interface ether8"]


LAN_SIDE = "mark-routing in-interface=ether3"
NEARLY = {
    # A network behind a route that somebody wrote is meant, and so are single hosts and what is not private.
    "bypass": lambda p: by_hand(p, bypass="10.0.1.0/24 10.0.2.0/24 192.168.88.0/24 172.31.7.0/24 172.31.8.9 198.51.100.0/24")
    + "/ip route add dst-address=172.31.7.0/24 gateway=192.168.88.7\n",
    "bypass by one network for all": lambda p: by_hand(p, bypass="10.0.0.0/8 192.168.0.0/16"),
    "bypass by lists": lambda p: by_hand(p, bypass="10.0.1.0/24") + "/ip firewall mangle add chain=prerouting action=accept dst-address-list=inside\n",
    "local, from the LAN side": lambda p: by_hand(p, bypass="", pcc="dst-address-type=!local").replace("mark-routing", LAN_SIDE),
    "mss, clamped": lambda p: by_hand(p) + "/interface ethernet set [find name=ether2] mtu=1400\n/ip firewall mangle add chain=forward "
    "action=change-mss new-mss=1360 protocol=tcp tcp-flags=syn out-interface=ether2\n",
    "balancer without NAT": lambda p: "\n".join(line for line in by_hand(p).splitlines() if "masquerade" not in line) + "\n",
    "hotspot elsewhere": lambda p: by_hand(p) + "/ip hotspot add name=hs interface=ether5 disabled=no\n",
    "veth within the list": lambda p: by_hand(p) + FILTER + ("/interface veth add name=veth1 address=172.17.0.2/24\n"
                                                            "/interface list member add list=LAN interface=veth1\n/system device-mode "
                                                            "update container=yes\n" if p == "7.20" else ""),
}


@pytest.mark.parametrize("personality", BOTH)
@pytest.mark.parametrize("name", NEARLY)
def test_what_is_no_trap(doctor, name, personality):
    status, rows = doctor(personality, NEARLY[name](personality)).check(False)
    assert status == 0 and [row for row in rows if row["level"] != "ok"] == []
    assert {"ether1: 10.0.1.0/24, gateway 10.0.1.1", "ether2: 10.0.2.0/24, gateway 10.0.2.1"} == {
        row["what"] for row in rows if row["id"] == "uplink"}


@pytest.mark.parametrize("personality", BOTH)
def test_the_lan_side_reaches_the_router_with_6_only(doctor, personality):
    """7 looks a marked packet up in its table before it asks whether it is for the router."""
    _, rows = doctor(personality, by_hand(personality, bypass="").replace("mark-routing", LAN_SIDE)).check(False)
    assert bool(traps(rows, "local")) == (personality == "7.20")


def test_a_line_whose_gateway_is_not_known(doctor):
    one = doctor("7.20", BASE)
    one.plan = one.plan.replace("gateway = 10.0.2.1\n", "")
    status, rows = one.check(True)
    assert status == 0 and [(row["id"], row["what"]) for row in rows if row["level"] != "ok"] == [
        ("gateway", "uplink isp2: no gateway of ether2 is known, so the router has no route over it")]


# --- a session that is lost meanwhile --------------------------------------------------------------------------

# Hands bytes on, and cuts the first session that asks for argv[4].
PROXY = """
import socket, sys, threading
where, target, port, word = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].encode()
cuts = [word]
def hand_on(source, sink, is_watched):
    try:
        while data := source.recv(65536):
            if is_watched and cuts and cuts[0] in data:
                cuts.clear()
                break
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
with socket.create_server((where, port)) as server:
    print("ready", flush=True)
    while True:
        client, _ = server.accept()
        router = socket.create_connection((target, port))
        threading.Thread(target=hand_on, args=(client, router, True), daemon=True).start()
        threading.Thread(target=hand_on, args=(router, client, False), daemon=True).start()
"""


def test_a_session_that_is_lost_meanwhile(tmp_path):
    """It begins anew in the next session, tells nothing twice, and the agent goes on as if nothing had been."""
    text = ADDRESSES + "add address=192.168.89.1/24 interface=ether4\n/ip dhcp-client add interface=ether1\n"
    with contextlib.closing(CompanionLab(tmp_path, "7.20", text)) as lab:
        proxy = subprocess.Popen(["ip", "netns", "exec", lab.prefix + "box", sys.executable, "-c", PROXY, "127.0.0.1", lab.ROUTER,
                                  str(lab.router.port), "/ip/dhcp-server/print"], stdout=subprocess.PIPE, text=True)
        agent = test_routeros.Agent(lab, tmp_path)
        agent.conf.write_text(agent.conf.read_text().replace(f"address = {lab.ROUTER}:", "address = 127.0.0.1:"))
        try:
            assert proxy.stdout.readline() == "ready\n"
            agent.start()
            wait_for("the agent started", lambda: "agent: started" in agent.log())
        finally:
            agent.stop()
            proxy.terminate()
            proxy.wait(60)
        assert "is connected again" in agent.log()
        assert agent.log().count("doctor: default-route: ") == 1


# --- traps that the plan itself avoids ---------------------------------------------------------------------------

@pytest.fixture
def alone(tmp_path):
    """make(personality, script) -> (router, agent) in a namespace of their own, where nothing is forwarded."""
    prefix, made = f"doctor{os.getpid()}-", []
    subprocess.run(["ip", "netns", "add", prefix + "box"], check=True)
    subprocess.run(["ip", "-n", prefix + "box", "link", "set", "lo", "up"], check=True)

    def make(personality, script):
        (tmp_path / "start.rsc").write_text(script)
        router = Rosim(personality, "--import", str(tmp_path / "start.rsc"), host=HOST, inside=prefix + "box")
        agent = test_routeros.Agent(types.SimpleNamespace(prefix=prefix, ROUTER=HOST, router=router), tmp_path)
        made.extend((router, agent))
        return router, agent
    yield make
    for one in reversed(made):
        one.stop()
    subprocess.run(["ip", "netns", "del", prefix + "box"], check=True)


@pytest.mark.parametrize("personality", BOTH)
def test_the_plan_lets_a_hotspot_log_in_and_names_interfaces_where_networks_are_the_same(alone, personality):
    router, agent = alone(personality, SAME + "/ip hotspot add name=hs interface=ether3 disabled=no\n")
    agent.conf.write_text(agent.conf.read_text().replace("gateway = 10.0.1.1", "gateway = 192.168.1.1").replace(
        "gateway = 10.0.2.1", "gateway = 192.168.1.1"))
    agent.start()

    def items(menu):
        return {row.get("comment"): row for row in configuration_of(router, personality)[menu]}

    wait_for("the whole plan stands", lambda: "jaga: out to isp2" in items("/ip/firewall/nat"))
    mangle, routes = items("/ip/firewall/mangle"), items("/ip/route")
    assert (mangle["jaga: before the login on ether3"]["in-interface"], mangle["jaga: before the login on ether3"]["hotspot"]) == (
        "ether3", "!auth")
    assert [routes[f"jaga: target of isp{n}"]["gateway"] for n in (1, 2)] == ["192.168.1.1%ether1", "192.168.1.1%ether2"]


# --- the head office of S4, as it was printed -----------------------------------------------------------------

@pytest.fixture
def head_office(doctor):
    return doctor("6.49", s4_printed.script(), ("--ethernets", "9"))


def test_a_head_office_is_recognised(head_office):
    _, rows = head_office.check(False)
    told = {f"{row['id']} {row['what']}" for row in rows if row["level"] == "ok"}
    assert {"uplink ISP1: 192.168.40.0/24, gateway 192.168.40.1", "uplink ISP2: 192.168.20.0/24, gateway 192.168.20.1",
            "lan LAN-Lt.1: 172.16.10.0/24", "lan LAN-Lt.2: 172.16.20.0/24", "lan LAN-Lt.3: 172.16.30.0/24",
            "lan LAN-Server: 10.10.0.0/24", "marks routing mark to-ISP2: connections marked ISP-2, as what comes in from ISP2",
            "pcc LAN-Server: 2 classes by both-addresses-and-ports"} <= told


def test_its_two_slips_are_found(head_office):
    status, rows = head_office.check(False)
    found = [row for row in rows if row["level"] != "ok"]
    assert status == 0 and [row["id"] for row in found] == ["mark-route", "route-mark", "bypass", "bypass"]
    assert "to-ISP1, which no route has" in found[0]["what"] and "to-ISPI, which no rule sets (to-ISP1 is meant?)" in found[1]["what"]
    assert "network 192.168.40.0/24 of ISP1 is not let by" in found[2]["what"]
    assert "rule 0 of chain prerouting lets 192.168.49.0/24 by" in found[3]["what"]
    assert found[0]["fix"] == found[1]["fix"] == "/ip route set [find routing-mark=to-ISPI] routing-mark=to-ISP1"
    assert found[2]["fix"] == found[3]["fix"]
    head_office.type(found[0]["fix"])
    head_office.type(found[2]["fix"])
    status, rows = head_office.check(False)
    assert [row for row in rows if row["level"] != "ok"] == []
    assert {row["what"] for row in rows if row["id"] == "marks"} == {
        f"routing mark to-ISP{n}: connections marked ISP-{n}, as what comes in from ISP{n}" for n in (1, 2)} | {
        "marks and routes of others fit together"}


# --- the other published configurations ------------------------------------------------------------------------

PUBLISHED = {
    **{f"S1 device {index}": ("7.20", lambda index=index: "\n".join(s1.script(index)), str(s1.DEVICES[index].ethernets)) for index in (0, 9)},
    **{f"S2 router {number}": ("6.49", lambda number=number: s2.script(number), "10") for number in (1, 2)},
    "S4 mended": ("6.49", lambda: (WORKLOADS / "s4.rsc").read_text(encoding="utf-8"), "10"),
    "S5": ("6.49", lambda: (WORKLOADS / "s5.rsc").read_text(encoding="utf-8"), "10"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_false_alarm_at_what_was_published(doctor, name):
    """S2's routers do set a routing mark for which they have no route."""
    personality, script, ethernets = PUBLISHED[name]
    status, rows = doctor(personality, script(), ("--ethernets", ethernets)).check(False)
    assert status == 0 and [row["id"] for row in rows if row["level"] != "ok"] == (["mark-route"] if name.startswith("S2") else [])


def test_a_firewall_larger_than_the_memory(doctor):
    many = "".join(f"add chain=prerouting action=mark-connection new-connection-mark=A src-address=10.{n // 250}.{n % 250}.1 "
                   f"comment=\"{'x' * 60}\"\n" for n in range(300))
    status, rows = doctor("7.20", BASE + "/ip firewall mangle\n" + many).check(True)
    assert status == 3 and len(traps(rows, "connection-mark")) == 1 and "and 127 others" in traps(rows, "connection-mark")[0]["what"]
    assert "172 items were not looked at" in traps(rows, "unread")[0]["what"]
