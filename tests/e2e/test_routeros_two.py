"""Two agents with one RouterOS router: one steers, the other says so, waits, and takes its place. Against the simulated router, as
tests/e2e/test_routeros.py; the router's clock goes on by a word of the test where an entry has to end."""
import contextlib
import json

import pytest

from tests.e2e.test_routeros import Agent
from tests.rosim.control import control
from tests.rosim.laboratory import ADDRESSES, CompanionLab, wait_for

LEASE_S = 90


class TwoBoxLab(CompanionLab):
    """With another machine beside the router, on ether5: 192.168.90.2, and 192.168.90.1N to be sent over provider N."""

    NAMES = (*CompanionLab.NAMES, "box2")

    def lay(self):
        super().lay()
        self.wire("rtr", "ether5", "box2", "port", None, "192.168.90.2/24")
        for n in (1, 2):
            self.ip("box2", "addr", "add", f"192.168.90.1{n}/24", "dev", "port")
        self.ip("box2", "route", "add", "default", "via", "192.168.90.1")

    def leases(self):
        """The comments by which agents say that they steer."""
        api = self.router.connect()
        try:
            return {row["comment"] for row in api.path("ip", "firewall", "address-list") if row["list"] == "jaga-agent"}
        finally:
            api.close()

    def end_leases(self):
        api = self.router.connect()
        try:
            lists = api.path("ip", "firewall", "address-list")
            lists.remove(*(row[".id"] for row in lists if row["list"] == "jaga-agent"))
        finally:
            api.close()

    def steer(self, name):
        """As an agent does that is dead by now."""
        api = self.router.connect()
        try:
            api.path("ip", "firewall", "address-list").add(list=name, address="0.0.0.0/0", timeout="10m", comment="jaga: steering")
        finally:
            api.close()

    def writes(self):
        """Changes of its configuration since it started: also those that somebody has put right again."""
        api = self.router.connect()
        try:
            return int(next(iter(api.path("system", "resource")))["write-sect-since-reboot"])
        finally:
            api.close()

    def plan(self):
        """Its configuration, whosever probes it has the addresses of: each machine has its own."""
        return {menu: sorted(json.dumps(row, sort_keys=True).replace("192.168.90.1", "192.168.89.1") for row in rows)
                for menu, rows in self.configuration().items()}


class Twin(Agent):
    def __init__(self, lab, tmp_path, name, box):
        tmp_path = tmp_path / name
        tmp_path.mkdir()
        super().__init__(lab, tmp_path)
        self.name, self.box = name, box
        self.replace("[agent]\n", f"[agent]\nidentity = {name}\n")
        if box == "box2":
            self.replace("source = 192.168.89.", "source = 192.168.90.")

    def replace(self, old, new):
        text = self.conf.read_text()
        assert old in text
        self.conf.write_text(text.replace(old, new))

    def argv(self, *arguments):
        program, *rest = super().argv(*arguments)[4:]
        return ["ip", "netns", "exec", self.lab.prefix + self.box, program, *rest]

    def status(self, key):
        done = self.run("--json", "status")
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
        return (answer[0] if isinstance(answer, list) else answer).get(key)

    def waits_for(self, other):
        """It says so, and takes its time."""
        wait_for(f"{self.name} waits for {other.name}", lambda: f"another agent steers the router: {other.name} (" in self.log_now())
        assert self.status("mode") == "waits"


@pytest.fixture
def lab(request, tmp_path):
    script = ADDRESSES + "add address=192.168.89.1/24 interface=ether4\nadd address=192.168.90.1/24 interface=ether5\n/user add name=second group=full password=secret\n"
    with contextlib.closing(TwoBoxLab(tmp_path, request.param, script, "--control", str(tmp_path / "control"))) as lab:
        yield lab


@pytest.fixture
def twins(lab, tmp_path):
    twins = Twin(lab, tmp_path, "first", "box"), Twin(lab, tmp_path, "second", "box2")
    yield twins
    for twin in twins:
        twin.stop()


both = pytest.mark.parametrize("lab", ["7.20", "6.49"], indirect=True)
newest = pytest.mark.parametrize("lab", ["7.20"], indirect=True)


def settled(lab, twins):
    """(who steers, who waits) when that is clear."""
    modes = {twin.status("mode"): twin for twin in twins}
    is_clear = modes.keys() == {"steers", "waits"} and all(f": {modes['steers'].name}" in comment for comment in lab.leases())
    return (modes["steers"], modes["waits"]) if is_clear and modes["steers"].status("plan_in_force") else None


