"""make bench-fleet: ten routers configured and backed up, by Jaga and by what people use today.

The work is S1's (tests/workloads/s1.py): 496 lines on each of ten routers, then a backup of each. The routers are simulated
(tests/rosim) and stand behind lines of 1024 kbit/s and 20 ms (lab.py). Three scenarios, each with fresh routers:

    clean    configure all, compare each router's whole configuration with what its script makes; change something on each by
             hand; back up all, compare each text. Contenders take turns, and those that vary are repeated
    loss     the same with the first 40 lines of each script, and the lines lose 5 % of the packets each way
    faults   three routers: one rejects its line 250, one is cut off by its line 400, one is well. Who notices, who brings it back.
             Nothing of it is timed, so all contenders do it at once, each with a fleet of its own

A contender's time is that of its last router. The comparison is not in it. rosim's share of this machine's processors is told, and
that of everything together, since routers that wait for a processor would measure the machine.

Jaga is asked twice more: for a backup when nothing has changed anywhere, and for one when somebody has just changed one router.

The whole takes about 25 minutes, of which sequential Paramiko takes 14. It is resumable: build/bench/fleet.state.jsonl has a line for
each repetition, as long as bench and routers are the same files. Writes build/bench/fleet.json when nothing was left out.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import statistics
import sys
import time

from tests.bench.fleet.contenders import CONTENDERS
from tests.bench.fleet.lab import EXPORT_S, RATE_KBIT, SERVICE_S, Fleet, settings_of
from tests.bench.fleet.usage import Meter, Watch
from tests.lab.lab import LabError, exit_on_sigterm, wait_until
from tests.workloads import s1

OUT = pathlib.Path("build/bench")
LOSS_PERMILLE, LOSS_LINES = 50, 40
SCENARIOS = ("clean", "loss", "faults")
REJECTED_AT, REJECTED = 250, "/ip address add address=172.16.300.1/24 interface=vlan110 comment=\"a slip\""
CUT_AT, CUT = 400, "/ip firewall filter add chain=input action=drop in-interface=ether1 comment=\"nobody needs this\""
FAULTY_ROUTERS, REJECTING, CUTTING = 3, 0, 5  # how many, and the indexes of the two
FAULTS_PATIENCE_S = 300  # the slowest, sequential Paramiko, takes 190 s when it is told that its router does not answer
AT_LEAST = {"configure_ratio_paramiko": 10, "backup_ratio_paramiko": 10, "configure_ratio_best_other": 3, "backup_ratio_best_other": 3}
AT_MOST = {"backup_unchanged_s_jaga": 1.0}
OURS = ("jaga", "jaga_unconfirmed")
BY_HAND = "/ip firewall filter add chain=forward action=accept comment=\"changed by hand {}\""
SUBJECT = ("tests/bench/fleet", "tests/rosim", "tests/workloads", "tests/lab/link.c", "agent", "collector", "common", "proto")


def say(text):
    print(f"  {text}", flush=True)


# --- one repetition ------------------------------------------------------------------------------------

def last(results):
    return round(max(result.at_s for result in results.values()), 2)


def prove_configured(fleet, scripts):
    """{router: how many settings of its script are missing or other than they should be}"""
    wrong = {}
    for device in fleet.devices:
        expected, found = device.expected(scripts[device.name]), fleet.settings(device)
        wrong[device.name] = sum((expected - found).values()) + sum((found - expected).values())
    return wrong


def prove_backed_up(fleet, results):
    """Routers whose text is the whole configuration that they have."""
    return sum(1 for device in fleet.devices
               if results[device.name].text is not None and settings_of(results[device.name].text) == fleet.settings(device))


def measured(fleet, watch, contender, job, *arguments):
    """(results, row) of one call."""
    meter = Meter(fleet, watch, contender.progress)
    contender.begin = meter.begin
    results = getattr(contender, job)(*arguments)
    row = meter.end()
    row.update(s=last(results), said_ok=sum(result.ok for result in results.values()),
               errors={name: result.error for name, result in results.items() if result.error})
    return results, row


def repeat_work(kind, args, loss_permille):
    n_lines = min(args.lines, LOSS_LINES) if loss_permille else args.lines
    with Fleet(args.routers, loss_permille) as fleet:
        contender = kind(fleet, progress=say)
        try:
            contender.start()
            watch = Watch(fleet)
            scripts = {device.name: s1.script(device.index)[:n_lines] for device in fleet.devices}
            _, configure = measured(fleet, watch, contender, "configure", scripts)
            wrong = prove_configured(fleet, scripts)
            configure.update(right=sum(1 for count in wrong.values() if count == 0), wrong=wrong)
            change_by_hand(fleet, fleet.devices, 1)
            results, backup = measured(fleet, watch, contender, "backup")
            backup["right"] = prove_backed_up(fleet, results)
            row = {"routers": len(scripts), "configure": configure, "backup": backup, "version": contender.version()}
            if hasattr(contender, "backup_unchanged"):
                row["unchanged"] = repeat_unchanged(fleet, contender)
        finally:
            contender.stop()
    return {**row, "lines": fleet.carried}


def change_by_hand(fleet, devices, number):
    """Somebody else changes something: a backup that is taken now has to be a new one, whatever was known before."""
    for device in devices:
        fleet.ask(device, BY_HAND.format(number))


def repeat_unchanged(fleet, contender):
    """Two backups by a contender that knows whether anything has changed: nothing has, and one router has just now."""
    before, unchanged_s = contender.backup_unchanged()
    change_by_hand(fleet, fleet.devices[-1:], 2)
    changed, one_s = contender.backup_unchanged()
    return {"s": round(unchanged_s, 3), "one_changed_s": round(one_s, 3),
            "found": before == set() and changed == {fleet.devices[-1].name}}


def repeat_faults(kind, args, _loss_permille):
    with Fleet(FAULTY_ROUTERS, cut={CUTTING}) as fleet:
        contender = kind(fleet, patience_s=FAULTS_PATIENCE_S)
        try:
            contender.start()
            scripts = {device.name: s1.script(device.index)[:args.lines] for device in fleet.devices}
            names = {device.index: device.name for device in fleet.devices}
            scripts[names[REJECTING]].insert(REJECTED_AT - 1, REJECTED)
            scripts[names[CUTTING]].insert(CUT_AT - 1, CUT)
            results = contender.configure(scripts)
            cut = next(device for device in fleet.devices if device.index == CUTTING)
            version = contender.version()
            return {"version": version, **judge_faults(fleet, contender, results, names, cut, scripts)}
        finally:
            contender.stop()


def judge_faults(fleet, contender, results, names, cut, scripts):
    """What the contender said about the two routers, and what became of them."""
    rejecting, number, begun_s = results[names[REJECTING]], scripts[names[REJECTING]].index(REJECTED) + 1, time.monotonic()
    try:
        wait_until(lambda: fleet.reachable(cut), contender.recovers_within_s, "the router that was cut off answers again", 0.5)
        recovered_s = round(time.monotonic() - begun_s, 1)
    except LabError:
        recovered_s = None
    lines = [line for line in scripts[names[REJECTING]] if line != REJECTED]
    first = next(device for device in fleet.devices if device.index == REJECTING)
    return {"rejected_noticed": not (rejecting.ok or rejecting.hung), "rejected_line_named": bool(re.search(rf"\b{number}\b", rejecting.error or "")),
            "rejected_error": rejecting.error, "rejected_missing": sum((first.expected(lines) - fleet.settings(first)).values()),
            "cut_noticed": not (results[cut.name].ok or results[cut.name].hung), "cut_error": results[cut.name].error, "cut_recovered": recovered_s is not None,
            "cut_recovered_s": recovered_s, "s": last(results)}


REPEAT = {"clean": repeat_work, "loss": repeat_work, "faults": repeat_faults}


# --- the run ----------------------------------------------------------------------------------------------

def subject(args):
    """What a figure belongs to."""
    digest = hashlib.sha256(json.dumps([args.routers, args.lines]).encode())
    for name in SUBJECT:
        for path in sorted(pathlib.Path(name).rglob("*")) if os.path.isdir(name) else [pathlib.Path(name)]:
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.read_bytes())
    return digest.hexdigest()


class State:
    """The repetitions that are done, a line each."""

    def __init__(self, path, of):
        self.path, self.rows = path, []
        if path.exists():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if rows and rows[0].get("subject") == of:
                self.rows = rows[1:]
                say(f"going on after {len(self.rows)} repetitions ({path})")
        if not self.rows:
            path.write_text(json.dumps({"subject": of}) + "\n", encoding="utf-8")

    def add(self, row):
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def of(self, name, scenario):
        return [row for row in self.rows if (row["contender"], row["scenario"]) == (name, scenario)]


def repetitions(args, name, scenario):
    return CONTENDERS[name].repetitions if scenario == "clean" and not args.is_trial else 1


def taking_part(names, scenario):
    return [name for name in names if scenario in CONTENDERS[name].scenarios]


def turns(args, scenario):
    """Every contender once, then those that are repeated once more, ...: what disturbs the machine meets all."""
    names = taking_part(args.only, scenario)
    rounds = max((repetitions(args, name, scenario) for name in names), default=0)
    return [name for number in range(rounds) for name in names if repetitions(args, name, scenario) > number]


def tell_row(name, scenario, row):
    if "unchanged" in row:
        one = row["unchanged"]
        say(f"{name} {scenario}: {one['s']:.2f} s for all unchanged; {one['one_changed_s']:.2f} s with one changed, "
            f"{'found' if one['found'] else 'NOT found'}")
    if scenario == "faults":
        say(f"{name}: rejected line {'noticed' if row['rejected_noticed'] else 'NOT noticed'}"
            f"{' with its number' if row['rejected_line_named'] else ''}; router cut off "
            f"{'noticed' if row['cut_noticed'] else 'NOT noticed'}, {'recovered' if row['cut_recovered'] else 'NOT recovered'}")
        return
    for job in ("configure", "backup"):
        part = row[job]
        say(f"{name} {scenario}: {job} {part['s']:.1f} s, {part['right']} of {row['routers']} right, {part['bytes'] / 1e6:.2f} MB, "
            f"CPU {part['cpu_s']:.1f} s, {part['memory_kib'] / 1024:.0f} MiB; of the processors rosim took "
            f"{100 * part['rosim_share']:.0f} %, everything {100 * part['machine_share']:.0f} %")
        for router, error in part["errors"].items():
            say(f"    {router}: {error}")


def repeat(name, scenario, args):
    return REPEAT[scenario](CONTENDERS[name], args, LOSS_PERMILLE if scenario == "loss" else 0)


def keep(state, name, scenario, row):
    state.add({"contender": name, "scenario": scenario, **row})
    tell_row(name, scenario, row)


def run_at_once(args, state, scenario):
    """Each in a process of its own."""
    names = [name for name in taking_part(args.only, scenario) if not state.of(name, scenario)]
    say(f"{scenario}: {', '.join(names)}, at once")
    with concurrent.futures.ProcessPoolExecutor(len(names) or 1) as pool:
        rows = {pool.submit(repeat, name, scenario, args): name for name in names}
        failed = []
        for future in concurrent.futures.as_completed(rows):
            if future.exception():  # the others' results are kept first
                failed.append(future.exception())
            else:
                keep(state, rows[future], scenario, future.result())
    if failed:
        raise failed[0]


def run(args, state):
    for scenario in args.scenarios:
        begun_s = time.monotonic()
        if scenario == "faults":
            run_at_once(args, state, scenario)
        else:
            done = {name: len(state.of(name, scenario)) for name in args.only}
            for name in turns(args, scenario):
                if done[name] > 0:  # by a run that was ended
                    done[name] -= 1
                    continue
                say(f"{name}, {scenario}")
                keep(state, name, scenario, repeat(name, scenario, args))
        say(f"{scenario}: {time.monotonic() - begun_s:.0f} s")


# --- figures -----------------------------------------------------------------------------------------------

def median(rows, job, what):
    return round(statistics.median(row[job][what] for row in rows), 3)


def watch_figures(state, name):
    """What the technician's table says (print_watch): each router of the last clean repetition, while it was configured."""
    values = {}
    for row in state.of(name, "clean")[-1:]:
        values[f"version_{name}"] = row["version"]
        for router, seen in row["configure"]["watch"].items():
            values[f"icmp_loss_{name}_{router}"] = round(seen["lost"] / max(1, seen["asked"]), 3)
            values[f"icmp_ms_{name}_{router}"] = seen["rtt_ms"]
            values[f"throughput_kbit_{name}_{router}"] = seen["kbit_s"]
    return values


