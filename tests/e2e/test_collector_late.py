"""Who is asked and does not answer in the minute that there is for it: one or of all, silent or gone meanwhile. What is told, and that
it is in nobody's way afterwards. Each test waits that minute out, so they are played side by side."""
import contextlib
import os
import select
import signal
import subprocess

import pytest

from tests.e2e.devices import CtlError, Devices, LoopbackCollector, hand_in, report_events, tell_doctor
from tests.e2e.side_by_side import SideBySide
from tests.lab.lab import Lab, wait_until
from tests.lab.programs import Agent, Cli, Collector, start_echo

EXIT_OFFLINE = 5
ANSWER_S = 60  # LIMIT_CTL_ANSWER_MS
LATE_S = 2 * ANSWER_S


class Played:
    """A collector on loopback, and devices that the test plays."""

    def __init__(self, folder):
        self.collector = LoopbackCollector(folder).start()
        self.devices = Devices(self.collector)
        self.last_seq = 0

    def close(self):
        self.devices.end()
        self.collector.end()

    def ask(self, **request):
        return self.collector.stream(timeout_s=LATE_S, **request)

    def wait_late(self, stream, *online):
        """Until the stream has something to read; the devices stay online meanwhile, for they report."""
        while not select.select([stream.socket], [], [], 5)[0]:
            self.last_seq += 1
            for name in online:
                report_events(self.devices, name, [self.last_seq])


@contextlib.contextmanager
def make_real(folder):
    """A real agent and what a technician sees of it."""
    with Lab() as lab:
        start_echo(lab)
        cli = Cli(Collector(lab).start())
        agent = Agent(lab, collector=True)
        agent.enroll(cli)
        agent.start()
        cli.wait_online(agent.name)
        yield agent, cli


MAKERS = {"played": lambda folder: contextlib.closing(Played(folder)), "real": make_real}
side_by_side = SideBySide(lambda folder, kind: MAKERS[kind](folder))


@side_by_side("played")
def test_one_of_several_is_late(played):
    collector, devices = played.collector, played.devices
    devices.open(collector.enroll("silent", "leaves", "answers"))
    doctor, take = (played.ask(op=op) for op in ("doctor", "snapshot-take"))
    devices.wait(lambda: len(devices.pushed) == 6, "all are woken, for each")
    assert tell_doctor(devices, "answers", (1, "mss"), question=0) == 204
    hand_in(devices, "answers", b"configuration\n")
    for stream in (doctor, take):
        assert stream.next()["device"] == "answers"  # before the others are given up
    devices.write("close leaves")
    for stream in (doctor, take):
        played.wait_late(stream, "silent")
        rows = stream.rows()
        assert sorted((row["device"], row["missing"]) for row in rows) == [("leaves", "offline"), ("silent", "no answer in time")]
        assert all(set(row) == {"device", "missing"} for row in rows)
        stream.close()
    # It may be asked again at once, and the answer to the old question fits no more.
    assert tell_doctor(devices, "silent", (2, "late"), question=0) == 404
    again = collector.stream(op="doctor", device="silent")
    devices.wait(lambda: [name for name, _ in devices.pushed].count("silent") == 3, "it is woken")
    assert tell_doctor(devices, "silent", (1, "mss")) == 204
    assert [row["id"] for row in again.rows()] == ["mss"]
    again.close()


@side_by_side("played")
def test_the_one_that_was_asked_is_late(played):
    collector, devices = played.collector, played.devices
    devices.open(collector.enroll("silent", "leaves"))
    asked = [(name, played.ask(op=op, device=name)) for op in ("doctor", "snapshot-take") for name in ("silent", "leaves")]
    devices.wait(lambda: len(devices.pushed) == 4, "they are woken, for each")
    devices.write("close leaves")
    for name, stream in asked:
        played.wait_late(stream, "silent")
        with pytest.raises(CtlError) as late:
            stream.rows()
        assert late.value.code == "busy" and "`jaga status`" in late.value.hint
        assert late.value.args[0]["error"] == {"silent": f"silent has not answered within {ANSWER_S} s",
                                               "leaves": "leaves was asked, and is offline now"}[name]
        stream.close()


@side_by_side("real")
def test_an_agent_that_hangs(real):
    """Its kernel still takes what comes: nobody is told that there is no agent behind it."""
    agent, cli = real
    wait_until(lambda: cli.rows("snapshots", agent.name), 20, "it has settled")
    os.kill(agent.program.pid, signal.SIGSTOP)
    asked = [(subprocess.Popen(cli.argv(*line.split()), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), told, row)
             for line, told, row in ((f"doctor {agent.name}", "jaga: rtr1 ", ""), ("snapshots --all --take", "1 of 1 devices", "rtr1"))]
    try:
        for process, told, row in asked:
            out, err = process.communicate(timeout=4 * LATE_S)
            assert process.returncode == EXIT_OFFLINE and told in err and "  next: " in err and row in out, (out, err)
    finally:
        os.kill(agent.program.pid, signal.SIGCONT)  # or it cannot be ended
    cli.wait_online(agent.name, timeout_s=90)
    wait_until(lambda: cli.run("doctor", agent.name, check=False, timeout=LATE_S).returncode == 0, LATE_S, "it answers again")
