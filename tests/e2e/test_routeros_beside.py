"""The agent on a machine beside its router, as docs/routeros-driver.md has it run there: a user of its own with one capability, files of its own
for each router."""
import os
import pathlib
import shutil
import tempfile

import pytest

from tests.e2e.test_routeros import Agent, lab  # noqa: F401
from tests.lab.confined import USER, as_user
from tests.lab.programs import build_dir
from tests.rosim.laboratory import wait_for


class Beside(Agent):
    """Whatever it has is its user's, and it may send pings (net_raw), for not every system lets users."""

    def __init__(self, lab, folder):
        super().__init__(lab, folder)
        shutil.copy(build_dir() / "jaga-agent", folder)  # the build may lie where only root can look
        self.program = folder / "jaga-agent"
        for path in (folder, *folder.iterdir()):
            os.chown(path, USER, USER)
        (folder / "password").chmod(0o600)

    def argv(self, *arguments):
        # Leaks are looked for by ptrace, which a process without rights has not.
        sanitizer = ["env", "ASAN_OPTIONS=detect_leaks=0:exitcode=99"] if "ASAN_OPTIONS" in os.environ else []
        return ["ip", "netns", "exec", self.lab.prefix + "box", *as_user(USER, ["net_raw"]), *sanitizer, self.program, "--config", self.conf,
                *arguments]


@pytest.fixture
def beside(lab):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="jaga-beside-"))
    agent = Beside(lab, folder)
    yield agent
    agent.stop()
    shutil.rmtree(folder)


def test_it_needs_no_rights_but_pings(lab, beside):
    before = lab.configuration()
    done = beside.run("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    beside.start().wait_online()
    lab.cut(1)
    wait_for("the change is told", lambda: "isp1 is down cause=probes" in beside.log())
    wait_for("new flows leave over the other line", lambda: lab.providers_of(4) == [2, 2, 2, 2])
    lab.mend(1)
    wait_for("both carry flows again", lambda: set(lab.providers_of(8)) == {1, 2}, 30)
    assert "ermitted" not in beside.log() and "ermission" not in beside.log(), beside.log()
    beside.stop()
    done = beside.run("--remove")
    assert done.returncode == 0, done.stderr
    assert lab.configuration() == before
