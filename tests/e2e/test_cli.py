"""jaga as people and scripts use it: every command, every format, every exit status.

What needs rows that no healthy router sends (hostile text, other causes) comes from a scripted
control socket (ctl_script.py); what the real collector and agent say is asked at the end of this file.
--all has a file of its own, test_cli_all.py.
"""
import json
import re
import signal
import subprocess
import time

import pytest

from tests import check_docs
from tests.e2e.ctl_script import EXAMPLE, JOB, NOW_MS, ScriptedCollector, UPLINK_DOWN
from tests.e2e.jaga_command import (ENVIRONMENT, FAILED, NO_RESULT, NOT_FOUND, OFFLINE, OK, UNREACHABLE, USAGE, Jaga, assert_error,
                                    jaga, scripted)  # noqa: F401
from tests.lab.lab import wait_until
from tests.lab.programs import Agent, build_dir

HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x9b2J \u202eabc\nline2"

COMMANDS = {
    "status": [], "devices": [], "show": ["rtr1"], "events": [], "snapshots": ["rtr1"], "diff": ["rtr1"], "cat": ["rtr1"],
    "doctor": ["rtr1"],
    "push": ["rtr1", "-"], "job": ["17"], "jobs": [], "enroll": ["rtr9", "--force", "--out"], "remove": ["rtr1"],
}


def arguments_of(command, tmp_path):
    return [command, *COMMANDS[command], *([tmp_path / "out"] if command == "enroll" else [])]


# --- every command in every format --------------------------------------------------------------

def test_the_list_above_is_complete():
    assert set(check_docs.help_commands(check_docs.help_of(build_dir() / "jaga"))) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_array(jaga, tmp_path, command):
    done = jaga(*arguments_of(command, tmp_path), "--json", stdin="echo hello\n")
    assert done.returncode == (1 if command == "diff" else 0), done.stderr
    rows = json.loads(done.stdout)
    assert isinstance(rows, list) and all(isinstance(row, dict) for row in rows) and rows


@pytest.mark.parametrize("command", COMMANDS)
def test_kv_is_a_value_a_line(jaga, tmp_path, command):
    done = jaga(*arguments_of(command, tmp_path), "--kv", stdin="echo hello\n")
    assert done.returncode == (1 if command == "diff" else 0), done.stderr
    assert done.stdout
    for line in done.stdout.splitlines():
        assert re.match(r"[a-z]+(\.[a-z0-9_]+)+=", line), line


@pytest.mark.parametrize("command", COMMANDS)
def test_text_for_people(jaga, tmp_path, command):
    done = jaga(*arguments_of(command, tmp_path), stdin="echo hello\n")
    assert done.returncode == (1 if command == "diff" else 0), done.stderr
    assert done.stdout and "\x1b" not in done.stdout
    assert done.stdout.endswith("\n") and not done.stdout.startswith("{")


@pytest.mark.parametrize("command", COMMANDS)
def test_collector_not_reachable(tmp_path, command):
    done = Jaga(tmp_path / "none.sock")(*arguments_of(command, tmp_path), stdin="echo hello\n")
    assert_error(done, UNREACHABLE, "not reachable", "systemctl status jaga-collector")
    assert str(tmp_path / "none.sock") in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(jaga, command):
    done = jaga(command, "--help")
    assert done.returncode == 0 and not done.stderr
    assert f"Usage: jaga {command}" in done.stdout and "Example:\n  " in done.stdout
    assert jaga("help", command).stdout == done.stdout


def test_table_of_devices(jaga):
    lines = jaga("devices").stdout.splitlines()
    assert lines[0].split() == ["DEVICE", "STATE", "SEEN", "UPLINKS", "SNAPSHOTS", "WAITING"]
    assert re.match(r"rtr1    online      \d+s ago +isp1 DOWN, isp2 up          2        0$", lines[1])
    assert re.match(r"café-2  offline     3h ago +-                           1        1$", lines[2])
    assert lines[3].startswith("rtr3    never seen  -")


