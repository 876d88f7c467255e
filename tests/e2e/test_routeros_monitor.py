"""What happens on a RouterOS router reaches the technician: simulated router (tests/rosim), real agent, real collector, jaga.

The router is a test double: what these tests say of RouterOS holds as far as tests/rosim/README.md does."""
import contextlib
import itertools
import json
import os
import re
import subprocess
import threading
import time

from tests.e2e.devices import LoopbackCollector
from tests.e2e.side_by_side import SideBySide
from tests.lab.programs import build_dir
from tests.rosim.control import control
from tests.rosim.laboratory import sh, wait_for
from tests.rosim.test_api import Rosim

PPP = "/ppp/active"
FAST = "".join(f"{kind} = 1s\n" for kind in ("resources", "ospf", "bgp", "l2tp", "interfaces", "netwatch", "lte"))


def user(name, **values):
    return {"do": "add", "menu": PPP, "values": {"name": name, "service": "pppoe", "caller-id": "02:00:00:00:00:99",
                                                 "address": "10.10.10.7", **values}}


def gone(*names, menu=PPP):
    return {"do": "remove", "menu": menu, "keys": list(names)}


class Scene:
    """A router, an agent beside it that does not steer, a collector, and what `jaga events` says."""

    numbers = itertools.count()

    def __init__(self, tmp_path, personality, monitor=FAST):
        self.dir, self.personality, self.agent, self.n_agents = tmp_path, personality, None, 0
        self.netns, self.rosim = f"jaga-mon{os.getpid()}-{next(Scene.numbers)}", None
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
        wait_for("the agent is online", lambda: "session open" in self.log())
        self.wait_sample()
        return self

    @property
    def log_path(self):
        return self.dir / f"agent{self.n_agents}.log"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        self.agent.terminate()
        assert self.agent.wait(60) == 0

    def now(self, *requests):
        control(self.dir / "control", *requests)

    def jaga(self, *arguments):
        return subprocess.run([build_dir() / "jaga", "--socket", self.collector.socket, *arguments], capture_output=True, text=True,
                              check=True, timeout=30).stdout

    def events(self, *arguments):
        rows = json.loads(self.jaga("events", "--json", "--limit", "1000", *arguments))
        return [row for row in rows if row["kind"] not in ("started", "online", "offline", "notice")]

    def show(self):
        return self.collector.ctl(op="show", device="rtr")[0]["router"]

    def wait_event(self, **wanted):
        """The newest event that has all of this."""
        found = []

        def has_come():
            found[:] = [row for row in self.events() if wanted.items() <= row.items()]
            return found
        wait_for(f"an event {wanted} among {self.events()}", has_come)
        return found[-1]

    def wait_sample(self):
        """A whole interval of FAST between two moments, in which every menu was read."""
        seen = set()

        def have_come():
            seen.add(self.collector.ctl(op="show", device="rtr")[0].get("router", {}).get("at_ms"))
            return len(seen - {None}) >= 3
        wait_for("samples come", have_come)

    def close(self):
        if self.agent and self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait(60)
        if hasattr(self, "collector"):
            self.collector.end()
        if self.rosim:
            self.rosim.stop()
        sh("ip", "netns", "del", self.netns)


each = SideBySide(lambda folder, personality: contextlib.closing(Scene(folder, personality)))("7.20", "6.49")


@each
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


def neighbour(router_id, address, state="Full"):
    return {"do": "add", "menu": "/routing/ospf/neighbor", "values": {"router-id": router_id, "address": address, "state": state}}


@each
def test_an_ospf_neighbour_is_lost_and_found(scene):
    ospf = "/routing/ospf/neighbor"
    scene.now(neighbour("10.255.255.2", "10.1.1.2"), neighbour("10.255.255.3", "10.1.1.3", "2-Way"))
    scene.start()
    scene.now({"do": "set", "menu": ospf, "key": "10.255.255.2", "values": {"state": "Init"}})
    lost = scene.wait_event(kind="ospf", to="down", name="10.255.255.2")
    assert lost["text"] == "OSPF neighbour 10.255.255.2 is lost, Init, 10.1.1.2"
    scene.now({"do": "set", "menu": ospf, "key": "10.255.255.2", "values": {"state": "Full"}})
    scene.wait_event(kind="ospf", to="up", name="10.255.255.2")
    scene.now(gone("10.255.255.2", "10.255.255.3", menu=ospf))  # the second was never full: that is no loss
    wait_for("it is lost again", lambda: [row["to"] for row in scene.events()] == ["down", "up", "down"])


