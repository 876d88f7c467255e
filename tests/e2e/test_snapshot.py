"""The router's configuration at the collector: one canonical text, hash first, up only when it changed."""
import hashlib
import os
import pathlib
import signal

import pytest

from tests.lab.capture import Capture, count_link, read_link
from tests.lab.lab import wait_until
from tests.lab.programs import Agent

DOWN_S, UP_S = 5, 15


def take(cli, name):
    rows = cli.rows("snapshots", name, "--take")
    assert len(rows) == 1
    return rows[0]


def text_of(cli, name, *number):
    return cli.rows("cat", name, *number)[0]["text"]


def start_agent(lab, cli, **options):
    """An agent that is online, quiet, and has handed in its configuration by itself."""
    agent = Agent(lab, collector=True, agent_lines="sample_interval = 1d", **options)
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    wait_until(lambda: cli.rows("snapshots", agent.name), 20, "the first snapshot is stored")
    return agent


def is_alive(pid):
    """And no zombie, which waits for whoever adopted it."""
    try:
        return ") Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def changed_lines(cli, name):
    """(removed, added) lines that `jaga diff` shows."""
    diff = cli.run("diff", name, check=False)
    assert diff.returncode == 1, diff.stderr
    body = [line for line in diff.stdout.splitlines() if not line.startswith(("---", "+++", "@@"))]
    return ([line[1:] for line in body if line.startswith("-")], [line[1:] for line in body if line.startswith("+")])


@pytest.fixture
def agent(lab, cli):
    return start_agent(lab, cli)


def test_a_snapshot_comes_with_hello_and_holds_the_configuration(lab, cli, agent):
    rows = cli.rows("snapshots", agent.name)
    assert [row["n"] for row in rows] == [1]
    text = text_of(cli, agent.name)
    assert hashlib.sha256(text.encode()).hexdigest() == rows[0]["hash"]
    assert len(text.encode()) == rows[0]["bytes"] and rows[0]["stored_bytes"] < rows[0]["bytes"]
    for part in ("192.0.2.2/24", "10.0.0.1/24", "default via 198.51.100.1"):
        assert part in text


def test_a_restart_of_the_agent_is_no_change(lab, cli, agent):
    checked = cli.rows("snapshots", agent.name)[0]["checked_ms"]
    agent.stop()
    agent.start()
    wait_until(lambda: cli.rows("snapshots", agent.name)[0]["checked_ms"] > checked, 30, "the new agent has offered it")
    assert len(cli.rows("snapshots", agent.name)) == 1


def test_an_unchanged_snapshot_costs_one_round_trip(lab, cli, agent):
    """One request without a body; its answer, which may follow its acknowledgement as a datagram of its own."""
    assert take(cli, agent.name)["changed"] is False
    checked = cli.rows("snapshots", agent.name)[0]["checked_ms"]
    capture = Capture(lab.srv, "eth0")
    count_link(lab)
    agent.run("snapshot")
    wait_until(lambda: cli.rows("snapshots", agent.name)[0]["checked_ms"] > checked, 5, "the collector has noted it")
    up, down = read_link(lab)
    assert up == 1 and 1 <= down <= 2
    sizes = wait_until(lambda: len(d := capture.datagrams()) >= up + down and [size for _, from_collector, size in d
                                                                              if not from_collector], 5, "both are captured")
    assert len(sizes) == 1 and sizes[0] < 150  # a hash in hexadecimal, heads of CoAP and DTLS
    assert len(cli.rows("snapshots", agent.name)) == 1


OUT_OF_BAND = {
    "rule": (lambda lab: lab.rtr.ip("rule", "add", "preference", "50", "from", "10.0.0.99", "lookup", "main"),
             lambda lab: lab.rtr.ip("rule", "del", "preference", "50"), "10.0.0.99"),
    "route": (lambda lab: lab.rtr.ip("route", "add", "10.99.0.0/16", "via", "10.0.0.2"),
              lambda lab: lab.rtr.ip("route", "del", "10.99.0.0/16"), "10.99.0.0/16"),
    "address": (lambda lab: lab.rtr.ip("addr", "add", "10.77.0.1/32", "dev", "lo"),
                lambda lab: lab.rtr.ip("addr", "del", "10.77.0.1/32", "dev", "lo"), "10.77.0.1"),
    "nft": (lambda lab: lab.rtr.nft("table inet by_hand {\n chain refused {\n tcp dport 4711 drop\n }\n}\n"),
            lambda lab: lab.rtr.run("nft", "delete", "table", "inet", "by_hand"), "4711"),
}


@pytest.mark.parametrize("what", OUT_OF_BAND)
def test_a_change_by_hand_is_found_and_shown_exactly(lab, cli, agent, what):
    change, undo, sign = OUT_OF_BAND[what]
    first = take(cli, agent.name)
    assert first["changed"] is False
    before = text_of(cli, agent.name).splitlines()
    change(lab)
    taken = take(cli, agent.name)
    assert taken["changed"] is True and taken["n"] == first["n"] + 1
    after = text_of(cli, agent.name).splitlines()
    assert text_of(cli, agent.name, first["n"]).splitlines() == before
    removed, added = changed_lines(cli, agent.name)
    assert removed == [] and any(sign in line for line in added)
    assert sorted(after) == sorted(before + added)
    undo(lab)
    back = take(cli, agent.name)
    assert back["changed"] is True and back["hash"] == first["hash"]
    assert changed_lines(cli, agent.name) == (added, removed)