@both
def test_one_steers_the_other_takes_its_place(lab, twins, tmp_path):
    first, second = twins
    first.start().wait_online()
    wait_for("the plan stands", lambda: first.status("plan_in_force"))
    before, plan, writes = lab.configuration(), lab.plan(), lab.writes()
    assert {comment.rpartition(" at ")[2] for comment in lab.leases()} == {"192.168.89.11: first"}

    second.start().waits_for(first)
    assert "at 192.168.89.11" in second.status("trouble") and "take_over = no" in second.status("trouble")
    assert second.status("plan_in_force") is False
    wait_for("it probes all the same", lambda: all(second.uplink(n, "rtt_us") for n in (1, 2)))
    assert second.run("--json", "snapshot").returncode == 0
    checked = second.run("--check")
    assert checked.returncode == 3 and "fatal    other-agent: another agent steers this router: first (" in checked.stdout
    assert first.run("--check").returncode == 0

    control(tmp_path / "control", {"do": "drop"})  # both read the router anew
    for twin in twins:
        wait_for("there is a session again", lambda t=twin: "the router is connected again" in t.log())
    lab.cut(1)
    wait_for("the first steers", lambda: lab.entries().keys() == {"jaga-new-0-isp2", "jaga-live-isp1-isp2"})
    wait_for("new flows leave over the other line", lambda: lab.providers_of(4) == [2, 2, 2, 2])
    lab.mend(1)
    wait_for("nothing is steered", lambda: lab.entries() == {}, 30)
    assert lab.configuration() == before and lab.writes() == writes

    first.stop(is_killed=True)
    control(tmp_path / "control", {"do": "pass", "seconds": LEASE_S})
    wait_for("the second takes over", lambda: "no other agent steers the router any more" in second.log(), 30)
    wait_for("its plan stands", lambda: second.status("plan_in_force"))
    assert (second.status("mode"), second.status("trouble")) == ("steers", "")
    assert {comment.rpartition(": ")[2] for comment in lab.leases()} == {"second"}
    assert lab.plan() == plan
    after = lab.configuration()
    wait_for("both carry flows", lambda: set(lab.providers_of(8)) == {1, 2})
    wait_for("both uplinks are up", lambda: all(second.state_of(n) == "up" for n in (1, 2)), 30)
    lab.cut(1)
    wait_for("the second steers", lambda: lab.entries().keys() == {"jaga-new-0-isp2", "jaga-live-isp1-isp2"})
    wait_for("users are online", lambda: lab.answers("10.9.2.1"))
    first.start().waits_for(second)
    assert lab.configuration() == after
    assert second.log().count("another agent steers the router") == 1


@newest
def test_a_restart_waits_for_nobody(lab, twins):
    first, second = twins
    first.start().wait_online()
    second.start().waits_for(first)
    before = lab.configuration()
    for is_killed in (True, False):
        first.stop(is_killed)
        first.start().wait_online()
        assert "another agent" not in first.log_now() and "adopted=yes" in first.log_now()
        assert (first.status("mode"), second.status("mode")) == ("steers", "waits")
    assert lab.configuration() == before


@both
def test_of_two_that_start_together_one_steers(lab, twins, tmp_path):
    for twin in twins:
        twin.start()
    wait_for("one steers", lambda: settled(lab, twins), 60)
    plan = lab.plan()
    control(tmp_path / "control", {"do": "reboot"})
    for twin in twins:
        wait_for("the router is back", lambda t=twin: "the router is connected again" in t.log(), 30)
    steers, waits = wait_for("one steers again", lambda: settled(lab, twins), 90)
    wait_for("both carry flows", lambda: set(lab.providers_of(8)) == {1, 2})
    assert lab.plan() == plan
    steers.stop()
    waits.stop()
    refused = waits.run("--remove")
    assert refused.returncode == 1 and f"another agent, which would put it all back: {steers.name} (" in refused.stderr
    assert lab.plan() == plan
    removed = steers.run("--remove")
    assert removed.returncode == 0, removed.stderr
    assert lab.leases() == set() and not any(row.get("comment", "").startswith("jaga: ")
                                             for rows in lab.configuration().values() for row in rows)


@newest
def test_what_another_left_is_taken_away(lab, twins):
    first, second = twins
    first.start().wait_online()
    second.start().waits_for(first)  # and has read the router, where nothing was steered
    first.stop(is_killed=True)
    lab.steer("jaga-new-0-isp2")
    assert lab.entries().keys() == {"jaga-new-0-isp2"}
    lab.end_leases()
    wait_for("the second takes over", lambda: "no other agent steers the router any more" in second.log(), 30)
    wait_for("it steers as it decides itself", lambda: lab.entries() == {})
    assert "does not steer" not in second.log()


@newest
def test_a_look_that_is_refused_gives_nothing_away(lab, twins, tmp_path):
    first, second = twins
    second.replace("user = admin\n", "user = second\n")
    first.start().wait_online()
    second.start().waits_for(first)
    before, writes = lab.configuration(), lab.writes()
    control(tmp_path / "control", {"do": "set", "menu": "/user", "key": "second", "values": {"group": "nothing"}})
    wait_for("it may not look", lambda: "does not show whether another agent steers it" in second.log_now(), 30)
    control(tmp_path / "control", {"do": "set", "menu": "/user", "key": "second", "values": {"group": "full"}})
    assert (first.status("mode"), second.status("mode")) == ("steers", "waits")
    lab.cut(1)
    wait_for("the first steers", lambda: lab.entries().keys() == {"jaga-new-0-isp2", "jaga-live-isp1-isp2"})
    assert lab.configuration() == before and lab.writes() == writes
    assert {comment.rpartition(": ")[2] for comment in lab.leases()} == {"first"}
    assert "no other agent steers" not in second.log()
    lab.ip("isp1", "link", "set", "router", "down")
    wait_for("who waits sees it, too", lambda: "isp1 is down" in second.log_now())
    seen = [line for line in second.log_now().splitlines() if "isp1 is down" in line]
    assert all("switch_us=0 " in line and line.endswith("carried_by=-") for line in seen), seen


@newest
def test_who_watches_is_no_other(lab, twins):
    first, second = twins
    second.replace("[agent]\n", "[agent]\ntake_over = no\n")
    second.start()
    wait_for("it watches", lambda: second.status("mode") == "watches")
    first.start().wait_online()
    assert {comment.rpartition(": ")[2] for comment in lab.leases()} == {"first"}
    checked = second.run("--check")
    assert checked.returncode == 0 and "ok       other-agent: another agent steers this router: first (" in checked.stdout
    assert second.status("trouble") == "" and "another agent" not in second.log()
