"""The plan in force changes under running flows: another configuration, another program's hand."""
import re
import sys
import time

from tests.lab.lab import INTERNET, UPLINKS, wait_until
from tests.lab.programs import PORT, Agent, Flows, Piped

ISP1 = UPLINKS[1]["address"]

# A tunnel's or a telephone's kind of flow: one UDP port that never stops asking.
KEEPER = """
import socket, sys
for line in sys.stdin:
    address, port, destination = line.split()
    s = globals().setdefault("s", socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    if s.getsockname()[1] == 0:
        s.bind((address, int(port)))
        s.connect((destination, %d))
        s.settimeout(0.3)
    answer = "silent"
    for _ in range(10):
        try:
            s.send(b"x")
            answer = socket.inet_ntoa(s.recv(64)[-4:])
            break
        except OSError:
            pass
    print(answer, flush=True)
""" % PORT


class Keeper(Piped):
    """One UDP flow of a client, asked again and again."""

    def __init__(self, lab, client, destination):
        super().__init__(lab.lan.start(f"keeper-{client}", sys.executable, "-c", KEEPER, piped=True))
        self.line = f"{client} 4500 {destination}"

    def ask(self):
        """The public address that it is seen with, or "silent"."""
        self.write(self.line)
        return self.read_line()


def test_flows_survive_uplinks_that_change_places(lab, agent):
    keepers = [Keeper(lab, f"10.0.0.{i}", INTERNET[i]) for i in range(2, 8)]
    assert {keeper.ask() for keeper in keepers} == {uplink["address"] for uplink in UPLINKS.values()}
    agent.stop()
    Agent(lab, uplinks=(2, 1)).start()
    assert "silent" not in {keeper.ask() for keeper in keepers}
    for keeper in keepers:
        keeper.close()


def test_flows_of_a_line_that_keeps_its_place_live_on(lab):
    agent = Agent(lab, uplinks=(1,)).start()
    flows = Flows(lab)
    assert flows.open(20)["by"] == {ISP1: 20}
    agent.stop()
    agent = Agent(lab, uplinks=(1, 2)).start()
    assert flows.check()["alive"] == 20
    agent.stop()
    agent.conf.write_text(agent.conf.read_text().replace("[uplink isp1]", "[uplink fibre]"))
    agent.start()
    assert flows.check()["alive"] == 20


def test_a_firewall_that_restarts_twice_costs_no_second(lab, agent):
    """`systemctl restart nftables` flushes at its stop and at its start."""
    def has_rules():
        return lab.rtr.run("nft", "list", "table", "inet", "jaga", check=False).stdout.count("jhash") > 0
    flows = Flows(lab)
    assert flows.open(40)["failed"] == 0
    waits_s = []
    for what in (("ruleset",), ("ruleset",), ("ruleset",), ("ruleset",), ("table", "inet", "jaga")):
        began = time.monotonic()
        lab.rtr.run("nft", "flush", *what)
        wait_until(has_rules, 5, "the plan is back")
        waits_s.append(time.monotonic() - began)
    assert min(waits_s[1:4]) < 1 and waits_s[4] < 3  # a second to wait would be in every one but the first
    assert flows.check()["alive"] == 40
    assert agent.program.read_log().count("installed ours again") == 5


def test_flows_of_a_line_that_is_taken_away_begin_anew(lab, agent):
    keepers = [Keeper(lab, f"10.0.0.{i}", INTERNET[i]) for i in range(2, 8)]
    assert {keeper.ask() for keeper in keepers} == {uplink["address"] for uplink in UPLINKS.values()}
    agent.stop()
    Agent(lab, uplinks=(1,)).start()
    assert {keeper.ask() for keeper in keepers} == {ISP1}
    for keeper in keepers:
        keeper.close()


def test_a_repair_that_the_kernel_refuses_is_tried_again(lab):
    """What it refuses may be mended without an event that the agent would see: here an address on lo."""
    agent = Agent(lab, gateway="static", ipv6=False).start()
    table = re.search(r"fwmark 0x1/\S+ lookup (\d+)", lab.rtr.ip("rule"))[1]
    lab.rtr.ip("addr", "add", f"{UPLINKS[1]['gateway']}/32", "dev", "lo")
    lab.rtr.ip("route", "flush", "table", table)
    agent.program.wait_log("resync failed, trying again")
    lab.rtr.ip("rule", "del", "fwmark", "2/0xff")
    wait_until(lambda: "fwmark 0x2/" in lab.rtr.ip("rule"), 2, "the rule is back all the same")
    lab.rtr.ip("addr", "del", f"{UPLINKS[1]['gateway']}/32", "dev", "lo")
    wait_until(lambda: "wan1" in lab.rtr.ip("route", "show", "table", table), 10, "the route is back")
    assert agent.program.read_log().count("resync failed") == 1
