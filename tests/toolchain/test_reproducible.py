"""The same sources give the same bytes, in whatever folder, zone, language and umask they are built.

A copy of this tree is built from nothing, its C library included, in a folder with a longer name; agent and symbols must be
those of build/TARGET. `make check` does it for mips, whose build has most parts (a minute of one core);
`make check-reproducible` for all six.
"""
import hashlib
import os
import shutil
import subprocess

import pytest

from tests.toolchain.routers import ROOT, built

TARGETS = os.environ.get("JAGA_REPRODUCIBLE", "mips").split()


@pytest.fixture(scope="module", name="copy")
def _copy(tmp_path_factory):
    """This tree's files and history, so that `git describe` says the same; sources come from the shared cache."""
    path = tmp_path_factory.mktemp("a folder's name may be long".replace(" ", "-").replace("'", "")) / "and/lie/deeper/jaga"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    subprocess.run(["git", "clone", "-q", "--bare", "--no-hardlinks", str(ROOT), str(path / ".git")], check=True)
    subprocess.run(["git", "config", "core.bare", "false"], cwd=path, check=True)
    subprocess.run(["git", "reset", "-q"], cwd=path, check=True)  # the index alone
    yield path
    shutil.rmtree(path)


def sums(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("jaga-agent", "jaga-agent.debug")}


@pytest.mark.deadline(800)
@pytest.mark.parametrize("target", TARGETS)
def test_two_folders_give_the_same_bytes(target, copy):
    environment = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "TARGET", "SAN", "V"):
        environment.pop(name, None)
    done = subprocess.run(["make", "agent", f"TARGET={target}"], cwd=copy, env=environment, umask=0o077, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert sums(copy / "build" / target) == sums(built(target, "jaga-agent").parent)
