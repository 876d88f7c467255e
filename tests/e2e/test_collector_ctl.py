"""The collector as a process and its control socket: what clients get, what hostile ones cannot do, how it starts
and stops."""
import grp
import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import time

import pytest

from tests.e2e.devices import (BOOT, GET, POST, PUT, CtlError, CtlStream, Devices, LoopbackCollector, attach_strace,
                               make_batch, pb, read_ack)
from tests.lab.lab import wait_until
from tests.lab.programs import ROOT, build_dir

MAX_CLIENTS = 64
RESPONSIVE_S = 8  # another client's request is answered within this, before the ten seconds in which a silent one is dropped


@pytest.fixture
def collector(tmp_path):
    one = LoopbackCollector(tmp_path)
    yield one.start()
    one.end()


@pytest.fixture
def devices(collector):
    one = Devices(collector)
    yield one
    one.end()


def assert_responsive(collector):
    began = time.monotonic()
    collector.ctl(op="devices")
    assert time.monotonic() - began < RESPONSIVE_S


def connect(collector):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(collector.socket))  # without a time-out: a full queue is waited for
    client.settimeout(60)
    return client


def read_all(client):
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


def report(devices, name, seqs):
    """Sends one batch of events until it is acknowledged: the rate of one device is bounded (4.29)."""
    reply = devices.ask(name, POST, "tm", make_batch(BOOT, seqs), con=False)
    while reply.code == 429:
        devices.pump(0.1)
        reply = devices.ask(name, POST, "tm", make_batch(BOOT, seqs), con=False)
    assert read_ack(reply) == seqs[-1]


# --- what clients get -----------------------------------------------------------------------------------

def test_enrolment(collector):
    row, = collector.ctl(op="enroll", device="r1")
    assert row["device"] == "r1" and len(bytes.fromhex(row["key"])) == 32
    assert row["collector"] == f"127.0.0.1:{collector.port}"
    with pytest.raises(CtlError) as again:
        collector.ctl(op="enroll", device="r1")
    assert again.value.code == "exists" and "--force" in again.value.hint
    other, = collector.ctl(op="enroll", device="r1", replace=True)
    assert other["key"] != row["key"]
    assert [device["name"] for device in collector.ctl(op="devices")] == ["r1"]
    for op in ("show", "snapshots", "cat", "remove", "snapshot-take"):
        with pytest.raises(CtlError) as missing:
            collector.ctl(op=op, device="r2")
        assert missing.value.code == "not-found"
    assert collector.stop() == 0
    collector.start()
    assert [device["name"] for device in collector.ctl(op="devices")] == ["r1"]


def test_two_enrolments_at_once_give_one_key(collector):
    streams = [collector.stream(op="enroll", device="r1") for _ in range(10)]
    keys, refused = [], 0
    for stream in streams:
        try:
            keys += [row["key"] for row in stream.rows()]
        except CtlError as error:
            assert error.code == "exists"
            refused += 1
        stream.close()
    assert len(keys) == 1 and refused == 9


def test_follow_is_told_at_once(collector, devices):
    devices.open(collector.enroll("r1", "r2"))
    follow, only_r2 = (collector.stream(op="events", follow=True, limit=0, **more) for more in ({}, {"device": "r2"}))
    for seq in (1, 2):
        for name in ("r1", "r2"):
            assert read_ack(devices.ask(name, POST, "tm", make_batch(BOOT, [seq]), con=False)) == seq
    rows = [follow.next() for _ in range(4)]
    assert [(row["device"], row["text"]) for row in rows] == [("r1", "event 1"), ("r2", "event 1"), ("r1", "event 2"),
                                                               ("r2", "event 2")]
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert abs(rows[0]["time_ms"] / 1000 - (time.time() - 1)) < 60  # a second before its sending
    assert [only_r2.next()["text"] for _ in range(2)] == ["event 1", "event 2"]
    # The newest, oldest first; and a limit cuts a batch.
    devices.ask("r1", POST, "tm", make_batch(BOOT, range(3, 9)), con=False)
    assert [row["text"] for row in collector.ctl(op="events", device="r1", limit=4)] == [f"event {n}" for n in range(5, 9)]
    for stream in (follow, only_r2):
        stream.close()


