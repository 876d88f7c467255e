"""The RouterOS driver among people and accidents: names as they are given, lines by PPPoE and DHCP, sessions that are lost, routers
that reboot while they are changed, others who take our things away. Against the simulated router, as tests/e2e/test_routeros.py."""
import contextlib

import librouteros
import pytest

from tests.e2e.test_routeros import SLOW_PROBES, TUNED, Agent, ours
from tests.rosim.control import control
from tests.rosim.laboratory import ADDRESSES, CompanionLab, wait_for

LINE, LAN = "Line one - fibre to the exchange", "LAN-Lt.1 of the office"


class PppoeLab(CompanionLab):
    """Line 2 is an interface without a gateway: whoever is behind it answers for all the world."""

    def lay(self):
        super().lay()
        self.ip("rtr", "link", "del", "ether2")
        self.wire("rtr", "pppoe-out1", "isp2", "router", None, "10.0.2.1/24")
        self.on("isp2", "sysctl", "-qw", "net.ipv4.conf.router.proxy_arp=1")


@contextlib.contextmanager
def field(tmp_path, script="", conf=(), personality="7.21", kind=CompanionLab, addresses=ADDRESSES):
    """A laboratory with an agent that has not been started; conf: (old, new) texts of its configuration."""
    whole = addresses + "/ip address add address=192.168.89.1/24 interface=ether4\n" + (TUNED if personality == "7.21" else "") + script
    with contextlib.closing(kind(tmp_path, personality, whole, "--control", str(tmp_path / "control"))) as lab:
        agent = Agent(lab, tmp_path)
        for old, new in conf:
            text = agent.conf.read_text()
            assert old in text
            agent.conf.write_text(text.replace(old, new))
        try:
            yield lab, agent
        finally:
            agent.stop()


def wait_steered(lab):
    wait_for("traffic is steered", lambda: {name[:9] for name in lab.entries()} == {"jaga-new-", "jaga-live"}, 10)
    wait_for("new flows leave over the other line", lambda: set(lab.providers_of(4)) == {2}, 5)


@pytest.mark.parametrize("personality", ["7.21", "6.49"])
def test_interfaces_have_any_name(tmp_path, personality):
    script = f'/interface ethernet set ether1 name="{LINE}"\n/interface ethernet set ether3 name="{LAN}"\n'
    with field(tmp_path, script, [("= ether1\n", f"= {LINE}\n{SLOW_PROBES}"), ("= ether3,", f"= {LAN},")], personality) as (lab, agent):
        before = lab.configuration()
        agent.start().wait_online()
        lab.ip("isp1", "link", "set", "router", "down")
        wait_for("the carrier is missed", lambda: "isp1 is down cause=carrier" in agent.log(), 5)
        wait_steered(lab)
        agent.stop()
        assert agent.run("--remove").returncode == 0 and lab.configuration() == before


def test_an_interface_gets_another_name_while_traffic_is_steered(tmp_path):
    """The line is gone, for the agent; it says why, and the others go on. With its old name it is the line again."""
    with field(tmp_path) as (lab, agent):
        agent.start().wait_online()
        lab.cut(1)
        wait_steered(lab)
        with contextlib.closing(lab.router.connect()) as api:
            ports = api.path("interface", "ethernet")
            number = next(row[".id"] for row in ports if row["name"] == "ether1")
            ports.update(**{".id": number, "name": LINE})
            wait_for("it is told", lambda: "has no interface ether1 any more (uplink isp1)" in agent.log(), 15)
            lab.mend(1)
            assert set(lab.providers_of(8)) == {2}
            ports.update(**{".id": number, "name": "ether1"})
        wait_for("both carry flows again", lambda: set(lab.providers_of(8)) == {1, 2}, 30)
        assert agent.log().count("any more") == 1


