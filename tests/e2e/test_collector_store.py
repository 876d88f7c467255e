"""Nothing that the collector has acknowledged is lost and nothing is stored twice: killed in the middle, traced
by its system calls, and on a disk that is full."""
import collections
import os
import re
import subprocess

import pytest

from tests.e2e.devices import BOOT, POST, PUT, CtlError, Devices, LoopbackCollector, attach_strace, make_batch, pb, read_ack
from tests.e2e.loopback import collector  # noqa: F401

N_DEVICES = 100


def stored_events(collector, name):
    return [row["text"] for row in collector.ctl(op="events", device=name, limit=10000) if row["kind"] == "notice"]


# --- kill -9 ------------------------------------------------------------------------------------------

def test_kill_with_100_batches_in_flight(collector):
    """
    Each round sends a batch from each of 100 devices and kills at another moment of their commits, on a disk
    that takes 200 ms to sync (strace delays the call), so that they are under way indeed.
    """
    keys = collector.enroll(*(f"d{i}" for i in range(N_DEVICES)))
    acked = dict.fromkeys(keys, 0)
    in_flight_at_kill = []
    for acks_before_kill in (1, 0, 30, 5, 99, 1):
        devices = Devices(collector)
        devices.open(keys)
        with attach_strace(collector, "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=200000", "-o", "/dev/null"):
            sent = {name: devices.send(name, POST, "tm", make_batch(BOOT, range(acked[name] + 1, acked[name] + 11)),
                                       con=False) for name in keys}
            if acks_before_kill:
                devices.wait(lambda: len(devices.replies) >= acks_before_kill, "acknowledgements come")
            collector.kill()
        devices.pump(0.1)  # what left before the kill counts as acknowledged
        for name, key in sent.items():
            for reply in devices.replies.get(key, []):
                acked[name] = max(acked[name], read_ack(reply))
        in_flight_at_kill.append(N_DEVICES - len(devices.replies))
        devices.end()
        collector.start()
        for name in keys:
            texts = stored_events(collector, name)
            assert len(texts) == len(set(texts)), f"{name}: stored twice"
            assert set(texts) >= {f"event {seq}" for seq in range(1, acked[name] + 1)}, f"{name}: lost what was acknowledged"
    assert max(in_flight_at_kill) >= 95, in_flight_at_kill  # the kills did come in the middle

    # The agents send again what was not acknowledged, and the collector's answer is the truth.
    devices = Devices(collector)
    devices.open(keys)
    for name in keys:
        for first in range(1, 71, 10):
            assert read_ack(devices.ask(name, POST, "tm", make_batch(BOOT, range(first, first + 10)), con=False)) >= first + 9
    devices.end()
    for name in keys:
        assert collections.Counter(stored_events(collector, name)) == {f"event {seq}": 1 for seq in range(1, 71)}


def test_stop_by_sigterm_keeps_what_it_acknowledged(collector):
    keys = collector.enroll(*(f"d{i}" for i in range(20)))
    devices = Devices(collector)
    devices.open(keys)
    sent = {name: devices.send(name, POST, "tm", make_batch(BOOT, range(1, 11)), con=False) for name in keys}
    devices.wait(lambda: devices.replies, "the first acknowledgement comes")
    assert collector.stop() == 0
    devices.pump(0.2)
    acked = [name for name, key in sent.items() if key in devices.replies]
    devices.end()
    collector.start()
    for name in acked:
        assert len(stored_events(collector, name)) == 10


# --- system calls -------------------------------------------------------------------------------------

CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
SENDS = ("sendmsg", "sendto", "sendmmsg", "write", "writev")
SYNCS = ("fdatasync", "fsync", "msync")


