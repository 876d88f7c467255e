"""make bench-failover: how long users are offline when an uplink dies, beside what people use today.

20 repetitions each of Jaga under faults i, ii and iii (tests/lab/lab.py), and of a shell ping loop
and keepalived's ping script (contenders/) under ii, interleaved in one run. Each repetition has a
fresh laboratory and a fresh program, which gets its warm-up and a random while, so that the fault
falls at a random phase of its probes. A repetition proves that the measured flows used ISP 1 before
the cut (echod saw its address; ISP 1's counters rose), that the fault was the fault it should be,
and that the flows use ISP 2 after it.

Outage: the longer of the longest gap of new connections and of existing UDP flows, as tests/lab/lanprobe.c
defines them. A repetition during which the instrument itself started a tick more than 20 ms late
measured the machine and is done again (told, and counted as voided_repetitions).

The run is resumable: build/bench/failover.state.jsonl has a line for each repetition and goes on where
it was stopped, as long as the agent under test is the same file. It is invalid, writes no figures and exits 1
when the median of a contender is outside what it is known for: then it did not run as people use it.
"""
import argparse
import hashlib
import json
import math
import os
import pathlib
import random
import statistics
import sys
import time

from tests.lab.lab import UPLINKS, Lab, LabError, exit_on_sigterm, wait_until
from tests.lab.programs import Agent, LanProbe, build_dir, start_echo

CONTENDERS = pathlib.Path(__file__).parent / "contenders"
OUT = pathlib.Path("build/bench")
REPETITIONS = 20
SERIES = (("jaga", "ii"), ("shell", "ii"), ("jaga", "iii"), ("keepalived", "ii"), ("jaga", "i"))
VALID_MEDIAN_MS = {"shell": (3000, 7000), "keepalived": (2000, 4000)}
TARGETS_MS = {"ii_outage_p95_ms": 800, "iii_outage_p95_ms": 800, "carrier_outage_p95_ms": 50}
PHASE_S = 2.0  # the random while before the fault: two rounds of the slowest contender's probes
LATE_MS = 20
VOID_LIMIT = 20
RECOVERY_S = 30


# --- the contenders ------------------------------------------------------------------------------

def start_jaga(lab):
    """5 s are 50 probe rounds: round-trip times are learnt."""
    agent = Agent(lab).start()
    for number in UPLINKS:
        agent.wait_state(number, "up", 10)
    return 5.0


def start_plain(lab):
    lab.rtr.run("nft", "-f", CONTENDERS / "plain.nft")


def start_shell(lab):
    start_plain(lab)
    lab.rtr.start("shell", "sh", CONTENDERS / "shell.sh")
    return 2.0


def start_keepalived(lab):
    start_plain(lab)
    conf = lab.dir / "keepalived.conf"
    conf.write_text((CONTENDERS / "keepalived.conf").read_text().replace("@DIR@", str(CONTENDERS.resolve())))
    program = lab.rtr.start("keepalived", "keepalived", "-n", "-l", "-P", "-f", conf,
                            "-p", lab.dir / "keepalived.pid", "-r", lab.dir / "vrrp.pid")
    program.wait_log("Entering MASTER STATE", 15)
    return 2.0


STARTS = {"jaga": start_jaga, "shell": start_shell, "keepalived": start_keepalived}


# --- one repetition ----------------------------------------------------------------------------------

def prove_before(lab, probe):
    """The measured streams work and use ISP 1."""
    probe.wait_ticks(50, 5)
    carried = lab.carried(1)
    wait_until(lambda: lab.carried(1) > carried, 2, "ISP 1 carries traffic before the cut")
    _, streams = probe.report()
    for stream in streams:
        if stream["role"] == "measured" and stream["seen_as"] != UPLINKS[1]["address"]:
            raise LabError(f"before the cut {stream['stream']} to {stream['destination']} is seen as {stream['seen_as']}")


def prove_after(streams):
    """The users are online by ISP 2."""
    for stream in streams:
        if stream["stream"] == "udp" and stream["seen_as"] != UPLINKS[2]["address"]:
            raise LabError(f"after the cut UDP to {stream['destination']} is seen as {stream['seen_as']}")


def repeat(contender, fault):
    """The figures of one repetition."""
    with Lab() as lab:
        start_echo(lab)
        warm_up_s = STARTS[contender](lab)
        probe = LanProbe(lab)
        time.sleep(warm_up_s + random.uniform(0, PHASE_S))
        prove_before(lab, probe)
        summary, streams = probe.cut(lab, fault, timeout_s=RECOVERY_S)
        prove_after(streams)
        probe.close()
    return {"outage_ms": summary["outage_ms"], "connect_gap_ms": summary["connect_gap_ms"],
            "udp_gap_ms": summary["udp_gap_ms"], "control_gap_ms": summary["control_gap_ms"],
            "late_ms": summary["late_ms"]}