def test_a_changed_snapshot_goes_up_compressed(lab, cli, agent):
    lab.rtr.nft("table inet blocked {\nchain hosts {\n"
                + "".join(f"ip saddr 198.19.{i // 250}.{i % 250 + 1} tcp dport 25 counter drop\n" for i in range(800))
                + "}\n}\n")
    capture = Capture(lab.srv, "eth0")
    assert take(cli, agent.name)["changed"] is True
    row = cli.rows("snapshots", agent.name)[-1]
    assert row["bytes"] > 40_000
    sent = sum(size for _, from_collector, size in capture.datagrams() if not from_collector)
    assert 1000 < sent < row["bytes"] / 4


def test_a_large_configuration_goes_up_in_blocks(lab, cli):
    big = lab.dir / "big"
    big.write_text("".join(f"rule {i}: {hashlib.sha256(str(i).encode()).hexdigest()}\n" for i in range(8000)))
    agent = start_agent(lab, cli, snapshot_lines=f"file = {big}")
    assert big.read_text() in text_of(cli, agent.name)


def test_a_fail_over_is_no_change_of_configuration(lab, cli, agent):
    first = take(cli, agent.name)
    lab.cut("ii")
    agent.wait_state(1, "down", DOWN_S)
    assert take(cli, agent.name)["changed"] is False
    lab.restore()
    agent.wait_state(1, "up", UP_S)
    assert take(cli, agent.name)["changed"] is False
    assert cli.rows("snapshots", agent.name)[-1]["hash"] == first["hash"]


def test_files_and_commands_are_what_the_configuration_names(lab, cli):
    folder = lab.dir / "etc"
    folder.mkdir()
    (folder / "network").write_text("config interface 'wan'\n\toption proto 'dhcp'\n")
    (folder / "wireless").write_text("config wifi-device 'radio0'\n")
    agent = start_agent(lab, cli, snapshot_lines=f"file = {folder}/*\ncommand = echo from a command")
    text = text_of(cli, agent.name)
    for part in ("config interface 'wan'", "config wifi-device 'radio0'", "from a command", f"{folder}/network"):
        assert part in text
    assert "default via" not in text
    (folder / "network").write_text("config interface 'wan'\n\toption proto 'static'\n")
    assert take(cli, agent.name)["changed"] is True
    assert changed_lines(cli, agent.name) == (["\toption proto 'dhcp'"], ["\toption proto 'static'"])
    (folder / "firewall").write_text("config zone\n")
    (folder / "wireless").unlink()
    assert take(cli, agent.name)["changed"] is True
    text = text_of(cli, agent.name)
    assert "config zone" in text and "wifi-device" not in text


def test_wildcards(lab, cli):
    folder = lab.dir / "etc"
    folder.mkdir()
    for name in ("firewall", "firewall6", "wireless", ".hidden"):
        (folder / name).write_text(f"this is {name}\n")
    agent = start_agent(lab, cli, snapshot_lines=f"file = {folder}/*wa*l\nfile = {folder}/w?r*ss\nfile = {folder}/*n\nfile = {folder}/x")
    text = text_of(cli, agent.name)
    assert "this is firewall\n" in text and "this is wireless" in text
    assert "firewall6" not in text and "hidden" not in text
    assert text.count("No such file") + text.count("no such file") == 2


def test_the_key_stays_at_home(lab, cli):
    """A pattern, and a link under another name, meet the agent's own key."""
    etc = lab.dir / "rtr1"
    etc.mkdir()
    (etc / "copy").symlink_to("agent.key")
    agent = start_agent(lab, cli, snapshot_lines=f"file = {etc}/*")
    text = text_of(cli, agent.name)
    assert "identity = rtr1" in text
    assert agent.key.read_text().strip() not in text
    assert text.count("left out") == 2


def test_a_failing_command_is_told(lab, cli):
    """What the others say is still worth having; that one is missing must be seen."""
    agent = start_agent(lab, cli, snapshot_lines="command = echo this one works\n"
                                                 "command = echo half; echo broken >&2; exit 3\n"
                                                 "command = no-such-program-here")
    text = text_of(cli, agent.name)
    assert "this one works" in text
    assert "exit 3" in text or "status 3" in text or "exit status 3" in text
    assert "127" in text


def test_a_command_ends_with_its_agent(lab, cli):
    """Who would have ended it for its time-out is killed with the agent."""
    hold, pid_file = lab.dir / "hold", lab.dir / "pid"
    agent = start_agent(lab, cli, snapshot_lines=f"command = [ ! -e {hold} ] || {{ echo $$ > {pid_file}; exec sleep 600; }}")
    agent.stop()
    hold.touch()
    agent.start()  # its session begins with a snapshot
    pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), 30, "the command runs"))
    agent.kill()
    try:
        wait_until(lambda: not is_alive(pid), 30, "it ends")
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_what_is_no_text_is_told(lab, cli):
    """Cut at its first NUL byte a file would look stored, and a change behind it would never be seen."""
    binary = lab.dir / "lease.db"
    binary.write_bytes(b"head\0tail\n")
    agent = start_agent(lab, cli, snapshot_lines=f"file = {binary}\ncommand = printf 'a\\000b'")
    text = text_of(cli, agent.name)
    assert text.count("not a text") == 2 and "head" not in text
