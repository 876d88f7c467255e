#!/usr/bin/env python3
"""Runs every test of Jaga and counts: what `make check` calls once everything is built.

    tests/check.py --build build/host [--san asan] [--fuzz-seconds 60] [--only REGEX]

A job is one program: a unit-test binary (cmocka, TAP), one pytest file, the boundaries check, the
coverage gate, one fuzzer, one man page. Two jobs run at a time, and beside them one fuzzer at the
lowest priority, since a fuzzer uses a core for its whole minute while end-to-end tests mostly wait;
when no other job is left, all run fuzzers.
Each job writes build/check/NAME.log; a failed one shows the end of it and its path.

Skips: a skipped test fails the run unless tests/skips names it ("TEST-ID  reason" a line, or
"TEST-ID [asan]  reason" for an instrumented build only); a listed skip that did not happen is told. Last line, alone: "N passed, N failed, N skipped".
Exit status 0 only when nothing failed.
"""
import argparse
import glob
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
TAP = re.compile(r"^(not ok|ok) \d+ (?:- |(# SKIP) )(\S+)", re.M)
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)
TAIL_LINES = 40
HEARTBEAT_S = 30
PACKAGE_TESTS = ("debian", "openwrt", "routeros", "toolchain")  # tests/KIND, of what `make packages sbom` made


class Job:
    """
    A program to run, and how its outcome is read: parse(job, exit status, log) -> [(id, status)]. The time-out is for what hangs:
    several times what the job takes on two busy cores.
    """

    def __init__(self, name, argv, parse, timeout_s=900, env=None):
        self.name, self.argv, self.parse, self.timeout_s = name, argv, parse, timeout_s
        self.env = env or {}
        self.log = None
        self.results = []
        self.seconds = 0.0

    def count(self, status):
        return sum(1 for _, s in self.results if s == status)


# --- how each kind of program tells its outcome -----------------------------------------------------

def parse_tap(job, status, text):
    results = [(f"{job.name}::{name}", SKIPPED if skip else PASSED if word == "ok" else FAILED)
               for word, skip, name in TAP.findall(text)]
    plan = re.search(r"^1\.\.(\d+)$", text, re.M)
    if not plan or len(results) != int(plan[1]) or (status != 0 and not any(s == FAILED for _, s in results)):
        results.append((f"{job.name}::(program, exit {status})", FAILED))
    return results


def parse_junit(job, status, _text):
    results = []
    path = job.log.with_suffix(".xml")
    if path.exists():
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            children = {child.tag for child in case}
            outcome = FAILED if children & {"failure", "error"} else SKIPPED if "skipped" in children else PASSED
            results.append((f"{job.name}::{case.get('name')}", outcome))
    if not results or (status != 0 and not any(s == FAILED for _, s in results)):
        results.append((f"{job.name}::(pytest, exit {status})", FAILED))
    return results


def parse_counts(job, status, text):
    counts = COUNTS.findall(text)
    if not counts:
        return [(f"{job.name}::(program, exit {status})", FAILED)]
    passed, failed = (int(n) for n in counts[-1])
    if (status != 0) != (failed != 0):
        failed += 1
    return [(f"{job.name}::{i}", PASSED) for i in range(passed)] + \
        [(f"{job.name}::failure {i}", FAILED) for i in range(failed)]


def parse_status(job, status, _text):
    return [(job.name, PASSED if status == 0 else FAILED)]


# --- what there is to run -------------------------------------------------------------------------

def list_emulated():
    """Unit tests of agent/ and common/ on routers' processors (tests/emulated.mk)."""
    text = pathlib.Path("tests/emulated.mk").read_text(encoding="utf-8")
    targets = re.search(r"^EMULATED_TARGETS := (.*)$", text, re.M)[1].split()
    skipped = read_reasons("tests/emulated.skip")
    names = [source[6:-2] for part in ("agent", "common") for source in sorted(glob.glob(f"tests/unit/{part}/test_*.c"))]
    for name in sorted(set(skipped) - {name[5:] for name in names}):
        sys.exit(f"tests/emulated.skip: there is no {name}")
    names = [name for name in names if name[5:] not in skipped]
    if not targets or not names:
        sys.exit("tests/emulated.mk and tests/emulated.skip leave nothing to run on any router")
    jobs = []
    for target in targets:
        described = pathlib.Path(f"toolchain/{target}.mk").read_text(encoding="utf-8")
        qemu = re.search(r"^TARGET_QEMU\s*:= (.+)$", described, re.M)
        drivers = re.search(r"^TARGET_DRIVERS\s*:= (.+)$", described, re.M)
        has_routeros = not drivers or "routeros" in drivers[1].split()  # else its tests are not built there
        if not qemu:
            sys.exit(f"toolchain/{target}.mk names no emulator")
        jobs += [Job(f"emulated-{target}/{name}", [*qemu[1].split(), f"build/{target}/tests/{name}"], parse_tap,
                     env={"CMOCKA_MESSAGE_OUTPUT": "TAP"}) for name in names
                 if has_routeros or not name.startswith(("unit/agent/test_ros", "unit/agent/test_routeros"))]
    return jobs