def read_trace(lines):
    """strace -f lines, in their order, as (moment, call, arguments): moment is "begin" or "end"."""
    pending = {}
    for line in lines:
        if match := RESUMED.match(line):
            thread, call, rest = match.groups()
            yield "end", call, pending.pop((thread, call), "") + rest
        elif match := CALL.match(line):
            thread, call, rest = match.groups()
            yield "begin", call, rest
            if rest.endswith("<unfinished ...>"):
                pending[thread, call] = rest.removesuffix("<unfinished ...>")
            else:
                yield "end", call, rest


def count_acks(trace, store_fd, root_fd, port_fd):
    """
    (datagrams sent after a received one, those of them that left too early): between the request and its answer
    there must be a sync of the store that succeeded, and after it the write of the new root (O_DSYNC).
    """
    sent, early = 0, 0
    received = synced = rooted = False
    for moment, call, arguments in trace:
        fd = re.match(r"(\d+)", arguments)
        fd = int(fd[1]) if fd else -1
        done = re.search(r"= (\d+)", arguments) if moment == "end" else None
        if call in ("recvmsg", "recvfrom", "recvmmsg") and fd == port_fd and done:
            received, synced, rooted = True, False, False
        elif call in SYNCS and fd == store_fd and done:
            synced = True
        elif call in ("pwrite64", "pwritev") and fd == root_fd and done and synced:
            rooted = True
        elif call in SENDS and fd == port_fd and moment == "begin" and received:
            sent += 1
            early += not (synced and rooted)
            received = False
    return sent, early


def find_fds(pid, collector):
    """(data file, the same file opened for synchronous writes, UDP socket) of the running collector."""
    store, root, port = None, None, None
    for fd in map(int, os.listdir(f"/proc/{pid}/fd")):
        try:
            path = os.readlink(f"/proc/{pid}/fd/{fd}")
            flags = int(re.search(r"flags:\s*(\d+)", open(f"/proc/{pid}/fdinfo/{fd}").read())[1], 8)
        except FileNotFoundError:
            continue  # a client of the control socket that has gone
        if path.endswith("data.mdb"):
            if flags & os.O_DSYNC:
                root = fd
            else:
                store = fd
        elif path.startswith("socket:"):
            inode = path[8:-1]
            if any(f" {inode} " in line and f":{collector.port:04X} " in line for line in open("/proc/net/udp")):
                port = fd
    assert store and root and port
    return store, root, port


def test_no_acknowledgement_before_fdatasync(tmp_path):
    collector = LoopbackCollector(tmp_path)
    trace = tmp_path / "trace"
    calls = ",".join(("recvmsg", "recvfrom", "recvmmsg", "pwrite64", "pwritev", *SENDS, *SYNCS))
    collector.start()
    try:
        fds = find_fds(collector.popen.pid, collector)
        with attach_strace(collector, "-e", f"trace={calls}", "-o", trace):
            devices = Devices(collector)
            devices.open(collector.enroll("d0"))
            begin = trace.stat().st_size
            for seq in range(1, 41):  # one at a time: each datagram out answers the datagram in before it
                assert read_ack(devices.ask("d0", POST, "tm", make_batch(BOOT, [seq]), con=False)) == seq
            devices.end()
    finally:
        collector.end()
    lines = trace.read_bytes()[begin:].decode().splitlines()
    events = list(read_trace(lines))
    sent, early = count_acks(events, *fds)
    assert sent >= 40
    assert early == 0

    # The check can fail: the same trace without the syncs, without the root, and with each answer moved ahead.
    assert count_acks([event for event in events if event[1] not in SYNCS], *fds)[1] >= 40
    assert count_acks([event for event in events if not event[1].startswith("pwrite")], *fds)[1] >= 40
    assert count_acks(move_answers_ahead(events, fds[2]), *fds)[1] >= 40


def move_answers_ahead(events, port_fd):
    """Each send to right after the receive before it."""
    moved, place = [], None
    for event in events:
        moment, call, arguments = event
        is_port = re.match(rf"{port_fd}\b", arguments)
        if call in SENDS and is_port and moment == "begin" and place is not None:
            moved.insert(place, event)
            place = None
            continue
        moved.append(event)
        if call in ("recvmsg", "recvfrom", "recvmmsg") and is_port and moment == "end" and re.search(r"= \d+", arguments):
            place = len(moved)
    return moved


