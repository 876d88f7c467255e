"""`jaga doctor DEVICE`: the traps of a router from afar, as `jaga-agent --check` tells them there."""
import json
import subprocess

import pytest

from tests.e2e.devices import POST, PUT, Devices, LoopbackCollector, pb
from tests.lab.lab import wait_until
from tests.lab.programs import Agent, Cli

EXIT_FATAL, EXIT_NOT_FOUND, EXIT_OFFLINE = 6, 3, 5
CLASH = ("rule", "add", "preference", "50", "fwmark", "0x40", "lookup", "main")


def ask(cli, device, *options):
    done = cli.run("doctor", device, *options, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_same_as_on_the_router(lab, cli, reporting_agent):
    before = lab.rtr.run("nft", "-s", "list", "ruleset").stdout
    there = reporting_agent.run("--check", "--json", check=False)
    status, out, _ = ask(cli, reporting_agent.name, "--json")
    assert status == there.returncode == 0
    assert [{key: row.get(key, "") for key in ("level", "id", "what", "fix")} for row in json.loads(out)] == json.loads(there.stdout)
    assert lab.rtr.run("nft", "-s", "list", "ruleset").stdout == before
    lab.rtr.ip(*CLASH)
    status, out, _ = ask(cli, reporting_agent.name)
    lines = out.splitlines()
    (found,) = [number for number, line in enumerate(lines) if line.startswith("fatal    mark-clash: ")]
    assert status == EXIT_FATAL and lines[found + 1].strip().startswith("to mend it: ")
    assert "1 fatal" in lines[-1]


def test_before_a_take_over(lab, cli):
    agent = Agent(lab, collector=True, agent_lines="take_over = no")
    agent.enroll(cli)
    lab.rtr.ip(*CLASH)
    agent.start()
    cli.wait_online(agent.name)
    status, out, _ = ask(cli, agent.name, "--kv")
    assert status == EXIT_FATAL and "level=fatal" in out and agent.status()["mode"] == "watches"


def test_who_is_not_there(cli, lab):
    agent = Agent(lab, collector=True)
    agent.enroll(cli)
    status, out, err = ask(cli, agent.name)
    assert (status, out) == (EXIT_OFFLINE, "") and f"{agent.name} is offline" in err
    status, out, err = ask(cli, "nobody")
    assert (status, out) == (EXIT_NOT_FOUND, "") and "nobody" in err


# --- a device that a test plays ------------------------------------------------------------------------------

@pytest.fixture
def played(tmp_path):
    collector = LoopbackCollector(tmp_path).start()
    devices = Devices(collector)
    devices.open(collector.enroll("r1"))
    yield collector, devices, Cli(collector)
    devices.end()
    collector.end()


def start_asking(cli):
    return subprocess.Popen(cli.argv("doctor", "r1", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_asked(devices):
    """The number of the question."""
    before = len(devices.pushed)
    devices.wait(lambda: len(devices.pushed) > before, "the device is woken")
    return pb.Wake.FromString(devices.pushed[-1][1].body).run_doctor


def report(run, traps=1, what="looked at", error=""):
    return pb.DoctorReport(run=run, error=error, traps=[
        pb.DoctorTrap(level=1, id=f"trap-{n}", what=what, fix="mend it") for n in range(traps)])


def test_one_question_at_a_time(played):
    _, devices, cli = played
    first = start_asking(cli)
    run = wait_asked(devices)
    status, _, err = ask(cli, "r1")
    assert status == EXIT_OFFLINE and "r1 is asked by somebody else just now" in err
    assert devices.ask("r1", PUT, "doctor", report(run - 1).SerializeToString()).code == 404
    assert devices.ask("r1", PUT, "doctor", report(run).SerializeToString()).code == 204
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert json.loads(out) == [{"level": "warning", "id": "trap-0", "what": "looked at", "fix": "mend it"}]
    assert devices.ask("r1", PUT, "doctor", report(run).SerializeToString()).code == 404  # taken


def test_who_asked_and_left_is_in_nobodys_way(played):
    _, devices, cli = played
    gone = start_asking(cli)
    wait_asked(devices)
    gone.kill()
    gone.communicate()
    second = []
    wait_until(lambda: second.append(start_asking(cli)) or second[-1].poll() is None or second[-1].wait() == 0, 10, "it may be asked")
    run = wait_asked(devices)
    assert devices.ask("r1", PUT, "doctor", report(run, error="half of it").SerializeToString()).code == 204
    _, err = second[-1].communicate(timeout=60)
    assert second[-1].returncode == 1 and "r1: half of it" in err


def test_hostile_reports(played):
    collector, devices, cli = played
    asking = start_asking(cli)
    run = wait_asked(devices)
    assert devices.ask("r1", PUT, "doctor", b"\xff" * 40).code == 400
    assert devices.ask("r1", PUT, "doctor", pb.DoctorReport(run=run, traps=[pb.DoctorTrap(level=9)]).SerializeToString()).code == 400
    assert devices.ask("r1", POST, "doctor", report(run).SerializeToString()).code == 405
    assert devices.ask("r1", PUT, "doctor", report(run, what="\x1b[2J\n\u202eevil").SerializeToString()).code == 204
    out, _ = asking.communicate(timeout=60)
    assert json.loads(out)[0]["what"] == "\x1b[2J\n\u202eevil"  # JSON escapes it
    assert collector.popen.poll() is None
