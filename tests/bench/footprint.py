"""make bench-footprint: what the agent costs a small router, beside its budgets (tests/bench/budgets.py).

Three parts, each described in its own file: size.py (bytes on flash), day.py (heap and flash writes of a simulated day),
emulated.py (instructions and memory on an emulated 24Kc, and of shell trackers beside it). Takes half an hour, most of it
waiting. Writes build/bench/footprint.json, one flat object.
"""
import argparse
import functools
import json
import os
import pathlib
import sys

from tests.bench import day, emulated, size
from tests.bench.budgets import report
from tests.lab.lab import exit_on_sigterm

OUT = pathlib.Path("build/bench")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/host")
    parser.add_argument("--hours", type=int, default=24, help="simulated, after the first")
    args = parser.parse_args()
    os.environ["JAGA_BUILD"] = args.build
    exit_on_sigterm()
    say = functools.partial(print, flush=True)
    values = size.measure()
    say(f"  a day in minutes: {args.hours + 1} virtual hours")
    values |= day.simulate(args.hours, say)
    say("  an emulated router: 16 minutes")
    values |= emulated.measure(say)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "footprint.json").write_text(json.dumps(values, indent=1) + "\n")
    good = report(values)
    say(f"  {'for comparison: shell trackers as mwan3 has them, a probe every 10 s':66} "
        f"{values['tracker_processes']} processes, {values['tracker_rss_kb']:,} KB resident, "
        f"{values['tracker_instructions_per_probe']:,} instructions a probe "
        f"(agent: {values['rest_instructions_per_s'] // 20:,})")
    say(f"  written: {OUT}/footprint.json")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