def test_sentence_of_an_event(jaga):
    assert ("isp1 DOWN: probes lost 5/5 (203.0.113.1 5/5, 203.0.113.2 5/5), detected in 612 ms, switched in 0.4 ms, "
            "37 flows moved to isp2\n") in jaga("events").stdout


def test_requests_say_what_was_typed(scripted, jaga, tmp_path):
    script = tmp_path / "fix.sh"
    script.write_text("#!/bin/sh\necho ü\n")
    for line in ("--device rtr1", "rtr1", "rtr1 -d rtr1"):
        assert jaga("events", *line.split(), "-n", "7").returncode == 0
    assert jaga("push", "rtr1", script, "--expires", "2h").returncode == 0
    assert jaga("push", "rtr1", "-", "--no-confirm", stdin="true\n").returncode == 0
    export = tmp_path / "fix.rsc"
    export.write_text("\ufeff/ip/dns/set servers=9.9.9.9\n")  # as Notepad saves it: the mark is no part of the script
    assert jaga("push", "rtr1", export, "--rollback", script, "-c", "600").returncode == 0
    assert jaga("cat", "rtr1", "3").returncode == 0
    assert jaga("jobs", "rtr1").returncode == 0
    wanted = [*3 * [{"op": "events", "device": "rtr1", "limit": 7}],
              {"op": "push", "device": "rtr1", "name": "fix.sh", "script": "#!/bin/sh\necho ü\n", "interpreter": "sh",
               "not_after_s": 7200, "confirm_s": 90},
              {"op": "push", "device": "rtr1", "name": "stdin", "script": "true\n", "confirm_s": 0},
              {"op": "push", "device": "rtr1", "name": "fix.rsc", "script": "/ip/dns/set servers=9.9.9.9\n", "interpreter": "routeros",
               "rollback": script.read_text(), "confirm_s": 600},
              {"op": "cat", "device": "rtr1", "n": 3}, {"op": "jobs", "device": "rtr1"}]
    assert [request for request in scripted.requests if request["op"] != "show"] == wanted


def test_nothing_to_show(scripted, jaga):
    for op in ("devices", "events", "jobs", "snapshots"):
        scripted.rows[op] = []
    scripted.rows["status"] = [{"counters": {}}]
    assert "jaga enroll" in jaga("devices").stdout
    assert jaga("events").stdout == "no events\n"
    assert "jaga push" in jaga("jobs").stdout
    assert "--take" in jaga("snapshots", "rtr1").stdout
    assert jaga("status").stdout == "nothing is wrong\n"
    assert jaga("status", "--check").returncode == 0
    assert json.loads(jaga("devices", "--json").stdout) == []
    assert jaga("devices", "--kv").stdout == ""


def test_status_tells_what_to_do_and_check_fails(jaga):
    out = jaga("status").stdout
    assert re.search(r"^rtr1: uplink isp1 is down since \S+ \(12 min\)\n  next: jaga events --device rtr1", out, re.M)
    assert "counters: uptime 1 h 6 min, batches 1203, events 44, store 45 kB\n" in out
    assert jaga("status").returncode == OK
    assert jaga("status", "--check").returncode == FAILED


ROUTER = {"at_ms": NOW_MS, "version": "7.20.4", "booted_ms": NOW_MS - 1_800_000, "cpu_percent": 3, "memory_free_bytes": 34_000_000,
          "memory_bytes": 67_000_000, "disk_free_bytes": 8_400_000, "disk_bytes": 16_000_000, "ppp_users": 39, "hotspot_users": 0,
          "unwatched": 0, "things": [{"watch": "interface", "name": f"ether{n}", "state": "up", "since_ms": NOW_MS} for n in (10, 2, 1)]
          + [{"watch": "bgp", "name": "fibre", "state": "down", "since_ms": NOW_MS}]}


