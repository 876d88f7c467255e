"""The control socket: what clients are told of devices, events and troubles."""
import re
import subprocess
import time

import pytest

from tests.e2e.devices import BOOT, POST, PUT, CtlError, make_batch, pb, read_ack, report_events
from tests.e2e.loopback import collector, devices  # noqa: F401
from tests.lab.lab import wait_until
from tests.lab.programs import ROOT, build_dir


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
        report_events(devices, "r1", range(1, last + 1))
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
