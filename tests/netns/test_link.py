"""The slow line (tests/lab/link.c) is what it says: its round-trip time, rate, loss and counts, seen by ping and sockets."""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.lab.programs import build_dir

NEAR, FAR = "10.99.0.1", "10.99.0.2"
RATE_KBIT = 1024
SEND = """
import socket, sys, time
out = socket.create_connection(("%s", 5001))
out.sendall(b"x" * int(sys.argv[1]))
out.shutdown(socket.SHUT_WR)
out.recv(1)
""" % FAR
RECEIVE = """
import socket, time
listener = socket.create_server(("%s", 5001))
print("ready", flush=True)
peer, _ = listener.accept()
size, first_s = len(peer.recv(65536)), time.monotonic()
start = size
while piece := peer.recv(65536):
    size += len(piece)
print((size - start) * 8 / (time.monotonic() - first_s) / 1000, flush=True)
""" % FAR


class Line:
    """Two namespaces and a link between them."""

    def __init__(self, *options):
        self.names = [f"link{os.getpid()}-{end}" for end in ("near", "far")]
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        self.process = subprocess.Popen([build_dir() / "tests/lab/link", f"{self.names[0]}:line", f"{self.names[1]}:line", *options],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        for name, own, other in ((self.names[0], NEAR, FAR), (self.names[1], FAR, NEAR)):
            subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"], check=True)
            subprocess.run(["ip", "-n", name, "addr", "add", own, "peer", other, "dev", "line"], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "line", "up"], check=True)

    def command(self, end, *argv):
        return ["ip", "netns", "exec", self.names[end], *argv]

    def ping(self, *options):
        """(replies, the best round-trip time in ms: the others met with what else this machine does)"""
        text = subprocess.run(self.command(0, "ping", "-n", *options, FAR), capture_output=True, text=True, check=False).stdout
        times = [float(value) for value in re.findall(r"time=([\d.]+)", text)]
        return len(times), min(times)

    def throughput_kbit(self, size_bytes):
        with subprocess.Popen(self.command(1, sys.executable, "-c", RECEIVE), stdout=subprocess.PIPE, text=True) as far:
            assert far.stdout.readline() == "ready\n"
            subprocess.run(self.command(0, sys.executable, "-c", SEND, str(size_bytes)), check=True)
            return float(far.stdout.read())

    def end(self):
        """What it says it has carried: (there, back)."""
        self.process.send_signal(signal.SIGTERM)
        counts = json.loads(self.process.communicate(timeout=60)[0])
        assert self.process.returncode == 0
        return [counts[f"{name}:line"] for name in self.names]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=True)


@contextlib.contextmanager
def line(*options):
    one = Line(*options)
    try:
        yield one
    finally:
        one.close()


def test_round_trip_time():
    """20 ms, and what 84 bytes take at 1024 kbit/s, twice."""
    with line("--rate", str(RATE_KBIT), "--delay", "10") as one:
        replies, best_ms = one.ping("-c", "20", "-i", "0.05", "-W", "5")
        assert replies == 20
        assert 21.3 <= best_ms <= 26.0


def test_rate():
    with line("--rate", str(RATE_KBIT), "--delay", "10") as one:
        payload_kbit = one.throughput_kbit(256 * 1024)
        there, back = one.end()
        # 1448 of a packet's 1500 bytes are payload. How much less it is depends on who else wants this machine's time.
        assert 0.75 * RATE_KBIT <= payload_kbit <= 0.98 * RATE_KBIT
        assert there["lost"] == back["lost"] == back["dropped"] == 0
        assert there["carried_bytes"] > 256 * 1024


@pytest.mark.parametrize("seed", ("1", "7"))
def test_loss(seed):
    """5 % each way, counted."""
    with line("--loss", "50", "--seed", seed) as one:
        sent = 2000
        replies, _ = one.ping("-c", str(sent), "-i", "0.002", "-W", "5")
        there, back = one.end()
        assert there["seen"] == sent
        assert there["carried"] == there["seen"] - there["lost"] == back["seen"]
        assert back["carried"] == replies
        assert 0.035 <= there["lost"] / there["seen"] <= 0.065
        assert 0.035 <= back["lost"] / back["seen"] <= 0.065


def test_same_seed_loses_the_same():
    lost = []
    for seed in ("3", "3", "4"):
        with line("--loss", "200", "--seed", seed) as one:
            text = subprocess.run(one.command(0, "ping", "-n", "-c", "60", "-i", "0.005", "-W", "1", FAR), capture_output=True,
                                  text=True, check=False).stdout
            lost.append(re.findall(r"icmp_seq=(\d+)", text))
    assert lost[0] == lost[1] != lost[2]


def test_a_full_queue_drops():
    with line("--rate", "64", "--queue", "5") as one:
        one.ping("-c", "30", "-i", "0.002", "-s", "1000", "-W", "2")
        there, _ = one.end()
        assert there["dropped"] > 15 and there["lost"] == 0
        assert there["seen"] == 30 and 5 <= there["carried"] <= 30 - there["dropped"]  # the last one may still be on its way
