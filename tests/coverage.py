#!/usr/bin/python3
"""Runs instrumented tests and fails unless they took every branch of the sources named.

    coverage.py --objects DIR SOURCE... -- TEST...

There are no exclusion markers: a branch that cannot be taken is to be removed. A source without
any data, or without any branch, fails too: a gate that measures nothing is no gate.
"""
import argparse
import json
import pathlib
import subprocess
import sys


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", required=True, type=pathlib.Path)
    parser.add_argument("sources", nargs="+")
    if "--" not in sys.argv:
        parser.error("no tests: SOURCE... -- TEST...")
    border = sys.argv.index("--")
    arguments = parser.parse_args(sys.argv[1:border])
    arguments.tests = sys.argv[border + 1:]
    if not arguments.tests:
        parser.error("no tests after --")
    return arguments


def run_tests(tests):
    for test in tests:
        result = subprocess.run([test], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            sys.exit(f"{result.stdout}\ncheck-coverage: {test} failed with {result.returncode}")


def read_counts(data_file, source):
    """gcov's lines of `source`, as it stands in the object's data."""
    if not data_file.exists():
        return []
    output = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", data_file],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    files = json.loads(output)["files"]
    return [line for file in files if file["file"] == source for line in file["lines"]]


def report(source, lines):
    """Prints what was missed; returns (branches, taken)."""
    text = pathlib.Path(source).read_text(encoding="utf-8").splitlines()
    branches = taken = 0
    for line in lines:
        number = line["line_number"]
        missed = [i for i, branch in enumerate(line["branches"]) if branch["count"] == 0]
        branches += len(line["branches"])
        taken += len(line["branches"]) - len(missed)
        if missed:
            print(f"{source}:{number}: branch {', '.join(map(str, missed))} of {len(line['branches'])} "
                  f"not taken: {text[number - 1].strip()}")
        elif line["count"] == 0:
            print(f"{source}:{number}: never run: {text[number - 1].strip()}")
            branches += 1
    return branches, taken


def main():
    arguments = parse_arguments()
    for old in arguments.objects.rglob("*.gcda"):
        old.unlink()
    run_tests(arguments.tests)
    failed = False
    for source in arguments.sources:
        data_file = (arguments.objects / source).with_suffix(".gcda")
        lines = read_counts(data_file, source)
        branches, taken = report(source, lines)
        if branches == 0:
            print(f"{source}: nothing was measured ({data_file})")
        failed |= branches == 0 or taken < branches
        print(f"{source}: {taken} of {branches} branches")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
