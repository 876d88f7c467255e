"""The RouterOS driver: the agent on a machine beside a simulated router that forwards packets (tests/rosim).

The router is a test double: what these tests say of RouterOS holds as far as tests/rosim/README.md does."""
import contextlib
import json
import re
import subprocess
import threading
import time

import librouteros
import pytest

from tests.lab.programs import build_dir
from tests.rosim.laboratory import ADDRESSES, CompanionLab, wait_for

# What the router had before: rules of somebody else's, which must stay as and where they are.
OTHERS = """/ip firewall filter
add action=accept chain=forward comment="somebody's"
/ip firewall mangle
add action=accept chain=forward comment="jagadish's"
add action=accept chain=prerouting dst-address=198.51.100.1
/ip firewall address-list
add address=198.51.100.0/24 list=jaga-inside
"""
TUNED = "/routing settings set check-gateway-ping-interval=500ms check-gateway-ping-timeout=500ms check-gateway-ping-count=2\n"
SLOW_PROBES = "probe_interval = 500ms\n"  # of a line whose carrier is to be missed: on a busy machine they might be the first
STEERING = {"0.0.0.0/0"}, {"0.0.0.0/1", "128.0.0.0/1"}


class Agent:
    def __init__(self, lab, tmp_path):
        self.lab, self.process = lab, None
        self.conf, self.log_path = tmp_path / "agent.conf", tmp_path / "agent.log"
        (tmp_path / "password").write_text("secret\n")
        uplinks = "".join(f"[uplink isp{n}]\ninterface = ether{n}\ngateway = 10.0.{n}.1\nsource = 192.168.89.1{n}\n"
                          f"targets = 10.9.{n}.1\ncheck_host = 203.0.113.{n}\n" for n in (1, 2))
        self.conf.write_text(
            f"[agent]\nstate_dir = {tmp_path}/state\nsocket = {tmp_path}/agent.sock\nhash = both-addresses-and-ports\n"
            f"[router]\ndriver = routeros\naddress = {lab.ROUTER}:{lab.router.port}\nuser = admin\n"
            f"password_file = {tmp_path}/password\n[lan]\ninterfaces = ether3, ether4\n{uplinks}")

    def argv(self, *arguments):
        return ["ip", "netns", "exec", self.lab.prefix + "box", build_dir() / "jaga-agent", "--config", self.conf, *arguments]

    def start(self):
        before = len(self.log())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv("--debug"), stdout=log, stderr=log)
        self.started_at = before
        return self

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_now(self):
        """Of the agent that runs, not of those before it."""
        return self.log()[self.started_at:]

    def run(self, *arguments):
        return subprocess.run(self.argv(*arguments), text=True, capture_output=True, check=False, timeout=30)

    def uplink(self, number, key):
        done = self.run("--json", "uplinks")
        return {row["name"]: row for row in json.loads(done.stdout)}[f"isp{number}"][key] if done.returncode == 0 else None

    def state_of(self, number):
        return self.uplink(number, "state")

    def wait_online(self):
        """Took over, and both lines are proven up by probes: then a cut is seen as fast as it is promised."""
        wait_for("the agent started", lambda: "agent: started" in self.log_now())
        wait_for("both uplinks are up", lambda: all(self.state_of(n) == "up" and self.uplink(n, "rtt_us") for n in (1, 2)))
        wait_for("both carry flows", lambda: set(self.lab.providers_of(8)) == {1, 2})
        return self

    def stop(self, is_killed=False):
        if self.process and self.process.poll() is None:
            (self.process.kill if is_killed else self.process.terminate)()
            self.process.wait(60)


@pytest.fixture
def lab(request, tmp_path):
    personality, *options = getattr(request, "param", "7.21").split()
    script = ADDRESSES + "add address=192.168.89.1/24 interface=ether4\n" + (TUNED if personality == "7.21" else "") + OTHERS
    with contextlib.closing(CompanionLab(tmp_path, personality, script, *options)) as lab:
        yield lab


@pytest.fixture
def agent(lab, tmp_path):
    agent = Agent(lab, tmp_path)
    yield agent
    agent.stop()


both = pytest.mark.parametrize("lab", ["7.20", "7.16", "6.49"], indirect=True)  # before 7.18 there is no !empty


