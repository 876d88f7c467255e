"""What happens on a RouterOS router reaches the technician: simulated router (tests/rosim), real agent, real collector, jaga.

The router is a test double: what these tests say of RouterOS holds as far as tests/rosim/README.md does."""
import contextlib
import json
import os
import subprocess
import time

import pytest

from tests.e2e.devices import LoopbackCollector
from tests.lab.programs import build_dir
from tests.rosim.control import control
from tests.rosim.laboratory import sh, wait_for
from tests.rosim.test_api import Rosim

PROMISED_S = 2
PPP = "/ppp/active"
FAST = "".join(f"{kind} = 1s\n" for kind in ("resources", "ospf", "bgp", "l2tp", "interfaces", "netwatch", "lte"))


def user(name, **values):
    return {"do": "add", "menu": PPP, "values": {"name": name, "service": "pppoe", "caller-id": "02:00:00:00:00:99",
                                                 "address": "10.10.10.7", **values}}


def gone(*names, menu=PPP):
    return {"do": "remove", "menu": menu, "keys": list(names)}


class Scene:
    """A router, an agent beside it that does not steer, a collector, and what `jaga events` says."""

    def __init__(self, tmp_path, personality, monitor=FAST):
        self.dir, self.personality, self.agent, self.n_agents = tmp_path, personality, None, 0
        self.netns, self.rosim = f"jaga-mon{os.getpid()}", None
        sh("ip", "netns", "add", self.netns)  # one agent in each
        self.inside = ["ip", "netns", "exec", self.netns]
        try:
            sh("ip", "-n", self.netns, "link", "set", "lo", "up")
            self.rosim = Rosim(personality, "--control", str(tmp_path / "control"), inside=self.netns)
            self.collector = LoopbackCollector(tmp_path).start(wrapper=self.inside)
            (tmp_path / "agent.key").write_text(self.collector.enroll("rtr")["rtr"] + "\n")
            (tmp_path / "agent.key").chmod(0o600)
            (tmp_path / "password").write_text("secret\n")
            self.write_conf(monitor)
        except BaseException:
            self.close()
            raise

    def write_conf(self, monitor):
        (self.dir / "agent.conf").write_text(
            f"[agent]\nidentity = rtr\ncollector = 127.0.0.1:{self.collector.port}\nkey_file = {self.dir}/agent.key\n"
            f"state_dir = {self.dir}/state\nsocket = {self.dir}/agent.sock\nsample_interval = 1s\ntake_over = no\n"
            f"[router]\ndriver = routeros\naddress = 127.0.0.1:{self.rosim.port}\nuser = admin\n"
            f"password_file = {self.dir}/password\n[monitor]\n{monitor}")

    def start(self):
        """Until it has read what there is, and is online."""
        self.n_agents += 1
        with open(self.log_path, "wb") as log:
            self.agent = subprocess.Popen([*self.inside, build_dir() / "jaga-agent", "--config", self.dir / "agent.conf", "--debug"],
                                          stdout=log, stderr=log)
        wait_for("the agent is online", lambda: "session open" in self.log_path.read_text(errors="replace"))
        self.wait_sample()
        return self

    @property
    def log_path(self):
        return self.dir / f"agent{self.n_agents}.log"

    def stop(self):
        self.agent.terminate()
        assert self.agent.wait(10) == 0

    def now(self, *requests):
        control(self.dir / "control", *requests)

    def jaga(self, *arguments):
        return subprocess.run([build_dir() / "jaga", "--socket", self.collector.socket, *arguments], capture_output=True, text=True,
                              check=True, timeout=30).stdout

    def events(self, *arguments):
        rows = json.loads(self.jaga("events", "--json", "--limit", "1000", *arguments))
        return [row for row in rows if row["kind"] not in ("started", "online", "offline", "notice")]

    def wait_event(self, timeout_s=PROMISED_S, **wanted):
        """The newest event that has all of this; fails when it takes longer than is promised."""
        found = []

        def has_come():
            found[:] = [row for row in self.events() if wanted.items() <= row.items()]
            return found
        wait_for(f"an event {wanted} among {self.events()}", has_come, timeout_s)
        return found[-1]

    def wait_sample(self):
        """A moment of which everything has been read: twice as long as the longest reading of FAST takes."""
        before = self.samples()
        wait_for("samples come", lambda: self.samples() >= before + 3)

    def samples(self):
        return self.collector.counters()["records"]

    def close(self):
        if self.agent and self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait(10)
        if hasattr(self, "collector"):
            self.collector.end()
        if self.rosim:
            self.rosim.stop()
        sh("ip", "netns", "del", self.netns)


@pytest.fixture(params=["7.20", "6.49"])
def scene(request, tmp_path):
    with contextlib.closing(Scene(tmp_path, request.param)) as scene:
        yield scene


def test_users_come_and_go(scene):
    scene.now(user("early"))
    scene.start()
    assert scene.events() == []  # how things were found is no news
    scene.now(user("ana"))
    login = scene.wait_event(kind="ppp", to="up", name="ana")
    assert (login["address"], login["caller"], login["detail"]) == ("10.10.10.7", "02:00:00:00:00:99", "pppoe")
    assert login["text"] == "PPP user ana logged in, pppoe, 10.10.10.7, 02:00:00:00:00:99"
    scene.now(gone("ana"))
    logout = scene.wait_event(kind="ppp", to="down", name="ana")
    assert logout["text"] == "PPP user ana logged out" and 0 < logout["lasted_ms"] < 60_000
    scene.now({"do": "add", "menu": "/ip/hotspot/active", "values": {"user": "guest", "address": "10.10.20.9",
                                                                     "mac-address": "02:00:00:00:00:55", "login-by": "cookie"}})
    assert scene.wait_event(kind="hotspot", to="up", name="guest")["detail"] == "cookie"
    scene.now(gone("guest", menu="/ip/hotspot/active"), gone("early"))
    scene.wait_event(kind="hotspot", to="down", name="guest")
    scene.wait_event(kind="ppp", to="down", name="early")
    assert len(scene.events()) == 5
