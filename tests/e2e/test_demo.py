"""make demo, as somebody meets Jaga for the first time: the whole story, an interruption, a broken step."""
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.lab.lab import RUN_DIR, list_namespaces
from tests.lab.programs import ROOT, build_dir

DEMO = [sys.executable, "-m", "tests.lab.demo", "--build"]


def start_demo(build):
    return subprocess.Popen([*DEMO, str(build)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def read_until(demo, pattern):
    """What the demo says up to a line that matches."""
    said = ""
    for line in demo.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"the demo never said {pattern!r}:\n{said}\n{demo.stderr.read()}")


def is_gone(prefix):
    return prefix not in list_namespaces() and not (RUN_DIR / prefix).exists()


def test_the_whole_story():
    done = subprocess.run([*DEMO, str(build_dir())], cwd=ROOT, text=True, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_gone(re.search(r"(jaga-[a-z0-9_]{8})-lan", done.stdout)[1])
    assert re.findall(r"^\[(\d)/9\]", done.stdout, re.M) == list("123456789")
    figures = done.stdout.split("What was measured")[1]
    for what in ("outage: new connections", "outage: an existing UDP flow", "connections by ISP 1 / ISP 2",
                 "connections cut by the way back  ", "ISP 1 trusted again after"):
        assert what in figures


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_cleans_up(number):
    demo = start_demo(build_dir())
    prefix = re.search(r"(jaga-[a-z0-9_]{8})-lan", read_until(demo, "jaga-........-lan"))[1]
    read_until(demo, r"^\[5/9\]")
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130 and "cleaned up" in errors
    assert is_gone(prefix)


def test_a_step_that_does_not_happen_fails_it(tmp_path):
    """An agent that keeps nobody online."""
    build = tmp_path / "build"
    (build / "tests").mkdir(parents=True)
    (build / "tests" / "lab").symlink_to(build_dir() / "tests" / "lab")
    for program in ("jaga", "jaga-collector"):
        shutil.copy(build_dir() / program, build)
    (build / "jaga-agent").write_text("#!/bin/sh\necho cannot >&2\nexit 1\n")
    (build / "jaga-agent").chmod(0o755)
    done = subprocess.run([*DEMO, str(build)], cwd=ROOT, text=True, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "did not happen" in done.stderr and "cannot" in done.stderr
    assert is_gone(re.search(r"(jaga-[a-z0-9_]{8})-lan", done.stdout)[1])