# --- disk full ----------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "jaga-test", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path):
    """Takes every free byte of the file system."""
    with open(path / "filler", "ab", buffering=0) as filler:
        for size in (65536, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                pass


def test_full_disk(tmp_path, small_disk):
    collector = LoopbackCollector(tmp_path, store=small_disk / "store", size="1G").start()
    try:
        keys = collector.enroll("d0")
        devices = Devices(collector)
        devices.open(keys)
        assert read_ack(devices.ask("d0", POST, "tm", make_batch(BOOT, range(1, 11)), con=False)) == 10
        fill(small_disk)
        seq, reply = 10, None
        while reply is None or reply.code == 204:  # pages that the file has already are used up first
            assert seq < 5000, "the disk is not full"
            seq += 1
            reply = devices.ask("d0", POST, "tm", make_batch(BOOT, [seq], "x" * 700), con=False)
        assert reply.code == 503
        last = seq - 1
        assert devices.ask("d0", POST, "tm", make_batch(BOOT, [seq]), con=False).code == 503
        # Whoever asks is told, and everything that only reads goes on.
        problem = collector.problems()["store-fault"]
        assert "No space left" in problem["text"] and problem["hint"]
        assert len(collector.ctl(op="devices")) == 1
        told = [line for line in collector.read_log().splitlines() if "cannot write" in line]
        assert len(told) == 1 and str(small_disk) in told[0] and "make room" in told[0], told
        hello = pb.Hello(boot_id=BOOT).SerializeToString()
        assert devices.ask("d0", POST, "hello", hello).code == 503

        (small_disk / "filler").unlink()
        assert read_ack(devices.ask("d0", POST, "tm", make_batch(BOOT, range(seq, seq + 5)), con=False)) == seq + 4
        assert "store-fault" not in collector.problems()
        assert "writing again" in collector.read_log()
        assert len(stored_events(collector, "d0")) == last + 5
        devices.end()
        assert collector.stop() == 0
        collector.start()  # the file that a full disk left is whole
        assert len(stored_events(collector, "d0")) == last + 5
    finally:
        collector.end()


def test_failed_sync_is_no_acknowledgement(collector):
    """The disk says EIO at one fdatasync: nothing of that group is kept, the next is."""
    keys = collector.enroll("d0")
    devices = Devices(collector)
    devices.open(keys)
    with attach_strace(collector, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1", "-o", "/dev/null"):
        assert devices.ask("d0", POST, "tm", make_batch(BOOT, range(1, 11)), con=False).code == 503
        assert stored_events(collector, "d0") == []
        assert read_ack(devices.ask("d0", POST, "tm", make_batch(BOOT, range(1, 11)), con=False)) == 10
    log = collector.read_log()
    assert "Input/output error" in log and "writing again" in log
    devices.end()
    collector.kill()
    collector.start()
    assert len(stored_events(collector, "d0")) == 10


@pytest.mark.parametrize("call", ["pwrite64", "writev", "pwritev", "lseek", "fdatasync"])
def test_every_write_of_a_commit_may_fail(tmp_path, call):
    """
    EIO at the n-th such call. The commit's group is refused; when it was the write of the new root itself, the
    store must be opened again, and the collector ends to be started again. What was acknowledged is there, once.
    """
    ended = 0
    for n in range(1, 6):
        directory = tmp_path / str(n)
        directory.mkdir()
        # It may end while strace watches, and LeakSanitizer gives up (exit 99) where somebody else traces.
        no_leak_check = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}
        collector = LoopbackCollector(directory).start(env=no_leak_check)
        keys = collector.enroll("d0")
        devices = Devices(collector)
        devices.open(keys)
        acked = 0
        with attach_strace(collector, "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={n}", "-o", "/dev/null"):
            for _ in range(10):
                key = devices.send("d0", POST, "tm", make_batch(BOOT, range(acked + 1, acked + 4)), con=False)
                devices.wait(lambda: key in devices.replies or devices.sessions["d0"] == "gone", "an answer, or the end")
                if key not in devices.replies:
                    collector.popen.wait(60)
                    break
                assert devices.replies[key][0].code in (204, 503)
                if devices.replies[key][0].code == 204:
                    acked = read_ack(devices.replies[key][0])
        devices.end()
        if collector.popen.poll() is not None:
            assert collector.popen.returncode == 1 and "start jaga-collector again" in collector.read_log()
            ended += 1
        collector.end()
        collector.start()
        texts = stored_events(collector, "d0")
        assert len(texts) == len(set(texts)) and set(texts) >= {f"event {seq}" for seq in range(1, acked + 1)}
        assert collector.stop() == 0
    if call == "pwrite64":  # the root is written by it
        assert ended > 0


def test_full_store_keeps_events_coming(tmp_path):
    """16 MiB: events make room for themselves, bulk is refused before it takes the reserve."""
    collector = LoopbackCollector(tmp_path, size="16M").start()
    try:
        keys = collector.enroll("d0")
        devices = Devices(collector)
        devices.open(keys)
        with pytest.raises(CtlError, match="store is full") as failed:
            for _ in range(64):
                collector.ctl(op="push", device="d0", name="big.sh", script="#" * 256 * 1024)
        assert failed.value.code == "failed" and "size" in failed.value.hint
        assert "store-full" in collector.problems()
        assert read_ack(devices.ask("d0", POST, "tm", make_batch(BOOT, range(1, 11)), con=False)) == 10
        devices.end()
    finally:
        collector.end()


# --- what is refused ----------------------------------------------------------------------------------

def test_bad_requests_store_nothing(collector):
    keys = collector.enroll("d0")
    devices = Devices(collector)
    devices.open({"d0": "00" * 32}, expect="refused")
    devices.open({"nobody": keys["d0"]}, expect="refused")
    devices.open(keys)
    before = collector.counters()
    assert before["handshakes_refused"] >= 2
    assert "handshakes-refused" in collector.problems()
    good = make_batch(BOOT, [1])
    assert devices.ask("d0", POST, "tm", b"\xff\xff\xff").code == 400
    assert devices.ask("d0", POST, "tm", good[:-5]).code == 400
    assert devices.ask("d0", POST, "tm", good, content_format=0).code == 415
    assert b"boot_id" in devices.ask("d0", POST, "tm", make_batch(b"short", [1])).body
    assert devices.ask("d0", POST, "hello", b"\x08").code == 400
    assert devices.ask("d0", PUT, "job/1/state", b"\x08\x01").code in (400, 404)
    assert devices.ask("d0", POST, "nowhere", good).code == 404
    after = collector.counters()
    assert after["requests_refused"] - before["requests_refused"] >= 5
    assert after["batches"] == before["batches"] == 0
    assert read_ack(devices.ask("d0", POST, "tm", good, con=False)) == 1
    devices.end()


def test_removed_device_is_out_at_once(collector):
    keys = collector.enroll("d0", "d1")
    devices = Devices(collector)
    devices.open(keys)
    collector.ctl(op="remove", device="d0")
    devices.wait(lambda: devices.sessions["d0"] == "gone", "its session ends")
    devices.open({"d0": keys["d0"]}, expect="refused")
    assert [row["name"] for row in collector.ctl(op="devices")] == ["d1"]
    new_key = collector.ctl(op="enroll", device="d0")[0]["key"]
    assert new_key != keys["d0"]
    devices.open({"d0": new_key})
    assert read_ack(devices.ask("d0", POST, "tm", make_batch(BOOT, [1]), con=False)) == 1
    devices.end()