@each
def test_a_bgp_session_ends_and_comes_back(scene):
    if scene.personality == "6.49":
        menu, key = "/routing/bgp/peer", "fibre"
        api = scene.rosim.connect()
        api.path("routing", "bgp", "peer").add(**{"name": "fibre", "remote-address": "10.1.1.2", "remote-as": "46047"})
        up, down = {"state": "established", "prefix-count": "12"}, {"state": "idle"}
        scene.now({"do": "set", "menu": menu, "key": key, "values": up})
    else:
        menu, key = "/routing/bgp/session", "fibre-1"
        up, down = {"established": "true", "prefix-count": "12"}, {"established": "false"}
        scene.now({"do": "add", "menu": menu, "values": {"name": key, "remote.address": "10.1.1.2", "remote.as": "46047", **up}})
    scene.start()
    scene.now({"do": "set", "menu": menu, "key": key, "values": down})
    assert scene.wait_event(kind="bgp", to="down", name=key)["address"] == "10.1.1.2"
    scene.now({"do": "set", "menu": menu, "key": key, "values": up})
    scene.wait_event(kind="bgp", to="up", name=key)
    assert len(scene.events()) == 2


@each
def test_a_flap_between_two_readings_is_counted(scene):
    scene.now({"do": "set", "menu": "/interface", "key": "ether2", "values": {"link-downs": "4"}})
    scene.start()
    scene.now({"do": "set", "menu": "/interface", "key": "ether2", "values": {"link-downs": "7"}, "silent": True})
    flap = scene.wait_event(kind="interface", to="up", name="ether2")
    assert flap["flaps"] == 3 and flap["text"] == "interface ether2 went down and came back 3 times"
    # What listen has told is not told again by the counter.
    scene.now({"do": "set", "menu": "/interface", "key": "ether2", "values": {"link-downs": "8", "running": "false"}})
    assert scene.wait_event(kind="interface", to="down", name="ether2")["text"] == "interface ether2 is down"
    scene.wait_sample()
    scene.now({"do": "set", "menu": "/interface", "key": "ether2", "values": {"running": "true"}})
    scene.wait_event(kind="interface", to="up", text="interface ether2 is up")
    assert len(scene.events()) == 3


@each
def test_a_reboot_is_told_with_its_time(scene):
    scene.now({"do": "resource", "uptime": 86400}, user("ana"), neighbour("10.255.255.2", "10.1.1.2"))
    scene.start()
    scene.now({"do": "reboot"})
    booted_s = time.time()
    restart = scene.wait_event(kind="restart")  # the agent comes back after a second
    assert abs(restart["booted_ms"] / 1000 - booted_s) < 60 and restart["version"].startswith(scene.personality)
    scene.wait_event(kind="ppp", to="down", name="ana")  # and what went with it
    scene.wait_event(kind="ospf", to="down")
    assert len(scene.events()) == 3


@each
def test_netwatch_tunnels_and_modems(scene):
    api = scene.rosim.connect()
    api.path("tool", "netwatch").add(host="10.1.1.9", comment="mail")
    api.path("interface", "l2tp-client").add(**{"name": "l2tp-out1", "connect-to": "192.0.2.240", "user": "campus", "disabled": "no"})
    host, tunnel = (lambda status: {"do": "set", "menu": "/tool/netwatch", "key": "mail", "values": {"status": status}}), \
        lambda running: {"do": "set", "menu": "/interface/l2tp-client", "key": "l2tp-out1", "values": {"running": running}}
    modem = lambda **values: {"do": "modem", "name": "lte1", "values": values}
    scene.now(host("up"), tunnel("true"), {"do": "add", "menu": "/interface/lte", "values": {"name": "lte1"}},
              modem(**{"registration-status": "registered", "current-operator": "Op", "rsrp": "-95", "sinr": "12"}))
    scene.start()
    scene.now(host("down"), tunnel("false"), modem(**{"registration-status": "searching"}))
    assert scene.wait_event(kind="netwatch", to="down", name="mail")["address"] == "10.1.1.9"
    assert scene.wait_event(kind="l2tp", to="down", name="l2tp-out1")["address"] == "192.0.2.240"
    assert scene.wait_event(kind="lte", to="down")["text"] == "LTE modem lte1 lost its registration, Op"
    scene.now(host("up"), tunnel("true"), modem(**{"registration-status": "registered"}))
    for kind in ("netwatch", "l2tp", "lte"):
        scene.wait_event(kind=kind, to="up")
    kinds = sorted(row["kind"] for row in scene.events() if row["kind"] != "interface")
    assert kinds == ["l2tp", "l2tp", "lte", "lte", "netwatch", "netwatch"]