def list_jobs(args):
    """(foreground jobs, longest first; fuzz jobs)"""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rs"]
    jobs = []
    for path in sorted(glob.glob("tests/e2e/test_*.py") + glob.glob("tests/netns/test_*.py")):
        jobs.append(Job(path[6:-3], [*pytest, path], parse_junit, 2400 if args.san else 1200))
    for path in sorted(glob.glob("tests/proto/test_*.py")):
        jobs.append(Job(path[6:-3], [*pytest, path], parse_junit))
    for kind in () if args.san else PACKAGE_TESTS:
        for path in sorted(glob.glob(f"tests/{kind}/test_*.py")):
            jobs.append(Job(path[6:-3], [*pytest, path], parse_junit, 1800 if "reproducible" in path else 900))
    for source in sorted(glob.glob("tests/unit/*/test_*.c")):
        name = source[6:-2]
        jobs.append(Job(name, [f"{args.build}/tests/{name}"], parse_tap, env={"CMOCKA_MESSAGE_OUTPUT": "TAP"}))
    if args.san:
        return jobs, []
    jobs += list_emulated()
    jobs += [
        Job("boundaries", [sys.executable, "tests/check_boundaries.py", args.build], parse_counts),
        Job("boundaries-self-test", [sys.executable, "tests/check_boundaries.py", "--self-test"], parse_counts),
        Job("docs", [sys.executable, "tests/check_docs.py", args.build], parse_counts),
        Job("size", ["make", "--no-print-directory", "-s", "size"], parse_status, 1800),
        Job("check-coverage", ["make", "--no-print-directory", "check-coverage"], parse_status),
    ]
    for page in sorted(glob.glob("docs/man/*.[0-9]")):
        jobs.append(Job(f"man-{os.path.basename(page)}", ["mandoc", "-T", "lint", "-W", "warning", page],
                        parse_status))
    fuzzers = [Job(f"fuzz-{path[16:-2]}",
                   ["make", "--no-print-directory", "fuzz-smoke", f"FUZZ={path[16:-2]}",
                    f"FUZZ_SECONDS={args.fuzz_seconds}"], parse_counts, args.fuzz_seconds + 600)  # it builds, and is niced
               for path in sorted(glob.glob("tests/fuzz/fuzz_*.c"))]
    return jobs, fuzzers


# --- running ------------------------------------------------------------------------------------------

class Runner:
    """Runs jobs on a few threads, tells how it goes, keeps the outcomes."""

    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.running = {}
        self.total = self.done = 0
        self.failed = False
        self.stop = threading.Event()

    def environment(self, job):
        return {**os.environ, "JAGA_BUILD": self.args.build, "PYTHONDONTWRITEBYTECODE": "1",
                "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0",
                "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99", **job.env}

    def run(self, job, niceness):
        job.log = self.args.logs / (job.name.replace("/", "-") + ".log")
        argv = list(job.argv)
        if job.parse is parse_junit:
            job.log.with_suffix(".xml").unlink(missing_ok=True)
            argv.append(f"--junitxml={job.log.with_suffix('.xml')}")
        began = time.monotonic()
        with self.lock:
            self.running[job.name] = began
        with open(job.log, "wb") as log:
            process = subprocess.Popen(["nice", "-n", str(niceness), *argv], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=subprocess.STDOUT, env=self.environment(job))
            try:
                status = self.wait(process, job.timeout_s)
            except subprocess.TimeoutExpired:
                process.terminate()  # pytest takes its labs down on SIGTERM
                process.wait()
                log.write(f"\nstopped after {job.timeout_s} s\n".encode())
                status = -1
        text = job.log.read_text(errors="replace")
        job.results = job.parse(job, status, text)
        job.seconds = time.monotonic() - began
        self.tell(job, text)

    def wait(self, process, timeout_s):
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return process.wait(0.2)
            except subprocess.TimeoutExpired:
                if self.stop.is_set() or time.monotonic() > deadline:
                    raise

    def tell(self, job, text):
        with self.lock:
            del self.running[job.name]
            self.done += 1
            failed = job.count(FAILED)
            skipped = job.count(SKIPPED)
            print(f"  [{self.done}/{self.total}] {'FAIL' if failed else 'ok':4} {job.name:34} "
                  f"{job.count(PASSED):4} passed{f', {failed} failed' if failed else ''}"
                  f"{f', {skipped} skipped' if skipped else ''}  {job.seconds:.1f} s", flush=True)
            if failed:
                self.failed = True
                for test, status in job.results:
                    if status == FAILED:
                        print(f"      failed: {test}")
                for line in text.splitlines()[-TAIL_LINES:]:
                    print(f"      | {line}")
                print(f"      whole log: {job.log}", flush=True)

    def work(self, queues, nicenesses):
        for jobs, niceness in zip(queues, nicenesses):
            while not self.stop.is_set():
                try:
                    job = jobs.get_nowait()
                except queue.Empty:
                    break
                self.run(job, niceness)

    def run_all(self, foreground, fuzzers, workers):
        self.total = len(foreground) + len(fuzzers)
        queues = []
        for jobs in (foreground, fuzzers):
            queues.append(queue.Queue())
            for job in jobs:
                queues[-1].put(job)
        # Whoever has nothing else left helps with the fuzzers.
        threads = [threading.Thread(target=self.work, args=(queues, (0, 19))) for _ in range(workers)]
        threads.append(threading.Thread(target=self.work, args=(queues[1:], (19,))))
        for thread in threads:
            thread.start()
        told = time.monotonic()
        try:
            while alive := [thread for thread in threads if thread.is_alive()]:
                alive[0].join(0.5)
                if time.monotonic() - told > HEARTBEAT_S:
                    told = time.monotonic()
                    with self.lock:
                        under_way = ", ".join(f"{n} ({told - t:.0f} s)" for n, t in self.running.items())
                    print(f"  ... {self.done}/{self.total} done; running: {under_way}", flush=True)
        except KeyboardInterrupt:
            self.stop.set()
            for thread in threads:
                thread.join()
            raise


