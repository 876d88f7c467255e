"""What the collector learns: who is online, events with their evidence, once each and nothing lost
across outages and restarts of either end."""
import json
import re
import signal
import time

import pytest

from tests.e2e.observe import PUBLIC, hide_collector, logged, show_collector, told, uses, wait_new_flows, wait_probed
from tests.lab.lab import INTERNET, wait_until
from tests.lab.programs import Agent, Collector, Flows, build_dir

TOLD_S = 10  # from the fault to the event at the collector
DOWN_S, UP_S = 5, 15
RECONNECT_S = 60


def events(cli, name):
    return cli.rows("events", "--device", name, "--limit", 10000)


def wait_same_story(cli, agent, timeout_s=30):
    """Every change that the agent has logged is at the collector, once, in order."""
    def is_same():
        return told(events(cli, agent.name)) == logged(agent.program.read_log())
    wait_until(is_same, timeout_s, "the collector tells what the agent has logged", poll_s=0.1)
    rows = events(cli, agent.name)
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
    times = [row["time_ms"] for row in rows if row["kind"] == "uplink"]
    assert times == sorted(times)


def make_story(agent, turns):
    """Changes of state without waiting for a fault: an operator's orders."""
    for _ in range(turns):
        agent.run("force", "isp2", "--for", "1h")
        agent.run("unforce")


def session_uplink(cli, name):
    """The uplink by which the device's session comes."""
    address = cli.device(name)["address"].rsplit(":", 1)[0]
    return next(number for number in PUBLIC if PUBLIC[number] == address)


# --- presence ---------------------------------------------------------------------------------------

def test_hello_makes_the_device_appear(lab, cli):
    agent = Agent(lab, collector=True, weights=(3, 2))
    agent.enroll(cli)
    row = cli.device(agent.name)
    assert row["online"] is False and not row.get("uplinks") and "last_seen_ms" not in row
    agent.start()
    row = cli.wait_online(agent.name)
    assert row["driver"] == "linux" and row["version"]
    assert [{key: uplink[key] for key in ("name", "interface", "state", "weight", "tier")} for uplink in row["uplinks"]] == [
        {"name": "isp1", "interface": "wan1", "state": "up", "weight": 3, "tier": 1},
        {"name": "isp2", "interface": "wan2", "state": "up", "weight": 2, "tier": 1}]
    shown = cli.rows("show", agent.name)[0]
    assert re.fullmatch("[0-9a-f]{32}", shown["boot_id"]) and shown["hostname"]
    assert abs(shown["last_seen_ms"] / 1000 - time.time()) < 60
    agent.stop()  # says goodbye
    cli.wait_online(agent.name, online=False, timeout_s=5)


def test_a_restart_is_told_under_a_new_boot_id(lab, cli, reporting_agent):
    first = cli.rows("show", reporting_agent.name)[0]["boot_id"]
    cli.wait_event(reporting_agent.name, TOLD_S, kind="started")
    reporting_agent.kill()
    reporting_agent.start()
    wait_until(lambda: cli.rows("show", reporting_agent.name)[0]["boot_id"] != first, RECONNECT_S, "a new boot_id is shown")
    wait_until(lambda: [row["kind"] for row in events(cli, reporting_agent.name)].count("started") == 2, 10,
               "both starts are told")
    lab.cut("ii")
    cli.wait_event(reporting_agent.name, TOLD_S, kind="uplink", uplink="isp1", to="down")
    wait_same_story(cli, reporting_agent)


def test_samples_arrive(lab, cli):
    agent = Agent(lab, collector=True, agent_lines="sample_interval = 1s")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    sample = wait_until(lambda: cli.rows("show", agent.name)[0].get("sample"), 10, "a sample arrives")
    assert sample["conntrack_max"] > 0 and sample["mem_available_kb"] > 0
    assert {uplink["uplink"] for uplink in sample["uplinks"]} == {"isp1", "isp2"}
    wait_until(lambda: all(uplink["rtt_us"] > 0 and uplink["rx_bytes"] > 0 and uplink["loss_permille"] < 20
                           for uplink in cli.rows("show", agent.name)[0]["sample"]["uplinks"]), 10, "samples hold figures")


