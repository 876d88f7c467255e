"""The runner behind `make check`: it counts what happened, and cannot be talked into a pass."""
import re
import subprocess
import sys

import pytest

from tests.lab.programs import ROOT

PASSES = "1..2\nok 1 - first\nok 2 - second\n"
SKIPS = "1..2\nok 1 - first\nnot ok 2 # SKIP second\n"
FAILS = "1..2\nok 1 - first\nnot ok 2 - second\n# 0x1 != 0x2\n"
ENDS_EARLY = "1..2\nok 1 - first\n"


@pytest.fixture
def tree(tmp_path):
    """A tree of one unit test, whose binary says what it is told to."""
    (tmp_path / "tests/unit/part").mkdir(parents=True)
    (tmp_path / "tests/unit/part/test_it.c").write_text("")
    (tmp_path / "tests/skips").write_text("# none\n")
    # A router for which nothing is asked here, but which the runner wants to find.
    (tmp_path / "tests/unit/common").mkdir()
    (tmp_path / "tests/unit/common/test_other.c").write_text("")
    (tmp_path / "tests/emulated.mk").write_text("EMULATED_TARGETS := mips\n")
    (tmp_path / "tests/emulated.skip").write_text("")
    (tmp_path / "toolchain").mkdir()
    (tmp_path / "toolchain/mips.mk").write_text("TARGET_QEMU := qemu\n")
    binary = tmp_path / "build/host/tests/unit/part/test_it"
    binary.parent.mkdir(parents=True)

    def make(said, status=0, skips=""):
        binary.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\nexit {status}\n")
        binary.chmod(0o755)
        (tmp_path / "tests/skips").write_text(skips)
        done = subprocess.run([sys.executable, ROOT / "tests/check.py", "--only", "^unit/part"], cwd=tmp_path, text=True,
                              capture_output=True, check=False)
        return done.returncode, done.stdout
    return make


def closing(out):
    """The last line, alone: (passed, failed, skipped)."""
    match = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", out.splitlines()[-1])
    return tuple(int(n) for n in match.groups())


def test_passes(tree):
    status, out = tree(PASSES)
    assert (status, closing(out)) == (0, (2, 0, 0))


def test_a_failure_is_counted_shown_and_located(tree):
    status, out = tree(FAILS, 1)
    assert (status, closing(out)) == (1, (1, 1, 0))
    assert "0x1 != 0x2" in out
    assert out.splitlines()[-2] == "  FAILED: unit/part/test_it::second: see build/check/unit-part-test_it.log"  # where a log's end is read


def test_a_skip_that_nobody_listed_fails(tree):
    status, out = tree(SKIPS)
    assert (status, closing(out)) == (1, (1, 1, 0))
    assert "skipped: unit/part/test_it::second: not listed by tests/skips" in out
    assert out.splitlines()[-2].startswith("  FAILED: unit/part/test_it::second: ")


def test_a_listed_skip_passes_with_its_reason(tree):
    status, out = tree(SKIPS, 0, "unit/part/test_it::second  no such hardware\n")
    assert (status, closing(out)) == (0, (1, 0, 1))
    assert "no such hardware" in out


def test_a_skip_of_another_build_does_not_count(tree):
    status, out = tree(SKIPS, 0, "unit/part/test_it::second [asan]  the sanitizer is in the way\n")
    assert (status, closing(out)) == (1, (1, 1, 0))


def test_a_skip_without_a_reason_is_refused(tree):
    status, _ = tree(SKIPS, 0, "unit/part/test_it::second\n")
    assert status == 1


@pytest.mark.parametrize("said, status", [(ENDS_EARLY, 0), (ENDS_EARLY, 139), (PASSES, 99), ("", 0)])
def test_a_program_that_ends_early_or_badly_fails(tree, said, status):
    code, out = tree(said, status)
    assert code == 1 and closing(out)[1] >= 1
