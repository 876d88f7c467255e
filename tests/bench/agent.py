"""make bench-agent: memory and processor time of a running jaga-agent with two uplinks and a live session.

Both uplinks are probed at the default rate, the session with a real collector stays open all the time
(proven before and after), one fail-over and fail-back happen first so that the figures hold what an agent
that has worked holds. Processor time is the scheduler's own count (/proc/PID/schedstat, nanoseconds), over 60 s.

Writes build/bench/agent.json: rss_kb (VmRSS), pss_kb, heap_kb (resident pages of the heap), cpu_permille of
one core, and the figures behind them.
"""
import argparse
import json
import os
import pathlib
import re
import sys
import time

from tests.lab.lab import Lab, LabError, exit_on_sigterm
from tests.lab.programs import Agent, Cli, Collector, start_echo

OUT = pathlib.Path("build/bench")
MEASURE_S = 60
STEP_S = 10
TARGETS = {"rss_kb": 3000, "cpu_permille": 5}


def read_cpu_ns(pid):
    """Time on a processor of all threads."""
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def read_memory_kb(pid):
    """{rss, rss_anon, pss, heap, peak} in KB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    smaps = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    heap = re.search(r"\[heap\]\n(?:.*\n)*?Rss:\s+(\d+) kB", smaps)

    def field(text, name):
        return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M)[1])
    return {"rss": field(status, "VmRSS"), "rss_anon": field(status, "RssAnon"), "peak": field(status, "VmHWM"),
            "pss": field(rollup, "Pss"), "heap": int(heap[1]) if heap else 0}


def prove_session(agent):
    if agent.status()["session"] != "open":
        raise LabError(f"the session is {agent.status()['session']}, not open")


def measure(seconds):
    with Lab() as lab:
        start_echo(lab)
        cli = Cli(Collector(lab).start())
        agent = Agent(lab, collector=True)
        agent.enroll(cli)
        agent.start()
        cli.wait_online(agent.name)
        fresh = read_memory_kb(agent.program.pid)
        print(f"  started: {fresh['rss']} KB resident; one fail-over and back first", flush=True)
        lab.cut("ii")
        agent.wait_state(1, "down", 10)
        lab.restore()
        agent.wait_state(1, "up", 60)
        cli.wait_event(agent.name, 60, kind="uplink", uplink="isp1", to="up")
        prove_session(agent)
        pid, began = agent.program.pid, time.monotonic()
        cpu_ns = read_cpu_ns(pid)
        while time.monotonic() - began < seconds:
            time.sleep(min(STEP_S, seconds))
            elapsed = time.monotonic() - began
            print(f"  {elapsed:3.0f} s: {(read_cpu_ns(pid) - cpu_ns) / elapsed / 1e6:.2f} per mille of a core", flush=True)
        elapsed = time.monotonic() - began
        cpu_permille = (read_cpu_ns(pid) - cpu_ns) / elapsed / 1e6
        memory = read_memory_kb(pid)
        prove_session(agent)
    return {"rss_kb": memory["rss"], "pss_kb": memory["pss"], "heap_kb": memory["heap"], "rss_anon_kb": memory["rss_anon"],
            "rss_peak_kb": memory["peak"], "rss_at_start_kb": fresh["rss"], "cpu_permille": round(cpu_permille, 2),
            "seconds": round(elapsed)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/host")
    parser.add_argument("--seconds", type=int, default=MEASURE_S)
    args = parser.parse_args()
    os.environ["JAGA_BUILD"] = args.build
    exit_on_sigterm()
    values = measure(args.seconds)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "agent.json").write_text(json.dumps(values, indent=1) + "\n")
    for key, value in values.items():
        verdict = f"  {'reached' if value <= TARGETS[key] else 'MISSED'} (to reach: <= {TARGETS[key]})" if key in TARGETS else ""
        print(f"  {key:16} {value}{verdict}")
    print(f"  written: {OUT}/agent.json")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
