"""What clients of the control socket cannot do to the collector: nonsense, silence, crowds, and reading slowly or not at all."""
import json
import os
import resource
import socket
import time

import pytest

from tests.e2e.devices import BOOT, POST, CtlStream, attach_strace, make_batch, read_ack, report_events
from tests.e2e.loopback import RESPONSIVE_S, assert_responsive, collector, connect, devices, read_all  # noqa: F401
from tests.lab.lab import wait_until
from tests.lab.programs import build_dir

IS_SANITIZED = "asan" in str(build_dir())  # it keeps what was freed
PAUSE_KB = 64  # LIMIT_CTL_PAUSE
MAX_CLIENTS = 64


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


def anonymous_kb(collector):
    return int(next(line for line in open(f"/proc/{collector.popen.pid}/status") if "RssAnon" in line).split()[1])


def test_a_client_that_does_not_read_stalls_nobody(collector, devices):
    devices.open(collector.enroll("r1"))
    for first in range(1, 1500, 10):  # rows enough to be more than a socket buffer holds
        report_events(devices, "r1", range(first, first + 10))
    stuck, before_kb = [], anonymous_kb(collector)
    for _ in range(20):
        client = connect(collector)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.sendall(json.dumps({"op": "events", "limit": 10000, "follow": True}).encode() + b"\n")
        stuck.append(client)
    for seq in range(1501, 1506):
        began = time.monotonic()
        report_events(devices, "r1", [seq])
        assert time.monotonic() - began < RESPONSIVE_S
        assert_responsive(collector)
    if not IS_SANITIZED:
        assert anonymous_kb(collector) - before_kb < len(stuck) * 2 * PAUSE_KB
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