# --- events -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("whose", ["the session's uplink", "the other uplink"])
def test_a_fail_over_is_told_with_its_evidence(lab, cli, reporting_agent, whose):
    own = session_uplink(cli, reporting_agent.name)
    dead = own if whose == "the session's uplink" else 3 - own
    wait_probed(reporting_agent)
    flows = Flows(lab)
    opened = flows.open(60)
    assert uses(opened, 1, 2)
    lab.cut_forwarding(dead)
    lab.prove_fault(dead)
    cut = time.monotonic()
    event = cli.wait_event(reporting_agent.name, TOLD_S, kind="uplink", uplink=f"isp{dead}", to="down")
    assert time.monotonic() - cut < 20  # the next keepalive would be 25 s away
    assert event["cause"] == "probes" and event["from"] in ("up", "suspect")
    assert event["carried_by"] == f"isp{3 - dead}"
    assert event["flows_moved"] >= opened["by"][PUBLIC[dead]]
    assert event["misses"] >= event["misses_needed"] >= 3
    assert 0 < event["detect_us"] < 30_000_000
    assert 0 < event["switch_us"] < 10_000_000
    assert abs(event["time_ms"] / 1000 - time.time()) < 60
    assert {probe["target"] for probe in event["probes"]} == {INTERNET[0], INTERNET[10]}
    assert all(0 < probe["lost"] <= probe["sent"] and probe["rtt_us"] > 0 and probe["timeout_us"] > 0
               for probe in event["probes"])
    states = {uplink["name"]: uplink["state"] for uplink in cli.device(reporting_agent.name)["uplinks"]}
    assert states == {f"isp{dead}": "down", f"isp{3 - dead}": "up"}
    assert [row["problem"] for row in cli.rows("status") if "problem" in row] == ["uplink-down"]

    lab.restore(dead)
    event = cli.wait_event(reporting_agent.name, UP_S + TOLD_S, kind="uplink", uplink=f"isp{dead}", to="up")
    assert event["cause"] == "recovered" and event["lasted_ms"] > 0
    assert [row for row in cli.rows("status") if "problem" in row] == []
    wait_same_story(cli, reporting_agent)


@pytest.mark.parametrize("fault, cause", [("i", "carrier"), ("iii", "probes")])
def test_other_faults_of_the_sessions_uplink_are_told_in_time(lab, cli, reporting_agent, fault, cause):
    dead = session_uplink(cli, reporting_agent.name)
    wait_probed(reporting_agent)
    lab.cut(fault, dead)
    event = cli.wait_event(reporting_agent.name, TOLD_S, kind="uplink", uplink=f"isp{dead}", to="down")
    assert event["cause"] == cause and event["carried_by"] == f"isp{3 - dead}"


def test_when_no_uplink_is_left_all_is_told_afterwards(lab, cli, reporting_agent):
    """The agent does not sit out a long wait when a line is back."""
    wait_probed(reporting_agent)
    for number in (1, 2):
        lab.cut_forwarding(number)
    for number in (1, 2):
        reporting_agent.wait_state(number, "down", DOWN_S)
    wait_until(lambda: reporting_agent.status()["session"] != "open", 30, "the session is given up")
    lab.restore(2)
    reporting_agent.wait_state(2, "up", UP_S)
    cli.wait_event(reporting_agent.name, TOLD_S, kind="uplink", uplink="isp2", to="up")
    lab.restore(1)
    reporting_agent.wait_state(1, "up", UP_S)
    wait_same_story(cli, reporting_agent)


def test_a_flushed_ruleset_is_told(lab, cli, reporting_agent):
    """Who restarts the firewall on a router is worth knowing; once, not for each flush."""
    def told():
        return [row["text"] for row in events(cli, reporting_agent.name)
                if row["kind"] == "notice" and "flushed the ruleset" in row["text"]]

    for flushes in range(1, 4):
        lab.rtr.run("nft", "flush", "ruleset")
        wait_until(lambda: reporting_agent.program.read_log().count("installed ours again") == flushes, 5,
                   f"the plan is in force after {flushes} flushes")
    wait_until(told, 10, "the collector is told")
    lab.cut("ii")
    wait_until(lambda: any(row.get("to") == "down" for row in events(cli, reporting_agent.name)), 10,
               "a later event has arrived")
    text, = told()
    assert "(nft, pid " in text


def test_events_follow(lab, cli, reporting_agent):
    """--follow shows what happens from now on, as it happens."""
    follower = lab.srv.start("follow", *cli.argv("events", "--follow", "--json", "--device", reporting_agent.name))
    follower.wait_log('"kind":"started"')
    lab.cut("ii")
    follower.wait_log(r'"to":"down"', TOLD_S)
    for line in follower.read_log().splitlines():
        assert json.loads(line)["device"] == reporting_agent.name


# --- nothing lost, nothing twice ----------------------------------------------------------------------

def test_events_wait_while_the_collector_cannot_be_reached(lab, cli):
    """First the session still seems to live, then it is given up; what happened meanwhile comes afterwards."""
    cli.collector.stop()
    collector = Collector(lab, lines="keepalive = 5s").start()
    agent = Agent(lab, collector=True)
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    hide_collector(lab)
    hidden_ms = time.time() * 1000
    make_story(agent, 5)
    made_ms = time.time() * 1000
    cli.wait_online(agent.name, online=False, timeout_s=30)
    assert any(row["problem"] == "offline" and row["device"] == agent.name for row in cli.rows("status") if "problem" in row)
    wait_until(lambda: agent.status()["session"] != "open", 30, "the agent gives the session up")
    lab.cut_forwarding(2)
    agent.wait_state(2, "down", DOWN_S)
    lab.restore(2)
    agent.wait_state(2, "up", UP_S)
    make_story(agent, 5)
    assert agent.status()["spool_records"] > 10
    show_collector(lab)
    wait_same_story(cli, agent, RECONNECT_S)
    assert cli.device(agent.name)["online"]
    first = [row["time_ms"] for row in events(cli, agent.name) if row["kind"] == "uplink"][:10]
    assert hidden_ms - 500 < first[0] and first[-1] < made_ms + 500  # when it happened, not when it came
    wait_until(lambda: agent.status()["spool_records"] == 0, 10, "the spool is empty")
    assert collector.program.is_running()