def test_the_newest_n_are_n(collector, devices):
    """What an agent sends again, because it was not acknowledged, is no event twice."""
    devices.open(collector.enroll("r1"))
    for last in range(1, 13):
        report(devices, "r1", range(1, last + 1))
    for limit in (1, 5, 12):
        rows = collector.ctl(op="events", limit=limit, device="r1", kinds="notice")
        assert [row["text"] for row in rows] == [f"event {n}" for n in range(13 - limit, 13)]
        assert rows == collector.ctl(op="events", limit=limit)


def test_presence_is_in_the_log(collector, devices):
    devices.open(collector.enroll("r1"))
    assert collector.ctl(op="devices")[0]["online"] is True
    devices.write("close r1")
    wait_until(lambda: not collector.ctl(op="devices")[0]["online"], 10, "the goodbye is noticed")
    rows = wait_until(lambda: (rows := collector.ctl(op="events")) and len(rows) == 2 and rows, 5, "both are told")
    assert [row["kind"] for row in rows] == ["online", "offline"] and rows[0]["text"].startswith("127.0.0.1:")
    assert collector.problems()["offline"]["device"] == "r1"


def test_events_of_a_kind_that_there_is_not(collector, devices):
    devices.open(collector.enroll("r1"))
    wait_until(lambda: collector.ctl(op="events", kinds="uplink,online"), 5, "it is told")
    for kinds, wrong in (("nonsense", "nonsense"), ("online,nonsense", "nonsense"), ("online,", ""), ("online,,job", ""),
                         ("ONLINE", "ONLINE")):
        with pytest.raises(CtlError) as refused:
            collector.ctl(op="events", kinds=kinds, follow=True)
        assert refused.value.code == "bad-request" and refused.value.args[0]["error"] == f'"{wrong}" is no kind of event'
    kinds = refused.value.hint.removeprefix("the kinds are ").split(", ")
    assert collector.ctl(op="events", kinds=",".join(kinds))  # all of them are, and fit
    # What people read and complete names the same.
    man = re.sub(r"[.,;()]", " ", (ROOT / "docs/man/jaga.1").read_text()).split()
    usage = subprocess.run([str(build_dir() / "jaga"), "events", "--help"], capture_output=True, text=True, timeout=20, check=True)
    completion = re.search(r"--kind \| -k\) _jaga_offer -W \"([a-z0-9 ]+)\"", (ROOT / "docs/completion/jaga.bash").read_text())
    assert sorted(kinds) == completion.group(1).split()
    assert not set(kinds) - set(man) and not set(kinds) - set(re.split(r"[ ,.;:\n]+", usage.stdout))


def test_push_reaches_a_waiting_device(collector, devices):
    keys = collector.enroll("r1")
    job = collector.ctl(op="push", device="r1", name="a.sh", script="echo hi")[0]
    assert job["state"] == "queued"
    follow = collector.stream(op="job", job=job["job"], follow=True)
    assert follow.next()["state"] == "queued"
    devices.open(keys)  # its hello brings the two together
    devices.wait(lambda: devices.pushed, "the wake arrives")
    assert pb.Wake.FromString(devices.pushed[0][1].body).job_seq == int(job["job"])
    signed = pb.SignedJob.FromString(devices.ask("r1", GET, "job?after=0").body)
    assert pb.Job.FromString(signed.body).script == b"echo hi"
    for phase in ("RECEIVED", "STARTED", "CONFIRMED"):
        state = pb.JobState(seq=int(job["job"]), phase=pb.JobPhase.Value(f"JOB_PHASE_{phase}"), attempt=1,
                            output=b"hi \xff\n" if phase == "CONFIRMED" else b"")
        assert read_ack(devices.ask("r1", PUT, f"job/{job['job']}/state", state.SerializeToString())) == int(job["job"])
    rows = follow.rows()
    follow.close()
    assert [row["state"] for row in rows] == ["received", "started", "confirmed"]
    assert rows[-1]["output"] == "hi \ufffd\n" and rows[-1]["exit_status"] == 0
    assert devices.ask("r1", GET, "job?after=0").code == 404
    # A connected device is woken at once.
    devices.pushed.clear()
    collector.ctl(op="push", device="r1", name="b.sh", script="true")
    devices.wait(lambda: devices.pushed, "the wake arrives")
    assert [row["state"] for row in collector.ctl(op="jobs")] == ["queued", "confirmed"]


