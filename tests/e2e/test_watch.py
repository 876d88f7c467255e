"""An agent that watches and steers nothing: `take_over = no`, or a file without uplinks. Its session, snapshots, scripts
and commands work; nothing of Jaga's is on the router."""
import contextlib
import json
import subprocess

import pytest

from tests.e2e.devices import LoopbackCollector
from tests.lab.lab import wait_until
from tests.lab.programs import Agent, Cli, build_dir
from tests.rosim.laboratory import ADDRESSES, CompanionLab

SCRIPTS = "scripts = unsigned\n"
KINDS = {"take_over = no": {"agent_lines": SCRIPTS + "take_over = no"}, "no uplinks": {"agent_lines": SCRIPTS, "uplinks": ()}}
each_kind = pytest.mark.parametrize("kind", KINDS)
WATCHES = "watches, steers nothing"


def wait_watched(cli, name, n_uplinks):
    """The collector has all that an agent gives that only watches, and tells it as such."""
    cli.wait_online(name)
    wait_until(lambda: cli.rows("snapshots", name), 20, "a snapshot is stored")
    assert wait_until(lambda: next((row for row in cli.rows("events", "--device", name) if row["kind"] == "started"), None),
                      20, "it tells that it started")["text"].endswith(WATCHES)
    device = cli.device(name)
    assert device["watches"] is True
    assert [row["state"] for row in device["uplinks"]] == n_uplinks * ["unknown"]
    assert "watches" in cli.run("devices").stdout and ", watches" in cli.run("show", name).stdout
    assert cli.run("status", "--check").returncode == 0  # nothing is wrong with that


# --- on Linux -------------------------------------------------------------------------------------------------

def read_forwarding(lab):
    return [lab.rtr.run(*command.split()).stdout for command in (
        "nft -s list ruleset", "ip rule", "ip -6 rule", "ip route show table all", "sysctl -a --pattern rp_filter|ip_forward")]


@each_kind
def test_a_linux_router(lab, cli, kind):
    before = read_forwarding(lab)
    agent = Agent(lab, collector=True, **KINDS[kind])
    n_uplinks = 2 if kind == "take_over = no" else 0
    agent.enroll(cli)
    agent.start()
    wait_watched(cli, agent.name, n_uplinks)
    status = agent.status()
    assert (status["mode"], status["plan_in_force"], status["adopted"]) == ("watches", False, False)
    assert [(row["state"], row["carrier"], row["address"], row["share_percent"], row["carried_by"], row["since_s"])
            for row in agent.uplinks().values()] == n_uplinks * [("unknown", True, True, 0, "", 0)]
    refused = agent.run("force", "isp1", "--for", "2m", check=False)
    assert refused.returncode == 1 and "only watches" in refused.stderr
    assert agent.run("unforce").returncode == 0
    script = lab.dir / "script.sh"
    script.write_text("echo ran here\n")
    assert cli.run("push", agent.name, script, "--wait").stdout == "ran here\n"
    assert "flowtable" not in agent.run("--check", check=False).stderr
    assert read_forwarding(lab) == before
    assert agent.stop() == 0
    assert read_forwarding(lab) == before


def test_what_breaks_a_take_over_does_not_keep_it_from_watching(lab):
    lab.rtr.ip("rule", "add", "preference", "50", "fwmark", "0x40", "lookup", "main")
    agent = Agent(lab)
    assert agent.run("--check", check=False).returncode == 3
    agent = Agent(lab, agent_lines="take_over = no").start()
    assert agent.status()["mode"] == "watches"


def test_a_plan_that_nobody_steers_is_told(lab, agent):
    agent.stop()
    Agent(lab, agent_lines="take_over = no").start()
    assert "nobody steers it; jaga-agent --remove takes it away" in (lab.dir / "rtr1.log").read_text()


# --- beside a RouterOS router ---------------------------------------------------------------------------------

@pytest.fixture
def router(tmp_path):
    script = ADDRESSES + "add address=192.168.89.1/24 interface=ether4\n"
    with contextlib.closing(CompanionLab(tmp_path, "7.20", script)) as lab:
        yield lab


@pytest.fixture
def companion(router, tmp_path):
    """A collector on the machine beside the router; start(lines): an agent there, and `jaga`."""
    inside = ["ip", "netns", "exec", router.prefix + "box"]
    collector = LoopbackCollector(tmp_path).start(wrapper=inside)
    (tmp_path / "agent.key").write_text(collector.enroll("rtr1")["rtr1"])
    (tmp_path / "agent.key").chmod(0o600)
    (tmp_path / "password").write_text("secret\n")
    started = []

    def start(lines):
        (tmp_path / "agent.conf").write_text(
            f"[agent]\nidentity = rtr1\ncollector = 127.0.0.1:{collector.port}\nkey_file = {tmp_path}/agent.key\n"
            f"state_dir = {tmp_path}/state\nsocket = {tmp_path}/agent.sock\n{lines}[router]\ndriver = routeros\n"
            f"address = {router.ROUTER}:{router.router.port}\nuser = admin\npassword_file = {tmp_path}/password\n")
        argv = [*inside, build_dir() / "jaga-agent", "--config", tmp_path / "agent.conf"]
        with open(tmp_path / "agent.log", "a", encoding="ascii") as log:
            started.append(subprocess.Popen(argv, stdout=log, stderr=log))
        return argv, Cli(collector)
    yield start
    for process in started:
        process.terminate()
        process.wait(60)
    collector.end()