def figures(state, names):
    values = {"routers": len(s1.DEVICES), "lines": s1.LINES, "loss_lines": LOSS_LINES, "rate_kbit": RATE_KBIT,
              "service_ms": SERVICE_S * 1000, "export_ms": EXPORT_S * 1000}
    for name in names:
        for scenario, prefix in (("clean", ""), ("loss", "loss_")):
            rows = state.of(name, scenario)
            if not rows:
                continue
            for job in ("configure", "backup"):
                for what in ("s", "bytes", "cpu_s", "memory_kib", "rosim_cpu_s", "rosim_share", "machine_share"):
                    values[f"{prefix}{job}_{what}_{name}"] = median(rows, job, what)
                right, of = sum(row[job]["right"] for row in rows), sum(row["routers"] for row in rows)
                values[f"{prefix}{job}_success_{name}"] = round(right / of, 3)
            if "unchanged" in rows[0]:
                values[f"{prefix}backup_unchanged_s_{name}"] = median(rows, "unchanged", "s")
                values[f"{prefix}backup_one_changed_s_{name}"] = median(rows, "unchanged", "one_changed_s")
                values[f"{prefix}backup_changed_found_{name}"] = int(all(row["unchanged"]["found"] for row in rows))
        for row in state.of(name, "faults")[-1:]:
            for what in ("rejected_noticed", "rejected_line_named", "cut_noticed", "cut_recovered"):
                values[f"{what}_{name}"] = int(row[what])
        values.update(watch_figures(state, name))
    for job in ("configure", "backup"):
        own = values[f"{job}_s_jaga"]
        others = [values[f"{job}_s_{name}"] for name in names if name not in (*OURS, "paramiko")]
        values[f"{job}_ratio_paramiko"] = round(values[f"{job}_s_paramiko"] / own, 2)
        values[f"{job}_ratio_best_other"] = round(min(others) / own, 2)
    return values


