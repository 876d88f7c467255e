"""The program `jaga` in the hands of a test, and the control socket that it asks (ctl_script.py)."""
import os
import pty
import subprocess

import pytest

from tests.e2e.ctl_script import ScriptedCollector
from tests.lab.programs import build_dir

OK, FAILED, USAGE, NOT_FOUND, UNREACHABLE, OFFLINE, NO_RESULT = 0, 1, 2, 3, 4, 5, 125
ENVIRONMENT = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}


class Jaga:
    def __init__(self, socket):
        self.socket = socket

    def argv(self, *arguments):
        return [str(build_dir() / "jaga"), "--socket", str(self.socket), *map(str, arguments)]

    def __call__(self, *arguments, stdin="", env=None):
        return subprocess.run(self.argv(*arguments), capture_output=True, text=True, input=stdin, timeout=30,
                              env={**ENVIRONMENT, **(env or {})}, check=False)

    def on_terminal(self, *arguments, env=None, stream="stdout"):
        """What a terminal gets to see on standard output, or standard error."""
        master, slave = pty.openpty()
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: slave}
        with subprocess.Popen(self.argv(*arguments), **streams, stdin=subprocess.DEVNULL,
                              env={**ENVIRONMENT, **(env or {})}) as process:
            os.close(slave)
            seen = b""
            try:
                while part := os.read(master, 65536):
                    seen += part
            except OSError:
                pass  # EIO: the other side has closed
            os.close(master)
            process.wait(60)
        return seen.decode()


@pytest.fixture
def scripted(tmp_path):
    with ScriptedCollector(tmp_path / "ctl.sock") as one:
        yield one


@pytest.fixture
def jaga(scripted):
    return Jaga(scripted.path)


def assert_error(done, status, what, following):
    """Two lines: what went wrong, and the next step."""
    assert done.returncode == status, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("jaga: ") and lines[1].startswith("  next: "), done.stderr
    assert what in lines[0] and following in lines[1], done.stderr
