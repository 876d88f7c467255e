"""The real agent as OpenWrt runs it: configured by a UCI file, with no more capabilities than the jail leaves it. It takes
over, moves users when a line dies, takes a snapshot, lets go; and in all of that flash is written at the start only.
"""
import json
import pathlib

import pytest

from tests.e2e.observe import uses, wait_new_flows
from tests.lab.lab import INTERNET, UPLINKS
from tests.lab.programs import Agent, Flows
from tests.openwrt.build import OPENWRT

CAPABILITIES = json.loads((OPENWRT / "files/etc/capabilities/jaga.json").read_text())["bounding"]
NUMBERS = {"CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}  # linux/capability.h


class OpenWrtAgent(Agent):
    def __init__(self, lab):
        super().__init__(lab)
        self.conf = self.dir / "config" / "jaga"
        self.conf.parent.mkdir()
        self.taken = self.dir / "router's own"
        self.taken.write_text("option x\n")
        uplinks = "".join(f"config uplink 'isp{n}'\n\toption interface '{UPLINKS[n]['dev']}'\n"
                          f"\tlist targets '{INTERNET[0]}'\n\tlist targets '{INTERNET[10]}'\n" for n in (1, 2))
        self.conf.write_text(f"config agent 'agent'\n\toption enabled '1'\n\toption state_dir '{self.state}'\n"
                             f"\toption socket '{self.socket}'\n\n"
                             f"config lan 'lan'\n\tlist interfaces 'lan0'\n{uplinks}"
                             f"config snapshot\n\tlist file \"{self.taken}\"\n\tlist command 'ip rule; echo \"a b\"'\n")

    def start_argv(self):
        """Under the capabilities that ujail would leave: the same five sets."""
        names = ",".join("+" + name.removeprefix("CAP_").lower() for name in CAPABILITIES)
        return ["setpriv", f"--bounding-set=-all,{names}", f"--inh-caps=-all,{names}", f"--ambient-caps=-all,{names}",
                *self.argv()]


@pytest.fixture(name="agent")
def fixture_agent(lab):
    return OpenWrtAgent(lab).start()


def state_files(agent):
    """{name: (size, time of the last write)} of what lies on flash."""
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in agent.state.rglob("*")}


def capability_sets(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}


def test_fail_over_with_the_capabilities_of_the_jail_and_no_write_to_flash(lab, agent):
    allowed = sum(1 << NUMBERS[name] for name in CAPABILITIES)
    assert set(capability_sets(agent.program.pid).values()) == {allowed}
    assert agent.status()["adopted"] is False
    flows = Flows(lab)
    assert uses(flows.open(60), 1, 2)
    written = state_files(agent)
    lab.cut_forwarding(1)
    lab.prove_fault()
    agent.wait_state(1, "down", 5)
    wait_new_flows(flows, 2)
    lab.restore()
    agent.wait_state(1, "up", 15)
    wait_new_flows(flows, 1, 2)
    assert agent.run("snapshot").returncode == 0
    assert state_files(agent) == written
    assert sum(size for size, _ in written.values()) < 16384


def test_it_lets_go(lab, agent):
    tables = lab.rtr.run("nft", "list", "tables").stdout
    assert "table inet jaga" in tables
    assert agent.stop() == 0
    assert agent.run("--remove").returncode == 0
    assert "jaga" not in lab.rtr.run("nft", "list", "tables").stdout


def test_a_disabled_configuration_can_be_checked_but_not_started(lab):
    agent = OpenWrtAgent(lab)
    agent.conf.write_text(agent.conf.read_text().replace("enabled '1'", "enabled '0'"))
    assert agent.run("--check").returncode == 0
    refused = agent.run(check=False)
    assert refused.returncode == 2
    assert refused.stderr == f"jaga-agent: {agent.conf} says that it is not enabled; write enabled = yes in [agent]\n"
