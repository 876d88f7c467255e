"""The image as a container: its own processes, root and network, two veths, and nothing else in it but the agent.

As far as this machine can stand in for RouterOS, which starts the image's program as the first process of a container.
The laboratory's router is the container's network here; its configuration is the example of docs/routeros.md.
"""
import json
import os
import pathlib
import platform
import re
import shutil
import signal

import pytest

from tests.lab.lab import COLLECTOR, INTERNET, UPLINKS, Lab, wait_until
from tests.lab.programs import COLLECTOR_PORT, start_echo
from tests.routeros.test_images import ROOT, Image

# The emulator has no netfilter sockets, so it is the image of this machine's own processor.
NATIVE = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armv7"}[platform.machine()]


class Container:
    """An image, started on the laboratory's router."""

    def __init__(self, lab):
        image = Image(NATIVE)
        self.lab, self.root, self.unshare = lab, image.extract(lab.dir / "container"), None
        self.program = image.config["config"]["Entrypoint"][0]
        for mounted in ("dev", "proc"):  # by RouterOS
            (self.root / mounted).mkdir()

    def configure(self, text):
        (self.root / "etc/jaga/agent.conf").write_text(text)

    def argv(self, *arguments):
        """To be run by `unshare --mount`."""
        script = 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"'
        return ["sh", "-c", script, self.root, self.program, *arguments]

    def start(self):
        """As the first process of its own: signals have no default action for that one, and orphans become its."""
        self.unshare = self.lab.rtr.start("container", "unshare", "--mount", "--pid", "--fork", "--kill-child",
                                          *self.argv())
        self.unshare.wait_log("agent: started")

    def stop(self):
        """SIGTERM to the agent; its exit status."""
        for child in pathlib.Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        return self.unshare.wait()

    def run(self, *arguments, **kwargs):
        """A command beside it."""
        return self.lab.rtr.run("unshare", "--mount", *self.argv(*arguments), **kwargs)

    def wait_state(self, uplink, state, timeout_s):
        def is_so():
            rows = json.loads(self.run("uplinks", "--json").stdout)
            return {row["name"]: row["state"] for row in rows}[uplink] == state
        wait_until(is_so, timeout_s, f"{uplink} is {state}")


@pytest.fixture
def lab():
    """Lines without IPv6, as veths are unless somebody gives them more."""
    with Lab(ipv6=False) as one:
        start_echo(one)
        yield one


@pytest.fixture
def container(lab):
    one = Container(lab)
    yield one
    if one.unshare and one.unshare.is_running():
        one.stop()


def documented_configuration():
    """The example for only watching of docs/routeros.md, with the interfaces and addresses of the laboratory."""
    text = (ROOT / "docs" / "routeros.md").read_text(encoding="utf-8").partition("## Only watching")[2]
    text = re.search(r"```ini\n(.*?)```", text, re.S)[1]
    for number in (1, 2):
        uplink = UPLINKS[number]
        text = text.replace(f"veth-isp{number}", uplink["dev"]).replace(f"172.31.7{number}.1", uplink["gateway"])
    targets = iter([INTERNET[:3], INTERNET[10:13]])
    text = re.sub(r"^targets = .*", lambda _: "targets = " + ", ".join(next(targets)), text, flags=re.M)
    return re.sub(r"^collector = .*", f"collector = {COLLECTOR}:{COLLECTOR_PORT}", text, flags=re.M)


def test_the_documented_container_watches_two_lines_and_reports(lab, container, cli):
    container.configure(documented_configuration())
    cli.run("enroll", "rtr1", "--out", lab.dir / "enrolled")
    shutil.copy(lab.dir / "enrolled" / "agent.key", container.root / "etc/jaga/agent.key")
    checked = container.run("--check", check=False)
    assert checked.stdout.endswith("Nothing stands in the way.\n"), checked.stdout + checked.stderr
    container.start()
    cli.wait_online("rtr1")
    for uplink in ("isp1", "isp2"):
        container.wait_state(uplink, "up", 10)
    lab.cut_forwarding(1)
    container.wait_state("isp1", "down", 10)
    container.wait_state("isp2", "up", 1)
    cli.wait_event("rtr1", kind="uplink", uplink="isp1", to="down")
    lab.restore(1)
    container.wait_state("isp1", "up", 60)
    wait_until(lambda: cli.rows("snapshots", "rtr1"), 20, "the documented snapshot is stored")
    assert "interface = wan1" in cli.run("cat", "rtr1").stdout


def test_it_ends_when_routeros_asks(lab, container):
    """With SIGTERM, which a first process does not obey by itself; RouterOS kills it after ten seconds."""
    container.configure(f"[lan]\ninterfaces = lan0\n[uplink isp1]\ninterface = wan1\ntargets = {INTERNET[0]}\n")
    container.start()
    assert container.stop() == 0
    assert "stopping signal=15" in container.unshare.read_log()