def test_show_of_a_routeros_router(scripted, jaga):
    """What is the router's, and what is of the machine that the agent runs on."""
    scripted.rows["show"] = [dict(EXAMPLE["show"][0], driver="routeros", router=ROUTER, uplinks=[])]
    out = jaga("show", "rtr1").stdout
    assert re.search(r"^runs on +edge: Debian GNU/Linux 12, Linux 6.1.0, load 0.12, memory free 422 MB$", out, re.M)
    assert not re.search("^(connections|load +0|model|system)", out, re.M)
    assert re.search(r"^router +RouterOS 7.20.4, up \d+ min$", out, re.M) and re.search("^users +39 PPP", out, re.M)
    assert re.findall(r"^(?:bgp|interface) +(\S+)", out, re.M) == ["fibre", "ether1", "ether2", "ether10"]
    assert json.loads(jaga("show", "rtr1", "--json").stdout) == scripted.rows["show"]  # as it came
    scripted.rows["status"] = [{"router": dict(ROUTER, stale=True, at_ms=NOW_MS - 600_000)}]
    out = jaga("status", "rtr1").stdout  # of a router that is away: ages end where nothing more is known
    assert re.search("^watched +10m ago: all of this is as it was then$", out, re.M) and ", up 20 min\n" in out


def test_a_job_that_failed_shows_its_line(scripted, jaga):
    script = "# one\n/ip/dns/set servers=9.9.9.9\r\n/ip/address/add address=x\n"
    scripted.rows["job"] = [dict(JOB, state="rolled-back", exit_status=None, script=script, reason="line 2: no such item", output="")]
    assert re.search("^the line +/ip/dns/set servers=9.9.9.9$", jaga("job", "17").stdout, re.M)
    for reason in ("line 0: x", "line 99999999999999999999: x", "line : x", "line 4: x", "exit status 2"):
        scripted.rows["job"][0]["reason"] = reason
        assert "the line" not in jaga("job", "17").stdout, reason
    scripted.next_part()
    assert_error(jaga("job", "17", "--wait"), NO_RESULT, "rolled-back: exit status 2", "jaga job 17")


def test_confirming_is_neither_offline_nor_wrong(scripted, jaga):
    away = dict(EXAMPLE["devices"][1], confirming="17")
    scripted.rows["devices"] = [away]
    scripted.rows["show"] = [away]
    scripted.rows["status"] = [{"notice": "confirming", "device": "café-2", "text": "confirming job 17, which is undone when the "
                                "router is not back within 62 s", "hint": "wait: jaga job 17 --wait"}, {"counters": {}}]
    assert re.search(r"^café-2  confirming job 17  3h ago", jaga("devices").stdout, re.M)
    assert "confirming job 17, last seen 3h ago" in jaga("show", "café-2").stdout
    done = jaga("status", "--check")
    assert done.returncode == OK and "\n  next: wait: jaga job 17 --wait\n" in done.stdout and "nothing is wrong" not in done.stdout
    assert "confirming the script before" in jaga("push", "café-2", "-", stdin="true\n").stderr


# --- wrong use ------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, what, following", [
    ("", "no command", "jaga --help"),
    ("devcies", "unknown command devcies", "did you mean `jaga devices`?"),
    ("devices --jsno", "unknown option --jsno", "did you mean --json?"),
    ("devices extra", "extra", "`jaga devices`"),
    ("show", "too few arguments", "jaga show DEVICE"),
    ("events --limit many", "many", "--limit"),
    ("events --limit 0", "0", "--limit"),
    ("events rtr1 --device rtr2", "contradict", "one of them"),
    ("cat rtr1 zero", "zero", "jaga snapshots"),
    ("diff rtr1 0", "0", "jaga snapshots"),
    ("job last", "last", "jaga jobs"),
    ("push rtr1 - --expires soon", "soon", "2h"),
    ("enroll rtr7", "--out", "jaga enroll rtr7 --out rtr7/"),
    ("enroll bad/name --out /tmp/x", "bad/name", "letters"),
    ("enroll rtr1 --out /tmp/x --collector example", "example", "192.0.2.1"),
    ("devices --json --kv", "--json and --kv", "--help"),
    ("events --kind=", "the value is empty of --kind", "--help"),
    ("--socket= devices", "the value is empty of --socket", "--help"),
    ("push rtr1 - --confirm nonsense", "nonsense", "30 to 600"),
])
def test_wrong_use(scripted, jaga, line, what, following):
    assert_error(jaga(*line.split()), USAGE, what, following)
    assert scripted.requests == []