@each
def test_five_hundred_users_leave_at_once(scene):
    scene.now(*(user(f"user{n:03}") for n in range(500)))
    scene.start()
    scene.now({"do": "remove", "menu": PPP})

    def told():
        return sum(row.get("count", 1) for row in scene.events() if row["to"] == "down")
    wait_for(f"500 logouts are told, {told()} were", lambda: told() == 500)
    rows = scene.events()
    assert len(rows) <= 50 and told() == 500  # some one by one, and what comes within a second in one
    many = max(rows, key=lambda row: row.get("count", 1))
    assert len(many["names"]) == 16 and set(many["names"]) <= {f"user{n:03}" for n in range(500)}
    assert f"{many['count']} PPP users logged out: {many['names'][0]}, " in many["text"]
    assert f" and {many['count'] - 16} more" in many["text"]


@each
def test_a_session_that_was_lost_tells_the_difference(scene):
    scene.now(user("stays"), user("leaves"))
    scene.start()
    scene.now({"do": "drop"}, gone("leaves"), user("comes"))  # the agent comes back after a second
    scene.wait_event(kind="ppp", to="down", name="leaves")
    scene.wait_event(kind="ppp", to="up", name="comes")
    assert len(scene.events()) == 2


@each
def test_an_agent_that_starts_again_tells_no_ghosts(scene):
    scene.now(user("ana"), user("bo"), neighbour("10.255.255.2", "10.1.1.2"))
    scene.start()
    scene.stop()
    scene.now(gone("bo"))
    scene.start()
    assert scene.events() == []
    scene.now(gone("ana"))
    scene.wait_event(kind="ppp", to="down", name="ana")
    assert len(scene.events()) == 1


@each
def test_a_kind_that_is_off_is_not_asked_for(scene):
    scene.write_conf(FAST + "ppp = off\n")
    scene.start()
    scene.now(user("ana"), {"do": "add", "menu": "/ip/hotspot/active", "values": {"user": "guest"}})
    scene.wait_event(kind="hotspot", to="up", name="guest")
    assert len(scene.events()) == 1


# --- what is there now ------------------------------------------------------------------------------------------

