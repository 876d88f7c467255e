"""What the collector asks a device, or all of them, for a client that waits: a snapshot, the doctor. Devices are played, and answer, or do
not."""
import hashlib
import subprocess

import pytest

from tests.e2e.devices import CtlError, hand_in, pb, tell_doctor
from tests.e2e.loopback import collector, devices  # noqa: F401
from tests.lab.programs import build_dir


def test_snapshot_take_waits_for_the_device(collector, devices):
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
        hand_in(devices, "r1", text)
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
