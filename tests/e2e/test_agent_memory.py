"""Once it has settled the agent allocates nothing (but for libev), whatever happens to its uplinks."""
import os
import struct

import pytest

from tests.lab.lab import wait_until
from tests.lab.programs import Agent, build_dir


def start_counted(lab, agent):
    """The agent with every allocation counted; returns the function that reads the count."""
    count = lab.dir / "mallocs"
    agent.program = lab.rtr.start(agent.name, "env", f"LD_PRELOAD={build_dir() / 'tests/lab/malloccount.so'}",
                                  f"MALLOCCOUNT={count}", *agent.argv())
    wait_until(agent.answers, 10, "the agent answers on its socket")
    return lambda: struct.unpack("Q", count.read_bytes())[0]


def live_a_day(lab, agent):
    """Both kinds of fault and their ends, an operator who looks and orders, samples all the while."""
    uptime = agent.status()["uptime_s"]
    for fault in ("i", "ii"):
        lab.cut(fault)
        agent.wait_state(1, "down", 10)
        lab.restore()
        agent.wait_state(1, "up", 20)
    agent.run("force", "isp2", "--for", "1h")
    agent.run("unforce")
    agent.run("uplinks")
    wait_until(lambda: agent.status()["uptime_s"] >= uptime + 5, 20, "samples were taken")


@pytest.mark.skipif(os.environ.get("JAGA_BUILD", "").endswith("asan"), reason="the sanitizer has an allocator of its own")
def test_a_settled_agent_allocates_nothing(lab):
    agent = Agent(lab, agent_lines="sample_interval = 1s")
    read_count = start_counted(lab, agent)
    agent.wait_state(1, "up", 10)
    assert read_count() > 10  # it counts
    live_a_day(lab, agent)
    settled = read_count()
    live_a_day(lab, agent)
    assert read_count() == settled