def test_events_survive_a_collector_that_is_killed_again_and_again(lab, cli, collector, reporting_agent):
    """Each start is a new epoch: what was not acknowledged comes again, what was stored is not stored twice."""
    epochs = 3
    for _ in range(epochs):
        make_story(reporting_agent, 5)  # under way when the collector dies
        collector.kill()
        make_story(reporting_agent, 5)
        collector.start()
        cli.wait_online(reporting_agent.name, timeout_s=RECONNECT_S)
    make_story(reporting_agent, 5)
    wait_same_story(cli, reporting_agent)
    assert len(told(events(cli, reporting_agent.name))) >= 2 * 5 * (2 * epochs + 1)
    assert [row["kind"] for row in events(cli, reporting_agent.name)].count("started") == 1


@pytest.mark.parametrize("how", ["stopped", "hung"])
def test_fail_over_does_not_need_the_collector(lab, cli, collector, reporting_agent, how):
    flows = Flows(lab)
    assert uses(flows.open(60), 1, 2)
    if how == "stopped":
        assert collector.stop() == 0
    else:
        collector.program.popen.send_signal(signal.SIGSTOP)
    lab.cut_forwarding(1)
    lab.prove_fault()
    reporting_agent.wait_state(1, "down", DOWN_S)
    wait_new_flows(flows, 2)
    lab.restore()
    reporting_agent.wait_state(1, "up", UP_S)
    wait_new_flows(flows, 1, 2)
    if how == "stopped":
        collector.start()
    else:
        collector.program.popen.send_signal(signal.SIGCONT)
    wait_same_story(cli, reporting_agent, RECONNECT_S)


def test_a_full_spool_drops_samples_first_and_says_so(lab, cli):
    agent = Agent(lab, collector=True, agent_lines="spool = 8K\nsample_interval = 1s")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    cli.collector.kill()
    wait_until(lambda: agent.status()["spool_records"] >= 3, 10, "samples wait")

    def is_full():
        make_story(agent, 1)
        return agent.status()["dropped_samples"] > 0
    wait_until(is_full, 10, "samples are dropped")
    assert agent.status()["dropped_events"] == 0
    cli.collector.start()
    wait_same_story(cli, agent, RECONNECT_S)
    wait_until(lambda: cli.rows("show", agent.name)[0]["dropped_samples"] > 0, 10, "the collector knows of the loss")
    assert cli.rows("show", agent.name)[0]["dropped_events"] == 0


# --- identities ---------------------------------------------------------------------------------------

def test_the_newest_session_of_an_identity_wins(lab, cli, reporting_agent):
    """The same key on a second machine (a router that was replaced, or a thief): the first is put off, and
    what the second one says is what is shown."""
    agent, twin = reporting_agent, lab.dir / "twin"
    first = cli.rows("show", agent.name)[0]
    lab.lan.sysctl(net__ipv4__ip_forward=1)
    lab.lan.ip("link", "add", "users", "type", "bridge")
    twin.mkdir()
    (twin / "agent.conf").write_text(
        agent.conf.read_text().split("[lan]")[0].replace(f"{agent.state}", f"{twin}/state")
        .replace(f"{agent.socket}", f"{twin}/agent.sock")
        + f"[lan]\ninterfaces = users\n[uplink only]\ninterface = lan0\ngateway = 10.0.0.1\ntargets = {INTERNET[3]}\n")
    second = lab.lan.start("twin", build_dir() / "jaga-agent", "--config", twin / "agent.conf")
    second.wait_log("session open", 20)
    agent.program.wait_log("session lost", 10)
    shown = wait_until(lambda: (row := cli.rows("show", agent.name)[0])["boot_id"] != first["boot_id"] and row, 5,
                       "the twin is shown")
    assert shown["online"] and [uplink["name"] for uplink in shown["uplinks"]] == ["only"]
    assert second.stop() == 0
    cli.wait_online(agent.name, timeout_s=RECONNECT_S)
    wait_until(lambda: cli.rows("show", agent.name)[0]["boot_id"] == first["boot_id"], RECONNECT_S, "the first is back")
    wait_same_story(cli, agent)


def test_a_wrong_key_stays_out(lab, cli):
    agent = Agent(lab, collector=True)
    agent.enroll(cli)
    agent.key.write_text("22" * 32 + "\n")
    agent.start()
    wait_until(lambda: agent.status()["session_error"], 30, "the agent says why there is no session")
    row = cli.device(agent.name)
    assert row["online"] is False and "last_seen_ms" not in row
    assert events(cli, agent.name) == []
    assert agent.state_of(1) == "up"


def test_a_removed_device_is_put_off(lab, cli, reporting_agent):
    cli.run("remove", reporting_agent.name)
    reporting_agent.program.wait_log("session lost", 15)
    assert reporting_agent.state_of(1) == "up"
