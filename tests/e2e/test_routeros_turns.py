"""Scripts and snapshots take turns at the router: a router that says behind a long answer whose it is (tests/rosim: --tag-last) can be
asked for one at a time, and a snapshot that is taken while a script changes things is of no configuration that ever was.

What these tests say of RouterOS holds as far as tests/rosim/README.md does."""
import contextlib
import json
import subprocess

from tests.e2e.side_by_side import SideBySide
from tests.e2e.test_routeros_scripts import SAVED, traces
from tests.e2e.test_routeros_way_back import HeldWire, SafeSite
from tests.lab.lab import wait_until
from tests.lab.programs import build_dir

EXPORTS = {"6.49": b"=file=jaga-snapshot", "7.20": b"=script=/export"}  # in what the agent sends


class TagLastSite(SafeSite):
    options = ("--tag-last",)

    def begin_snapshot(self):
        """On its way, and held before the router: who has asked for it, and waits."""
        with self.wire.lock:
            self.wire.sent, self.wire.hold_before = b"", EXPORTS[self.personality]
        asking = subprocess.Popen([build_dir() / "jaga-agent", "--config", self.dir / "agent.conf", "--json", "snapshot"], text=True,
                                  stdout=subprocess.PIPE)
        assert self.wire.is_held.wait(60)
        return asking


@contextlib.contextmanager
def make(folder, value):
    site = TagLastSite(folder, *value)
    try:
        yield site.start()
    finally:
        site.end()


side_by_side = SideBySide(make)
VALUES = [(personality, case) for personality in EXPORTS for case in ({}, SAVED)]


@side_by_side(*VALUES, ids=["6.49-plain", "6.49-confirmed", "7.20-plain", "7.20-confirmed"])
def test_a_push_waits_for_a_snapshot(site):
    wait_until(lambda: site.cli.rows("snapshots", "rtr1"), 30, "the first snapshot is stored")
    asking = site.begin_snapshot()
    job = site.queue("/system identity set name=pushed\n:put [/system identity get name]\n", **site.case)
    wait_until(lambda: "waits until the router has been read" in site.log.read_text(), 60, "the push has come to the agent")
    site.wire.may_pass.set()
    done = site.wait(job)
    assert (done["state"], done["output"].strip(), done["reason"]) == ("confirmed", "pushed", ""), done
    row = json.loads(asking.communicate(timeout=120)[0])
    row = row[0] if isinstance(row, list) else row
    assert asking.returncode == 0 and row["reason"] == "", row
    wait_until(lambda: "name=pushed" in site.cli.run("cat", "rtr1").stdout, 60, "what was pushed is in a snapshot")
    assert traces(site) == [] and "connected again" not in site.log.read_text()