def test_a_confirmation_counts_only_over_a_new_session(collector, devices):
    keys = collector.enroll("r1")
    devices.open(keys, greet=False)
    devices.ask("r1", POST, "hello", pb.Hello(boot_id=BOOT, caps=["confirm"]).SerializeToString())
    job = collector.ctl(op="push", device="r1", name="a.sh", script="true", confirm_s=90)[0]["job"]
    signed = pb.SignedJob.FromString(devices.ask("r1", GET, "job?after=0").body)
    assert pb.Job.FromString(signed.body).confirm_s == 90
    assert devices.ask("r1", POST, f"job/{job}/confirm").code == 409
    state = pb.JobState(seq=int(job), phase=pb.JOB_PHASE_APPLIED, attempt=1)
    devices.ask("r1", PUT, f"job/{job}/state", state.SerializeToString())
    refused = devices.ask("r1", POST, f"job/{job}/confirm")
    assert refused.code == 409 and b"session" in refused.body
    devices.write("close r1")
    wait_until(lambda: not collector.ctl(op="devices")[0]["online"], 10, "the goodbye is noticed")
    devices.open(keys, greet=False)
    devices.ask("r1", POST, "hello", pb.Hello(boot_id=BOOT, caps=["confirm"], job_hiwater=int(job)).SerializeToString())
    confirmed = devices.ask("r1", POST, f"job/{job}/confirm")
    assert confirmed.code == 204 and pb.ConfirmAck.FromString(confirmed.body).epoch != 0
    row = collector.ctl(op="job", job=job)[0]
    assert (row["state"], row["confirm_s"]) == ("applied", 90)


def test_away_to_confirm_is_not_offline(collector, devices):
    keys = collector.enroll("r1", "r2")
    devices.open(keys, greet=False)
    for name in keys:
        devices.ask(name, POST, "hello", pb.Hello(boot_id=BOOT, caps=["confirm"]).SerializeToString())
    job = collector.ctl(op="push", device="r1", name="a.sh", script="true", confirm_s=90)[0]["job"]
    devices.ask("r1", GET, "job?after=0")
    state = pb.JobState(seq=int(job), phase=pb.JOB_PHASE_STARTED, attempt=1)
    devices.ask("r1", PUT, f"job/{job}/state", state.SerializeToString())
    assert "confirming" not in collector.ctl(op="devices")[0]
    state.phase = pb.JOB_PHASE_APPLIED
    devices.ask("r1", PUT, f"job/{job}/state", state.SerializeToString())
    for name in keys:
        devices.write(f"close {name}")
    wait_until(lambda: not any(row["online"] for row in collector.ctl(op="devices")), 10, "the goodbyes are noticed")
    r1, r2 = collector.ctl(op="devices")
    assert r1["confirming"] == job and "confirming" not in r2
    *rows, _ = collector.ctl(op="status")
    notice, = (row for row in rows if "notice" in row)
    assert (notice["notice"], notice["device"]) == ("confirming", "r1") and f"confirming job {job}, " in notice["text"]
    assert {row["device"] for row in rows if row.get("problem") == "offline"} == {"r2"}
    assert collector.ctl(op="status", device="r1")[0]["notice"] == "confirming"
    with pytest.raises(CtlError) as busy:
        collector.ctl(op="snapshot-take", device="r1")
    assert "r1 is confirming a script just now" in str(busy.value)
    jaga = [str(build_dir() / "jaga"), "--socket", str(collector.socket)]
    assert f"r1: confirming job {job}" in subprocess.run([*jaga, "status"], capture_output=True, text=True, timeout=20, check=True).stdout
    # A restart of the collector loses nothing of it; then the device is back, and there was no outage.
    collector.stop()
    collector.start()
    assert collector.ctl(op="devices")[0]["confirming"] == job
    devices.open({"r1": keys["r1"]}, greet=False)
    assert devices.ask("r1", POST, f"job/{job}/confirm").code == 204
    state.phase = pb.JOB_PHASE_CONFIRMED
    devices.ask("r1", PUT, f"job/{job}/state", state.SerializeToString())
    assert "confirming" not in collector.ctl(op="devices")[0]
    kinds = [row["kind"] for row in collector.ctl(op="events", device="r1")]
    assert "offline" not in kinds and kinds[-1] == "job"