def print_figures(state, names):
    yes = {True: "yes", False: "no"}
    print(f"\n  {'':20} {'configure':>22} {'backup':>22} {'at 5 % loss':>27} {'line 250':>14} {'cut off':>16}\n"
          f"  {'':20} {'s':>7} {'right':>6} {'MB':>7} {'s':>7} {'right':>6} {'MB':>7} {'s':>7} {'right':>6} {'s':>7} {'right':>6}"
          f" {'noticed':>8} {'line':>4} {'noticed':>9} {'back':>5}")
    for name in names:
        clean, loss, faults = (state.of(name, scenario) for scenario in SCENARIOS)
        cells = f"  {name:20}"
        for job in ("configure", "backup"):
            cells += f" {median(clean, job, 's'):7.1f} {median(clean, job, 'right'):6.0f}" if clean else " " * 15
            cells += f" {median(clean, job, 'bytes') / 1e6:7.2f}" if clean else " " * 8
        for job in ("configure", "backup"):
            cells += f" {median(loss, job, 's'):7.1f} {median(loss, job, 'right'):6.0f}" if loss else " " * 15
        if faults:
            one = faults[-1]
            cells += (f" {yes[one['rejected_noticed']]:>8} {yes[one['rejected_line_named']]:>4} {yes[one['cut_noticed']]:>9}"
                      f" {yes[one['cut_recovered']]:>5}")
        print(cells)
    for name in names:
        clean = state.of(name, "clean")
        if clean:
            print(f"  {name:20} CPU {median(clean, 'configure', 'cpu_s'):.1f} + {median(clean, 'backup', 'cpu_s'):.1f} s, "
                  f"{max(median(clean, job, 'memory_kib') for job in ('configure', 'backup')) / 1024:.0f} MiB, "
                  f"rosim {100 * median(clean, 'configure', 'rosim_share'):.0f} and {100 * median(clean, 'backup', 'rosim_share'):.0f} %, "
                  f"all {100 * median(clean, 'configure', 'machine_share'):.0f} and "
                  f"{100 * median(clean, 'backup', 'machine_share'):.0f} % of the processors; {clean[-1]['version']}")