# --- skips and the end ----------------------------------------------------------------------------------

def read_reasons(path):
    """{test: reason} of a file of "TEST, two blanks, reason" lines."""
    reasons = {}
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, _, reason = line.partition("  ")
        if not reason.strip():
            sys.exit(f"{path}:{number}: a skip needs a reason, after two blanks")
        reasons[test] = reason.strip()
    return reasons


def read_skips(san):
    """{test id: reason} of tests/skips that hold for this build."""
    skips = {}
    for test, reason in read_reasons("tests/skips").items():
        test, _, build = test.partition(" [")
        if build in ("", f"{san}]"):
            skips[test] = reason
    return skips


def settle_skips(jobs, listed, whole):
    """A skip that nobody listed fails; lines about skips."""
    happened, lines = set(), []
    for job in jobs:
        for i, (test, status) in enumerate(job.results):
            if status != SKIPPED:
                continue
            happened.add(test)
            if test in listed:
                lines.append(f"  skipped: {test}: {listed[test]}")
            else:
                job.results[i] = (test, FAILED)
                lines.append(f"  skipped: {test}: not listed by tests/skips, hence failed")
    for test in sorted(set(listed) - happened) if whole else ():
        lines.append(f"  note: tests/skips lists {test}, which was not skipped here")
    return lines


def print_summary(jobs, lines):
    print("\n  group                     passed  failed  skipped  seconds")
    groups = {}
    for job in jobs:
        groups.setdefault(job.name.split("/")[0].split("-")[0], []).append(job)
    for group, members in sorted(groups.items()):
        counts = [sum(job.count(status) for job in members) for status in (PASSED, FAILED, SKIPPED)]
        print(f"  {group:24} {counts[0]:7} {counts[1]:7} {counts[2]:8} {sum(j.seconds for j in members):8.0f}")
    print("\n".join(lines))
    for job in jobs:  # last of all, where a reader of a long log looks first
        for test, status in job.results:
            if status == FAILED:
                print(f"  FAILED: {test}: see {job.log}")
    totals = [sum(job.count(status) for job in jobs) for status in (PASSED, FAILED, SKIPPED)]
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped", flush=True)
    return totals[1] == 0 and totals[0] > 0


def main():
    parser = argparse.ArgumentParser(description="Runs every test of Jaga.")
    parser.add_argument("--build", default="build/host")
    parser.add_argument("--san", default="")
    parser.add_argument("--fuzz-seconds", type=int, default=60)
    parser.add_argument("--only", default="", help="jobs whose name matches this expression")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.logs = pathlib.Path("build", "check" + (f"-{args.san}" if args.san else ""))
    args.logs.mkdir(parents=True, exist_ok=True)

    # A background job of a shell ignores these two, and every test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

    skips = read_skips(args.san)
    foreground, fuzzers = ([job for job in jobs if re.search(args.only, job.name)] for jobs in list_jobs(args))
    runner = Runner(args)
    try:
        runner.run_all(foreground, fuzzers, args.workers)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    jobs = foreground + fuzzers
    lines = settle_skips(jobs, skips, not args.only)
    return 0 if print_summary(jobs, lines) else 1


if __name__ == "__main__":
    sys.exit(main())
