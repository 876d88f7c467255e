"""make bench-collector: how many routers one core of a collector serves.

A fleet of 2,000 simulated agents (tests/bench/load.c: real DTLS sessions on loopback, each from an address of
its own) against the real jaga-collector with its store on this disk. The collector, its store thread and
its workers are held to one core, the load program to another. Three repetitions, each with a fresh collector on
the same store; medians count:

    handshakes_per_s     ECDHE-PSK handshakes, 64 at once
    rss_per_session_kb   growth of the collector's resident memory by 2,000 sessions that have said hello
    acks_per_s           batches of 10 events, acknowledged after their durable commit, 512 on their way; agents
                         pace themselves, so that 2,000 of them cannot send more than 34,000 a second
    ack_p99_ms           the same at half that rate, sent on a fixed schedule, counted from when each was due
    spoofed_hello_us     processor time of a Client Hello whose sender never returns its cookie, each from another
                         address: what a flood costs, beside 2,000 sessions

Writes build/bench/collector.json. A run in which an Ack was wrong, or a batch got lost on loopback, is invalid.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

OUT = pathlib.Path("build/bench")
SESSIONS = 2000
REPETITIONS = 3
SECONDS = 10
WINDOW = 512
READY_S = 30
FLOOD = 10000
# A Client Hello of DTLS 1.2 with one cipher suite and one group: record, handshake, version, random, no session id,
# no cookie, suites, compressions, extensions.
HELLO_BODY = bytes.fromhex("fefd" + "ab" * 32 + "00" "00" "0002ccac" "0100" "0008000a00040002001d")
HELLO_SIZE = len(HELLO_BODY).to_bytes(3, "big")
HELLO = (bytes.fromhex("16fefd" "0000000000000000") + (len(HELLO_BODY) + 12).to_bytes(2, "big") +
         b"\1" + HELLO_SIZE + bytes(5) + HELLO_SIZE + HELLO_BODY)
TARGETS = {"acks_per_s": (10000, ">="), "ack_p99_ms": (50, "<="), "rss_per_session_kb": (16, "<="),
           "handshakes_per_s": (800, ">="), "spoofed_hello_us": (20, "<=")}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(condition, what):
    end = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"bench-collector: {what}: not within {READY_S} s")
        time.sleep(0.05)


class Collector:
    """The real daemon on a port and store of its own, held to one core."""

    def __init__(self, build, directory, core):
        self.dir, self.core, self.binary = directory, core, build / "jaga-collector"
        self.port = free_port()
        self.runtime = tempfile.TemporaryDirectory(prefix="jaga-bench-")  # the path of a socket must be short
        self.socket = pathlib.Path(self.runtime.name) / "ctl.sock"
        self.conf = directory / "collector.conf"
        self.conf.write_text(f"[collector]\nlisten = 127.0.0.1:{self.port}\n"
                             f"[store]\npath = {directory.resolve() / 'store'}\nsize = 16G\n"
                             f"[control]\nsocket = {self.socket}\n")
        self.process = None

    def start(self):
        with open(self.dir / "collector.log", "a") as log:
            self.process = subprocess.Popen(["taskset", "-c", str(self.core), self.binary, "--config", self.conf],
                                            stdout=log, stderr=log)
        wait_for(self.answers, f"the collector answers (its log: {self.dir}/collector.log)")

    def answers(self):
        if self.process.poll() is not None:
            sys.exit("bench-collector: the collector ended:\n" + (self.dir / "collector.log").read_text()[-2000:])
        try:
            self.ask({"op": "status"})
            return True
        except OSError:
            return False

    def ask(self, request):
        """The rows of one request on the control socket (collector/ctl.h)."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.socket))
            sock.sendall(json.dumps(request).encode() + b"\n")
            lines = [json.loads(line) for line in sock.makefile("rb")]
        if "error" in lines[-1]:
            sys.exit(f"bench-collector: {request}: {lines[-1]}")
        return lines[:-1]

    def rss_kb(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise SystemExit("bench-collector: no VmRSS")

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def counters(self):
        return self.ask({"op": "status"})[-1]["counters"]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            if self.process.wait(READY_S) != 0:
                sys.exit(f"bench-collector: the collector ended with {self.process.returncode}")


class Load:
    """load.c: a command a line, an object a line."""

    def __init__(self, build, port, keys, core):
        self.process = subprocess.Popen(["taskset", "-c", str(core), build / "tests/bench/load", "127.0.0.1",
                                         str(port), keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench-collector: the load program ended at '{command}'")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(READY_S)


def enrol(collector):
    """Makes the fleet known, through the control socket as `jaga enroll` does."""
    keys = collector.dir / "keys"
    with open(keys, "w") as file:
        for n in range(SESSIONS):
            row = collector.ask({"op": "enroll", "device": f"bench{n}"})[0]
            file.write(f"{row['device']} {row['key']}\n")
    return keys


def check(result, what):
    if result["errors"] or result["acks"] != result["sent"]:
        sys.exit(f"bench-collector: invalid, {what}: {result}")


def flood(collector):
    """Microseconds of processor time a Client Hello."""
    seen, cpu_before = collector.counters()["cookies_asked"], collector.cpu_s()
    for n in range(FLOOD):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((f"127.1.{n >> 8}.{n & 255}", 0))
            sock.sendto(HELLO, ("127.0.0.1", collector.port))
    seen = collector.counters()["cookies_asked"] - seen
    if seen < FLOOD // 2:
        sys.exit(f"bench-collector: invalid, only {seen} of {FLOOD} Client Hellos arrived")
    return (collector.cpu_s() - cpu_before) * 1e6 / seen


def repeat(build, collector, keys, cores):
    collector.start()
    load = Load(build, collector.port, keys, cores[1])
    try:
        rss_before = collector.rss_kb()
        opened = load.ask(f"open {SESSIONS}")
        greeted = load.ask("hello")
        if opened["handshakes"] != SESSIONS or greeted["hellos"] != SESSIONS:
            sys.exit(f"bench-collector: invalid, not all sessions opened: {opened} {greeted}")
        rss_after = collector.rss_kb()
        cpu_before = collector.cpu_s()
        full = load.ask(f"run {SECONDS} 0 {WINDOW}")
        cpu_after = collector.cpu_s()
        check(full, "at full load")
        rate = full["acks"] / SECONDS
        half = load.ask(f"run {SECONDS} {int(rate / 2)} {SESSIONS}")
        check(half, "at half load")
        spoofed_hello_us = flood(collector)
    finally:
        load.stop()
        collector.stop()
    return {
        "acks_per_s": rate, "ack_p99_ms": half["p99_ms"], "ack_p50_ms": half["p50_ms"], "ack_max_ms": half["max_ms"],
        "full_load_p99_ms": full["p99_ms"], "resent": full["resent"] + half["resent"],
        "spoofed_hello_us": spoofed_hello_us,
        "rss_per_session_kb": (rss_after - rss_before) / SESSIONS,
        "handshakes_per_s": opened["handshakes"] / opened["seconds"], "handshake_worst_ms": opened["worst_ms"],
        "core_used_percent": (cpu_after - cpu_before) * 100 / (SECONDS),
        "cpu_us_per_ack": (cpu_after - cpu_before) * 1e6 / full["acks"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/host"))
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("bench-collector: needs two cores, one for the collector and one for the load")
    directory = OUT / "collector"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    collector = Collector(args.build, directory, cores[0])
    collector.start()
    print(f"  enrolling {SESSIONS} devices", flush=True)
    keys = enrol(collector)
    collector.stop()
    rows = []
    for n in range(REPETITIONS):
        rows.append(repeat(args.build, collector, keys, cores))
        print(f"  repetition {n + 1}: {rows[-1]['acks_per_s']:.0f} acks/s, p99 {rows[-1]['ack_p99_ms']:.1f} ms at half, "
              f"{rows[-1]['handshakes_per_s']:.0f} handshakes/s", flush=True)
    medians = {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}
    medians["sessions"] = SESSIONS
    shutil.rmtree(directory / "store")
    (OUT / "collector.json").write_text(json.dumps(medians, indent=1) + "\n")
    print(f"\n  {'figure':22}{'median':>10}   to reach")
    reached = True
    for key, (target, sign) in TARGETS.items():
        ok = medians[key] >= target if sign == ">=" else medians[key] <= target
        reached &= ok
        print(f"  {key:22}{medians[key]:>10.1f}   {sign} {target}{'' if ok else '   NOT REACHED'}")
    for key in medians.keys() - TARGETS.keys():
        print(f"  {key:22}{medians[key]:>10.1f}")
    if not reached and medians["core_used_percent"] < 80 and medians["acks_per_s"] < 25000:
        print(f"  The collector had {medians['core_used_percent']:.0f} % of its core: other programs were running. "
              "Repeat on a quiet machine.")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
