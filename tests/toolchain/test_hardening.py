"""Each router's compiler stops what it promises to stop, by running a program that sins (hardening.c).

The same program compiled without the protection is the negative control: it survives the sins, so the protection is
what the others died of.
"""
import signal

import pytest

from tests.toolchain.routers import TARGETS, built, run

PROGRAM, UNPROTECTED = "tests/toolchain/hardening", "tests/toolchain/hardening-off"


def commit(target, program, fault):
    return run(target, built(target, program), fault, input="x" * 64)


@pytest.mark.parametrize("target", TARGETS)
def test_every_fault_is_stopped(target):
    names = run(target, built(target, PROGRAM), "names").stdout.split()
    assert len(names) >= 13
    outcomes = {name: commit(target, PROGRAM, name) for name in names}
    survived = [name for name, done in outcomes.items() if "survived" in done.stdout or done.returncode >= 0]
    assert survived == []
    assert outcomes["table"].returncode == -signal.SIGSEGV


@pytest.mark.parametrize("target", TARGETS)
def test_what_fits_is_not_stopped(target):
    done = commit(target, PROGRAM, "fits")
    assert (done.returncode, done.stdout, done.stderr) == (0, "survived\n", "")


@pytest.mark.parametrize("target", TARGETS)
def test_without_protection_copies_survive(target):
    """Overflows by one byte and writes to the table do no harm that anybody sees: nothing else stopped the others."""
    names = run(target, built(target, UNPROTECTED), "names").stdout.split()
    for fault in set(names) - {"smash", "table"}:
        assert commit(target, UNPROTECTED, fault).stdout == "survived\n", fault


@pytest.mark.parametrize("target", ("armv5", "armv7", "arm64", "x86_64"))
def test_without_relro_the_table_is_writable(target):
    assert commit(target, UNPROTECTED, "table").stdout == "survived\n"


@pytest.mark.parametrize("target", TARGETS)
def test_a_pipe_may_fail(target):
    """toolchain/patches/musl/mips-fixed-address.patch: without it the program crashes on mips."""
    assert run(target, built(target, PROGRAM), "pipe").stdout == "EMFILE\n"


@pytest.mark.parametrize("target", TARGETS)
def test_the_canary_is_random(target):
    """musl takes it from the kernel's AT_RANDOM; without that it would be a constant of the program."""
    seen = {run(target, built(target, PROGRAM), "canary").stdout for _ in range(4)}
    assert len(seen) == 4
    assert "0x0\n" not in seen