def ours(rows):
    return [row for row in rows if row.get("comment", "").startswith("jaga: ")]


@both
def test_takes_over_and_leaves_as_it_came(lab, agent):
    before = lab.configuration()
    assert agent.run("--check").returncode == 0 and lab.configuration() == before
    agent.start().wait_online()
    wait_for("the whole plan stands", lambda: len(ours(lab.configuration()["/ip/firewall/nat"])) == 2)
    after = lab.configuration()
    for menu, rows in after.items():
        assert [row for row in rows if not row.get("comment", "").startswith("jaga: ")] == before[menu], menu
    mangle = after["/ip/firewall/mangle"]
    assert mangle[:len(ours(mangle))] == ours(mangle)  # ours are first, in order
    assert [row["comment"] for row in ours(mangle)][:3] == ["jaga: in from isp1", "jaga: in from isp2", "jaga: from LANs"]
    shared = lab.providers_of(24)
    assert len(shared) == 24 and 4 <= shared.count(1) <= 20
    assert lab.entries() == {}  # with every line up the native plan is the plan
    agent.stop()
    assert lab.configuration() == after and set(lab.providers_of(8)) == {1, 2}
    done = agent.run("--remove")
    assert done.returncode == 0, done.stderr
    assert lab.configuration() == before


@both
def test_a_fail_over_writes_no_configuration(lab, agent):
    agent.start().wait_online()
    before = lab.configuration()
    lab.cut(1)
    wait_for("new flows leave over the other line", lambda: lab.providers_of(4) == [2, 2, 2, 2])
    wait_for("the change is told", lambda: "isp1 is down cause=probes" in agent.log())
    moved = int(re.search(r"isp1 is down .* flows_moved=(\d+)", agent.log()).group(1))
    assert moved > 0 if lab.personality.startswith("7") else moved == 0  # 6 does not say
    wait_for("users are online", lambda: lab.answers("10.9.2.1"))
    assert lab.entries().keys() == {"jaga-new-0-isp2", "jaga-live-isp1-isp2"}
    assert lab.configuration() == before
    lab.mend(1)
    wait_for("both carry flows again", lambda: set(lab.providers_of(8)) == {1, 2}, 30)
    wait_for("nothing is steered", lambda: lab.entries() == {})
    assert lab.configuration() == before


def test_a_line_without_carrier_is_down_at_once(lab, agent):
    agent.conf.write_text(agent.conf.read_text().replace("[uplink isp1]\n", f"[uplink isp1]\n{SLOW_PROBES}"))
    agent.start().wait_online()
    lab.ip("isp1", "link", "set", "router", "down")
    wait_for("the carrier is missed", lambda: "isp1 is down cause=carrier" in agent.log(), 5)
    wait_for("the other line carries all", lambda: set(lab.providers_of(6)) == {2}, 5)
    lab.ip("isp1", "link", "set", "router", "up")
    wait_for("both carry flows again", lambda: set(lab.providers_of(8)) == {1, 2}, 30)


def test_no_change_of_a_carrier_is_missed(lab, agent):
    agent.start().wait_online()
    api = lab.router.connect()
    for cycle in range(20):
        for state in ("down", "up"):
            lab.ip("isp1", "link", "set", "router", state)
            wait_for(f"the agent sees the carrier {state}, cycle {cycle}", lambda s=state: agent.uplink(1, "carrier") == (s == "up"), 5)
            if cycle % 4 == 0:  # it reads the router anew meanwhile
                number = api.path("ip", "address").add(address=f"10.77.{cycle}.1/24", interface="ether5")
                api.path("ip", "address").remove(number)
    api.close()
    assert agent.log().count("isp2 is down") == 0  # the other line was never in doubt


@pytest.mark.parametrize("lab", ["7.21 --untold /interface"], indirect=True)
def test_a_change_that_was_not_told_is_seen(lab, agent):
    """A real router may lose one; here none is ever told."""
    agent.start().wait_online()
    lab.ip("isp1", "link", "set", "router", "down")
    wait_for("the line is down", lambda: agent.state_of(1) == "down", 5)
    lab.ip("isp1", "link", "set", "router", "up")
    wait_for("its carrier is seen", lambda: agent.uplink(1, "carrier"), 15)
    lab.router.connect().path("interface", "ethernet").update(**{".id": "ether2", "disabled": "yes"})
    wait_for("the other line's is missed", lambda: not agent.uplink(2, "carrier"), 15)