def test_what_a_device_cannot_do_is_told_before_it_is_pushed(collector, devices):
    order = {"op": "push", "device": "r1", "name": "a", "script": "true"}
    keys = collector.enroll("r1")
    collector.ctl(**order, confirm_s=90)  # nobody knows yet: its agent will say
    devices.open(keys)  # an agent before there was a way back
    for more, said, hint in (({"confirm_s": 90}, "cannot go back", "--no-confirm"), ({"rollback": "true"}, "confirm", "confirm_s"),
                             ({"interpreter": "routeros"}, "RouterOS", "*.sh")):
        with pytest.raises(CtlError) as error:
            collector.ctl(**order, **more)
        assert said in str(error.value) and hint in error.value.hint
    assert collector.ctl(**order)[0]["state"] == "queued"
    hello = pb.Hello(boot_id=BOOT, driver="routeros", caps=["scripts.unsigned", "confirm"])
    devices.ask("r1", POST, "hello", hello.SerializeToString())
    with pytest.raises(CtlError) as error:
        collector.ctl(**order, interpreter="sh")
    assert "RouterOS" in str(error.value) and "*.rsc" in error.value.hint
    assert collector.ctl(**order, interpreter="routeros", confirm_s=30, rollback="/undo")[0]["state"] == "queued"


def test_snapshot_take_waits_for_the_device(collector, devices):
    import hashlib
    import zlib
    keys = collector.enroll("r1")
    with pytest.raises(CtlError) as offline:
        collector.ctl(op="snapshot-take", device="r1")
    assert offline.value.code == "busy"
    devices.open(keys)
    for text, changed in ((b"one\n", True), (b"one\n", False), (b"two \xe4\n", True)):
        devices.pushed.clear()
        take = collector.stream(op="snapshot-take", device="r1")
        devices.wait(lambda: devices.pushed, "the wake arrives")
        assert pb.Wake.FromString(devices.pushed[0][1].body).take_snapshot
        path = f"snap/{hashlib.sha256(text).hexdigest()}"
        if devices.ask("r1", PUT, path).code == 404:
            assert devices.ask("r1", PUT, path, zlib.compress(text), content_format=65051).code == 204
        row, = take.rows()
        take.close()
        assert row["changed"] is changed and row["hash"] == hashlib.sha256(text).hexdigest()
    assert [row["n"] for row in collector.ctl(op="snapshots", device="r1")] == [1, 2]
    assert collector.ctl(op="cat", device="r1", n=1)[0]["text"] == "one\n"
    newest, = collector.ctl(op="cat", device="r1")
    assert newest["text"] == "two \ufffd\n" and bytes.fromhex(newest["hex"]) == b"two \xe4\n"
    # Into a pipe it goes byte for byte, text or not.
    for n, text in ((1, b"one\n"), (2, b"two \xe4\n")):
        done = subprocess.run([str(build_dir() / "jaga"), "--socket", str(collector.socket), "cat", "r1", str(n)],
                              capture_output=True, timeout=20, check=True)
        assert done.stdout == text
    assert collector.ctl(op="devices")[0]["snapshots"] == 2


def hand_in(devices, name, text):
    """As an agent does, woken for a snapshot."""
    import hashlib
    import zlib
    path = f"snap/{hashlib.sha256(text).hexdigest()}"
    if devices.ask(name, PUT, path).code == 404:
        assert devices.ask(name, PUT, path, zlib.compress(text), content_format=65051).code == 204


def test_snapshot_take_of_all_waits_for_each(collector, devices):
    assert collector.ctl(op="snapshot-take") == []
    keys = collector.enroll("r1", "r2", "r3")
    devices.open({name: keys[name] for name in ("r1", "r2")})
    hand_in(devices, "r2", b"two\n")
    devices.pushed.clear()
    take = collector.stream(op="snapshot-take")
    assert take.next() == {"device": "r3", "missing": "offline"}
    devices.wait(lambda: {name for name, _ in devices.pushed} == {"r1", "r2"}, "both are woken")
    hand_in(devices, "r2", b"two\n")  # a row as soon as it has answered, whoever else has not
    row = take.next()
    assert (row["device"], row["n"], row["changed"]) == ("r2", 1, False)
    hand_in(devices, "r2", b"three\n")  # it was counted already
    hand_in(devices, "r1", b"one\n")
    row = take.next()
    assert (row["device"], row["n"], row["changed"]) == ("r1", 1, True)
    assert take.next() is None
    take.close()


