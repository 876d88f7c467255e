"""Scripts at the control socket: queued, handed to a device that a test plays, confirmed, and refused before they are queued."""
import subprocess

import pytest

from tests.e2e.devices import BOOT, GET, POST, PUT, CtlError, pb, read_ack
from tests.e2e.loopback import collector, devices  # noqa: F401
from tests.lab.lab import wait_until
from tests.lab.programs import build_dir


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