def read_status(argv):
    return json.loads(subprocess.run([*argv, "--json", "status"], check=True, capture_output=True, text=True).stdout)


def problems_of(cli, device):
    return {row["problem"]: row for row in cli.rows("status") if "problem" in row and row.get("device") == device}


def test_another_agent_is_told_and_waited_for(router, companion):
    entries = router.router.connect().path("ip", "firewall", "address-list")
    number = entries.add(list="jaga-agent", address="240.0.0.1", timeout="1h",
                         comment="jaga: agent 0123456789abcdef at 192.168.88.77: forgotten")
    before = router.configuration()
    argv, cli = companion("[lan]\ninterfaces = ether3\n" + "".join(
        f"[uplink isp{n}]\ninterface = ether{n}\ngateway = 10.0.{n}.1\nsource = 192.168.89.1{n}\ntargets = 10.9.{n}.1\n"
        f"check_host = 203.0.113.{n}\n" for n in (1, 2)))
    cli.wait_online("rtr1")
    problem = wait_until(lambda: problems_of(cli, "rtr1").get("trouble"), 20, "the collector is told")
    told = "another agent steers the router: forgotten (01234567) at 192.168.88.77; stop one of the two, or write take_over = no"
    assert problem["text"].startswith(told)
    assert any(row["text"].startswith(told) for row in cli.rows("events", "--device", "rtr1"))
    looked = cli.run("doctor", "rtr1", check=False)
    assert looked.returncode == 6 and "other-agent" in looked.stdout
    wait_until(lambda: cli.rows("snapshots", "rtr1"), 40, "a snapshot is stored all the same")
    assert read_status(argv)["mode"] == "waits" and router.configuration() == before
    entries.remove(number)
    wait_until(lambda: not problems_of(cli, "rtr1"), 40, "the collector is told that it is over")
    assert read_status(argv)["mode"] == "steers"
    wait_until(lambda: read_status(argv)["plan_in_force"], 20, "the plan stands")
    assert router.configuration() != before


def test_a_router_that_cannot_be_reached_is_told_and_waited_for(router, companion):
    router.on("rtr", "nft", "add table ip shut; add chain ip shut in { type filter hook input priority -200; }; "
              f"add rule ip shut in tcp dport {router.router.port} reject with tcp reset")
    argv, cli = companion("")
    cli.wait_online("rtr1")

    refused = f"router {router.ROUTER}:{router.router.port}: connect: Connection refused"
    problem = wait_until(lambda: problems_of(cli, "rtr1").get("trouble"), 20, "the collector is told")
    assert refused in problem["text"] and cli.run("status", "--check", check=False).returncode == 1
    assert any(row["text"].startswith(refused) for row in cli.rows("events", "--device", "rtr1"))
    status = read_status(argv)
    assert status["mode"] == "waits" and refused in status["trouble"] and status["session"] == "open"
    refused = subprocess.run([*argv, "force", "isp1", "--for", "2m"], check=False, capture_output=True, text=True)
    assert refused.returncode == 1 and "nothing is steered yet" in refused.stderr
    assert cli.rows("snapshots", "rtr1") == []
    looked = cli.run("doctor", "rtr1", check=False)
    assert looked.returncode == 1 and "rtr1: the router has not been reached yet" in looked.stderr
    router.on("rtr", "nft", "delete table ip shut")
    wait_until(lambda: cli.rows("snapshots", "rtr1"), 40, "a snapshot is stored")
    wait_until(lambda: not problems_of(cli, "rtr1"), 20, "the collector is told that it is over")
    status = read_status(argv)
    assert (status["mode"], status["trouble"]) == ("watches", "")


def test_a_routeros_router_without_uplinks(router, companion):
    before = router.configuration()
    argv, cli = companion("")
    wait_watched(cli, "rtr1", 0)
    assert cli.device("rtr1")["driver"] == "routeros"
    assert len(cli.rows("doctor", "rtr1")) > 0
    assert "/ip address" in cli.rows("cat", "rtr1")[0]["text"]
    status = read_status(argv)
    assert (status["mode"], status["trouble"]) == ("watches", "")
    assert router.configuration() == before and router.entries() == {}