def tell_doctor(devices, name, *traps, error=""):
    """As an agent does, woken for its doctor."""
    wake = [reply for at, reply in devices.pushed if at == name][-1]
    message = pb.DoctorReport(run=pb.Wake.FromString(wake.body).run_doctor, error=error)
    for level, trap in traps:
        message.traps.add(level=level, id=trap, what=f"{trap} is wrong", fix=f"/mend {trap}")
    return devices.ask(name, PUT, "doctor", message.SerializeToString()).code


def test_doctor_of_all_waits_for_each(collector, devices):
    assert collector.ctl(op="doctor") == []
    keys = collector.enroll("r1", "r2", "r3", "r4", "r5")
    devices.open({name: keys[name] for name in ("r1", "r2", "r4", "r5")})
    doctor = collector.stream(op="doctor")
    assert doctor.next() == {"device": "r3", "missing": "offline"}
    devices.wait(lambda: {name for name, _ in devices.pushed} == {"r1", "r2", "r4", "r5"}, "all are woken")
    assert collector.ctl(op="doctor")[0] == {"device": "r1", "missing": "asked by somebody else just now"}
    with pytest.raises(CtlError) as busy:
        collector.ctl(op="doctor", device="r2")
    assert busy.value.code == "busy" and busy.value.args[0]["error"] == "r2 is asked by somebody else just now"
    assert tell_doctor(devices, "r2", (1, "mss"), (2, "fasttrack"), (0, "version"), (2, "veth")) == 204
    row = doctor.next()
    assert [row[key] for key in ("device", "level", "fatal", "warnings")] == ["r2", "fatal", 2, 1] and "missing" not in row
    assert row["worst"] == {"level": "fatal", "id": "fasttrack", "what": "fasttrack is wrong", "fix": "/mend fasttrack"}
    assert [finding["id"] for finding in row["findings"]] == ["mss", "fasttrack", "version", "veth"]
    assert tell_doctor(devices, "r1", (0, "version")) == 204
    row = doctor.next()
    assert (row["device"], row["level"], row["fatal"], row["warnings"]) == ("r1", "ok", 0, 0) and "worst" not in row
    assert tell_doctor(devices, "r4", (1, "unread"), error="the router refused the password") == 204
    row = doctor.next()
    assert (row["device"], row["missing"], row["warnings"]) == ("r4", "the router refused the password", 1) and "level" not in row
    assert tell_doctor(devices, "r5", (1, "mss"), (2, "fasttrack"), error="the router refused the password") == 204
    row = doctor.next()  # nothing worse can come
    assert (row["device"], row["missing"], row["level"], row["fatal"]) == ("r5", "the router refused the password", "fatal", 1)
    assert doctor.next() is None
    doctor.close()
    # It is not kept, and who asked may go.
    assert tell_doctor(devices, "r2", (2, "late")) == 404
    devices.pushed.clear()
    gone = collector.stream(op="doctor")
    devices.wait(lambda: len(devices.pushed) == 4, "all are woken")
    gone.close()
    one = collector.stream(op="doctor", device="r2")  # accepted after the other was seen to go
    devices.wait(lambda: len(devices.pushed) == 5, "it is woken")
    assert tell_doctor(devices, "r2", (1, "mss")) == 204
    assert [row["id"] for row in one.rows()] == ["mss"]
    one.close()