def test_what_cannot_be_a_name(scripted, jaga):
    error = {"error": "device: wanted is a name", "code": "bad-request", "hint": "see the operations in jaga-collector(8)"}
    scripted.errors.update({op: error for op in ("show", "snapshots", "cat", "doctor", "push", "jobs", "remove", "status", "events")})
    for line in ("show a/b", "snapshots a/b", "cat a/b", "diff a/b", "doctor a/b", "push a/b -", "jobs a/b", "remove a/b",
                 "status a/b", "events -d a/b"):
        assert_error(jaga(*line.split(), stdin="echo\n"), USAGE, "\"a/b\" is no name of a device", "`jaga devices`")


def test_unknown_device_names_the_nearest(scripted, jaga):
    error = {"error": "no such device", "code": "not-found"}
    scripted.errors.update({op: error for op in ("show", "snapshots", "cat", "push", "jobs", "remove", "snapshot-take", "events")})
    for line in ("show rtr", "snapshots rt1", "cat rtr1x", "diff rt1", "push rrt1 -", "jobs rtr", "remove rtr11",
                 "snapshots rt1 --take", "events --device rt1"):
        done = jaga(*line.split(), stdin="echo\n")
        assert_error(done, NOT_FOUND, "no device", "did you mean rtr1?")
    assert_error(jaga("show", "frobnicator"), NOT_FOUND, "no device \"frobnicator\"", "`jaga devices`")
    scripted.rows["devices"] = []
    assert_error(jaga("show", "rtr1"), NOT_FOUND, "no device \"rtr1\"", "jaga enroll rtr1")


def test_errors_of_the_collector_keep_their_hint(scripted, jaga):
    scripted.errors["snapshot-take"] = {"error": "rtr1 is offline", "code": "busy", "hint": "wait until it is back"}
    assert_error(jaga("snapshots", "rtr1", "--take"), OFFLINE, "rtr1 is offline", "wait until it is back")
    scripted.errors["cat"] = {"error": "no snapshot 9", "code": "not-found", "hint": "jaga snapshots rtr1"}
    assert_error(jaga("cat", "rtr1", "9"), NOT_FOUND, "no snapshot 9", "jaga snapshots rtr1")
    scripted.errors["job"] = {"error": "no job 99", "code": "not-found", "hint": "jaga jobs lists all"}
    assert_error(jaga("job", "99"), NOT_FOUND, "no job 99", "jaga jobs")


def test_a_hostile_error_is_made_safe(scripted, jaga):
    scripted.errors["devices"] = {"error": HOSTILE, "code": "failed", "hint": HOSTILE}
    done = jaga("devices")
    assert done.returncode == FAILED
    assert "\x1b" not in done.stderr and "\u202e" not in done.stderr and "\\x1b[31m" in done.stderr


