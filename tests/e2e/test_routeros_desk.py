"""What a technician is told of RouterOS routers by jaga: simulated routers (tests/rosim), real agents and a collector, all on loopback."""
import re
import subprocess
import time

import pytest

from tests.e2e.ros_site import Site
from tests.lab.lab import wait_until
from tests.lab.programs import build_dir

NOBODY = 1  # a port at which nothing listens


class Desk:
    """jaga, and the site that it looks at."""

    def __init__(self, directory, personality):
        self.site = Site(directory, personality)

    def jaga(self, *arguments):
        """(exit status, what was printed)"""
        done = subprocess.run([build_dir() / "jaga", "--socket", self.site.collector.socket, *arguments], capture_output=True, text=True,
                              timeout=100, check=False)
        return done.returncode, done.stdout + done.stderr

    def wait_said(self, what, *arguments, timeout_s=20):
        wait_until(lambda: re.search(what, self.jaga(*arguments)[1], re.M), timeout_s, f"{arguments}: {what}")


@pytest.fixture
def desk(tmp_path, request):
    one = Desk(tmp_path, getattr(request, "param", "7.16"))
    try:
        yield one
    finally:
        one.site.end()


def configure(site):
    """Something that an export has."""
    api = site.router.connect()
    api.path("ip", "dns").update(servers="9.9.9.9")
    api.close()


def test_a_snapshot_that_cannot_be_taken(desk):
    """Whoever asks is told why, and at once; status does not say that all is well; it is made good when the router is back."""
    site = desk.site
    configure(site)
    behind, site.wire.port_behind = site.wire.port_behind, NOBODY
    site.start()
    desk.wait_said("^rtr1: router 127", "status")
    began = time.monotonic()
    status, said = desk.jaga("snapshots", "rtr1", "--take")
    assert status == 1 and "rtr1 can take none: the router has not been reached yet" in said
    status, said = desk.jaga("snapshots", "--all", "--take")
    assert status == 5 and re.search(r"^rtr1 +- +the router has not been reached yet$", said, re.M)
    assert time.monotonic() - began < 10  # it is no time-out
    site.wire.port_behind = behind
    desk.wait_said("^nothing is wrong", "status", timeout_s=60)
    assert "nothing has changed since snapshot 1" in desk.jaga("snapshots", "rtr1", "--take")[1]
    # The session breaks, and the router stays away.
    site.wire.port_behind = NOBODY
    site.wire.cut_at = b"!done"  # the next word of the router
    desk.wait_said("^rtr1: router 127", "status")
    status, said = desk.jaga("snapshots", "rtr1", "--take")
    assert status == 1 and "rtr1 can take none: " in said
    status, said = desk.jaga("status")
    assert "/ip service" in said and "no snapshot could be taken: " in said and "jaga snapshots rtr1 --take tries again" in said
    site.wire.port_behind = behind
    desk.wait_said("^nothing is wrong", "status", timeout_s=60)


def test_an_export_that_breaks_the_session_is_not_tried_on_and_on(desk):
    """Else nothing but exports would be asked of such a router, over session after session."""
    configure(desk.site)
    site = desk.site.start()
    wait_until(lambda: site.cli.rows("snapshots", "rtr1"), 10, "the first snapshot is there")
    site.wire.sent, site.wire.cut_before = b"", b"/export"
    status, said = desk.jaga("snapshots", "rtr1", "--take")
    assert status == 1 and "rtr1 can take none: " in said
    site.wire.sent = b""
    desk.wait_said("the router is connected again", "events")
    wait_until(lambda: b"/interface/listen" in site.wire.sent, 20, "it is watched again")
    assert b"/export" not in site.wire.sent