def test_probes_that_nat_remembers_wrongly_heal(lab, agent):
    """As when the router tracked them before its rules were there: what it once decided it keeps while they go on."""
    agent.start().wait_online()
    nat = lab.router.connect().path("ip", "firewall", "nat")
    number = next(row[".id"] for row in nat if row.get("comment") == "jaga: out to isp1")
    nat.update(**{".id": number, "disabled": "yes"})
    lab.on("rtr", "conntrack", "-D", "-s", "192.168.89.11")
    wait_for("no probe comes back", lambda: agent.state_of(1) == "down", 10)
    nat.update(**{".id": number, "disabled": "no"})
    wait_for("the line is up", lambda: agent.state_of(1) == "up", 20)


def test_steering_is_renewed_and_ends_with_the_agent(lab, agent):
    agent.start().wait_online()
    before = lab.configuration()
    lab.cut(1)
    wait_for("traffic is steered", lambda: len(lab.entries()) == 2)
    forms = set()

    def has_both_forms():
        entries = lab.entries()
        assert len(entries) == 2  # a list is never empty in between
        forms.update(map(frozenset, entries.values()))
        return all(frozenset(form) in forms for form in STEERING)

    wait_for("entries are renewed in their other form", has_both_forms, 15)
    agent.stop(is_killed=True)
    killed_at = time.monotonic()
    assert lab.entries() != {}  # they do not end before their time
    wait_for("they end by themselves", lambda: lab.entries() == {}, 31)
    assert time.monotonic() - killed_at > 5
    wait_for("the native plan carries on", lambda: set(lab.providers_of(6)) == {2}, 10)
    assert lab.configuration() == before
    agent.start()
    wait_for("the next agent adopts the plan", lambda: "agent: started" in agent.log_now())
    assert "adopted=yes" in agent.log_now()
    wait_for("it steers", lambda: len(lab.entries()) == 2)
    assert lab.configuration() == before


def test_a_restart_while_steering_is_not_noticed(lab, agent):
    agent.start().wait_online()
    lab.cut(1)
    wait_for("traffic is steered", lambda: len(lab.entries()) == 2)
    before = lab.configuration()
    agent.stop()
    agent.start()
    wait_for("it started", lambda: "agent: started" in agent.log_now())
    assert "adopted=yes" in agent.log_now()
    wait_for("it knows the line as it left it", lambda: agent.state_of(1) == "down", 2)
    assert len(lab.entries()) == 2
    assert set(lab.providers_of(6)) == {2}
    assert lab.configuration() == before


def test_a_router_that_reboots_is_steered_again(lab, agent):
    agent.start().wait_online()
    lab.cut(1)
    wait_for("traffic is steered", lambda: len(lab.entries()) == 2)
    with pytest.raises((librouteros.exceptions.ConnectionClosed, OSError)):
        list(lab.router.connect().rawCmd("/system/reboot"))
    wait_for("the agent is back", lambda: "is connected again" in agent.log())
    wait_for("traffic is steered again", lambda: len(lab.entries()) == 2)


def test_what_others_changed_is_put_right(lab, agent):
    agent.start().wait_online()
    wait_for("the whole plan stands", lambda: len(ours(lab.configuration()["/ip/firewall/nat"])) == 2)
    agent.stop()
    before = lab.configuration()
    api = lab.router.connect()
    mangle, routes = api.path("ip", "firewall", "mangle"), api.path("ip", "route")
    rows = {row.get("comment"): row[".id"] for row in mangle}
    mangle.remove(rows["jaga: bucket 0"])
    mangle.update(**{".id": rows["jaga: route isp2"], "disabled": "yes"})
    list(mangle("move", numbers=rows["jaga: from LANs"]))  # to the end
    routes.update(**{".id": [row[".id"] for row in routes if row.get("comment") == "jaga: isp1 over isp1"][0], "distance": "7"})
    mangle.add(chain="forward", action="accept", comment="jaga: of another plan")
    api.close()
    assert lab.configuration() != before
    agent.start()
    wait_for("all is as before", lambda: lab.configuration() == before)