def print_watch(state, names):
    """Of the last clean repetition of each, while it configured."""
    rows = {name: state.of(name, "clean")[-1]["configure"]["watch"] for name in names if state.of(name, "clean")}
    if not rows:
        return
    print("\n  Every second while they configured: echoes lost / asked, mean and longest response (ms), mean throughput (kbit/s)")
    print(f"  {'':9}" + "".join(f"{name:>30}" for name in rows))
    for router in next(iter(rows.values())):
        cells = ""
        for seen in rows.values():
            one = seen[router]
            rtt = f"{one['rtt_ms']:.0f} {one['rtt_max_ms']:.0f}" if one["rtt_ms"] is not None else "- -"
            rate = f"{one['kbit_s']:.0f}" if one["kbit_s"] is not None else "-"
            cells += f"{one['lost']}/{one['asked']}  {rtt}  {rate}".rjust(30)
        print(f"  {router:9}{cells}")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/host")
    parser.add_argument("--routers", type=int, default=len(s1.DEVICES), help="fewer: a trial, no figures are written")
    parser.add_argument("--lines", type=int, default=s1.LINES, help="the same")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS), choices=SCENARIOS)
    return parser.parse_args()


def main():
    args = arguments()
    os.environ["JAGA_BUILD"] = args.build
    exit_on_sigterm()
    OUT.mkdir(parents=True, exist_ok=True)
    args.is_trial = (args.routers, args.lines) != (len(s1.DEVICES), s1.LINES)
    state = State(OUT / ("fleet.trial.jsonl" if args.is_trial else "fleet.state.jsonl"), subject(args))
    run(args, state)
    print_figures(state, args.only)
    print_watch(state, args.only)
    if args.is_trial or any(not state.of(name, scenario) for scenario in SCENARIOS
                            for name in taking_part(CONTENDERS, scenario)):
        say("a part of the run: no figures written")
        return 0
    values = figures(state, list(CONTENDERS))
    for key, target in AT_LEAST.items():
        say(f"{key} = {values[key]}: {'reached' if values[key] >= target else 'MISSED'} (to reach: >= {target})")
    for key, target in AT_MOST.items():
        say(f"{key} = {values[key]}: {'reached' if values[key] <= target else 'MISSED'} (to reach: <= {target})")
    (OUT / "fleet.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    state.path.rename(OUT / "fleet.last.jsonl")
    say(f"written: {OUT}/fleet.json")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; the next run goes on from here", file=sys.stderr)
        sys.exit(130)
