"""What a contender costs while it works: processor and memory of the server, of the routers, bytes on the lines, and the watch."""
import contextlib
import json
import os
import pathlib
import sys
import threading
import time

from tests.bench.fleet.lab import TICKS
from tests.bench.fleet.watch import ECHO_BYTES, PATIENCE_S
from tests.lab.lab import wait_until

SAMPLE_S = 0.2
HEARTBEAT_S = 30


def processes_in(netns):
    """The processes of a network namespace."""
    inode = os.stat(f"/run/netns/{netns}").st_ino
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                if os.stat(f"/proc/{entry.name}/ns/net").st_ino == inode:
                    yield int(entry.name)


def read_process(pid):
    """(processor time in seconds, without children; memory in KiB, shared pages divided among those who share them)"""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    memory = next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
                  if line.startswith("Pss:"))
    return (int(fields[11]) + int(fields[12])) / TICKS, memory


def machine_busy_s():
    """What all processors together have worked, for whomever."""
    fields = pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    return (sum(map(int, fields)) - int(fields[3]) - int(fields[4])) / TICKS


class Server:
    """Samples every process in the server's namespace but the watch. One that lives less than a sample is not seen."""

    def __init__(self, netns, but, heartbeat):
        self.netns, self.but, self.heartbeat = netns, but, heartbeat
        self.cpu_s, self.before_s = {}, {}
        self.peak_kib = 0
        self.ended = threading.Event()
        self.begin()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def begin(self):
        """What was used before does not count."""
        self.sample()
        self.before_s = dict(self.cpu_s)

    def sample(self):
        total_kib = 0
        for pid in processes_in(self.netns):
            if pid not in self.but:
                with contextlib.suppress(OSError, StopIteration):  # it has ended
                    self.cpu_s[pid], memory_kib = read_process(pid)
                    total_kib += memory_kib
        self.peak_kib = max(self.peak_kib, total_kib)

    def run(self):
        next_s = time.monotonic() + HEARTBEAT_S
        while not self.ended.wait(SAMPLE_S):
            self.sample()
            if time.monotonic() > next_s:
                next_s += HEARTBEAT_S
                self.heartbeat()

    def end(self):
        self.sample()
        self.ended.set()
        self.thread.join()
        return {"cpu_s": round(sum(used - self.before_s.get(pid, 0) for pid, used in self.cpu_s.items()), 2), "memory_kib": self.peak_kib}


class Watch:
    """The program watch.py in the server's namespace."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.program = fleet.srv.start("watch", sys.executable, "-m", "tests.bench.fleet.watch",
                                       *(f"{device.line}={device.host}" for device in fleet.devices))
        self.program.wait_log(r"\}\n", 30)

    def rows(self, from_s, to_s):
        """The seconds in between; waits for the last one's answers."""
        wait_until(lambda: self.read()[-1]["at"] >= to_s - 1, PATIENCE_S + 10, "the watch tells of the last second", 0.2)
        return [row for row in self.read() if from_s <= row["at"] <= to_s]

    def read(self):
        return [json.loads(line) for line in self.program.read_log().splitlines() if line.endswith("}}}")]


def watched(rows, device):
    """What the watch saw of one router: losses, response times, throughput."""
    seen = [row["routers"][device.line] for row in rows]
    times = [one["rtt_ms"] for one in seen if one["rtt_ms"] is not None]
    rates = [(b["bytes"] - a["bytes"]) * 8 / 1000 for a, b in zip(seen, seen[1:])]
    return {"asked": len(seen), "lost": len(seen) - len(times), "rtt_ms": round(sum(times) / len(times), 1) if times else None,
            "rtt_max_ms": max(times, default=None), "kbit_s": round(sum(rates) / len(rates), 1) if rates else None,
            "kbit_max_s": round(max(rates), 1) if rates else None}


class Meter:
    """Everything of one call of a contender: begin() when it does, end() after."""

    def __init__(self, fleet, watch, progress=lambda _: None):
        self.fleet, self.watch, self.progress = fleet, watch, progress
        self.server = Server(fleet.srv.name, {watch.program.pid}, self.tell)
        self.begin()

    def tell(self):
        carried = self.fleet.count_bytes() - self.bytes
        self.progress(f"... {time.monotonic() - self.begun_s:.0f} s, {carried / 1e6:.2f} MB on the lines")

    def begin(self):
        self.begun_s = time.monotonic()
        self.server.begin()
        self.bytes, self.routers_s, self.busy_s = self.fleet.count_bytes(), self.fleet.routers_cpu_s(), machine_busy_s()

    def end(self):
        ended_s = time.monotonic()
        used = self.server.end()
        carried, routers_s = self.fleet.count_bytes() - self.bytes, self.fleet.routers_cpu_s() - self.routers_s
        processors_s = (ended_s - self.begun_s) * (os.cpu_count() or 1)
        machine_share = (machine_busy_s() - self.busy_s) / processors_s
        rows = self.watch.rows(self.begun_s, ended_s)
        pings = sum(1 + (one["rtt_ms"] is not None) for row in rows for one in row["routers"].values())
        return {**used, "bytes": carried - pings * ECHO_BYTES, "rosim_cpu_s": round(routers_s, 2),
                "rosim_share": round(routers_s / processors_s, 3), "machine_share": round(machine_share, 3),
                "watch": {device.name: watched(rows, device) for device in self.fleet.devices}}