@each
def test_what_a_router_is_like_now(scene):
    six = scene.personality == "6.49"
    if six:
        scene.rosim.connect().path("routing", "bgp", "peer").add(**{"name": "fibre", "remote-address": "10.1.1.2", "remote-as": "46047"})
        scene.now({"do": "set", "menu": "/routing/bgp/peer", "key": "fibre", "values": {"state": "idle"}})
    else:
        scene.now({"do": "add", "menu": "/routing/bgp/session", "values": {"name": "fibre", "remote.address": "10.1.1.2",
                                                                           "remote.as": "46047", "established": "false"}})
    scene.now(user("ana"), user("bo"), neighbour("10.255.255.2", "10.1.1.2"),
              {"do": "add", "menu": "/interface/lte", "values": {"name": "lte1"}},
              {"do": "modem", "name": "lte1", "values": {"current-operator": "Op", "rsrp": "-95dBm", "sinr": "12"}},
              {"do": "set", "menu": "/interface", "key": "ether1", "values": {"rx-byte": "1000", "tx-byte": "1"}},
              {"do": "resource", "values": {"cpu-load": "93"}, "uptime": 86400})
    scene.start()
    router = scene.show()
    assert (router["ppp_users"], router["hotspot_users"], router["unwatched"], router["cpu_percent"]) == (2, 0, 0, 93)
    assert router["version"].startswith(scene.personality) and abs(time.time() - 86400 - router["booted_ms"] / 1000) < 60
    things = {(row["watch"], row["name"]): row for row in router["things"]}
    assert things["ospf", "10.255.255.2"]["state"] == "up"
    assert things["lte", "lte1"] | {"state": "up", "operator": "Op", "rsrp_dbm": -95, "sinr_db": 12} == things["lte", "lte1"]
    assert things["bgp", "fibre"]["state"] == "down" and things["bgp", "fibre"]["remote_as"] == 46047
    assert {name for watch, name in things if watch == "interface"} == {f"ether{n}" for n in range(1, 6)} | {"lte1"}

    def rate():
        scene.now({"do": "set", "menu": "/interface", "key": "ether1", "values": {"rx-byte": str(1000 + rate.n * 10**7)}, "silent": True})
        rate.n += 1
        return [row["rx_bits_per_s"] for row in scene.show()["things"] if row["name"] == "ether1"][0]
    rate.n = 1
    wait_for("throughput is told", lambda: rate() > 0)

    text = scene.jaga("status", "rtr")
    assert "BGP peer fibre is not established" in text and "2 PPP, 0 Hotspot" in text
    assert re.search(r"lte +lte1 +up .*Op, RSRP -95 dBm, SINR 12 dB", text)
    rows = json.loads(scene.jaga("status", "rtr", "--json"))
    assert [row["problem"] for row in rows[:-1]] == ["bgp-down"] and rows[-1]["router"]["ppp_users"] == 2
    # An event changes what is shown at once; what is not there any more leaves it.
    scene.now(gone("ana"), {"do": "remove", "menu": "/routing/ospf/neighbor"})
    scene.wait_event(kind="ospf", to="down")
    wait_for("it is not shown any more", lambda: "ospf" not in {row["watch"] for row in scene.show()["things"]})
    assert scene.show()["ppp_users"] == 1


@each
def test_events_of_some_kinds(scene):
    scene.start()
    for n in range(3):
        scene.now(user(f"u{n}"), {"do": "add", "menu": "/ip/hotspot/active", "values": {"user": f"g{n}"}})
        scene.wait_event(kind="ppp", name=f"u{n}")
        scene.wait_event(kind="hotspot", name=f"g{n}")
    assert [row["name"] for row in scene.events("--kind", "ppp")] == ["u0", "u1", "u2"]
    assert [row["name"] for row in json.loads(scene.jaga("events", "--json", "--kind", "ppp", "--limit", "2"))] == ["u1", "u2"]
    assert {row["kind"] for row in json.loads(scene.jaga("events", "--json", "--kind", "hotspot,started"))} == {"hotspot", "started"}
    assert scene.events("--kind", "restart") == []
    follow = subprocess.Popen([build_dir() / "jaga", "--socket", scene.collector.socket, "events", "--json", "--follow", "--limit", "1",
                               "--kind", "ppp"], stdout=subprocess.PIPE, text=True)
    too_long = threading.Timer(120, follow.kill)
    too_long.start()
    try:
        assert json.loads(follow.stdout.readline())["name"] == "u2"  # from here on it follows
        scene.now({"do": "add", "menu": "/ip/hotspot/active", "values": {"user": "unseen"}})
        scene.wait_event(kind="hotspot", name="unseen")
        scene.now(gone("u1"))
        assert json.loads(follow.stdout.readline())["text"] == "PPP user u1 logged out"
    finally:
        too_long.cancel()
        follow.kill()
        follow.wait(60)
        follow.stdout.close()


@each
def test_names_are_never_trusted(scene):
    scene.start()
    hostile = "\x1b[31mred\x07\u202eabc" + "\n2100-01-01 rtr  forged"
    scene.now(user(hostile), user("\u00e9" * 30), user("a" * 1000))
    wait_for("they are told", lambda: len(scene.events()) == 3)
    cut = {row["name"] for row in scene.events()}
    assert cut == {hostile.encode()[:39].decode(errors="ignore"), "\u00e9" * 19, "a" * 39}
    for arguments in (["events"], ["status", "rtr"]):
        text = scene.jaga(*arguments)
        assert not set(text) & {"\x1b", "\x07", "\u202e"} and "\n2100" not in text
    log = scene.log() + scene.collector.read_log()
    assert "\x1b" not in log and "\n2100" not in log