def test_output_that_cannot_be_written(jaga):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(jaga.argv("devices"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == FAILED and "cannot be written" in done.stderr


def test_not_a_collector(scripted, jaga):
    scripted.raw = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert_error(jaga("devices"), FAILED, "makes no sense", "--socket")
    scripted.raw = b'{"name":"half'
    assert_error(jaga("devices"), UNREACHABLE, "middle of an answer", "jaga-collector")


# --- follow, push, job ------------------------------------------------------------------------------

def test_follow_prints_each_row_at_once(scripted, jaga):
    scripted.rows["events"] = [[UPLINK_DOWN], [dict(UPLINK_DOWN, id=50, uplink="isp9")]]
    with subprocess.Popen(jaga.argv("events", "--follow", "--json"), stdout=subprocess.PIPE, text=True) as process:
        for uplink in ("isp1", "isp9"):
            scripted.next_part()
            assert json.loads(process.stdout.readline())["uplink"] == uplink
        process.terminate()
    assert scripted.requests[0] == {"op": "events", "limit": 10, "follow": True}


def test_follow_tells_when_the_collector_goes(tmp_path):
    with ScriptedCollector(tmp_path / "ctl.sock", {"events": [[UPLINK_DOWN], []]}) as scripted:
        process = subprocess.Popen(Jaga(scripted.path).argv("events", "-f"), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        scripted.next_part()
        assert "isp1 DOWN" in process.stdout.readline()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == UNREACHABLE and "jaga-collector" in errors


def test_push_without_wait_tells_the_number(jaga):
    done = jaga("push", "rtr1", "-", stdin="echo\n")
    assert done.stdout == "job 17 queued for rtr1: `jaga job 17 --wait` shows what comes of it\n"
    assert jaga("push", "rtr1", "-", "--kv", stdin="echo\n").stdout.splitlines()[0] == "job.job=17"


@pytest.mark.parametrize("final, status, told", [
    ({"state": "confirmed", "exit_status": 0}, 0, ""),
    ({"state": "confirmed", "exit_status": 7}, 7, ""),
    ({"state": "failed", "exit_status": 3}, 3, ""),
    ({"state": "failed", "exit_status": None, "reason": "scripts are off", "output": ""}, NO_RESULT, "scripts are off"),
    ({"state": "expired", "exit_status": None, "output": ""}, NO_RESULT, "expired"),
    ({"state": "interrupted", "exit_status": None}, NO_RESULT, "interrupted"),
    ({"state": "rolled-back", "exit_status": 0}, NO_RESULT, "rolled-back"),
    ({"state": "confirmed", "exit_status": 0, "output_truncated": True}, 0, "was longer"),
])
def test_push_wait_exits_as_the_script_did(scripted, jaga, final, status, told):
    scripted.rows["job"] = [[dict(JOB, state="queued", exit_status=None, output=None), dict(JOB, state="started", output=None)],
                            [dict(JOB, **final)]]
    scripted.next_part()
    scripted.next_part()
    done = jaga("push", "rtr1", "-", "--wait", stdin="echo hello world\n")
    assert done.returncode == status
    assert done.stdout == dict(JOB, **final)["output"]
    assert told in done.stderr and (told or not done.stderr)


def test_push_wait_tells_that_the_router_is_away(scripted, jaga):
    scripted.rows["show"] = [EXAMPLE["devices"][1]]
    scripted.rows["job"] = [[JOB]]
    scripted.next_part()
    assert "is offline (seen: 3h ago)" in jaga("push", "café-2", "-", "-w", stdin="echo\n").stderr


def test_interrupting_the_wait_is_no_error_of_the_job(scripted, jaga):
    scripted.rows["job"] = [[dict(JOB, state="started")], [JOB]]
    process = subprocess.Popen(jaga.argv("job", "17", "--wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    scripted.next_part()
    wait_until(lambda: any(request["op"] == "job" for request in scripted.requests), 10, "it waits")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert [request["op"] for request in scripted.requests] == ["job"]


@pytest.mark.parametrize("content, what", [
    (b"", "is empty"), (b"\x00ELF", "not a text"), (b"echo \xff\n", "not a text"), (b"x" * (256 * 1024 + 1), "longer than"),
])
def test_what_is_no_script(scripted, jaga, tmp_path, content, what):
    script = tmp_path / "script"
    script.write_bytes(content)
    assert_error(jaga("push", "rtr1", script), FAILED, what, "")
    assert scripted.requests == []


def test_what_is_no_place_to_write(scripted, jaga, tmp_path):
    """Told before the collector makes a key that nobody could write down."""
    (tmp_path / "file").write_text("")
    assert_error(jaga("enroll", "rtr1", "--out", tmp_path / "file"), FAILED, "is no directory", "nothing was enrolled")
    assert scripted.requests == []
    assert_error(jaga("push", "rtr1", tmp_path), FAILED, "Is a directory", "--all")


def test_script_that_is_not_there(jaga, tmp_path):
    assert_error(jaga("push", "rtr1", tmp_path / "none.sh"), FAILED, "No such file", "standard input")


def test_job_output_alone(jaga):
    assert jaga("job", "17", "--output").stdout == "hello world\n"


# --- diff and cat ------------------------------------------------------------------------------------

def test_diff_statuses(scripted, jaga):
    done = jaga("diff", "rtr1")
    assert done.returncode == 1
    assert re.match(r"--- rtr1/1\t\S+ \S+\n\+\+\+ rtr1/2\t.*\n@@ -1,4 \+1,5 @@\n config", done.stdout)
    assert jaga("diff", "rtr1", "2", "2").returncode == 0
    assert jaga("diff", "rtr1", "2").returncode == 0  # with the newest, which is 2
    assert jaga("diff", "rtr1", "1", "2", "--json").returncode == 1
    scripted.errors["cat"] = {"error": "broken", "code": "failed"}
    assert jaga("diff", "rtr1").returncode == 2
    scripted.rows["snapshots"] = scripted.rows["snapshots"][:1]
    assert_error(jaga("diff", "rtr1"), NOT_FOUND, "one snapshot only", "--take")


def test_diff_can_be_applied(jaga, tmp_path):
    old = tmp_path / "snapshot"
    old.write_text(jaga("cat", "rtr1", "1").stdout)
    subprocess.run(["patch", str(old)], input=jaga("diff", "rtr1").stdout, text=True, check=True, capture_output=True)
    assert old.read_text() == jaga("cat", "rtr1", "2").stdout


def test_cat_is_byte_for_byte(scripted, jaga):
    text = "a\x1b[1m\r\n\ttab\nü\x07no end"
    scripted.rows["cat"] = [{"n": 1, "hash": "00", "taken_ms": 0, "text": text}]
    done = subprocess.run(jaga.argv("cat", "rtr1"), capture_output=True, timeout=30, check=True)
    assert done.stdout == text.encode()


# --- terminals ----------------------------------------------------------------------------------------

SEQUENCES = re.compile(r"\x1b\[[0-9;]*m")


def test_hostile_text_does_not_reach_the_terminal(scripted, jaga):
    device = dict(EXAMPLE["devices"][0], name=HOSTILE, uplinks=[{"name": HOSTILE, "state": HOSTILE}])
    scripted.rows["devices"] = [device]
    scripted.rows["show"] = [dict(EXAMPLE["show"][0], hostname=HOSTILE, system=HOSTILE, uplinks=device["uplinks"])]
    scripted.rows["events"] = [{"id": 1, "device": HOSTILE, "time_ms": 0, "kind": "notice", "text": HOSTILE},
                               dict(UPLINK_DOWN, uplink=HOSTILE, probes=[{"target": HOSTILE, "lost": 1, "sent": 1}])]
    scripted.rows["job"] = [dict(JOB, name=HOSTILE, output=HOSTILE, reason=HOSTILE)]
    scripted.rows["jobs"] = scripted.rows["job"]
    scripted.rows["cat"] = lambda request: [{"n": 1, "hash": HOSTILE, "taken_ms": 0, "text": HOSTILE * request.get("n", 1)}]
    scripted.rows["status"] = [{"problem": "x", "device": HOSTILE, "text": HOSTILE, "hint": HOSTILE}]
    for line in ("devices", "show x", "events", "job 17", "jobs", "cat x", "diff x 1 2", "status", "job 17 -o"):
        seen = SEQUENCES.sub("", jaga.on_terminal(*line.split()))  # our own colours
        assert "\\x1b" in seen, line
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", seen), (line, seen)


def test_colours_only_where_wanted(jaga):
    assert "\x1b[" in jaga.on_terminal("devices")
    assert "\x1b[" in jaga.on_terminal("diff", "rtr1")
    for env, options in (({"NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []), ({}, ["--no-color"])):
        for command in (["devices"], ["diff", "rtr1"], ["events"]):
            assert "\x1b" not in jaga.on_terminal(*command, *options, env=env)


# --- the documents --------------------------------------------------------------------------------------

def test_help_man_page_and_completion_agree():
    assert [problem for problems in check_docs.check_jaga(build_dir()) for problem in problems] == []
    assert [problem for problems in check_docs.check_mentions(build_dir()) for problem in problems] == []


@pytest.mark.parametrize("name", ["jaga-agent", "jaga-collector"])
def test_help_and_man_page_of_the_daemons_agree(name):
    assert [problem for problems in check_docs.check_daemon(build_dir(), name) for problem in problems] == []


def test_the_comparison_can_fail(monkeypatch):
    man = check_docs.man_source("jaga.1")
    monkeypatch.setattr(check_docs, "man_source", lambda page: man.replace("Fl Fl follow", "Fl Fl fallow"))
    assert [problem for problems in check_docs.check_jaga(build_dir()) for problem in problems]


def complete(socket, *words):
    script = ('source docs/completion/jaga.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _jaga; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, "bash", str(build_dir() / "jaga"), *words], capture_output=True, text=True,
                          timeout=30, cwd=check_docs.ROOT, env={**ENVIRONMENT, "JAGA_SOCKET": str(socket)}, check=True)
    return done.stdout.split()


def test_completion_asks_the_collector(scripted, tmp_path):
    assert complete(scripted.path, "dev") == ["devices"]
    assert complete(scripted.path, "show", "") == ["rtr1", "rtr3"]  # café-2 is no plain name
    assert complete(scripted.path, "job", "") == ["17", "16"]
    assert complete(scripted.path, "diff", "rtr1", "1", "") == ["1", "2"]
    assert complete(scripted.path, "events", "--device", "rtr") == ["rtr1", "rtr3"]
    assert complete(scripted.path, "events", "--f") == ["--follow"]
    scripted.rows["jobs"] = [dict(JOB, job=f"$(touch {tmp_path}/owned)")]
    assert complete(scripted.path, "job", "") == []
    assert not (tmp_path / "owned").exists()
    assert complete(tmp_path / "none.sock", "show", "") == []


# --- the real collector ------------------------------------------------------------------------------------

def test_enrolment_and_removal(cli, tmp_path):
    jaga = Jaga(cli.collector.socket)
    out = tmp_path / "new"
    assert jaga("devices").stdout.startswith("no devices yet")
    done = jaga("enroll", "rtr1", "--out", out)
    assert done.returncode == 0, done.stderr
    key = (out / "agent.key").read_text()
    assert re.fullmatch(r"[0-9a-f]{64}\n", key) and (out / "agent.key").stat().st_mode & 0o777 == 0o600
    conf = (out / "agent.conf").read_text()
    assert "\nidentity = rtr1\n" in conf and re.search(r"^collector = 198\.18\.0\.2:5684$", conf, re.M)
    assert key.strip() not in done.stdout + jaga("show", "rtr1", "--json").stdout

    assert_error(jaga("enroll", "rtr1", "--out", out), FAILED, "exists already", "--force")
    assert_error(jaga("enroll", "rtr1", "--out", tmp_path / "other"), FAILED, "", "--force")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "other" / "agent.key").exists()
    assert (out / "agent.key").read_text() == key
    assert jaga("enroll", "rtr1", "--out", out, "--force", "--collector", "192.0.2.77:7000").returncode == 0
    assert (out / "agent.key").read_text() != key
    assert "collector = 192.0.2.77:7000\n" in (out / "agent.conf").read_text()

    assert jaga("devices", "--kv").stdout.splitlines()[0] == "devices.0.name=rtr1"
    assert "never seen" in jaga("devices").stdout
    assert_error(jaga("show", "rtr2"), NOT_FOUND, "no device \"rtr2\"", "did you mean rtr1?")
    assert_error(jaga("cat", "rtr1"), NOT_FOUND, "", "")
    assert_error(jaga("diff", "rtr1"), NOT_FOUND, "no snapshot yet", "--take")
    assert_error(jaga("snapshots", "rtr1", "--take"), OFFLINE, "", "")
    assert jaga("remove", "rtr1").returncode == 0
    assert jaga("devices").stdout.startswith("no devices yet")
    assert_error(jaga("push", "rtr1", "-", stdin="echo\n"), NOT_FOUND, "rtr1", "jaga enroll")
    assert_error(jaga("remove", "rtr2"), NOT_FOUND, "rtr2", "jaga enroll")


def test_a_job_that_expires(cli, tmp_path):
    jaga = Jaga(cli.collector.socket)
    assert jaga("enroll", "rtr1", "--out", tmp_path / "new").returncode == 0
    done = jaga("push", "rtr1", "-", "--expires", "1s", "--wait", stdin="echo\n")
    assert done.returncode == NO_RESULT and "expired" in done.stderr
    assert "is offline (seen: never)" in done.stderr
    assert [row["state"] for row in cli.rows("jobs")] == ["expired"]


def test_a_day_with_a_router(lab, cli, tmp_path):
    """Every command against a real agent, in the order of a technician's day."""
    jaga = Jaga(cli.collector.socket)
    tracked = lab.dir / "tracked.conf"
    tracked.write_text("one\n")
    agent = Agent(lab, collector=True, agent_lines="scripts = unsigned", snapshot_lines=f"file = {tracked}")
    agent.enroll(cli)
    agent.start()
    cli.wait_online(agent.name)
    cli.wait_event(agent.name, kind="started")
    assert re.search(rf"^{agent.name} +online ", jaga("devices").stdout, re.M)
    wait_until(lambda: "isp2" in jaga("show", agent.name).stdout, 10, "its uplinks are known")

    assert jaga("snapshots", agent.name, "--take").returncode == 0
    tracked.write_text("two\n")
    assert "has changed" in jaga("snapshots", agent.name, "--take").stdout
    assert "nothing has changed" in jaga("snapshots", agent.name, "--take").stdout
    done = jaga("diff", agent.name)
    assert done.returncode == 1 and "\n-one\n+two\n" in done.stdout
    assert "two\n" in jaga("cat", agent.name).stdout

    done = jaga("push", agent.name, "-", "--wait", stdin="printf '\\033[31mhi\\n'; exit 3\n")
    assert (done.returncode, done.stdout) == (3, "\x1b[31mhi\n")
    job = cli.rows("jobs", agent.name)[0]["job"]
    assert jaga("job", job, "--wait").returncode == 3
    assert "\\x1b[31mhi" in jaga.on_terminal("job", job)

    with subprocess.Popen(jaga.argv("events", "--follow"), stdout=subprocess.PIPE, text=True) as follow:
        lab.cut_forwarding(1)
        deadline = time.monotonic() + 20
        while "isp1 DOWN: probes lost" not in (line := follow.stdout.readline()):
            assert time.monotonic() < deadline and line, "the event did not come"
        assert re.search(r"detected in \d+ ms, switched in [\d.]+ ms", line)
        follow.terminate()
    wait_until(lambda: "isp1" in jaga("status").stdout, 10, "status names the uplink")
    assert jaga("status", "--check").returncode == FAILED
    assert jaga("remove", agent.name).returncode == OK
    assert cli.device(agent.name) is None