def test_a_line_without_a_gateway(tmp_path):
    addresses = ADDRESSES.replace("add address=10.0.2.2/24 interface=ether2\n", "")
    script = ("/interface pppoe-client add name=pppoe-out1 interface=ether5 user=x password=y disabled=no\n"
              "/ip address add address=10.0.2.2/32 network=10.0.2.1 interface=pppoe-out1\n")
    conf = [("interface = ether2\ngateway = 10.0.2.1", f"interface = pppoe-out1\n{SLOW_PROBES}gateway = none")]
    with field(tmp_path, script, conf, kind=PppoeLab, addresses=addresses) as (lab, agent):
        agent.start().wait_online()
        lab.cut(1)
        wait_steered(lab)
        assert lab.answers("10.9.2.1")
        lab.mend(1)
        wait_for("both carry flows again", lambda: set(lab.providers_of(8)) == {1, 2}, 15)
        lab.ip("isp2", "link", "set", "router", "down")
        wait_for("its session is missed", lambda: "isp2 is down cause=carrier" in agent.log(), 5)
        wait_for("the other line carries all", lambda: set(lab.providers_of(4)) == {1}, 5)


def test_what_is_inside_goes_by_the_routers_own_routes(tmp_path):
    """Behind another router: private networks as a whole, but where the lines are probed, and whatever somebody has a route to."""
    inner = "".join(f"/ip route add dst-address={network} gateway=192.168.88.2\n" for network in ("172.16.5.0/24", "198.18.5.0/24"))
    with field(tmp_path, inner + "/ip route add dst-address=198.18.6.0/24 gateway=10.0.1.1\n") as (lab, agent):
        for address in ("172.16.5.1", "198.18.5.1"):
            lab.ip("lan", "addr", "add", f"{address}/32", "dev", "lo")
        agent.start().wait_online()
        assert inside(lab) == {
            "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "224.0.0.0/4", "198.18.5.0/24"}
        for address in ("172.16.5.1", "198.18.5.1"):
            assert " 1 received" in lab.on("box", "ping", "-n", "-q", "-c", "1", "-W", "1", address, check=False), address


def inside(lab):
    return {row["address"] for row in ours(lab.configuration()["/ip/firewall/address-list"]) if row["list"] == "jaga-inside"}


def test_a_route_over_a_line_without_a_lease_stays_outside(tmp_path):
    """Whether a route leads over a line does not change with its address: what is inside is configuration, written to flash."""
    conf = [("interface = ether1\n", f"interface = ether1\n{SLOW_PROBES}")]
    with field(tmp_path, "/ip route add dst-address=198.18.6.0/24 gateway=10.0.1.1\n", conf) as (lab, agent):
        agent.start().wait_online()
        before = inside(lab)
        addresses = lab.router.connect().path("ip", "address")
        addresses.remove(next(row[".id"] for row in addresses if row["interface"] == "ether1"))
        wait_for("the lease is missed", lambda: "isp1 is down" in agent.log())
        addresses.add(address="198.18.7.1/24", interface="ether5")  # which is inside, and is read behind it
        wait_for("the plan is kept", lambda: "198.18.7.0/24" in inside(lab))
        assert inside(lab) == before | {"198.18.7.0/24"}


@pytest.mark.parametrize("personality", ["7.21", "6.49"])
def test_routing_marks_of_others_win(tmp_path, personality):
    """One host always over line 2, whatever the plan says of its connections."""
    key, table = ("routing-table", "/routing table add name=always fib\n") if personality == "7.21" else ("routing-mark", "")
    script = (f"{table}/ip route add gateway=10.0.2.1 {key}=always\n/ip firewall mangle add chain=prerouting action=mark-routing "
              "new-routing-mark=always src-address=192.168.88.77\n")
    with field(tmp_path, script, personality=personality) as (lab, agent):
        lab.ip("lan", "addr", "add", "192.168.88.77/24", "dev", "port")
        agent.start().wait_online()
        lab.ip("lan", "route", "replace", "default", "via", "192.168.88.1", "src", "192.168.88.77")
        assert set(lab.providers_of(12)) == {2}


def test_routing_rules_that_the_router_has_itself(tmp_path):
    """From 7.22 on they are listed, too: no place for ours is before them, and they are not ours to touch."""
    with field(tmp_path, personality="7.22") as (lab, agent):
        control(tmp_path / "control", *({"do": "add", "menu": "/routing/rule", "values": {"action": "lookup", "table": table, "default": "true"}}
                                        for table in ("local", "main")))
        agent.start().wait_online()
        rules = lab.configuration()["/routing/rule"]
        assert [rule["table"] for rule in rules if not rule.get("comment")] == ["local", "main"]
        assert {rule["comment"] for rule in ours(rules)} == {"jaga: probes over isp1", "jaga: probes over isp2"}


def test_a_lease_brings_another_gateway(tmp_path):
    """With the same address: RouterOS tells no change of addresses then."""
    script = "/ip dhcp-client add interface=ether1 add-default-route=no\n"
    with field(tmp_path, script, [("interface = ether1\ngateway = 10.0.1.1", "interface = ether1\ngateway = auto")]) as (lab, agent):
        def lease(gateway):
            control(tmp_path / "control", {"do": "set", "menu": "/ip/dhcp-client", "key": "ether1", "silent": True,
                                           "values": {"gateway": gateway, "status": "bound"}})

        def gateways():
            return {row["comment"]: row["gateway"] for row in ours(lab.configuration()["/ip/route"])}
        lease("10.0.1.1")
        agent.start().wait_online()
        assert gateways()["jaga: target of isp1"] == "10.0.1.1"
        lab.ip("isp1", "addr", "del", "10.0.1.1/24", "dev", "router")
        lab.ip("isp1", "addr", "add", "10.0.1.7/24", "dev", "router")
        lease("10.0.1.7")
        wait_for("the plan follows", lambda: {gateways()[f"jaga: {what} isp1"] for what in ("target of", "probes over")} == {"10.0.1.7"}, 15)
        wait_for("both carry flows", lambda: set(lab.providers_of(8)) == {1, 2}, 15)


def test_the_session_is_lost_in_the_middle_of_a_fail_over(tmp_path):
    with field(tmp_path) as (lab, agent):
        agent.start().wait_online()
        lab.cut(1)
        wait_for("the line is in doubt", lambda: "isp1 is suspect" in agent.log() or "isp1 is down" in agent.log())
        lab.on("box", "nft", "add table ip lost; add chain ip lost out { type filter hook output priority 0; }; "
               f"add rule ip lost out tcp dport {lab.router.port} reject with tcp reset")
        wait_for("the session is lost", lambda: "trying again" in agent.log() or "router:" in agent.log(), 15)
        wait_for("the router's own plan carries all", lambda: set(lab.providers_of(4)) == {2}, 5)
        lab.on("box", "nft", "delete table ip lost")
        wait_for("the session is back", lambda: "is connected again" in agent.log(), 15)
        wait_steered(lab)
        wait_for("the change is told", lambda: "isp1 is down" in agent.log(), 5)


def test_every_session_is_taken(tmp_path):
    with field(tmp_path) as (lab, agent):
        others = [lab.router.connect() for _ in range(20)]
        agent.start()
        wait_for("the agent says why", lambda: "too many connections" in agent.log(), 10)
        for other in others:
            other.close()
        agent.wait_online()


def test_others_take_our_entries_away(tmp_path):
    with field(tmp_path) as (lab, agent):
        agent.start().wait_online()
        lab.cut(1)
        wait_steered(lab)
        entries = lab.router.connect().path("ip", "firewall", "address-list")
        for row in [row for row in entries if row["dynamic"]]:
            entries.remove(row[".id"])
        assert lab.entries() == {}
        wait_for("they stand again", lambda: len(lab.entries()) == 2, 15)
        wait_steered(lab)
        wait_for("and are renewed as ever", lambda: all(len(found) == 2 for found in lab.entries().values()), 25)


@pytest.mark.parametrize("personality", ["7.21", "7.16", "6.49"])
def test_the_router_reboots_while_it_is_changed(tmp_path, personality):
    with field(tmp_path, personality=personality) as (lab, agent):
        agent.start()
        wait_for("a part of the plan stands", lambda: ours(lab.configuration()["/interface/list/member"]))
        with contextlib.suppress(librouteros.exceptions.ConnectionClosed, OSError):
            list(lab.router.connect().rawCmd("/system/reboot"))
        agent.wait_online()
        names = [(menu, row["comment"]) for menu, rows in lab.configuration().items() for row in ours(rows)]
        assert len(names) == len(set(names))  # nothing stands twice
        stands = lab.configuration()
        agent.stop()
        agent.start()
        wait_for("the next agent changes nothing", lambda: "adopted=yes" in agent.log_now())
        assert lab.configuration() == stands
