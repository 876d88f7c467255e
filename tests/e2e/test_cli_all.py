"""jaga with --all: every router at once, a row for each, who is missing, and a line on a terminal that tells how far it is."""
import json
import re

import pytest

from tests.e2e.ctl_script import ScriptedCollector
from tests.e2e.jaga_command import (FAILED, NOT_FOUND, OFFLINE, OK, UNREACHABLE, USAGE, Jaga, assert_error, jaga,
                                    scripted)  # noqa: F401

def test_snapshots_of_all(scripted, jaga):
    scripted.rows["snapshot-take"] = [{"device": "rtr1", "n": 3, "hash": "ef" * 32, "changed": True},
                                      {"device": "rtr3", "n": 1, "hash": "ab" * 32, "changed": False}]
    done = jaga("snapshots", "--all", "--take")
    assert done.returncode == 0 and scripted.requests == [{"op": "snapshot-take"}]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[1:] == [["rtr1", "3", "changed"], ["rtr3", "1", "unchanged"]]
    scripted.rows["snapshot-take"].append({"device": "café-2", "missing": "offline"})
    done = jaga("snapshots", "--all", "--take")
    assert done.returncode == OFFLINE and "1 of 3 devices could not" in done.stderr
    assert done.stdout.splitlines()[1].split() == ["café-2", "-", "offline"]  # by name
    for line in ("snapshots", "snapshots --all", "snapshots rtr1 --all --take"):
        assert_error(jaga(*line.split()), USAGE, "", "jaga snapshots --all --take")


VERDICTS = [
    {"device": "rtr3", "level": "warning", "fatal": 0, "warnings": 2, "worst": {"level": "warning", "id": "mss", "what": "no clamp"}},
    {"device": "café-2", "missing": "offline"},
    {"device": "rtr1", "level": "ok", "fatal": 0, "warnings": 0, "findings": []},
]


def test_doctor_of_all(scripted, jaga):
    scripted.rows["doctor"] = VERDICTS[:1] + VERDICTS[2:]
    done = jaga("doctor", "--all")
    assert done.returncode == OK and scripted.requests == [{"op": "doctor"}] and not done.stderr
    assert [re.split(r"  +", line) for line in done.stdout.splitlines()] == [
        ["DEVICE", "VERDICT", "FATAL", "WARNINGS", "WORST"], ["rtr1", "ok", "0", "0", "-"],
        ["rtr3", "warning", "0", "2", "mss: no clamp"]]
    scripted.rows["doctor"] = VERDICTS
    done = jaga("doctor", "--all")
    assert_error(done, OFFLINE, "1 of 3 devices could not, or did not answer", "jaga status")
    assert done.stdout.splitlines()[1].split() == ["café-2", "offline", "-", "-", "-"]
    scripted.rows["doctor"] = [*VERDICTS, {"device": "rtr4", "level": "fatal", "fatal": 1, "warnings": 0,
                                           "worst": {"level": "fatal", "id": "fasttrack", "what": "takes connections past mangle"}},
                               {"device": "rtr5", "missing": "the router refused the password"}]
    done = jaga("doctor", "--all")
    assert_error(done, 6, "2 of 5 devices could not, or did not answer", "--check")  # what is fatal decides
    assert "On 1 of 5 something is fatal" in done.stdout
    assert re.search(r"^rtr5 +unknown +- +- +the router refused the password$", done.stdout, re.M)
    done = jaga("doctor", "--all", "--json")
    assert done.returncode == 6
    assert [row["device"] for row in json.loads(done.stdout)] == ["café-2", "rtr1", "rtr3", "rtr4", "rtr5"]
    # Not all of it was looked at, and what was is bad enough.
    scripted.rows["doctor"] = [VERDICTS[2], {
        "device": "rtr6", "missing": "the router refused the password", "level": "fatal", "fatal": 2, "warnings": 0,
        "worst": {"level": "fatal", "id": "fasttrack", "what": "takes connections past mangle"}}]
    done = jaga("doctor", "--all")
    assert_error(done, 6, "1 of 2 devices could not, or did not answer", "--check")
    assert "On 1 of 2 something is fatal" in done.stdout
    assert re.search(r"^rtr6 +fatal +2 +- +the router refused the password; fasttrack: takes connections past mangle$",
                     done.stdout, re.M)
    assert jaga("doctor", "--all", "--json").returncode == 6
    scripted.rows["doctor"] = []
    assert "jaga enroll" in jaga("doctor", "--all").stdout
    for line in ("doctor", "doctor --all rtr1"):
        assert_error(jaga(*line.split()), USAGE, "--all", "jaga doctor --all")


def test_doctor_of_one_that_was_not_looked_at_in_full(scripted, jaga):
    """What it found until then is told, and decides when it is fatal."""
    fatal, warning = ({"level": level, "id": trap, "what": "is wrong", "fix": "/mend it"} for level, trap in (("fatal", "veth"), ("warning", "mss")))
    scripted.partial["doctor"] = {"error": "rtr1: the router refused the password", "code": "failed", "hint": "`jaga events` tells more"}
    for rows, status, told, verdict in (([fatal, warning], 6, 4, "1 fatal, 1 warning: "), ([warning], FAILED, 2, ""), ([], FAILED, 0, "")):
        scripted.rows["doctor"] = rows
        done = jaga("doctor", "rtr1")
        assert_error(done, status, "rtr1: the router refused the password", "jaga events")
        lines = done.stdout.splitlines()
        assert len(lines) == told + (2 if verdict else 0) and verdict in done.stdout and "stands in the way" not in done.stdout
        done = jaga("doctor", "rtr1", "--json")
        assert_error(done, status, "rtr1: the router refused the password", "jaga events")
        assert json.loads(done.stdout or "[]") == rows