def test_status_names_what_is_wrong(collector, devices):
    keys = collector.enroll("r1", "r2")
    devices.open({"r1": keys["r1"]}, greet=False)
    hello = pb.Hello(boot_id=BOOT, uplinks=[pb.UplinkInfo(name="isp1", state=1), pb.UplinkInfo(name="isp2", state=1)])
    assert devices.ask("r1", POST, "hello", hello.SerializeToString()).code == 204
    problems = collector.problems()
    assert set(problems) - {"disk-low"} == {"offline"} and problems["offline"]["device"] == "r2"
    assert "never" in problems["offline"]["text"]

    batch = pb.TelemetryBatch(boot_id=BOOT, seq_from=1, seq_to=2, sent_at_ms=500, dropped_events=3)
    for seq, (name, state) in enumerate((("isp1", 3), ("isp2", 2)), 1):
        batch.events.add(seq=seq, at_ms=100, uplink=pb.UplinkChange(uplink=name, to=state))
    assert read_ack(devices.ask("r1", POST, "tm", batch.SerializeToString(), con=False)) == 2
    job = collector.ctl(op="push", device="r1", name="bad.sh", script="exit 3")[0]["job"]
    state = pb.JobState(seq=int(job), phase=pb.JOB_PHASE_FAILED, exit_status=3, reason="exit status 3", attempt=1)
    assert devices.ask("r1", PUT, f"job/{job}/state", state.SerializeToString()).code == 204
    problems = collector.problems()
    assert set(problems) - {"disk-low"} == {"offline", "uplink-down", "uplink-suspect", "dropped", "job"}
    assert "isp1" in problems["uplink-down"]["text"] and "isp2" in problems["uplink-suspect"]["text"]
    assert "3 events" in problems["dropped"]["text"] and "exit status 3" in problems["job"]["text"]
    assert all(row["hint"] and row["text"] and row["since_ms"] > 0 for row in problems.values() if "device" in row)
    rows = collector.ctl(op="events", device="r1")
    assert [row["kind"] for row in rows] == ["online", "uplink", "uplink", "job"]
    assert rows[-1]["text"] == f"job {job} bad.sh failed: exit status 3"

    # A job that ended badly is no trouble any more when a later one has ended well; nor is it told twice.
    for phase, told in ((pb.JOB_PHASE_FAILED, True), (pb.JOB_PHASE_CONFIRMED, False)):
        job = collector.ctl(op="push", device="r1", name="again.sh", script="exit 3")[0]["job"]
        state = pb.JobState(seq=int(job), phase=phase, exit_status=0, attempt=1)
        assert devices.ask("r1", PUT, f"job/{job}/state", state.SerializeToString()).code == 204
        for more in ({}, {"device": "r1"}):
            found = [row["text"] for row in collector.ctl(op="status", **more) if row.get("problem") == "job"]
            assert len(found) == told and all(f"job {job} " in text for text in found)

    for seq, name in ((3, "isp1"), (4, "isp2")):
        batch = pb.TelemetryBatch(boot_id=BOOT, seq_from=seq, seq_to=seq, sent_at_ms=500, dropped_events=3)
        batch.events.add(seq=seq, at_ms=400, uplink=pb.UplinkChange(uplink=name, to=1))
        assert devices.ask("r1", POST, "tm", batch.SerializeToString(), con=False).code == 204
    assert not {"uplink-down", "uplink-suspect"} & set(collector.problems())
    # What was last known survives a restart of the collector, before any device is back.
    collector.stop()
    collector.start()
    shown, = collector.ctl(op="show", device="r1")
    assert {uplink["name"]: uplink["state"] for uplink in shown["uplinks"]} == {"isp1": "up", "isp2": "up"}
    assert shown["dropped_events"] == 3 and shown["online"] is False


def test_what_was_watched_is_old_when_its_router_is_away(collector, devices):
    devices.open(collector.enroll("r1"))
    batch = pb.TelemetryBatch(boot_id=BOOT, seq_from=1, seq_to=1, sent_at_ms=500)
    batch.samples.add(seq=1, at_ms=100).router.version = "7.20"
    devices.ask("r1", POST, "tm", batch.SerializeToString(), con=False)

    def is_stale():
        return collector.ctl(op="show", device="r1")[0]["router"].get("stale", False)

    assert not is_stale()
    for seq, span, stale in ((2, 1, True), (3, 2, False)):  # the router's API, as the agent tells
        batch = pb.TelemetryBatch(boot_id=BOOT, seq_from=seq, seq_to=seq, sent_at_ms=500)
        batch.events.add(seq=seq, at_ms=100, notice=pb.Notice(subsystem="router", level=3, text="connection refused", span=span))
        devices.ask("r1", POST, "tm", batch.SerializeToString(), con=False)
        assert is_stale() is stale
        assert any("/ip service" in row.get("hint", "") for row in collector.ctl(op="status", device="r1")) is stale
    devices.write("close r1")
    wait_until(is_stale, 10, "the goodbye is noticed")


# --- what clients cannot do -----------------------------------------------------------------------------

@pytest.mark.parametrize("line", [b"\n", b"{\n", b"[]\n", b"\x00\xff\xfe\n", b'{"op":"explode"}\n', b"[" * 5000 + b"\n",
                                  b'{"op":"show","device":"../../etc/passwd"}\n', b'{"op":"events","limit":1e9}\n'])
def test_bad_lines_are_told(collector, line):
    client = connect(collector)
    client.sendall(line)
    answer = json.loads(read_all(client))
    assert answer["code"] == "bad-request" and answer["error"]
    assert_responsive(collector)


