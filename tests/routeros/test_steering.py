"""The image as a container of the router that it steers: nothing in it but the agent and two files, a veth with an address for each
line, and the router's API. Its configuration is the example of docs/routeros.md; the router is simulated, with packets (tests/rosim)."""
import contextlib
import re

import pytest

from tests.e2e.test_routeros import Agent
from tests.rosim.laboratory import ADDRESSES, CompanionLab, wait_for
from tests.routeros.test_container import NATIVE
from tests.routeros.test_images import ROOT, Image


def documented_configuration(lab):
    """With the interfaces and addresses of the laboratory, where no lease tells the gateways, one client has all flows, and no
    collector listens."""
    text = re.search(r"```ini\n(.*?)```", (ROOT / "docs" / "routeros.md").read_text(encoding="utf-8"), re.S)[1]
    assert "driver = routeros" in text and "172.31.71.11" in text
    text = text.replace("172.31.71.1\n", f"{lab.ROUTER}:{lab.router.port}\n").replace("172.31.71.", "192.168.89.")
    text = re.sub(r"^(collector|key_file) = .*\n", "", text, flags=re.M).replace("user = jaga", "user = admin")
    text = text.replace("[agent]\n", "[agent]\nhash = both-addresses-and-ports\n").replace("interfaces = bridge\n", "interfaces = ether3, ether4\n")
    for number in (1, 2):
        text = re.sub(rf"(?s)(\[uplink isp{number}\]\n.*?)targets = [^\n]*",
                      rf"\1gateway = 10.0.{number}.1\ntargets = 10.9.{number}.1\ncheck_host = 203.0.113.{number}", text)
    return text


class Container(Agent):
    def __init__(self, lab, tmp_path):
        self.lab, self.process, self.log_path = lab, None, tmp_path / "agent.log"
        image = Image(NATIVE)
        self.root, self.program = image.extract(tmp_path / "container"), image.config["config"]["Entrypoint"][0]
        for mounted in ("dev", "proc"):  # by RouterOS
            (self.root / mounted).mkdir()
        (self.root / "etc/jaga/agent.conf").write_text(documented_configuration(lab))
        (self.root / "etc/jaga/router.password").write_text("secret\n")

    def argv(self, *arguments):
        script = 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"'
        return ["ip", "netns", "exec", self.lab.prefix + "box", "unshare", "--mount", "sh", "-c", script, self.root, self.program,
                *arguments]


@pytest.fixture
def container(tmp_path):
    script = ADDRESSES + "add address=192.168.89.1/24 interface=ether4\n"
    with contextlib.closing(CompanionLab(tmp_path, "7.20", script)) as lab:
        one = Container(lab, tmp_path)
        yield one
        one.stop()


def test_the_documented_container_steers_its_router(container):
    lab = container.lab
    before = lab.configuration()
    checked = container.run("--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    container.start().wait_online()
    lab.cut(1)
    wait_for("new flows leave over the other line", lambda: lab.providers_of(4) == [2, 2, 2, 2])
    wait_for("the change is told", lambda: "isp1 is down cause=probes" in container.log())
    container.stop()
    removed = container.run("--remove")
    assert removed.returncode == 0, removed.stderr
    assert lab.configuration() == before