def test_progress_of_all_on_a_terminal(scripted, answering, jaga, tmp_path):
    script = tmp_path / "fix.rsc"
    script.write_text("/ip dns set servers=9.9.9.9\n")
    scripted.rows["doctor"] = VERDICTS
    for line, told in (("doctor --all", "3 of 3 routers have answered"), ("snapshots --all --take", "1 of 3 routers have answered"),
                       (f"push --all {script}", "3 of 3 routers have been given their script"),
                       (f"push --all {script} --wait", "3 of 3 routers have done it")):
        seen = jaga.on_terminal(*line.split(), stream="stderr")
        assert told in seen, line
        assert seen.rindex("\r\x1b[K") > seen.rindex(told)  # it is gone before anything else is said
        if "push" in line:
            answering.next_part()
    assert "Ctrl-C" in seen and "job 17 confirmed" not in seen
    assert "\r" not in jaga.on_terminal("doctor", "--all", stream="stderr", env={"TERM": "dumb"}).replace("\r\n", "\n")


def test_push_to_all_when_the_collector_goes(tmp_path):
    """Who has a job by then and who has none is known."""
    script = tmp_path / "fix.rsc"
    script.write_text("/ip dns set servers=9.9.9.9\n")
    with ScriptedCollector(tmp_path / "ctl.sock") as scripted:
        def answer(request):
            if request["device"] != "rtr1":
                raise ConnectionResetError  # its end of the connection closes without a word
            return [{"job": "17", "device": "rtr1", "state": "queued"}]

        scripted.rows["push"] = answer
        done = Jaga(scripted.path)("push", "--all", script)
    assert_error(done, UNREACHABLE, "middle of an answer", "`jaga jobs`")
    assert [line.split()[:3] for line in done.stdout.splitlines()[1:]] == [["rtr1", "17", "queued"], ["café-2", "-", "not"],
                                                                        ["rtr3", "-", "not"]]


@pytest.fixture
def answering(scripted):
    """Jobs are numbered by the device; that of rtr3 fails."""
    numbers = {"rtr1": "17", "café-2": "18", "rtr3": "19"}
    scripted.rows["push"] = lambda request: [{"job": numbers[request["device"]], "device": request["device"], "state": "queued"}]
    scripted.rows["job"] = lambda request: [
        {"job": "19", "device": "rtr3", "state": "failed", "exit_status": 1, "reason": "line 3: no such item", "script": "x"}
        if request["job"] == "19" else {"job": request["job"], "state": "confirmed", "exit_status": 0, "script": "x"}]
    for _ in range(6):
        scripted.next_part()
    return scripted


@pytest.fixture
def scripts(tmp_path):
    """A directory of scripts, beside the control socket."""
    path = tmp_path / "scripts"
    path.mkdir()
    return path


def test_push_of_one_file_to_all(answering, jaga, tmp_path):
    script = tmp_path / "fix.rsc"
    script.write_text("/ip dns set servers=9.9.9.9\n")
    done = jaga("push", "--all", script)
    assert done.returncode == 0
    pushed = [request for request in answering.requests if request["op"] == "push"]
    assert [request["device"] for request in pushed] == ["rtr1", "café-2", "rtr3"]
    assert {(request["script"], request["name"]) for request in pushed} == {("/ip dns set servers=9.9.9.9\n", "fix.rsc")}
    done = jaga("push", "--all", script, "--wait")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows[1:3]] == [["rtr1", "17", "confirmed"], ["café-2", "18", "confirmed"]]
    assert rows[3][:3] == ["rtr3", "19", "failed"] and "line 3: no such item" in done.stdout
    assert_error(done, FAILED, "1 of 3 failed", "jaga job")
    rows = json.loads(jaga("push", "--all", script, "--wait", "--json").stdout)
    assert [row["state"] for row in rows] == ["confirmed", "confirmed", "failed"] and "script" not in rows[0]


def test_push_of_a_directory_gives_each_its_own(answering, jaga, scripts):
    for name, text in (("rtr1.rsc", "one"), ("rtr3", "three"), (".hidden", "not this")):
        (scripts / name).write_text(text)
    done = jaga("push", "--all", scripts, "--kv")
    assert done.returncode == 0, done.stderr
    pushed = [request for request in answering.requests if request["op"] == "push"]
    assert [(request["device"], request["script"]) for request in pushed] == [("rtr1", "one"), ("rtr3", "three")]
    answering.errors["push"] = {"error": "no more jobs for it", "code": "failed"}
    done = jaga("push", "--all", scripts)
    assert_error(done, FAILED, "2 of 2 failed", "")
    assert done.stdout.count("no more jobs for it") == 2
    answering.requests.clear()
    (scripts / "rtr4.rsc").write_text("a slip")
    assert_error(jaga("push", "--all", scripts), NOT_FOUND, "rtr4.rsc belongs to no device; nothing was pushed", "jaga devices")
    assert [request["op"] for request in answering.requests] == ["devices"]


def test_push_to_all_wrong_use(jaga, scripts):
    assert_error(jaga("push", "rtr1"), USAGE, "which file", "jaga push --all")
    assert_error(jaga("push", "--all", "rtr1", "-"), USAGE, "--all goes without a device", "jaga push --all")
    assert_error(jaga("push", "--all", scripts), FAILED, "is empty", "")
    assert_error(jaga("push", "--all", scripts / "none.rsc"), FAILED, "No such file", "")