# --- the run -----------------------------------------------------------------------------------------

class State:
    """The repetitions that are done, a line each."""

    def __init__(self, path):
        self.path = path
        self.subject = hashlib.sha256((build_dir() / "jaga-agent").read_bytes()).hexdigest()
        self.rows = []
        if path.exists():
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            if rows and rows[0].get("subject") == self.subject:
                self.rows = rows[1:]
                print(f"going on after {len(self.rows)} repetitions ({path})")
        if not self.rows:
            path.write_text(json.dumps({"subject": self.subject}) + "\n")

    def add(self, row):
        self.rows.append(row)
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def of(self, contender, fault):
        return [row for row in self.rows
                if (row["contender"], row["fault"], row["void"]) == (contender, fault, False)]

    def n_void(self):
        return sum(1 for row in self.rows if row["void"])


def p95(values):
    """Nearest rank: of 20 values the 19th."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def figures(state):
    values = {}
    for contender, fault in SERIES:
        rows = state.of(contender, fault)
        prefix = f"{contender}_{fault}" if contender != "jaga" else "carrier" if fault == "i" else fault
        for what in ("outage", "connect_gap", "udp_gap"):
            of_rows = [row[f"{what}_ms"] for row in rows]
            values[f"{prefix}_{what}_p50_ms"] = round(statistics.median(of_rows), 1)
            values[f"{prefix}_{what}_p95_ms"] = round(p95(of_rows), 1)
    values["repetitions"] = REPETITIONS
    values["voided_repetitions"] = state.n_void()
    return values


def find_invalid(values):
    for contender, (low, high) in VALID_MEDIAN_MS.items():
        median = values[f"{contender}_ii_outage_p50_ms"]
        if not low <= median <= high:
            yield f"{contender}'s median under ii is {median} ms, known for {low}-{high} ms"


def print_figures(values):
    print(f"\n  {'outage':12} {'p50':>8} {'p95':>8}   new connections p95   existing UDP p95   (ms)")
    for contender, fault in SERIES:
        prefix = f"{contender}_{fault}" if contender != "jaga" else "carrier" if fault == "i" else fault
        print(f"  {contender + ' ' + fault:12.14} {values[prefix + '_outage_p50_ms']:8.1f} {values[prefix + '_outage_p95_ms']:8.1f}"
              f"   {values[prefix + '_connect_gap_p95_ms']:19.1f}   {values[prefix + '_udp_gap_p95_ms']:16.1f}")
    for key, target in TARGETS_MS.items():
        print(f"  {key} = {values[key]}: {'reached' if values[key] <= target else 'MISSED'} (to reach: <= {target})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/host")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    args = parser.parse_args()
    os.environ["JAGA_BUILD"] = args.build
    exit_on_sigterm()
    OUT.mkdir(parents=True, exist_ok=True)
    state = State(OUT / "failover.state.jsonl")
    total = args.repetitions * len(SERIES)
    for number in range(args.repetitions):
        for contender, fault in SERIES:
            while len(state.of(contender, fault)) <= number:
                if state.n_void() > VOID_LIMIT:
                    print("this machine is too busy to measure on: too many late ticks", file=sys.stderr)
                    return 1
                row = repeat(contender, fault)
                row.update(contender=contender, fault=fault, void=row["late_ms"] > LATE_MS)
                state.add(row)
                print(f"  [{len(state.rows) - state.n_void()}/{total}] {contender} {fault}: outage {row['outage_ms']:.0f} ms"
                      f" (connect {row['connect_gap_ms']:.0f}, UDP {row['udp_gap_ms']:.0f})"
                      + (f"  void: a tick was {row['late_ms']:.0f} ms late" if row["void"] else ""), flush=True)
    values = figures(state)
    print_figures(values)
    state.path.rename(OUT / "failover.last.jsonl")
    (OUT / "failover.json").unlink(missing_ok=True)
    invalid = list(find_invalid(values))
    for line in invalid:
        print(f"invalid run: {line}", file=sys.stderr)
    if invalid:
        return 1
    (OUT / "failover.json").write_text(json.dumps(values, indent=1) + "\n")
    print(f"  written: {OUT}/failover.json")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; the next run goes on from here", file=sys.stderr)
        sys.exit(130)