def test_a_wrong_password_is_told(lab, agent, tmp_path):
    (tmp_path / "password").write_text("wrong\n")
    done = agent.run("--check")
    assert done.returncode == 1
    assert f"router {lab.ROUTER}:{lab.router.port}" in done.stderr and "invalid user name or password" in done.stderr
    before = lab.configuration()
    agent.start()
    wait_for("the agent says so", lambda: "invalid user name or password" in agent.log())
    assert agent.process.poll() is None  # and goes on trying
    agent.stop()
    assert agent.process.returncode == 0 and lab.configuration() == before


def test_an_interface_that_is_not_there_is_refused(lab, agent):
    agent.conf.write_text(agent.conf.read_text().replace("interface = ether2", "interface = ether9"))
    done = agent.run("--check")
    assert done.returncode == 3 and "the router has no interface ether9" in done.stdout
    before = lab.configuration()
    agent.start()
    assert agent.process.wait(60) == 3
    assert lab.configuration() == before


# --- snapshots -----------------------------------------------------------------------------------

def make_large(lab, rules):
    """More configuration than 6.49's API shows of a file."""
    api = lab.router.connect()
    for number in range(rules):
        api.path("ip", "firewall", "filter").add(chain="forward", action="accept", **{"dst-address": f"198.51.100.{number}"},
                                                 comment=f"rule {number} of many, with a comment that is as long as people write them")
    api.close()


def files(lab):
    api = lab.router.connect()
    found = [row["name"] for row in api.path("file")]
    api.close()
    return found


def take_large_snapshot(lab, agent):
    """Every rule is in it once, unfolded: its words come to more than a hundred bytes."""
    make_large(lab, 200)
    done = agent.run("--json", "snapshot")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    row = row[0] if isinstance(row, list) else row
    assert row["bytes"] > 200 * 100 and row["reason"] == "", row
    assert files(lab) == []


@pytest.mark.parametrize("lab", ["7.21 --tag-last"], indirect=True)
def test_a_router_that_says_last_whose_an_answer_is(lab, agent):
    agent.start().wait_online()
    take_large_snapshot(lab, agent)
    assert "connected again" not in agent.log_now()


@pytest.mark.parametrize("lab", ["6.49"], indirect=True)
def test_a_large_export_of_6_comes_by_ftp(lab, agent):
    agent.start().wait_online()
    take_large_snapshot(lab, agent)
    api = lab.router.connect()
    services = api.path("ip", "service")
    services.update(**{".id": next(row[".id"] for row in services if row["name"] == "ftp"), "disabled": "yes"})
    api.close()
    refused = agent.run("--json", "snapshot")
    assert "ip service enable ftp" in refused.stdout + refused.stderr
    assert files(lab) == []


def test_a_fail_over_waits_for_no_export(lab, agent):
    """400 KB come over the session that steers, again and again; what steers goes to the router in between."""
    agent.start().wait_online()
    api = lab.router.connect()
    for number in range(20):
        api.path("system", "script").add(name=f"large-{number}", source='# a line with "quotes" and $variables\n' * 500)
    api.close()
    exports, is_over = [], threading.Event()

    def export_for_ever():
        while not is_over.is_set():
            row = json.loads(agent.run("--json", "snapshot").stdout)
            exports.append((row[0] if isinstance(row, list) else row)["bytes"])

    exporter = threading.Thread(target=export_for_ever)
    exporter.start()
    try:
        wait_for("the large configuration is read", lambda: exports and exports[-1] > 400_000)
        before = len(exports)
        lab.cut(1)
        wait_for("the line is down", lambda: "isp1 is down cause=probes" in agent.log())
        wait_for("it was exported meanwhile", lambda: len(exports) > before)
    finally:
        is_over.set()
        exporter.join()
    detect_ms, switch_us = map(int, re.search(r"isp1 is down .* detect_ms=(\d+) switch_us=(\d+)", agent.log()).groups())
    print(f"{len(exports)} exports of {exports[-1]} bytes; noticed after {detect_ms} ms, switched {switch_us / 1000:.0f} ms later")
    assert detect_ms + switch_us / 1000 < 2_000  # under a second where the machine has nothing else to do
    assert agent.log().count("isp2 is down") == 0
