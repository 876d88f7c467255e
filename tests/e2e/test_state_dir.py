"""A router whose flash is full or read-only is kept online all the same."""
import pytest

from tests.lab.lab import wait_until
from tests.lab.programs import Agent, Flows


def start_on(lab, agent, mount):
    """The agent, with this file system as its state directory; mounts end with the process."""
    agent.state.mkdir()
    command = " ".join(map(str, agent.argv()))
    agent.program = lab.rtr.start(agent.name, "sh", "-c", f"mount -t tmpfs {mount} none {agent.state} && "
                                  f"{{ ! touch {agent.state}/x || dd if=/dev/zero of={agent.state}/x bs=4k 2>/dev/null; "
                                  f"exec {command}; }}")
    wait_until(agent.answers, 10, "the agent answers on its socket")


@pytest.mark.parametrize("mount, problem", [("-o ro", "Read-only file system"), ("-o size=16k", "No space left on device")])
def test_forwarding_does_not_need_the_disk(lab, mount, problem):
    agent = Agent(lab)
    lab.rtr.sysctl(net__ipv4__conf__wan1__rp_filter=1)
    start_on(lab, agent, mount)
    agent.program.wait_log(f"{agent.state} cannot be written: {problem}")
    assert agent.status()["plan_in_force"]
    flows = Flows(lab)
    assert flows.open(40)["failed"] == 0
    lab.cut("i")
    agent.wait_state(1, "down", 5)
    assert flows.open(40)["failed"] == 0
    assert lab.rtr.run("cat", "/proc/sys/net/ipv4/conf/wan1/rp_filter").stdout.strip() == "1"
