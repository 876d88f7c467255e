"""A trap that came while the agent was down: what is in force is adopted all the same, and the trap is told."""
from tests.lab.lab import UPLINKS, wait_until
from tests.lab.programs import Flows


def test_a_crashed_agent_adopts_its_plan_in_spite_of_a_fatal_trap(lab, agent):
    flows = Flows(lab)
    assert flows.open(40)["opened"] == 40
    agent.kill()
    lab.rtr.ip("rule", "add", "preference", "50", "fwmark", "0x40", "lookup", "main")
    agent.start()
    assert agent.status()["adopted"] is True
    agent.program.wait_log("mark-clash")
    assert flows.check()["alive"] == 40
    # And it fails over, which is what it is for.
    lab.cut("ii")
    agent.wait_state(1, "down", 5)
    wait_until(lambda: flows.open(10)["by"] == {UPLINKS[2]["address"]: 10}, 3, "new flows take the other uplink")
