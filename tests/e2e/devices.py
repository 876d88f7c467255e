"""A real jaga-collector on loopback, its control socket spoken to directly, and devices that a test plays
through coapdev, message by message. For tests of the collector alone; with agents and routers see tests/lab."""
import collections
import contextlib
import hashlib
import importlib.util
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib

from tests.lab.lab import PATIENCE, LabError, wait_until
from tests.lab.programs import ROOT, build_dir

FORMAT_PROTOBUF, FORMAT_SNAPSHOT = 65050, 65051
GET, POST, PUT = 1, 2, 3
HANDSHAKES_AT_ONCE = 50
BOOT = b"0123456789abcdef"


def load_messages():
    """The messages of proto/jaga.proto by protoc's own Python: a second implementation."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["protoc", f"--proto_path={ROOT}/proto", f"--python_out={out}", f"{ROOT}/proto/jaga.proto"], check=True)
        spec = importlib.util.spec_from_file_location("jaga_pb2", f"{out}/jaga_pb2.py")
        module = importlib.util.module_from_spec(spec)
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        spec.loader.exec_module(module)
        sys.dont_write_bytecode = before
    return module


pb = load_messages()


def free_udp_port():
    """One that the kernel gives to nobody by itself (ip_local_port_range begins at 32768): a collector that starts again finds it free."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", port))
            return port


class CtlError(Exception):
    def __init__(self, row):
        super().__init__(row)
        self.code, self.hint = row["code"], row["hint"]


class CtlStream:
    """One request at the control socket; rows as they come."""

    def __init__(self, path, timeout_s=15, **request):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))  # without a time-out: a full queue is waited for
        self.socket.settimeout(timeout_s * PATIENCE)
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        self.file = self.socket.makefile("rb")
        self.is_done = False

    def next(self):
        """The next row; None after the last. An error raises."""
        line = self.file.readline()
        if not line:
            raise EOFError("the collector closed without an end")
        row = json.loads(line)
        if "error" in row:
            raise CtlError(row)
        self.is_done = row == {"done": True}
        return None if self.is_done else row

    def rows(self):
        return list(iter(self.next, None))

    def close(self):
        self.file.close()
        self.socket.close()