def test_endless_line_is_cut(collector):
    client = connect(collector)
    try:
        for _ in range(64):
            client.sendall(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass
    else:
        assert json.loads(read_all(client))["code"] == "bad-request"
    assert_responsive(collector)


def test_silent_and_half_clients_are_dropped(collector):
    silent, half = connect(collector), connect(collector)
    half.sendall(b'{"op":"dev')
    assert read_all(silent) == b"" and read_all(half) == b""  # within ten seconds, by the collector
    assert_responsive(collector)


def test_more_clients_than_places(collector):
    held = [connect(collector) for _ in range(MAX_CLIENTS)]
    late = CtlStream(collector.socket, op="devices")  # waits in the queue
    held.pop().close()
    assert late.rows() == []
    late.close()
    for client in held:
        client.close()
    assert_responsive(collector)


def leave_descriptors(collector, n):
    """The collector may open n more."""
    pid = collector.popen.pid
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    limit = next(fd for fd in range(1024) if fd - sum(one < fd for one in taken) == n and fd not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_no_descriptor_for_a_client(collector, tmp_path):
    """Who waits in the listen queue wakes the loop as long as it looks there: it looks once a second."""
    trace = tmp_path / "accepts"

    def read_refusals():
        return [float(line.split()[1]) for line in trace.read_text().splitlines() if "EMFILE" in line]

    leave_descriptors(collector, 2)
    with attach_strace(collector, "-ttt", "-e", "trace=accept4", "-o", trace):
        held = [connect(collector) for _ in range(8)]  # two get in, or three: the client before may not be gone yet
        late = CtlStream(collector.socket, op="devices")
        wait_until(lambda: len(read_refusals()) >= 3, 10, "it looks again")
    refusals = read_refusals()
    assert refusals[2] - refusals[1] > 0.9  # in the first second the client before may have made place
    for client in held:
        client.close()
    assert late.rows() == []
    late.close()
    assert collector.read_log().count("a client has to wait: Too many open files") == 1


def test_no_descriptor_and_no_client_to_leave(collector, tmp_path):
    trace = tmp_path / "accepts"
    leave_descriptors(collector, 0)
    with attach_strace(collector, "-e", "trace=accept4", "-o", trace):
        first = connect(collector)  # it may find the place of the client before
        late = CtlStream(collector.socket, op="devices")
        wait_until(lambda: "EMFILE" in trace.read_text(), 10, "it is not let in")
    leave_descriptors(collector, 8)
    assert late.rows() == []
    late.close()
    first.close()


def test_a_client_that_does_not_read_stalls_nobody(collector, devices):
    devices.open(collector.enroll("r1"))
    for first in range(1, 1500, 10):  # rows enough to be more than a socket buffer holds
        report(devices, "r1", range(first, first + 10))
    stuck = []
    for _ in range(20):
        client = connect(collector)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.sendall(json.dumps({"op": "events", "limit": 10000, "follow": True}).encode() + b"\n")
        stuck.append(client)
    for seq in range(1501, 1506):
        began = time.monotonic()
        report(devices, "r1", [seq])
        assert time.monotonic() - began < RESPONSIVE_S
        assert_responsive(collector)
    rss_kb = int(next(line for line in open(f"/proc/{collector.popen.pid}/status") if "RssAnon" in line).split()[1])
    assert rss_kb < 60_000
    # Whoever reads after all gets everything, once.
    texts = []
    reader = stuck[0].makefile("rb")
    while not texts or texts[-1] != "event 1505":
        row = json.loads(reader.readline())
        if row["kind"] == "notice":
            texts.append(row["text"])
    assert texts == [f"event {n}" for n in range(1, 1506)]
    for client in stuck:
        client.close()
    assert_responsive(collector)


def test_clients_that_vanish(collector, devices):
    devices.open(collector.enroll("r1"))
    for op in ({"op": "events", "follow": True}, {"op": "enroll", "device": "x1"}, {"op": "snapshot-take", "device": "r1"},
               {"op": "push", "device": "r1", "name": "a", "script": "true"}, {"op": "status"}):
        for _ in range(20):
            client = connect(collector)
            client.sendall(json.dumps(op).encode() + b"\n")
            client.close()
    assert_responsive(collector)
    assert read_ack(devices.ask("r1", POST, "tm", make_batch(BOOT, [1]), con=False)) == 1


# --- start and stop -------------------------------------------------------------------------------------

def run_collector(*arguments, timeout=20):
    return subprocess.run([str(build_dir() / "jaga-collector"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, check=False)


def test_second_collector_on_the_store_is_refused(collector, tmp_path):
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    other = LoopbackCollector(other_dir, store=collector.store)
    done = run_collector("--config", other.conf)
    assert done.returncode == 1 and "another jaga-collector" in done.stderr and str(collector.store) in done.stderr
    assert_responsive(collector)


def test_second_collector_on_the_socket_is_refused(collector, tmp_path):
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    other = LoopbackCollector(other_dir)
    other.conf.write_text(other.conf.read_text().replace(str(other.socket), str(collector.socket)))
    done = run_collector("--config", other.conf)
    assert done.returncode == 1 and str(collector.socket) in done.stderr
    assert_responsive(collector)


def test_old_socket_file_of_a_crash_is_replaced(collector):
    collector.kill()
    assert collector.socket.exists()
    collector.start()
    assert collector.stop() == 0
    assert not collector.socket.exists()


def test_access_to_the_socket(tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    collector = LoopbackCollector(tmp_path)
    with open(collector.conf, "a") as conf:
        conf.write(f"group = {group}\n")
    collector.start()
    mode = collector.socket.stat()
    assert stat.S_IMODE(mode.st_mode) == 0o660 and mode.st_gid == os.getgid()
    assert stat.S_IMODE(collector.store.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in collector.store.iterdir()} == {0o600}
    assert "0" == next(line.split()[-2] for line in open(f"/proc/{collector.popen.pid}/limits") if "core file" in line)
    collector.end()


@pytest.mark.parametrize("lines, told", [
    ("[control]\ngroup = no-such-group\n", "no-such-group"),
    ("[store]\npath = /proc/nowhere\n", "/proc/nowhere"),
    ("[control]\nsocket = /nowhere/at/all/c.sock\n", "/nowhere/at/all/c.sock"),
])
def test_what_cannot_start_says_why(tmp_path, lines, told):
    conf = tmp_path / "c.conf"
    values = {"store": f"path = {tmp_path}/store", "control": f"socket = {tmp_path}/c.sock"}
    section = lines.split("]")[0][1:]
    field = lines.splitlines()[1].split(" = ")[0]
    conf.write_text("[collector]\nlisten = 127.0.0.1:15684\n" + "".join(
        f"[{name}]\n" + ("" if name == section and value.startswith(field) else value + "\n") +
        (lines.split("\n", 1)[1] if name == section else "") for name, value in values.items()))
    done = run_collector("--config", conf)
    assert done.returncode == 1 and told in done.stderr, done.stderr


def test_bad_configuration_names_file_line_and_field(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text("[collector]\nlisten = nonsense\n[store]\nsize = 1\n[nowhere]\n")
    for arguments in ((), ("--check",)):
        done = run_collector("--config", conf, *arguments)
        assert done.returncode == 2
        assert f"{conf}:2: [collector] listen: 'nonsense'" in done.stderr
        assert f"{conf}:4: [store] size: '1'" in done.stderr and f"{conf}:5: [nowhere]" in done.stderr
    assert run_collector("--config", tmp_path / "missing").returncode == 2
    assert run_collector("--nonsense").returncode == 2
    assert run_collector("argument").returncode == 2


def test_systemd_is_told(tmp_path):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.settimeout(60)
    notify.bind(str(tmp_path / "notify"))
    collector = LoopbackCollector(tmp_path)
    # WATCHDOG_PID is the collector's own: a shell takes its number and becomes it.
    collector.start(wrapper=("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "-"),
                    env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"})
    assert notify.recv(256) == b"READY=1"
    assert notify.recv(256) == b"WATCHDOG=1"
    assert collector.stop() == 0
    while (told := notify.recv(256)) == b"WATCHDOG=1":
        pass
    assert told == b"STOPPING=1"
    notify.close()


def test_hangup_is_harmless_and_stop_ends_followers(collector):
    collector.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: "restart to use a new one" in collector.read_log(), 5, "the log says what to do")
    follow = collector.stream(op="events", follow=True)
    assert_responsive(collector)
    assert collector.stop() == 0
    with pytest.raises(EOFError):
        follow.next()
    follow.close()