class LoopbackCollector:
    def __init__(self, directory, store=None, size="64M", lines=""):
        self.dir, self.store, self.port = directory, store or directory / "store", free_udp_port()
        self.conf, self.socket, self.log = directory / "c.conf", directory / "c.sock", directory / "c.log"
        self.conf.write_text(f"[collector]\nlisten = 127.0.0.1:{self.port}\n{lines}\n[store]\npath = {self.store}\n"
                             f"size = {size}\n[control]\nsocket = {self.socket}\n")
        self.popen = None

    def start(self, wrapper=(), env=None):
        with open(self.log, "a") as log:
            self.popen = subprocess.Popen([*map(str, wrapper), str(build_dir() / "jaga-collector"), "--config", str(self.conf)],
                                          stderr=log, env={**os.environ, **(env or {})})
        wait_until(self.answers, 20, "the collector answers on its socket")
        return self

    def answers(self):
        if self.popen.poll() is not None:
            raise LabError(f"collector ended with {self.popen.returncode}:\n{self.read_log()[-2000:]}")
        try:
            self.ctl(op="devices")
            return True
        except (OSError, EOFError):
            return False

    def stop(self):
        """SIGTERM; the exit status."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(20 * PATIENCE)

    def kill(self):
        self.popen.kill()
        self.popen.wait(20 * PATIENCE)

    def end(self):
        if self.popen and self.popen.poll() is None:
            self.kill()

    def read_log(self):
        return self.log.read_text()

    def stream(self, **request):
        return CtlStream(self.socket, **request)

    def ctl(self, **request):
        stream = self.stream(**request)
        try:
            return stream.rows()
        finally:
            stream.close()

    def counters(self):
        return self.ctl(op="status")[-1]["counters"]

    def problems(self):
        return {row["problem"]: row for row in self.ctl(op="status") if "problem" in row}

    def enroll(self, *names):
        return {name: self.ctl(op="enroll", device=name)[0]["key"] for name in names}


@contextlib.contextmanager
def attach_strace(collector, *arguments):
    """strace on all threads of the running collector."""
    strace = subprocess.Popen(["strace", "-f", "-q", *arguments, "-p", str(collector.popen.pid)], stderr=subprocess.DEVNULL)
    status = f"/proc/{collector.popen.pid}/status"
    try:
        wait_until(lambda: f"TracerPid:\t{strace.pid}" in open(status).read(), 10, "strace is attached")
        yield
    finally:
        strace.terminate()
        strace.wait()


Reply = collections.namedtuple("Reply", "code body")


class Devices:
    """Devices of a collector, all in one coapdev."""

    def __init__(self, collector):
        self.popen = subprocess.Popen([str(build_dir() / "tests/e2e/coapdev"), "127.0.0.1", str(collector.port)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.popen.stdout, selectors.EVENT_READ)
        os.set_blocking(self.popen.stdout.fileno(), False)
        self.partial, self.last_token = b"", 0
        self.sessions, self.replies, self.pushed = {}, {}, []

    def write(self, line):
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def pump(self, timeout_s=0.0):
        """Reads what has happened."""
        if not self.selector.select(timeout_s):
            return
        data = self.popen.stdout.read()
        if not data:
            raise LabError("coapdev ended")
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            self.take(line.decode().split(" "))

    def take(self, words):
        if words[0] != "recv":
            self.sessions[words[1]] = words[0]
            return
        _, name, token, code, body = words
        reply = Reply(int(code), b"" if body == "-" else bytes.fromhex(body))
        if token == "-":
            self.pushed.append((name, reply))
        else:
            self.replies.setdefault((name, token), []).append(reply)

    def wait(self, predicate, what, timeout_s=15):
        timeout_s *= PATIENCE
        deadline = time.monotonic() + timeout_s
        while not predicate():
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabError(f"{what}: not within {timeout_s:g} s")
            self.pump(min(left, 0.2))

    def open(self, keys, expect="open", greet=True):
        """
        Sessions for {name: key}, greeted; some at a time, for a collector bounds the sessions of one address that
        have not sent anything yet.
        """
        waiting = list(keys.items())
        while waiting:
            some, waiting = waiting[:HANDSHAKES_AT_ONCE], waiting[HANDSHAKES_AT_ONCE:]
            for name, key in some:
                self.sessions[name] = None
                self.write(f"open {name} {key}")
            self.wait(lambda: all(self.sessions[name] for name, _ in some), "handshakes end", 30)
            assert {self.sessions[name] for name, _ in some} == {expect}
            if expect == "open" and greet:
                sent = [self.send(name, POST, "hello", pb.Hello(boot_id=BOOT).SerializeToString()) for name, _ in some]
                self.wait(lambda: all(key in self.replies for key in sent), "hellos are answered")
                assert {self.replies.pop(key)[0].code for key in sent} == {204}

    def send(self, name, method, path, body=b"", con=True, content_format=FORMAT_PROTOBUF):
        """Sends a request; returns the token under which its reply will stand."""
        self.last_token += 1
        token = f"{self.last_token:04x}"
        self.write(f"send {name} {token} {'con' if con else 'non'} {method} {path} "
                   f"{content_format if body else '-'} {body.hex() or '-'}")
        return name, token

    def ask(self, *args, timeout_s=15, **kwargs):
        """Sends a request and waits for its reply."""
        key = self.send(*args, **kwargs)
        self.wait(lambda: key in self.replies, f"{args[0]} is answered on {args[2]}", timeout_s)
        return self.replies[key][0]

    def end(self):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()


def make_batch(boot, seqs, text=None):
    """A TelemetryBatch of notices with these sequence numbers; the text says which one each is."""
    batch = pb.TelemetryBatch(boot_id=boot, seq_from=seqs[0], seq_to=seqs[-1], sent_at_ms=10_000)
    for seq in seqs:
        batch.events.add(seq=seq, at_ms=9_000, notice=pb.Notice(subsystem="test", level=6, text=text or f"event {seq}"))
    return batch.SerializeToString()


def read_ack(reply):
    assert reply.code == 204, reply
    return pb.Ack.FromString(reply.body).seq


def report_events(devices, name, seqs):
    """Sends one batch of events until it is acknowledged: the rate of one device is bounded (4.29)."""
    reply = devices.ask(name, POST, "tm", make_batch(BOOT, seqs), con=False)
    while reply.code == 429:
        devices.pump(0.1)
        reply = devices.ask(name, POST, "tm", make_batch(BOOT, seqs), con=False)
    assert read_ack(reply) == seqs[-1]


def hand_in(devices, name, text):
    """As an agent does, woken for a snapshot."""
    path = f"snap/{hashlib.sha256(text).hexdigest()}"
    if devices.ask(name, PUT, path).code == 404:
        assert devices.ask(name, PUT, path, zlib.compress(text), content_format=65051).code == 204


def tell_doctor(devices, name, *traps, error="", question=-1):
    """As an agent does, woken for its doctor; the last time, or another."""
    runs = [pb.Wake.FromString(reply.body).run_doctor for at, reply in devices.pushed if at == name]
    message = pb.DoctorReport(run=[run for run in runs if run][question], error=error)
    for level, trap in traps:
        message.traps.add(level=level, id=trap, what=f"{trap} is wrong", fix=f"/mend {trap}")
    return devices.ask(name, PUT, "doctor", message.SerializeToString()).code
